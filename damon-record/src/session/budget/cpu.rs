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
    /// Used so far by the thread that records and by helpers: without what other threads do meanwhile, which is accounted
    /// for where they tell it.
    pub(in crate::session) fn used(&self) -> Duration {
        own() + self.helpers()
    }

    /// Used so far by everybody.
    pub(in crate::session) fn all(&self) -> Duration {
        process() + self.helpers()
    }

    fn helpers(&self) -> Duration {
        self.helpers.unwrap_or_else(children)
    }

    /// The command is about to be waited for: what children use is no longer the recorder's.
    pub(in crate::session) fn leave_children_out(&mut self) {
        self.helpers.get_or_insert_with(children);
    }
}

/// CPU time used so far by this thread alone: a third of the price of [`OwnCpu::used`].
pub(in crate::session) fn own() -> Duration {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time used so far by all threads of this process.
pub(in crate::session) fn process() -> Duration {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

fn read(clock: ClockId) -> Duration {
    let Ok(time) = clock_gettime(clock) else {
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

    #[test]
    fn what_another_thread_uses_counts_in_the_whole_only() {
        let cpu = OwnCpu { helpers: Some(Duration::ZERO) };
        let all_before = cpu.all();
        let own_before = cpu.used();
        let other = std::thread::spawn(|| {
            let begin = own();
            while own().saturating_sub(begin) < Duration::from_millis(20) {}
        });
        other.join().unwrap();
        let used = cpu.used().saturating_sub(own_before);
        let all = cpu.all().saturating_sub(all_before);
        assert!(all >= Duration::from_millis(20), "{all:?}");
        assert!(used + Duration::from_millis(20) <= all, "{used:?} of {all:?}");
    }
}
