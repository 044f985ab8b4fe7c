//! Working sets of several targets at the same time.

use super::num::float;
use super::samples::{Iter, Samples};
use super::sampling_error::{Interval, add_up};
use super::together::are_together;
use super::wss::WorkingSetSample;
use damon_format::TargetId;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Sums the targets of each moment; what belongs to one is told by the rule of [`together`](super::together), here without a list of
/// all snapshots. The moment lasts as long as the snapshot that opened it, the longest of those that begin together: the last snapshot of a process that
/// has exited cuts nobody else's time. The estimates of different targets are independent.
pub(super) fn sum_targets(mut targets: BTreeMap<TargetId, Samples>) -> Samples {
    for samples in targets.values_mut() {
        in_order(samples);
    }
    if targets.len() < 2 {
        return targets.into_values().next().unwrap_or_default();
    }
    let mut moments = Samples::default();
    let mut open: Option<Moment> = None;
    for (target, sample) in Merged::new(&targets) {
        match &mut open {
            // Moments a snapshot may still belong to are the latest; a new one is opened otherwise.
            Some(moment) if moment.accepts(target, &sample) => moment.add(target, &sample),
            open => {
                if let Some(done) = open.replace(Moment::new(target, sample)) {
                    moments.push(&done.finish());
                }
            }
        }
    }
    moments.extend(open.map(Moment::finish));
    moments
}

fn key(sample: &WorkingSetSample) -> (u64, Reverse<u64>) {
    (sample.start_ns, Reverse(sample.end_ns))
}

/// By their begin; nearly always they are.
fn in_order(samples: &mut Samples) {
    if !samples.iter().is_sorted_by_key(|sample| key(&sample)) {
        let mut list: Vec<WorkingSetSample> = samples.iter().collect();
        list.sort_by_key(key);
        *samples = list.into_iter().collect();
    }
}

/// The samples of all targets by their begin, the longest first, then by target.
struct Merged<'a> {
    sources: Vec<(TargetId, Iter<'a>, WorkingSetSample)>,
    next: BinaryHeap<Reverse<(u64, Reverse<u64>, usize)>>,
}

impl<'a> Merged<'a> {
    fn new(targets: &'a BTreeMap<TargetId, Samples>) -> Self {
        let begun = targets.iter().filter_map(|(target, samples)| {
            let mut rest = samples.iter();
            let first = rest.next()?;
            Some((*target, rest, first))
        });
        let sources: Vec<_> = begun.collect();
        let entry = |(index, source): (usize, &(TargetId, Iter<'a>, WorkingSetSample))| {
            let (start, end) = key(&source.2);
            Reverse((start, end, index))
        };
        let next = sources.iter().enumerate().map(entry).collect();
        Self { sources, next }
    }
}

impl Iterator for Merged<'_> {
    type Item = (TargetId, WorkingSetSample);

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((_, _, index)) = self.next.pop()?;
        let (target, rest, first) = self.sources.get_mut(index)?;
        let found = *first;
        if let Some(sample) = rest.next() {
            *first = sample;
            let (start, end) = key(&sample);
            self.next.push(Reverse((start, end, index)));
        }
        Some((*target, found))
    }
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
        let time = |s: &WorkingSetSample| s.start_ns..s.end_ns;
        let together = are_together(&time(&self.sum), &time(sample));
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
