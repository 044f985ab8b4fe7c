//! What the counters of a region should be, given the previous snapshot.

use super::Columns;
use std::hint::select_unpredictable;

/// How far a counter may move without resetting the age: a tenth of the largest counter
/// (`kdamond_merge_regions`), here that of the previous snapshot, which is known before the first row.
pub(super) fn age_threshold(nr_accesses: &[u32]) -> u32 {
    nr_accesses.iter().copied().max().unwrap_or(0) / 10
}

/// The counter of the previous region that shares most bytes with `[start, end)`, the first of
/// equals; 0 when there is none. `parent` is the first previous region that may overlap.
#[expect(clippy::inline_always, reason = "a call per row costs a tenth of the decoder's speed")]
#[inline(always)]
pub(super) fn nr_accesses(previous: &Columns, parent: usize, (start, end): (u64, u64)) -> u32 {
    match previous.bounds(parent) {
        // Nearly always: the region lies in one previous region.
        Some((from, to)) if from <= start && to >= end => previous.nr(parent),
        Some(_) => largest_share(previous, parent, (start, end)),
        None => 0,
    }
}

#[inline(never)]
fn largest_share(previous: &Columns, parent: usize, (start, end): (u64, u64)) -> u32 {
    let mut best = (0, 0);
    let mut index = parent;
    while let Some((from, to)) = previous.bounds(index).filter(|&(from, _)| from < end) {
        let shared = to.min(end).saturating_sub(from.max(start));
        let is_more = shared > best.0;
        let nr = previous.nr(index);
        best = (shared.max(best.0), select_unpredictable(is_more, nr, best.1));
        index += 1;
    }
    best.1
}

/// The age after one more aggregation: each overlapping previous region grows one older, or is reset when
/// its counter moved by more than `threshold` or between zero and non-zero; a merged region has the mean
/// by size, rounded down (`damon_merge_two_regions`).
#[expect(clippy::inline_always, reason = "a call per row costs a tenth of the decoder's speed")]
#[inline(always)]
pub(super) fn age(
    previous: &Columns,
    parent: usize,
    (start, end): (u64, u64),
    nr_accesses: u32,
    threshold: u32,
) -> u32 {
    match previous.bounds(parent) {
        Some((from, to)) if from <= start && to >= end => {
            grown(previous, parent, nr_accesses, threshold)
        }
        Some(_) => mean_age(previous, parent, (start, end), nr_accesses, threshold),
        None => 0,
    }
}

#[inline(never)]
fn mean_age(
    previous: &Columns,
    parent: usize,
    (start, end): (u64, u64),
    nr_accesses: u32,
    threshold: u32,
) -> u32 {
    // Sums of bytes times ages fit 64 bits in all regions below 4 GiB.
    let narrow = u32::try_from(end - start).is_ok();
    let (mut weighted, mut wide, mut bytes) = (0_u64, 0_u128, 0_u64);
    let mut index = parent;
    while let Some((from, to)) = previous.bounds(index).filter(|&(from, _)| from < end) {
        let shared = to.min(end).saturating_sub(from.max(start));
        let age = grown(previous, index, nr_accesses, threshold);
        bytes += shared;
        if narrow {
            weighted += shared * u64::from(age);
        } else {
            wide += u128::from(shared) * u128::from(age);
        }
        index += 1;
    }
    if narrow {
        u32::try_from(weighted.checked_div(bytes).unwrap_or(0)).unwrap_or(u32::MAX)
    } else {
        u32::try_from(wide.checked_div(u128::from(bytes)).unwrap_or(0)).unwrap_or(u32::MAX)
    }
}

/// One aggregation older, or 0 when the pattern changed.
#[inline]
fn grown(previous: &Columns, index: usize, nr_accesses: u32, threshold: u32) -> u32 {
    let nr = previous.nr(index);
    // Nobody can foresee whether it did, a processor no more than others: no branches.
    let moved = nr.abs_diff(nr_accesses) > threshold;
    let began_or_ended = (nr == 0) != (nr_accesses == 0);
    let stable = u8::from(moved) + u8::from(began_or_ended) == 0;
    let older = previous.ages.get(index).copied().unwrap_or(0).saturating_add(1);
    select_unpredictable(stable, older, 0)
}
