//! The machine's names, and its clocks.

use damon_format::ClockAnchor;
use nix::time::{ClockId, clock_gettime};

/// What `uname` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Host name.
    pub name: String,
    /// Kernel release.
    pub kernel: String,
    /// Machine architecture.
    pub arch: String,
}

impl Host {
    /// Asks the kernel; empty strings where it does not answer.
    pub fn read() -> Self {
        let text = |s: &std::ffi::OsStr| s.to_string_lossy().into_owned();
        match nix::sys::utsname::uname() {
            Ok(names) => Self {
                name: text(names.nodename()),
                kernel: text(names.release()),
                arch: text(names.machine()),
            },
            Err(_) => Self { name: String::new(), kernel: String::new(), arch: String::new() },
        }
    }
}

fn read_clock(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else {
        return 0;
    };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// `CLOCK_MONOTONIC`, nanoseconds.
pub fn monotonic_ns() -> u64 {
    read_clock(ClockId::CLOCK_MONOTONIC)
}

/// Both clocks at nearly the same moment: the wall clock is read between two readings of the monotonic
/// one.
pub fn clock_anchor() -> ClockAnchor {
    let before = monotonic_ns();
    let realtime_ns = read_clock(ClockId::CLOCK_REALTIME);
    let after = monotonic_ns();
    ClockAnchor { monotonic_ns: before + (after - before) / 2, realtime_ns }
}
