//! The processes that targets have forked, from the kernel's account of threads that begin and end.

use crate::sys::ring::Task;
use crate::target::Candidate;
use std::collections::BTreeMap;

/// Those below the targets, and what became of them.
#[derive(Debug, Default)]
pub(super) struct Family {
    /// By pid: the targets, and all that are known to be below them.
    lives: BTreeMap<u32, Life>,
    /// Who may become a target, the eldest first.
    pending: Vec<u32>,
    brief: Brief,
}

/// Processes that ended before anything was decided about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::session) struct Brief {
    /// How many.
    pub(in crate::session) count: u64,
    /// The longest of their lives.
    pub(in crate::session) longest_ns: u64,
}

#[derive(Debug)]
struct Life {
    parent: u32,
    /// When it was forked and how many threads it has; `None` where it was there before.
    told: Option<(u64, u32)>,
    /// It is recorded, or that it is not has been said.
    settled: bool,
}

impl Family {
    /// `pid` was found below `parent`.
    pub(super) fn know(&mut self, pid: u32, parent: u32) {
        self.lives.entry(pid).or_insert_with(|| {
            self.pending.push(pid);
            Life { parent, told: None, settled: false }
        });
    }

    /// `pid` is recorded, or will never be, and that has been said.
    pub(super) fn settle(&mut self, pid: u32) {
        self.pending.retain(|other| *other != pid);
        let life = self.lives.entry(pid);
        life.or_insert(Life { parent: 0, told: None, settled: false }).settled = true;
    }

    /// It has been said that `pid` is not recorded; it may be, later.
    pub(super) fn excuse(&mut self, pid: u32) {
        if let Some(life) = self.lives.get_mut(&pid) {
            life.settled = true;
        }
    }

    /// Those about whom nothing is decided.
    pub(super) fn pending(&self) -> impl Iterator<Item = Candidate> + '_ {
        let parent = |pid: &u32| self.lives.get(pid).map(|life| life.parent);
        self.pending
            .iter()
            .filter_map(move |pid| Some(Candidate { pid: *pid, parent: parent(pid)? }))
    }

    /// Forgets whoever is not there any more, without counting them: the kernel's account has holes.
    pub(super) fn keep(&mut self, mut is_there: impl FnMut(u32) -> bool) {
        self.lives.retain(|pid, _| is_there(*pid));
        let lives = &self.lives;
        self.pending.retain(|pid| lives.contains_key(pid));
    }

    /// Takes the next part of the account.
    pub(super) fn hear(&mut self, task: &Task) {
        let (Some(pid), Some(parent)) = (id(task.pid), id(task.parent)) else {
            return;
        };
        match (task.began, task.pid == task.tid) {
            (true, true) => self.born(pid, parent, task.time_ns),
            (true, false) => {
                if let Some(Life { told: Some((_, threads)), .. }) = self.lives.get_mut(&pid) {
                    *threads = threads.saturating_add(1);
                }
            }
            (false, is_first) => self.thread_ended(pid, is_first, task.time_ns),
        }
    }

    fn born(&mut self, pid: u32, parent: u32, time_ns: u64) {
        if !self.lives.contains_key(&parent) {
            return;
        }
        let life = Life { parent, told: Some((time_ns, 1)), settled: false };
        // The end of an earlier process of that number may have been lost.
        self.pending.retain(|other| *other != pid);
        self.lives.insert(pid, life);
        self.pending.push(pid);
    }

    fn thread_ended(&mut self, pid: u32, is_first: bool, time_ns: u64) {
        let Some(life) = self.lives.get_mut(&pid) else {
            return;
        };
        let over = match &mut life.told {
            // The first thread may end before others, and its number is taken by one that executes a program.
            Some((_, threads)) => {
                *threads = threads.saturating_sub(1);
                *threads == 0
            }
            None => is_first,
        };
        if !over {
            return;
        }
        if let Some((born_ns, _)) = life.told.filter(|_| !life.settled) {
            self.brief.count = self.brief.count.saturating_add(1);
            self.brief.longest_ns = self.brief.longest_ns.max(time_ns.saturating_sub(born_ns));
        }
        self.lives.remove(&pid);
        self.pending.retain(|other| *other != pid);
    }

    /// Who ended too early so far.
    pub(super) fn brief(&self) -> Brief {
        self.brief
    }
}

/// The number of a process; none where it has no number in our namespace.
fn id(pid: i32) -> Option<u32> {
    u32::try_from(pid).ok().filter(|pid| *pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: i32 = 10;

    fn family() -> Family {
        let mut family = Family::default();
        family.settle(10);
        family
    }

    fn forks(family: &mut Family, time_ns: u64, parent: i32, pid: i32) {
        family.hear(&Task { time_ns, began: true, pid, parent, tid: pid });
    }

    fn starts(family: &mut Family, time_ns: u64, pid: i32, tid: i32) {
        family.hear(&Task { time_ns, began: true, pid, parent: pid, tid });
    }

    fn ends(family: &mut Family, time_ns: u64, pid: i32, tid: i32) {
        family.hear(&Task { time_ns, began: false, pid, parent: PARENT, tid });
    }

    fn pending(family: &Family) -> Vec<(u32, u32)> {
        family.pending().map(|candidate| (candidate.pid, candidate.parent)).collect()
    }

    #[test]
    fn who_ends_undecided_is_counted_with_the_length_of_its_life() {
        let mut family = family();
        forks(&mut family, 100, PARENT, 20);
        forks(&mut family, 110, 20, 5);
        assert_eq!(pending(&family), [(20, 10), (5, 20)], "parents first");
        ends(&mut family, 150, 20, 20);
        assert_eq!(family.brief(), Brief { count: 1, longest_ns: 50 });
        assert_eq!(pending(&family), [(5, 20)]);
        ends(&mut family, 120, 5, 5);
        assert_eq!(family.brief(), Brief { count: 2, longest_ns: 50 });
        assert!(pending(&family).is_empty());
    }

    #[test]
    fn recorded_refused_and_excused_ones_do_not_count_and_strangers_do_not_matter() {
        let mut family = family();
        forks(&mut family, 1, PARENT, 20);
        family.settle(20);
        forks(&mut family, 2, PARENT, 21);
        family.excuse(21);
        assert_eq!(pending(&family), [(21, 10)], "it may become a target yet");
        forks(&mut family, 3, 99, 22);
        forks(&mut family, 3, 0, 23);
        forks(&mut family, 4, 20, 24);
        for pid in [20, 21, 22, 23] {
            ends(&mut family, 9, pid, pid);
        }
        assert_eq!(family.brief().count, 0);
        assert_eq!(pending(&family), [(24, 20)], "below one that is recorded");
    }

    #[test]
    fn a_process_ends_with_its_last_thread() {
        let mut family = family();
        forks(&mut family, 1, PARENT, 20);
        starts(&mut family, 2, 20, 21);
        starts(&mut family, 3, 20, 22);
        // Thread 21 executes a program: all others end, and it is 20 from then on.
        ends(&mut family, 4, 20, 22);
        ends(&mut family, 4, 20, 20);
        assert_eq!(pending(&family), [(20, 10)]);
        ends(&mut family, 7, 20, 20);
        assert_eq!(family.brief(), Brief { count: 1, longest_ns: 6 });
    }

    #[test]
    fn who_was_there_before_is_pending_and_nobody_knows_for_how_long_it_has_lived() {
        let mut family = family();
        family.know(20, 10);
        family.know(20, 10);
        family.know(10, 1);
        assert_eq!(pending(&family), [(20, 10)]);
        starts(&mut family, 1, 20, 21);
        ends(&mut family, 2, 20, 21);
        assert_eq!(pending(&family), [(20, 10)]);
        ends(&mut family, 3, 20, 20);
        assert!(pending(&family).is_empty());
        assert_eq!(family.brief().count, 0);
    }

    #[test]
    fn numbers_that_come_again_and_ends_that_were_lost() {
        let mut family = family();
        forks(&mut family, 1, PARENT, 20);
        forks(&mut family, 5, PARENT, 20);
        assert_eq!(pending(&family), [(20, 10)]);
        ends(&mut family, 8, 20, 20);
        assert_eq!(family.brief(), Brief { count: 1, longest_ns: 3 });
        forks(&mut family, 9, PARENT, 21);
        family.keep(|pid| pid == 10);
        assert!(pending(&family).is_empty());
        forks(&mut family, 10, 21, 22);
        assert!(pending(&family).is_empty(), "its parent was forgotten");
        forks(&mut family, 11, PARENT, 23);
        assert_eq!(pending(&family), [(23, 10)]);
    }
}
