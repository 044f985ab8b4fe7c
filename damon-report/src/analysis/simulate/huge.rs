//! Huge pages that `hugepage` and `collapse` would have made, and whether they were worth it.

use crate::analysis::num::float;
use crate::analysis::spans::SpanSet;
use damon_format::damos::kernel::Action;
use damon_format::{Region, TargetId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// Size of a huge page, bytes.
pub(super) const BLOCK: u64 = 2 << 20;

/// What came of it; levels are those at the ends of aggregations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct HugeOutcome {
    /// Size of a huge page, bytes.
    pub page: u64,
    /// Bytes in huge pages, mean over time.
    pub mean: f64,
    /// Most at one time.
    pub most: u64,
    /// At the end.
    pub end: u64,
    /// Number of huge pages, mean over time.
    pub pages: f64,
    /// Most at one time.
    pub pages_most: u64,
    /// At the end.
    pub pages_end: u64,
    /// Of [`mean`](Self::mean), bytes in regions that were accessed in the aggregation.
    pub hot: f64,
    /// Of that, weighted with the access rate: a lower estimate.
    pub hot_expected: f64,
    /// Bytes in huge pages of which no access was recorded up to then, mean: what the program would not have had pages for
    /// if it never had used them before the recording either.
    pub bloat: f64,
    /// Most at one time.
    pub bloat_most: u64,
}

#[derive(Clone, Debug, Default)]
struct Advised {
    /// What was advised.
    huge: SpanSet,
    /// What was accessed since the recording began.
    accessed: SpanSet,
}

/// Follows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Huge {
    targets: BTreeMap<TargetId, Advised>,
    time: f64,
    sums: HugeOutcome,
}

impl Huge {
    /// Whether an action is about huge pages.
    pub(super) fn is_about(action: Action) -> bool {
        matches!(action, Action::Hugepage | Action::Nohugepage | Action::Collapse)
    }

    /// An action is applied to mapped memory.
    pub(super) fn apply(&mut self, action: Action, target: TargetId, range: Range<u64>) {
        let advised = &mut self.targets.entry(target).or_default().huge;
        match action {
            Action::Hugepage | Action::Collapse => advised.insert(range),
            Action::Nohugepage => advised.remove(&range),
            _ => {}
        }
    }

    /// A moment, after schemes have acted; returns the bytes in huge pages. `most` samples in an aggregation.
    pub(super) fn moment(
        &mut self,
        moment: &[(TargetId, impl AsRef<[Region]>)],
        most: u32,
        length_ns: u64,
    ) -> f64 {
        let time = float(length_ns);
        for (target, regions) in moment {
            let state = self.targets.entry(*target).or_default();
            let mut at = 0;
            for region in regions.as_ref() {
                // What is not monitored any more is gone.
                state.forget(&(at..region.start));
                at = region.end;
                if region.nr_accesses > 0 {
                    state.accessed.insert(region.start..region.end);
                }
            }
            state.forget(&(at..u64::MAX));
        }
        let (mut bytes, mut bloat) = (0_u64, 0_u64);
        let (mut hot, mut expected) = (0.0, 0.0);
        for (target, state) in &self.targets {
            let regions =
                moment.iter().find(|(t, _)| t == target).map_or(&[][..], |(_, r)| r.as_ref());
            for block in state.huge.ranges().map(|range| whole_blocks(&range)) {
                let size = block.end.saturating_sub(block.start);
                let accessed =
                    state.accessed.within(&block).map(|part| part.end.saturating_sub(part.start));
                bytes = bytes.saturating_add(size);
                bloat = bloat.saturating_add(size.saturating_sub(accessed.sum()));
                let behind = regions.partition_point(|region| region.end <= block.start);
                let inside = regions.iter().skip(behind).take_while(|r| r.start < block.end);
                for region in inside.filter(|region| region.nr_accesses > 0) {
                    let end = region.end.min(block.end);
                    let overlap = end.saturating_sub(region.start.max(block.start));
                    let rate = f64::from(region.nr_accesses) / f64::from(most.max(1));
                    hot += float(overlap);
                    expected += float(overlap) * rate.min(1.0);
                }
            }
        }
        self.time += time;
        let sums = &mut self.sums;
        sums.mean += float(bytes) * time;
        sums.bloat += float(bloat) * time;
        sums.hot += hot * time;
        sums.hot_expected += expected * time;
        sums.most = sums.most.max(bytes);
        sums.bloat_most = sums.bloat_most.max(bloat);
        sums.end = bytes;
        float(bytes)
    }

    pub(super) fn forget(&mut self, target: TargetId) {
        self.targets.remove(&target);
    }

    pub(super) fn finish(self) -> HugeOutcome {
        let time = if self.time > 0.0 { self.time } else { 1.0 };
        let sums = self.sums;
        HugeOutcome {
            page: BLOCK,
            mean: sums.mean / time,
            pages: sums.mean / time / float(BLOCK),
            pages_most: sums.most / BLOCK,
            pages_end: sums.end / BLOCK,
            hot: sums.hot / time,
            hot_expected: sums.hot_expected / time,
            bloat: sums.bloat / time,
            ..sums
        }
    }
}

impl Advised {
    fn forget(&mut self, range: &Range<u64>) {
        self.huge.remove(range);
        self.accessed.remove(range);
    }
}

/// The aligned blocks that lie wholly in a range, as one range.
fn whole_blocks(range: &Range<u64>) -> Range<u64> {
    let start = range.start.checked_next_multiple_of(BLOCK).unwrap_or(range.end);
    let end = range.end - range.end % BLOCK;
    start.min(end)..end
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact in binary")]
mod tests {
    use super::*;

    const T: TargetId = TargetId(3);

    #[test]
    fn huge_pages_are_whole_aligned_blocks_and_bloat_is_what_was_never_accessed() {
        let mib = |n: u64| n << 20;
        let region = |start, end, nr_accesses| Region {
            start: mib(start),
            end: mib(end),
            nr_accesses,
            age: 0,
        };
        let mut huge = Huge::default();
        // 1..9 and 9..12 MiB: the blocks 2..12. Of these 2..4 are accessed in half of the samples.
        huge.apply(Action::Hugepage, T, mib(1)..mib(9));
        huge.apply(Action::Collapse, T, mib(9)..mib(12));
        let first = vec![(T, vec![region(0, 4, 10), region(4, 20, 0)])];
        assert_eq!(huge.moment(&first, 20, 1), float(mib(10)));
        // 2..4 becomes cold and keeps having been accessed; 5..6 is taken apart and with it its block.
        huge.apply(Action::Nohugepage, T, mib(5)..mib(6));
        let second = vec![(T, vec![region(0, 20, 0)])];
        assert_eq!(huge.moment(&second, 20, 2), float(mib(8)));
        // Everything but 10..20 is unmapped.
        assert_eq!(huge.moment(&[(T, vec![region(10, 20, 20)])], 20, 1), float(mib(2)));
        let found = huge.finish();
        assert_eq!((found.mean, found.most, found.end), (float(mib(28)) / 4.0, mib(10), mib(2)));
        assert_eq!((found.pages, found.pages_most, found.pages_end), (3.5, 5, 1));
        // 2 MiB in the first, none in the second, 2 MiB in the third.
        assert_eq!(found.hot, float(mib(4)) / 4.0);
        assert_eq!(found.hot_expected, float(mib(3)) / 4.0);
        // 8 of 10, 6 of 8 for twice as long, 0 of 2.
        assert_eq!((found.bloat, found.bloat_most), (float(mib(8 + 12)) / 4.0, mib(8)));
        assert_eq!(whole_blocks(&(5..6)), 0..0, "none");
        assert!(whole_blocks(&(u64::MAX - 5..u64::MAX)).is_empty());
    }
}
