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

    /// Adds all of another set.
    pub fn extend(&mut self, other: &Self) {
        for range in other.ranges() {
            self.insert(range);
        }
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
        self.ranges()
            .fold(0, |sum, r| sum.saturating_add(r.end - r.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holds_exactly_what_was_inserted(
            ranges in prop::collection::vec((0_usize..200, 0_usize..30), 0..40)
        ) {
            let mut set = SpanSet::default();
            let mut naive = [false; 256];
            for (start, len) in ranges {
                set.insert(start as u64..(start + len) as u64);
                for cell in naive.iter_mut().skip(start).take(len) {
                    *cell = true;
                }
            }
            for (i, expected) in naive.iter().enumerate() {
                let inside = set.ranges().any(|r| r.contains(&(i as u64)));
                prop_assert_eq!(inside, *expected);
            }
            let list: Vec<_> = set.ranges().collect();
            prop_assert!(list.windows(2).all(|w| matches!(w, [a, b] if a.end < b.start)));
            prop_assert_eq!(set.bytes(), naive.iter().filter(|c| **c).count() as u64);
        }
    }
}
