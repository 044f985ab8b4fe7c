//! Values of metrics, and their courses, out of what was collected of one recording.

use super::course::{BINS, Course};
use super::levels::Levels;
use super::metric::{Measure, Statistic};
use crate::analysis::distribution::Distribution;
use crate::analysis::num::float;

/// A statistic of all memory; `None` where it was not recorded.
pub(super) fn total(course: &Course, measure: Measure, statistic: Statistic) -> Option<f64> {
    match measure {
        Measure::Volume => return Some(course.volume),
        Measure::Idle if !course.has_ages => return None,
        _ => {}
    }
    let values: Vec<(f64, u64)> = match measure {
        Measure::Resident => course.resident.clone(),
        _ => course
            .moments
            .iter()
            .filter_map(|moment| Some((moment.levels.get(measure)?, moment.length_ns)))
            .collect(),
    };
    if values.is_empty() {
        return None;
    }
    let distribution = Distribution::of(values);
    match statistic {
        Statistic::Mean | Statistic::Total => Some(distribution.mean),
        Statistic::P50 => distribution.at(50),
        Statistic::P95 => distribution.at(95),
        Statistic::Max => distribution.at(100),
    }
}

/// Mean over time of a mapping, by its place in [`Course::groups`]; one that is not there has nothing.
pub(super) fn of_group(course: &Course, group: Option<usize>, measure: Measure) -> Option<f64> {
    if measure == Measure::Idle && !course.has_ages {
        return None;
    }
    let Some((_, levels)) = group.and_then(|group| course.groups.get(group)) else {
        return Some(0.0);
    };
    let sum: f64 = levels.iter().filter_map(|levels| levels.get(measure)).sum();
    let time: f64 = course.time.iter().sum();
    (time > 0.0).then(|| sum / time)
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

/// Means of so many parts, of all memory or of a mapping.
pub(super) fn series(
    course: &Course,
    levels: Option<&[Levels]>,
    measure: Measure,
    parts: usize,
) -> Vec<f64> {
    let each = BINS / parts.clamp(1, BINS);
    if measure == Measure::Resident {
        let mean = |part: &[f64]| part.iter().sum::<f64>() / float(part.len() as u64).max(1.0);
        return course.resident_bins.chunks(each).map(mean).collect();
    }
    let Some(levels) = levels else { return vec![0.0; parts] };
    // The volume is what the expected working set adds up to.
    let level = match measure {
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
