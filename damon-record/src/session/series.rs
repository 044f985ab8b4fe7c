//! The memory series: once a second, what the kernel counts about each target and the machine.

use crate::host::monotonic_ns;
use crate::proc::{ProcRoot, parse_status, read_meminfo, read_pressure};
use damon_format::{MemorySample, PressureSample, SystemMemory, TargetId};

/// Between two samples.
pub(super) const PERIOD_NS: u64 = 1_000_000_000;

/// The memory of one process; `None` once it is gone.
pub(super) fn memory(proc: &ProcRoot, target: TargetId, pid: u32) -> Option<MemorySample> {
    let mut status = proc.status(pid).ok()?;
    let stat = proc.stat(pid).ok()?;
    if status.virtual_size == 0 {
        // The first thread has exited before the others: one of these knows.
        let name = format!("{}status", proc.memory_dir(pid));
        status = parse_status(&proc.read(pid, &name).ok()?);
    }
    // A zombie has no memory, and zeros would say that it gave it back while it ran.
    (status.virtual_size > 0).then(|| MemorySample {
        target,
        time_ns: monotonic_ns(),
        rss: status.rss,
        swap: status.swap,
        virtual_size: status.virtual_size,
        minor_faults: stat.minor_faults,
        major_faults: stat.major_faults,
    })
}

/// The machine's memory pressure; `None` where the kernel has no PSI.
pub(super) fn pressure(proc: &ProcRoot) -> Option<PressureSample> {
    let pressure = read_pressure(proc)?;
    Some(PressureSample {
        time_ns: monotonic_ns(),
        some_us: pressure.some_us,
        full_us: pressure.full_us,
    })
}

/// The machine's memory; `None` where it is hidden.
pub(super) fn system_memory(proc: &ProcRoot) -> Option<SystemMemory> {
    let memory = read_meminfo(proc)?;
    Some(SystemMemory {
        time_ns: monotonic_ns(),
        total: memory.total,
        free: memory.free,
        available: memory.available,
        swap_total: memory.swap_total,
        swap_free: memory.swap_free,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::fake::{put, root, stat_line};

    #[test]
    fn memory_is_read_from_a_living_thread_when_the_first_has_exited() {
        let (dir, proc) = root();
        put(dir.path(), "9/stat", &stat_line(9, "x", 'Z', 1, 3));
        put(dir.path(), "9/status", "Tgid:\t9\n");
        assert_eq!(memory(&proc, TargetId(0), 9), None, "a zombie");
        put(dir.path(), "9/task/11/stat", &stat_line(11, "x", 'S', 1, 4));
        put(dir.path(), "9/task/11/status", "VmSize:\t8 kB\nVmRSS:\t4 kB\nVmSwap:\t0 kB\n");
        let sample = memory(&proc, TargetId(0), 9).unwrap();
        assert_eq!((sample.virtual_size, sample.rss), (8192, 4096));
        assert_eq!((sample.minor_faults, sample.major_faults), (10, 2));
    }
}
