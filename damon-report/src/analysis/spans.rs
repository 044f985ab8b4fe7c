//! A set of addresses as ascending, disjoint, non-adjacent ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanSet {
    spans: BTreeMap<u64, u64>,
}

impl SpanSet {
    /// Adds a range; what touches or overlaps becomes one.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        while let Some((&s, &e)) = self.spans.range(..=end).next_back() {
            if e < start {
                break;
            }
            start = start.min(s);
            end = end.max(e);
            self.spans.remove(&s);
        }
        self.spans.insert(start, end);
    }

    /// Takes a range out.
    pub fn remove(&mut self, range: &Range<u64>) {
        loop {
            let part = self.within(range).next();
            let Some(part) = part else { return };
            let Some((&start, &end)) = self.spans.range(..=part.start).next_back() else { return };
            self.spans.remove(&start);
            if start < part.start {
                self.spans.insert(start, part.start);
            }
            if part.end < end {
                self.spans.insert(part.end, end);
            }
        }
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: &Self) {
        for range in other.ranges() {
            self.insert(range);
        }
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut common = Self::default();
        for range in self.ranges() {
            let first = other.spans.range(..=range.start).next_back();
            let rest = other.spans.range(range.clone());
            for (&start, &end) in first.into_iter().chain(rest) {
                common.insert(start.max(range.start)..end.min(range.end));
            }
        }
        common
    }

    /// The parts of the set inside `range`, ascending.
    pub fn within(&self, range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let (start, end) = (range.start, range.end);
        let before = self.spans.range(..start).next_back();
        let inside = self.spans.range(start..end.max(start));
        before
            .into_iter()
            .chain(inside)
            .map(move |(&s, &e)| s.max(start)..e.min(end))
            .filter(|part| !part.is_empty())
    }

    /// Whether all of `range` is in the set.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        let before = self.spans.range(..=range.start).next_back();
        range.is_empty() || before.is_some_and(|(_, &end)| range.end <= end)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = Self::default();
        for range in self.ranges() {
            let mut at = range.start;
            let first = other.spans.range(..=range.start).next_back();
            for (&start, &end) in first.into_iter().chain(other.spans.range(range.clone())) {
                rest.insert(at..start);
                at = at.max(end);
            }
            rest.insert(at..range.end);
        }
        rest
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.spans.iter().map(|(&start, &end)| start..end)
    }

    /// Number of ranges.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True without any address.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes in the set.
    pub fn bytes(&self) -> u64 {
        self.ranges().fold(0, |sum, r| sum.saturating_add(r.end - r.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOP: usize = 256;

    fn ranges() -> impl Strategy<Value = Vec<(usize, usize)>> {
        prop::collection::vec((0_usize..200, 0_usize..30), 0..40)
    }

    fn build(ranges: &[(usize, usize)]) -> (SpanSet, [bool; TOP]) {
        let mut set = SpanSet::default();
        let mut naive = [false; TOP];
        for &(start, len) in ranges {
            set.insert(start as u64..(start + len) as u64);
            for cell in naive.iter_mut().skip(start).take(len) {
                *cell = true;
            }
        }
        (set, naive)
    }

    fn has(set: &SpanSet, address: usize) -> bool {
        set.ranges().any(|r| r.contains(&(address as u64)))
    }

    proptest! {
        #[test]
        fn holds_exactly_what_was_inserted(ranges in ranges()) {
            let (set, naive) = build(&ranges);
            for (i, expected) in naive.iter().enumerate() {
                prop_assert_eq!(has(&set, i), *expected);
            }
            let list: Vec<_> = set.ranges().collect();
            prop_assert!(list.windows(2).all(|w| matches!(w, [a, b] if a.end < b.start)));
            prop_assert_eq!(set.bytes(), naive.iter().filter(|c| **c).count() as u64);
        }

        #[test]
        fn two_sets_are_taken_apart_exactly(a in ranges(), b in ranges()) {
            let ((a, naive_a), (b, naive_b)) = (build(&a), build(&b));
            let (common, rest) = (a.intersection(&b), a.difference(&b));
            for range in b.ranges() {
                let parts: Vec<_> = a.within(&range).collect();
                prop_assert_eq!(a.covers(&range), parts == [range.clone()]);
                let mut one = SpanSet::default();
                one.insert(range.clone());
                let mut left = a.clone();
                left.remove(&range);
                prop_assert_eq!(left, a.difference(&one));
                prop_assert_eq!(parts, a.intersection(&one).ranges().collect::<Vec<_>>());
            }
            for i in 0..TOP {
                prop_assert_eq!(has(&common, i), naive_a[i] && naive_b[i]);
                prop_assert_eq!(has(&rest, i), naive_a[i] && !naive_b[i]);
            }
        }
    }
}
