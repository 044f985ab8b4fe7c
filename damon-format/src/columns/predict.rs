//! What the counters of a region should be, given the previous snapshot.

use super::Columns;

/// The age threshold of DAMON: a tenth of the largest counter (`kdamond_merge_regions`).
pub(super) fn threshold(nr_accesses: &[u32]) -> u32 {
    nr_accesses.iter().copied().max().unwrap_or(0) / 10
}

/// The counter of the previous region that shares most bytes with `[start, end)`, the first of
/// equals; 0 when there is none. `parent` is the first previous region that may overlap.
#[inline]
pub(super) fn nr_accesses(previous: &Columns, parent: usize, start: u64, end: u64) -> u32 {
    let mut best = (0, 0);
    let mut index = parent;
    while let Some((from, to)) = previous.bounds(index) {
        if from >= end {
            break;
        }
        let shared = to.min(end).saturating_sub(from.max(start));
        if shared > best.0 {
            best = (
                shared,
                previous.nr_accesses.get(index).copied().unwrap_or(0),
            );
        }
        if to >= end {
            break;
        }
        index += 1;
    }
    best.1
}

/// The age after one more aggregation: each overlapping previous region grows one older, or is reset
/// when its counter moved by more than `threshold` or between zero and non-zero; a merged region has the
/// mean by size, rounded down (`damon_merge_two_regions`).
#[inline]
pub(super) fn age(
    previous: &Columns,
    parent: usize,
    (start, end): (u64, u64),
    nr_accesses: u32,
    threshold: u32,
) -> u32 {
    let grown = |index: usize| {
        let nr = previous.nr_accesses.get(index).copied().unwrap_or(0);
        let stable = nr.abs_diff(nr_accesses) <= threshold && (nr == 0) == (nr_accesses == 0);
        if stable {
            previous
                .ages
                .get(index)
                .copied()
                .unwrap_or(0)
                .saturating_add(1)
        } else {
            0
        }
    };
    match previous.bounds(parent) {
        Some((from, to)) if from <= start && to >= end => return grown(parent),
        Some(_) => {}
        None => return 0,
    }
    let (mut weighted, mut bytes) = (0_u128, 0_u128);
    let mut index = parent;
    while let Some((from, to)) = previous.bounds(index) {
        if from >= end {
            break;
        }
        let shared = u128::from(to.min(end).saturating_sub(from.max(start)));
        weighted += shared * u128::from(grown(index));
        bytes += shared;
        index += 1;
    }
    // A mean of u32 values is one.
    weighted
        .checked_div(bytes)
        .and_then(|mean| u32::try_from(mean).ok())
        .unwrap_or(0)
}
