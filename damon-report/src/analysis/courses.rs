//! The courses of several targets, in bounded memory whatever the length of a recording.
//!
//! Samples are kept one by one while there are few of all targets together. Where there are more, means over cells of time are: of
//! 2ⁿ nanoseconds, n the least with which there are few enough cells. That depends on which samples there are alone, and not on
//! their order or on how they were divided among folds; and what adds up is added as integers. So results do not depend on
//! threads and blocks either. What is to be known of all samples, such as a distribution, is tallied then.

mod means;

use super::course::{Course, Sample};
use super::moments::{are_in_step, each_moment, each_time};
use damon_format::TargetId;
use means::Means;
use std::collections::BTreeMap;
use std::ops::Range;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Samples one by one.
    pub(super) samples: usize,
    /// Samples one by one where those of a target are in disorder, and have to be sorted.
    pub(super) disordered: usize,
    /// Cells.
    pub(super) cells: usize,
}

impl Bounds {
    /// A sample takes 8 to 20 bytes, 40 at most; a cell about 100. Aggregations of 100 ms are 864,000 in a day.
    pub(super) const USUAL: Self = Self { samples: 1 << 20, disordered: 1 << 17, cells: 1 << 17 };
}

/// What is to be known of all samples of a target.
pub(super) trait Tally<S>: Clone + Send {
    /// Adds a sample; their order must not matter.
    fn add(&mut self, sample: &S);

    /// Adds all of another one.
    fn merge(&mut self, other: Self);
}

/// Courses as they grow.
pub(super) struct Courses<S, const K: usize, T> {
    bounds: Bounds,
    /// Of no samples.
    none: T,
    /// Samples one by one.
    targets: BTreeMap<TargetId, Course<S, K>>,
    count: usize,
    /// Where there are too many.
    means: Option<Means<K, T>>,
}

/// What there is when all was added.
pub(super) struct Ended<S, const K: usize, T> {
    /// Targets of one moment summed up.
    pub(super) total: Course<S, K>,
    /// Each target, with the tally of its samples where the course has means.
    pub(super) targets: BTreeMap<TargetId, (Course<S, K>, Option<T>)>,
    /// How long the cells are that the courses have means of, nanoseconds; none where samples are kept one by one.
    pub(super) cell_ns: Option<u64>,
}

impl<S: Sample<K>, const K: usize, T: Tally<S>> Courses<S, K, T> {
    /// None yet; `none` is a tally of nothing.
    pub(super) fn new(bounds: Bounds, none: T) -> Self {
        Self { bounds, none, targets: BTreeMap::new(), count: 0, means: None }
    }

    /// Adds a sample.
    pub(super) fn push(&mut self, target: TargetId, sample: &S) {
        if self.means.is_some() || self.count >= self.bounds.samples {
            self.means().add(target, sample);
            return;
        }
        self.targets.entry(target).or_default().push(sample);
        self.count += 1;
    }

    /// Adds what was computed of later blocks.
    pub(super) fn merge(&mut self, later: Self) {
        let count = self.count.saturating_add(later.count);
        if self.means.is_none() && later.means.is_none() && count <= self.bounds.samples {
            self.count = count;
            for (target, course) in later.targets {
                self.targets.entry(target).or_default().extend(course.take());
            }
            return;
        }
        let means = self.means();
        means.add_all(later.targets);
        if let Some(more) = later.means {
            means.merge(more);
        }
    }

    /// Whether samples are not kept one by one.
    pub(super) fn has_means(&self) -> bool {
        self.means.is_some()
    }

    /// From now on means alone.
    fn means(&mut self) -> &mut Means<K, T> {
        let Self { bounds, none, targets, means, .. } = self;
        means.get_or_insert_with(|| {
            let mut means = Means::new(bounds.cells, none.clone());
            means.add_all(std::mem::take(targets));
            means
        })
    }

    /// Brings each target's samples in order; where these are too many, [means](Self::has_means) are made of them.
    pub(super) fn order(&mut self) {
        let many = self.count > self.bounds.disordered;
        if many && !self.targets.values().all(Course::is_in_order) {
            self.means();
        }
        self.targets.values_mut().for_each(Course::order);
    }

    /// Nothing follows; without the first `skip` samples of each target, unless there are [means](Self::has_means) when they are
    /// [in order](Self::order). `sum` adds up the samples of a moment, of which there is at least one; the first one opened it.
    pub(super) fn end(mut self, skip: usize, sum: impl Fn(&[S]) -> Option<S>) -> Ended<S, K, T> {
        self.order();
        if let Some(means) = self.means {
            return means.end(sum);
        }
        if skip > 0 {
            for course in self.targets.values_mut() {
                *course = std::mem::take(course).take().skip(skip).collect();
            }
            self.targets.retain(|_, course| !course.is_empty());
        }
        let total = total(self.targets.clone(), sum);
        let targets = self.targets.into_iter();
        let targets = targets.map(|(target, course)| (target, (course, None))).collect();
        Ended { total, targets, cell_ns: None }
    }

    /// [`end`](Self::end) without the targets, except for one that is alone: their samples give way to those of the total.
    pub(super) fn end_total(mut self, sum: impl Fn(&[S]) -> Option<S>) -> Ended<S, K, T> {
        self.order();
        match self.means {
            Some(means) => means.end(sum),
            None => {
                Ended { total: total(self.targets, sum), targets: BTreeMap::new(), cell_ns: None }
            }
        }
    }
}

fn total<S: Sample<K>, const K: usize>(
    mut targets: BTreeMap<TargetId, Course<S, K>>,
    sum: impl Fn(&[S]) -> Option<S>,
) -> Course<S, K> {
    if targets.len() < 2 {
        return targets.pop_first().map(|(_, course)| course).unwrap_or_default();
    }
    let mut total = Course::default();
    let take = |moment: &[S]| total.extend(sum(moment));
    if are_in_step(targets.values().map(Course::iter)) {
        each_moment(targets.into_values().map(Course::take), take);
    } else {
        each_time(targets.into_values().map(Course::take), cut::<S, K>, take);
    }
    total
}

/// The same at another time.
fn cut<S: Sample<K>, const K: usize>(sample: &S, time: Range<u64>) -> S {
    S::of(time, sample.values())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::course::Timed;
    use crate::analysis::num::float;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct One(u64, u64, f64);

    impl Timed for One {
        fn time(&self) -> Range<u64> {
            self.0..self.1
        }
    }

    impl Sample<1> for One {
        fn values(&self) -> [f64; 1] {
            [self.2]
        }

        fn of(time: Range<u64>, [value]: [f64; 1]) -> Self {
            Self(time.start, time.end, value)
        }
    }

    /// How many, and the greatest.
    #[derive(Clone, Copy, Debug, Default, PartialEq)]
    struct Greatest(usize, f64);

    impl Tally<One> for Greatest {
        fn add(&mut self, sample: &One) {
            *self = Self(self.0 + 1, self.1.max(sample.2));
        }

        fn merge(&mut self, other: Self) {
            *self = Self(self.0 + other.0, self.1.max(other.1));
        }
    }

    type Some = Courses<One, 1, Greatest>;
    type Found = (Vec<One>, Vec<(u32, Vec<One>, Option<Greatest>)>, Option<u64>);

    const FEW: Bounds = Bounds { samples: 20, disordered: 10, cells: 8 };

    fn add(moment: &[One]) -> Option<One> {
        let first = moment.first()?;
        Some(One(first.0, first.1, moment.iter().map(|one| one.2).sum()))
    }

    fn found(ended: Ended<One, 1, Greatest>) -> Found {
        let targets = ended.targets.into_iter();
        let targets = targets.map(|(id, (course, tally))| (id.0, course.iter().collect(), tally));
        (ended.total.iter().collect(), targets.collect(), ended.cell_ns)
    }

    /// What parts of samples, one after the other, are put together to.
    fn of(parts: &[&[(u32, One)]]) -> Some {
        let mut all = Some::new(FEW, Greatest::default());
        for part in parts {
            let mut courses = Some::new(FEW, Greatest::default());
            for (target, one) in *part {
                courses.push(TargetId(*target), one);
            }
            all.merge(courses);
        }
        all
    }

    /// Samples of up to three targets, most of which follow each other.
    fn list() -> impl Strategy<Value = Vec<(u32, One)>> {
        let one = (0_u32..3, prop_oneof![9 => 0_u64..40, 1 => 0_u64..1 << 40], 0_u64..90);
        let any = (one, 0_u32..1000, prop::bool::weighted(0.02));
        prop::collection::vec(any, 0..80).prop_map(|list| {
            let mut at = 1_u64 << 50;
            let one = |((target, pause, length), value, back): ((u32, u64, u64), u32, bool)| {
                at = if back { at - 500 } else { at + pause };
                (target, One(at, at + length, f64::from(value) / 8.0))
            };
            list.into_iter().map(one).collect()
        })
    }

    proptest! {
        #[test]
        fn how_samples_are_cut_into_blocks_changes_nothing(
            list in list(),
            cuts in prop::collection::vec(0_usize..80, 2),
            skip in 0_usize..3,
        ) {
            let (a, b) = (cuts[0].min(cuts[1]).min(list.len()), cuts[0].max(cuts[1]).min(list.len()));
            let (first, rest) = list.split_at(a);
            let (second, third) = rest.split_at(b - a);
            let whole = found(of(&[&list]).end(skip, add));
            prop_assert_eq!(&whole, &found(of(&[first, second, third]).end(skip, add)));
            let mut joined = of(&[first]);
            joined.merge(of(&[second, third]));
            prop_assert_eq!(&whole, &found(joined.end(skip, add)));
            let total = of(&[&list]).end_total(add);
            prop_assert_eq!(&whole.2, &total.cell_ns);
            if skip == 0 {
                prop_assert_eq!(&whole.0, &total.total.iter().collect::<Vec<_>>());
            }
        }

        #[test]
        fn few_samples_are_as_they_were_and_many_are_means(list in list()) {
            let (total, targets, cell_ns) = found(of(&[&list]).end(0, add));
            let of = |id: u32| list.iter().filter(move |(t, _)| *t == id).map(|(_, one)| *one);
            let count: usize = targets.iter().map(|(_, course, _)| course.len()).sum();
            // Steps begin and end where samples do.
            prop_assert!(total.len() <= 2 * count);
            for (id, course, tally) in &targets {
                let all: Vec<One> = of(*id).collect();
                let greatest = all.iter().map(|one| one.2).fold(0.0, f64::max);
                if cell_ns.is_none() {
                    let mut all = all;
                    all.sort_by_key(crate::analysis::course::key);
                    prop_assert_eq!((course, tally), (&all, &None));
                    continue;
                }
                prop_assert_eq!(*tally, Some(Greatest(all.len(), greatest)));
                prop_assert!(course.iter().all(|one| one.2 <= greatest));
                let ends = (all.iter().map(|s| s.0).min(), all.iter().map(|s| s.1).max());
                let found = (course.iter().map(|s| s.0).min(), course.iter().map(|s| s.1).max());
                prop_assert_eq!(found, ends);
            }
            if cell_ns.is_some() {
                prop_assert!(list.len() > FEW.disordered && count <= FEW.cells, "{count}");
            } else {
                prop_assert!(list.len() <= FEW.samples);
            }
        }
    }

    #[test]
    fn means_weigh_by_time_and_their_sum_is_kept() {
        // A hundred samples of 3 and 1 by turns, the former three times as long.
        let one = |i: u64| match i % 2 {
            0 => One(i / 2 * 400, i / 2 * 400 + 300, 3.0),
            _ => One(i / 2 * 400 + 300, i / 2 * 400 + 400, 1.0),
        };
        let list: Vec<(u32, One)> = (0..100).map(|i| (7, one(i))).collect();
        let (total, targets, cell_ns) = found(of(&[&list]).end(0, add));
        // 20 µs in at most 8 cells.
        assert_eq!(cell_ns, Some(4096));
        assert_eq!(total.len(), 5);
        assert_eq!(targets, [(7, total.clone(), Some(Greatest(100, 3.0)))]);
        let sum: f64 = total.iter().map(|mean| mean.2 * float(mean.1 - mean.0)).sum();
        assert!((sum - 50.0 * (900.0 + 100.0)).abs() < 1e-6, "{sum}");
        // 0..4100: ten of each and one more of 3, which began in the cell.
        assert_eq!((total[0].0, total[0].1), (0, 4300));
        assert!((total[0].2 - (11.0 * 900.0 + 10.0 * 100.0) / 4300.0).abs() < 1e-12);
    }

    #[test]
    fn means_of_targets_add_up_where_they_are_at_the_same_time() {
        let list: Vec<(u32, One)> = (0..100)
            .flat_map(|i| [(0, One(i * 10, i * 10 + 10, 2.0)), (1, One(i * 10, i * 10 + 10, 5.0))])
            .collect();
        let (total, targets, cell_ns) = found(of(&[&list]).end(0, add));
        assert_eq!((targets.len(), cell_ns), (2, Some(256)));
        assert_eq!(total.len(), 4);
        assert!(total.iter().all(|mean| (mean.2 - 7.0).abs() < 1e-12));
    }

    /// Of several kdamonds: each has always the same, so both have, whatever the interval of the other.
    #[test]
    fn targets_out_of_step_add_up_at_each_time() {
        // Ten short samples beside each long one: one by one, and as means.
        for (long, has_means) in [(1, false), (60, true)] {
            let bounds = Bounds { samples: 20, disordered: 10, cells: 400 };
            let mut all = Some::new(bounds, Greatest::default());
            (0..long).for_each(|i| all.push(TargetId(1), &One(i * 1000, i * 1000 + 1000, 5.0)));
            (0..long * 10).for_each(|i| all.push(TargetId(0), &One(i * 100, i * 100 + 100, 2.0)));
            let (total, _, cells) = found(all.end(0, add));
            assert_eq!(cells.is_some(), has_means, "{cells:?}");
            assert!(total.windows(2).all(|pair| pair[0].1 == pair[1].0), "{total:?}");
            assert_eq!((total[0].0, total[total.len() - 1].1), (0, long * 1000));
            assert!(total.iter().all(|one| (one.2 - 7.0).abs() < 1e-12), "{total:?}");
        }
    }
}
