//! A snapshot as a source tells it, before it is known whether the format can hold it.

use damon_format::layout::MAX_REGIONS;
use damon_format::{Region, SchemeStats};

/// The unit of the column of bytes that passed filters.
pub(super) const PASSED_UNIT: u64 = 4096;

/// What a source says of one target at the end of one aggregation. Its buffers are used again and again.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    /// Begin; `None` where the source does not tell it.
    pub(super) start_ns: Option<u64>,
    /// End.
    pub(super) end_ns: u64,
    /// Sampling interval of this very snapshot, microseconds, where the source tells it.
    pub(super) sample_us: Option<u64>,
    /// Statistics of the scheme that found the regions; their time is the snapshot's end.
    pub(super) stats: Option<SchemeStats>,
    /// True when the age of a region is not told.
    pub(super) ageless: bool,
    /// The regions in the source's order.
    pub(super) regions: Vec<Region>,
    /// For each region the bytes that passed the scheme's filters, in [`PASSED_UNIT`]; shorter than `regions` where
    /// the rest is 0.
    passed: Vec<u32>,
    /// Probe hits, a column each; shorter than `regions` where the rest is 0.
    hits: Vec<Vec<u32>>,
    disordered: bool,
    last_end: u64,
    /// What could not be taken.
    pub(super) refused: Refused,
}

/// What a trace cannot hold, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// Regions of no bytes.
    pub(super) empty: u64,
    /// Regions without a counter of accesses.
    pub(super) uncounted: u64,
    /// Regions that others cover in part or wholly.
    pub(super) overlapping: u64,
    /// Regions beyond the most that a snapshot can have.
    pub(super) too_many: u64,
    /// Counters larger than 2^32-1.
    pub(super) too_large: u64,
    /// Snapshots that end before they start, or before the one before them.
    pub(super) disordered: u64,
}

impl Refused {
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.empty, other.empty),
            (&mut self.uncounted, other.uncounted),
            (&mut self.overlapping, other.overlapping),
            (&mut self.too_many, other.too_many),
            (&mut self.too_large, other.too_large),
            (&mut self.disordered, other.disordered),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// Each kind that occurred, with a sentence.
    pub(super) fn sentences(&self) -> impl Iterator<Item = (u64, &'static str)> {
        [
            (self.empty, "regions of no bytes, left out"),
            (self.uncounted, "regions without a number of accesses, left out"),
            (self.overlapping, "regions that overlap with others, cut or left out"),
            (self.too_many, "regions beyond the most that a snapshot can hold, left out"),
            (self.too_large, "counters too large for the trace, cut to 4294967295"),
            (self.disordered, "snapshots that end before they start or go back in time, left out"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
    }
}

impl Draft {
    /// Makes room for the next snapshot.
    pub(super) fn clear(&mut self) {
        self.start_ns = None;
        self.end_ns = 0;
        self.sample_us = None;
        self.stats = None;
        self.ageless = false;
        self.regions.clear();
        self.passed.clear();
        self.hits.clear();
        self.disordered = false;
        self.last_end = 0;
        self.refused = Refused::default();
    }

    /// Adds a region; false when it is left out.
    #[inline]
    pub(super) fn region(&mut self, start: u64, end: u64, nr_accesses: u64, age: u64) -> bool {
        if end <= start {
            self.refused.empty = self.refused.empty.saturating_add(1);
            return false;
        }
        if self.regions.len() >= MAX_REGIONS {
            self.refused.too_many = self.refused.too_many.saturating_add(1);
            return false;
        }
        self.disordered |= start < self.last_end;
        self.last_end = end;
        let (nr_accesses, age) = (self.counter(nr_accesses), self.counter(age));
        self.regions.push(Region { start, end, nr_accesses, age });
        true
    }

    #[inline]
    fn counter(&mut self, value: u64) -> u32 {
        u32::try_from(value).unwrap_or_else(|_| {
            self.refused.too_large = self.refused.too_large.saturating_add(1);
            u32::MAX
        })
    }

    /// Bytes of the last region that passed the scheme's filters. damo writes them with three decimals; in
    /// whole pages small ones are exact again.
    #[inline]
    pub(super) fn passed(&mut self, bytes: u64) {
        if bytes > 0 {
            let pages = bytes.saturating_add(PASSED_UNIT / 2) / PASSED_UNIT;
            let pages = self.counter(pages);
            put(&mut self.passed, self.regions.len(), pages);
        }
    }

    /// Hits of a probe in the last region.
    pub(super) fn hits(&mut self, probe: usize, hits: u64) {
        let hits = self.counter(hits);
        if self.hits.len() <= probe {
            self.hits.resize(probe.saturating_add(1), Vec::new());
        }
        if let Some(column) = self.hits.get_mut(probe) {
            put(column, self.regions.len(), hits);
        }
    }

    /// Which further columns there is something in: passed bytes, and how many probes.
    pub(super) fn columns(&self) -> (bool, usize) {
        (!self.passed.is_empty(), self.hits.len())
    }

    /// Brings the regions into the order and within the limits of the format, and takes the further columns out:
    /// probes first, passed bytes after them.
    pub(super) fn settle(&mut self, (passed, probes): (bool, usize)) -> Vec<Vec<u32>> {
        let mut columns = std::mem::take(&mut self.hits);
        columns.resize(probes, Vec::new());
        if passed {
            columns.push(std::mem::take(&mut self.passed));
        }
        let most = MAX_REGIONS / columns.len().saturating_add(1);
        let surplus = self.regions.len().saturating_sub(most);
        self.refused.too_many = self.refused.too_many.saturating_add(surplus as u64);
        self.regions.truncate(most);
        for column in &mut columns {
            column.resize(self.regions.len(), 0);
        }
        if self.disordered {
            self.sort(&mut columns);
        }
        columns
    }

    fn sort(&mut self, columns: &mut [Vec<u32>]) {
        let mut order: Vec<(Region, usize)> = self.regions.iter().copied().zip(0_usize..).collect();
        order.sort_by_key(|(region, index)| (region.start, *index));
        let mut last_end = 0;
        order.retain_mut(|(region, _)| {
            if region.start < last_end {
                self.refused.overlapping = self.refused.overlapping.saturating_add(1);
                region.start = last_end;
            }
            let kept = region.start < region.end;
            last_end = last_end.max(region.end);
            kept
        });
        self.regions.clear();
        self.regions.extend(order.iter().map(|(region, _)| *region));
        for column in columns {
            let value = |(_, index): &(Region, usize)| column.get(*index).copied().unwrap_or(0);
            *column = order.iter().map(value).collect();
        }
    }
}

/// Sets the last of `count` values, those before it that were not set being 0.
fn put(column: &mut Vec<u32>, count: usize, value: u32) {
    column.resize(count, 0);
    if let Some(last) = column.last_mut() {
        *last = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disorder_and_overlap_are_put_right_with_their_columns() {
        let mut draft = Draft::default();
        assert!(draft.region(0x3000, 0x5000, 3, 30));
        draft.passed(8 << 20);
        assert!(draft.region(0x1000, 0x2000, 1, 10));
        draft.hits(1, 7);
        assert!(draft.region(0x1000, 0x4000, 2, 20));
        assert!(!draft.region(0x9000, 0x9000, 2, 20));
        assert!(draft.region(0x4000, 0x4800, 9, 9));
        let columns = draft.settle(draft.columns());
        let rows: Vec<_> = draft.regions.iter().map(|r| (r.start, r.end, r.nr_accesses)).collect();
        assert_eq!(rows, [(0x1000, 0x2000, 1), (0x2000, 0x4000, 2), (0x4000, 0x5000, 3)]);
        assert_eq!(columns, [vec![0, 0, 0], vec![7, 0, 0], vec![0, 0, 2048]]);
        assert_eq!((draft.refused.empty, draft.refused.overlapping), (1, 3));
    }

    #[test]
    fn numbers_that_do_not_fit_are_counted() {
        let mut draft = Draft::default();
        draft.region(0, 1, u64::MAX, 5);
        draft.passed(u64::MAX);
        assert_eq!(draft.regions[0].nr_accesses, u32::MAX);
        assert_eq!(draft.refused.too_large, 2);
    }
}
