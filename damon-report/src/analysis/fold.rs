//! Analyses as folds: what one looks at is handed over snapshot by snapshot, block by block in parallel, and put
//! together in the order of the blocks.

use super::load::Trace;
use super::select::Selection;
use damon_format::{Damage, Record, SnapshotView, Visitor};
use rayon::prelude::*;

/// Something that is computed from a stream of snapshots. Records are in the
/// [overview](super::overview::Overview::records).
///
/// Each block of a trace is given to an empty one of its own. They are merged from left to right in the order of the
/// blocks, so that the result does not depend on the number of threads, floating point included.
pub trait Fold: Send + Sized {
    /// Takes one snapshot; whether it is selected is the analysis' own business.
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>);

    /// Adds what was computed from the blocks that follow.
    fn merge(&mut self, later: Self);

    /// Whether it looks at ages; see [`Visitor::wants_ages`].
    fn wants_ages(&self) -> bool {
        true
    }
}

/// Two analyses in one pass; pairs of pairs make more.
impl<A: Fold, B: Fold> Fold for (A, B) {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.0.snapshot(snapshot);
        self.1.snapshot(snapshot);
    }

    fn merge(&mut self, later: Self) {
        self.0.merge(later.0);
        self.1.merge(later.1);
    }

    fn wants_ages(&self) -> bool {
        self.0.wants_ages() || self.1.wants_ages()
    }
}

/// Any number of analyses of one kind in one pass.
impl<F: Fold> Fold for Vec<F> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        for one in self {
            one.snapshot(snapshot);
        }
    }

    fn merge(&mut self, later: Self) {
        for (mine, theirs) in self.iter_mut().zip(later) {
            mine.merge(theirs);
        }
    }

    fn wants_ages(&self) -> bool {
        self.iter().any(Fold::wants_ages)
    }
}

/// An analysis that may not be wanted.
impl<F: Fold> Fold for Option<F> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if let Some(one) = self {
            one.snapshot(snapshot);
        }
    }

    fn merge(&mut self, later: Self) {
        if let (Some(mine), Some(theirs)) = (self, later) {
            mine.merge(theirs);
        }
    }

    fn wants_ages(&self) -> bool {
        self.as_ref().is_some_and(Fold::wants_ages)
    }
}

struct Hand<F>(F);

impl<F: Fold> Visitor for Hand<F> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.0.snapshot(snapshot);
    }

    fn wants_ages(&self) -> bool {
        self.0.wants_ages()
    }

    fn record(&mut self, _record: Record) {}
}

/// Blocks that a thread may be ahead of the others by; more would only cost memory.
pub(super) const AHEAD: usize = 4;

impl Trace {
    /// Computes something from all blocks that may hold data of the selection. Holds a few blocks' partial results
    /// at a time, whatever the length of the trace. Damage in blocks was named when the trace was
    /// [overviewed](super::overview::Overview::read); up to it everything is handed over.
    pub fn fold<F: Fold>(&self, selection: &Selection, make: impl Fn() -> F + Sync) -> F {
        let blocks = self.blocks().iter().filter(|b| b.snapshots > 0 && selection.overlaps(b));
        let blocks: Vec<_> = blocks.collect();
        let mut sum = make();
        for some in blocks.chunks(rayon::current_num_threads() * AHEAD) {
            let parts: Vec<F> = some
                .par_iter()
                .map(|block| {
                    let mut hand = Hand(make());
                    let _known: Result<(), Damage> = self.visit_block(block, &mut hand);
                    hand.0
                })
                .collect();
            for part in parts {
                sum.merge(part);
            }
        }
        sum
    }
}
