//! Which snapshots of several targets belong to one moment.

use damon_format::TargetId;
use std::cmp::Reverse;
use std::ops::Range;

/// Groups snapshots, given by target and time, into moments that ascend; the first of each group opened it and gives its
/// time, and no target is twice in one.
///
/// The aggregations of several targets end at slightly different times. A snapshot belongs to the moment that the
/// earliest snapshot opened if at least half of one of them lies inside the other.
pub(crate) fn together(samples: &[(TargetId, Range<u64>)]) -> Vec<Vec<usize>> {
    let mut order: Vec<(usize, TargetId, &Range<u64>)> =
        samples.iter().enumerate().map(|(i, (target, time))| (i, *target, time)).collect();
    order.sort_by_key(|(_, target, time)| (time.start, Reverse(time.end), *target));
    let mut moments: Vec<Vec<usize>> = Vec::new();
    let mut open: Option<(&Range<u64>, Vec<TargetId>)> = None;
    for (index, target, time) in order {
        if let (Some((first, targets)), Some(moment)) = (&mut open, moments.last_mut())
            && !targets.contains(&target)
            && are_together(first, time)
        {
            targets.push(target);
            moment.push(index);
            continue;
        }
        open = Some((time, vec![target]));
        moments.push(vec![index]);
    }
    moments
}

/// Whether a snapshot belongs to the moment that `first` opened, with no regard to targets.
pub(super) fn are_together(first: &Range<u64>, other: &Range<u64>) -> bool {
    let overlap = first.end.min(other.end).saturating_sub(first.start.max(other.start));
    let length = |time: &Range<u64>| time.end.saturating_sub(time.start);
    overlap >= length(first).min(length(other)).div_ceil(2) && other.start <= first.end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(list: &[(u32, u64, u64)]) -> Vec<Vec<usize>> {
        let samples: Vec<_> = list.iter().map(|&(t, a, b)| (TargetId(t), a..b)).collect();
        together(&samples)
    }

    #[test]
    fn what_overlaps_by_half_is_one_moment() {
        assert_eq!(groups(&[(0, 0, 10), (1, 4, 14), (0, 10, 20), (1, 14, 24)]), [[0, 1], [2, 3]]);
        assert_eq!(groups(&[(0, 0, 10), (1, 6, 16)]), [[0], [1]]);
        // A short one inside a long one, whichever came first to hand.
        assert_eq!(groups(&[(1, 8, 9), (0, 0, 10)]), [[1, 0]]);
    }

    #[test]
    fn a_target_is_in_a_moment_once() {
        assert_eq!(groups(&[(0, 0, 10), (0, 0, 10)]).len(), 2);
        assert_eq!(groups(&[]).len(), 0);
    }
}
