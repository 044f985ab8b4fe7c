//! How much memory is hot, rather than how much looks hot.
//!
//! Of N samples of memory that is accessed in a share p of them, a binomial number sees an access. Memory at p = 40 % is seen in half of 20
//! samples or more in a quarter of all aggregations, by chance alone: counted by what was seen, a quarter of it is hot. That hides changes
//! of what is really hot behind memory that is not, and behind chance.
//!
//! What shares there are is found out from how often each number was seen in all recordings together: of all mixtures of binomial
//! distributions, the one under which that is likeliest (Kiefer and Wolfowitz 1956), by expectation and maximisation from equal
//! parts of all shares, stopped early so that it stays smooth (Richardson 1972, Lucy 1974, and Vardi 1985 for this use). Then by Bayes' rule
//!
//! ```text
//! P(hot | k) = Σ over p ≥ threshold of w(p) · B(k; N, p) / Σ over all p of w(p) · B(k; N, p)
//! ```
//!
//! and k samples of N count for that part of the bytes. All recordings have one table of these parts, so that it cannot make a
//! difference between them; and if nothing changed, it does not depend on which of them are new.

use crate::analysis::fold::Fold;
use crate::analysis::num::float;
use crate::analysis::select::Selection;
use damon_format::SnapshotView;
use statrs::function::factorial::ln_binomial;
use std::collections::BTreeMap;

/// Shares that are told apart, one less.
const STEPS: u32 = 50;
/// Steps of maximisation: more bring out single shares, and with them chance.
const ROUNDS: usize = 50;
/// Beside so few samples above or below the threshold there is nothing to tell apart.
const LEAST_SAMPLES: f64 = 4.0;
/// What is so nearly certain to be hot, or not to be, is.
const CERTAIN: f64 = 1e-3;
/// Of more samples chance is small enough.
const MOST_SAMPLES: u32 = 500;

/// Byte·nanoseconds by how many of how many samples saw an access.
#[derive(Debug)]
pub(super) struct SeenSum<'a> {
    selection: &'a Selection,
    /// By the number of samples.
    seen: BTreeMap<u32, Vec<f64>>,
}

impl<'a> SeenSum<'a> {
    /// Nothing seen yet.
    pub(super) fn new(selection: &'a Selection) -> Self {
        Self { selection, seen: BTreeMap::new() }
    }

    /// What was seen.
    pub(super) fn finish(self) -> BTreeMap<u32, Vec<f64>> {
        self.seen
    }
}

impl Fold for SeenSum<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        let samples = snapshot.sampling.max_nr_accesses.max(1);
        if samples > MOST_SAMPLES || !self.selection.has_snapshot(snapshot) {
            return;
        }
        let time = self.selection.time_of(snapshot);
        let length = float(time.end - time.start);
        let places = usize::try_from(samples).unwrap_or(0).saturating_add(1);
        let seen = self.seen.entry(samples).or_insert_with(|| vec![0.0; places]);
        let bounds = snapshot.starts.iter().zip(snapshot.ends).zip(snapshot.nr_accesses);
        for ((&start, &end), accesses) in bounds {
            let at = usize::try_from((*accesses).min(samples)).ok();
            let Some(place) = at.and_then(|at| seen.get_mut(at)) else { continue };
            let pieces = self.selection.pieces(snapshot.target, start, end);
            let bytes = pieces.map(|piece| float(piece.end.saturating_sub(piece.start)));
            *place += bytes.sum::<f64>() * length;
        }
    }

    fn merge(&mut self, later: Self) {
        for (samples, counts) in later.seen {
            add(self.seen.entry(samples).or_default(), &counts, 1.0);
        }
    }
}

fn add(sums: &mut Vec<f64>, more: &[f64], factor: f64) {
    if sums.len() < more.len() {
        sums.resize(more.len(), 0.0);
    }
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more * factor;
    }
}

/// For which part of its bytes memory counts as hot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Hotness {
    /// Access rate from which on memory is hot, 0..1.
    threshold: f64,
    /// By the number of samples, and by how many of them saw an access. None where what was seen is what counts.
    parts: BTreeMap<u32, Vec<f64>>,
}

impl Hotness {
    /// Of recordings in which so much was seen so often, each as important as any other. None of them for those where rates carry no
    /// sampling error.
    pub(super) fn new(threshold: f64, recordings: &[BTreeMap<u32, Vec<f64>>]) -> Self {
        let mut all: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for recording in recordings {
            let whole: f64 = recording.values().flatten().sum();
            for (samples, counts) in recording.iter().filter(|_| whole > 0.0) {
                add(all.entry(*samples).or_default(), counts, 1.0 / whole);
            }
        }
        let tell = |(samples, seen): (u32, Vec<f64>)| {
            let far = f64::from(samples) * threshold.min(1.0 - threshold);
            let is_seen = seen.iter().sum::<f64>() > 0.0;
            (far >= LEAST_SAMPLES && is_seen).then(|| (samples, parts(samples, &seen, threshold)))
        };
        Self { threshold, parts: all.into_iter().filter_map(tell).collect() }
    }

    /// Of memory that was seen as it is.
    pub(super) fn exact(threshold: f64) -> Self {
        Self { threshold, parts: BTreeMap::new() }
    }

    /// The same for so many samples.
    pub(super) fn of(&self, samples: u32) -> Of<'_> {
        let least = (self.threshold * f64::from(samples)).max(f64::MIN_POSITIVE);
        Of { least, parts: self.parts.get(&samples).map(Vec::as_slice) }
    }
}

/// For which part of its bytes memory counts as hot, of some number of samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<'a> {
    least: f64,
    parts: Option<&'a [f64]>,
}

impl Of<'_> {
    /// Where so many of them saw an access; 0..1.
    pub(super) fn part(&self, accesses: u32) -> f64 {
        match self.parts {
            Some(parts) => {
                let at = usize::try_from(accesses).ok().and_then(|at| parts.get(at));
                at.or(parts.last()).copied().unwrap_or(0.0)
            }
            None if f64::from(accesses) >= self.least => 1.0,
            None => 0.0,
        }
    }
}

/// The probability that memory is hot in which so many of all samples saw an access.
fn parts(samples: u32, seen: &[f64], threshold: f64) -> Vec<f64> {
    let mut shares: Vec<f64> = (0..=STEPS).map(|i| f64::from(i) / f64::from(STEPS)).collect();
    // The threshold is one of them: memory exactly at it is hot.
    if !shares.iter().any(|share| (share - threshold).abs() < 1e-9) {
        shares.push(threshold);
        shares.sort_by(f64::total_cmp);
    }
    let likely: Vec<Vec<f64>> = shares.iter().map(|share| binomial(samples, *share)).collect();
    let mut weights = vec![1.0; shares.len()];
    // Likelihood of each number that was seen, under a mixture.
    let mixture = |weights: &[f64]| {
        let mut all = vec![0.0; seen.len()];
        for (weight, likely) in weights.iter().zip(&likely) {
            all.iter_mut().zip(likely).for_each(|(sum, likely)| *sum += weight * likely);
        }
        all
    };
    let whole: f64 = seen.iter().sum();
    for _ in 0..ROUNDS {
        let all = mixture(&weights);
        let ratios: Vec<f64> = seen
            .iter()
            .zip(&all)
            .map(|(seen, all)| if *all > 0.0 { seen / whole / all } else { 0.0 })
            .collect();
        for (weight, likely) in weights.iter_mut().zip(&likely) {
            *weight *=
                likely.iter().zip(&ratios).map(|(likely, ratio)| likely * ratio).sum::<f64>();
        }
    }
    let hot: Vec<f64> = shares
        .iter()
        .zip(&weights)
        .map(|(share, weight)| if *share >= threshold - 1e-9 { *weight } else { 0.0 })
        .collect();
    let (all, hot) = (mixture(&weights), mixture(&hot));
    let least = threshold * f64::from(samples);
    let part = |(accesses, (all, hot)): (u32, (&f64, &f64))| match hot / all {
        _ if *all <= 0.0 => f64::from(f64::from(accesses) >= least),
        part if part < CERTAIN => 0.0,
        part if part > 1.0 - CERTAIN => 1.0,
        part => part,
    };
    (0..).zip(all.iter().zip(&hot)).map(part).collect()
}

/// The probability of each number of accesses.
fn binomial(samples: u32, share: f64) -> Vec<f64> {
    let chance = |accesses: u32| {
        let (k, rest) = (f64::from(accesses), f64::from(samples - accesses));
        // 0 · ln 0 is 0 here.
        let power = |share: f64, times: f64| if times > 0.0 { times * share.ln() } else { 0.0 };
        let ways = ln_binomial(u64::from(samples), u64::from(accesses));
        (ways + power(share, k) + power(1.0 - share, rest)).exp()
    };
    (0..=samples).map(chance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is seen of memory: bytes and the share of samples in which it is accessed.
    fn seen(samples: u32, memory: &[(f64, f64)]) -> BTreeMap<u32, Vec<f64>> {
        let mut all = Vec::new();
        for (bytes, share) in memory {
            add(&mut all, &binomial(samples, *share), *bytes);
        }
        BTreeMap::from([(samples, all)])
    }

    fn hot(hotness: &Hotness, samples: u32, memory: &[(f64, f64)]) -> f64 {
        let of = hotness.of(samples);
        let counts = seen(samples, memory).remove(&samples).unwrap();
        (0..).zip(counts).map(|(accesses, bytes)| bytes * of.part(accesses)).sum()
    }

    #[test]
    fn memory_that_looks_hot_by_chance_is_not_counted() {
        let memory = [(200.0, 0.0), (40.0, 0.4), (40.0, 0.95)];
        // By hand: 10 or more of 20 at 40 %: 24.5 %, so that 9.8 look hot.
        assert!((hot(&Hotness::exact(0.5), 20, &memory) - 49.8).abs() < 0.05);
        let found = Hotness::new(0.5, &[seen(20, &memory)]);
        assert!((hot(&found, 20, &memory) - 40.0).abs() < 1.0, "{}", hot(&found, 20, &memory));
        // Two recordings of which one has 5 % more: the difference is not blurred either.
        let grown = [(198.0, 0.0), (40.0, 0.4), (42.0, 0.95)];
        let found = Hotness::new(0.5, &[seen(20, &memory), seen(20, &grown)]);
        let by = hot(&found, 20, &grown) / hot(&found, 20, &memory) - 1.0;
        assert!((by - 0.05).abs() < 0.002, "{by}");
        let by_sight = Hotness::exact(0.5);
        let by = hot(&by_sight, 20, &grown) / hot(&by_sight, 20, &memory) - 1.0;
        assert!((by - 2.0 / 49.8).abs() < 1e-3, "{by}");
        // And what is hot but looks as if it were not.
        let warm = [(300.0, 0.01), (50.0, 0.6)];
        let found = Hotness::new(0.5, &[seen(20, &warm)]);
        let (by_sight, found) = (hot(&by_sight, 20, &warm), hot(&found, 20, &warm));
        assert!((by_sight - 43.6).abs() < 0.1 && (found - 50.0).abs() < 1.5, "{found}");
    }

    #[test]
    fn what_cannot_be_told_apart_is_what_was_seen() {
        for (samples, threshold) in [(1, 0.5), (7, 0.5), (20, 0.9), (20, 0.1), (20, 1.0)] {
            let memory = seen(samples, &[(40.0, 0.4), (40.0, 0.95)]);
            assert_eq!(Hotness::new(threshold, &[memory]), Hotness::exact(threshold));
        }
        assert_eq!(Hotness::new(0.5, &[]), Hotness::exact(0.5));
        // Of one number of samples there are only snapshots of no length, of another one there is something.
        let mut nothing = seen(40, &[(40.0, 0.4), (40.0, 0.95)]);
        nothing.insert(20, vec![0.0; 21]);
        let found = Hotness::new(0.5, &[nothing]);
        assert!(found.parts.contains_key(&40));
        assert_eq!((found.of(20).part(9), found.of(20).part(10)), (0.0, 1.0));
        assert_eq!(
            (found.of(8).part(3), found.of(8).part(4), found.of(8).part(9)),
            (0.0, 1.0, 1.0)
        );
    }

    proptest! {
        #[test]
        fn more_accesses_are_never_less_hot(
            counts in proptest::collection::vec(prop_oneof![Just(0.0), 0.0..1e18_f64], 41),
            threshold in 0.11..0.89_f64,
        ) {
            let found = Hotness::new(threshold, &[BTreeMap::from([(40, counts)])]);
            let parts: Vec<f64> = (0..=41).map(|accesses| found.of(40).part(accesses)).collect();
            prop_assert!(parts.iter().all(|part| (0.0..=1.0).contains(part)), "{:?}", parts);
            prop_assert!(parts.windows(2).all(|pair| pair[0] <= pair[1] + 1e-9), "{:?}", parts);
        }
    }
}
