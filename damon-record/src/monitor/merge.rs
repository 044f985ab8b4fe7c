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

/// Merges each region into its left neighbour where the two touch, their `nr_accesses` differ by at
/// most `threshold`, and the result is not larger than `size_limit`.
///
/// Later neighbours are compared with the averaged values of what has been merged so far.
pub fn merge(regions: &mut Vec<MonitoredRegion>, threshold: u32, size_limit: u64) {
    regions.dedup_by(|right, left| {
        let fits = left.end == right.start
            && left.nr_accesses.abs_diff(right.nr_accesses) <= threshold
            && right.end.saturating_sub(left.start) <= size_limit;
        if fits {
            absorb(left, right);
        }
        fits
    });
}

/// Makes `left` cover `right` too. `nr_accesses` and `age` become size-weighted means, rounded down;
/// `last_nr_accesses` stays that of the left one.
pub fn absorb(left: &mut MonitoredRegion, right: &MonitoredRegion) {
    let (left_size, right_size) = (left.size(), right.size());
    let mean = |a, b| weighted_mean(a, left_size, b, right_size);
    left.nr_accesses = mean(left.nr_accesses, right.nr_accesses);
    left.age = mean(left.age, right.age);
    left.end = right.end;
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

    fn region(start: u64, end: u64, nr_accesses: u32) -> MonitoredRegion {
        MonitoredRegion { nr_accesses, ..MonitoredRegion::fresh(start, end) }
    }

    fn bounds(regions: &[MonitoredRegion]) -> Vec<(u64, u64)> {
        regions.iter().map(|r| (r.start, r.end)).collect()
    }

    #[test]
    fn two_regions_become_one_with_the_truncated_mean() {
        let mut left = MonitoredRegion { last_nr_accesses: 3, age: 9, ..region(0, 100, 10) };
        let right = MonitoredRegion { last_nr_accesses: 8, age: 2, ..region(100, 300, 20) };
        absorb(&mut left, &right);
        assert_eq!((left.start, left.end), (0, 300));
        assert_eq!(left.nr_accesses, 16);
        assert_eq!(left.last_nr_accesses, 3);
        assert_eq!(left.age, (9 * 100 + 2 * 200) / 300);
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
        merge(&mut regions, 9, 9_999);
        assert_eq!(
            bounds(&regions),
            [(0, 112), (114, 130), (130, 156), (156, 170), (170, 230), (230, 10_170)]
        );
    }

    #[test]
    fn comparison_is_with_the_average_so_far() {
        let mut regions = vec![region(0, 10, 0), region(10, 20, 4), region(20, 30, 6)];
        merge(&mut regions, 4, 100);
        assert_eq!(bounds(&regions), [(0, 30)]);
        assert_eq!(regions[0].nr_accesses, 3);

        let mut regions = vec![region(0, 90, 0), region(90, 100, 4), region(100, 110, 6)];
        merge(&mut regions, 4, 1000);
        assert_eq!(bounds(&regions), [(0, 100), (100, 110)]);
    }

    #[test]
    fn a_hole_is_never_merged_over() {
        let mut regions = vec![region(0, 10, 5), region(11, 20, 5)];
        merge(&mut regions, u32::MAX, u64::MAX);
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
        merge(&mut regions, 0, u64::MAX);
        assert_eq!(bounds(&regions), [(0, u64::MAX)]);
        assert_eq!((regions[0].nr_accesses, regions[0].age), (u32::MAX, u32::MAX));
    }
}
