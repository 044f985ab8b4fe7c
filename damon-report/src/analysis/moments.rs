//! Samples of several targets at the same time.
//!
//! The targets of one kdamond, or of our own monitor, go in step: each has a snapshot in each moment, and these are added
//! up. Those of several kdamonds do not. Where their intervals differ a little, one of them would be missing in every so many-th moment;
//! where they differ much, in most. So such targets are added up at each time, as steps that begin wherever a snapshot of any of
//! them does.

use super::course::{Timed, key};
use super::num::float;
use super::samples::Samples;
use super::sampling_error::{Interval, add_up};
use super::together::are_together;
use super::wss::WorkingSetSample;
use damon_format::TargetId;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;

impl Timed for WorkingSetSample {
    fn time(&self) -> Range<u64> {
        self.start_ns..self.end_ns
    }
}

/// Hands over the samples of each moment, ascending in time; the first one of each opened it. `targets` are ascending, and so are
/// the samples of each. What belongs to one moment is told by the rule of [`together`](super::together), here without a list of
/// all samples.
pub(super) fn each_moment<T: Timed>(
    targets: impl IntoIterator<Item = impl Iterator<Item = T>>,
    mut take: impl FnMut(&[T]),
) {
    let mut merged = Merged::new(targets);
    // In which moment each target was last, counted from 1.
    let mut last: Vec<u64> = vec![0; merged.sources.len()];
    let (mut number, mut moment) = (0_u64, Vec::new());
    while let Some((source, sample)) = merged.next() {
        let Some(last) = last.get_mut(source) else { continue };
        // Moments a sample may still belong to are the latest; a new one is opened otherwise.
        let together = moment.first().is_some_and(|first: &T| {
            *last != number && are_together(&first.time(), &sample.time())
        });
        if !together {
            if !moment.is_empty() {
                take(&moment);
            }
            moment.clear();
            number += 1;
        }
        *last = number;
        moment.push(sample);
    }
    if !moment.is_empty() {
        take(&moment);
    }
}

/// Sums the targets of each moment. The moment lasts as long as the snapshot that opened it, the longest of those that begin together: the
/// last snapshot of a process that has exited cuts nobody else's time. The estimates of different targets are independent; what
/// merging loses is not.
pub(super) fn sum_targets(mut targets: BTreeMap<TargetId, Samples>) -> Samples {
    for samples in targets.values_mut() {
        in_order(samples);
    }
    if targets.len() < 2 {
        return targets.into_values().next().unwrap_or_default();
    }
    let (mut moments, mut intervals) = (Samples::default(), Vec::new());
    let take = |moment: &[WorkingSetSample]| moments.extend(sum(moment, &mut intervals));
    let all = || targets.values().map(Samples::iter);
    if are_in_step(all()) {
        each_moment(all(), take);
    } else {
        let cut = |s: &WorkingSetSample, time: Range<u64>| WorkingSetSample {
            start_ns: time.start,
            end_ns: time.end,
            ..*s
        };
        each_time(all(), cut, take);
    }
    moments
}

/// Whether no moment lacks a target that was looked at for more than half of it. `targets` as in [`each_moment`].
pub(super) fn are_in_step<T: Timed>(
    targets: impl IntoIterator<Item = impl Iterator<Item = T>>,
) -> bool {
    let mut merged = Merged::new(targets);
    let mut moment: Option<Range<u64>> = None;
    let mut here: Vec<usize> = Vec::new();
    // When the latest snapshot of each target ends, of those that may still matter.
    let mut ends: BTreeMap<usize, u64> = BTreeMap::new();
    while let Some((source, sample)) = merged.next() {
        let time = sample.time();
        let joins = |first: &Range<u64>| !here.contains(&source) && are_together(first, &time);
        if !moment.as_ref().is_some_and(joins) {
            if let Some(done) = moment.replace(time.clone()) {
                ends.retain(|_, end| *end > done.start);
                let half = done.end.saturating_sub(done.start) / 2;
                let covered = |end: u64| end.min(done.end).saturating_sub(done.start);
                if ends.iter().any(|(one, end)| covered(*end) > half && !here.contains(one)) {
                    return false;
                }
            }
            here.clear();
        }
        here.push(source);
        let end = ends.entry(source).or_default();
        *end = time.end.max(*end);
    }
    true
}

/// Hands over whatever is observed at each time, from one start or end of a snapshot to the next: samples that `cut` has
/// given that time. `targets` as in [`each_moment`].
pub(super) fn each_time<T: Timed>(
    targets: impl IntoIterator<Item = impl Iterator<Item = T>>,
    cut: impl Fn(&T, Range<u64>) -> T,
    mut take: impl FnMut(&[T]),
) {
    let mut merged = Merged::new(targets);
    let mut next = merged.next();
    let mut now_ns = 0;
    let mut present: BTreeMap<usize, T> = BTreeMap::new();
    loop {
        present.retain(|_, sample| sample.time().end > now_ns);
        while let Some((source, sample)) = next.take_if(|(_, s)| s.time().start <= now_ns) {
            if sample.time().end > now_ns {
                present.insert(source, sample);
            }
            next = merged.next();
        }
        let next_ns = next.as_ref().map(|(_, sample)| sample.time().start);
        let Some(end_ns) = present.values().map(|s| s.time().end).chain(next_ns).min() else {
            return;
        };
        if !present.is_empty() {
            let all: Vec<T> = present.values().map(|s| cut(s, now_ns..end_ns)).collect();
            take(&all);
        }
        now_ns = end_ns;
    }
}

/// By their start; nearly always they are.
fn in_order(samples: &mut Samples) {
    if !samples.iter().is_sorted_by_key(|sample| key(&sample)) {
        let mut list: Vec<WorkingSetSample> = samples.iter().collect();
        list.sort_by_key(key);
        *samples = list.into_iter().collect();
    }
}

/// The samples of all targets by their start, the longest first, then by target.
struct Merged<T, I> {
    sources: Vec<(I, Option<T>)>,
    next: BinaryHeap<Reverse<(u64, Reverse<u64>, usize)>>,
}

impl<T: Timed, I: Iterator<Item = T>> Merged<T, I> {
    fn new(targets: impl IntoIterator<Item = I>) -> Self {
        let begun = targets.into_iter().map(|mut rest| {
            let first = rest.next();
            (rest, first)
        });
        let sources: Vec<(I, Option<T>)> = begun.collect();
        let entry = |(index, (_, first)): (usize, &(I, Option<T>))| {
            let (start, end) = key(first.as_ref()?);
            Some(Reverse((start, end, index)))
        };
        let next = sources.iter().enumerate().filter_map(entry).collect();
        Self { sources, next }
    }

    /// The index of the target, and a sample.
    fn next(&mut self) -> Option<(usize, T)> {
        let Reverse((_, _, index)) = self.next.pop()?;
        let (rest, first) = self.sources.get_mut(index)?;
        let found = std::mem::replace(first, rest.next())?;
        if let Some(sample) = first {
            let (start, end) = key(sample);
            self.next.push(Reverse((start, end, index)));
        }
        Some((index, found))
    }
}

/// The sum of a moment; `intervals` is room to work in.
fn sum(moment: &[WorkingSetSample], intervals: &mut Vec<Interval>) -> Option<WorkingSetSample> {
    let [first, others @ ..] = moment else { return None };
    if others.is_empty() {
        return Some(*first);
    }
    let mut sum = *first;
    intervals.clear();
    intervals.push(first.interval());
    let length = |s: &WorkingSetSample| s.end_ns.saturating_sub(s.start_ns);
    for sample in others {
        sum.touched = sum.touched.saturating_add(sample.touched);
        sum.monitored = sum.monitored.saturating_add(sample.monitored);
        // A process that was there for a part of the moment counts for that part.
        let part = float(length(sample)) / float(length(first).max(1));
        intervals.push(sample.interval().scaled(part.min(1.0)));
        sum.expected_lost += sample.expected_lost * part.min(1.0);
    }
    let expected = add_up(intervals);
    Some(WorkingSetSample {
        expected: expected.estimate,
        expected_low: expected.low,
        expected_high: (expected.high + sum.expected_lost)
            .min(float(sum.monitored))
            .max(expected.estimate),
        ..sum
    })
}
