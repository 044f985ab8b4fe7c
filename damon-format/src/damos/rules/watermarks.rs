//! When a scheme is on: `damos_wmark_wait_us` (`mm/damon/core.c`).

use crate::damos::kernel::{WatermarkMetric, Watermarks};

/// Switches a scheme on when free memory falls below `mid`, and off above `high` or below `low`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    marks: Watermarks,
    on: bool,
}

impl Switch {
    /// On at first.
    pub fn new(marks: Watermarks) -> Self {
        Self { marks, on: true }
    }

    /// Whether the scheme is on.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Whether anything switches it at all.
    pub fn is_fixed(&self) -> bool {
        self.marks.metric == WatermarkMetric::None
    }

    /// Looks at the free memory in per mille of all memory. Returns how long to wait for the next look,
    /// microseconds, while the scheme is off.
    pub fn update(&mut self, free_permil: u64) -> Option<u64> {
        let Watermarks { high, mid, low, .. } = self.marks;
        let (high, mid, low) = (u64::from(high), u64::from(mid), u64::from(low));
        self.on = self.is_fixed()
            || (low..=high).contains(&free_permil) && (self.on || free_permil < mid);
        (!self.on).then_some(self.marks.interval_us)
    }
}

/// Free memory in per mille of all memory, as the kernel computes it.
pub fn free_permil(free: u64, total: u64) -> u64 {
    super::goal::fraction(free, 1_000, total.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch(metric: WatermarkMetric) -> Switch {
        Switch::new(Watermarks { metric, interval_us: 7, high: 500, mid: 400, low: 200 })
    }

    #[test]
    fn on_below_mid_and_off_above_high_or_below_low() {
        let mut switch = switch(WatermarkMetric::FreeMemRate);
        assert!(switch.is_on(), "at first");
        for (free, on) in [
            (450, true),
            (500, true),
            (501, false),
            (500, false),
            (400, false),
            (399, true),
            (450, true),
            (200, true),
            (199, false),
            (200, true),
            (0, false),
            (1_000, false),
        ] {
            assert_eq!(switch.update(free), (!on).then_some(7), "{free}");
            assert_eq!(switch.is_on(), on, "{free}");
        }
    }

    #[test]
    fn without_a_metric_it_is_always_on() {
        let mut switch = switch(WatermarkMetric::None);
        assert!([0, 300, 450, 1_000].iter().all(|free| switch.update(*free).is_none()));
    }

    #[test]
    fn per_mille_are_rounded_down() {
        assert_eq!([free_permil(1, 3), free_permil(3, 3), free_permil(5, 0)], [333, 1_000, 5_000]);
        assert_eq!(free_permil(u64::MAX, u64::MAX), 1_000);
    }
}
