//! One number three times: as good, as likely and as bad as what was recorded allows.

use serde::Serialize;

/// A number under three readings of the recording.
///
/// A region that counts `k` accesses in `n` samples says that `k / n` of its pages were accessed in a sampling interval,
/// and not which, nor whether they were the same ones each time.
///
/// * `optimistic`: no more pages came back than the lower end of the 95 % interval of `k / n` (Wilson; `k / n` itself
///   where every page was looked at);
/// * `expected`: `k / n` of those that were away, in each aggregation anew;
/// * `pessimistic`: all of the region.
///
/// The three are followed from the beginning on, so that memory that came back is not away later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Outlook {
    /// Least trouble.
    pub optimistic: f64,
    /// Most likely.
    pub expected: f64,
    /// Most trouble.
    pub pessimistic: f64,
}

impl Outlook {
    /// The same under each reading.
    pub fn same(value: f64) -> Self {
        Self { optimistic: value, expected: value, pessimistic: value }
    }

    /// Changes each by itself.
    #[must_use]
    pub fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Self {
            optimistic: change(self.optimistic),
            expected: change(self.expected),
            pessimistic: change(self.pessimistic),
        }
    }

    /// Puts two together, reading by reading.
    #[must_use]
    pub fn with(self, other: Self, join: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            optimistic: join(self.optimistic, other.optimistic),
            expected: join(self.expected, other.expected),
            pessimistic: join(self.pessimistic, other.pessimistic),
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        *self = self.with(other, |a, b| a + b);
    }
}
