//! What the kernel's DAMON loses where it merges regions, for the interval of the expected working set.
//!
//! # What is lost
//!
//! The kernel merges neighbours from the left to the right as long as their counts differ by no more than a threshold, a tenth of the
//! greatest count. Each time the size-weighted mean of the two is rounded *down* (`damon_merge_two_regions`). So a
//! region of any size loses a whole count to a sliver beside it that counts one less, and wins none from one that counts one
//! more. A region that was merged from many parts counts about as much as the least of them.
//!
//! # How much that was
//!
//! Nobody knows the counts of the parts. What is known is what they became, `k`, and how many there were, `m`
//! ([`lineage`](super::lineage)). If all pages had the same rate `p`, the count of each part would be binomial, and everything
//! follows: the chance `L(p)` that `m` parts are all merged and count `k` in the end, and the mean of their
//! counts if they do, `E(p) ≥ k`. Both are found by going through the merges one by one, with the chance of each count so far.
//! Parts come in pairs, as regions are cut in two at a random tenth before the samples of an aggregation are taken.
//!
//! A region that counts something is taken to have the rate that makes its count most likely, and to have lost `E(p) − k`. For one
//! that counts 0 that would be the rate 0, and no loss: rare accesses, of which the kernel loses most, would be forgotten.
//! So all of those together are taken to have one rate, one standard deviation away from 0: at which the
//! chance that they look as they do, `∏ L(p)`, is `e^(−1/2)`.
//!
//! What that comes to is added to the upper end of the interval, and to nothing else: what was found is what was found. How well that
//! holds is in `docs/ACCURACY.md`.
//!
//! # Many samples
//!
//! Beyond `SAMPLES` samples an aggregation, tables are too large. What is lost is about a standard deviation of a count then,
//! which as a rate becomes smaller with the root of the number of samples; a rate at which nothing is counted
//! becomes smaller with the number itself.

use super::num::float_of;
use std::sync::OnceLock;

/// Tables are made up to this number of samples.
const SAMPLES: u32 = 40;

/// Thresholds: a tenth of the greatest count.
const THRESHOLDS: usize = SAMPLES as usize / 10;

/// So many parts lose as much as any more do.
const PARTS: usize = 32;

/// Rates that are tried: more of them change nothing that shows.
const COLUMNS: usize = 64;

/// How likely it is that what counts nothing looks so at the rate it is taken to have: `e^(−1/2)`.
const ONE_DEVIATION: f64 = 0.606_530_659_712_633_4;

/// Adds up what was probably lost of the regions of one window.
#[derive(Clone, Debug, Default)]
pub struct MergeLoss {
    samples: u32,
    /// Parts, count and size of the merged regions that count something.
    counting: Vec<(usize, u32, f64)>,
    /// Number and size of those that count nothing, by parts.
    silent: Vec<(u32, f64)>,
    greatest: u32,
}

impl MergeLoss {
    /// Begins again, with counts of so many samples.
    pub fn reset(&mut self, samples: u32) {
        self.samples = samples.max(1);
        self.counting.clear();
        self.silent.clear();
        self.silent.resize(PARTS + 1, (0, 0.0));
        self.greatest = 0;
    }

    /// A region of this size and count, of which it is known that it was merged from so many parts at least.
    pub fn add(&mut self, size: f64, count: u32, parts: u32) {
        self.greatest = self.greatest.max(count);
        let parts = usize::try_from(parts).unwrap_or(usize::MAX);
        if count > 0 {
            if parts > 1 {
                self.counting.push((parts.min(PARTS), count, size));
            }
        } else if let Some((number, bytes)) = self.silent.get_mut(parts.clamp(1, PARTS)) {
            // More parts than there are tables for are as unlikely to count nothing as several regions.
            let times = u32::try_from(parts.div_ceil(PARTS)).unwrap_or(u32::MAX);
            *number = number.saturating_add(times);
            *bytes += size;
        }
    }

    /// Bytes: size × rate that the merges have probably lost. Nothing where the threshold was 0, so that only equal counts were merged.
    pub fn total(&self) -> f64 {
        let samples = self.samples.max(1);
        let (shown, scaled) = if samples <= SAMPLES {
            (samples, 1.0)
        } else {
            (SAMPLES, f64::from(SAMPLES) / f64::from(samples))
        };
        let count = |count: u32| {
            let of = u64::from(count).saturating_mul(shown.into()) / u64::from(samples);
            u32::try_from(of).unwrap_or(u32::MAX).min(shown)
        };
        // The greatest count may have lost one, too.
        let threshold = count(self.greatest.saturating_add(1)) / 10;
        let Some(table) = Table::of(shown, threshold) else { return 0.0 };
        let lost = |&(parts, of, size): &(usize, u32, f64)| size * table.lost(parts, count(of));
        let counting: f64 = self.counting.iter().map(lost).sum();
        let silent = table.silent(&self.silent);
        (counting * scaled.sqrt() + silent * scaled) / f64::from(shown)
    }
}

/// What merging does with a number of samples and a threshold.
#[derive(Debug)]
struct Table {
    /// Counts lost at the most likely rate, by parts, then by the count in the end.
    lost: Vec<Vec<f64>>,
    /// Of what counts 0, by rates from 0 on, then by parts: its chance, and the mean of the counts of its parts.
    silent: Vec<Vec<(f64, f64)>>,
}

/// Tables by samples and threshold; each is made when it is needed first.
static TABLES: [[OnceLock<Table>; THRESHOLDS]; SAMPLES as usize] =
    [const { [const { OnceLock::new() }; THRESHOLDS] }; SAMPLES as usize];

impl Table {
    fn of(samples: u32, threshold: u32) -> Option<&'static Self> {
        let threshold = threshold.checked_sub(1)?;
        let row = TABLES.get(usize::try_from(samples.checked_sub(1)?).ok()?)?;
        let place = row.get(usize::try_from(threshold).ok()?)?;
        Some(place.get_or_init(|| Self::new(samples, threshold + 1)))
    }

    fn new(samples: u32, threshold: u32) -> Self {
        let by_parts = merged(samples, &rates(), threshold);
        let (mut lost, mut silent) = (vec![Vec::new()], vec![vec![(1.0, 0.0)]; COLUMNS]);
        for (outcomes, parts) in by_parts.iter().zip(1_u32..) {
            let mean = |outcome: &Outcome, at: usize| {
                let (chance, sum) = outcome.at(at);
                if chance > 0.0 { sum / chance / f64::from(parts) } else { 0.0 }
            };
            let most_likely = |(outcome, count): (&Outcome, u32)| {
                let chance = |at: &usize| outcome.at(*at).0;
                let at = (0..COLUMNS).max_by(|a, b| chance(a).total_cmp(&chance(b))).unwrap_or(0);
                (mean(outcome, at) - f64::from(count)).max(0.0)
            };
            lost.push(outcomes.iter().zip(0..).map(most_likely).collect());
            let Some(nothing) = outcomes.first() else { continue };
            for (row, at) in silent.iter_mut().zip(0..) {
                row.push((nothing.at(at).0, mean(nothing, at)));
            }
        }
        Self { lost, silent }
    }

    fn lost(&self, parts: usize, count: u32) -> f64 {
        let row = self.lost.get(parts);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        row.and_then(|row| row.get(count)).copied().unwrap_or(0.0)
    }

    /// Counts × bytes lost of what counts nothing: `regions` are number and bytes by parts.
    fn silent(&self, regions: &[(u32, f64)]) -> f64 {
        let present = || regions.iter().enumerate().filter(|(_, (number, _))| *number > 0);
        let chance = |row: &Vec<(f64, f64)>| {
            let of = |parts: usize| row.get(parts).map_or(1.0, |silent| silent.0);
            present().map(|(parts, (number, _))| power(of(parts), *number)).product::<f64>()
        };
        let bytes = |row: Option<&Vec<(f64, f64)>>| -> f64 {
            let mean = |parts: usize| row.and_then(|row| row.get(parts)).map_or(0.0, |one| one.1);
            present().map(|(parts, (_, bytes))| mean(parts) * bytes).sum()
        };
        // Chances fall with the rate: the first at which it is too unlikely, and the one before.
        let above = self.silent.partition_point(|row| chance(row) >= ONE_DEVIATION);
        let (Some(below), high) = (above.checked_sub(1), self.silent.get(above)) else {
            return 0.0;
        };
        let low = self.silent.get(below);
        let [from, to] = [low, high].map(|row| row.map_or(0.0, chance));
        let part = if from > to { (from - ONE_DEVIATION) / (from - to) } else { 0.0 };
        let (from, to) = (bytes(low), bytes(high));
        // Where parts are single, nothing was merged, and sampling alone decides.
        from + (to - from) * part.clamp(0.0, 1.0)
    }
}

/// The rates that are tried, from 0 to 1: finer where they are small, or nearly 1, as counts differ least there.
fn rates() -> [f64; COLUMNS] {
    std::array::from_fn(|step| {
        let x = float_of(step) / float_of(COLUMNS - 1);
        x * x * (3.0 - 2.0 * x)
    })
}

/// What became of some parts, by rates.
#[derive(Clone, Debug)]
struct Outcome {
    /// That they were merged and counted so.
    chance: [f64; COLUMNS],
    /// The sum of the counts of all parts times their sizes, of which the mean is 1, times the chance.
    sum: [f64; COLUMNS],
}

impl Outcome {
    const NONE: Self = Self { chance: [0.0; COLUMNS], sum: [0.0; COLUMNS] };

    fn at(&self, rate: usize) -> (f64, f64) {
        let of = |values: &[f64; COLUMNS]| values.get(rate).copied().unwrap_or(0.0);
        (of(&self.chance), of(&self.sum))
    }
}

/// The size that parts have on average. Regions are cut at a multiple of a tenth.
const MEAN_SIZE: u32 = 5;

/// By the number of parts from 1 on, then by count: what becomes of parts whose pages have each of these rates.
fn merged(samples: u32, rates: &[f64; COLUMNS], threshold: u32) -> Vec<Vec<Outcome>> {
    let chances = rates.map(|rate| binomial(samples, rate));
    let chance = |count: usize| {
        let of = |rate: usize| chances.get(rate).and_then(|all| all.get(count)).copied();
        std::array::from_fn(|rate| of(rate).unwrap_or(0.0))
    };
    let single: Vec<[f64; COLUMNS]> = (0..chances[0].len()).map(chance).collect();
    let nothing = vec![Outcome::NONE; single.len()];
    let mut even: Option<Vec<Outcome>> = None;
    let mut all: Vec<Vec<Outcome>> = Vec::with_capacity(PARTS);
    for pair in (0_u32..).take(PARTS / 2) {
        let before = pair * 2 * MEAN_SIZE;
        let first = |size: u32| {
            let mut after = nothing.clone();
            match &even {
                Some(even) => add_part(even, before, (&single, size, 1.0), threshold, &mut after),
                None => {
                    for ((after, chance), count) in after.iter_mut().zip(&single).zip(0_u32..) {
                        let sum = parts_of_mean(size) * f64::from(count);
                        *after = Outcome { chance: *chance, sum: chance.map(|c| c * sum) };
                    }
                }
            }
            after
        };
        all.push(first(MEAN_SIZE));
        let mut both = nothing.clone();
        for size in 1..2 * MEAN_SIZE {
            let second = (single.as_slice(), 2 * MEAN_SIZE - size, 1.0 / 9.0);
            add_part(&first(size), before + size, second, threshold, &mut both);
        }
        all.push(both.clone());
        even = Some(both);
    }
    all
}

/// A size in units of the mean of all.
fn parts_of_mean(size: u32) -> f64 {
    f64::from(size) / f64::from(MEAN_SIZE)
}

/// Merges one more part, (its chances by count, its size, and the chance of that size), with what is there.
fn add_part(
    before: &[Outcome],
    size: u32,
    (single, more, weight): (&[[f64; COLUMNS]], u32, f64),
    threshold: u32,
    after: &mut [Outcome],
) {
    for (ours, known) in (0_u32..).zip(before) {
        let alike = ours.saturating_sub(threshold)..=ours.saturating_add(threshold);
        for (theirs, chances) in (0_u32..).zip(single).filter(|(count, _)| alike.contains(count)) {
            // As the kernel does it. Neither factor is above a few hundred.
            let mean = (ours * size + theirs * more) / (size + more).max(1);
            let place = usize::try_from(mean).ok().and_then(|mean| after.get_mut(mean));
            let Some(place) = place else { continue };
            let accesses = parts_of_mean(more) * f64::from(theirs);
            let known = known.chance.iter().zip(&known.sum).zip(chances);
            let sums = place.chance.iter_mut().zip(&mut place.sum);
            for (((chance, sum), single), (new, new_sum)) in known.zip(sums) {
                let both = chance * (single * weight);
                *new += both;
                *new_sum += sum * (single * weight) + both * accesses;
            }
        }
    }
}

/// Chances of 0 to `n` positive samples, each with the chance `rate`.
fn binomial(n: u32, rate: f64) -> Vec<f64> {
    let miss = 1.0 - rate;
    let mut chance = power(miss, n);
    let mut chances = Vec::new();
    for count in 0..=n {
        chances.push(if miss > 0.0 { chance } else { f64::from(u8::from(count == n)) });
        chance *= f64::from(n - count) / f64::from(count + 1) * (rate / miss);
    }
    chances
}

/// Only with operations whose results are the same on every machine.
fn power(base: f64, mut exponent: u32) -> f64 {
    let (mut base, mut product) = (base, 1.0);
    while exponent > 0 {
        if exponent % 2 == 1 {
            product *= base;
        }
        base *= base;
        exponent /= 2;
    }
    product
}

#[cfg(test)]
mod tests;
