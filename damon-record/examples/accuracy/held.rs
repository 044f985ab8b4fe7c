//! How sure a measured coverage is.

use serde::{Deserialize, Serialize};

use super::coverage::Coverage;
use super::num::float;

/// Two-sided 95 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Statements of several runs, and what became of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runs(Vec<Coverage>);

impl Runs {
    /// Adds the statements of one run.
    pub fn push(&mut self, coverage: Coverage) {
        self.0.push(coverage);
    }

    /// Adds other runs.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// Their coverage; nothing without statements.
    pub fn held(&self) -> Option<Held> {
        let mut all = Coverage::default();
        self.0.iter().for_each(|run| all.add(run));
        let share = all.share()?;
        let count = float(all.count()) / self.design_effect(share, float(all.count()));
        let (low, high) = wilson(share, count);
        Some(Held { coverage: all, share, low, high })
    }

    /// Windows of one run have their borders in common, more or less, so that they may all be covered a little
    /// better or worse than others. This is the variance between runs over what it would be if each window
    /// stood for itself, at least 1.
    fn design_effect(&self, share: f64, count: f64) -> f64 {
        let runs = self.0.iter().filter(|run| run.count() > 0);
        let number = float(runs.clone().count() as u64);
        let off = |run: &Coverage| (float(run.inside) - share * float(run.count())).powi(2);
        let between = runs.map(off).sum::<f64>() * number / (number - 1.0);
        let alone = count * share * (1.0 - share);
        if alone > 0.0 && between > alone { between / alone } else { 1.0 }
    }
}

/// A coverage and its own 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// What became of the statements.
    pub coverage: Coverage,
    /// Share that was right.
    pub share: f64,
    /// Lower end of the 95 % interval of `share`.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Held {
    /// Share of statements that said too much: the truth was below.
    pub fn below(&self) -> f64 {
        float(self.coverage.below) / float(self.coverage.count())
    }

    /// Share of statements that said too little: the truth was above.
    pub fn above(&self) -> f64 {
        float(self.coverage.above) / float(self.coverage.count())
    }
}

/// Wilson's interval, for a number of statements that need not be whole.
fn wilson(share: f64, count: f64) -> (f64, f64) {
    let z2 = Z * Z;
    let centre = (share + z2 / (2.0 * count)) / (1.0 + z2 / count);
    let spread = share * (1.0 - share) / count + z2 / (4.0 * count * count);
    let half = Z / (1.0 + z2 / count) * spread.sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(list: &[(u64, u64, u64)]) -> Runs {
        let mut runs = Runs::default();
        for &(inside, below, above) in list {
            runs.push(Coverage { inside, below, above });
        }
        runs
    }

    #[test]
    fn runs_that_agree_count_by_their_windows() {
        let held = runs(&[(95, 3, 2), (95, 2, 3), (96, 4, 0), (94, 1, 5)]).held().unwrap();
        assert!((held.share - 0.95).abs() < 1e-12);
        // 1.96 · √(0.95 · 0.05 / 400), and Wilson leans to the middle.
        assert!((held.low - 0.924).abs() < 1e-3 && (held.high - 0.967).abs() < 1e-3, "{held:?}");
        assert!((held.below() - 0.025).abs() < 1e-12 && (held.above() - 0.025).abs() < 1e-12);
    }

    #[test]
    fn runs_that_differ_count_by_runs() {
        let agreeing = runs(&[(90, 10, 0); 10]).held().unwrap();
        let differing = runs(&[[(100, 0, 0); 5], [(80, 20, 0); 5]].concat()).held().unwrap();
        assert!((agreeing.share - differing.share).abs() < 1e-12);
        // Ten runs with a spread of 0.105 between them: ± 0.065.
        let half = (differing.high - differing.low) / 2.0;
        assert!((0.055..0.075).contains(&half), "{differing:?}");
        assert!(agreeing.high - agreeing.low < 0.045, "{agreeing:?}");
    }

    #[test]
    fn nothing_stated_is_no_coverage_and_a_single_run_is_one() {
        assert_eq!(Runs::default().held(), None);
        assert_eq!(runs(&[(0, 0, 0)]).held(), None);
        let one = runs(&[(40, 0, 0)]).held().unwrap();
        assert!((one.share - 1.0).abs() < 1e-12 && one.low > 0.9, "{one:?}");
        assert!(runs(&[(0, 0, 0), (30, 10, 0)]).held().is_some_and(|held| held.low.is_finite()));
    }
}
