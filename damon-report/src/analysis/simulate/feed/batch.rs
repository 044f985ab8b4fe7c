//! Moments: some snapshots that belong together, and what they weigh.

use crate::analysis::num::float;
use damon_format::{Region, Sampling, TargetId};
use std::ops::Range;

/// A snapshot takes as much memory as so many regions, beside its own.
const HEAD: usize = 3;

/// One target's part of a moment.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) target: TargetId,
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) sampling: Sampling,
    /// Where its regions are.
    pub(super) regions: Range<usize>,
    /// Where it is told what was accessed anywhere; `None` where all addresses are selected, and the regions tell.
    pub(super) accessed: Option<Range<usize>>,
}

/// A snapshot whose regions are elsewhere.
#[derive(Clone, Copy, Debug)]
pub(in crate::analysis::simulate) struct Shot<'b> {
    pub(in crate::analysis::simulate) target: TargetId,
    pub(in crate::analysis::simulate) sampling: Sampling,
    /// How long it took, as far as selected.
    pub(in crate::analysis::simulate) length_ns: u64,
    pub(in crate::analysis::simulate) regions: &'b [Region],
    accessed: Option<&'b [Range<u64>]>,
}

/// Some moments that follow one another.
#[derive(Debug, Default)]
pub(in crate::analysis::simulate) struct Batch {
    pub(super) regions: Vec<Region>,
    pub(super) accessed: Vec<Range<u64>>,
    pub(super) heads: Vec<Head>,
    /// Of each moment.
    ends: Vec<End>,
}

/// Where a moment ends.
#[derive(Clone, Copy, Debug)]
struct End {
    /// Behind its last head.
    heads: usize,
    observed_ns: u64,
}

/// A snapshot of each of some targets.
#[derive(Clone, Copy, Debug)]
pub(in crate::analysis::simulate) struct Moment<'b> {
    /// Ascending by target; at least one.
    heads: &'b [Head],
    observed_ns: u64,
    batch: &'b Batch,
}

impl Batch {
    /// Its moments in their order.
    pub(in crate::analysis::simulate) fn moments(&self) -> impl Iterator<Item = Moment<'_>> {
        let mut from = 0;
        self.ends.iter().map(move |end| {
            let heads = self.heads.get(from..end.heads).unwrap_or_default();
            from = end.heads;
            Moment { heads, observed_ns: end.observed_ns, batch: self }
        })
    }

    pub(super) fn clear(&mut self) {
        self.regions.clear();
        self.accessed.clear();
        self.heads.clear();
        self.ends.clear();
    }

    /// What it takes, in regions.
    pub(super) fn cost(&self) -> usize {
        let heads = self.heads.len().saturating_mul(HEAD);
        self.regions.len().saturating_add(self.accessed.len()).saturating_add(heads)
    }

    /// Adds a snapshot of another one.
    pub(super) fn copy(&mut self, head: &Head, from: &Self) {
        let (begin, told) = (self.regions.len(), self.accessed.len());
        self.regions.extend_from_slice(from.regions.get(head.regions.clone()).unwrap_or_default());
        let accessed = head.accessed.clone().map(|range| {
            self.accessed.extend_from_slice(from.accessed.get(range).unwrap_or_default());
            told..self.accessed.len()
        });
        self.heads.push(Head { regions: begin..self.regions.len(), accessed, ..*head });
    }

    /// Behind its last region, and what was accessed anywhere.
    pub(super) fn end(&self) -> (usize, usize) {
        (self.regions.len(), self.accessed.len())
    }

    pub(super) fn truncate(&mut self, (heads, (regions, accessed)): (usize, (usize, usize))) {
        self.heads.truncate(heads);
        self.regions.truncate(regions);
        self.accessed.truncate(accessed);
    }

    /// Whether any moment has ended.
    pub(super) fn has_moments(&self) -> bool {
        !self.ends.is_empty()
    }

    /// The heads of the moment that has not ended.
    pub(super) fn open(&self) -> &[Head] {
        let from = self.ends.last().map_or(0, |end| end.heads);
        self.heads.get(from..).unwrap_or_default()
    }

    pub(super) fn end_moment(&mut self, observed_ns: u64) {
        self.ends.push(End { heads: self.heads.len(), observed_ns });
    }
}

impl<'b> Shot<'b> {
    /// What was accessed, at selected addresses and others, ascending.
    pub(in crate::analysis::simulate) fn accessed(
        &self,
    ) -> impl Iterator<Item = Range<u64>> + use<'b> {
        let regions = if self.accessed.is_none() { self.regions } else { &[] };
        let regions = regions.iter().filter(|region| region.nr_accesses > 0);
        let anywhere = self.accessed.unwrap_or_default().iter().cloned();
        anywhere.chain(regions.map(|region| region.start..region.end))
    }
}

impl<'b> Moment<'b> {
    /// Its snapshots, ascending by target.
    pub(in crate::analysis::simulate) fn shots(
        &self,
    ) -> impl Iterator<Item = Shot<'b>> + Clone + use<'b> {
        let batch = self.batch;
        self.heads.iter().map(move |head| Shot {
            target: head.target,
            sampling: head.sampling,
            length_ns: head.end_ns.saturating_sub(head.start_ns),
            regions: batch.regions.get(head.regions.clone()).unwrap_or_default(),
            accessed: head.accessed.clone().and_then(|range| batch.accessed.get(range)),
        })
    }

    /// The scale of its counters: that of the first snapshot.
    pub(in crate::analysis::simulate) fn sampling(&self) -> Sampling {
        self.heads.first().map_or(Sampling::from_intervals(0, 0), |first| first.sampling)
    }

    /// From the earliest begin to the latest end.
    pub(in crate::analysis::simulate) fn time(&self) -> Range<u64> {
        time(self.heads)
    }

    /// The time of it that was in no moment before: where targets do not go in step, moments overlap.
    pub(in crate::analysis::simulate) fn observed_ns(&self) -> u64 {
        self.observed_ns
    }
}

pub(super) fn time(heads: &[Head]) -> Range<u64> {
    let start = heads.iter().map(|head| head.start_ns).min().unwrap_or(0);
    start..heads.iter().map(|head| head.end_ns).max().unwrap_or(0)
}

/// byte ns of bytes and of how long each was there. What was there equally long is added up in whole bytes.
pub(in crate::analysis::simulate) fn byte_time(list: impl Iterator<Item = (u64, u64)>) -> f64 {
    let (mut sum, mut bytes, mut length_ns) = (0.0, 0_u64, 0);
    for (more, ns) in list {
        if ns != length_ns {
            sum += float(bytes) * float(length_ns);
            (bytes, length_ns) = (0, ns);
        }
        bytes = bytes.saturating_add(more);
    }
    sum + float(bytes) * float(length_ns)
}
