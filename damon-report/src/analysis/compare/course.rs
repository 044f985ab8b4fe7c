//! The course of one recording: what is measured, over time and by mapping, in a form in which recordings of different
//! lengths can be laid over each other.

use super::hotness::Hotness;
use super::levels::Levels;
use super::phases::Phase;
use crate::analysis::course::{Timed, key};
use crate::analysis::fold::Fold;
use crate::analysis::groups::MappingId;
use crate::analysis::layout::{Cursor, Layouts, split};
use crate::analysis::mapping_use::idle_age;
use crate::analysis::moments::{are_in_step, each_moment, each_time};
use crate::analysis::num::{edge, float};
use crate::analysis::select::Selection;
use crate::analysis::spans::SpanSet;
use crate::analysis::wss::ResidentSample;
use damon_format::{SnapshotView, TargetId};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Parts of equal time into which each phase is cut, at most. A power of two, so that neighbours can be joined in pairs.
pub(super) const BINS: usize = 128;

/// What is looked for in the snapshots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CourseOptions<'a> {
    /// Which memory is hot.
    pub hotness: &'a Hotness,
    /// Idle time from which on memory is idle, nanoseconds.
    pub idle_ns: u64,
    /// Every page was looked at: rates carry no sampling error.
    pub exact: bool,
}

/// One moment of a recording; several targets are summed up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    /// Nanoseconds for which it lasted inside the phase.
    pub length_ns: u64,
    /// Share of the phase's time that was over in its middle.
    pub middle: f64,
    /// What was found.
    pub levels: Levels,
}

/// What was found in one phase.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    /// Moments in the order of time.
    pub moments: Vec<Moment>,
    /// Time of each of [`BINS`] parts that was observed, nanoseconds.
    pub time: Vec<f64>,
    /// Sums of all memory by part, byte·nanoseconds.
    pub total: Vec<Levels>,
    /// The same of each mapping.
    pub groups: Vec<(MappingId, Vec<Levels>)>,
    /// Resident memory and for how long, in the order of time; empty where it was not recorded.
    pub resident: Vec<(f64, u64)>,
    /// Mean resident memory by part; empty where it was not recorded over all of the phase.
    pub resident_bins: Vec<f64>,
    /// Σ bytes × positive samples.
    pub volume: f64,
    /// Standard deviation that sampling alone gives to the mean of [`Levels::expected`], bytes.
    pub sampling_sd: f64,
    /// Whether idle times are known.
    pub has_ages: bool,
}

/// Sums of one part of a phase.
#[derive(Clone, Debug, Default)]
struct Bin {
    total: Levels,
    groups: BTreeMap<u32, Levels>,
}

/// One snapshot in one phase.
#[derive(Clone, Debug)]
struct Sample {
    phase: usize,
    start_ns: u64,
    end_ns: u64,
    levels: Levels,
    positive: f64,
    /// Variance of [`Levels::expected`] by sampling.
    variance: f64,
}

/// Collects the course of all phases of a recording.
#[derive(Debug)]
pub(super) struct CourseSum<'a> {
    options: CourseOptions<'a>,
    selection: &'a Selection,
    layouts: &'a Layouts,
    phases: &'a [Phase],
    cursor: Cursor<'a>,
    samples: BTreeMap<TargetId, Vec<Sample>>,
    bins: BTreeMap<(usize, usize), Bin>,
    observed: SpanSet,
    lacks_ages: bool,
    /// Of the snapshot at hand, by group, and the groups that are in it.
    now: Vec<Levels>,
    present: Vec<u32>,
}

impl<'a> CourseSum<'a> {
    /// Nothing collected yet. `phases` ascend and do not overlap.
    pub(super) fn new(
        selection: &'a Selection,
        layouts: &'a Layouts,
        phases: &'a [Phase],
        options: CourseOptions<'a>,
    ) -> Self {
        Self {
            options,
            selection,
            layouts,
            phases,
            cursor: Cursor::new(layouts),
            samples: BTreeMap::new(),
            bins: BTreeMap::new(),
            observed: SpanSet::default(),
            lacks_ages: false,
            now: vec![Levels::default(); layouts.groups().len()],
            present: Vec::new(),
        }
    }

    /// The courses of the phases; `resident` is the resident memory over time.
    pub(super) fn finish(self, resident: &[ResidentSample]) -> Vec<Course> {
        let mut courses: Vec<Course> =
            self.phases.iter().map(|phase| self.observed_parts(phase)).collect();
        for course in &mut courses {
            course.has_ages = !self.lacks_ages;
        }
        // Numbers of groups are those of their identities: no two groups have one.
        let mut places: HashMap<(usize, u32), usize> = HashMap::new();
        for ((phase, bin), sums) in &self.bins {
            let Some(course) = courses.get_mut(*phase) else { continue };
            if let Some(place) = course.total.get_mut(*bin) {
                place.add(&sums.total, 1.0);
            }
            for (group, levels) in &sums.groups {
                let Some(id) =
                    usize::try_from(*group).ok().and_then(|g| self.layouts.groups().get(g))
                else {
                    continue;
                };
                let at = *places.entry((*phase, *group)).or_insert_with(|| {
                    course.groups.push((id.clone(), vec![Levels::default(); BINS]));
                    course.groups.len() - 1
                });
                let parts = course.groups.get_mut(at).and_then(|(_, parts)| parts.get_mut(*bin));
                if let Some(place) = parts {
                    place.add(levels, 1.0);
                }
            }
        }
        // Each sample goes to its phase once; there may be hundreds of both.
        let mut samples: Vec<Vec<(TargetId, &Sample)>> = vec![Vec::new(); courses.len()];
        for (target, sample) in
            self.samples.iter().flat_map(|(t, list)| list.iter().map(|s| (*t, s)))
        {
            if let Some(list) = samples.get_mut(sample.phase) {
                list.push((target, sample));
            }
        }
        for ((course, phase), samples) in courses.iter_mut().zip(self.phases).zip(&samples) {
            course.resident = resident_in(resident, &phase.time);
            course.resident_bins = resident_bins(resident, &phase.time);
            moments(samples, &phase.time, course);
        }
        courses
    }

    fn observed_parts(&self, phase: &Phase) -> Course {
        let part = |bin| {
            let within = self.observed.within(&part(&phase.time, bin));
            within.map(|span| float(span.end - span.start)).sum()
        };
        Course {
            time: (0..BINS).map(part).collect(),
            total: vec![Levels::default(); BINS],
            ..Course::default()
        }
    }

    /// Adds the levels at hand for the time of the snapshot that lies in each part of a phase.
    fn spread(&mut self, phase: usize, time: &Range<u64>, total: &Levels) {
        let Some(span) = self.phases.get(phase).map(|phase| phase.time.clone()) else { return };
        for bin in touched_parts(&span, time) {
            let part = part(&span, bin);
            let (start, end) = (time.start.max(part.start), time.end.min(part.end));
            let weight = float(end.saturating_sub(start));
            if weight <= 0.0 {
                continue;
            }
            let sums = self.bins.entry((phase, bin)).or_default();
            sums.total.add(total, weight);
            for group in &self.present {
                let now = usize::try_from(*group).ok().and_then(|group| self.now.get(group));
                if let Some(levels) = now {
                    sums.groups.entry(*group).or_default().add(levels, weight);
                }
            }
        }
    }
}

/// The `bin`-th of [`BINS`] equal parts of a time.
fn part(span: &Range<u64>, bin: usize) -> Range<u64> {
    edge(span.start, span.end, bin, BINS)..edge(span.start, span.end, bin + 1, BINS)
}

/// The parts of a time that another one, inside it, touches.
fn touched_parts(span: &Range<u64>, time: &Range<u64>) -> Range<usize> {
    let length = u128::from(span.end.saturating_sub(span.start)).max(1);
    let bin = |at: u64| {
        let offset = u128::from(at.saturating_sub(span.start)) * (BINS as u128) / length;
        usize::try_from(offset).unwrap_or(BINS).min(BINS)
    };
    // Edges are rounded down: the part before may still hold the first moment.
    let first = bin(time.start).saturating_sub(1);
    first..bin(time.end).saturating_add(1).min(BINS)
}

/// What one target, or all of a moment, had for a while.
#[derive(Clone, Copy, Debug)]
struct Step {
    start_ns: u64,
    end_ns: u64,
    levels: Levels,
    /// Variance of [`Levels::expected`] by sampling, times the square of the time it stands for: what a mean over time is made of.
    weighted_variance: f64,
}

impl Timed for Step {
    fn time(&self) -> Range<u64> {
        self.start_ns..self.end_ns
    }
}

impl Step {
    fn length_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    fn of(sample: &Sample) -> Self {
        let (start_ns, end_ns) = (sample.start_ns, sample.end_ns);
        let ns = float(end_ns.saturating_sub(start_ns));
        let weighted_variance = sample.variance * ns * ns;
        Self { start_ns, end_ns, levels: sample.levels, weighted_variance }
    }

    /// A part of the time. The snapshot's sampling error is one error, whatever it is cut into: it goes with the first part.
    fn cut(&self, time: Range<u64>) -> Self {
        let weighted_variance =
            if time.start <= self.start_ns { self.weighted_variance } else { 0.0 };
        Self { start_ns: time.start, end_ns: time.end, weighted_variance, ..*self }
    }
}

/// Joins the samples of all targets of a phase to moments; where targets do not go in step, to what there was
/// [at each time](each_time).
fn moments(in_phase: &[(TargetId, &Sample)], phase: &Range<u64>, course: &mut Course) {
    let whole = float(phase.end.saturating_sub(phase.start)).max(1.0);
    let mut targets: BTreeMap<TargetId, Vec<Step>> = BTreeMap::new();
    for (target, sample) in in_phase {
        course.volume += sample.positive;
        targets.entry(*target).or_default().push(Step::of(sample));
    }
    for steps in targets.values_mut() {
        steps.sort_by_key(key);
    }
    let (mut variance, mut time) = (0.0, 0.0);
    let mut take = |steps: &[Step]| {
        // The first one opened the moment.
        let Some(first) = steps.first() else { return };
        let mut levels = Levels::default();
        let opened = float(first.length_ns());
        for step in steps {
            levels.add(&step.levels, 1.0);
            // Each stands for the time of the moment.
            let own = float(step.length_ns());
            let scale = if own > 0.0 { opened / own } else { 0.0 };
            variance += step.weighted_variance * scale * scale;
        }
        let before = float(first.start_ns.saturating_sub(phase.start));
        let middle = (before + opened / 2.0) / whole;
        course.moments.push(Moment { length_ns: first.length_ns(), middle, levels });
        time += opened;
    };
    let all = || targets.values().map(|steps| steps.iter().copied());
    if targets.len() < 2 || are_in_step(all()) {
        each_moment(all(), &mut take);
    } else {
        each_time(all(), Step::cut, &mut take);
    }
    course.sampling_sd = if time > 0.0 { variance.sqrt() / time } else { 0.0 };
}

/// The steps of resident memory inside a time; each holds until the next.
fn resident_in(samples: &[ResidentSample], time: &Range<u64>) -> Vec<(f64, u64)> {
    let ends = samples.iter().skip(1).map(|next| next.time_ns).chain([u64::MAX]);
    let steps = samples.iter().zip(ends).enumerate().map(|(index, (sample, end))| {
        // What was there before the first look is what the first look found.
        let start = if index == 0 { 0 } else { sample.time_ns };
        let (start, end) = (start.max(time.start), end.min(time.end));
        (float(sample.rss), end.saturating_sub(start))
    });
    steps.filter(|(_, length)| *length > 0).collect()
}

fn resident_bins(samples: &[ResidentSample], time: &Range<u64>) -> Vec<f64> {
    if samples.is_empty() {
        return Vec::new();
    }
    let mean = |bin| {
        let steps = resident_in(samples, &part(time, bin));
        let (sum, length) = steps.iter().fold((0.0, 0.0), |(sum, length), (value, ns)| {
            (sum + value * float(*ns), length + float(*ns))
        });
        if length > 0.0 { sum / length } else { 0.0 }
    };
    (0..BINS).map(mean).collect()
}

impl Fold for CourseSum<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        let time = self.selection.time_of(snapshot);
        let from = self.phases.partition_point(|phase| phase.time.end <= time.start);
        let to = self.phases.partition_point(|phase| phase.time.start < time.end);
        if from >= to {
            return;
        }
        self.lacks_ages |= snapshot.ages.is_none();
        let slots = self.cursor.at(snapshot.target, snapshot.end_ns);
        let samples = snapshot.sampling.max_nr_accesses.max(1);
        let scale = 1.0 / f64::from(samples);
        let least_age = idle_age(self.options.idle_ns, snapshot.sampling.aggr_us);
        let hotness = self.options.hotness.of(samples);
        let exact = self.options.exact;
        let bounds = snapshot.starts.iter().zip(snapshot.ends).enumerate();
        let selected = bounds.flat_map(|(index, (&start, &end))| {
            let pieces = self.selection.pieces(snapshot.target, start, end);
            pieces.map(move |piece| (index, piece))
        });
        let (now, present) = (&mut self.now, &mut self.present);
        let (mut positive, mut variance) = (0.0, 0.0);
        split(slots, selected, |index, size, group| {
            let Some(sum) = usize::try_from(group).ok().and_then(|group| now.get_mut(group)) else {
                return;
            };
            if sum.size <= 0.0 {
                present.push(group);
            }
            let size = float(size);
            sum.size += size;
            let accesses = snapshot.nr_accesses.get(index).copied().unwrap_or(0);
            if accesses == 0 {
                if snapshot.ages.is_some_and(|a| a.get(index).is_some_and(|a| *a >= least_age)) {
                    sum.idle += size;
                }
                return;
            }
            let rate = f64::from(accesses) * scale;
            sum.expected += size * rate;
            sum.touched += size;
            sum.hot += size * hotness.part(accesses);
            positive += size * f64::from(accesses);
            if !exact {
                variance += size * size * rate * (1.0 - rate).max(0.0) * scale;
            }
        });
        let mut total = Levels::default();
        for group in &self.present {
            let now = usize::try_from(*group).ok().and_then(|group| self.now.get(group));
            if let Some(levels) = now {
                total.add(levels, 1.0);
            }
        }
        for phase in from..to {
            let Some(span) = self.phases.get(phase).map(|phase| &phase.time) else { continue };
            let inside = time.start.max(span.start)..time.end.min(span.end);
            self.observed.insert(inside.clone());
            self.spread(phase, &inside, &total);
            let length = float(inside.end.saturating_sub(inside.start));
            let part = length / float(time.end.saturating_sub(time.start).max(1));
            self.samples.entry(snapshot.target).or_default().push(Sample {
                phase,
                start_ns: inside.start,
                end_ns: inside.end,
                levels: total,
                positive: positive * part,
                variance,
            });
        }
        for group in self.present.drain(..) {
            let now = usize::try_from(group).ok().and_then(|group| self.now.get_mut(group));
            if let Some(levels) = now {
                *levels = Levels::default();
            }
        }
    }

    fn merge(&mut self, later: Self) {
        for (target, samples) in later.samples {
            self.samples.entry(target).or_default().extend(samples);
        }
        for (place, bin) in later.bins {
            let mine = self.bins.entry(place).or_default();
            mine.total.add(&bin.total, 1.0);
            for (group, levels) in bin.groups {
                mine.groups.entry(group).or_default().add(&levels, 1.0);
            }
        }
        self.observed.extend(&later.observed);
        self.lacks_ages |= later.lacks_ages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_time_are_found_where_they_are() {
        for span in [0..1000_u64, 7..8, 5..105, 10..(u64::MAX / 2)] {
            for at in
                [span.start, span.start + 1, span.start + (span.end - span.start) / 3, span.end - 1]
            {
                let time = at.min(span.end - 1)..(at.min(span.end - 1) + 1);
                let length: u64 = touched_parts(&span, &time)
                    .map(|bin| part(&span, bin))
                    .map(|p| p.end.min(time.end).saturating_sub(p.start.max(time.start)))
                    .sum();
                assert_eq!(length, 1, "{span:?} {time:?}");
            }
        }
    }

    /// Snapshots of a target one after another from 0 on, each with so many bytes expected.
    fn samples(length_ns: u64, count: u64, expected: f64) -> Vec<Sample> {
        let sample = |index| Sample {
            phase: 0,
            start_ns: index * length_ns,
            end_ns: (index + 1) * length_ns,
            levels: Levels { expected, ..Levels::default() },
            positive: expected,
            variance: 4.0,
        };
        (0..count).map(sample).collect()
    }

    #[test]
    fn targets_out_of_step_are_there_at_each_time() {
        let fast = samples(100, 100, 3.0);
        // In step; a little slower; much slower.
        for (length_ns, count) in [(100, 100), (104, 96), (1000, 10)] {
            let slow = samples(length_ns, count, 2.0);
            let both =
                fast.iter().map(|s| (TargetId(0), s)).chain(slow.iter().map(|s| (TargetId(1), s)));
            let mut course = Course::default();
            moments(&both.collect::<Vec<_>>(), &(0..10_000), &mut course);
            let time: u64 = course.moments.iter().map(|moment| moment.length_ns).sum();
            assert_eq!(time, 10_000, "{length_ns}: no time counts twice, none is left out");
            let within = |moment: &&Moment| moment.middle < 0.99;
            for moment in course.moments.iter().filter(within) {
                assert!((moment.levels.expected - 5.0).abs() < 1e-9, "{length_ns}: {moment:?}");
            }
            // 100 and `count` independent errors of standard deviation 2, each for its share of the time.
            let of = |length: f64, count: f64| 4.0 * length * length * count;
            let (fast, slow) = (of(100.0, 100.0), of(float(length_ns), float(count)));
            let expected = (fast + slow).sqrt() / 10_000.0;
            assert!((course.sampling_sd - expected).abs() < 1e-9, "{length_ns}: {course:?}");
            assert!((course.volume - (300.0 + 2.0 * float(count))).abs() < 1e-9);
        }
    }

    #[test]
    fn resident_memory_holds_until_the_next_look() {
        let samples = [(10, 100), (20, 300)].map(|(time_ns, rss)| ResidentSample { time_ns, rss });
        assert_eq!(resident_in(&samples, &(0..40)), [(100.0, 20), (300.0, 20)]);
        assert_eq!(resident_in(&samples, &(25..30)), [(300.0, 5)]);
        assert!(resident_bins(&[], &(0..40)).is_empty());
        let bins = resident_bins(&samples, &(0..1280));
        assert_eq!(
            (bins.first(), bins.get(1), bins.last()),
            (Some(&100.0), Some(&100.0), Some(&300.0))
        );
    }
}
