//! Recording by the kernel's DAMON: it looks, counts and keeps the regions; we store what its events say.

mod begin;
mod cost;
mod drain;
mod follow;
mod listen;
mod looks;
mod series;
mod source;
mod targets;
#[cfg(test)]
mod tests;

pub(super) use begin::{Machine, Orders, physical_memory};

use crate::proc::ProcRoot;
use damon_format::{Attrs, Record, SchemeApplied, TargetId};
use listen::{Events, Tracing};
use series::Series;
use source::Source;
use std::time::Duration;

/// The monitor of a session whose accesses the kernel sees.
pub(super) struct Kernel {
    source: Source,
    /// Attributes in force.
    attrs: Attrs,
    /// Bytes per unit of the addresses in events.
    unit: u64,
    /// Who is behind each index of the kdamond's targets, as in its events.
    slots: Vec<Slot>,
    tracing: Tracing,
    /// `None` before the kdamond runs.
    events: Option<Events>,
    /// Why there are none although it runs.
    deaf: Option<String>,
    /// Of kdamonds that have ended, with their targets: their last events are fetched still.
    past: Vec<(Events, Vec<Slot>)>,
    /// When the last change of ours to the running kdamond was begun.
    committed_ns: Option<u64>,
    /// What there is to be said and recorded, with its time.
    news: Vec<(u64, String)>,
    /// What schemes were applied to since the last snapshot of each target.
    applied: Vec<SchemeApplied>,
    series: Series,
}

/// One target of the kdamond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    /// Its process; `None` for physical memory.
    pid: Option<u32>,
    /// As the trace calls it; `None` while nobody wants its snapshots. Its place stays, since an index means
    /// the same target for as long as the kdamond runs.
    id: Option<TargetId>,
    /// It was added to a running kdamond then, and its first snapshot has not come yet.
    since_ns: Option<u64>,
    /// Regions of its last snapshot.
    regions: usize,
    /// Touched working set of its last snapshot, bytes.
    touched: u64,
}

impl Kernel {
    /// Whether physical memory is recorded, which never exits.
    pub(super) fn is_physical(&self) -> bool {
        self.slots.iter().any(|slot| slot.pid.is_none())
    }

    /// Processes that the kdamond monitors and nobody has taken up, in the order of its targets.
    pub(super) fn unclaimed(&self) -> Vec<u32> {
        self.slots.iter().filter(|slot| slot.id.is_none()).filter_map(|slot| slot.pid).collect()
    }

    /// Regions in the last snapshots.
    pub(super) fn nr_regions(&self) -> usize {
        self.wanted().map(|slot| slot.regions).sum()
    }

    /// Touched working set of the last snapshots, bytes.
    pub(super) fn working_set(&self) -> u64 {
        self.wanted().map(|slot| slot.touched).sum()
    }

    fn wanted(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.id.is_some())
    }

    /// Attributes in force.
    pub(super) fn attrs(&self) -> Attrs {
        self.attrs
    }

    /// One sample of what is known beside the events.
    pub(super) fn sample(&mut self, proc: &ProcRoot) -> Vec<Record> {
        let mut records = Vec::new();
        self.series.sample(&self.source, proc, &mut records);
        records
    }

    /// Why there will be no more events, if so.
    pub(super) fn why_ended(&self, proc: &ProcRoot) -> Option<String> {
        self.deaf.clone().or_else(|| self.source.why_ended(|tid| proc.of(tid, "").exists()))
    }

    /// Stops a kdamond of our own, and leaves everything as it was found.
    pub(super) fn release(&mut self) -> Result<(), String> {
        match &mut self.source {
            Source::Foreign(_) => Ok(()),
            Source::Own(own) => own.release(),
        }
    }

    /// Whether the kdamond is one that we have set up.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.source, Source::Own(_))
    }

    /// CPU time of the kdamond while it was recorded.
    pub(super) fn cpu(&self) -> Option<Duration> {
        self.series.cpu()
    }
}

impl Slot {
    fn new(pid: Option<u32>, id: Option<TargetId>) -> Self {
        Self { pid, id, since_ns: None, regions: 0, touched: 0 }
    }
}
