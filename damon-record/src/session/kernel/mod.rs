//! Recording by the kernel's DAMON: it looks, counts and keeps the regions; we store what its events say.

mod begin;
mod cost;
mod drain;
mod follow;
mod series;
mod source;

pub(super) use begin::{Machine, Orders, physical_memory};

use crate::damon::collect::Chosen;
use crate::damon::events::Assembler;
use crate::monitor::AddressRange;
use crate::proc::ProcRoot;
use damon_format::{Attrs, Mapping, Record, SchemeApplied, TargetId};
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
    /// `None` before the kdamond runs.
    events: Option<Events>,
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
    /// Regions of its last snapshot.
    regions: usize,
    /// Touched working set of its last snapshot, bytes.
    touched: u64,
}

/// The events of a running kdamond.
struct Events {
    chosen: Chosen,
    assembler: Assembler,
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

    /// Monitors the process `pid` as `id` from now on: starts the kdamond with it, or adds it to those that
    /// it monitors. The error says what is in the way.
    pub(super) fn add(
        &mut self,
        id: TargetId,
        pid: u32,
        mappings: &[Mapping],
        limits: &[AddressRange],
    ) -> Result<(), String> {
        if self.slots.iter().any(|slot| slot.id == Some(id)) {
            // It executes another program: the kernel follows by itself.
            return Ok(());
        }
        match &mut self.source {
            Source::Foreign(foreign) => {
                let free = |slot: &&mut Slot| slot.id.is_none() && slot.pid == Some(pid);
                let slot = self.slots.iter_mut().find(free).ok_or_else(|| {
                    format!("kdamond {} does not monitor process {pid}", foreign.name)
                })?;
                slot.id = Some(id);
                if self.events.is_none() {
                    self.events = Some(Events::open(foreign.tid, &self.attrs)?);
                }
            }
            Source::Own(own) => {
                let started = own.add(pid, mappings, limits)?;
                if let Some(tid) = started {
                    // Its targets are numbered anew.
                    self.slots.clear();
                    self.events = Some(Events::open(tid, &self.attrs)?);
                }
                self.slots.push(Slot::new(Some(pid), Some(id)));
            }
        }
        Ok(())
    }

    /// Snapshots of `id` are no longer wanted.
    pub(super) fn remove(&mut self, id: TargetId) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == Some(id)) {
            slot.id = None;
        }
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
        self.source.why_ended(|tid| proc.of(tid, "").exists())
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

    /// One sentence: where the events come from.
    pub(super) fn describe_events(&self) -> Option<String> {
        self.events.as_ref().map(|events| events.chosen.describe())
    }
}

impl Slot {
    fn new(pid: Option<u32>, id: Option<TargetId>) -> Self {
        Self { pid, id, regions: 0, touched: 0 }
    }
}
