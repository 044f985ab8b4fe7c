//! Sets of addresses as sorted, disjoint, non-adjacent half-open ranges.

use std::ops::Range;

/// A set of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range<u64>>);

impl FromIterator<Range<u64>> for Ranges {
    /// The union of ranges in any order; empty ones count for nothing.
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().filter(|r| r.start < r.end).collect();
        sorted.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in sorted {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        Self(merged)
    }
}

impl Ranges {
    /// The ranges in ascending order.
    pub fn as_slice(&self) -> &[Range<u64>] {
        &self.0
    }

    /// Whether the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes in the set.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether `address` is in the set.
    pub fn contains(&self, address: u64) -> bool {
        let after = self.0.partition_point(|range| range.start <= address);
        after > 0 && address < self.0[after - 1].end
    }

    /// The addresses of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).cloned().collect()
    }

    /// The addresses of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = Vec::new();
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let shared = a.start.max(b.start)..a.end.min(b.end);
            if shared.start < shared.end {
                common.push(shared);
            }
            if a.end <= b.end {
                left.next();
            } else {
                right.next();
            }
        }
        Self(common)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(ranges: &[Range<u64>]) -> Ranges {
        ranges.iter().cloned().collect()
    }

    #[test]
    fn adjacent_and_overlapping_ranges_become_one() {
        assert_eq!(set(&[4..8, 0..4, 6..10, 20..20, 30..31]).as_slice(), [0..10, 30..31]);
    }

    fn any_set() -> impl Strategy<Value = Vec<Range<u64>>> {
        proptest::collection::vec((0_u64..60, 0_u64..12), 0..8)
            .prop_map(|v| v.into_iter().map(|(start, len)| start..start + len).collect())
    }

    proptest! {
        #[test]
        fn the_operations_agree_with_membership(a in any_set(), b in any_set()) {
            let (left, right) = (set(&a), set(&b));
            let union = left.union(&right);
            let both = left.intersection(&right);
            let mut bytes = 0;
            for address in 0..80 {
                let (in_a, in_b) = (
                    a.iter().any(|r| r.contains(&address)),
                    b.iter().any(|r| r.contains(&address)),
                );
                prop_assert_eq!(left.contains(address), in_a);
                prop_assert_eq!(union.contains(address), in_a || in_b);
                prop_assert_eq!(both.contains(address), in_a && in_b);
                bytes += u64::from(in_a || in_b);
            }
            prop_assert_eq!(union.bytes(), bytes);
            for pair in union.as_slice().windows(2) {
                prop_assert!(pair[0].end < pair[1].start);
            }
        }
    }
}
