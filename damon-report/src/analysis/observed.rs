//! The time in which anything was observed.

use super::num::float;
use super::spans::SpanSet;
use std::ops::Range;

/// The union of all snapshots' times. Blocks hand out their snapshots target by target, so they come in any order.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed(SpanSet);

impl Observed {
    /// Adds one snapshot's time and says how much it weighs: one that took no time weighs a nanosecond, next to nothing, and
    /// all there is if there are no others.
    pub(super) fn add(&mut self, time: &Range<u64>) -> f64 {
        let end_ns = time.end.max(time.start.saturating_add(1));
        self.0.insert(time.start..end_ns);
        float(end_ns - time.start)
    }

    /// Adds what was observed elsewhere.
    pub(super) fn merge(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// Nanoseconds.
    pub(super) fn total_ns(&self) -> u64 {
        self.0.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_several_share_counts_once_in_any_order() {
        let times = [(100, 200), (0, 100), (10, 110), (110, 210), (300, 310)];
        let mut observed = Observed::default();
        for (start, end) in times {
            assert!((observed.add(&(start..end)) - float(end - start)).abs() < 1e-9);
        }
        assert_eq!(observed.total_ns(), 220);
        let mut other = Observed::default();
        other.add(&(305..405));
        observed.merge(&other);
        assert_eq!(observed.total_ns(), 315);
    }

    #[test]
    fn no_time_weighs_next_to_nothing() {
        let mut observed = Observed::default();
        assert!(observed.add(&(u64::MAX..u64::MAX)).abs() < 2.0);
        let mut observed = Observed::default();
        assert!((observed.add(&(7..7)) - 1.0).abs() < 1e-9);
        assert_eq!(observed.total_ns(), 1);
    }
}
