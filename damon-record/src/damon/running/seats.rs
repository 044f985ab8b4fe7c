//! Who sits on which index of a kdamond's targets.
//!
//! Before 6.19 no target can be taken out of a running kdamond but from the end, and until 6.15 a change that names a
//! process that does not exist ends it. So whoever has exited is replaced by the kdamond's own thread, which exists and
//! has no memory, and by a page that nobody has, so that nothing of its regions is left. From the next change
//! on its index can be given to somebody else: a recording in which thousands of short processes come and go
//! needs no more targets than there are at a time.

use super::{Plan, Target, change};
use crate::proc::ProcRoot;
use change::{VACANT, nr_regions, target_pid};

/// One index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// A process, by its id and when it was started, as far as that could be read: ids are used again.
    Taken { pid: u32, start_ticks: Option<u64> },
    /// Physical memory.
    Physical,
    /// The process has exited, and the kernel knows nothing of it any more.
    Vacant,
}

impl Seat {
    pub(super) fn of(proc: &ProcRoot, target: &Target) -> Self {
        target.pid.map_or(Self::Physical, |pid| {
            let start_ticks = proc.stat(pid).ok().map(|stat| stat.start_ticks);
            Self::Taken { pid, start_ticks }
        })
    }

    fn has_left(self, proc: &ProcRoot) -> bool {
        match self {
            Self::Taken { pid, start_ticks: None } => !proc.of(pid, "").exists(),
            Self::Taken { pid, start_ticks } => {
                proc.stat(pid).ok().map(|stat| stat.start_ticks) != start_ticks
            }
            Self::Physical | Self::Vacant => false,
        }
    }
}

/// All of a kdamond.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats(pub(super) Vec<Seat>);

impl Seats {
    pub(super) fn of(proc: &ProcRoot, targets: &[Target]) -> Self {
        Self(targets.iter().map(|target| Seat::of(proc, target)).collect())
    }

    /// Indices for `count` new targets: vacant ones that the caller is done with (`free`), and after the last.
    pub(super) fn places(&self, count: usize, free: impl Fn(usize) -> bool) -> Vec<usize> {
        let vacant = self
            .0
            .iter()
            .enumerate()
            .filter(|(index, seat)| **seat == Seat::Vacant && free(*index));
        vacant.map(|(index, _)| index).chain(self.0.len()..).take(count).collect()
    }

    /// The change that puts `new` on `places`, keeps all others, and takes the memory of those away who have exited;
    /// and who sits where afterwards.
    pub(super) fn seat(
        &self,
        proc: &ProcRoot,
        stand_in: u32,
        new: &[Target],
        places: &[usize],
    ) -> (Plan, Self) {
        let mut after: Vec<Seat> = self.0.clone();
        let mut targets: Vec<Target> = Vec::with_capacity(after.len() + new.len());
        for seat in &mut after {
            let target = match *seat {
                // What is not listed is kept.
                Seat::Taken { pid, .. } if !seat.has_left(proc) => Target::process(pid),
                Seat::Taken { .. } => {
                    *seat = Seat::Vacant;
                    Target { pid: Some(stand_in), regions: vec![VACANT] }
                }
                Seat::Vacant => Target::process(stand_in),
                Seat::Physical => Target::default(),
            };
            targets.push(target);
        }
        for (target, &place) in new.iter().zip(places) {
            let seat = Seat::of(proc, target);
            if let (Some(old), Some(there)) = (targets.get_mut(place), after.get_mut(place)) {
                old.clone_from(target);
                *there = seat;
            } else {
                targets.push(target.clone());
                after.push(seat);
            }
        }
        let mut plan = Plan::default();
        change::targets(&mut plan, &targets);
        (plan, Self(after))
    }

    /// What must be written if somebody has exited since the change was written.
    pub(super) fn substitute(&self, proc: &ProcRoot, stand_in: u32) -> Plan {
        let left = self.0.iter().enumerate().filter(|(_, seat)| seat.has_left(proc));
        left.map(|(index, _)| target_pid(index, stand_in)).collect()
    }

    /// A change that leaves the targets alone must still name processes that exist, and no regions: listed
    /// ones would replace those that the kernel has found.
    pub(super) fn keep(&self, proc: &ProcRoot, stand_in: u32) -> Plan {
        let seats = self.0.iter().enumerate();
        seats
            .flat_map(|(index, seat)| {
                let pid = match *seat {
                    Seat::Taken { pid, .. } if !seat.has_left(proc) => Some(pid),
                    Seat::Taken { .. } | Seat::Vacant => Some(stand_in),
                    Seat::Physical => None,
                };
                [pid.map(|pid| target_pid(index, pid)), Some(nr_regions(index, 0))]
            })
            .flatten()
            .collect()
    }
}
