//! Children as the kernel tells of them, so that they need not be searched for, and those are counted who end before
//! anything could be recorded of them.

mod family;

pub(super) use family::Brief;

use crate::damon::collect::Order;
use crate::damon::collect::perf::{ONLINE, Ring, online_cpus};
use crate::host::monotonic_ns;
use crate::sys::perf::PerfRing;
use crate::sys::ring::{Record, Task};
use crate::target::Candidate;
use family::Family;
use std::path::Path;

/// Of each CPU's ring: the start and end of two thousand threads.
const RING_BYTES: usize = 128 << 10;
/// Of all rings of a machine with many CPUs.
const MOST_BYTES: usize = 16 << 20;
const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

/// The kernel's account of threads that begin and end, and what it says of the targets' children.
#[derive(Debug)]
pub(super) struct Births<R = PerfRing> {
    rings: Vec<R>,
    order: Order<Task>,
    family: Family,
    /// A part of the account has been lost.
    has_holes: bool,
    /// Since the last search.
    to_be_searched: bool,
}

impl Births {
    /// Listens on every CPU, from now on. The error is what the kernel says, in words.
    pub(super) fn listen() -> Result<Self, String> {
        let cpus = online_cpus(Path::new(ONLINE)).map_err(|error| error.to_string())?;
        let bytes = RING_BYTES.min(MOST_BYTES / cpus.len().max(1));
        let rings: Result<Vec<PerfRing>, _> =
            cpus.iter().map(|cpu| PerfRing::tasks(*cpu, bytes)).collect();
        rings.map(Self::over).map_err(|error| match std::fs::read_to_string(PARANOID) {
            Ok(paranoid) => {
                format!("{error}; kernel.perf_event_paranoid is {}", paranoid.trim())
            }
            Err(_) => error.to_string(),
        })
    }
}

impl<R: Ring> Births<R> {
    fn over(rings: Vec<R>) -> Self {
        Self {
            rings,
            order: Order::default(),
            family: Family::default(),
            has_holes: false,
            to_be_searched: false,
        }
    }

    /// Takes in what has been told until now.
    pub(super) fn hear(&mut self) {
        self.hear_until(monotonic_ns());
    }

    fn hear_until(&mut self, until_ns: u64) {
        let Self { rings, order, family, has_holes, to_be_searched } = self;
        for ring in rings {
            ring.drain(|record| match record {
                Record::Task(task) => order.push(task.time_ns, task),
                Record::Sample(_) => {}
                Record::Lost { .. } | Record::Damaged { .. } => {
                    *has_holes = true;
                    *to_be_searched = true;
                }
            });
        }
        order.release(until_ns, &mut |task| family.hear(&task));
    }

    /// Whether something was missed that only a search can find.
    pub(super) fn must_be_searched(&self) -> bool {
        self.to_be_searched
    }

    /// A search was made: these are all that are below targets, with their parents; `is_there` tells whether others
    /// are still alive.
    pub(super) fn searched(&mut self, found: &[(u32, u32)], is_there: impl FnMut(u32) -> bool) {
        if std::mem::take(&mut self.to_be_searched) {
            self.family.keep(is_there);
        }
        for (pid, parent) in found {
            self.family.know(*pid, *parent);
        }
    }

    /// See [`Family::settle`].
    pub(super) fn settle(&mut self, pid: u32) {
        self.family.settle(pid);
    }

    /// See [`Family::excuse`].
    pub(super) fn excuse(&mut self, pid: u32) {
        self.family.excuse(pid);
    }

    /// Those about whom nothing is decided, parents before their children.
    pub(super) fn pending(&self) -> Vec<Candidate> {
        self.family.pending().collect()
    }

    /// Whether somebody about whom nothing is decided is still there.
    pub(super) fn has_orphans(&mut self, mut is_there: impl FnMut(u32) -> bool) -> bool {
        self.hear();
        self.family.pending().any(|candidate| is_there(candidate.pid))
    }

    /// Who ended too early, and whether these are all of them.
    pub(super) fn brief(&self) -> (Brief, bool) {
        (self.family.brief(), !self.has_holes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake_ring::FakeRing;
    use crate::sys::ring::Reader;
    use std::ops::ControlFlow;
    use std::os::fd::BorrowedFd;

    #[derive(Debug)]
    struct Fake {
        ring: FakeRing,
        reader: Reader,
    }

    impl Ring for Fake {
        fn drain(&mut self, mut each: impl FnMut(Record<'_>)) {
            let memory = self.ring.memory().unwrap();
            let _continue = self.reader.drain(memory, |record| {
                each(record);
                ControlFlow::<()>::Continue(())
            });
        }

        fn lost(&self) -> Option<u64> {
            None
        }

        fn fd(&self) -> Option<BorrowedFd<'_>> {
            None
        }
    }

    fn births() -> Births<Fake> {
        let ring = || Fake { ring: FakeRing::new(1 << 12, 0), reader: Reader::default() };
        let mut births = Births::over(vec![ring(), ring()]);
        births.settle(10);
        births
    }

    fn forked(time_ns: u64, parent: i32, pid: i32) -> Task {
        Task { time_ns, began: true, pid, parent, tid: pid }
    }

    fn ended(time_ns: u64, pid: i32) -> Task {
        Task { time_ns, began: false, pid, parent: 10, tid: pid }
    }

    /// The ring with the end is read before the one with the start.
    #[test]
    fn a_life_that_began_on_one_cpu_and_ended_on_another() {
        let mut births = births();
        assert!(births.rings[0].ring.task(&ended(9, 20)));
        assert!(births.rings[1].ring.task(&forked(4, 10, 20)));
        assert!(births.rings[1].ring.task(&forked(12, 10, 21)));
        births.hear_until(10);
        assert_eq!(births.brief(), (Brief { count: 1, longest_ns: 5 }, true));
        assert!(births.pending().is_empty(), "21 is too young: its end may be on its way");
        births.hear_until(12);
        assert_eq!(births.pending(), [Candidate { pid: 21, parent: 10 }]);
    }

    #[test]
    fn what_was_lost_is_searched_for_and_the_count_is_a_lower_bound() {
        let mut births = births();
        births.rings[0].ring.task(&forked(1, 10, 20));
        births.hear_until(5);
        assert!(!births.must_be_searched());
        // The ring runs over, and says so at the next opportunity.
        while births.rings[0].ring.sample(6, 1, 0, &[0; 64]) {}
        births.hear_until(7);
        assert!(births.rings[0].ring.sample(8, 1, 0, &[]));
        births.hear_until(9);
        assert!(births.must_be_searched());
        births.searched(&[(22, 10)], |pid| pid == 10);
        assert_eq!(births.pending(), [Candidate { pid: 22, parent: 10 }], "20 has gone");
        assert!(!births.must_be_searched());
        assert_eq!(births.brief(), (Brief::default(), false));
    }
}
