//! Percentiles of idle time as `damo report access --style recency-percentiles` computes them, for comparisons with it.
//!
//! It differs from [`idle`](super::idle) in three ways: it looks at one snapshot; a share of accesses is truncated to whole
//! per cent, so that what was seen in less than one sample of a hundred counts as idle; and a share of the bytes is summed up in floating-point per cent,
//! region by region from the shortest idle time on.

use super::fold::Fold;
use super::load::Trace;
use super::num::float;
use super::select::Selection;
use super::view::View;
use damon_format::{Attrs, SnapshotView, TargetId};
use serde::Serialize;
use std::collections::BTreeMap;

/// Percentiles that are told.
pub const PERCENTILES: [u32; 7] = [0, 1, 25, 50, 75, 99, 100];

/// Percentiles of one target's snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recency {
    /// Whose.
    pub target: TargetId,
    /// Begin of the snapshot.
    pub start_ns: u64,
    /// Its end.
    pub end_ns: u64,
    /// Per cent of the bytes, and the idle time of the region in which it is reached, microseconds.
    pub percentiles: Vec<(u32, u64)>,
}

impl View {
    /// Of the last snapshot of each target in the selected time.
    pub fn recency(&self, trace: &Trace) -> Vec<Recency> {
        let attrs = trace.info().attrs;
        let sum = trace.fold(&self.selection, || RecencySum {
            selection: &self.selection,
            attrs,
            last: BTreeMap::new(),
        });
        sum.last.into_values().collect()
    }
}

struct RecencySum<'a> {
    selection: &'a Selection,
    attrs: Attrs,
    last: BTreeMap<TargetId, Recency>,
}

impl Fold for RecencySum<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        let Attrs { sample_us, aggr_us, .. } = self.attrs;
        let samples = float(aggr_us) / float(sample_us.max(1));
        let mut regions: Vec<(u64, u64)> = Vec::with_capacity(snapshot.len());
        for region in snapshot.regions() {
            // Less than one after truncation.
            let idle = f64::from(region.nr_accesses) * 100.0 / samples < 1.0;
            let age_us = u64::from(region.age).saturating_mul(aggr_us);
            let idle_us = if idle { age_us.saturating_add(snapshot.sampling.aggr_us) } else { 0 };
            let pieces = self.selection.pieces(snapshot.target, region.start, region.end);
            regions.extend(pieces.map(|piece| (idle_us, piece.end - piece.start)));
        }
        let found = Recency {
            target: snapshot.target,
            start_ns: snapshot.start_ns,
            end_ns: snapshot.end_ns,
            percentiles: percentiles(regions),
        };
        self.last.insert(snapshot.target, found);
    }

    fn merge(&mut self, later: Self) {
        self.last.extend(later.last);
    }
}

/// Of idle times and sizes.
fn percentiles(mut regions: Vec<(u64, u64)>) -> Vec<(u32, u64)> {
    regions.sort_by_key(|(idle_us, _)| *idle_us);
    let total = regions.iter().fold(0_u64, |sum, (_, size)| sum.saturating_add(*size));
    let mut wanted = PERCENTILES.iter().copied().peekable();
    let longest_us = regions.last().map(|(idle_us, _)| *idle_us);
    let (mut share, mut found) = (0.0, Vec::new());
    for (idle_us, size) in regions {
        share += float(size) * 100.0 / float(total);
        while let Some(percent) = wanted.next_if(|percent| share >= f64::from(*percent)) {
            found.push((percent, idle_us));
        }
    }
    // The sum of all shares may be a rounding error short of 100.
    found.extend(wanted.filter_map(|percent| Some((percent, longest_us?))));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_whole_regions() {
        let found = percentiles(vec![(500, 25), (0, 25), (100, 50)]);
        let expected = [(0, 0), (1, 0), (25, 0), (50, 100), (75, 100), (99, 500), (100, 500)];
        assert_eq!(found, expected);
        assert!(percentiles(Vec::new()).is_empty());
    }

    #[test]
    fn all_bytes_are_100_per_cent_though_their_shares_add_up_to_less() {
        let sizes: Vec<u64> = (1..=100).map(|i| 4096 * (i * i % 37 + 1)).collect();
        let total = float(sizes.iter().sum());
        let shares =
            |sizes: &[u64]| sizes.iter().fold(0.0, |sum, s| sum + float(*s) * 100.0 / total);
        let short = (0..sizes.len()).find_map(|turn| {
            let mut turned = sizes.clone();
            turned.rotate_left(turn);
            (shares(&turned) < 100.0).then_some(turned)
        });
        let regions = (0..).zip(short.unwrap()).collect();
        assert_eq!(percentiles(regions).last(), Some(&(100, 99)));
    }
}
