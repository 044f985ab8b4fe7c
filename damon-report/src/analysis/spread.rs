//! How a quantity was distributed over time, in bounded memory and however many values there are.

use super::distribution::Distribution;
use super::num::{float, round_wide, wide};
use std::collections::BTreeMap;

/// Time by value: values that agree in the first ten bits after the leading one are taken as the middle between the least and the greatest of
/// their kind, which is at most a two-thousandth of the value away. Least, greatest and mean are exact.
///
/// Sums are integers: the order in which values are added does not matter.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Spread {
    /// Nanoseconds by the leading bits.
    buckets: BTreeMap<u64, u128>,
    ns: u128,
    /// Σ value × nanoseconds.
    sum: u128,
    ends: Option<(f64, f64)>,
}

/// Bits of a number that are not looked at.
const REST: u32 = 52 - 10;

/// What values with these leading bits are taken as.
fn middle(bits: u64) -> f64 {
    if bits == 0 { 0.0 } else { f64::from_bits(bits << REST | 1 << (REST - 1)) }
}

impl Spread {
    /// Adds a value, not below zero, that held for so long; for one nanosecond at least.
    pub(super) fn add(&mut self, value: f64, ns: u64) {
        let value = value.max(0.0);
        let ns = ns.max(1);
        let time = self.buckets.entry(value.to_bits() >> REST).or_default();
        *time = time.saturating_add(ns.into());
        self.ns = self.ns.saturating_add(ns.into());
        self.sum = self.sum.saturating_add(round_wide(value * float(ns)));
        self.cover((value, value));
    }

    fn cover(&mut self, (least, greatest): (f64, f64)) {
        let (a, b) = self.ends.unwrap_or((least, greatest));
        self.ends = Some((a.min(least), b.max(greatest)));
    }

    /// Adds all of another one.
    pub(super) fn merge(&mut self, other: Self) {
        for (bits, ns) in other.buckets {
            let time = self.buckets.entry(bits).or_default();
            *time = time.saturating_add(ns);
        }
        self.ns = self.ns.saturating_add(other.ns);
        self.sum = self.sum.saturating_add(other.sum);
        if let Some(ends) = other.ends {
            self.cover(ends);
        }
    }

    /// Mean over time.
    pub(super) fn mean(&self) -> f64 {
        wide(self.sum) / wide(self.ns.max(1))
    }

    /// The distribution.
    pub(super) fn distribution(&self) -> Distribution {
        let Some((least, greatest)) = self.ends else {
            return Distribution::default();
        };
        let mut buckets = self.buckets.iter();
        let (mut passed, mut reached) = (0_u128, least);
        let percentiles = (0..=100_u128).map(|percent| {
            while percent > 0 && passed.saturating_mul(100) < self.ns.saturating_mul(percent) {
                let Some((bits, ns)) = buckets.next() else { break };
                reached = middle(*bits).clamp(least, greatest);
                passed = passed.saturating_add(*ns);
            }
            if percent == 100 { greatest } else { reached }
        });
        Distribution { mean: self.mean(), percentiles: percentiles.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(list: &[(f64, u64)]) -> Spread {
        let mut spread = Spread::default();
        for (value, ns) in list {
            spread.add(*value, *ns);
        }
        spread
    }

    proptest! {
        #[test]
        fn values_are_a_two_thousandth_off_at_most_in_any_order(
            list in prop::collection::vec(
                (prop_oneof![Just(0.0), 1.0_f64..1e3, 1e9_f64..1e13], 1_u64..1_000_000_000),
                1..60,
            ),
            cut in 0_usize..60,
        ) {
            let (found, exact) = (of(&list).distribution(), Distribution::of(list.clone()));
            prop_assert!((found.mean - exact.mean).abs() <= 1e-9 * exact.mean);
            prop_assert_eq!(found.percentiles.len(), 101);
            for (percent, (a, b)) in found.percentiles.iter().zip(&exact.percentiles).enumerate() {
                prop_assert!((a - b).abs() <= b / 2000.0, "{percent} %: {a} {b}");
            }
            prop_assert_eq!(found.at(0), exact.at(0));
            prop_assert_eq!(found.at(100), exact.at(100));
            let (first, second) = list.split_at(cut.min(list.len()));
            let mut other_way = of(second);
            other_way.merge(of(first));
            prop_assert_eq!(other_way, of(&list));
        }
    }

    #[test]
    fn nothing_has_no_percentiles() {
        assert_eq!(Spread::default().distribution(), Distribution::default());
    }

    #[test]
    fn room_does_not_grow_with_the_number_of_values() {
        let list: Vec<(f64, u64)> = (0..100_000_u32).map(|i| (1e9 + f64::from(i), 7)).collect();
        assert!(of(&list).buckets.len() < 2);
    }
}
