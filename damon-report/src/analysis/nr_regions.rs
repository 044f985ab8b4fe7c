//! How many regions there were, against the limits that were in force.

mod counted;

use super::course::{Course, Sample, Timed};
use super::courses::{Bounds, Courses, Tally as _};
use super::fold::Fold;
use super::load::Trace;
use super::num::{float, round};
use super::select::Selection;
use super::view::View;
use super::wss::Distribution;
use counted::Counted;
use damon_format::{Attrs, Record, SnapshotView, TargetId};
use serde::Serialize;
use std::collections::{BTreeMap, BinaryHeap};
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
    /// Fewest regions the monitor aims at; null where the limits were not recorded.
    pub min_nr_regions: Option<u32>,
    /// Most regions, of all targets together; null where the limits were not recorded.
    pub max_nr_regions: Option<u32>,
}

impl Limits {
    /// No monitor has a limit of 0: that is what was not recorded.
    fn of(time_ns: u64, attrs: &Attrs) -> Self {
        let known = |limit: u32| (attrs.max_nr_regions > 0).then_some(limit);
        let [min_nr_regions, max_nr_regions] =
            [attrs.min_nr_regions, attrs.max_nr_regions].map(known);
        Self { time_ns, min_nr_regions, max_nr_regions }
    }
}

/// Counts over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegionCounts {
    /// Which target; null for all together.
    pub target: Option<TargetId>,
    /// Distribution over time.
    pub distribution: Distribution,
    /// Part of the time with more regions than `max_nr_regions`, 0..1; null where the limits were not recorded.
    pub above_max: Option<f64>,
    /// Part of the time with fewer regions than `min_nr_regions`, 0..1.
    pub below_min: Option<f64>,
    /// Ascending in time; of a long recording means, [`NrRegions::cell_ns`].
    pub samples: Course<RegionCount, 1>,
}

impl Timed for RegionCount {
    fn time(&self) -> Range<u64> {
        self.start_ns..self.end_ns
    }
}

impl Sample<1> for RegionCount {
    fn values(&self) -> [f64; 1] {
        [float(self.regions)]
    }

    fn of(time: Range<u64>, [regions]: [f64; 1]) -> Self {
        Self { start_ns: time.start, end_ns: time.end, regions: round(regions) }
    }
}

/// How many regions there were.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NrRegions {
    /// How the percentiles were made.
    pub percentiles: Percentiles,
    /// So many snapshots of each target were left out at its start.
    pub skipped: usize,
    /// Of more than 2²⁰ snapshots of all targets, samples are means over cells of so many nanoseconds, and so are the distribution and the
    /// shares of all targets together where there are several; none where there is a sample for each.
    pub cell_ns: Option<u64>,
    /// Limits and their changes, ascending in time; none where they were not recorded.
    pub limits: Vec<Limits>,
    /// All targets together.
    pub total: RegionCounts,
    /// Each target alone.
    pub targets: Vec<RegionCounts>,
}

/// Counts the regions of a view, without the first `skip` snapshots of each target.
pub fn nr_regions(trace: &Trace, view: &View, percentiles: Percentiles, skip: usize) -> NrRegions {
    count(trace, view, percentiles, skip, Bounds::USUAL)
}

fn count(
    trace: &Trace,
    view: &View,
    percentiles: Percentiles,
    skip: usize,
    bounds: Bounds,
) -> NrRegions {
    let limits = limits(trace.info().attrs, &view.overview.records);
    let selection = &view.selection;
    let none = Counted::new(&limits);
    let counts = |skipped: Option<&BTreeMap<TargetId, (u64, u64)>>| {
        let new = || Counts { selection, skipped, courses: Courses::new(bounds, none.clone()) };
        trace.fold(selection, new).courses
    };
    let mut courses = counts(None);
    courses.order();
    // What is in a mean cannot be taken out of it.
    let left = if courses.has_means() && skip > 0 {
        let firsts = Firsts { selection, skip, targets: BTreeMap::new() };
        let firsts = trace.fold(selection, || firsts.clone()).last();
        courses = counts(Some(&firsts));
        0
    } else {
        skip
    };
    let ended = courses.end(left, sum);
    let known = limits.iter().any(|limit| limit.max_nr_regions.is_some());
    let finish = |target, samples: Course<RegionCount, 1>, tally: Option<Counted<'_>>| {
        let counted = tally.unwrap_or_else(|| {
            let mut counted = none.clone();
            for sample in samples.iter() {
                counted.add(&sample);
            }
            counted
        });
        RegionCounts {
            target,
            distribution: match percentiles {
                Percentiles::TimeWeighted => counted.weighted(),
                Percentiles::Damo => counted.like_damo(),
            },
            above_max: known.then(|| counted.above_max()),
            below_min: known.then(|| counted.below_min()),
            samples,
        }
    };
    let mut tally_of_all = None;
    if let (1, Some((_, tally))) = (ended.targets.len(), ended.targets.values().next()) {
        tally_of_all.clone_from(tally);
    }
    let total = finish(None, ended.total, tally_of_all);
    let targets = ended.targets.into_iter();
    let targets = targets.map(|(target, (samples, tally))| finish(Some(target), samples, tally));
    let (targets, cell_ns) = (targets.collect(), ended.cell_ns);
    let limits = if known { limits.clone() } else { Vec::new() };
    NrRegions { percentiles, skipped: skip, cell_ns, total, targets, limits }
}

/// The targets of a moment added up.
fn sum(moment: &[RegionCount]) -> Option<RegionCount> {
    let regions = moment.iter().fold(0_u64, |sum, count| sum.saturating_add(count.regions));
    moment.first().map(|first| RegionCount { regions, ..*first })
}

struct Counts<'a, 'l> {
    selection: &'a Selection,
    /// Times of the last of the snapshots to leave out, by target.
    skipped: Option<&'a BTreeMap<TargetId, (u64, u64)>>,
    courses: Courses<RegionCount, 1, Counted<'l>>,
}

impl Fold for Counts<'_, '_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        let time = self.selection.time_of(snapshot);
        let last = self.skipped.and_then(|skipped| skipped.get(&snapshot.target));
        if last.is_some_and(|last| (time.start, time.end) <= *last) {
            return;
        }
        let bounds = snapshot.starts.iter().zip(snapshot.ends);
        let pieces = |start, end| self.selection.pieces(snapshot.target, start, end);
        let inside = bounds.filter(|(start, end)| pieces(**start, **end).next().is_some());
        let count = RegionCount {
            start_ns: time.start,
            end_ns: time.end,
            regions: u64::try_from(inside.count()).unwrap_or(u64::MAX),
        };
        self.courses.push(snapshot.target, &count);
    }

    fn merge(&mut self, later: Self) {
        self.courses.merge(later.courses);
    }
}

/// The first snapshots of each target: at most `skip`, the last on top.
#[derive(Clone)]
struct Firsts<'a> {
    selection: &'a Selection,
    skip: usize,
    targets: BTreeMap<TargetId, BinaryHeap<(u64, u64)>>,
}

impl Firsts<'_> {
    fn add(&mut self, target: TargetId, time: (u64, u64)) {
        let first = self.targets.entry(target).or_default();
        first.push(time);
        if first.len() > self.skip {
            first.pop();
        }
    }

    /// The last one of each target; of one that has no more than that, the end of all time.
    fn last(self) -> BTreeMap<TargetId, (u64, u64)> {
        let skip = self.skip;
        let last = self.targets.into_iter().filter_map(|(target, first)| {
            let last = if first.len() < skip { (u64::MAX, u64::MAX) } else { *first.peek()? };
            Some((target, last))
        });
        last.collect()
    }
}

impl Fold for Firsts<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if self.selection.has_snapshot(snapshot) {
            let time = self.selection.time_of(snapshot);
            self.add(snapshot.target, (time.start, time.end));
        }
    }

    fn merge(&mut self, later: Self) {
        for (target, first) in later.targets {
            for time in first {
                self.add(target, time);
            }
        }
    }
}

fn limits(begin: Attrs, records: &[Record]) -> Vec<Limits> {
    let mut limits = vec![Limits::of(0, &begin)];
    let changes = records.iter().filter_map(|record| match record {
        Record::IntervalsChanged(change) => Some(Limits::of(change.time_ns, &change.attrs)),
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
    let known = limit.and_then(|limit| limit.min_nr_regions.zip(limit.max_nr_regions));
    known.map_or((0, u64::MAX), |(least, most)| (least.into(), most.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::select::Query;
    use crate::analysis::testing::written;
    use damon_format::{IntervalsChanged, Region, Sampling, Snapshot};

    /// A snapshot of 1 ms in each millisecond, of as many regions as its number modulo 13 says.
    fn recording(target: u32, count: u64) -> Vec<Snapshot> {
        let one = |index: u64| {
            let start_ns = (1 << 40) + index * 1_000_000;
            let region =
                |i: u64| Region { start: i << 12, end: (i + 1) << 12, nr_accesses: 0, age: 0 };
            let regions = (0..=index % 13).map(region).collect();
            let sampling = Sampling::from_intervals(50, 1_000);
            Snapshot::new(TargetId(target), start_ns, start_ns + 1_000_000, sampling, regions)
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn what_is_said_of_a_target_is_exact_however_long_its_recording_is() {
        let few = Bounds { samples: 100, disordered: 50, cells: 16 };
        let trace = written(&recording(0, 1000), 300);
        let view = View::new(&trace, &Query::default()).unwrap();
        for (percentiles, skip) in
            [(Percentiles::TimeWeighted, 0), (Percentiles::Damo, 0), (Percentiles::Damo, 77)]
        {
            let each = count(&trace, &view, percentiles, skip, Bounds::USUAL);
            let means = count(&trace, &view, percentiles, skip, few);
            assert_eq!((each.cell_ns, means.cell_ns), (None, Some(1 << 26)));
            let said = |all: &NrRegions| -> Vec<RegionCounts> {
                let with_total = [&all.total].into_iter().chain(&all.targets);
                with_total
                    .map(|one| RegionCounts { samples: Course::default(), ..one.clone() })
                    .collect()
            };
            assert_eq!(said(&each), said(&means));
            assert_eq!(each.total.samples.len(), 1000 - skip);
            assert!(means.total.samples.iter().all(|mean| (5..=9).contains(&mean.regions)));
            let first = means.total.samples.iter().next().map(|mean| mean.start_ns);
            assert_eq!(first, Some((1 << 40) + skip as u64 * 1_000_000));
        }
        assert!(count(&trace, &view, Percentiles::Damo, 1000, few).targets.is_empty());
    }

    /// Samples that have to be sorted are means from fewer on; what is left out at the start is left out of these, too.
    #[test]
    fn the_first_snapshots_are_left_out_of_a_recording_in_disorder() {
        let mut list = recording(0, 1000);
        list.swap(300, 600);
        let trace = written(&list, 20);
        let view = View::new(&trace, &Query::default()).unwrap();
        let sorted = Bounds { samples: 2000, disordered: 100, cells: 16 };
        let each = count(&trace, &view, Percentiles::TimeWeighted, 77, Bounds::USUAL);
        let means = count(&trace, &view, Percentiles::TimeWeighted, 77, sorted);
        assert_eq!((each.cell_ns, means.cell_ns), (None, Some(1 << 26)));
        let said = |all: &NrRegions| (all.total.distribution.clone(), all.targets.len());
        assert_eq!(said(&each), said(&means));
        let first = |all: &NrRegions| all.total.samples.iter().next().map(|one| one.start_ns);
        assert_eq!([first(&each), first(&means)], [Some((1 << 40) + 77_000_000); 2]);
    }

    /// Of two kdamonds, one of which takes seven times as long as the other.
    #[test]
    fn targets_out_of_step_are_added_up_at_each_time() {
        let mut list = recording(0, 700);
        list.extend(recording(1, 100).into_iter().map(|mut snapshot| {
            let since = snapshot.start_ns - (1 << 40);
            snapshot.start_ns = (1 << 40) + since * 7;
            snapshot.end_ns = snapshot.start_ns + 7_000_000;
            snapshot.regions.truncate(1);
            snapshot
        }));
        list.sort_by_key(|snapshot| snapshot.end_ns);
        let trace = written(&list, 300);
        let view = View::new(&trace, &Query::default()).unwrap();
        let found = count(&trace, &view, Percentiles::TimeWeighted, 0, Bounds::USUAL);
        let alone = &found.targets[0].distribution;
        assert!((found.total.distribution.mean - alone.mean - 1.0).abs() < 1e-9);
        assert_eq!(found.total.distribution.at(0), Some(2.0));
    }

    #[test]
    fn several_targets_of_a_long_recording_add_up() {
        let few = Bounds { samples: 100, disordered: 50, cells: 16 };
        let mut list = [recording(0, 500), recording(1, 500)].concat();
        list.sort_by_key(|snapshot| snapshot.start_ns);
        let trace = written(&list, 300);
        let view = View::new(&trace, &Query::default()).unwrap();
        let each = count(&trace, &view, Percentiles::TimeWeighted, 0, Bounds::USUAL);
        let means = count(&trace, &view, Percentiles::TimeWeighted, 0, few);
        assert_eq!(each.total.distribution.at(100), Some(26.0));
        let (a, b) = (each.total.distribution.mean, means.total.distribution.mean);
        // Means of means, rounded to whole regions.
        assert!((a - b).abs() < 1.0, "{a} {b}");
        let targets = |all: &NrRegions| {
            all.targets.iter().map(|one| one.distribution.clone()).collect::<Vec<_>>()
        };
        assert_eq!(targets(&each), targets(&means));
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
        // Another tool's recording does not tell them.
        assert_eq!(in_force(&[], 7), (0, u64::MAX));
        let later = super::limits(attrs(0, 0), &[change(50, attrs(10, 1000))]);
        assert_eq!([in_force(&later, 50), in_force(&later, 51)], [(0, u64::MAX), (10, 1000)]);
        assert_eq!((later[0].min_nr_regions, later[0].max_nr_regions), (None, None));
    }
}
