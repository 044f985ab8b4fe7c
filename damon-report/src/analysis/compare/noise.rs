//! How much the value of one recording would vary if the same were recorded again, as far as one recording can tell.
//!
//! Aggregations that follow each other are alike, so that their number says little. Recordings are cut into parts of equal time
//! and laid over each other; what all of them do (phases of a program) is taken away, and what is left of each is
//! its noise. That is resampled in blocks, which are longer than it remembers (circular block bootstrap, Politis and
//! Romano 1992). Of means the variance under such resampling is known without drawing.
//!
//! A quantile is where the share of the time below it is what it is called, and that share is a mean: of parts, in each of which
//! all that was observed counts. How much the share varies says how much the quantile does ([`Ordered::spread`](super::ordered::Ordered)).
//! The greatest of all is drawn from the greatest of each part. (Means of parts would be much calmer than what is in them.)

use crate::analysis::num::{float_of, round};

/// Fewest parts that say anything about noise.
pub(super) const FEWEST: usize = 8;

/// Draws for what has no formula.
const DRAWS: usize = 200;

/// What is left of each run without the course that all have in common, and without its own mean. All are as long as
/// the shortest.
pub(super) fn residuals(runs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let bins = runs.iter().map(Vec::len).min().unwrap_or(0);
    let centred: Vec<Vec<f64>> = runs
        .iter()
        .map(|run| {
            let run = run.get(..bins).unwrap_or_default();
            let mean = mean(run);
            run.iter().map(|value| value - mean).collect()
        })
        .collect();
    let common = common(&centred);
    let runs = float_of(centred.len());
    // Taking the mean of n away takes 1/n of the variance with it.
    let scale = if runs > 1.0 { (runs / (runs - 1.0)).sqrt() } else { 1.0 };
    let left = |run: Vec<f64>| run.iter().zip(&common).map(|(v, c)| (v - c) * scale).collect();
    centred.into_iter().map(left).collect()
}

/// The mean course of runs.
pub(super) fn common(runs: &[Vec<f64>]) -> Vec<f64> {
    let bins = runs.iter().map(Vec::len).min().unwrap_or(0);
    let count = float_of(runs.len()).max(1.0);
    let at = |bin: usize| runs.iter().filter_map(|run| run.get(bin)).sum::<f64>() / count;
    (0..bins).map(at).collect()
}

/// Parts after which the noise of runs has forgotten itself, twice: the length of blocks. From the integrated
/// autocorrelation time over all runs, with Sokal's window.
pub(super) fn block_length(residuals: &[Vec<f64>]) -> usize {
    let bins = residuals.iter().map(Vec::len).min().unwrap_or(0);
    let covariance = |lag: usize| -> f64 {
        let of = |run: &Vec<f64>| -> f64 {
            run.iter().zip(run.iter().skip(lag)).map(|(a, b)| a * b).sum()
        };
        residuals.iter().map(of).sum()
    };
    let variance = covariance(0);
    if variance <= 0.0 || bins == 0 {
        return 1;
    }
    let mut time = 1.0;
    for lag in 1..bins {
        time += 2.0 * covariance(lag) / variance;
        if float_of(lag) >= 4.0 * time {
            break;
        }
    }
    let length = usize::try_from(round((2.0 * time).ceil().max(1.0))).unwrap_or(usize::MAX);
    length.clamp(1, (bins / 4).max(1))
}

/// Variance of the mean of a run, from what is left of it.
pub(super) fn variance_of_mean(residual: &[f64], block: usize) -> f64 {
    let bins = residual.len();
    if bins <= block {
        return 0.0;
    }
    let (parts, length) = (float_of(bins), float_of(block));
    let mut sum: f64 = residual.iter().take(block).sum();
    let mut squares = 0.0;
    for start in 0..bins {
        squares += (sum / length) * (sum / length);
        let at = |index: usize| residual.get(index % bins).copied().unwrap_or(0.0);
        sum += at(start + block) - at(start);
    }
    // Blocks are parts of what their mean is taken from: they are nearer to it than to the truth.
    let short = 1.0 - length / parts;
    squares / parts * length / parts / short
}

/// Variance of the greatest value of runs with a common course of their greatest values by part, and such noise in it as was left
/// of one run. There is no formula for that; it is drawn.
pub(super) fn variance_of_max(common: &[f64], residual: &[f64], block: usize, seed: u64) -> f64 {
    let bins = residual.len();
    if bins == 0 {
        return 0.0;
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut draw = |_| {
        let mut most = f64::NEG_INFINITY;
        let mut places = common.iter().take(bins);
        while places.len() > 0 {
            let start = random.usize(0..bins);
            let noise = (0..block.max(1)).map(|step| residual.get((start + step) % bins));
            for (level, noise) in places.by_ref().take(block.max(1)).zip(noise) {
                most = most.max(level + noise.copied().unwrap_or(0.0));
            }
        }
        most
    };
    let values: Vec<f64> = (0..DRAWS).map(&mut draw).collect();
    let mean = mean(&values);
    values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / float_of(DRAWS - 1)
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / float_of(values.len()).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise that remembers `memory` of its last value, standard deviation 1.
    fn noise(seed: u64, bins: usize, memory: f64) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut last = 0.0;
        let fresh = (1.0 - memory * memory).sqrt();
        let mut next = || {
            let white: f64 = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
            last = memory * last + fresh * white;
            last
        };
        (0..bins + 100).map(|_| next()).skip(100).collect()
    }

    /// True variance of the mean of such noise.
    fn truth(bins: usize, memory: f64) -> f64 {
        let n = float_of(bins);
        let lagged = |k: usize| (1.0 - float_of(k) / n) * memory.powi(i32::try_from(k).unwrap());
        (1.0 + 2.0 * (1..bins).map(lagged).sum::<f64>()) / n
    }

    #[test]
    fn the_variance_of_means_is_found_whatever_the_noise_remembers() {
        for memory in [0.0, 0.5, 0.8] {
            let found: Vec<f64> = (0..400)
                .map(|seed| {
                    let runs = vec![noise(2 * seed, 128, memory), noise(2 * seed + 1, 128, memory)];
                    let left = residuals(&runs);
                    variance_of_mean(&left[0], block_length(&left))
                })
                .collect();
            let ratio = mean(&found) / truth(128, memory);
            assert!((0.75..1.3).contains(&ratio), "memory {memory}: {ratio}");
        }
    }

    #[test]
    fn what_all_runs_do_is_no_noise() {
        let phases: Vec<f64> = (0..128).map(|i| if i < 50 { 1e9 } else { 4e9 }).collect();
        let runs: Vec<Vec<f64>> = (0..2)
            .map(|seed| phases.iter().zip(noise(seed, 128, 0.0)).map(|(p, n)| p + n).collect())
            .collect();
        let left = residuals(&runs);
        let variance = variance_of_mean(&left[1], block_length(&left));
        assert!((0.3..3.0).contains(&(variance * 128.0)), "{variance}");
    }

    #[test]
    fn the_greatest_of_parts_is_drawn() {
        // Of 128 of a normal distribution: standard deviation 0.43. What was left of one such run holds each value once, and its
        // greatest is drawn in two of three cases: what is drawn varies less, and differs much from run to run.
        let flat = vec![0.0; 128];
        let found: Vec<f64> = (0..200)
            .map(|seed| variance_of_max(&flat, &noise(seed, 128, 0.0), 1, seed).sqrt())
            .collect();
        let ratio = mean(&found) / 0.43;
        assert!((0.4..1.1).contains(&ratio), "{ratio}");
    }

    #[test]
    fn nothing_is_known_of_nothing() {
        assert!(residuals(&[]).is_empty());
        assert_eq!(block_length(&[vec![], vec![]]), 1);
        assert!(variance_of_mean(&[], 1).abs() < 1e-12);
        assert!(variance_of_max(&[], &[], 1, 0).abs() < 1e-12);
        let flat = residuals(&[vec![5.0; 16], vec![7.0; 16]]);
        assert!(variance_of_mean(&flat[0], block_length(&flat)).abs() < 1e-12);
    }
}
