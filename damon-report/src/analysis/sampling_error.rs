//! How far an estimate that rests on few samples can be from the truth.
//!
//! # What is estimated
//!
//! A sample looks at one page of a region, drawn at random, and finds it touched or not. However different the pages
//! are, the number `k` of positive samples among `n` is binomial with the mean rate `p` of the pages (if that
//! changes from sample to sample, `k` varies less). The expected working set of a window, `W = Σ S·p` over regions
//! of `S` bytes, is estimated by `Σ S·k/n`. That is unbiased: the borders of the regions were fixed before the
//! window's first sample, so that no sample had a hand in choosing the region it is counted in; and merging
//! afterwards, though it looks at the counts, conserves `Σ S·k` up to rounding. (It does not hold for a *single*
//! region: it is what it is because its neighbours' counts were different.)
//!
//! # The interval of a sum
//!
//! Adding the squared distances to the ends of each region's own interval is not enough: the own interval of a small
//! count is lopsided, for a good reason, but a sum of many is not, and adding lopsided distances makes the lower
//! end of the sum too high. Estimated variances alone are not enough either: regions that count 0 have none,
//! though rates up to 14 % count 0 of 20 in one window of twenty.
//!
//! So the score test is inverted on the sum, as Wilson (1927) did for one rate and Miettinen and Nurminen (1985) for
//! the difference of two. A working set `W` is in the interval if it is no more than `z` standard deviations away
//! from the estimate, where the standard deviation is the one that would hold if `W` were true; and the rates
//! that would then hold are the most likely ones whose sum is `W`. With a Lagrange multiplier `λ` for the sum,
//! each of them solves
//!
//! ```text
//! k/p − (n−k)/(1−p) + λ·S = 0,   that is   S·p − S·k/n = λ·V(p)   with   V(p) = S²·p·(1−p)/n
//! ```
//!
//! a quadratic equation. Summed up, the distance from the estimate is `d = λ·ΣV`, and the interval ends where
//! `d² = z²·ΣV`, that is `λ·d = z²`: one equation for `λ`, whose left side grows with it. For a single region this is
//! Wilson's interval. A region that counts 0 takes part in the upper end as soon as its size is worth it: when
//! `λ·S > n`.
//!
//! # Samples
//!
//! `n` is not quite what was counted:
//!
//! * `k/n·(1−k/n)/n` is too small a variance by `(n−1)/n` on average, so `n−1` samples are assumed instead.
//! * A region that was merged from parts rests on `n` samples of each part ([`lineage`](super::lineage)).
//! * Merged counts are rounded to integers, which adds the variance of rounding, 1/12 of a squared count.

use std::array::from_fn;

/// Two-sided 95 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;
const Z2: f64 = Z * Z;

/// Wilson's interval for a probability of which `k` of `n` independent samples were positive
/// (Wilson 1927; contains its estimate, never leaves 0..1, and works for k = 0).
pub fn wilson(k: u32, n: u32) -> (f64, f64) {
    let n = f64::from(n.max(1));
    let p = (f64::from(k) / n).min(1.0);
    let centre = (p + Z2 / (2.0 * n)) / (1.0 + Z2 / n);
    let half = Z / (1.0 + Z2 / n) * (p * (1.0 - p) / n + Z2 / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0).min(p), (centre + half).min(1.0).max(p))
}

/// An estimate and its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub estimate: f64,
    /// Lower end, at most the estimate.
    pub low: f64,
    /// Upper end, at least the estimate.
    pub high: f64,
}

impl Interval {
    /// Of something known exactly.
    pub fn exact(value: f64) -> Self {
        Self { estimate: value, low: value, high: value }
    }

    /// Of `factor` times as much.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self { estimate: self.estimate * factor, low: self.low * factor, high: self.high * factor }
    }
}

/// Adds estimates that are independent of each other.
///
/// Only their ends are known. An interval that a variance `V + a·d`, growing with the distance `d`, gives by `d² =
/// z²·(V + a·d)` has ends whose distances to the estimate multiply to `z²·V` and differ by `z²·a`; so these are taken
/// from it and put into the equation for sums. A single interval stays what it is.
pub fn add_up(intervals: &[Interval]) -> Interval {
    let mut parts = Parts { curved: 0.0, ..Parts::default() };
    let mut estimate = 0.0;
    for interval in intervals {
        let below = (interval.estimate - interval.low).max(0.0);
        let above = (interval.high - interval.estimate).max(0.0);
        parts.push(below * above / Z2, (above - below) / Z2, 1.0);
        estimate += interval.estimate;
    }
    parts.around(estimate)
}

/// Adds `size · rate` over the regions of one window.
#[derive(Clone, Debug)]
pub struct RateSum {
    n: f64,
    sum: f64,
    parts: Parts,
}

impl Default for RateSum {
    fn default() -> Self {
        Self::new(1)
    }
}

impl RateSum {
    /// Nothing added yet; each count will be one of `n` samples.
    pub fn new(n: u32) -> Self {
        Self { n: f64::from(n.max(1)), sum: 0.0, parts: Parts::default() }
    }

    /// Begins again, with counts of `n` samples.
    pub fn reset(&mut self, n: u32) {
        self.n = f64::from(n.max(1));
        self.sum = 0.0;
        self.parts.clear();
    }

    /// Adds a region of `size` bytes that counts `k`, merged from `parts` (at least 1) equal parts that were
    /// sampled each for itself.
    pub fn add(&mut self, size: f64, k: u32, parts: f64) {
        let samples = self.n * parts.max(1.0);
        // A single sample has no spread that could be estimated; half of one keeps its interval wide and finite.
        let mut samples = (samples - 1.0).max(samples / 2.0);
        if k == 0 {
            // The many that count nothing add nothing, and nothing is divided for them.
            self.parts.still(size, samples);
            return;
        }
        let rate = f64::from(k) / self.n;
        self.sum += size * rate;
        let rate = rate.min(1.0);
        let spread = rate * (1.0 - rate);
        if parts > 1.0 && spread > 0.0 {
            let rounding = 1.0 / (12.0 * self.n * self.n);
            samples = spread / (spread / samples + rounding);
        }
        let variance = if spread > 0.0 { size * size * spread / samples } else { 0.0 };
        self.parts.push(variance, size * (1.0 - 2.0 * rate), samples);
    }

    /// The sum alone, where there is no sampling error.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The sum and its interval.
    pub fn total(&self) -> Interval {
        self.parts.around(self.sum)
    }
}

/// Summands of which the variance is `variance + slope·d − curvature·d²` if the true value is `d` above its estimate.
///
/// Most count 0 and have no variance: they take part in an end only where it is far enough away. So they are kept apart,
/// without a division for each, and the others in columns, which processors work on side by side.
#[derive(Clone, Debug)]
struct Parts {
    variance: Vec<f64>,
    slope: Vec<f64>,
    curvature: Vec<f64>,
    /// Of those without variance: slope times samples, and samples.
    still: Vec<(f64, f64)>,
    /// The greatest slopes of those, downwards and upwards.
    steepest: [f64; 2],
    /// Curvature times samples.
    curved: f64,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            variance: Vec::new(),
            slope: Vec::new(),
            curvature: Vec::new(),
            still: Vec::new(),
            steepest: [0.0; 2],
            curved: 1.0,
        }
    }
}

/// So many parts are worked on side by side; it is part of the order in which they are added.
const LANES: usize = 4;

impl Parts {
    fn clear(&mut self) {
        self.variance.clear();
        self.slope.clear();
        self.curvature.clear();
        self.still.clear();
        self.steepest = [0.0; 2];
    }

    fn push(&mut self, variance: f64, slope_times: f64, samples: f64) {
        if variance > 0.0 {
            self.variance.push(variance);
            self.slope.push(slope_times / samples);
            self.curvature.push(self.curved / samples);
            return;
        }
        self.still(slope_times, samples);
    }

    /// One without variance.
    fn still(&mut self, slope_times: f64, samples: f64) {
        self.still.push((slope_times, samples));
        let [down, up] = &mut self.steepest;
        if slope_times > *up * samples {
            *up = slope_times / samples;
        } else if -slope_times > *down * samples {
            *down = -slope_times / samples;
        }
    }

    fn steepest(&self, side: f64) -> f64 {
        let [down, up] = self.steepest;
        if side > 0.0 { up } else { down }
    }

    fn around(&self, estimate: f64) -> Interval {
        Interval {
            estimate,
            low: (estimate - self.reach(-1.0)).max(0.0),
            high: estimate + self.reach(1.0),
        }
    }

    /// Σ of the distances `d ≥ 0` with `d = λ·V(d)`, upwards (`side` 1) or downwards (-1), and its derivative by ln `λ`.
    ///
    /// They solve `curvature·λ·d² + ease·d − λ·variance = 0` with `ease = 1 − λ·side·slope`.
    fn pushed(&self, lambda: f64, side: f64) -> (f64, f64) {
        let Self { variance, slope, curvature, .. } = self;
        let (mut distances, mut changes) = ([0.0; LANES], [0.0; LANES]);
        let (rows, rest) = variance.as_chunks::<LANES>();
        let (slopes, slope) = slope.as_chunks::<LANES>();
        let (curvatures, curvature) = curvature.as_chunks::<LANES>();
        for ((variance, slope), curvature) in rows.iter().zip(slopes).zip(curvatures) {
            let (d, by_ln) = solve(lambda, side, variance, slope, curvature);
            for ((distance, change), (d, by_ln)) in
                distances.iter_mut().zip(&mut changes).zip(d.into_iter().zip(by_ln))
            {
                *distance += d;
                *change += by_ln;
            }
        }
        let rest = rest.iter().zip(slope).zip(curvature);
        for (((v, s), c), (distance, change)) in rest.zip(distances.iter_mut().zip(&mut changes)) {
            let ([d], [by_ln]) = solve(lambda, side, &[*v], &[*s], &[*c]);
            *distance += d;
            *change += by_ln;
        }
        let (mut distance, mut change) = (distances.iter().sum(), changes.iter().sum());
        if lambda * self.steepest(side) > 1.0 {
            for (slope_times, samples) in &self.still {
                // The division only where something may come of it.
                if lambda * side * slope_times > *samples {
                    let ease = 1.0 - lambda * side * (slope_times / samples);
                    if ease < 0.0 {
                        let d = -2.0 * ease / (2.0 * (self.curved / samples) * lambda);
                        distance += d;
                        change += d / -ease;
                    }
                }
            }
        }
        (distance, change)
    }

    /// How far the sum of the parts may be from its estimate: `z²/λ` for the `λ` with `λ · Σ d = z²`.
    ///
    /// Newton's method inside a bracket, for the square root of both sides: on the left that is nearly straight.
    /// Only operations whose results are the same on every machine.
    fn reach(&self, side: f64) -> f64 {
        let variance: f64 = self.variance.iter().sum();
        let slopes = self.slope.iter().map(|slope| side * slope);
        let steepest = slopes.fold(self.steepest(side), f64::max);
        // What it would be if all that is added went where variance grows fastest.
        let scale = (variance + Z2 * steepest * steepest / 4.0).sqrt();
        if scale.is_nan() || scale <= 0.0 {
            return 0.0;
        }
        let (mut below, mut above) = (0.0, f64::INFINITY);
        let mut lambda = Z / scale;
        for _ in 0..100 {
            let (distance, change) = self.pushed(lambda, side);
            let product = lambda * distance;
            if product > Z2 {
                above = lambda;
            } else {
                below = lambda;
            }
            let root = product.sqrt();
            let step = 2.0 * (Z - root) / (root * (1.0 + change / distance));
            if step.abs() < 1e-12 || above / below - 1.0 < 1e-12 {
                break;
            }
            let newton = lambda * (1.0 + step);
            if step.abs() < CLOSE && below < newton && newton < above {
                // What is left is about the square of this step.
                lambda = newton;
                break;
            }
            lambda = if below < newton && newton < above {
                newton
            } else if above.is_infinite() {
                below * 2.0
            } else if below == 0.0 {
                above / 2.0
            } else {
                (below * above).sqrt()
            };
        }
        Z2 / lambda
    }
}

/// The distances of some parts, and their derivatives by ln `λ`. Each step is taken for all of them, as processors can do it.
#[inline]
fn solve<const N: usize>(
    lambda: f64,
    side: f64,
    variance: &[f64; N],
    slope: &[f64; N],
    curvature: &[f64; N],
) -> ([f64; N], [f64; N]) {
    let ease: [f64; N] = from_fn(|i| 1.0 - lambda * side * slope[i]);
    let bend: [f64; N] = from_fn(|i| 2.0 * curvature[i] * lambda);
    let inner: [f64; N] = from_fn(|i| ease[i] * ease[i] + 2.0 * bend[i] * lambda * variance[i]);
    let root = inner.map(f64::sqrt);
    let sum: [f64; N] = from_fn(|i| root[i] + ease[i].abs());
    let twice = variance.map(|variance| 2.0 * lambda * variance);
    // Of the two forms of the solution the one that does not subtract what is nearly equal.
    let over: [f64; N] = from_fn(|i| if ease[i] >= 0.0 { twice[i] } else { sum[i] });
    let under: [f64; N] = from_fn(|i| if ease[i] >= 0.0 { sum[i] } else { bend[i] });
    let distance: [f64; N] = from_fn(|i| over[i] / under[i]);
    (distance, from_fn(|i| distance[i] / root[i]))
}

/// A step of Newton's method that is the last one.
const CLOSE: f64 = 1e-7;

#[cfg(test)]
mod tests;
