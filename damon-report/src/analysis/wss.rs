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
