//! Which addresses are selected: one set for all targets, or one for each.

use super::spans::SpanSet;
use damon_format::TargetId;
use std::collections::BTreeMap;
use std::iter::FusedIterator;
use std::ops::Range;

/// Selected addresses as ascending, disjoint ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Of targets without ranges of their own.
    common: Box<[Range<u64>]>,
    of_target: BTreeMap<TargetId, Box<[Range<u64>]>>,
}

impl Addresses {
    /// All addresses of all targets.
    pub fn all() -> Self {
        Self { common: std::iter::once(0..u64::MAX).collect(), of_target: BTreeMap::new() }
    }

    /// The same addresses of every target.
    pub fn of_all(set: &SpanSet) -> Self {
        Self { common: set.ranges().collect(), of_target: BTreeMap::new() }
    }

    /// Each target's own addresses; none of those that are not named.
    pub fn of_each(sets: impl IntoIterator<Item = (TargetId, SpanSet)>) -> Self {
        let own = sets.into_iter().map(|(target, set)| (target, set.ranges().collect()));
        Self { common: Box::default(), of_target: own.collect() }
    }

    /// The selected ranges of a target, ascending and disjoint.
    pub fn ranges(&self, target: TargetId) -> &[Range<u64>] {
        if self.of_target.is_empty() {
            return &self.common;
        }
        self.of_target.get(&target).unwrap_or(&self.common)
    }

    /// Whether every address of every target is selected.
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    /// Whether all of `[start, end)` is selected.
    pub fn covers(&self, target: TargetId, start: u64, end: u64) -> bool {
        self.pieces(target, start, end).next().is_some_and(|piece| piece == (start..end))
    }

    /// The selected pieces of `[start, end)`, ascending and disjoint.
    pub fn pieces(&self, target: TargetId, start: u64, end: u64) -> Pieces<'_> {
        let ranges = self.ranges(target);
        let first = match ranges {
            [_] => 0,
            ranges => ranges.partition_point(|range| range.end <= start),
        };
        Pieces { ranges: ranges.get(first..).unwrap_or_default(), start, end }
    }

    /// Whether all of `[start, end)` is selected as one range.
    pub fn hold(&self, target: TargetId, start: u64, end: u64) -> bool {
        let mut pieces = self.pieces(target, start, end);
        pieces.next() == Some(start..end)
    }

    /// From the first to the last selected address of `[start, end)` in any target's address space.
    pub fn hull(&self, start: u64, end: u64) -> Option<Range<u64>> {
        let sets = std::iter::once(&self.common).chain(self.of_target.values());
        let hulls = sets.filter_map(|ranges| {
            let first = ranges.partition_point(|range| range.end <= start);
            let behind = ranges.partition_point(|range| range.start < end);
            let ranges = ranges.get(first..behind)?;
            let (first, last) = (ranges.first()?, ranges.last()?);
            let hull = first.start.max(start)..last.end.min(end);
            (!hull.is_empty()).then_some(hull)
        });
        hulls.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
    }
}

impl std::fmt::Display for Addresses {
    /// The ranges, for people: `0x1000..0x2000 0x5000..0x6000`, and how many more there are.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const MOST: usize = 4;
        let mut all: Vec<&Range<u64>> =
            self.of_target.values().chain([&self.common]).flatten().collect();
        all.sort_by_key(|range| (range.start, range.end));
        all.dedup();
        for (index, range) in all.iter().take(MOST).enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{:#x}..{:#x}", range.start, range.end)?;
        }
        match all.len().checked_sub(MOST).filter(|more| *more > 0) {
            Some(more) => write!(f, " and {more} more"),
            None => Ok(()),
        }
    }
}

/// Selected pieces of a region; see [`Addresses::pieces`].
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    ranges: &'a [Range<u64>],
    start: u64,
    end: u64,
}

impl Iterator for Pieces<'_> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        while let Some((first, rest)) = self.ranges.split_first() {
            if first.start >= self.end {
                break;
            }
            self.ranges = rest;
            let piece = first.start.max(self.start)..first.end.min(self.end);
            if !piece.is_empty() {
                return Some(piece);
            }
        }
        self.ranges = &[];
        None
    }
}

impl FusedIterator for Pieces<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: TargetId = TargetId(3);

    fn set(ranges: &[(u64, u64)]) -> SpanSet {
        let mut set = SpanSet::default();
        for &(start, length) in ranges {
            set.insert(start..start + length);
        }
        set
    }

    fn ranges() -> impl Strategy<Value = Vec<(u64, u64)>> {
        prop::collection::vec((0_u64..300, 0_u64..40), 0..12)
    }

    #[test]
    fn targets_have_ranges_of_their_own_or_none() {
        let each = Addresses::of_each([(T, set(&[(10, 5), (20, 5)]))]);
        let pieces: Vec<_> = each.pieces(T, 12, 23).collect();
        assert_eq!(pieces, [12..15, 20..23]);
        assert_eq!(each.pieces(TargetId(4), 0, 100).count(), 0);
        assert_eq!(each.hull(12, 23), Some(12..23));
        assert_eq!(each.hull(15, 20), None);
        assert_eq!(Addresses::all().pieces(T, 5, 5).count(), 0);
    }

    proptest! {
        #[test]
        fn pieces_are_exactly_the_common_addresses(
            list in ranges(),
            start in 0_u64..350,
            length in 0_u64..100,
        ) {
            let selected = set(&list);
            let region = set(&[(start, length)]);
            let addresses = Addresses::of_all(&selected);
            let pieces: Vec<_> = addresses.pieces(T, start, start + length).collect();
            let expected: Vec<_> = selected.intersection(&region).ranges().collect();
            prop_assert_eq!(&pieces, &expected);
            let hull = pieces.first().zip(pieces.last()).map(|(a, b)| a.start..b.end);
            prop_assert_eq!(addresses.hull(start, start + length), hull);
            let whole = pieces.iter().map(|p| p.end - p.start).sum::<u64>() == length;
            prop_assert_eq!(addresses.hold(T, start, start + length), whole && length > 0);
        }

        #[test]
        fn of_one_range_there_is_one_piece_the_hull(
            from in 0_u64..300,
            size in 1_u64..100,
            start in 0_u64..400,
            length in 0_u64..100,
        ) {
            let one = Addresses::of_all(&set(&[(from, size)]));
            let pieces: Vec<_> = one.pieces(T, start, start + length).collect();
            prop_assert!(pieces.len() <= 1);
            prop_assert_eq!(pieces.first().cloned(), one.hull(start, start + length));
        }
    }
}
