//! Clearing on the processor that the target runs on.
//!
//! Each Accessed bit that is cleared makes every processor that runs the target at that moment forget the
//! page (`flush_tlb_mm_range` of `arch/x86/mm/tlb.c`): an interrupt that the clearer waits for, ten times as
//! dear as the rest where a hypervisor delivers it. While we occupy the target's own processor there is
//! nobody to interrupt, and its TLB is flushed once when it goes on. So the clearing thread moves to where
//! the target's first thread was last seen running, and may go where it likes again when that one sleeps.

use crate::proc::ProcRoot;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// Between two questions where the target runs: reading its state costs some microseconds, moving more.
const ASK_EVERY: Duration = Duration::from_millis(4);
/// Fewer pages are not worth it.
pub(super) const WORTH_IT: usize = 4;

/// Keeps this thread beside the target's first one.
#[derive(Debug)]
pub(super) struct Follower {
    stat: File,
    /// Where this thread may run by right.
    allowed: CpuSet,
    beside: Option<usize>,
    asked_at: Option<Duration>,
}

impl Follower {
    /// `None` where the target cannot be asked or this thread has no choice; nothing is lost but time.
    pub(super) fn new(proc: &ProcRoot, pid: u32) -> Option<Self> {
        let stat = proc.open(pid, "stat").ok()?;
        let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let choices = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true)).count();
        (choices > 1).then_some(Self { stat, allowed, beside: None, asked_at: None })
    }

    /// Moves this thread to the target, or leaves it free; `now` is any clock that does not go back.
    pub(super) fn follow(&mut self, now: Duration) {
        if self.asked_at.is_some_and(|asked| now.saturating_sub(asked) < ASK_EVERY) {
            return;
        }
        self.asked_at = Some(now);
        let mut text = [0; 1024];
        let length = self.stat.read_at(&mut text, 0).unwrap_or(0);
        let runs_on = text.get(..length).and_then(runs_on);
        self.stay(runs_on.filter(|cpu| self.allowed.is_set(*cpu) == Ok(true)));
    }

    fn stay(&mut self, beside: Option<usize>) {
        if beside == self.beside {
            return;
        }
        let mut one = CpuSet::new();
        let set = match beside {
            Some(cpu) if one.set(cpu).is_ok() => &one,
            _ => &self.allowed,
        };
        // A set that became forbidden meanwhile costs interrupts, nothing else.
        if sched_setaffinity(Pid::from_raw(0), set).is_ok() {
            self.beside = beside;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stay(None);
    }
}

/// The processor of a running process from its `/proc/PID/stat`: field 39 where field 3 is `R` (proc(5)).
fn runs_on(stat: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(stat).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    (fields.next()? == "R").then_some(())?;
    fields.nth(35)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &str = "1 1 0 -1 4194304 10 0 2 0 1 1 0 0 20 0 1 0 5 4096 5 \
                          18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 3 0 0 0 0 0";

    #[test]
    fn the_processor_is_that_of_a_running_process() {
        assert_eq!(runs_on(format!("5 (a) b) R 4 {FIELDS}").as_bytes()), Some(3));
        assert_eq!(runs_on(format!("5 (a) S 4 {FIELDS}").as_bytes()), None);
        for damaged in ["", "5 (a", "5 (a) R", "5 (a) R 4 1 1 0 -1"] {
            assert_eq!(runs_on(damaged.as_bytes()), None, "{damaged}");
        }
    }

    #[test]
    fn a_thread_that_followed_is_free_again_afterwards() {
        std::thread::spawn(|| {
            let before = sched_getaffinity(Pid::from_raw(0)).unwrap();
            // Ourselves: always running.
            let Some(mut follower) = Follower::new(&ProcRoot::default(), std::process::id()) else {
                println!("SKIP: one processor only");
                return;
            };
            follower.stay(Some((0..CpuSet::count()).find(|c| before.is_set(*c).unwrap()).unwrap()));
            let one = sched_getaffinity(Pid::from_raw(0)).unwrap();
            assert_eq!((0..CpuSet::count()).filter(|c| one.is_set(*c).unwrap()).count(), 1);
            follower.follow(Duration::ZERO);
            drop(follower);
            assert_eq!(sched_getaffinity(Pid::from_raw(0)).unwrap(), before);
        })
        .join()
        .unwrap();
    }
}
