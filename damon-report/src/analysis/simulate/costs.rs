//! Where in the time of a block its regions are.

use crate::analysis::select::Selection;
use damon_format::{Record, SnapshotView, Visitor};
use std::collections::BTreeMap;
use std::ops::Range;

/// Times that are told apart, at most.
const CELLS: usize = 1 << 12;

/// A snapshot takes as much memory as so many regions, beside its own and what it tells of other addresses.
const HEAD: u64 = 3;

/// Regions by the time at which their snapshots begin.
#[derive(Debug)]
pub(super) struct Costs<'s> {
    selection: &'s Selection,
    /// Times take 2 to the power of this in nanoseconds.
    shift: u32,
    cells: BTreeMap<u64, u64>,
}

impl<'s> Costs<'s> {
    /// Nothing seen yet.
    pub(super) fn new(selection: &'s Selection) -> Self {
        Self { selection, shift: 0, cells: BTreeMap::new() }
    }

    fn add(&mut self, start_ns: u64, regions: u64) {
        let cell = self.cells.entry(start_ns >> self.shift).or_default();
        *cell = cell.saturating_add(regions);
        while self.cells.len() > CELLS {
            self.shift += 1;
            let mut wider: BTreeMap<u64, u64> = BTreeMap::new();
            for (index, regions) in std::mem::take(&mut self.cells) {
                let cell = wider.entry(index >> 1).or_default();
                *cell = cell.saturating_add(regions);
            }
            self.cells = wider;
        }
    }

    /// Times, ascending and without gaps, in each of which no more than so many regions begin; unless that is so in the shortest time that
    /// is told apart.
    pub(super) fn windows(&self, most: usize) -> Vec<Range<u64>> {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let (mut windows, mut from, mut sum) = (Vec::new(), 0, 0_u64);
        for (index, regions) in &self.cells {
            let start_ns = index << self.shift;
            if sum > 0 && sum.saturating_add(*regions) > most {
                windows.push(from..start_ns);
                (from, sum) = (start_ns, 0);
            }
            sum = sum.saturating_add(*regions);
        }
        windows.push(from..u64::MAX);
        windows
    }
}

impl Visitor for Costs<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if self.selection.has_snapshot(snapshot) && snapshot.ages.is_some() {
            let rows = u64::try_from(snapshot.len()).unwrap_or(u64::MAX);
            self.add(snapshot.start_ns, rows.saturating_add(HEAD));
        }
    }

    fn record(&mut self, _record: Record) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_hold_everything_once_and_not_too_much(
            list in prop::collection::vec((0_u64..1 << 40, 1_u64..100), 1..40),
        ) {
            let selection = Selection::everything();
            let mut costs = Costs::new(&selection);
            for (start, regions) in &list {
                costs.add(*start, *regions);
            }
            let windows = costs.windows(200);
            prop_assert_eq!(windows.first().map(|w| w.start), Some(0));
            prop_assert_eq!(windows.last().map(|w| w.end), Some(u64::MAX));
            prop_assert!(windows.windows(2).all(|pair| pair[0].end == pair[1].start));
            for window in &windows {
                let inside = list.iter().filter(|(start, _)| window.contains(start));
                prop_assert!(inside.map(|(_, regions)| regions).sum::<u64>() <= 200);
            }
        }
    }

    #[test]
    fn very_many_times_are_told_apart_coarsely() {
        let selection = Selection::everything();
        let mut costs = Costs::new(&selection);
        for i in 0..100_000 {
            costs.add((1 << 50) | (i * 1000), 10);
        }
        assert!(costs.cells.len() <= CELLS);
        let windows = costs.windows(50_000);
        assert!((20..25).contains(&windows.len()), "{windows:?}");
    }
}
