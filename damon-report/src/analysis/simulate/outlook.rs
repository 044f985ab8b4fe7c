//! One number three times: as good, as likely and as bad as what was recorded allows.

use serde::Serialize;

/// A number under three readings of the recording.
///
/// A region that counts `k` accesses in `n` samples says that `k / n` of its pages were accessed in a sampling interval,
/// and not which, nor whether they were the same ones each time.
///
/// * `optimistic`: they were the same ones each time, and no more than the lower end of the 95 % interval of `k / n` (Wilson;
///   `k / n` itself where every page was looked at);
/// * `expected`: its pages are accessed alike. Then the probability that any of `n` samples finds an access is the share
///   of the pages that are accessed in these `n` intervals, so that all of a region that was found accessed and
///   nothing of one that was not is right on average. Where every page was looked at, `1 - (1 - k / n)^n`: the pages of one
///   interval tell nothing of those of the next;
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
