//! Working set sizes: touched (upper estimate) and expected (lower estimate).

use super::fold::Fold;
use super::lineage::Lineage;
use super::num::float;
use super::sampling_error::{Interval, RateSum, add_up};
use super::select::Selection;
use damon_format::{Backend, Granularity, Record, SnapshotView, TargetId};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;

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

impl WorkingSetSample {
    fn interval(&self) -> Interval {
        Interval { estimate: self.expected, low: self.expected_low, high: self.expected_high }
    }
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
    /// Time-weighted means of the ends of the 95 % intervals of single moments: how sure one aggregation's
    /// `expected` is. The mean over all of them is surer.
    pub expected_interval: (f64, f64),
}

/// How a quantity was distributed over time; each value weighs as long as it lasted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// Time-weighted mean, bytes.
    pub mean: f64,
    /// Bytes that were not exceeded in `index` per cent of the time, for 0 ..= 100; empty without samples.
    pub percentiles: Vec<f64>,
}

impl Distribution {
    /// From values and how long each lasted; values without a duration count only if all are.
    pub fn of(mut weighted: Vec<(f64, u64)>) -> Self {
        if weighted.iter().all(|(_, weight)| *weight == 0) {
            for (_, weight) in &mut weighted {
                *weight = 1;
            }
        }
        weighted.retain(|(_, weight)| *weight > 0);
        weighted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: u128 = weighted.iter().map(|(_, w)| u128::from(*w)).sum();
        let Some(&(highest, _)) = weighted.last() else {
            return Self::default();
        };
        let sum: f64 = weighted.iter().map(|(v, w)| v * float(*w)).sum();
        let weight: f64 = weighted.iter().map(|(_, w)| float(*w)).sum();
        let mut percentiles = Vec::with_capacity(101);
        let mut passed = 0_u128;
        let mut values = weighted.iter();
        let mut value = f64::NEG_INFINITY;
        for percent in 0..=100_u128 {
            while passed * 100 < total * percent || value == f64::NEG_INFINITY {
                let Some((next, weight)) = values.next() else {
                    value = highest;
                    break;
                };
                value = *next;
                passed += u128::from(*weight);
            }
            percentiles.push(value);
        }
        Self { mean: sum / weight, percentiles }
    }

    /// The value that was not exceeded in `percent` per cent of the time.
    pub fn at(&self, percent: usize) -> Option<f64> {
        self.percentiles.get(percent).copied()
    }
}

/// Which regions count, and how sure a rate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkingSetOptions {
    /// `nr_accesses` from which on a region counts as touched.
    pub threshold: u32,
    /// Every page was looked at in every sampling interval: rates carry no sampling error.
    pub exact: bool,
}

impl WorkingSetOptions {
    /// For whoever does not look at the intervals, which cost as much as all the rest: those of the result are empty.
    pub fn without_intervals(threshold: u32) -> Self {
        Self { threshold, exact: true }
    }

    /// Options that fit how a trace was recorded.
    pub fn for_backend(backend: &Backend, threshold: u32) -> Self {
        Self { threshold, exact: backend.exact || backend.granularity == Granularity::Mapping }
    }
}

/// Collects the working set of single snapshots.
#[derive(Debug)]
pub struct WorkingSetSum<'a> {
    options: WorkingSetOptions,
    selection: &'a Selection,
    lineage: Lineage,
    rates: RateSum,
    samples: Vec<(TargetId, WorkingSetSample)>,
}

impl<'a> WorkingSetSum<'a> {
    /// Nothing collected yet.
    pub fn new(selection: &'a Selection, options: WorkingSetOptions) -> Self {
        Self {
            options,
            selection,
            lineage: Lineage::default(),
            rates: RateSum::default(),
            samples: Vec::new(),
        }
    }

    /// The finished working set; `records` provide the resident sizes.
    pub fn finish(self, records: &[Record]) -> WorkingSet {
        let samples = sum_targets(self.samples);
        let weighted = |value: &dyn Fn(&WorkingSetSample) -> f64| {
            let pairs = samples.iter().map(|s| (value(s), s.end_ns.saturating_sub(s.start_ns)));
            Distribution::of(pairs.collect())
        };
        WorkingSet {
            threshold: self.options.threshold,
            resident: resident(records, self.selection),
            touched: weighted(&|s| float(s.touched)),
            expected: weighted(&|s| s.expected),
            expected_interval: (
                weighted(&|s| s.expected_low).mean,
                weighted(&|s| s.expected_high).mean,
            ),
            samples,
        }
    }
}

impl Fold for WorkingSetSum<'_> {
    /// Adds one snapshot, or the selected part of it. Snapshots of a target come in their order: each tells how
    /// sure the next one is, even if it is not selected itself.
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        let exact = self.options.exact;
        let parts: &[f64] = if exact { &[] } else { self.lineage.follow(snapshot) };
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        self.rates.reset(snapshot.sampling.max_nr_accesses);
        let (mut touched, mut monitored) = (0_u64, 0_u64);
        let bounds = snapshot.starts.iter().zip(snapshot.ends);
        // Where it is not known of how many parts a region was made, it is taken as one.
        let parts = parts.iter().copied().chain(std::iter::repeat(1.0));
        for (((&start, &end), &accesses), parts) in bounds.zip(snapshot.nr_accesses).zip(parts) {
            let pieces = self.selection.pieces(snapshot.target, start, end);
            let size: u64 = pieces.map(|piece| piece.end - piece.start).sum();
            if size == 0 {
                continue;
            }
            monitored = monitored.saturating_add(size);
            if accesses >= self.options.threshold {
                touched = touched.saturating_add(size);
            }
            // A piece of a region may be one of its parts.
            let whole = size == end - start;
            self.rates.add(float(size), accesses, if whole { parts } else { 1.0 });
        }
        let expected = if exact { Interval::exact(self.rates.sum()) } else { self.rates.total() };
        let sample = WorkingSetSample {
            start_ns: snapshot.start_ns.max(self.selection.time.start),
            end_ns: snapshot.end_ns.min(self.selection.time.end),
            touched,
            expected: expected.estimate,
            expected_low: expected.low,
            expected_high: expected.high.min(float(monitored)).max(expected.estimate),
            monitored,
        };
        self.samples.push((snapshot.target, sample));
    }

    /// Adds what a later run collected.
    fn merge(&mut self, mut later: Self) {
        self.samples.append(&mut later.samples);
    }
}

/// Sums the targets of each moment. The aggregations of several targets end at slightly different times; a
/// snapshot belongs to the moment that the earliest snapshot opened if at least half of one of
/// them lies inside the other and its target is not part of the moment yet. The moment lasts as long as the
/// snapshot that opened it, the longest of those that begin together: the last snapshot of a process that
/// has exited cuts nobody else's time. The estimates of different targets are independent.
fn sum_targets(mut samples: Vec<(TargetId, WorkingSetSample)>) -> Vec<WorkingSetSample> {
    samples.sort_by_key(|(target, s)| (s.start_ns, Reverse(s.end_ns), *target));
    let mut moments: Vec<Moment> = Vec::with_capacity(samples.len());
    // Moments a snapshot may still belong to are the latest; a new one is opened otherwise.
    for (target, sample) in samples {
        match moments.last_mut() {
            Some(moment) if moment.accepts(target, &sample) => moment.add(target, &sample),
            _ => moments.push(Moment::new(target, sample)),
        }
    }
    moments.into_iter().map(Moment::finish).collect()
}

struct Moment {
    sum: WorkingSetSample,
    first: TargetId,
    others: Vec<TargetId>,
    /// Of what is expected of each target.
    intervals: Vec<Interval>,
}

impl Moment {
    fn new(target: TargetId, sample: WorkingSetSample) -> Self {
        Self { sum: sample, first: target, others: Vec::new(), intervals: vec![sample.interval()] }
    }

    fn accepts(&self, target: TargetId, sample: &WorkingSetSample) -> bool {
        let overlap = self
            .sum
            .end_ns
            .min(sample.end_ns)
            .saturating_sub(self.sum.start_ns.max(sample.start_ns));
        let length = |s: &WorkingSetSample| s.end_ns.saturating_sub(s.start_ns);
        let shorter = length(&self.sum).min(length(sample));
        let together = overlap >= shorter.div_ceil(2) && sample.start_ns <= self.sum.end_ns;
        together && target != self.first && !self.others.contains(&target)
    }

    fn add(&mut self, target: TargetId, sample: &WorkingSetSample) {
        self.others.push(target);
        self.sum.touched = self.sum.touched.saturating_add(sample.touched);
        self.sum.monitored = self.sum.monitored.saturating_add(sample.monitored);
        // A process that was there for a part of the moment counts for that part.
        let length = |s: &WorkingSetSample| s.end_ns.saturating_sub(s.start_ns);
        let part = float(length(sample)) / float(length(&self.sum).max(1));
        self.intervals.push(sample.interval().scaled(part.min(1.0)));
    }

    fn finish(self) -> WorkingSetSample {
        if self.others.is_empty() {
            return self.sum;
        }
        let expected = add_up(&self.intervals);
        WorkingSetSample {
            expected: expected.estimate,
            expected_low: expected.low,
            expected_high: expected.high.min(float(self.sum.monitored)).max(expected.estimate),
            ..self.sum
        }
    }
}

/// Resident size over time, summed over the selected targets; one that exited counts no more.
pub(super) fn resident(records: &[Record], selection: &Selection) -> Vec<ResidentSample> {
    let mut current: BTreeMap<TargetId, u64> = BTreeMap::new();
    let mut series: Vec<ResidentSample> = Vec::new();
    for record in records {
        let time_ns = match record {
            Record::Memory(sample) if selection.has_target(sample.target) => {
                current.insert(sample.target, sample.rss);
                sample.time_ns
            }
            Record::TargetExited(exited) if current.remove(&exited.target).is_some() => {
                exited.time_ns
            }
            _ => continue,
        };
        if !selection.time.contains(&time_ns) {
            continue;
        }
        let rss = current.values().fold(0_u64, |sum, v| sum.saturating_add(*v));
        match series.last_mut() {
            Some(last) if last.time_ns == time_ns => last.rss = rss,
            _ => series.push(ResidentSample { time_ns, rss }),
        }
    }
    series
}
