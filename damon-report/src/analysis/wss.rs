//! Working set sizes: touched (upper estimate) and expected (lower estimate).

pub use super::distribution::Distribution;
use super::fold::Fold;
use super::lineage::{Lineage, Made};
use super::merge_loss::MergeLoss;
use super::moments::sum_targets;
use super::num::{float, wide};
use super::samples::Samples;
use super::sampling_error::{Interval, RateSum};
use super::select::Selection;
use super::view::View;
use damon_format::{Backend, Granularity, Record, SnapshotView, TargetId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

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
    /// What the kernel's merges have probably lost of `expected`, bytes ([`merge_loss`](super::merge_loss)); a part of `expected_high`.
    pub expected_lost: f64,
    /// Σ size of all regions, bytes.
    pub monitored: u64,
}

impl WorkingSetSample {
    /// As far as sampling decides it.
    pub(super) fn interval(&self) -> Interval {
        let high = (self.expected_high - self.expected_lost).max(self.expected);
        Interval { estimate: self.expected, low: self.expected_low, high }
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
    pub samples: Samples,
    /// Resident set size over time, summed over the targets.
    pub resident: Vec<ResidentSample>,
    /// Distribution over time of [`WorkingSetSample::touched`].
    pub touched: Distribution,
    /// Distribution over time of [`WorkingSetSample::expected`].
    pub expected: Distribution,
    /// Time-weighted means of the ends of the 95 % intervals of single moments: how sure one aggregation's
    /// `expected` is. The mean over all of them is surer.
    pub expected_interval: (f64, f64),
    /// Time-weighted mean of [`WorkingSetSample::expected_lost`]; of that, the mean is no surer than a single moment.
    pub expected_lost: f64,
}

/// Which regions count, and how sure a rate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkingSetOptions {
    /// `nr_accesses` from which on a region counts as touched.
    pub threshold: u32,
    /// Every page was looked at in every sampling interval: rates carry no sampling error.
    pub exact: bool,
    /// Means of regions that were merged are rounded down, as the kernel does.
    pub rounds_down: bool,
}

/// Whether counts come from the kernel's DAMON, which rounds the mean down where it merges regions; our own monitor
/// rounds to nearest.
pub fn rounds_down(backend: &Backend) -> bool {
    matches!(backend.name.as_str(), "damon" | "attach")
}

impl WorkingSetOptions {
    /// For whoever does not look at the intervals, which cost as much as all the rest: those of the result are empty.
    pub fn without_intervals(threshold: u32) -> Self {
        Self { threshold, exact: true, rounds_down: false }
    }

    /// Options that fit how a trace was recorded.
    pub fn for_backend(backend: &Backend, threshold: u32) -> Self {
        Self {
            threshold,
            exact: backend.exact || backend.granularity == Granularity::Mapping,
            rounds_down: rounds_down(backend),
        }
    }

    /// Options for rates that are sampled, and rounded to nearest.
    pub fn sampled(threshold: u32) -> Self {
        Self { threshold, exact: false, rounds_down: false }
    }
}

/// Collects the working set of single snapshots.
#[derive(Debug)]
pub struct WorkingSetSum<'a> {
    options: WorkingSetOptions,
    selection: &'a Selection,
    lineage: Lineage,
    rates: RateSum,
    loss: MergeLoss,
    samples: BTreeMap<TargetId, Samples>,
}

impl<'a> WorkingSetSum<'a> {
    /// Nothing collected yet.
    pub fn new(selection: &'a Selection, options: WorkingSetOptions) -> Self {
        Self {
            options,
            selection,
            lineage: Lineage::default(),
            rates: RateSum::default(),
            loss: MergeLoss::default(),
            samples: BTreeMap::new(),
        }
    }

    /// The finished working set, the targets summed up; `records` provide the resident sizes.
    pub fn finish(self, records: &[Record]) -> WorkingSet {
        self.options.working_set(sum_targets(self.samples), resident(records, self.selection))
    }

    /// The finished working set of each target.
    pub fn finish_each(self, records: &[Record]) -> BTreeMap<TargetId, WorkingSet> {
        let one = |(target, samples)| {
            let alone = Selection { targets: Some([target].into()), ..self.selection.clone() };
            let samples = sum_targets([(target, samples)].into());
            (target, self.options.working_set(samples, resident(records, &alone)))
        };
        self.samples.into_iter().map(one).collect()
    }
}

impl WorkingSetOptions {
    fn working_set(self, samples: Samples, resident: Vec<ResidentSample>) -> WorkingSet {
        let length = |index| samples.length_ns(index);
        let of = |value: &dyn Fn(usize) -> f64| {
            Distribution::from_columns(samples.len(), value, &length)
        };
        let (touched, expected) =
            rayon::join(|| of(&|i| samples.touched(i)), || of(&|i| samples.expected(i)));
        let (mut low, mut high, mut lost, mut weights) = (0.0, 0.0, 0.0, 0.0);
        let weightless = samples.iter().all(|sample| sample.start_ns >= sample.end_ns);
        for sample in &samples {
            let length = sample.end_ns.saturating_sub(sample.start_ns);
            let weight = if weightless { 1.0 } else { float(length) };
            low += sample.expected_low * weight;
            high += sample.expected_high * weight;
            lost += sample.expected_lost * weight;
            weights += weight;
        }
        let mean = |sum: f64| if weights > 0.0 { sum / weights } else { 0.0 };
        WorkingSet {
            threshold: self.threshold,
            resident,
            touched,
            expected,
            expected_interval: (mean(low), mean(high)),
            expected_lost: mean(lost),
            samples,
        }
    }
}

impl Fold for WorkingSetSum<'_> {
    fn wants_ages(&self) -> bool {
        false
    }

    /// Adds one snapshot, or the selected part of it. Snapshots of a target come in their order: each tells how
    /// sure the next one is, even if it is not selected itself.
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        let exact = self.options.exact;
        let rounds_down = self.options.rounds_down && !exact;
        let Made { parts, counts } =
            if exact { Made::default() } else { self.lineage.follow(snapshot) };
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        let samples = snapshot.sampling.max_nr_accesses;
        self.rates.reset(samples);
        if rounds_down {
            self.loss.reset(samples);
        }
        let (mut touched, mut monitored) = (0_u64, 0_u64);
        // As integers they are exact, and no addition waits for the one before it.
        let mut rate_bytes = 0_u128;
        let (first, last) = (snapshot.starts.first(), snapshot.ends.last());
        let whole = first.zip(last).is_some_and(|(&first, &last)| {
            self.selection.address.hold(snapshot.target, first, last)
        });
        let bounds = snapshot.starts.iter().zip(snapshot.ends);
        // The frequent cases of a long recording.
        let plain =
            if whole && exact { plain_sums(snapshot, self.options.threshold) } else { None };
        if let Some(sums) = plain {
            (monitored, touched) = (sums.monitored, sums.touched);
            rate_bytes = u128::from(sums.accesses_bytes);
        } else if whole && exact {
            for ((&start, &end), &accesses) in bounds.clone().zip(snapshot.nr_accesses) {
                let size = end.saturating_sub(start);
                monitored = monitored.saturating_add(size);
                let counts = accesses >= self.options.threshold;
                touched = touched.saturating_add(if counts { size } else { 0 });
                rate_bytes += u128::from(size) * u128::from(accesses);
            }
        } else if whole {
            let counted = bounds.clone().zip(snapshot.nr_accesses).zip(parts.iter().zip(counts));
            for (((&start, &end), &accesses), (&parts, &count)) in counted {
                let size = end.saturating_sub(start);
                monitored = monitored.saturating_add(size);
                let counts = accesses >= self.options.threshold;
                touched = touched.saturating_add(if counts { size } else { 0 });
                self.rates.add(float(size), accesses, parts);
                if rounds_down {
                    self.loss.add(float(size), accesses, count);
                }
            }
        }
        let bounds = bounds.skip(if whole { usize::MAX } else { 0 });
        // Where it is not known of how many parts a region was made, it is taken as one.
        let made = parts.iter().copied().zip(counts.iter().copied());
        let made = made.chain(std::iter::repeat((1.0, 1)));
        for (((&start, &end), &accesses), (parts, count)) in
            bounds.zip(snapshot.nr_accesses).zip(made)
        {
            let pieces = self.selection.pieces(snapshot.target, start, end);
            let size: u64 = pieces.map(|piece| piece.end - piece.start).sum();
            if size == 0 {
                continue;
            }
            monitored = monitored.saturating_add(size);
            if accesses >= self.options.threshold {
                touched = touched.saturating_add(size);
            }
            if exact {
                rate_bytes += u128::from(size) * u128::from(accesses);
                continue;
            }
            // A piece of a region may be one of its parts.
            let parts = if size == end.saturating_sub(start) { parts } else { 1.0 };
            self.rates.add(float(size), accesses, parts);
            if rounds_down {
                // Whatever its region has lost, a piece has lost as much by size.
                self.loss.add(float(size), accesses, count);
            }
        }
        let lost = if rounds_down { self.loss.total() } else { 0.0 };
        let expected = if exact {
            Interval::exact(wide(rate_bytes) / f64::from(samples.max(1)))
        } else {
            self.rates.total()
        };
        let sample = WorkingSetSample {
            start_ns: snapshot.start_ns.max(self.selection.time.start),
            end_ns: snapshot.end_ns.min(self.selection.time.end),
            touched,
            expected: expected.estimate,
            expected_low: expected.low,
            expected_high: (expected.high + lost).min(float(monitored)).max(expected.estimate),
            expected_lost: lost,
            monitored,
        };
        self.samples.entry(snapshot.target).or_default().push(&sample);
    }

    /// Adds what a later run collected.
    fn merge(&mut self, later: Self) {
        for (target, samples) in later.samples {
            match self.samples.entry(target) {
                Entry::Vacant(place) => drop(place.insert(samples)),
                Entry::Occupied(mut place) => place.get_mut().extend(&samples),
            }
        }
    }
}

/// Sums over a snapshot in 64 bits each.
#[derive(Debug, PartialEq, Eq)]
struct PlainSums {
    monitored: u64,
    touched: u64,
    /// Σ size × `nr_accesses`.
    accesses_bytes: u64,
}

/// They fit for whatever memory there is; `None` where they might not, which is known after the last region: so nothing is asked
/// of each, and several are added side by side.
fn plain_sums(snapshot: &SnapshotView<'_>, threshold: u32) -> Option<PlainSums> {
    let mut sums = PlainSums { monitored: 0, touched: 0, accesses_bytes: 0 };
    // All bits that are set in one of them.
    let (mut sizes, mut counts) = (0_u64, 0_u32);
    let bounds = snapshot.starts.iter().zip(snapshot.ends);
    for ((start, end), &accesses) in bounds.zip(snapshot.nr_accesses) {
        let size = end.wrapping_sub(*start);
        sizes |= size;
        counts |= accesses;
        let touched = if accesses >= threshold { size } else { 0 };
        let accesses_bytes = size.wrapping_mul(u64::from(accesses));
        sums.monitored = sums.monitored.wrapping_add(size);
        sums.touched = sums.touched.wrapping_add(touched);
        sums.accesses_bytes = sums.accesses_bytes.wrapping_add(accesses_bytes);
    }
    let digits = (u64::BITS - sizes.leading_zeros()) + (u32::BITS - counts.leading_zeros());
    let digits = digits + (usize::BITS - snapshot.len().leading_zeros());
    (digits <= u64::BITS).then_some(sums)
}

impl View {
    /// Resident memory over time, of the selected targets as a whole; empty where it was not recorded.
    pub fn resident(&self) -> Vec<ResidentSample> {
        self.resident_in(&self.selection)
    }

    /// The same of a part of what this is a view of, such as a moment.
    pub fn resident_in(&self, part: &Selection) -> Vec<ResidentSample> {
        resident(&self.overview.records, part)
    }
}

/// Resident size over time, summed over the selected targets; one that exited counts no more. What holds when the selected
/// time begins is there as of its start.
fn resident(records: &[Record], selection: &Selection) -> Vec<ResidentSample> {
    let mut current: BTreeMap<TargetId, u64> = BTreeMap::new();
    let mut held: BTreeMap<TargetId, u64> = BTreeMap::new();
    let sum =
        |of: &BTreeMap<TargetId, u64>| of.values().fold(0_u64, |sum, v| sum.saturating_add(*v));
    let mut series: Vec<ResidentSample> = Vec::new();
    for record in records {
        let is_before = record.time_ns() < selection.time.start;
        let time_ns = match record {
            Record::Memory(sample) if selection.has_target(sample.target) => {
                if is_before {
                    held.insert(sample.target, sample.rss);
                }
                current.insert(sample.target, sample.rss);
                sample.time_ns
            }
            Record::TargetExited(exited) => {
                if is_before {
                    held.remove(&exited.target);
                }
                if current.remove(&exited.target).is_none() {
                    continue;
                }
                exited.time_ns
            }
            _ => continue,
        };
        if !selection.time.contains(&time_ns) {
            continue;
        }
        let rss = sum(&current);
        match series.last_mut() {
            Some(last) if last.time_ns == time_ns => last.rss = rss,
            _ => series.push(ResidentSample { time_ns, rss }),
        }
    }
    let time_ns = selection.time.start;
    if !held.is_empty() && series.first().is_none_or(|first| first.time_ns > time_ns) {
        series.insert(0, ResidentSample { time_ns, rss: sum(&held) });
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::Sampling;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn plain_sums_are_right_wherever_they_are_told(
            regions in prop::collection::vec(
                (prop_oneof![Just(u64::MAX), 0_u64..1 << 50], any::<u64>(), 0_u32..1 << 20),
                0..20,
            ),
            shift in 0_u32..64,
            threshold in 0_u32..4,
        ) {
            let starts: Vec<u64> = regions.iter().map(|r| r.0).collect();
            let ends: Vec<u64> =
                regions.iter().map(|r| r.0.saturating_add(r.1 >> shift)).collect();
            let counts: Vec<u32> = regions.iter().map(|r| r.2 >> (shift / 3)).collect();
            let snapshot = SnapshotView {
                target: TargetId(0),
                start_ns: 0,
                end_ns: 1,
                sampling: Sampling::from_intervals(5_000, 100_000),
                starts: &starts,
                ends: &ends,
                nr_accesses: &counts,
                ages: None,
                probes: &[],
            };
            let sizes = starts.iter().zip(&ends).map(|(start, end)| u128::from(end - start));
            let rows = || sizes.clone().zip(&counts);
            let monitored: u128 = sizes.clone().sum();
            let touched: u128 =
                rows().filter(|(_, count)| **count >= threshold).map(|(size, _)| size).sum();
            let accesses: u128 = rows().map(|(size, count)| size * u128::from(*count)).sum();
            if let Some(sums) = plain_sums(&snapshot, threshold) {
                prop_assert_eq!(u128::from(sums.monitored), monitored);
                prop_assert_eq!(u128::from(sums.touched), touched);
                prop_assert_eq!(u128::from(sums.accesses_bytes), accesses);
            } else {
                let greatest = u128::from(counts.iter().copied().max().unwrap_or(0).max(1));
                prop_assert!(sizes.max().unwrap_or(0) * greatest >= 1 << 50);
            }
        }
    }
}
