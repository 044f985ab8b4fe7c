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

use super::column::short;
use super::course::{Course, Sample, Timed};
use super::courses::{Bounds, Courses, Tally};
use super::fold::Fold;
use super::lineage::Lineage;
use super::load::Trace;
use super::num::float;
use super::sampling_error::{Interval, RateSum, add_up};
use super::seen::seen;
use super::select::Selection;
use super::spread::Spread;
use super::view::View;
use super::wss::Distribution;
use damon_format::SnapshotView;
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
    /// Lower end of the 95 % interval of `low`: sampling error alone; its distance to `low` has seven digits.
    pub low_from: f64,
    /// Upper end of that interval, likewise.
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
    /// Of more than 2²⁰ snapshots, samples are means over cells of so many nanoseconds. Then percentiles are a two-thousandth of the
    /// value off at most; of several targets they are those of these means. None where there is a sample for each moment.
    pub cell_ns: Option<u64>,
    /// Ascending in time.
    pub samples: Course<BandwidthSample, 4>,
}

impl Timed for BandwidthSample {
    fn time(&self) -> Range<u64> {
        self.start_ns..self.end_ns
    }
}

/// `low`, the distances to the ends of its interval, `high`.
impl Sample<4> for BandwidthSample {
    fn values(&self) -> [f64; 4] {
        let [below, above] = [self.low - self.low_from, self.low_to - self.low];
        [self.low, short(below).into(), short(above).into(), self.high]
    }

    fn of(time: Range<u64>, [low, below, above, high]: [f64; 4]) -> Self {
        let (start_ns, end_ns) = (time.start, time.end);
        Self { start_ns, end_ns, low, low_from: low - below, low_to: low + above, high }
    }
}

/// Estimates for a view; `exact` where every page was looked at, so that there is no sampling error.
pub fn bandwidth(trace: &Trace, view: &View, exact: bool) -> Bandwidth {
    let none = Spreads::default();
    let sum = trace.fold(&view.selection, || BandwidthSum {
        selection: &view.selection,
        exact,
        lineage: Lineage::default(),
        rates: RateSum::default(),
        samples: Courses::new(Bounds::USUAL, none.clone()),
    });
    let mut ended = sum.samples.end_total(add_targets);
    let (samples, cell_ns) = (ended.total, ended.cell_ns);
    if cell_ns.is_none() {
        let length = |index| samples.length_ns(index);
        let of = |which| {
            Distribution::from_columns(samples.len(), &|i| samples.value(which, i), &length)
        };
        let (low, high) = (of(0), of(3));
        let low_interval = mean_interval(&samples);
        return Bandwidth { low, high, low_interval, cell_ns, samples };
    }
    let alone = if ended.targets.len() == 1 { ended.targets.pop_first() } else { None };
    let spreads = alone.and_then(|(_, (_, tally))| tally).unwrap_or_else(|| {
        let mut spreads = none;
        for sample in samples.iter() {
            spreads.add(&sample);
        }
        spreads
    });
    Bandwidth {
        low: spreads.low.distribution(),
        high: spreads.high.distribution(),
        low_interval: (spreads.from.mean(), spreads.to.mean()),
        cell_ns,
        samples,
    }
}

/// Time-weighted means of the ends of the intervals; samples without a duration count only if all are.
fn mean_interval(samples: &Course<BandwidthSample, 4>) -> (f64, f64) {
    let length = |s: &BandwidthSample| s.end_ns.saturating_sub(s.start_ns);
    let weightless = samples.iter().all(|sample| length(&sample) == 0);
    let (mut from, mut to, mut weights) = (0.0, 0.0, 0.0);
    for sample in samples.iter() {
        let weight = if weightless { 1.0 } else { float(length(&sample)) };
        from += sample.low_from * weight;
        to += sample.low_to * weight;
        weights += weight;
    }
    if weights > 0.0 { (from / weights, to / weights) } else { (0.0, 0.0) }
}

/// How estimates are distributed, where there are too many.
#[derive(Clone, Debug, Default)]
struct Spreads {
    low: Spread,
    high: Spread,
    from: Spread,
    to: Spread,
}

impl Tally<BandwidthSample> for Spreads {
    fn add(&mut self, sample: &BandwidthSample) {
        let ns = sample.end_ns.saturating_sub(sample.start_ns);
        self.low.add(sample.low, ns);
        self.high.add(sample.high, ns);
        self.from.add(sample.low_from, ns);
        self.to.add(sample.low_to, ns);
    }

    fn merge(&mut self, other: Self) {
        self.low.merge(other.low);
        self.high.merge(other.high);
        self.from.merge(other.from);
        self.to.merge(other.to);
    }
}

struct BandwidthSum<'a> {
    selection: &'a Selection,
    exact: bool,
    lineage: Lineage,
    rates: RateSum,
    samples: Courses<BandwidthSample, 4, Spreads>,
}

impl Fold for BandwidthSum<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        let parts: &[f64] = if self.exact { &[] } else { self.lineage.follow(snapshot).parts };
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
        let time = self.selection.time_of(snapshot);
        let sample = BandwidthSample {
            start_ns: time.start,
            end_ns: time.end,
            low: low.estimate,
            low_from: low.low,
            low_to: low.high,
            high: low.estimate * f64::from(n),
        };
        self.samples.push(snapshot.target, &sample);
    }

    fn merge(&mut self, later: Self) {
        self.samples.merge(later.samples);
    }
}

/// The targets of a moment added up; one that was there for a part of it counts for that part.
fn add_targets(moment: &[BandwidthSample]) -> Option<BandwidthSample> {
    let [first, others @ ..] = moment else { return None };
    if others.is_empty() {
        return Some(*first);
    }
    let length = |s: &BandwidthSample| float(s.end_ns.saturating_sub(s.start_ns)).max(1.0);
    let part = |s: &BandwidthSample| (length(s) / length(first)).min(1.0);
    let interval =
        |s: &BandwidthSample| Interval { estimate: s.low, low: s.low_from, high: s.low_to };
    let intervals: Vec<Interval> = moment.iter().map(|s| interval(s).scaled(part(s))).collect();
    let low = add_up(&intervals);
    Some(BandwidthSample {
        low: low.estimate,
        low_from: low.low,
        low_to: low.high,
        high: moment.iter().map(|s| s.high * part(s)).sum(),
        ..*first
    })
}
