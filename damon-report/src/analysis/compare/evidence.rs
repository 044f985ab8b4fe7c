//! Whether two groups of runs differ, and by how much: a moderated t-test.
//!
//! With few runs a side, the variance between runs is known badly, and with one not at all. It is therefore taken
//! together with what is known before, weighted by degrees of freedom (Smyth 2004, "moderated t"):
//!
//! ```text
//! s² = (d₀·s₀² + d·S²) / (d₀ + d)      t = (mean new − mean base) / (s·√(1/n + 1/m)),  d₀ + d degrees of freedom
//! ```
//!
//! `S²` is the pooled variance of the runs, `d = n + m − 2`. Before any run, `s₀²` is the noise within one run
//! ([`noise`](super::noise)) and an assumed variation from run to run; or, where a history of runs is at hand, their variance.
//!
//! What was known before must not talk noise down, be it an assumption or a history of quieter days: where the runs vary more (than was
//! assumed; than the history, by more than chance explains in a tenth of all cases), only they count (`s² = S²`, Student's own test; of one run beside two, whose two degrees of freedom less one say hardly anything, no
//! less than `d₀`, as without them). It is there for runs that are alike by chance, and for single ones.

use crate::analysis::num::float_of;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, FisherSnedecor, StudentsT};

/// Degrees of freedom that a run more does not take away.
const LEAST_FREEDOM: f64 = 2.0;

/// What is known of the variance of a run before runs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prior {
    /// Variance.
    pub variance: f64,
    /// Degrees of freedom it counts for.
    pub freedom: f64,
    /// Where it is from.
    pub source: PriorSource,
}

/// Where the variance is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PriorSource {
    /// Noise within runs, and an assumption about noise from run to run.
    Assumed,
    /// A history of runs.
    History,
}

/// The difference of two groups of runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Mean of the new ones less mean of the old ones.
    pub change: f64,
    /// Standard deviation of one run.
    pub run_sd: f64,
    /// Standard error of the change.
    pub error: f64,
    /// Degrees of freedom of it.
    pub freedom: f64,
    /// Probability of a change at least as large, either way, if nothing had changed.
    pub p: f64,
    /// Runs of the base.
    pub base_runs: usize,
    /// New runs.
    pub new_runs: usize,
}

impl Difference {
    /// Of two groups, each with at least one run.
    pub fn of(base: &[f64], new: &[f64], prior: &Prior) -> Self {
        let (base_mean, base_squares) = moments(base);
        let (new_mean, new_squares) = moments(new);
        let own = float_of((base.len() + new.len()).saturating_sub(2));
        let squares = base_squares + new_squares;
        let (variance, freedom) = if own > 0.0 && is_noisier(squares / own, own, prior) {
            (squares / own, own.max(prior.freedom.min(LEAST_FREEDOM)))
        } else if own + prior.freedom > 0.0 {
            let freedom = own + prior.freedom;
            ((squares + prior.variance * prior.freedom) / freedom, freedom)
        } else {
            (prior.variance, prior.freedom)
        };
        let change = new_mean - base_mean;
        let error = (variance * parts(base.len(), new.len())).sqrt();
        Self {
            change,
            run_sd: variance.sqrt(),
            error,
            freedom,
            p: probability(change, error, freedom),
            base_runs: base.len(),
            new_runs: new.len(),
        }
    }

    /// How far off the truth may be, but for a probability of `miss`, of by how much the new side exceeds `1 + share` times the
    /// base: a limit that is a share of the base is as uncertain as the base.
    pub fn reach_beyond(&self, share: f64, miss: f64) -> f64 {
        let base = (1.0 + share) * (1.0 + share) / float_of(self.base_runs.max(1));
        let variance = base + 1.0 / float_of(self.new_runs.max(1));
        let plain = parts(self.base_runs, self.new_runs);
        self.reach(miss) * (variance / plain).sqrt()
    }

    /// Half of the width of the interval that holds the true change but for a probability of `miss` at each end.
    pub fn reach(&self, miss: f64) -> f64 {
        self.error * quantile(1.0 - miss, self.freedom)
    }

    /// What it would be if the noise were such a share of what it is.
    #[must_use]
    pub fn with_noise(&self, share: f64) -> Self {
        let (run_sd, error) = (self.run_sd * share, self.error * share);
        Self { run_sd, error, p: probability(self.change, error, self.freedom), ..*self }
    }

    /// What it would be with so many runs on each side, if these were as they are now.
    #[must_use]
    pub fn with_runs(&self, runs: usize, prior: &Prior) -> Self {
        let error = self.run_sd * parts(runs, runs).sqrt();
        let own = float_of((2 * runs).saturating_sub(2));
        let more = own > 0.0 && is_noisier(self.run_sd * self.run_sd, own, prior);
        let least = prior.freedom.min(LEAST_FREEDOM);
        let freedom = if more { own.max(least) } else { own + prior.freedom };
        let p = probability(self.change, error, freedom);
        Self { error, freedom, p, base_runs: runs, new_runs: runs, ..*self }
    }
}

/// Probability by which a history may be called too quiet although it is not.
const TOO_QUIET: f64 = 0.1;

/// Whether runs vary more than what was known before.
fn is_noisier(variance: f64, freedom: f64, prior: &Prior) -> bool {
    if variance <= prior.variance {
        return false;
    }
    let by_chance = match prior.source {
        PriorSource::Assumed => 0.0,
        PriorSource::History => FisherSnedecor::new(freedom, prior.freedom.max(1.0))
            .map_or(0.0, |fisher| fisher.sf(variance / prior.variance)),
    };
    by_chance < TOO_QUIET
}

fn parts(base: usize, new: usize) -> f64 {
    1.0 / float_of(base.max(1)) + 1.0 / float_of(new.max(1))
}

/// Mean, and sum of squared distances to it.
fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / float_of(values.len()).max(1.0);
    (mean, values.iter().map(|value| (value - mean) * (value - mean)).sum())
}

fn student(freedom: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, freedom.max(f64::MIN_POSITIVE)).ok()
}

fn probability(change: f64, error: f64, freedom: f64) -> f64 {
    if change.abs() <= 0.0 {
        return 1.0;
    }
    if error <= 0.0 {
        return 0.0;
    }
    let below = |t: f64| student(freedom).map_or(0.5, |student| student.cdf(t));
    (2.0 * below(-(change / error).abs())).clamp(0.0, 1.0)
}

fn quantile(probability: f64, freedom: f64) -> f64 {
    student(freedom).map_or(f64::INFINITY, |s| s.inverse_cdf(probability.clamp(0.5, 1.0 - 1e-12)))
}

/// Which of many hypotheses are rejected, so that in the mean no more than `rate` of the rejections are wrong (Benjamini and
/// Hochberg 1995); the greatest probability that still is.
pub(super) fn benjamini_hochberg(probabilities: &[f64], rate: f64) -> Option<f64> {
    let mut sorted = probabilities.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = float_of(sorted.len());
    let passes = |(index, p): &(usize, &f64)| **p <= float_of(index + 1) / count * rate;
    sorted.iter().enumerate().filter(passes).map(|(_, p)| *p).next_back()
}

/// Fewest steps of which some can be called jumps.
const FEWEST_STEPS: usize = 4;

/// A step beyond so many robust standard deviations is a jump (Iglewicz and Hoaglin 1993).
const JUMP: f64 = 3.5;

/// Median of the squared steps of values with a normal distribution of variance 1: twice the median of χ² with one degree of freedom.
const MEDIAN_OF_SQUARES: f64 = 2.0 * 0.454_936_423_119_572_8;

/// Variance of values that follow each other and may drift, and the steps it rests on: half of the mean squared step
/// (von Neumann 1941) without jumps.
///
/// Where a change was merged, all runs from then on are at another level; that one step is no noise, and would hide for as long as it is
/// in the history what the gate is there to find. Jumps are steps far beyond the median of all; as many as a quarter of the steps may be, for
/// where more are that far off, they are what noise is like.
pub(super) fn successive_variance(values: &[f64]) -> Option<(f64, usize)> {
    let mut steps: Vec<f64> = values
        .windows(2)
        .filter_map(|pair| match pair {
            [a, b] => Some((b - a) * (b - a)),
            _ => None,
        })
        .collect();
    steps.sort_by(f64::total_cmp);
    let middle = steps.len() / 2;
    let upper = *steps.get(middle)?;
    let is_even = steps.len().is_multiple_of(2);
    let lower = if is_even { *steps.get(middle.checked_sub(1)?)? } else { upper };
    let robust = lower.midpoint(upper) / MEDIAN_OF_SQUARES;
    let most = 2.0 * JUMP * JUMP * robust;
    // Where half of the steps are none at all, nothing is said of how large the others may be.
    if steps.len() >= FEWEST_STEPS && robust > 0.0 {
        let calm = steps.partition_point(|step| *step <= most);
        if steps.len() - calm <= steps.len() / 4 {
            steps.truncate(calm);
        }
    }
    Some((steps.iter().sum::<f64>() / 2.0 / float_of(steps.len()), steps.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-6 * b.abs().max(1e-9), "{a} is not {b}");
    }

    const NOTHING: Prior = Prior { variance: 0.0, freedom: 0.0, source: PriorSource::Assumed };

    #[test]
    fn without_a_prior_it_is_students_test() {
        // By hand: means 2 and 4, variances 1 and 1, n = 3 each: t = 2 / √(2/3) = 2.449490, 4 degrees of freedom, two-sided 0.070484.
        let found = Difference::of(&[1.0, 2.0, 3.0], &[3.0, 4.0, 5.0], &NOTHING);
        close(found.change, 2.0);
        close(found.error, (2.0_f64 / 3.0).sqrt());
        assert!((found.p - 0.070_484).abs() < 1e-5, "{}", found.p);
        // t(0.95, 4) = 2.131847.
        close(found.reach(0.05), (2.0_f64 / 3.0).sqrt() * 2.131_846_786);
    }

    #[test]
    fn single_runs_rest_on_what_was_known_before() {
        let prior = Prior { variance: 4.0, freedom: 2.0, source: PriorSource::Assumed };
        let found = Difference::of(&[100.0], &[110.0], &prior);
        close(found.run_sd, 2.0);
        close(found.error, 8.0_f64.sqrt());
        // t = 3.5355, 2 degrees of freedom: p = 1 − t/√(t²+2).
        let t = 10.0 / 8.0_f64.sqrt();
        close(found.p, 1.0 - t / (t * t + 2.0).sqrt());
        let more = found.with_runs(5, &prior);
        close(more.error, (4.0_f64 * 2.0 / 5.0).sqrt());
        close(more.freedom, 10.0);
        assert!(more.p < found.p);
    }

    #[test]
    fn an_assumption_does_not_talk_noise_down() {
        let assumed = Prior { variance: 0.25, freedom: 2.0, source: PriorSource::Assumed };
        let (base, new) = ([1.0, 2.0, 3.0], [3.0, 4.0, 5.0]);
        let student = Difference::of(&base, &new, &NOTHING);
        assert_eq!(Difference::of(&base, &new, &assumed), student);
        // Nor does a history of quieter days, however long.
        let history = Prior { source: PriorSource::History, freedom: 99.0, ..assumed };
        assert_eq!(Difference::of(&base, &new, &history), student);
        // Unless that is what chance does: variances of 1 and 0.5, of 4 and 3 degrees of freedom.
        let near = Prior { variance: 0.5, freedom: 3.0, ..history };
        close(Difference::of(&base, &new, &near).run_sd, (5.5_f64 / 7.0).sqrt());
        // One run beside two does not make less known than one beside one.
        close(Difference::of(&[1.0, 3.0], &[2.0], &assumed).freedom, 2.0);
        // Runs that are alike by chance are not believed.
        let alike = Difference::of(&[2.0, 2.0, 2.0], &[3.0, 3.0, 3.0], &assumed);
        close(alike.run_sd, (0.5_f64 / 6.0).sqrt());
    }

    #[test]
    fn what_does_not_vary_is_certain() {
        let same = Difference::of(&[5.0], &[5.0], &NOTHING);
        assert!((same.p - 1.0).abs() < 1e-12 && same.reach(0.05).abs() < 1e-12);
        assert!(Difference::of(&[5.0, 5.0], &[6.0, 6.0], &NOTHING).p.abs() < 1e-12);
    }

    #[test]
    fn many_hypotheses_need_more_than_one() {
        // 0.01 · 2/4 = 0.005: the second passes, and with it the first; the third does not.
        assert_eq!(benjamini_hochberg(&[0.005, 0.5, 0.004, 0.02], 0.01), Some(0.005));
        assert_eq!(benjamini_hochberg(&[0.005, 0.5, 0.6, 0.7], 0.01), None);
        assert_eq!(benjamini_hochberg(&[], 0.01), None);
    }

    #[test]
    fn a_history_that_drifts_varies_by_its_steps() {
        let found = successive_variance(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        close(found.0, 0.5);
        assert_eq!(found.1, 3);
        assert_eq!(successive_variance(&[1.0]), None);
        assert_eq!(successive_variance(&[]), None);
    }

    /// Standard deviation 1, the same each time.
    fn normal(seed: u64, count: usize) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..count).map(|_| (0..12).map(|_| random.f64()).sum::<f64>() - 6.0).collect()
    }

    #[test]
    fn a_jump_in_a_history_is_no_noise() {
        let mean = |jump: f64| {
            let found = (0..200).map(|seed| {
                let run = |(i, v): (usize, f64)| if i < 9 { v } else { v + jump };
                let values: Vec<f64> = normal(seed, 20).into_iter().enumerate().map(run).collect();
                successive_variance(&values).unwrap().0
            });
            found.sum::<f64>() / 200.0
        };
        let (without, with) = (mean(0.0), mean(100.0));
        assert!((0.9..1.05).contains(&without), "{without}");
        assert!((0.9..1.1).contains(&with), "{with}");
        // Steps of all sizes are what such a history is like.
        let wild = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 100.0, 0.0, 100.0];
        assert!(successive_variance(&wild).unwrap().0 > 500.0);
        // Three runs are too few to tell a jump from noise, and so are runs most of which are exactly alike.
        close(successive_variance(&[1.0, 2.0, 12.0]).unwrap().0, 101.0 / 4.0);
        close(successive_variance(&[1.0, 1.0, 1.0, 1.0, 1.0, 3.0]).unwrap().0, 0.4);
    }

    #[test]
    fn a_share_of_the_base_is_as_uncertain_as_the_base() {
        let (base, new) = ([1.0, 2.0, 3.0], [3.0, 4.0, 5.0]);
        let found = Difference::of(&base, &new, &NOTHING);
        // By hand: new − 1.5 · base has the variance s² · (1/3 + 2.25/3), s² = 1.
        close(found.reach_beyond(0.5, 0.05), (3.25_f64 / 3.0).sqrt() * 2.131_846_786);
        close(found.reach_beyond(0.0, 0.05), found.reach(0.05));
        close(
            found.with_runs(6, &NOTHING).reach_beyond(1.0, 0.05) / (5.0_f64 / 6.0).sqrt(),
            1.812_461_123,
        );
    }
}
