//! How far a count of few samples can be from the truth.

/// Two-sided 95 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's interval for a probability of which `k` of `n` independent samples were positive
/// (Wilson 1927; contains its estimate, never leaves 0..1, and works for k = 0).
pub fn wilson(k: u32, n: u32) -> (f64, f64) {
    let n = f64::from(n.max(1));
    let p = (f64::from(k) / n).min(1.0);
    let z2 = Z * Z;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0).min(p), (centre + half).min(1.0).max(p))
}

/// Adds independent estimates `size · rate` and their intervals: the squares of the distances to each
/// side are added (MOVER; Zou and Donner 2008), since all regions being at their limit at once is
/// next to impossible.
#[derive(Clone, Debug)]
pub struct RateSum {
    n: u32,
    /// Per number of positive samples: rate, squared distance to the lower and the upper end.
    table: Vec<(f64, f64, f64)>,
    sum: f64,
    below: f64,
    above: f64,
}

/// Counts above this are computed instead of looked up.
const TABLE: u32 = 4096;

impl Default for RateSum {
    fn default() -> Self {
        Self::new(1)
    }
}

impl RateSum {
    /// Nothing added yet; each rate will rest on `n` samples.
    pub fn new(n: u32) -> Self {
        let n = n.max(1);
        Self {
            n,
            table: (0..=n.min(TABLE)).map(|k| entry(k, n)).collect(),
            sum: 0.0,
            below: 0.0,
            above: 0.0,
        }
    }

    /// Begins again, with rates that rest on `n` samples.
    pub fn reset(&mut self, n: u32) {
        if self.n == n.max(1) {
            (self.sum, self.below, self.above) = (0.0, 0.0, 0.0);
        } else {
            *self = Self::new(n);
        }
    }

    /// Adds `size` bytes of which `k` of n samples were positive.
    pub fn add(&mut self, size: f64, k: u32) {
        let known = usize::try_from(k).ok().and_then(|k| self.table.get(k));
        let (rate, below, above) = known.copied().unwrap_or_else(|| entry(k, self.n));
        self.sum += size * rate;
        self.below += size * size * below;
        self.above += size * size * above;
    }

    /// Estimate, lower and upper end of its 95 % interval.
    pub fn total(&self) -> (f64, f64, f64) {
        let low = (self.sum - self.below.sqrt()).max(0.0);
        (self.sum, low, self.sum + self.above.sqrt())
    }
}

fn entry(k: u32, n: u32) -> (f64, f64, f64) {
    let (low, high) = wilson(k, n);
    let rate = f64::from(k) / f64::from(n);
    let clamped = rate.min(1.0);
    (rate, (clamped - low).powi(2), (high - clamped).powi(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_published_values() {
        let close = |a: f64, b: f64| (a - b).abs() < 5e-4;
        let (low, high) = wilson(0, 20);
        assert!(low == 0.0 && close(high, 0.1611), "{low} {high}");
        let (low, high) = wilson(10, 20);
        assert!(close(low, 0.2993) && close(high, 0.7007), "{low} {high}");
        assert!(wilson(21, 20).1 <= 1.0);
    }

    #[test]
    fn independent_regions_do_not_add_up_their_worst_cases() {
        let mut sum = RateSum::new(20);
        for _ in 0..100 {
            sum.add(10.0, 10);
        }
        let (estimate, low, high) = sum.total();
        assert!((estimate - 500.0).abs() < 1e-9);
        assert!((480.0 - low).abs() < 1.0 && (520.0 - high).abs() < 1.0, "{low}..{high}");
        sum.reset(20);
        assert_eq!(sum.total(), (0.0, 0.0, 0.0));
    }
}
