//! CPU time of the recorder itself.

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// CPU time that recording has cost: this process and its helpers.
#[derive(Debug, Default)]
pub(in crate::session) struct OwnCpu {
    /// Known once and for all before the command, which is a child too, is waited for.
    helpers: Option<Duration>,
}

impl OwnCpu {
    /// Used so far.
    pub(in crate::session) fn used(&self) -> Duration {
        own() + self.helpers.unwrap_or_else(children)
    }

    /// The command is about to be waited for: what children use is no longer the recorder's.
    pub(in crate::session) fn leave_children_out(&mut self) {
        self.helpers.get_or_insert_with(children);
    }
}

/// CPU time used so far by this process alone: a third of the price of [`OwnCpu::used`].
pub(in crate::session) fn own() -> Duration {
    let Ok(time) = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID) else {
        return Duration::ZERO;
    };
    whole(time.tv_sec(), time.tv_nsec(), 1)
}

fn children() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Duration::ZERO;
    };
    let micros = |time: nix::sys::time::TimeVal| whole(time.tv_sec(), time.tv_usec(), 1000);
    micros(usage.user_time()) + micros(usage.system_time())
}

fn whole(seconds: i64, rest: i64, scale: u64) -> Duration {
    let rest = u64::try_from(rest).unwrap_or(0).saturating_mul(scale);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0)) + Duration::from_nanos(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_was_waited_for_does_not_count() {
        let mut own = OwnCpu::default();
        own.leave_children_out();
        let before = own.used() + children();
        let busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        std::process::Command::new("sh").args(["-c", busy]).status().unwrap();
        let after = own.used() + children();
        let counted_without = OwnCpu::default().used();
        assert!(after > before, "the command used some");
        assert!(own.used() < counted_without, "and it is left out");
    }
}
