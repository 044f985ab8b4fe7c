//! How many samples stand behind a merged region: what a window's regions were made of, as far as the snapshot
//! before tells.
//!
//! A snapshot shows regions after merging. They are cut before the next window, each at a random tenth, sampled part by
//! part, and merged again where counts are alike. Whatever border the snapshot before had was still there while
//! the window was sampled; so a region that reaches over such borders was sampled in that many parts at least.
//! That all regions were cut besides shows in any border inside a region of before: regions are cut all at once or
//! not at all. Cuts that were merged away again leave no trace, but for them the mean over all places will do.
//!
//! What is not known is taken as not divided, which makes intervals wider, not narrower: the first snapshot of a block, one
//! that does not follow its predecessor without a gap, cuts into three, and memory that was not monitored before.

use super::num::float;
use damon_format::{SnapshotView, TargetId};
use std::collections::BTreeMap;

/// The sum of the squared parts of a region of size 1 that is cut at a random tenth: the mean of
/// `x² + (1−x)²` over x = 0.1, 0.2 … 0.9.
const CUT: f64 = 19.0 / 30.0;

/// Regions of up to two pages are not cut; no page is smaller than this.
const PAGE: u64 = 4096;

/// Follows the regions of each target from snapshot to snapshot.
#[derive(Debug, Default)]
pub struct Lineage {
    targets: BTreeMap<TargetId, Borders>,
    parts: Vec<f64>,
    counts: Vec<u32>,
}

/// What the regions of a snapshot were made of, in their order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Made<'a> {
    /// Of how many equal parts, sampled each for itself; at least 1. For unequal parts it is the number of equal ones that would tell as
    /// much: the squared size over the sum of the squared sizes of the parts.
    pub parts: &'a [f64],
    /// Of how many parts, whatever their sizes.
    pub counts: &'a [u32],
}

#[derive(Debug, Default)]
struct Borders {
    end_ns: u64,
    starts: Vec<u64>,
    ends: Vec<u64>,
}

impl Lineage {
    /// For each region of the target's next snapshot, of what it was made at least; of one part where that is not known.
    pub fn follow(&mut self, snapshot: &SnapshotView<'_>) -> Made<'_> {
        self.parts.clear();
        self.counts.clear();
        let before = self.targets.entry(snapshot.target).or_default();
        if before.end_ns == snapshot.start_ns && !before.starts.is_empty() {
            before.divide(snapshot.starts, snapshot.ends, &mut self.parts, &mut self.counts);
        } else {
            self.parts.resize(snapshot.starts.len(), 1.0);
            self.counts.resize(snapshot.starts.len(), 1);
        }
        before.end_ns = snapshot.end_ns;
        before.starts.clear();
        before.starts.extend_from_slice(snapshot.starts);
        before.ends.clear();
        before.ends.extend_from_slice(snapshot.ends);
        Made { parts: &self.parts, counts: &self.counts }
    }
}

impl Borders {
    /// The regions that end after `address`, which does not descend from call to call.
    fn from<'a>(
        &'a self,
        first: &mut usize,
        address: u64,
    ) -> impl Iterator<Item = (u64, u64)> + Clone + 'a {
        while self.ends.get(*first).is_some_and(|end| *end <= address) {
            *first += 1;
        }
        let rest = (self.starts.get(*first..), self.ends.get(*first..));
        let (starts, ends) = (rest.0.unwrap_or_default(), rest.1.unwrap_or_default());
        starts.iter().copied().zip(ends.iter().copied())
    }

    /// Whether one of `starts` lies inside a region.
    fn were_cut(&self, starts: &[u64]) -> bool {
        let mut first = 0;
        starts.iter().any(|start| {
            self.from(&mut first, *start).next().is_some_and(|(before, _)| before < *start)
        })
    }

    fn divide(&self, starts: &[u64], ends: &[u64], parts: &mut Vec<f64>, counts: &mut Vec<u32>) {
        let cut = self.were_cut(starts);
        let mut first = 0;
        parts.extend(starts.iter().zip(ends).map(|(&start, &end)| {
            let size = end.saturating_sub(start);
            let mut around = self.from(&mut first, start);
            if let Some((from, to)) = around.clone().next()
                && from <= start
                && end <= to
                && !(cut && from == start && end == to && size > 2 * PAGE)
            {
                // A part of a region, or one that was not cut: it was sampled as one.
                counts.push(1);
                return 1.0;
            }
            let (mut known, mut squares, mut count) = (0, 0.0, 0_u32);
            while let Some((from, to)) = around.next().filter(|(from, _)| *from < end) {
                let shared = to.min(end).saturating_sub(from.max(start));
                known = shared.saturating_add(known);
                let whole = start <= from && to <= end;
                let was_cut = cut && whole && shared > 2 * PAGE;
                squares += float(shared) * float(shared) * if was_cut { CUT } else { 1.0 };
                count = count.saturating_add(1 + u32::from(was_cut));
            }
            let parts = float(size) * float(size) / squares;
            let is_known = known == size && parts > 1.0;
            counts.push(if is_known { count } else { 1 });
            if is_known { parts } else { 1.0 }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::Sampling;
    use proptest::prelude::*;

    const K: u64 = 100 * PAGE;

    /// Of one snapshot after the other, each with its start, its end and the borders of its regions.
    fn followed(list: &[(u64, u64, &[u64])]) -> Vec<Vec<f64>> {
        let mut lineage = Lineage::default();
        let follow = |&(start_ns, end_ns, borders): &(u64, u64, &[u64])| {
            let borders: Vec<u64> = borders.iter().map(|border| border * K).collect();
            let (starts, ends) = (&borders[..borders.len() - 1], &borders[1..]);
            let view = SnapshotView {
                target: TargetId(1),
                start_ns,
                end_ns,
                sampling: Sampling::from_intervals(5_000, 100_000),
                starts,
                ends,
                nr_accesses: &vec![0; starts.len()],
                ages: None,
                probes: &[],
            };
            lineage.follow(&view).parts.to_vec()
        };
        list.iter().map(follow).collect()
    }

    fn near(found: &[f64], expected: &[f64]) {
        let same = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(same && found.len() == expected.len(), "{found:?} is not {expected:?}");
    }

    #[test]
    fn borders_that_went_were_there_during_the_window() {
        // 0..10 and 10..30 became one; nothing new shows, so that nothing was cut as far as one can tell.
        let all = followed(&[(0, 9, &[0, 10, 30, 40]), (9, 18, &[0, 30, 40])]);
        near(&all[0], &[1.0, 1.0, 1.0]);
        near(&all[1], &[900.0 / 500.0, 1.0]);
    }

    #[test]
    fn one_new_border_shows_that_everything_was_cut() {
        let all = followed(&[(0, 9, &[0, 10, 20, 40]), (9, 18, &[0, 10, 20, 26, 40])]);
        near(&all[1], &[1.0 / CUT, 1.0 / CUT, 1.0, 1.0]);
        // A part of a region that was cut, and a whole one.
        let all = followed(&[(0, 9, &[0, 10, 30]), (9, 18, &[0, 4, 30])]);
        near(&all[1], &[1.0, 26.0 * 26.0 / (36.0 + 400.0 * CUT)]);
    }

    #[test]
    fn what_is_not_known_is_not_divided() {
        let before: &[u64] = &[0, 10, 20];
        near(&followed(&[(0, 9, before), (10, 18, &[0, 20])])[1], &[1.0]);
        near(&followed(&[(0, 9, before), (9, 18, &[0, 21])])[1], &[1.0]);
        near(&followed(&[(0, 9, before), (9, 18, &[30, 40])])[1], &[1.0]);
        near(&followed(&[(0, 9, before), (9, 18, &[0, 20]), (18, 27, &[0, 20])])[2], &[1.0]);
    }

    /// The rule without any short cut.
    fn plainly(before: &[(u64, u64)], now: &[(u64, u64)]) -> (Vec<f64>, Vec<u32>) {
        let inside = |at: u64| before.iter().any(|&(from, to)| from < at && at < to);
        let cut = now.iter().any(|&(start, _)| inside(start));
        let parts = |&(start, end): &(u64, u64)| {
            let (mut known, mut squares, mut count) = (0, 0.0, 0);
            for &(from, to) in before.iter().filter(|&&(from, to)| from < end && start < to) {
                let size = to.min(end) - from.max(start);
                let was_cut = cut && start <= from && to <= end && size > 2 * PAGE;
                known += size;
                count += if was_cut { 2 } else { 1 };
                squares += float(size) * float(size) * if was_cut { CUT } else { 1.0 };
            }
            let parts = float(end - start) * float(end - start) / squares;
            if known == end - start { (parts.max(1.0), count) } else { (1.0, 1) }
        };
        now.iter().map(parts).unzip()
    }

    /// Regions of a few pages, most of them with others beside them.
    fn regions() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let region = (prop_oneof![4 => Just(0_u64), 1 => 1..4_u64], 1..7_u64);
        prop::collection::vec(region, 1..20).prop_map(|list| {
            let mut at = 0;
            let place = |(gap, size): (u64, u64)| {
                let start = at + gap * PAGE;
                at = start + size * PAGE;
                (start, at)
            };
            list.into_iter().map(place).collect()
        })
    }

    proptest! {
        #[test]
        fn short_cuts_change_no_bit(before in regions(), now in regions()) {
            let (starts, ends): (Vec<u64>, Vec<u64>) = before.iter().copied().unzip();
            let borders = Borders { end_ns: 0, starts, ends };
            let (starts, ends): (Vec<u64>, Vec<u64>) = now.iter().copied().unzip();
            let (mut found, mut counts) = (Vec::new(), Vec::new());
            borders.divide(&starts, &ends, &mut found, &mut counts);
            let bits = |list: Vec<f64>| list.into_iter().map(f64::to_bits).collect::<Vec<_>>();
            let (plain, plain_counts) = plainly(&before, &now);
            prop_assert_eq!((bits(found), counts), (bits(plain), plain_counts));
        }
    }

    #[test]
    fn targets_do_not_mix() {
        let mut lineage = Lineage::default();
        let view = |target, start_ns, starts, ends| SnapshotView {
            target: TargetId(target),
            start_ns,
            end_ns: start_ns + 9,
            sampling: Sampling::from_intervals(5_000, 100_000),
            starts,
            ends,
            nr_accesses: &[0, 0],
            ages: None,
            probes: &[],
        };
        near(lineage.follow(&view(1, 0, &[0, K], &[K, 2 * K])).parts, &[1.0, 1.0]);
        near(lineage.follow(&view(2, 9, &[0], &[2 * K])).parts, &[1.0]);
        near(lineage.follow(&view(1, 9, &[0], &[2 * K])).parts, &[2.0]);
    }

    #[test]
    fn regions_in_disorder_are_no_reason_to_fail() {
        let mut lineage = Lineage::default();
        for (start_ns, starts, ends) in [
            (0, [50, 0, 7], [10, u64::MAX, 7]),
            (9, [u64::MAX, 3, 0], [0, 9, u64::MAX]),
            (18, [0, 0, 0], [u64::MAX, u64::MAX, u64::MAX]),
        ] {
            let view = SnapshotView {
                target: TargetId(1),
                start_ns,
                end_ns: start_ns + 9,
                sampling: Sampling::from_intervals(5_000, 100_000),
                starts: &starts,
                ends: &ends,
                nr_accesses: &[0; 3],
                ages: None,
                probes: &[],
            };
            let made = lineage.follow(&view);
            assert!(made.counts.len() == 3 && made.counts.iter().all(|count| *count >= 1));
            let parts = made.parts;
            assert!(parts.iter().all(|parts| parts.is_finite() && *parts >= 1.0), "{parts:?}");
        }
    }
}
