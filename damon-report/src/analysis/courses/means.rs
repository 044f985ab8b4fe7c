//! Means over cells of time, where there are too many samples to keep them one by one.

use super::{Ended, Tally, cut};
use crate::analysis::course::{Course, Sample};
use crate::analysis::moments::{are_in_step, each_time};
use crate::analysis::num::{float, round_wide, wide};
use damon_format::TargetId;
use std::collections::BTreeMap;
use std::ops::Range;

/// Means over cells.
pub(super) struct Means<const K: usize, T> {
    most: usize,
    none: T,
    /// Cells take 2 to the power of this in nanoseconds.
    shift: u32,
    targets: BTreeMap<TargetId, (T, BTreeMap<u64, Cell<K>>)>,
    /// Cells of all targets.
    count: usize,
}

/// What began in a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cell<const K: usize> {
    time: (u64, u64),
    /// Weight: nanoseconds, one at least for each sample.
    ns: u128,
    /// Σ value × weight, in [parts](PART).
    sums: [u128; K],
}

/// Parts of one nanosecond of one, 2¹⁶: samples that lasted for no time have values between integers, too.
const PART: f64 = 65_536.0;

impl<const K: usize> Cell<K> {
    fn of(time: &Range<u64>, values: [f64; K]) -> Self {
        let ns = time.end.saturating_sub(time.start).max(1);
        let sums = values.map(|value| round_wide(value * float(ns) * PART));
        Self { time: (time.start, time.end), ns: ns.into(), sums }
    }

    fn add(&mut self, other: &Self) {
        self.time = (self.time.0.min(other.time.0), self.time.1.max(other.time.1));
        self.ns = self.ns.saturating_add(other.ns);
        for (sum, more) in self.sums.iter_mut().zip(other.sums) {
            *sum = sum.saturating_add(more);
        }
    }

    fn sample<S: Sample<K>>(&self) -> S {
        let weight = wide(self.ns) * PART;
        S::of(self.time.0..self.time.1, self.sums.map(|sum| wide(sum) / weight))
    }
}

/// Cells are at most half of all time.
const WIDEST: u32 = 63;

impl<const K: usize, T: Clone> Means<K, T> {
    pub(super) fn new(most: usize, none: T) -> Self {
        Self { most, none, shift: 0, targets: BTreeMap::new(), count: 0 }
    }

    pub(super) fn add<S: Sample<K>>(&mut self, target: TargetId, sample: &S)
    where
        T: Tally<S>,
    {
        let none = &self.none;
        let (tally, cells) =
            self.targets.entry(target).or_insert_with(|| (none.clone(), BTreeMap::new()));
        tally.add(sample);
        let time = sample.time();
        let cell = Cell::of(&time, sample.values());
        self.count += put(cells, time.start >> self.shift, cell);
        self.widen();
    }

    pub(super) fn add_all<S: Sample<K>>(&mut self, targets: BTreeMap<TargetId, Course<S, K>>)
    where
        T: Tally<S>,
    {
        for (target, course) in targets {
            for sample in course.take() {
                self.add(target, &sample);
            }
        }
    }

    pub(super) fn merge<S>(&mut self, mut other: Self)
    where
        T: Tally<S>,
    {
        let shift = self.shift.max(other.shift);
        self.widen_to(shift);
        other.widen_to(shift);
        for (target, (tally, cells)) in other.targets {
            let none = &self.none;
            let (ours, all) =
                self.targets.entry(target).or_insert_with(|| (none.clone(), BTreeMap::new()));
            ours.merge(tally);
            for (index, cell) in cells {
                self.count += put(all, index, cell);
            }
        }
        self.widen();
    }

    /// Makes cells wider until they are few.
    fn widen(&mut self) {
        while self.count > self.most && self.shift < WIDEST {
            self.widen_to(self.shift + 1);
        }
    }

    fn widen_to(&mut self, shift: u32) {
        let by = shift.min(WIDEST).saturating_sub(self.shift);
        if by == 0 {
            return;
        }
        self.shift += by;
        self.count = 0;
        for (_, cells) in self.targets.values_mut() {
            for (index, cell) in std::mem::take(cells) {
                self.count += put(cells, index >> by, cell);
            }
        }
    }

    pub(super) fn end<S: Sample<K>>(self, sum: impl Fn(&[S]) -> Option<S>) -> Ended<S, K, T> {
        let mut all: BTreeMap<u64, Vec<S>> = BTreeMap::new();
        let mut targets: BTreeMap<TargetId, (Course<S, K>, Option<T>)> = BTreeMap::new();
        for (target, (tally, cells)) in self.targets {
            for (index, cell) in &cells {
                all.entry(*index).or_default().push(cell.sample());
            }
            let course = cells.values().map(Cell::sample).collect();
            targets.insert(target, (course, Some(tally)));
        }
        let cell_ns = Some(1 << self.shift);
        let courses = || targets.values().map(|(course, _)| course.iter());
        if targets.len() > 1 && !are_in_step(courses()) {
            // A snapshot may last longer than the cell in which it begins.
            let mut total = Course::default();
            each_time(courses(), cut::<S, K>, |moment| total.extend(sum(moment)));
            return Ended { total, targets, cell_ns };
        }
        let total = all.into_values().filter_map(|mut cell| {
            // As in a moment of samples: who was there longest tells how long it took.
            cell.sort_by_key(|sample| {
                let time = sample.time();
                std::cmp::Reverse(time.end.saturating_sub(time.start))
            });
            sum(&cell)
        });
        let total = total.collect();
        Ended { total, targets, cell_ns }
    }
}

/// Adds to a cell; 1 if it is a new one.
fn put<const K: usize>(cells: &mut BTreeMap<u64, Cell<K>>, index: u64, cell: Cell<K>) -> usize {
    match cells.entry(index) {
        std::collections::btree_map::Entry::Occupied(mut place) => {
            place.get_mut().add(&cell);
            0
        }
        std::collections::btree_map::Entry::Vacant(place) => {
            place.insert(cell);
            1
        }
    }
}
