//! Values of metrics, and their courses, out of what was collected of one recording.

use super::course::{BINS, Course};
use super::levels::Levels;
use super::metric::{Measure, Statistic};
use super::ordered::Ordered;
use crate::analysis::num::{float, float_of, round};

/// One measure of one recording, in a phase: of all memory, or of a mapping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<'a> {
    pub(super) course: &'a Course,
    pub(super) measure: Measure,
    /// Where its levels by part are; `None` for a mapping that is not in this recording.
    pub(super) levels: Option<&'a [Levels]>,
    /// Of a mapping.
    pub(super) is_mapping: bool,
}

impl<'a> Of<'a> {
    /// Of all memory.
    pub(super) fn total(course: &'a Course, measure: Measure) -> Self {
        Self { course, measure, levels: Some(&course.total), is_mapping: false }
    }

    /// Of a mapping, by its place in [`Course::groups`]; one that is not there has nothing.
    pub(super) fn group(course: &'a Course, group: Option<usize>, measure: Measure) -> Self {
        let levels = group.and_then(|group| course.groups.get(group));
        let levels = levels.map(|(_, levels)| levels.as_slice());
        Self { course, measure, levels, is_mapping: true }
    }

    /// What it was, and for how long; nothing where it was not recorded. Of all memory that is by moment. Of a mapping it is the
    /// mean of each of so many parts, the same number for all runs: means of longer parts are less noisy, and their extremes less extreme.
    pub(super) fn ordered(&self, parts: usize) -> Ordered {
        let Self { course, measure, .. } = *self;
        if measure == Measure::Idle && !course.has_ages || measure == Measure::Volume {
            return Ordered::default();
        }
        if self.is_mapping {
            let each = BINS / parts.clamp(1, BINS);
            let times = course.time.chunks(each).map(|part| round(part.iter().sum()));
            return Ordered::of(self.series(parts).into_iter().zip(times).collect());
        }
        Ordered::of(self.moments().map(|(_, value, length)| (value, length)).collect())
    }

    /// Each moment of all memory: its share of the time that was before its middle, its level, and nanoseconds.
    fn moments(&self) -> Box<dyn Iterator<Item = (f64, f64, u64)> + 'a> {
        let Self { course, measure, .. } = *self;
        if measure == Measure::Resident {
            let length: u64 = course.resident.iter().map(|(_, length)| length).sum();
            let all = float(length).max(1.0);
            let mut before = 0.0;
            return Box::new(course.resident.iter().map(move |(value, length)| {
                let middle = before + float(*length) / 2.0;
                before += float(*length);
                (middle / all, *value, *length)
            }));
        }
        Box::new(course.moments.iter().filter_map(move |moment| {
            Some((moment.middle, moment.levels.get(measure)?, moment.length_ns))
        }))
    }

    /// A statistic; `None` where it was not recorded.
    pub(super) fn statistic(&self, ordered: &Ordered, statistic: Statistic) -> Option<f64> {
        match statistic {
            Statistic::Total => Some(self.course.volume),
            Statistic::Mean if self.is_mapping => self.mean(),
            Statistic::Mean => ordered.mean(),
            Statistic::P50 | Statistic::P95 | Statistic::Max => ordered.at(statistic.percent()),
        }
    }

    /// Mean over time of a mapping; one that is not there has nothing.
    fn mean(&self) -> Option<f64> {
        if self.measure == Measure::Idle && !self.course.has_ages {
            return None;
        }
        let levels = self.levels.unwrap_or_default();
        let sum: f64 = levels.iter().filter_map(|levels| levels.get(self.measure)).sum();
        let time: f64 = self.course.time.iter().sum();
        // A sum of nothing is −0.
        (time > 0.0).then(|| (sum + 0.0) / time)
    }

    /// Means of so many parts of equal time.
    pub(super) fn series(&self, parts: usize) -> Vec<f64> {
        let Self { course, .. } = *self;
        let each = BINS / parts.clamp(1, BINS);
        if self.measure == Measure::Resident {
            let mean = |part: &[f64]| part.iter().sum::<f64>() / float_of(part.len()).max(1.0);
            return course.resident_bins.chunks(each).map(mean).collect();
        }
        let Some(levels) = self.levels else { return vec![0.0; parts] };
        // The volume is what the expected working set adds up to.
        let level = match self.measure {
            Measure::Volume => Measure::Expected,
            measure => measure,
        };
        let one = |(levels, time): (&[Levels], &[f64])| {
            let sum: f64 = levels.iter().filter_map(|levels| levels.get(level)).sum();
            let time: f64 = time.iter().sum();
            if time > 0.0 { sum / time } else { 0.0 }
        };
        levels.chunks(each).zip(course.time.chunks(each)).map(one).collect()
    }

    /// In each of so many parts, the share of its time at which the level was no higher than one.
    pub(super) fn share_below(&self, level: f64, parts: usize) -> Vec<f64> {
        if self.is_mapping {
            let below = |value: f64| if value <= level { 1.0 } else { 0.0 };
            return self.series(parts).into_iter().map(below).collect();
        }
        let mut sums = vec![(0.0, 0.0); parts];
        for (middle, value, length) in self.moments() {
            if let Some((below, all)) = place(&mut sums, middle) {
                *all += float(length);
                *below += if value <= level { float(length) } else { 0.0 };
            }
        }
        filled(sums.into_iter().map(|(below, all)| (all > 0.0).then(|| below / all)))
    }

    /// The highest level in each of so many parts.
    pub(super) fn highest(&self, parts: usize) -> Vec<f64> {
        if self.is_mapping {
            return self.series(parts);
        }
        let mut most: Vec<Option<f64>> = vec![None; parts];
        for (middle, value, _) in self.moments() {
            if let Some(most) = place(&mut most, middle) {
                *most = Some(most.map_or(value, |most| most.max(value)));
            }
        }
        filled(most.into_iter())
    }
}

/// The part that holds a share of the time.
fn place<T>(parts: &mut [T], share: f64) -> Option<&mut T> {
    let last = parts.len().checked_sub(1)?;
    let at = usize::try_from(round((share * float_of(parts.len())).floor())).unwrap_or(last);
    parts.get_mut(at.min(last))
}

/// Where a part holds the middle of no moment, what was before goes on.
fn filled(parts: impl Iterator<Item = Option<f64>>) -> Vec<f64> {
    let list: Vec<Option<f64>> = parts.collect();
    let mut last = list.iter().copied().flatten().next().unwrap_or(0.0);
    let next = |part: Option<f64>| {
        last = part.unwrap_or(last);
        last
    };
    list.into_iter().map(next).collect()
}

/// How many parts a course can be cut into, so that each holds an aggregation or more: a power of two, or 0.
pub(super) fn parts(course: &Course) -> usize {
    let mut parts = BINS;
    while parts > 1 && (parts > course.moments.len() || has_empty(course, parts)) {
        parts /= 2;
    }
    if course.moments.is_empty() { 0 } else { parts }
}

fn has_empty(course: &Course, parts: usize) -> bool {
    course.time.chunks(BINS / parts.max(1)).any(|part| part.iter().sum::<f64>() <= 0.0)
}
