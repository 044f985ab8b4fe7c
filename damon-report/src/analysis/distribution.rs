//! How a quantity was distributed over time.

use super::num::float;
use serde::{Serialize, Serializer};

/// How a quantity was distributed over time; each value weighs as long as it lasted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// Time-weighted mean, bytes.
    pub mean: f64,
    /// Bytes that were not exceeded in `index` per cent of the time, for 0 ..= 100; empty without samples.
    pub percentiles: Vec<f64>,
}

impl Distribution {
    /// From values and how long each lasted; values without a duration count only if all are.
    pub fn of(weighted: Vec<(f64, u64)>) -> Self {
        let (values, weights): (Vec<f64>, Vec<u64>) = weighted.into_iter().unzip();
        let value = |index: usize| values.get(index).copied().unwrap_or(0.0);
        let weight = |index: usize| weights.get(index).copied().unwrap_or(0);
        Self::from_columns(values.len(), &value, &weight)
    }

    /// The same from values and weights by their index.
    ///
    /// They are sorted by the float nearest to them, and exactly where that is the same: eight bytes a value instead of sixteen.
    pub(super) fn from_columns(
        count: usize,
        value: &dyn Fn(usize) -> f64,
        weight: &dyn Fn(usize) -> u64,
    ) -> Self {
        let weightless = (0..count).all(|index| weight(index) == 0);
        let weight = |index: usize| if weightless { 1 } else { weight(index) };
        let mut order: Vec<(f32, u32)> = (0..count)
            .filter(|index| weight(*index) > 0)
            .filter_map(|index| Some((nearest(value(index)), u32::try_from(index).ok()?)))
            .collect();
        let at = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
        order.sort_unstable_by(|a, b| {
            let exact = || value(at(a.1)).total_cmp(&value(at(b.1)));
            a.0.total_cmp(&b.0).then_with(exact)
        });
        let Some(highest) = order.last().map(|(_, index)| value(at(*index))) else {
            return Self::default();
        };
        let (mut total, mut sum, mut weights) = (0_u128, 0.0, 0.0);
        for (_, index) in &order {
            let weight = weight(at(*index));
            total += u128::from(weight);
            sum += value(at(*index)) * float(weight);
            weights += float(weight);
        }
        let mut percentiles = Vec::with_capacity(101);
        let mut passed = 0_u128;
        let mut values = order.iter();
        let mut reached = f64::NEG_INFINITY;
        for percent in 0..=100_u128 {
            while passed * 100 < total * percent || reached == f64::NEG_INFINITY {
                let Some((_, index)) = values.next() else {
                    reached = highest;
                    break;
                };
                reached = value(at(*index));
                passed += u128::from(weight(at(*index)));
            }
            percentiles.push(reached);
        }
        Self { mean: sum / weights, percentiles }
    }

    /// The value that was not exceeded in `percent` per cent of the time.
    pub fn at(&self, percent: usize) -> Option<f64> {
        self.percentiles.get(percent).copied()
    }
}

/// `null` where there was no value: what is not known is not 0.
pub(super) fn if_known<S: Serializer>(of: &Distribution, to: S) -> Result<S::Ok, S::Error> {
    (!of.percentiles.is_empty()).then_some(of).serialize(to)
}

#[expect(clippy::cast_possible_truncation, reason = "what is equal is compared exactly")]
fn nearest(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_differ_in_the_last_digit_are_in_order() {
        let values: Vec<f64> = (0..100).map(|i| 1e12 + f64::from(i * 37 % 100)).collect();
        let found = Distribution::of(values.iter().map(|value| (*value, 5)).collect());
        assert!(found.percentiles.windows(2).all(|pair| matches!(pair, [a, b] if a <= b)));
        assert_eq!(found.at(1), Some(1e12));
        assert_eq!((found.at(50), found.at(100)), (Some(1e12 + 49.0), Some(1e12 + 99.0)));
    }
}
