//! Ageing, and merging of neighbours that look alike.

use super::region::MonitoredRegion;

/// Counts one more aggregation of an unchanged access pattern, or starts anew where it changed: by
/// more than `threshold`, or between "never accessed" and "accessed" (kernel 6.18 and later).
///
/// Call once per aggregation, before the first merge.
pub fn age(regions: &mut [MonitoredRegion], threshold: u32) {
    for region in regions {
        let (now, before) = (region.nr_accesses, region.last_nr_accesses);
        let changed = now.abs_diff(before) > threshold || (now == 0) != (before == 0);
        region.age = if changed { 0 } else { region.age.saturating_add(1) };
    }
}

/// What becomes of the fractions of means where regions merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// The sum is kept, and rounded to nearest once: a pass loses nothing on average.
    #[default]
    Once,
    /// Down at each merge, as the kernel does (`damon_merge_two_regions`), which loses up to one access each time and, where
    /// many parts of low rates merge, a tenth of the expected working set. It is here to judge what reports say of the kernel's
    /// recordings.
    EachMergeDown,
}

/// Merges each region into its left neighbour where the two touch, their `nr_accesses` differ by at
/// most `threshold`, and the result is not larger than `size_limit`.
///
/// Later neighbours are compared with the averaged values of what has been merged so far.
///
/// `nr_accesses` becomes the size-weighted mean of all that was merged, rounded as `rounding` says.
pub fn merge(
    regions: &mut Vec<MonitoredRegion>,
    threshold: u32,
    size_limit: u64,
    rounding: Rounding,
) {
    // Accesses times bytes of the left region, if it has absorbed others.
    let mut sum: Option<u128> = None;
    regions.dedup_by(|right, left| {
        let fits = left.end == right.start
            && left.nr_accesses.abs_diff(right.nr_accesses) <= threshold
            && right.end.saturating_sub(left.start) <= size_limit;
        sum = fits.then(|| {
            // Sizes add up to 64 bits at most, so that the sum takes 96.
            let total = sum.unwrap_or_else(|| accessed_bytes(left)) + accessed_bytes(right);
            absorb(left, right, total, rounding);
            total
        });
        if rounding == Rounding::EachMergeDown {
            sum = None;
        }
        fits
    });
}

/// Makes `left` cover `right` too; `total` is what both have seen, accesses times bytes. `age` becomes the
/// size-weighted mean, rounded down; `last_nr_accesses` stays that of the left one.
fn absorb(left: &mut MonitoredRegion, right: &MonitoredRegion, total: u128, rounding: Rounding) {
    left.age = weighted_mean(left.age, left.size(), right.age, right.size());
    left.end = right.end;
    let size = u128::from(left.size());
    let half = if rounding == Rounding::Once { size / 2 } else { 0 };
    let mean = (total + half).checked_div(size).and_then(|mean| u32::try_from(mean).ok());
    left.nr_accesses = mean.unwrap_or(left.nr_accesses);
}

fn accessed_bytes(region: &MonitoredRegion) -> u128 {
    u128::from(region.nr_accesses) * u128::from(region.size())
}

/// The next threshold while there are still too many regions: twice as much, `ceiling` (the largest
/// possible `nr_accesses`) once half of it is reached; `None` when `ceiling` was tried.
pub fn next_threshold(threshold: u32, ceiling: u32) -> Option<u32> {
    if threshold >= ceiling {
        None
    } else if threshold >= ceiling / 2 {
        Some(ceiling)
    } else {
        Some((threshold * 2).max(1))
    }
}

fn weighted_mean(a: u32, a_weight: u64, b: u32, b_weight: u64) -> u32 {
    let sum = u128::from(a) * u128::from(a_weight) + u128::from(b) * u128::from(b_weight);
    let weight = u128::from(a_weight) + u128::from(b_weight);
    sum.checked_div(weight).and_then(|mean| u32::try_from(mean).ok()).unwrap_or(a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn region(start: u64, end: u64, nr_accesses: u32) -> MonitoredRegion {
        MonitoredRegion { nr_accesses, ..MonitoredRegion::fresh(start, end) }
    }

    fn bounds(regions: &[MonitoredRegion]) -> Vec<(u64, u64)> {
        regions.iter().map(|r| (r.start, r.end)).collect()
    }

    #[test]
    fn two_regions_become_one_with_the_nearest_mean() {
        let left = MonitoredRegion { last_nr_accesses: 3, age: 9, ..region(0, 100, 10) };
        let right = MonitoredRegion { last_nr_accesses: 8, age: 2, ..region(100, 300, 20) };
        let mut regions = vec![left, right];
        merge(&mut regions, 10, 1000, Rounding::Once);
        let [one] = regions.as_slice() else { panic!("{regions:?}") };
        assert_eq!((one.start, one.end), (0, 300));
        assert_eq!(one.nr_accesses, 17, "16.67");
        assert_eq!(one.last_nr_accesses, 3);
        assert_eq!(one.age, (9 * 100 + 2 * 200) / 300);
    }

    #[test]
    fn many_merges_of_low_rates_lose_nothing() {
        let counts = [3, 1, 2, 3, 1, 2, 3, 1];
        let mut regions: Vec<_> = (0_u32..64)
            .map(|i| region(u64::from(i) * 10, u64::from(i) * 10 + 10, counts[i as usize % 8]))
            .collect();
        merge(&mut regions, 2, 1000, Rounding::Once);
        assert_eq!(regions.len(), 1);
        assert_eq!(regions[0].nr_accesses, 2);
    }

    #[test]
    fn rounding_down_at_each_merge_loses_what_the_kernel_loses() {
        let parts = |list: &[(u64, u32)]| -> Vec<MonitoredRegion> {
            let mut at = 0;
            let part = |&(size, nr_accesses): &(u64, u32)| {
                at += size;
                region(at - size, at, nr_accesses)
            };
            list.iter().map(part).collect()
        };
        let merged = |list: &[(u64, u32)]| {
            let mut regions = parts(list);
            merge(&mut regions, 2, 1000, Rounding::EachMergeDown);
            regions.iter().map(|r| (r.size(), r.nr_accesses)).collect::<Vec<_>>()
        };
        // 3, (30 + 10) / 20 = 2, (40 + 20) / 30 = 2, (60 + 30) / 40 = 2, (80 + 10) / 50 = 1: the mean is 2.
        assert_eq!(merged(&[(10, 3), (10, 1), (10, 2), (10, 3), (10, 1)]), [(50, 1)]);
        // A sliver takes a count from a region of any size, and brings none.
        assert_eq!(merged(&[(900, 5), (1, 4)]), [(901, 4)]);
        assert_eq!(merged(&[(900, 5), (1, 7)]), [(901, 5)]);
        // What equals loses nothing, and what is compared is the mean so far.
        assert_eq!(merged(&[(10, 4), (20, 4), (10, 5), (10, 7)]), [(40, 4), (10, 7)]);
    }

    proptest! {
        #[test]
        fn a_pass_keeps_the_accesses_to_half_a_count(
            parts in proptest::collection::vec((1_u64..1_000_000, 0_u32..30, 0_u64..2), 1..60),
            threshold in 0_u32..10,
            size_limit in 1_u64..10_000_000,
        ) {
            let mut end = 0;
            let before: Vec<_> = parts
                .iter()
                .map(|&(size, nr_accesses, hole)| {
                    let start = end + hole;
                    end = start + size;
                    region(start, end, nr_accesses)
                })
                .collect();
            let mut after = before.clone();
            merge(&mut after, threshold, size_limit, Rounding::Once);
            for merged in &after {
                let inside = |r: &&MonitoredRegion| merged.start <= r.start && r.end <= merged.end;
                let sum: u128 = before.iter().filter(inside).map(accessed_bytes).sum();
                let off = accessed_bytes(merged).abs_diff(sum);
                prop_assert!(off * 2 <= u128::from(merged.size()), "{merged:?}: {off}");
            }
        }
    }

    #[test]
    fn a_pass_merges_what_is_alike_adjacent_and_small_enough() {
        let mut regions = vec![
            region(0, 100, 0),
            region(100, 112, 0),
            region(114, 122, 10),
            region(122, 130, 10),
            region(130, 156, 20),
            region(156, 170, 30),
            region(170, 184, 1),
            region(184, 230, 2),
            region(230, 10_170, 5),
        ];
        merge(&mut regions, 9, 9_999, Rounding::Once);
        assert_eq!(
            bounds(&regions),
            [(0, 112), (114, 130), (130, 156), (156, 170), (170, 230), (230, 10_170)]
        );
    }

    #[test]
    fn comparison_is_with_the_average_so_far() {
        let mut regions = vec![region(0, 10, 0), region(10, 20, 4), region(20, 30, 6)];
        merge(&mut regions, 4, 100, Rounding::Once);
        assert_eq!(bounds(&regions), [(0, 30)]);
        assert_eq!(regions[0].nr_accesses, 3);

        let mut regions = vec![region(0, 90, 0), region(90, 100, 4), region(100, 110, 6)];
        merge(&mut regions, 4, 1000, Rounding::Once);
        assert_eq!(bounds(&regions), [(0, 100), (100, 110)]);
    }

    #[test]
    fn a_hole_is_never_merged_over() {
        let mut regions = vec![region(0, 10, 5), region(11, 20, 5)];
        merge(&mut regions, u32::MAX, u64::MAX, Rounding::Once);
        assert_eq!(bounds(&regions), [(0, 10), (11, 20)]);
    }

    #[test]
    fn age_grows_within_the_threshold_and_restarts_beyond() {
        let aged = |nr, last, threshold| {
            let mut regions =
                [MonitoredRegion { last_nr_accesses: last, age: 5, ..region(0, 1, nr) }];
            age(&mut regions, threshold);
            regions[0].age
        };
        assert_eq!(aged(10, 12, 2), 6);
        assert_eq!(aged(10, 13, 2), 0);
        assert_eq!(aged(13, 10, 2), 0);
        assert_eq!(aged(7, 7, 0), 6);
        assert_eq!(aged(0, 0, 0), 6);
        assert_eq!(aged(0, 1, 2), 0, "accessed -> idle");
        assert_eq!(aged(1, 0, 2), 0, "idle -> accessed");
    }

    #[test]
    fn age_saturates() {
        let mut regions = [MonitoredRegion { age: u32::MAX, ..region(0, 1, 0) }];
        age(&mut regions, 0);
        assert_eq!(regions[0].age, u32::MAX);
    }

    #[test]
    fn thresholds_double_up_to_the_ceiling() {
        let from = |first| {
            std::iter::successors(Some(first), |&t| next_threshold(t, 20)).collect::<Vec<_>>()
        };
        assert_eq!(from(0), [0, 1, 2, 4, 8, 16, 20]);
        assert_eq!(from(5), [5, 10, 20]);
        assert_eq!(from(20), [20]);
        assert_eq!(from(u32::MAX), [u32::MAX]);
        assert_eq!(next_threshold(0, 1), Some(1));
        assert_eq!(next_threshold(u32::MAX / 2, u32::MAX), Some(u32::MAX));
    }

    #[test]
    fn extreme_sizes_and_counts_do_not_overflow() {
        let mut regions = vec![
            MonitoredRegion { age: u32::MAX, ..region(0, u64::MAX - 1, u32::MAX) },
            MonitoredRegion { age: u32::MAX, ..region(u64::MAX - 1, u64::MAX, u32::MAX) },
        ];
        merge(&mut regions, 0, u64::MAX, Rounding::Once);
        assert_eq!(bounds(&regions), [(0, u64::MAX)]);
        assert_eq!((regions[0].nr_accesses, regions[0].age), (u32::MAX, u32::MAX));
    }
}
