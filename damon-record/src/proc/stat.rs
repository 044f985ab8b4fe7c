//! `/proc/PID/stat` and `/proc/PID/status` (`proc_pid_stat(5)`, `proc_pid_status(5)`).

use super::{decimal, word};

/// What the recorder uses of `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Command name; may contain spaces and parentheses.
    pub comm: String,
    /// State letter.
    pub state: u8,
    /// Parent.
    pub ppid: u32,
    /// The kernel's `PF_*` flags.
    pub flags: u64,
    /// Minor faults since the process began.
    pub minor_faults: u64,
    /// Major faults since the process began.
    pub major_faults: u64,
    /// CPU time in user and kernel mode since it began, clock ticks.
    pub cpu_ticks: u64,
    /// Threads.
    pub threads: u32,
    /// Start time in clock ticks since boot.
    pub start_ticks: u64,
}

/// `PF_KTHREAD` of include/linux/sched.h.
const PF_KTHREAD: u64 = 0x0020_0000;

impl Stat {
    /// True for a thread of the kernel itself, which has no address space.
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }

    /// True when it has exited: zombie (`Z`) or dead (`X`, `x`).
    pub fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// True when a signal (`T`) or a tracer (`t`) has stopped it.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }
}

/// Parses the line; `None` when a field is missing or not a number. The name ends at the *last*
/// closing parenthesis, because a name may contain them.
pub fn parse_stat(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')')?;
    let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
    let mut rest = text.get(close + 1..)?.trim_ascii_end();
    let state = *word(&mut rest)?.first()?;
    let mut numbers = [0_u64; 21];
    for number in &mut numbers {
        let field = word(&mut rest)?;
        // A few fields are signed (tpgid is -1 without a terminal); none of them is used.
        *number = if field.first() == Some(&b'-') { 0 } else { decimal(field)? };
    }
    let [ppid, _, _, _, _, flags, minor, _, major, _, utime, stime, ..] = numbers;
    let [.., threads, _, start_ticks, _, _] = numbers;
    Some(Stat {
        comm,
        state,
        ppid: u32::try_from(ppid).ok()?,
        flags,
        minor_faults: minor,
        major_faults: major,
        cpu_ticks: utime.saturating_add(stime),
        threads: u32::try_from(threads).ok()?,
        start_ticks,
    })
}

/// What the recorder uses of `/proc/PID/status`; a line that is missing reads as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Thread group: the process that a thread id belongs to.
    pub tgid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real user id.
    pub uid: u32,
    /// Process that traces it by ptrace, 0 for none.
    pub tracer_pid: u32,
    /// 0 off, 1 strict, 2 filter.
    pub seccomp: u32,
    /// Size of the address space, bytes.
    pub virtual_size: u64,
    /// Resident set size, bytes.
    pub rss: u64,
    /// Swapped out, bytes.
    pub swap: u64,
}

/// Parses the lines it knows and ignores the others.
pub fn parse_status(text: &[u8]) -> Status {
    let mut status = Status::default();
    for line in text.split(|b| *b == b'\n') {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let (key, rest) = line.split_at(colon);
        let value = |index: usize| {
            rest.get(1..)?
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty())
                .nth(index)
                .and_then(decimal)
        };
        let small = |index| value(index).and_then(|v| u32::try_from(v).ok()).unwrap_or(0);
        let kib = || value(0).unwrap_or(0).saturating_mul(1024);
        match key {
            b"Uid" => (status.uid, status.euid) = (small(0), small(1)),
            b"Tgid" => status.tgid = small(0),
            b"TracerPid" => status.tracer_pid = small(0),
            b"Seccomp" => status.seccomp = small(0),
            b"VmSize" => status.virtual_size = kib(),
            b"VmRSS" => status.rss = kib(),
            b"VmSwap" => status.swap = kib(),
            _ => {}
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_spaces_and_parentheses_do_not_shift_the_fields() {
        let line =
            b"4242 (a) b (c)) S 17 4242 4242 0 -1 4194560 1500 0 7 0 3 4 0 0 20 0 12 0 987654 \
                     10485760 321 18446744073709551615 1 1 0\n";
        let stat = parse_stat(line).unwrap();
        assert_eq!(stat.comm, "a) b (c)");
        assert_eq!(
            (stat.state, stat.ppid, stat.threads, stat.start_ticks),
            (b'S', 17, 12, 987_654)
        );
        assert_eq!((stat.minor_faults, stat.major_faults), (1500, 7));
        assert!(!stat.is_kernel_thread() && !stat.is_dead());
    }

    #[test]
    fn kernel_threads_are_told_by_their_flag() {
        let line = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 1 0 0 20 0 1 0 5 0 0 0\n";
        assert!(parse_stat(line).unwrap().is_kernel_thread());
    }

    #[test]
    fn short_or_strange_lines_are_refused() {
        for line in [
            &b""[..],
            b"1 (x",
            b"1 x) R",
            b")(",
            b"1 (x) R 1 2 3",
            b"1 (x) R one 1 1 0 -1 0 0 0 0 0 0 0 0 0 0 0 1 0 1 1 1 1",
        ] {
            assert_eq!(parse_stat(line), None, "{line:?}");
        }
    }

    #[test]
    fn the_recorders_own_lines_parse() {
        let stat = parse_stat(&std::fs::read("/proc/self/stat").unwrap()).unwrap();
        let status = parse_status(&std::fs::read("/proc/self/status").unwrap());
        assert!(stat.start_ticks > 0 && stat.threads > 0);
        assert!(status.rss > 0 && status.virtual_size >= status.rss);
        assert_eq!(status.euid, nix::unistd::geteuid().as_raw());
    }

    #[test]
    fn status_lines_are_read_in_bytes() {
        let status = parse_status(
            b"Name:\tx: y\nUid:\t1000\t1001\t1000\t1000\nTracerPid:\t12\nVmRSS:\t    2048 kB\nVmSwap:\t 3 kB\nSeccomp:\t2\n",
        );
        assert_eq!((status.uid, status.euid), (1000, 1001));
        assert_eq!((status.tracer_pid, status.seccomp), (12, 2));
        assert_eq!((status.rss, status.swap), (2048 * 1024, 3 * 1024));
        assert_eq!(status.virtual_size, 0);
    }
}
