//! The moments of a recording in their order, decoded ahead of whoever takes them.

use crate::analysis::load::Trace;
use crate::analysis::select::Selection;
use crate::analysis::together::together;
use damon_format::{
    BlockEntry, Damage, Record, Region, Sampling, Snapshot, SnapshotView, TargetId, Visitor,
};
use rayon::prelude::*;
use std::ops::Range;

/// A snapshot of each of some targets.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// Ascending by target; at least one.
    pub(super) snapshots: Vec<Snapshot>,
    /// Of each of them, what was accessed anywhere; empty where all addresses are selected, and the snapshots tell.
    anywhere: Vec<Vec<Range<u64>>>,
}

impl Moment {
    /// The scale of its counters: that of the first snapshot.
    pub(super) fn sampling(&self) -> Sampling {
        self.snapshots.first().map_or(Sampling::from_intervals(0, 0), |first| first.sampling)
    }

    /// From the earliest begin to the latest end.
    pub(super) fn time(&self) -> Range<u64> {
        let start = self.snapshots.iter().map(|s| s.start_ns).min().unwrap_or(0);
        start..self.snapshots.iter().map(|s| s.end_ns).max().unwrap_or(0)
    }

    /// The regions of the `index`-th snapshot that were accessed, at selected addresses and others, ascending.
    pub(super) fn accessed(&self, index: usize) -> impl Iterator<Item = Range<u64>> {
        let anywhere = self.anywhere.get(index).into_iter().flatten().cloned();
        let selected = self.snapshots.get(index).filter(|_| self.anywhere.is_empty());
        let regions = selected.into_iter().flat_map(|snapshot| &snapshot.regions);
        let regions = regions.filter(|region| region.nr_accesses > 0);
        anywhere.chain(regions.map(|region| region.start..region.end))
    }
}

/// Hands over all selected moments, some at a time, while the next ones are decoded. Returns how many snapshots were left
/// out, because they have no ages.
pub(super) fn feed(
    trace: &Trace,
    selection: &Selection,
    mut take: impl FnMut(&[Moment]) + Send,
) -> u64 {
    let blocks = trace.blocks().iter().filter(|b| b.snapshots > 0 && selection.overlaps(b));
    let blocks: Vec<&BlockEntry> = blocks.collect();
    let mut waiting = Waiting::default();
    let mut ready: Vec<Moment> = Vec::new();
    for some in blocks.chunks(rayon::current_num_threads().max(1)) {
        let decode = || -> Vec<Part<'_>> {
            some.par_iter().map(|block| Part::decode(trace, selection, block)).collect()
        };
        let ((), parts) = rayon::join(|| take(&ready), decode);
        ready.clear();
        for part in parts {
            waiting.without_ages += part.without_ages;
            waiting.seen.extend(part.seen);
            // The next block may hold other targets' snapshots of the last moments.
            waiting.release(2, &mut ready);
        }
    }
    waiting.release(0, &mut ready);
    take(&ready);
    waiting.without_ages
}

/// A snapshot, and what was accessed anywhere if it holds selected addresses alone.
struct Seen {
    snapshot: Snapshot,
    anywhere: Option<Vec<Range<u64>>>,
}

/// Snapshots whose moments may not be complete.
#[derive(Default)]
struct Waiting {
    seen: Vec<Seen>,
    without_ages: u64,
}

impl Waiting {
    /// Gives all moments away but the last `keep`.
    fn release(&mut self, keep: usize, to: &mut Vec<Moment>) {
        let times: Vec<(TargetId, Range<u64>)> = self
            .seen
            .iter()
            .map(|s| &s.snapshot)
            .map(|s| (s.target, s.start_ns..s.end_ns))
            .collect();
        let moments = together(&times);
        let ready = moments.len().saturating_sub(keep);
        let mut taken: Vec<Option<Seen>> = self.seen.drain(..).map(Some).collect();
        for moment in moments.iter().take(ready) {
            let mut all: Vec<Seen> =
                moment.iter().filter_map(|i| taken.get_mut(*i).and_then(Option::take)).collect();
            all.sort_by_key(|seen| seen.snapshot.target);
            let anywhere = all.iter_mut().filter_map(|seen| seen.anywhere.take()).collect();
            let snapshots = all.into_iter().map(|seen| seen.snapshot).collect();
            to.push(Moment { snapshots, anywhere });
        }
        self.seen.extend(taken.into_iter().flatten());
    }
}

/// The snapshots of a block.
struct Part<'s> {
    selection: &'s Selection,
    /// All addresses are selected.
    is_all: bool,
    seen: Vec<Seen>,
    without_ages: u64,
}

impl<'s> Part<'s> {
    fn decode(trace: &Trace, selection: &'s Selection, block: &BlockEntry) -> Self {
        let is_all = selection.address.is_all();
        let mut part = Self { selection, is_all, seen: Vec::new(), without_ages: 0 };
        let _known: Result<(), Damage> = trace.visit_block(block, &mut part);
        part
    }
}

impl Visitor for Part<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        let selection = self.selection;
        if !selection.has_snapshot(snapshot) {
            return;
        }
        let Some(ages) = snapshot.ages else {
            self.without_ages += 1;
            return;
        };
        let mut regions = Vec::with_capacity(snapshot.len());
        let bounds = snapshot.starts.iter().zip(snapshot.ends);
        for (((&start, &end), &nr_accesses), &age) in bounds.zip(snapshot.nr_accesses).zip(ages) {
            let pieces = selection.pieces(snapshot.target, start, end);
            regions.extend(pieces.map(|p| Region { start: p.start, end: p.end, nr_accesses, age }));
        }
        let bounds = snapshot.starts.iter().zip(snapshot.ends).zip(snapshot.nr_accesses);
        let accessed = bounds.filter(|(_, nr_accesses)| **nr_accesses > 0);
        let accessed = accessed.map(|((&start, &end), _)| start..end);
        let anywhere = (!self.is_all).then(|| accessed.collect());
        let snapshot = Snapshot::new(
            snapshot.target,
            snapshot.start_ns.max(selection.time.start),
            snapshot.end_ns.min(selection.time.end),
            snapshot.sampling,
            regions,
        );
        self.seen.push(Seen { snapshot, anywhere });
    }

    fn record(&mut self, _record: Record) {}
}
