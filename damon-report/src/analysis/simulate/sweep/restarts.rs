//! Ages as they would be, for many variants of one scheme that differ in the least age alone.
//!
//! The same as [`super::super::ages`] keeps of one variant: by how much the age of a region is less than the recorded one,
//! because an action has set it to 0. A recorded region that is as it was costs nothing; only where regions merge or move are
//! there numbers to compute, and only of variants that have ever acted there.

use crate::analysis::num::float;
use damon_format::Region;

/// A recorded region, with what the variants made of its age.
#[derive(Clone, Debug, Default)]
struct Known {
    start: u64,
    end: u64,
    /// By how much it is younger, by variant; empty where nobody acted.
    by: Vec<u32>,
    /// The greatest of these.
    most: u32,
    /// No variant asks for it while its recorded age is less.
    due: u64,
}

/// The regions of the last snapshot of one target.
#[derive(Clone, Debug, Default)]
pub(super) struct Restarts {
    known: Vec<Known>,
    before: Vec<Known>,
    spare: Vec<Vec<u32>>,
    sums: Vec<f64>,
}

/// Least ages of the variants, ascending, and the greatest age of all.
#[derive(Clone, Debug, Default)]
pub(super) struct Thresholds {
    pub(super) least: Vec<u32>,
    pub(super) most: u32,
}

impl Restarts {
    /// Goes on to the next snapshot.
    pub(super) fn advance(&mut self, recorded: &[Region], thresholds: &Thresholds) {
        std::mem::swap(&mut self.known, &mut self.before);
        self.known.clear();
        let at_once = thresholds.least.first().map_or(u64::MAX, |age| u64::from(*age));
        let mut first = 0;
        for region in recorded {
            while self.before.get(first).is_some_and(|known| known.end <= region.start) {
                first += 1;
            }
            let new = Known {
                start: region.start,
                end: region.end,
                by: Vec::new(),
                most: 0,
                due: at_once,
            };
            let new = match self.before.get_mut(first) {
                Some(same) if same.start == region.start && same.end == region.end => {
                    let old = std::mem::take(same);
                    self.same(old, new, region.age, thresholds)
                }
                _ => self.moved(first, new, region.age, thresholds),
            };
            self.known.push(new);
        }
        for known in self.before.drain(..).filter(|known| known.by.capacity() > 0) {
            self.spare.push(known.by);
        }
        self.spare.truncate(1024);
    }

    /// A region with the bounds of before.
    fn same(&mut self, mut old: Known, new: Known, age: u32, thresholds: &Thresholds) -> Known {
        if old.most <= age {
            return old;
        }
        if age == 0 {
            self.spare.push(old.by);
            return new;
        }
        old.by.iter_mut().for_each(|by| *by = (*by).min(age));
        settle(&mut old, thresholds);
        old
    }

    /// A region that has grown, shrunk or merged: the mean by size, whose fraction the age loses.
    fn moved(&mut self, first: usize, mut new: Known, age: u32, thresholds: &Thresholds) -> Known {
        let behind = self.before.get(first..).unwrap_or_default();
        let inside = behind.iter().take_while(|known| known.start < new.end);
        let mut some = inside.filter(|known| !known.by.is_empty());
        let (one, another) = (some.next(), some.next());
        let (Some(one), false) = (one, age == 0) else { return new };
        let mut by = self.spare.pop().unwrap_or_default();
        by.clear();
        if another.is_none() && one.start <= new.start && one.end >= new.end {
            by.extend(one.by.iter().map(|by| (*by).min(age)));
        } else {
            let sources = behind.iter().take_while(|known| known.start < new.end);
            let sources: Vec<(u64, &[u32])> = sources
                .filter(|known| !known.by.is_empty())
                .map(|k| {
                    let overlap = k.end.min(new.end).saturating_sub(k.start.max(new.start));
                    (overlap, k.by.as_slice())
                })
                .collect();
            mean(&sources, new.end.saturating_sub(new.start), age, &mut self.sums, &mut by);
        }
        new.by = by;
        settle(&mut new, thresholds);
        if new.most == 0 {
            self.spare.push(std::mem::take(&mut new.by));
        }
        new
    }

    /// Which variants a recorded region matches by its age; it is 0 for them from then on. The position is that in the last
    /// snapshot.
    pub(super) fn act(
        &mut self,
        position: usize,
        age: u32,
        thresholds: &Thresholds,
        who: &mut Vec<usize>,
    ) {
        who.clear();
        let Some(known) = self.known.get_mut(position) else { return };
        if u64::from(age) < known.due {
            return;
        }
        if known.by.is_empty() {
            if age <= thresholds.most {
                who.extend(0..thresholds.least.partition_point(|least| *least <= age));
            }
            if who.is_empty() {
                return;
            }
            known.by = self.spare.pop().unwrap_or_default();
            known.by.clear();
            known.by.resize(thresholds.least.len(), 0);
        } else {
            collect(&known.by, age, thresholds, who);
        }
        for variant in who.iter() {
            if let Some(by) = known.by.get_mut(*variant) {
                *by = age;
            }
        }
        settle(known, thresholds);
    }

    /// Thresholds have changed.
    pub(super) fn ask_again(&mut self) {
        self.known.iter_mut().for_each(|known| known.due = 0);
    }
}

/// Variants whose least age is reached. In strides, most of which have none.
fn collect(by: &[u32], age: u32, thresholds: &Thresholds, who: &mut Vec<usize>) {
    const STRIDE: usize = 32;
    let is_reached = |(by, least): (&u32, &u32)| {
        let now = age.saturating_sub(*by);
        now >= *least && now <= thresholds.most
    };
    let strides = by.chunks(STRIDE).zip(thresholds.least.chunks(STRIDE));
    for (stride, (by, least)) in strides.enumerate() {
        // Without branches, for the sake of vectors.
        if !by.iter().zip(least).fold(false, |any, pair| any | is_reached(pair)) {
            continue;
        }
        let some = by.iter().zip(least).enumerate().filter(|(_, pair)| is_reached(*pair));
        who.extend(some.map(|(index, _)| stride * STRIDE + index));
    }
}

/// Sums up what `by` has become.
fn settle(known: &mut Known, thresholds: &Thresholds) {
    let (mut most, mut due) = (0_u32, u32::MAX);
    for (by, least) in known.by.iter().zip(&thresholds.least) {
        most = most.max(*by);
        due = due.min(by.saturating_add(*least));
    }
    known.most = most;
    // What does not fit into 32 bits is not reached by an age.
    known.due = u64::from(due);
}

/// `ceil(sum of overlap * min(by, age) / size)`, by variant.
fn mean(sources: &[(u64, &[u32])], size: u64, age: u32, sums: &mut Vec<f64>, by: &mut Vec<u32>) {
    /// Sums below are exact as floating point, and so is what is rounded up of their quotients: the error of a quotient is
    /// less than its distance from the next integer, 1 / size at least.
    const EXACT: u128 = 1 << 51;
    /// Where adding it leaves the nearest integer in the last bits.
    const MAGIC: f64 = 4_503_599_627_370_496.0;
    let granule =
        sources.iter().fold(size, |bits, (overlap, _)| bits | overlap).trailing_zeros().min(63);
    let units = size >> granule;
    let variants = sources.first().map_or(0, |(_, by)| by.len());
    if u128::from(units) * u128::from(age) >= EXACT {
        by.extend((0..variants).map(|variant| {
            let parts = sources.iter().map(|(overlap, by)| {
                u128::from(*overlap) * u128::from(by.get(variant).map_or(0, |by| (*by).min(age)))
            });
            let mean = parts.sum::<u128>().div_ceil(u128::from(size.max(1)));
            u32::try_from(mean).unwrap_or(u32::MAX)
        }));
        return;
    }
    sums.clear();
    sums.resize(variants, 0.0);
    for (overlap, by) in sources {
        let overlap = float(overlap >> granule);
        for (sum, by) in sums.iter_mut().zip(*by) {
            *sum += overlap * f64::from((*by).min(age));
        }
    }
    let size = float(units.max(1));
    by.extend(sums.iter().map(|sum| {
        let quotient = sum / size;
        let nearest = quotient + MAGIC;
        let up = u32::from(nearest - MAGIC < quotient);
        low_bits(nearest) + up
    }));
}

/// The integer in the last bits.
#[expect(clippy::cast_possible_truncation, reason = "ages have 32 bits")]
fn low_bits(value: f64) -> u32 {
    value.to_bits() as u32
}

#[cfg(test)]
mod tests {
    use super::super::super::ages::Ages;
    use super::*;
    use proptest::prelude::*;

    fn regions(cuts: &[(u64, u32)], unit: u64) -> Vec<Region> {
        let mut start = 0;
        let region = |(size, age): &(u64, u32)| {
            let begin = start;
            start += size * unit;
            // Some hole now and then.
            let end = if *age % 7 == 6 { start - unit / 2 } else { start };
            Region { start: begin, end, nr_accesses: 0, age: *age }
        };
        cuts.iter().map(region).collect()
    }

    proptest! {
        #[test]
        fn as_the_ages_of_each_variant_by_itself(
            moments in prop::collection::vec(
                prop::collection::vec((1_u64..9, 0_u32..60), 1..9), 1..12),
            mut least in prop::collection::vec(0_u32..50, 1..40),
            most in prop_oneof![Just(u32::MAX), 20_u32..60],
            unit in prop_oneof![Just(2_u64), Just(8192), Just(1 << 44)],
        ) {
            least.sort_unstable();
            let thresholds = Thresholds { least, most };
            let mut many = Restarts::default();
            let mut each = vec![Ages::default(); thresholds.least.len()];
            let mut who = Vec::new();
            for cuts in &moments {
                let recorded = regions(cuts, unit);
                many.advance(&recorded, &thresholds);
                let mut found = vec![Vec::new(); each.len()];
                for (position, region) in recorded.iter().enumerate() {
                    many.act(position, region.age, &thresholds, &mut who);
                    for variant in &who {
                        found[*variant].push(position);
                    }
                }
                for (variant, ages) in each.iter_mut().enumerate() {
                    let mut now = recorded.clone();
                    ages.apply(&mut now);
                    let mut expected = Vec::new();
                    for (position, region) in now.iter_mut().enumerate() {
                        if (thresholds.least[variant]..=most).contains(&region.age) {
                            expected.push(position);
                            region.age = 0;
                        }
                    }
                    ages.learn(&recorded, &now);
                    prop_assert_eq!(&found[variant], &expected, "variant {}", variant);
                }
            }
        }
    }

    #[test]
    fn means_are_rounded_up_exactly() {
        let check = |overlaps: [u64; 2], by: [u32; 2]| {
            let size = overlaps[0] + overlaps[1];
            let (a, b) = ([by[0]; 3], [by[1]; 3]);
            let (mut sums, mut found) = (Vec::new(), Vec::new());
            mean(
                &[(overlaps[0], &a), (overlaps[1], &b)],
                size,
                u32::MAX - 1,
                &mut sums,
                &mut found,
            );
            let exact = u128::from(overlaps[0]) * u128::from(by[0])
                + u128::from(overlaps[1]) * u128::from(by[1]);
            assert_eq!(found, [u32::try_from(exact.div_ceil(u128::from(size))).unwrap(); 3]);
        };
        for overlap in [4096, 3 * 4096, 1 << 30, (1 << 40) + 4096, (1 << 46) + 1] {
            for by in [[0, 1], [1, 2], [7, 7], [6000, 1], [864_000, 863_999], [u32::MAX - 1, 3]] {
                check([overlap, 4096], by);
                check([4096, overlap], by);
                check([overlap, overlap], by);
            }
        }
    }
}
