//! The regions of a snapshot by the group that they lie in, run by run: most neighbours are in the same mapping, and sums of
//! a run stay in registers.

use crate::analysis::layout::{Slot, UNKNOWN, split};
use crate::analysis::num::wide;
use std::ops::Range;

/// Of one snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Now {
    /// Bytes.
    pub(super) size: u64,
    /// Bytes of regions with enough positive samples.
    pub(super) touched: u64,
    /// Bytes that have been idle for long enough.
    pub(super) idle: u64,
    /// Σ bytes × positive samples.
    weighed: u128,
}

/// Which regions count as what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// Positive samples from which on a region counts as touched.
    pub(super) threshold: u32,
    /// Age from which on a region without any counts as idle.
    pub(super) least_age: u32,
}

impl Counts {
    fn add(self, now: &mut Now, size: u64, accesses: u32, age: Option<u32>) {
        let is_idle = accesses == 0 && age.is_some_and(|age| age >= self.least_age);
        now.size = now.size.saturating_add(size);
        now.touched = now.touched.saturating_add(if accesses >= self.threshold { size } else { 0 });
        now.idle = now.idle.saturating_add(if is_idle { size } else { 0 });
        now.weighed = now.weighed.saturating_add(u128::from(size) * u128::from(accesses));
    }
}

impl Now {
    pub(super) fn add(&mut self, other: &Self) {
        self.size = self.size.saturating_add(other.size);
        self.touched = self.touched.saturating_add(other.touched);
        self.idle = self.idle.saturating_add(other.idle);
        self.weighed = self.weighed.saturating_add(other.weighed);
    }

    /// Σ bytes × rate, given one over the samples of a region.
    pub(super) fn expected(&self, scale: f64) -> f64 {
        wide(self.weighed) * scale
    }
}

/// A region: its addresses, positive samples and age.
pub(super) type Row = (Range<u64>, u32, Option<u32>);

/// Sums up rows (ascending) by group, cut at the borders of mappings (ascending), and hands each run of pieces of one group
/// over. Every byte is in exactly one of them.
pub(super) fn runs(
    mut slots: &[Slot],
    rows: impl Iterator<Item = Row>,
    counts: Counts,
    mut give: impl FnMut(u32, &Now),
) {
    let (mut group, mut within, mut now) = (UNKNOWN, 0..0, Now::default());
    for (range, accesses, age) in rows {
        if range.start < within.start || within.end < range.end {
            if now.size > 0 {
                give(group, &std::mem::take(&mut now));
            }
            while let Some((_, others)) = slots.split_first().filter(|(s, _)| s.end <= range.start)
            {
                slots = others;
            }
            (group, within) = match slots.first() {
                None => (UNKNOWN, range.start..u64::MAX),
                Some(slot) if range.end <= slot.start => (UNKNOWN, range.start..slot.start),
                Some(slot) => (slot.group, slot.start..slot.end),
            };
            if range.start < within.start || within.end < range.end {
                split(slots, std::iter::once((0, range)), |_, size, group| {
                    let mut piece = Now::default();
                    counts.add(&mut piece, size, accesses, age);
                    give(group, &piece);
                });
                within = 0..0;
                continue;
            }
        }
        counts.add(&mut now, range.end.saturating_sub(range.start), accesses, age);
    }
    if now.size > 0 {
        give(group, &now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn ranges(most: usize) -> impl Strategy<Value = Vec<Range<u64>>> {
        prop::collection::vec((0_u64..4, 1_u64..9), 0..most).prop_map(|steps| {
            let mut at = 0;
            let range = |(gap, size)| {
                let start = at + gap;
                at = start + size;
                start..at
            };
            steps.into_iter().map(range).collect()
        })
    }

    proptest! {
        #[test]
        fn runs_are_what_single_bytes_add_up_to(
            slots in ranges(8),
            regions in ranges(30),
            counters in prop::collection::vec((0_u32..3, prop::option::of(0_u32..4)), 30),
        ) {
            let slots: Vec<Slot> = slots.into_iter().zip(1..).map(|(range, group)| {
                Slot { start: range.start, end: range.end, group: group % 5 }
            }).collect();
            let rows: Vec<Row> = regions.into_iter().zip(counters)
                .map(|(range, (accesses, age))| (range, accesses, age)).collect();
            let counts = Counts { threshold: 2, least_age: 2 };
            let mut found: BTreeMap<u32, Now> = BTreeMap::new();
            runs(&slots, rows.iter().cloned(), counts, |group, now| {
                found.entry(group).or_default().add(now);
            });
            let mut wanted: BTreeMap<u32, Now> = BTreeMap::new();
            for (range, accesses, age) in rows {
                for at in range {
                    let slot = slots.iter().find(|slot| slot.start <= at && at < slot.end);
                    let now = wanted.entry(slot.map_or(UNKNOWN, |slot| slot.group)).or_default();
                    counts.add(now, 1, accesses, age);
                }
            }
            prop_assert_eq!(found, wanted);
        }
    }
}
