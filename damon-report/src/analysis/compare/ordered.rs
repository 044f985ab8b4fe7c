//! Values in their order, each with the time for which it was.

use crate::analysis::num::{float, wide};

/// Values and for how long each was, in ascending order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ordered {
    /// A value, and the time until it and all below are over.
    list: Vec<(f64, u128)>,
    mean: f64,
}

impl Ordered {
    /// Values without a duration count only if all are.
    pub(super) fn of(mut values: Vec<(f64, u64)>) -> Self {
        let weightless = values.iter().all(|(_, length)| *length == 0);
        if weightless {
            for (_, length) in &mut values {
                *length = 1;
            }
        }
        values.retain(|(_, length)| *length > 0);
        values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let (mut all, mut sum) = (0_u128, 0.0);
        let mut list = Vec::with_capacity(values.len());
        for (value, length) in values {
            all += u128::from(length);
            sum += value * float(length);
            list.push((value, all));
        }
        Self { list, mean: if all > 0 { sum / wide(all) } else { 0.0 } }
    }

    fn all(&self) -> u128 {
        self.list.last().map_or(0, |(_, all)| *all)
    }

    /// Mean over time; `None` without values.
    pub(super) fn mean(&self) -> Option<f64> {
        (!self.list.is_empty()).then_some(self.mean)
    }

    /// What was not exceeded in so many per cent of the time; `None` without values.
    pub(super) fn at(&self, percent: u32) -> Option<f64> {
        let wanted = self.all().saturating_mul(u128::from(percent));
        let at = self.list.partition_point(|(_, until)| until.saturating_mul(100) < wanted);
        self.list.get(at).or(self.list.last()).map(|(value, _)| *value)
    }

    /// What was not exceeded in such a share of the time.
    fn near(&self, share: f64) -> Option<f64> {
        let wanted = share * wide(self.all());
        let at = self.list.partition_point(|(_, until)| wide(*until) < wanted);
        self.list.get(at).or(self.list.last()).map(|(value, _)| *value)
    }

    /// Standard deviation of the value that is not exceeded in `share` of the time, if that share itself has the standard deviation
    /// `error`: half of how far apart the values at both ends of it are (Woodruff 1952).
    pub(super) fn spread(&self, share: f64, error: f64) -> f64 {
        let (low, high) = (share - error, share + error);
        let ends = [low.max(0.0), share, high.min(1.0)].map(|share| self.near(share));
        let [Some(below), Some(here), Some(above)] = ends else { return 0.0 };
        if low < 0.0 || high > 1.0 {
            // One end is cut off; the other one tells.
            (here - below).max(above - here)
        } else {
            (above - below) / 2.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_weigh_as_long_as_they_lasted() {
        let found = Ordered::of(vec![(3.0, 10), (1.0, 80), (2.0, 10), (9.0, 0)]);
        assert_eq!(
            [0, 50, 80, 81, 95, 100].map(|p| found.at(p)),
            [1.0, 1.0, 1.0, 2.0, 3.0, 3.0].map(Some)
        );
        assert_eq!(found.mean(), Some(1.3));
        // From 0.7 to 0.9: 1 and 2. From 0.9 to 1.1, cut off: 3 less 2.
        assert!((found.spread(0.8, 0.1) - 0.5).abs() < 1e-12);
        assert!((found.spread(0.95, 0.1) - 1.0).abs() < 1e-12, "{}", found.spread(0.95, 0.1));
        let still = Ordered::of(vec![(5.0, 0), (7.0, 0)]);
        assert_eq!((still.mean(), still.at(50), still.at(51)), (Some(6.0), Some(5.0), Some(7.0)));
        assert_eq!((Ordered::default().mean(), Ordered::default().at(50)), (None, None));
        assert!(Ordered::default().spread(0.5, 0.1).abs() < 1e-12);
    }
}
