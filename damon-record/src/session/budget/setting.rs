//! What the budget sets, and what changes it: plain values without a memory.

use crate::plan::{Intervals, Plan};
use damon_format::Attrs;
use std::time::Duration;

/// Sampling is never stretched beyond this.
pub(super) const LONGEST_SAMPLE: Duration = Duration::from_secs(600);

/// What the budget sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct Setting {
    pub(in crate::session) intervals: Intervals,
    pub(in crate::session) max_regions: u32,
}

impl Setting {
    /// The attributes as they are recorded.
    pub(in crate::session) fn attrs(self, plan: &Plan) -> Attrs {
        Attrs { max_nr_regions: self.max_regions, ..plan.attrs(self.intervals) }
    }

    /// Whether it looks less than `other`.
    pub(super) fn is_tighter_than(self, other: Self) -> bool {
        let (sample, other_sample) = (self.intervals.sample, other.intervals.sample);
        sample > other_sample || (sample == other_sample && self.max_regions < other.max_regions)
    }

    /// Both intervals `factor` times as long.
    pub(super) fn stretched(self, factor: f64) -> Self {
        let Intervals { sample, aggr } = self.intervals;
        let samples = aggr.as_nanos() / sample.as_nanos().max(1);
        let samples = u32::try_from(samples).unwrap_or(u32::MAX).max(1);
        let longer = round_up(sample.mul_f64(factor.clamp(1.0, 1000.0)));
        let longer = longer.min(LONGEST_SAMPLE.max(sample));
        let intervals = Intervals { sample: longer, aggr: longer.saturating_mul(samples) };
        Self { intervals, ..self }
    }
}

/// Why a setting changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Why {
    /// Recording costs more than the budget.
    Above,
    /// It would cost more if the target made use of all regions.
    Foreseen,
    /// There is room for more.
    Room,
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::session) struct Change {
    pub(in crate::session) setting: Setting,
    pub(in crate::session) why: Why,
    /// What led to it: shares of one core of the recorder and, estimated, of the target.
    pub(in crate::session) share: Share,
}

/// What recording costs, parts of one core.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::session) struct Share {
    pub(in crate::session) recorder: f64,
    pub(in crate::session) target: f64,
}

impl Share {
    pub(in crate::session) fn sum(self) -> f64 {
        self.recorder + self.target
    }
}

/// Up to the next number of microseconds with two significant digits.
pub(super) fn round_up(duration: Duration) -> Duration {
    let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 2).max(1);
    let unit = 10_u64.pow(us.ilog10().saturating_sub(1));
    Duration::from_micros(us.div_ceil(unit).saturating_mul(unit))
}

/// Down to two significant digits.
pub(super) fn round_down(count: u32) -> u32 {
    let unit = 10_u32.pow(count.max(1).ilog10().saturating_sub(1));
    count / unit * unit
}
