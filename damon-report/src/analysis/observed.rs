//! The time in which anything was observed.

use super::num::float;

/// The length of the union of all snapshots' times, whose begin is about that of the order in which they come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Observed {
    /// Nanoseconds, as all here.
    start: u64,
    until: u64,
    total: u64,
}

impl Observed {
    /// Adds one snapshot's time and says how much it weighs: one that took no time weighs a nanosecond, next to nothing, and
    /// all there is if there are no others.
    pub(super) fn add(&mut self, start_ns: u64, end_ns: u64) -> f64 {
        let end_ns = end_ns.max(start_ns.saturating_add(1));
        if self.total == 0 {
            self.start = start_ns;
        }
        let new = end_ns.saturating_sub(start_ns.max(self.until));
        self.total = self.total.saturating_add(new);
        self.until = self.until.max(end_ns);
        float(end_ns - start_ns)
    }

    /// Adds what was observed afterwards.
    pub(super) fn merge(&mut self, later: &Self) {
        if self.total == 0 {
            *self = *later;
            return;
        }
        let twice = self.until.saturating_sub(later.start).min(later.total);
        self.total = self.total.saturating_add(later.total - twice);
        self.until = self.until.max(later.until);
    }

    /// Nanoseconds.
    pub(super) fn total_ns(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_several_share_counts_once() {
        let mut observed = Observed::default();
        for (start, end) in [(0, 100), (10, 110), (100, 200), (110, 210), (300, 310)] {
            assert!((observed.add(start, end) - float(end - start)).abs() < 1e-9);
        }
        assert_eq!(observed.total, 220);
        let mut later = Observed::default();
        later.add(305, 405);
        observed.merge(&later);
        assert_eq!((observed.total, observed.until), (315, 405));
        let mut empty = Observed::default();
        empty.merge(&observed);
        assert_eq!(empty.total, 315);
    }

    #[test]
    fn no_time_weighs_next_to_nothing() {
        let mut observed = Observed::default();
        assert!((observed.add(u64::MAX, u64::MAX)).abs() < 2.0);
        let mut observed = Observed::default();
        assert!((observed.add(7, 7) - 1.0).abs() < 1e-9);
        assert_eq!(observed.total_ns(), 1);
    }
}
