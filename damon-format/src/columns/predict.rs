//! What the counters of a region should be, given the previous snapshot.

use super::Columns;

/// How far a counter may move without resetting the age: a tenth of the largest counter
/// (`kdamond_merge_regions`), here that of the previous snapshot, which is known before the first row.
pub(super) fn age_threshold(nr_accesses: &[u32]) -> u32 {
    nr_accesses.iter().copied().max().unwrap_or(0) / 10
}

/// The counter of the previous region that shares most bytes with `[start, end)`, the first of
/// equals; 0 when there is none. `parent` is the first previous region that may overlap.
#[inline]
pub(super) fn nr_accesses(previous: &Columns, parent: usize, (start, end): (u64, u64)) -> u32 {
    let mut best = (0, 0);
    let mut index = parent;
    while let Some((from, to)) = previous.bounds(index) {
        if from >= end {
            break;
        }
        let shared = to.min(end).saturating_sub(from.max(start));
        if shared > best.0 {
            best = (shared, previous.nr(index));
        }
        if to >= end {
            break;
        }
        index += 1;
    }
    best.1
}

/// The age after one more aggregation: each overlapping previous region grows one older, or is reset when
/// its counter moved by more than `threshold` or between zero and non-zero; a merged region has the mean
/// by size, rounded down (`damon_merge_two_regions`).
#[inline]
pub(super) fn age(
    previous: &Columns,
    parent: usize,
    (start, end): (u64, u64),
    nr_accesses: u32,
    threshold: u32,
) -> u32 {
    let grown = |index: usize| {
        let nr = previous.nr(index);
        let stable = nr.abs_diff(nr_accesses) <= threshold && (nr == 0) == (nr_accesses == 0);
        if stable { older(previous, index) } else { 0 }
    };
    match previous.bounds(parent) {
        Some((from, to)) if from <= start && to >= end => return grown(parent),
        Some(_) => {}
        None => return 0,
    }
    // Sums of bytes times ages fit 64 bits in all regions below 4 GiB.
    let narrow = u32::try_from(end - start).is_ok();
    let (mut weighted, mut wide, mut bytes) = (0_u64, 0_u128, 0_u64);
    let mut index = parent;
    while let Some((from, to)) = previous.bounds(index) {
        if from >= end {
            break;
        }
        let shared = to.min(end).saturating_sub(from.max(start));
        bytes += shared;
        if narrow {
            weighted += shared * u64::from(grown(index));
        } else {
            wide += u128::from(shared) * u128::from(grown(index));
        }
        index += 1;
    }
    if narrow {
        u32::try_from(weighted.checked_div(bytes).unwrap_or(0)).unwrap_or(u32::MAX)
    } else {
        u32::try_from(wide.checked_div(u128::from(bytes)).unwrap_or(0)).unwrap_or(u32::MAX)
    }
}

/// The age of a region whose pattern persisted.
#[inline]
pub(super) fn older(previous: &Columns, index: usize) -> u32 {
    previous.ages.get(index).copied().unwrap_or(0).saturating_add(1)
}
