//! How much memory a program may have passed over per second: two estimates far apart, and why.
//!
//! A positive sample says that a page was touched at least once since the last look. Nothing says how often, nor how much of the page.
//! Let `d` be how long an aggregation took, and `k` of `N` samples of a region positive:
//!
//! * **once per aggregation**: Σ size × k/N ÷ d. What is touched in one sampling interval is touched in the aggregation, so
//!   that distinct pages amount to this much at least (it is the expected working set per aggregation).
//! * **once per sample**: Σ size × k ÷ d, N times as much. Every positive sample is taken as one pass over the
//!   region; damo's estimate, which is too high where pages of a region are touched in turn or in sampling
//!   intervals next to each other, and does not see what is touched several times in a sampling interval.

use super::fold::Fold;
use super::lineage::Lineage;
use super::load::Trace;
use super::num::float;
use super::sampling_error::{Interval, RateSum, add_up};
use super::seen::seen;
use super::select::Selection;
use super::together::together;
use super::view::View;
use super::wss::Distribution;
use damon_format::{SnapshotView, TargetId};
use serde::Serialize;
use std::ops::Range;

/// Estimates of one moment, bytes per second; several targets of one moment are added up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BandwidthSample {
    /// Begin, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// End.
    pub end_ns: u64,
    /// Every page that was seen accessed is passed over once per aggregation: a lower estimate.
    pub low: f64,
    /// Lower end of the 95 % interval of `low`: sampling error alone.
    pub low_from: f64,
    /// Upper end of that interval.
    pub low_to: f64,
    /// Every positive sample is a pass over the whole region: an upper estimate, as damo makes it.
    pub high: f64,
}

/// Estimates over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bandwidth {
    /// Distribution over time of [`BandwidthSample::low`], bytes per second.
    pub low: Distribution,
    /// Distribution over time of [`BandwidthSample::high`], bytes per second.
    pub high: Distribution,
    /// Time-weighted means of the ends of the 95 % intervals of `low`.
    pub low_interval: (f64, f64),
    /// Ascending in time.
    pub samples: Vec<BandwidthSample>,
}

/// Estimates for a view; `exact` where every page was looked at, so that there is no sampling error.
pub fn bandwidth(trace: &Trace, view: &View, exact: bool) -> Bandwidth {
    let sum = trace.fold(&view.selection, || BandwidthSum {
        selection: &view.selection,
        exact,
        lineage: Lineage::default(),
        rates: RateSum::default(),
        samples: Vec::new(),
    });
    let samples = add_targets(&sum.samples);
    let over_time = |value: fn(&BandwidthSample) -> f64| {
        let length = |s: &BandwidthSample| s.end_ns.saturating_sub(s.start_ns);
        Distribution::of(samples.iter().map(|s| (value(s), length(s))).collect())
    };
    Bandwidth {
        low: over_time(|s| s.low),
        high: over_time(|s| s.high),
        low_interval: (over_time(|s| s.low_from).mean, over_time(|s| s.low_to).mean),
        samples,
    }
}

struct BandwidthSum<'a> {
    selection: &'a Selection,
    exact: bool,
    lineage: Lineage,
    rates: RateSum,
    samples: Vec<(TargetId, BandwidthSample)>,
}

impl Fold for BandwidthSum<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        let parts: &[f64] = if self.exact { &[] } else { self.lineage.follow(snapshot) };
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        let n = snapshot.sampling.max_nr_accesses.max(1);
        self.rates.reset(n);
        let parts = parts.iter().copied().chain(std::iter::repeat(1.0));
        for (region, parts) in seen(snapshot).zip(parts) {
            for piece in self.selection.pieces(snapshot.target, region.start, region.end) {
                let size = piece.end - piece.start;
                // A piece of a region may be one of its parts.
                let parts = if size == region.size() { parts } else { 1.0 };
                self.rates.add(float(size), region.nr_accesses, parts);
            }
        }
        let per_aggregation =
            if self.exact { Interval::exact(self.rates.sum()) } else { self.rates.total() };
        // An aggregation that took no time took as long as it should have.
        let taken = match snapshot.end_ns.saturating_sub(snapshot.start_ns) {
            0 => snapshot.sampling.aggr_us.saturating_mul(1000).max(1),
            taken => taken,
        };
        let low = per_aggregation.scaled(1e9 / float(taken));
        let start_ns = snapshot.start_ns.max(self.selection.time.start);
        let sample = BandwidthSample {
            start_ns,
            end_ns: snapshot.end_ns.min(self.selection.time.end).max(start_ns),
            low: low.estimate,
            low_from: low.low,
            low_to: low.high,
            high: low.estimate * f64::from(n),
        };
        self.samples.push((snapshot.target, sample));
    }

    fn merge(&mut self, mut later: Self) {
        self.samples.append(&mut later.samples);
    }
}

/// The targets of each moment added up; one that was there for a part of it counts for that part.
fn add_targets(samples: &[(TargetId, BandwidthSample)]) -> Vec<BandwidthSample> {
    let times: Vec<(TargetId, Range<u64>)> =
        samples.iter().map(|(target, s)| (*target, s.start_ns..s.end_ns)).collect();
    let moment = |indices: Vec<usize>| {
        let all: Vec<&BandwidthSample> =
            indices.into_iter().filter_map(|i| samples.get(i)).map(|(_, s)| s).collect();
        let [first, others @ ..] = all.as_slice() else {
            return None;
        };
        if others.is_empty() {
            return Some(**first);
        }
        let length = |s: &BandwidthSample| float(s.end_ns.saturating_sub(s.start_ns)).max(1.0);
        let part = |s: &BandwidthSample| (length(s) / length(first)).min(1.0);
        let interval =
            |s: &BandwidthSample| Interval { estimate: s.low, low: s.low_from, high: s.low_to };
        let intervals: Vec<Interval> = all.iter().map(|s| interval(s).scaled(part(s))).collect();
        let low = add_up(&intervals);
        Some(BandwidthSample {
            low: low.estimate,
            low_from: low.low,
            low_to: low.high,
            high: all.iter().map(|s| s.high * part(s)).sum(),
            ..**first
        })
    };
    together(&times).into_iter().filter_map(moment).collect()
}
