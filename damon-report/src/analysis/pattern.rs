//! Which regions are meant: bounds of size, access rate and age.

use super::seen::Seen;
use serde::Serialize;

/// The least and the greatest value that are meant, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bounds<T> {
    /// Nothing below.
    pub min: Option<T>,
    /// Nothing above.
    pub max: Option<T>,
}

impl<T> Default for Bounds<T> {
    fn default() -> Self {
        Self { min: None, max: None }
    }
}

impl<T: PartialOrd + Copy> Bounds<T> {
    /// Whether a value is meant.
    pub fn contain(&self, value: T) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }

    /// True when every value is meant.
    pub fn are_open(&self) -> bool {
        self.min.is_none() && self.max.is_none()
    }

    /// True when no value can be meant.
    pub fn are_empty(&self) -> bool {
        matches!((self.min, self.max), (Some(min), Some(max)) if min > max)
    }
}

/// An access pattern, asked of whole regions: an address range that is selected does not change which
/// regions match, only how much of them counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pattern {
    /// Size of a region, bytes.
    pub size: Bounds<u64>,
    /// Access rate, 0..1.
    pub rate: Bounds<f64>,
    /// Age in nanoseconds, `age` × aggregation interval. A region whose age is not known is meant only if there are
    /// no bounds.
    pub age_ns: Bounds<u64>,
}

impl Pattern {
    /// Whether a region matches.
    pub fn matches(&self, region: &Seen) -> bool {
        let old = self.age_ns.are_open() || region.age_ns().is_some_and(|a| self.age_ns.contain(a));
        self.size.contain(region.size()) && self.rate.contain(region.rate()) && old
    }

    /// True when no region can match, since a least value is above the greatest.
    pub fn is_empty(&self) -> bool {
        self.size.are_empty() || self.rate.are_empty() || self.age_ns.are_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: Seen = Seen {
        start: 4096,
        end: 12288,
        nr_accesses: 3,
        max_nr_accesses: 20,
        age: Some(7),
        aggr_us: 100_000,
    };

    #[test]
    fn bounds_are_included() {
        let exactly = Pattern {
            size: Bounds { min: Some(8192), max: Some(8192) },
            rate: Bounds { min: Some(0.15), max: Some(0.15) },
            age_ns: Bounds { min: Some(700_000_000), max: Some(700_000_000) },
        };
        assert!(exactly.matches(&REGION) && !exactly.is_empty());
        assert!(!exactly.matches(&Seen { end: 12289, ..REGION }));
        assert!(!exactly.matches(&Seen { nr_accesses: 4, ..REGION }));
        assert!(!exactly.matches(&Seen { age: Some(6), ..REGION }));
        assert!(Pattern::default().matches(&REGION));
    }

    #[test]
    fn an_unknown_age_is_neither_young_nor_old() {
        let unknown = Seen { age: None, ..REGION };
        assert!(Pattern::default().matches(&unknown));
        for (min, max) in [(Some(0), None), (None, Some(u64::MAX))] {
            let pattern = Pattern { age_ns: Bounds { min, max }, ..Pattern::default() };
            assert!(!pattern.matches(&unknown));
        }
    }
}
