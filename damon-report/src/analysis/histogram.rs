//! How monitored bytes are distributed over access rate, age, size of region or temperature.

use super::bins::{BinScale, Extent, Unit, bin_of, edges};
use super::fold::Fold;
use super::load::Trace;
use super::num::{float, wide};
use super::seen::{Seen, seen};
use super::select::Selection;
use super::spans::SpanSet;
use super::temperature::Temperature;
use damon_format::SnapshotView;
use serde::Serialize;
use std::ops::Range;

/// By what bytes are put into bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Access rate, 0..1; a sample more than there should be counts as 1.
    Rate,
    /// `age` × aggregation interval, nanoseconds.
    Age,
    /// Size of the region, bytes.
    Size,
    /// Temperature of the region.
    Temperature,
}

/// What is asked of a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistogramOptions {
    /// By what.
    pub metric: Metric,
    /// At most so many bins, beside the one of exactly zero.
    pub bins: usize,
    /// How wide they are; `None` for what suits the metric.
    pub scale: Option<BinScale>,
    /// How temperature is defined.
    pub temperature: Temperature,
}

impl HistogramOptions {
    fn unit(&self) -> Unit {
        match (self.metric, self.temperature) {
            (Metric::Rate, _) => Unit::Share,
            (Metric::Size, _) => Unit::Bytes,
            (Metric::Age, _) | (Metric::Temperature, Temperature::UseTime) => Unit::Nanoseconds,
            (Metric::Temperature, Temperature::Weights { .. }) => Unit::Number,
        }
    }

    /// Rates are spread evenly; sizes and times over many orders of magnitude.
    fn scale(&self) -> BinScale {
        let usual = if self.metric == Metric::Rate { BinScale::Linear } else { BinScale::Log };
        self.scale.unwrap_or(usual)
    }

    fn value(&self, region: &Seen) -> Option<f64> {
        match self.metric {
            Metric::Rate => Some(region.rate().min(1.0)),
            Metric::Age => region.age_ns().map(float),
            Metric::Size => Some(float(region.size())),
            Metric::Temperature => self.temperature.of(region),
        }
    }
}

/// Bytes whose value lies above `from` and not above `to`; where both are zero, exactly there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Lower edge, not included.
    pub from: f64,
    /// Upper edge, included.
    pub to: f64,
    /// Bytes in regions with at least one positive sample: time-weighted mean.
    pub accessed: f64,
    /// Bytes in regions without: time-weighted mean.
    pub idle: f64,
    /// Part of all bytes of known value, 0..1.
    pub share: f64,
    /// The same with all bins before it.
    pub cumulative: f64,
}

impl Bin {
    /// All its bytes.
    pub fn bytes(&self) -> f64 {
        self.accessed + self.idle
    }

    /// True for the bin of exactly zero.
    pub fn is_zero(&self) -> bool {
        self.from == 0.0 && self.to == 0.0
    }
}

/// How monitored bytes are distributed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Histogram {
    /// By what.
    pub metric: Metric,
    /// What the edges are.
    pub unit: Unit,
    /// How wide the bins are.
    pub scale: BinScale,
    /// How temperature is defined.
    pub temperature: Temperature,
    /// Time that is covered by at least one snapshot, nanoseconds: what the means are over. 0 where all snapshots are
    /// moments, which then weigh the same.
    pub time_ns: u64,
    /// Number of snapshots.
    pub snapshots: u64,
    /// Monitored bytes: time-weighted mean.
    pub monitored: f64,
    /// Of these, bytes of regions whose value is not known, since their ages were not observed; in no bin.
    pub unknown: f64,
    /// Ascending.
    pub bins: Vec<Bin>,
}

/// Computes a histogram in two passes: how far the values reach, and how many bytes lie where. Each snapshot weighs as long as it lasted;
/// several targets are added up. Values are those of whole regions; their selected bytes count.
pub fn histogram(trace: &Trace, selection: &Selection, options: &HistogramOptions) -> Histogram {
    let new = || Reach { selection, options, extent: Extent::default() };
    let extent = trace.fold(selection, new).extent;
    let edges = edges(options.unit(), options.scale(), &extent, options.bins);
    let has_zero = matches!(options.metric, Metric::Rate | Metric::Age);
    let sum = trace.fold(selection, || HistogramSum::new(selection, options, &edges));
    sum.finish(has_zero)
}

/// Selected bytes of a region.
fn bytes(selection: &Selection, snapshot: &SnapshotView<'_>, region: &Seen) -> u64 {
    let pieces = selection.pieces(snapshot.target, region.start, region.end);
    pieces.map(|piece| piece.end - piece.start).fold(0, u64::saturating_add)
}

struct Reach<'a> {
    selection: &'a Selection,
    options: &'a HistogramOptions,
    extent: Extent,
}

impl Fold for Reach<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        // Rates have known limits.
        if !self.selection.has_snapshot(snapshot)
            || self.options.metric == Metric::Rate && self.options.scale() == BinScale::Linear
        {
            return;
        }
        for region in seen(snapshot) {
            if let Some(value) = self.options.value(&region)
                && bytes(self.selection, snapshot, &region) > 0
            {
                self.extent.add(value);
            }
        }
    }

    fn merge(&mut self, later: Self) {
        self.extent.merge(later.extent);
    }
}

/// Byte·nanoseconds, and bytes of snapshots that took no time; integers, so that no order of adding changes them.
#[derive(Clone, Copy, Debug, Default)]
struct Weighed {
    lasting: u128,
    momentary: u128,
}

impl Weighed {
    fn add(&mut self, bytes: u64, time: &Range<u64>) {
        let ns = time.end.saturating_sub(time.start);
        let product = u128::from(bytes) * u128::from(ns);
        self.lasting = self.lasting.saturating_add(product);
        let bytes = if ns == 0 { u128::from(bytes) } else { 0 };
        self.momentary = self.momentary.saturating_add(bytes);
    }

    fn merge(&mut self, other: &Self) {
        self.lasting = self.lasting.saturating_add(other.lasting);
        self.momentary = self.momentary.saturating_add(other.momentary);
    }
}

/// Bytes of one bin by whether they were accessed.
#[derive(Clone, Copy, Debug, Default)]
struct Kinds {
    accessed: Weighed,
    idle: Weighed,
}

impl Kinds {
    fn add(&mut self, region: &Seen, bytes: u64, time: &Range<u64>) {
        let kind = if region.is_idle() { &mut self.idle } else { &mut self.accessed };
        kind.add(bytes, time);
    }

    /// Anything but zero if there are bytes.
    fn bytes(&self) -> u128 {
        let all = [&self.accessed, &self.idle].map(|k| k.lasting.saturating_add(k.momentary));
        all.into_iter().fold(0, u128::saturating_add)
    }

    fn merge(&mut self, other: &Self) {
        self.accessed.merge(&other.accessed);
        self.idle.merge(&other.idle);
    }
}

struct HistogramSum<'a> {
    selection: &'a Selection,
    options: &'a HistogramOptions,
    edges: &'a [f64],
    zero: Kinds,
    bins: Vec<Kinds>,
    unknown: Kinds,
    covered: SpanSet,
    moments: SpanSet,
    snapshots: u64,
}

impl<'a> HistogramSum<'a> {
    fn new(selection: &'a Selection, options: &'a HistogramOptions, edges: &'a [f64]) -> Self {
        Self {
            selection,
            options,
            edges,
            zero: Kinds::default(),
            bins: vec![Kinds::default(); edges.len().saturating_sub(1)],
            unknown: Kinds::default(),
            covered: SpanSet::default(),
            moments: SpanSet::default(),
            snapshots: 0,
        }
    }

    fn finish(self, has_zero: bool) -> Histogram {
        let length = |set: &SpanSet| {
            let lengths = set.ranges().map(|r| r.end - r.start);
            lengths.fold(0_u64, u64::saturating_add)
        };
        let time_ns = length(&self.covered);
        let mean = |weighed: &Weighed| match time_ns {
            0 => wide(weighed.momentary) / float(length(&self.moments).max(1)),
            time_ns => wide(weighed.lasting) / float(time_ns),
        };
        let is_there = self.zero.bytes() > 0;
        let zero = (has_zero || is_there).then_some((0.0, 0.0, self.zero));
        let between =
            self.edges.windows(2).zip(&self.bins).filter_map(|(pair, kinds)| match pair {
                [from, to] => Some((*from, *to, *kinds)),
                _ => None,
            });
        let mut bins: Vec<(f64, f64, Kinds)> = between.collect();
        let below = bins.iter().filter(|(_, to, _)| *to <= 0.0).count();
        bins.splice(below..below, zero);
        let mut bins: Vec<Bin> = bins
            .into_iter()
            .map(|(from, to, kinds)| Bin {
                from,
                to,
                accessed: mean(&kinds.accessed),
                idle: mean(&kinds.idle),
                share: 0.0,
                cumulative: 0.0,
            })
            .collect();
        let known: f64 = bins.iter().map(Bin::bytes).sum();
        let mut passed = 0.0;
        for bin in &mut bins {
            passed += bin.bytes();
            if known > 0.0 {
                (bin.share, bin.cumulative) = (bin.bytes() / known, passed / known);
            }
        }
        let unknown = mean(&self.unknown.accessed) + mean(&self.unknown.idle);
        Histogram {
            metric: self.options.metric,
            unit: self.options.unit(),
            scale: self.options.scale(),
            temperature: self.options.temperature,
            time_ns,
            snapshots: self.snapshots,
            monitored: known + unknown,
            unknown,
            bins,
        }
    }
}

impl Fold for HistogramSum<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        self.snapshots += 1;
        let within = &self.selection.time;
        let start = snapshot.start_ns.max(within.start);
        let time = start..snapshot.end_ns.min(within.end).max(start);
        if time.is_empty() {
            self.moments.insert(start..start.saturating_add(1));
        }
        self.covered.insert(time.clone());
        for region in seen(snapshot) {
            let bytes = bytes(self.selection, snapshot, &region);
            if bytes == 0 {
                continue;
            }
            let kinds = match self.options.value(&region) {
                None => &mut self.unknown,
                Some(0.0) => &mut self.zero,
                Some(value) => match self.bins.get_mut(bin_of(self.edges, value)) {
                    Some(kinds) => kinds,
                    None => &mut self.unknown,
                },
            };
            kinds.add(&region, bytes, &time);
        }
    }

    fn merge(&mut self, later: Self) {
        self.zero.merge(&later.zero);
        self.unknown.merge(&later.unknown);
        for (kinds, more) in self.bins.iter_mut().zip(&later.bins) {
            kinds.merge(more);
        }
        self.covered.extend(&later.covered);
        self.moments.extend(&later.moments);
        self.snapshots += later.snapshots;
    }
}
