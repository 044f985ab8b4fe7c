//! Snapshots by how many regions they have.

use super::{Limits, RegionCount, in_force};
use crate::analysis::courses::Tally;
use crate::analysis::distribution::Distribution;
use crate::analysis::num::{float, round, wide};
use std::collections::BTreeMap;

/// How long, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weight {
    ns: u128,
    snapshots: u64,
}

impl Weight {
    fn add(&mut self, other: Self) {
        self.ns = self.ns.saturating_add(other.ns);
        self.snapshots = self.snapshots.saturating_add(other.snapshots);
    }
}

/// Snapshots by their number of regions: as many numbers as there are different ones, however long the recording is.
#[derive(Clone, Debug)]
pub(super) struct Counted<'a> {
    limits: &'a [Limits],
    values: BTreeMap<u64, Weight>,
    all: Weight,
    /// More than the limit that was in force.
    above: Weight,
    /// Fewer than that.
    below: Weight,
}

impl<'a> Counted<'a> {
    /// No snapshots yet.
    pub(super) fn new(limits: &'a [Limits]) -> Self {
        let none = Weight::default();
        Self { limits, values: BTreeMap::new(), all: none, above: none, below: none }
    }

    /// Snapshots without a duration count only if all are.
    fn weight(&self, of: Weight) -> u128 {
        if self.all.ns == 0 { of.snapshots.into() } else { of.ns }
    }

    /// Part of the time.
    fn share(&self, of: Weight) -> f64 {
        let all = self.weight(self.all);
        if all == 0 { 0.0 } else { wide(self.weight(of)) / wide(all) }
    }

    /// Part of the time with more regions than were allowed.
    pub(super) fn above_max(&self) -> f64 {
        self.share(self.above)
    }

    /// Part of the time with fewer regions than were asked for.
    pub(super) fn below_min(&self) -> f64 {
        self.share(self.below)
    }

    /// Each number weighs as long as it lasted.
    pub(super) fn weighted(&self) -> Distribution {
        let all = self.weight(self.all);
        if all == 0 {
            return Distribution::default();
        }
        let values = self.values.iter().map(|(value, weight)| (*value, self.weight(*weight)));
        let mut values = values.filter(|(_, weight)| *weight > 0);
        let of_all = values.clone();
        let sum = of_all.fold(0_u128, |sum, (value, weight)| {
            sum.saturating_add(weight.saturating_mul(value.into()))
        });
        let (mut passed, mut reached) = (0_u128, 0);
        let percentiles = (0..=100_u128).map(|percent| {
            while passed == 0 || passed.saturating_mul(100) < all.saturating_mul(percent) {
                let Some((value, weight)) = values.next() else { break };
                reached = value;
                passed = passed.saturating_add(weight);
            }
            float(reached)
        });
        Distribution { mean: wide(sum) / wide(all), percentiles: percentiles.collect() }
    }

    /// As damo does it: [`Percentiles::Damo`](super::Percentiles::Damo).
    pub(super) fn like_damo(&self) -> Distribution {
        let count =
            self.values.values().fold(0_u64, |sum, weight| sum.saturating_add(weight.snapshots));
        let Some(last) = count.checked_sub(1) else {
            return Distribution::default();
        };
        let sum = self.values.iter().fold(0_u128, |sum, (value, weight)| {
            sum.saturating_add(u128::from(*value).saturating_mul(weight.snapshots.into()))
        });
        let mut values = self.values.iter();
        let (mut passed, mut reached) = (0_u64, 0);
        let percentiles = (0..=100_u32).map(|percent| {
            let index = round((f64::from(percent) / 100.0 * float(count)).floor()).min(last);
            while passed <= index {
                let Some((value, weight)) = values.next() else { break };
                reached = *value;
                passed = passed.saturating_add(weight.snapshots);
            }
            float(reached)
        });
        Distribution { mean: wide(sum / u128::from(count)), percentiles: percentiles.collect() }
    }
}

impl Tally<RegionCount> for Counted<'_> {
    fn add(&mut self, sample: &RegionCount) {
        let ns = sample.end_ns.saturating_sub(sample.start_ns).into();
        let weight = Weight { ns, snapshots: 1 };
        let (least, most) = in_force(self.limits, sample.end_ns);
        self.values.entry(sample.regions).or_default().add(weight);
        self.all.add(weight);
        if sample.regions > most {
            self.above.add(weight);
        }
        if sample.regions < least {
            self.below.add(weight);
        }
    }

    fn merge(&mut self, other: Self) {
        for (value, weight) in other.values {
            self.values.entry(value).or_default().add(weight);
        }
        self.all.add(other.all);
        self.above.add(other.above);
        self.below.add(other.below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_damo_are_indices() {
        let counted = |list: &[u64]| {
            let mut counted = Counted::new(&[]);
            let count = |regions| RegionCount { start_ns: 3, end_ns: 3, regions };
            for regions in list {
                counted.add(&count(*regions));
            }
            counted.like_damo()
        };
        let found = counted(&[5, 1, 4, 2]);
        // Python: [1, 2, 4, 5][min(int(p / 100 * 4), 3)].
        let at = |p| found.at(p);
        assert_eq!([at(0), at(24), at(25), at(50)], [Some(1.0), Some(1.0), Some(2.0), Some(4.0)]);
        assert_eq!([at(75), at(99), at(100)], [Some(5.0); 3]);
        assert!((found.mean - 3.0).abs() < 1e-12);
        assert_eq!(counted(&[3, 3, 3]).percentiles, [3.0; 101]);
        assert_eq!(counted(&[]), Distribution::default());
    }

    #[test]
    fn numbers_weigh_as_long_as_they_lasted_unless_none_lasted() {
        let of = |list: &[(u64, u64)]| {
            let mut counted = Counted::new(&[]);
            for &(regions, end_ns) in list {
                counted.add(&RegionCount { start_ns: 0, end_ns, regions });
            }
            counted.weighted()
        };
        let found = of(&[(9, 25), (1, 74), (1, 1), (5, 0)]);
        assert_eq!([0, 75, 76, 100].map(|p| found.at(p)), [1.0, 1.0, 9.0, 9.0].map(Some));
        assert!((found.mean - 3.0).abs() < 1e-12);
        let found = of(&[(9, 0), (1, 0), (2, 0)]);
        assert_eq!([0, 33, 34, 67, 100].map(|p| found.at(p)), [1.0, 1.0, 2.0, 9.0, 9.0].map(Some));
        assert!((found.mean - 4.0).abs() < 1e-12);
        assert_eq!(of(&[]), Distribution::default());
    }
}
