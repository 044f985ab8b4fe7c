//! The moments of a recording in their order, decoded ahead of whoever takes them.
//!
//! A thread of its own decodes, and waits when it is some thousand regions ahead: what is held at a time does not depend
//! on how much a block holds once decoded, which nothing but time limits.

mod batch;

use super::costs::Costs;
use super::scales::{Mixed, Scales};
use super::{Plan, SimulateError};
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::overview::OverviewVisitor;
use crate::analysis::select::Selection;
use crate::analysis::together::together;
use batch::Head;
pub(super) use batch::{Batch, Moment, Shot, byte_time};
use damon_format::{BlockEntry, Damage, Record, Region, SnapshotView, TargetId, Visitor};
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

/// Regions that are handed over together: few enough to be in a cache still when they are looked at.
const BATCH: usize = 1 << 14;

/// Regions of a block that are held until the moments of several targets are known: 24 MiB. A block with more is gone through
/// several times, some time of it after the other.
pub(super) const HELD: usize = 1 << 20;

/// How often a block is gone through at most. Our writer's blocks have a quarter of [`HELD`]; small files can hold blocks of
/// billions of regions, and each pass decodes all of it.
pub(super) const PASSES: usize = 32;

/// What is to be fed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'s> {
    pub(super) trace: &'s Trace,
    pub(super) selection: &'s Selection,
    /// All selected snapshots are of one target: each is a moment.
    pub(super) single: bool,
    /// Look at what all snapshots cover on the way.
    pub(super) observe: bool,
    /// Regions to hold: [`HELD`].
    pub(super) held: usize,
    /// Passes over a block: [`PASSES`].
    pub(super) passes: usize,
}

/// Why moments of several targets cannot be put together.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    /// More regions at the same time.
    Moment { most: usize },
    /// More regions in a block.
    Block { most: usize },
    /// Targets with different intervals.
    Mixed(Mixed),
}

impl From<Refusal> for SimulateError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Moment { most } => Self::Crowded { most },
            Refusal::Block { most } => Self::CrowdedBlock { most },
            Refusal::Mixed(Mixed { one, other }) => {
                let [one_ms, other_ms] =
                    [one, other].map(|(_, aggr_us)| (float(aggr_us) / 1000.0).to_string());
                Self::Mixed { one: one.0, one_ms, other: other.0, other_ms }
            }
        }
    }
}

/// What there was beside the moments.
#[derive(Default)]
pub(super) struct Fed<'s> {
    /// Snapshots that were left out, because they have no ages.
    pub(super) without_ages: u64,
    /// What the snapshots cover, if that was asked for.
    pub(super) seen: Option<OverviewVisitor<'s>>,
    /// Something could not be read.
    pub(super) damaged: bool,
    /// Why no more is handed over.
    pub(super) refused: Option<Refusal>,
}

impl Fed<'_> {
    /// Whether everything was handed over that could be read.
    pub(super) fn is_whole(&self) -> Result<(), SimulateError> {
        self.refused.map_or(Ok(()), |refusal| Err(refusal.into()))
    }
}

impl<'s> Source<'s> {
    /// What a plan is about.
    pub(super) fn of(plan: &'s Plan<'_>, trace: &'s Trace) -> Self {
        let (selection, single) = (plan.selection, plan.single);
        Self { trace, selection, single, observe: false, held: HELD, passes: PASSES }
    }

    /// Hands over all selected moments, some at a time, while the next ones are decoded.
    pub(super) fn feed(self, mut take: impl FnMut(&Batch)) -> Fed<'s> {
        let (full, filled) = sync_channel::<Batch>(1);
        let (empty, emptied) = channel::<Batch>();
        thread::scope(|scope| {
            let decode = move || {
                self.decode(|batch| {
                    full.send(batch).ok()?;
                    Some(emptied.try_recv().unwrap_or_default())
                })
            };
            match thread::Builder::new().spawn_scoped(scope, decode) {
                Ok(thread) => {
                    for mut batch in filled {
                        take(&batch);
                        batch.clear();
                        // The other one may have ended.
                        let _nobody_needs_it = empty.send(batch);
                    }
                    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
                }
                Err(_no_thread) => self.decode(|mut batch| {
                    take(&batch);
                    batch.clear();
                    Some(batch)
                }),
            }
        })
    }

    fn decode(self, give: impl FnMut(Batch) -> Option<Batch>) -> Fed<'s> {
        let Self { trace, selection, single, observe, held, passes } = self;
        let seen = observe.then(|| OverviewVisitor::of_snapshots(selection));
        let mut to = To {
            batch: Batch::default(),
            give,
            stopped: false,
            single,
            until_ns: 0,
            scales: Scales::default(),
        };
        let mut fed = Fed { seen, ..Fed::default() };
        let mut waiting = Batch::default();
        let is_all = selection.address.is_all();
        let blocks = trace.blocks().iter().filter(|b| b.snapshots > 0 && selection.overlaps(b));
        for block in blocks {
            let (fed, waiting, to) = (&mut fed, &mut waiting, &mut to);
            let begin = (waiting.heads.len(), waiting.end());
            // The index tells, or it is met on the way.
            let is_large = usize::try_from(block.rows).unwrap_or(usize::MAX) > held;
            let most = if is_large { 0 } else { held };
            let time = Time { all: 0..u64::MAX, again: false, held, most, passes };
            let mut visitor = Taker { selection, is_all, single, fed, waiting, to, time };
            visitor.block(trace, block, begin);
            if to.stopped || fed.refused.is_some() {
                break;
            }
        }
        release(&mut waiting, 0, &mut to);
        to.pass_on();
        fed.refused = fed.refused.or(to.scales.mixed.map(Refusal::Mixed));
        fed
    }
}

/// Where complete moments go.
struct To<G> {
    batch: Batch,
    give: G,
    /// Nobody takes them any more.
    stopped: bool,
    /// Of one target: whose moments do not overlap.
    single: bool,
    /// Where the latest moment ends.
    until_ns: u64,
    scales: Scales,
}

impl<G: FnMut(Batch) -> Option<Batch>> To<G> {
    fn moment_ends(&mut self) {
        let heads = self.batch.open();
        let Range { start, end } = batch::time(heads);
        let from = if self.single { start } else { start.max(self.until_ns) };
        if !self.single {
            self.scales.moment(heads.iter().map(|head| (head.target, head.sampling.aggr_us)));
            self.stopped |= self.scales.mixed.is_some();
        }
        self.until_ns = self.until_ns.max(end);
        self.batch.end_moment(end.saturating_sub(from));
        if self.batch.cost() >= BATCH {
            self.pass_on();
        }
    }

    fn pass_on(&mut self) {
        if self.stopped || !self.batch.has_moments() {
            return;
        }
        match (self.give)(std::mem::take(&mut self.batch)) {
            Some(next) => self.batch = next,
            None => self.stopped = true,
        }
    }
}

/// Gives all moments of what is waiting away but the last `keep`.
fn release(waiting: &mut Batch, keep: usize, to: &mut To<impl FnMut(Batch) -> Option<Batch>>) {
    let times: Vec<(TargetId, Range<u64>)> =
        waiting.heads.iter().map(|head| (head.target, head.start_ns..head.end_ns)).collect();
    let mut moments = together(&times);
    let mut left = moments.split_off(moments.len().saturating_sub(keep)).concat();
    let from = std::mem::take(waiting);
    for moment in moments {
        let mut of: Vec<&Head> = moment.iter().filter_map(|index| from.heads.get(*index)).collect();
        of.sort_by_key(|head| head.target);
        for head in of {
            to.batch.copy(head, &from);
        }
        to.moment_ends();
    }
    left.sort_unstable();
    let left = left.iter().filter_map(|index| from.heads.get(*index));
    left.for_each(|head| waiting.copy(head, &from));
}

/// Which snapshots of a block are taken.
struct Time {
    /// What begins at such times.
    all: Range<u64>,
    /// They were seen before.
    again: bool,
    /// Regions that are to be held.
    held: usize,
    /// Regions that may be held.
    most: usize,
    /// How often the block may be gone through.
    passes: usize,
}

/// Takes the snapshots of a block.
struct Taker<'a, 's, G> {
    selection: &'s Selection,
    /// All addresses are selected.
    is_all: bool,
    single: bool,
    fed: &'a mut Fed<'s>,
    waiting: &'a mut Batch,
    to: &'a mut To<G>,
    time: Time,
}

impl<G: FnMut(Batch) -> Option<Batch>> Taker<'_, '_, G> {
    /// Takes all of a block, which is to begin there in what is waiting.
    fn block(&mut self, trace: &Trace, block: &BlockEntry, begin: (usize, (usize, usize))) {
        let found: Result<(), Damage> = trace.visit_block(block, self);
        self.fed.damaged |= found.is_err();
        if self.is_full() {
            self.waiting.truncate(begin);
            self.piece_by_piece(trace, block);
        }
        // The next block may hold other targets' snapshots of the last moments.
        release(self.waiting, 2, self.to);
    }

    /// Takes a block that has too much, some time of it after the other. What begins later belongs to no moment but the last
    /// one of those before.
    fn piece_by_piece(&mut self, trace: &Trace, block: &BlockEntry) {
        let mut costs = Costs::new(self.selection);
        let _known: Result<(), Damage> = trace.visit_block(block, &mut costs);
        // Each region takes some of a recording's file, at least where it begins in a block.
        let of_file = usize::try_from(trace.bytes()).unwrap_or(usize::MAX).saturating_mul(4);
        self.time.most = self.time.held.saturating_add(of_file);
        self.time.again = true;
        let each = self.time.held / 4;
        let windows = costs.windows(each);
        if windows.len() > self.time.passes {
            let most = each.saturating_mul(self.time.passes);
            self.fed.refused = Some(Refusal::Block { most });
            return;
        }
        for window in windows {
            if self.to.stopped {
                return;
            }
            release(self.waiting, 1, self.to);
            self.time.all = window;
            let _known: Result<(), Damage> = trace.visit_block(block, self);
            if self.is_full() {
                self.fed.refused = Some(Refusal::Moment { most: self.time.most });
                return;
            }
        }
    }

    fn is_full(&self) -> bool {
        !self.single && self.waiting.cost() > self.time.most
    }
}

impl<G: FnMut(Batch) -> Option<Batch>> Visitor for Taker<'_, '_, G> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if self.to.stopped {
            return;
        }
        let selection = self.selection;
        if !self.time.again {
            if let Some(seen) = &mut self.fed.seen {
                seen.snapshot(snapshot);
            }
            let is_old = snapshot.ages.is_none() && selection.has_snapshot(snapshot);
            self.fed.without_ages += u64::from(is_old);
        }
        let Some(ages) = snapshot.ages else { return };
        if self.is_full()
            || !self.time.all.contains(&snapshot.start_ns)
            || !selection.has_snapshot(snapshot)
        {
            return;
        }
        let batch = if self.single { &mut self.to.batch } else { &mut *self.waiting };
        let (begin, told) = batch.end();
        add(&mut batch.regions, selection, snapshot, ages);
        let accessed = (!self.is_all).then(|| {
            batch.accessed.extend(accessed(snapshot));
            told..batch.accessed.len()
        });
        batch.heads.push(Head {
            target: snapshot.target,
            start_ns: snapshot.start_ns.max(selection.time.start),
            end_ns: snapshot.end_ns.min(selection.time.end),
            sampling: snapshot.sampling,
            regions: begin..batch.regions.len(),
            accessed,
        });
        if self.single {
            self.to.moment_ends();
        }
    }

    fn record(&mut self, _record: Record) {}
}

/// What was accessed, whether it is selected or not.
fn accessed(snapshot: &SnapshotView<'_>) -> impl Iterator<Item = Range<u64>> {
    let bounds = snapshot.starts.iter().zip(snapshot.ends).zip(snapshot.nr_accesses);
    let accessed = bounds.filter(|(_, nr_accesses)| **nr_accesses > 0);
    accessed.map(|((&start, &end), _)| start..end)
}

/// Adds the selected regions of a snapshot.
fn add(to: &mut Vec<Region>, selection: &Selection, snapshot: &SnapshotView<'_>, ages: &[u32]) {
    let target = snapshot.target;
    let bounds = snapshot.starts.iter().zip(snapshot.ends);
    let rows = bounds.zip(snapshot.nr_accesses).zip(ages);
    let ends = snapshot.starts.first().zip(snapshot.ends.last());
    if ends.is_none_or(|(start, end)| selection.address.covers(target, *start, *end)) {
        let region =
            |(((&start, &end), &nr_accesses), &age)| Region { start, end, nr_accesses, age };
        to.extend(rows.map(region));
        return;
    }
    for (((&start, &end), &nr_accesses), &age) in rows {
        let pieces = selection.pieces(target, start, end);
        to.extend(pieces.map(|p| Region { start: p.start, end: p.end, nr_accesses, age }));
    }
}

#[cfg(test)]
mod tests;
