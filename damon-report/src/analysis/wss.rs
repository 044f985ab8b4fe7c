//! Working set sizes: touched (upper estimate) and expected (lower estimate).

use serde::Serialize;

/// Working set of one snapshot moment (several targets of one moment are summed).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WorkingSetSample {
    /// Begin of the aggregation, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// End of the aggregation.
    pub end_ns: u64,
    /// Σ size over regions with `nr_accesses` ≥ threshold, bytes.
    pub touched: u64,
    /// Σ size × access rate, bytes.
    pub expected: f64,
    /// Lower end of the 95 % interval of `expected`; equal to it when every page was looked at.
    pub expected_low: f64,
    /// Upper end of the 95 % interval of `expected`.
    pub expected_high: f64,
    /// Σ size of all regions, bytes.
    pub monitored: u64,
}

/// Resident set size at a moment, from the trace's memory series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ResidentSample {
    /// When.
    pub time_ns: u64,
    /// Bytes.
    pub rss: u64,
}

/// Working set of a recording or a part of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkingSet {
    /// `nr_accesses` from which on a region counts as touched.
    pub threshold: u32,
    /// One per moment, ascending in time.
    pub samples: Vec<WorkingSetSample>,
    /// Resident set size over time, summed over the targets.
    pub resident: Vec<ResidentSample>,
    /// Distribution over time of [`WorkingSetSample::touched`].
    pub touched: Distribution,
    /// Distribution over time of [`WorkingSetSample::expected`].
    pub expected: Distribution,
}

/// How a quantity was distributed over time; each value weighs as long as it lasted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// Time-weighted mean, bytes.
    pub mean: f64,
    /// Bytes that were not exceeded in `index` per cent of the time, for 0 ..= 100; empty without samples.
    pub percentiles: Vec<f64>,
}
