//! The memory series: once a second, what the kernel counts about each target and the machine.

use crate::host::monotonic_ns;
use crate::proc::{ProcRoot, read_pressure};
use damon_format::{MemorySample, PressureSample, TargetId};

/// Between two samples.
pub(super) const PERIOD_NS: u64 = 1_000_000_000;

/// The memory of one process; `None` once it is gone.
pub(super) fn memory(proc: &ProcRoot, target: TargetId, pid: u32) -> Option<MemorySample> {
    let status = proc.status(pid).ok()?;
    let stat = proc.stat(pid).ok()?;
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
