//! Bytes by what is measured.

use super::metric::Measure;

/// Levels of one moment, bytes; or sums of levels × time, byte·nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Levels {
    /// Σ size × access rate.
    pub expected: f64,
    /// Σ size of what was accessed.
    pub touched: f64,
    /// Σ size × the probability that it is hot.
    pub hot: f64,
    /// Σ size of what was not accessed for long.
    pub idle: f64,
    /// Σ size.
    pub size: f64,
}

impl Levels {
    /// Adds `factor` times as much.
    pub(super) fn add(&mut self, other: &Self, factor: f64) {
        self.expected += other.expected * factor;
        self.touched += other.touched * factor;
        self.hot += other.hot * factor;
        self.idle += other.idle * factor;
        self.size += other.size * factor;
    }

    /// One of them; `None` for measures that are no levels of monitored memory.
    pub(super) fn get(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Expected => Some(self.expected),
            Measure::Touched => Some(self.touched),
            Measure::Hot => Some(self.hot),
            Measure::Idle => Some(self.idle),
            Measure::Size => Some(self.size),
            Measure::Resident | Measure::Volume => None,
        }
    }
}
