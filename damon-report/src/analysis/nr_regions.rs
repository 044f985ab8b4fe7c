//! How many regions there were, against the limits that were in force.

use super::fold::Fold;
use super::load::Trace;
use super::num::{float, float_of};
use super::select::Selection;
use super::together::together;
use super::view::View;
use super::wss::Distribution;
use damon_format::{Attrs, Record, SnapshotView, TargetId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// How percentiles are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Percentiles {
    /// Each value weighs as long as it lasted.
    #[default]
    TimeWeighted,
    /// As damo does it: of `n` sorted values the one at index int(percent / 100 × `n`), the last one at most, however long each
    /// lasted; the mean is that of the values, fractions dropped.
    Damo,
}

/// Number of regions in one snapshot, or in all snapshots of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RegionCount {
    /// Begin, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// End.
    pub end_ns: u64,
    /// How many; of a selected range of addresses those that reach into it.
    pub regions: u64,
}

/// Limits from some time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// From when on.
    pub time_ns: u64,
    /// Fewest regions the monitor aims at.
    pub min_nr_regions: u32,
    /// Most regions, of all targets together.
    pub max_nr_regions: u32,
}

/// Counts over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegionCounts {
    /// Which target; null for all together.
    pub target: Option<TargetId>,
    /// Distribution over time.
    pub distribution: Distribution,
    /// Part of the time with more regions than `max_nr_regions`, 0..1.
    pub above_max: f64,
    /// Part of the time with fewer regions than `min_nr_regions`, 0..1.
    pub below_min: f64,
    /// Ascending in time.
    pub samples: Vec<RegionCount>,
}

/// How many regions there were.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NrRegions {
    /// How the percentiles were made.
    pub percentiles: Percentiles,
    /// So many snapshots of each target were left out at its begin.
    pub skipped: usize,
    /// Limits and their changes, ascending in time.
    pub limits: Vec<Limits>,
    /// All targets together.
    pub total: RegionCounts,
    /// Each target alone.
    pub targets: Vec<RegionCounts>,
}

/// Counts the regions of a view, without the first `skip` snapshots of each target.
pub fn nr_regions(trace: &Trace, view: &View, percentiles: Percentiles, skip: usize) -> NrRegions {
    let new = || Counts { selection: &view.selection, targets: BTreeMap::new() };
    let mut targets = trace.fold(&view.selection, new).targets;
    for counts in targets.values_mut() {
        counts.sort_by_key(|count| (count.start_ns, count.end_ns));
        counts.drain(..skip.min(counts.len()));
    }
    targets.retain(|_, counts| !counts.is_empty());
    let limits = limits(trace.info().attrs, &view.overview.records);
    let finish = |target, samples: Vec<RegionCount>| RegionCounts {
        target,
        distribution: match percentiles {
            Percentiles::TimeWeighted => weighted(&samples),
            Percentiles::Damo => like_damo(samples.iter().map(|s| s.regions).collect()),
        },
        above_max: share(&samples, |s| s.regions > in_force(&limits, s.end_ns).1),
        below_min: share(&samples, |s| s.regions < in_force(&limits, s.end_ns).0),
        samples,
    };
    let total = finish(None, sum(&targets));
    let targets = targets.into_iter().map(|(target, counts)| finish(Some(target), counts));
    let targets = targets.collect();
    NrRegions { percentiles, skipped: skip, total, targets, limits }
}

struct Counts<'a> {
    selection: &'a Selection,
    targets: BTreeMap<TargetId, Vec<RegionCount>>,
}

impl Fold for Counts<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        let bounds = snapshot.starts.iter().zip(snapshot.ends);
        let pieces = |start, end| self.selection.pieces(snapshot.target, start, end);
        let inside = bounds.filter(|(start, end)| pieces(**start, **end).next().is_some());
        let start_ns = snapshot.start_ns.max(self.selection.time.start);
        let count = RegionCount {
            start_ns,
            end_ns: snapshot.end_ns.min(self.selection.time.end).max(start_ns),
            regions: u64::try_from(inside.count()).unwrap_or(u64::MAX),
        };
        self.targets.entry(snapshot.target).or_default().push(count);
    }

    fn merge(&mut self, later: Self) {
        for (target, mut counts) in later.targets {
            self.targets.entry(target).or_default().append(&mut counts);
        }
    }
}

/// The targets of each moment added up.
fn sum(targets: &BTreeMap<TargetId, Vec<RegionCount>>) -> Vec<RegionCount> {
    let all: Vec<(TargetId, &RegionCount)> =
        targets.iter().flat_map(|(target, counts)| counts.iter().map(|c| (*target, c))).collect();
    let times: Vec<(TargetId, Range<u64>)> =
        all.iter().map(|(target, c)| (*target, c.start_ns..c.end_ns)).collect();
    let moment = |indices: Vec<usize>| {
        let mut counts = indices.into_iter().filter_map(|i| all.get(i)).map(|(_, count)| **count);
        let first = counts.next()?;
        let regions = counts.fold(first.regions, |sum, c| sum.saturating_add(c.regions));
        Some(RegionCount { regions, ..first })
    };
    together(&times).into_iter().filter_map(moment).collect()
}

fn limits(begin: Attrs, records: &[Record]) -> Vec<Limits> {
    let of = |time_ns, attrs: &Attrs| Limits {
        time_ns,
        min_nr_regions: attrs.min_nr_regions,
        max_nr_regions: attrs.max_nr_regions,
    };
    let mut limits = vec![of(0, &begin)];
    let changes = records.iter().filter_map(|record| match record {
        Record::IntervalsChanged(change) => Some(of(change.time_ns, &change.attrs)),
        _ => None,
    });
    let mut changes: Vec<Limits> = changes.collect();
    changes.sort_by_key(|change| change.time_ns);
    for change in changes {
        let same = limits.last().is_some_and(|last| {
            let pair = |l: &Limits| (l.min_nr_regions, l.max_nr_regions);
            pair(last) == pair(&change)
        });
        if !same {
            limits.push(change);
        }
    }
    limits
}

/// Least and most regions allowed at a time.
fn in_force(limits: &[Limits], time_ns: u64) -> (u64, u64) {
    let after = limits.partition_point(|limit| limit.time_ns < time_ns);
    let limit = limits.get(after.saturating_sub(1));
    limit.map_or((0, u64::MAX), |l| (l.min_nr_regions.into(), l.max_nr_regions.into()))
}

fn weighted(samples: &[RegionCount]) -> Distribution {
    let length = |s: &RegionCount| s.end_ns.saturating_sub(s.start_ns);
    Distribution::of(samples.iter().map(|s| (float(s.regions), length(s))).collect())
}

/// Part of the time for which something was so.
fn share(samples: &[RegionCount], so: impl Fn(&RegionCount) -> bool) -> f64 {
    let length = |s: &RegionCount| s.end_ns.saturating_sub(s.start_ns);
    let of = |s: &RegionCount| (f64::from(u8::from(so(s))), length(s));
    Distribution::of(samples.iter().map(of).collect()).mean
}

fn like_damo(mut counts: Vec<u64>) -> Distribution {
    counts.sort_unstable();
    let Some(last) = counts.len().checked_sub(1) else {
        return Distribution::default();
    };
    let sum = counts.iter().fold(0_u128, |sum, c| sum.saturating_add(u128::from(*c)));
    let at = |percent: u32| {
        let index = f64::from(percent) / 100.0 * float_of(counts.len());
        let index = usize::try_from(super::num::round(index.floor())).unwrap_or(last).min(last);
        counts.get(index).map_or(0.0, |count| float(*count))
    };
    Distribution {
        mean: super::num::wide(sum / (counts.len() as u128)),
        percentiles: (0..=100).map(at).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::IntervalsChanged;

    #[test]
    fn percentiles_of_damo_are_indices() {
        let found = like_damo(vec![5, 1, 4, 2]);
        // Python: [1, 2, 4, 5][min(int(p / 100 * 4), 3)].
        let at = |p| found.at(p);
        assert_eq!([at(0), at(24), at(25), at(50)], [Some(1.0), Some(1.0), Some(2.0), Some(4.0)]);
        assert_eq!([at(75), at(99), at(100)], [Some(5.0); 3]);
        assert!((found.mean - 3.0).abs() < 1e-12);
        assert_eq!(like_damo(vec![]), Distribution::default());
    }

    #[test]
    fn limits_hold_until_they_change() {
        let attrs = |min, max| Attrs {
            sample_us: 5_000,
            aggr_us: 100_000,
            update_us: 1_000_000,
            min_nr_regions: min,
            max_nr_regions: max,
        };
        let change = |time_ns, attrs| {
            Record::IntervalsChanged(IntervalsChanged { time_ns, attrs, reason: String::new() })
        };
        let records =
            [change(50, attrs(10, 1000)), change(200, attrs(5, 60)), change(100, attrs(10, 500))];
        let limits = limits(attrs(10, 1000), &records);
        assert_eq!(limits.len(), 3);
        let at = |time| in_force(&limits, time);
        // What ends when they change was counted before.
        assert_eq!([at(0), at(100), at(101)], [(10, 1000), (10, 1000), (10, 500)]);
        assert_eq!(at(u64::MAX), (5, 60));
    }
}
