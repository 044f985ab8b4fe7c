//! Rules, and what they say of a difference.

use super::evidence::{Difference, Prior};
use super::metric::{Measure, MetricPattern, Statistic};
use crate::analysis::num::float_of;
use serde::Serialize;

/// What is held to be worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// More.
    Growth,
    /// Less.
    Shrinkage,
    /// Either.
    Any,
}

impl Direction {
    /// Probabilities of a change as far in the wrong and as far in the right direction if nothing had changed; `p` is
    /// that of one as large, either way.
    pub(super) fn one_sided(self, change: f64, p: f64) -> (f64, f64) {
        let towards = p / 2.0;
        match (self, change > 0.0) {
            (Self::Any, _) => (p, 1.0),
            (Self::Growth, true) | (Self::Shrinkage, false) => (towards, 1.0 - towards),
            (Self::Growth, false) | (Self::Shrinkage, true) => (1.0 - towards, towards),
        }
    }
}

/// From which change on something has changed. Both limits must be passed where there are two.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Threshold {
    /// Which way.
    pub direction: Direction,
    /// Share of the base: 0.05 for 5 %.
    pub relative: Option<f64>,
    /// Bytes.
    pub absolute: Option<f64>,
}

impl Threshold {
    /// What counts unless something else is said: growth by 3 % and 1 MiB.
    pub const DEFAULT: Self =
        Self { direction: Direction::Growth, relative: Some(0.03), absolute: Some(1_048_576.0) };

    /// The least change in bytes that passes both limits.
    pub fn bytes(&self, base: f64) -> f64 {
        let relative = self.relative.map_or(0.0, |share| share * base.abs());
        relative.max(self.absolute.unwrap_or(0.0))
    }
}

/// A threshold for some metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Which.
    pub metrics: MetricPattern,
    /// From which change on.
    pub threshold: Threshold,
    /// As the user wrote it.
    pub text: String,
}

/// The metrics that are gated when no rule is given: means, which many aggregations make sure. Quantiles and what is
/// touched at all hang on single samples, and would leave comparisons undecided that means decide.
pub fn default_rules(phases: bool) -> Vec<Rule> {
    let gated = [
        (Measure::Expected, Statistic::Mean),
        (Measure::Hot, Statistic::Mean),
        (Measure::Resident, Statistic::Mean),
    ];
    gated
        .map(|(measure, statistic)| {
            let phase = phases.then(|| "*".to_owned());
            let metrics = MetricPattern { phase, mapping: None, measure, statistic };
            let text = format!("{metrics} > +3% and > 1MiB");
            Rule { metrics, threshold: Threshold::DEFAULT, text }
        })
        .into()
}

/// How a comparison, or one metric of it, ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// With great certainty it did not change by as much as the threshold in the wrong direction.
    Pass,
    /// It changed for the better.
    Improved,
    /// The data cannot tell.
    Inconclusive,
    /// It changed for the worse.
    Regressed,
}

/// How sure one wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Certainty {
    /// Share of alarms that may be false; with nothing changed, the probability of any alarm at all (what got better is none).
    pub false_alarms: f64,
    /// Probability with which a change as large as the threshold may pass.
    pub misses: f64,
}

impl Default for Certainty {
    fn default() -> Self {
        Self { false_alarms: 0.01, misses: 0.05 }
    }
}

/// What a threshold says of a difference; `significant` is whether it is, among all that were looked at.
pub(super) fn verdict(
    difference: &Difference,
    threshold: &Threshold,
    base: f64,
    significant: bool,
    certainty: &Certainty,
) -> Verdict {
    let limit = threshold.bytes(base);
    // The share of the base that the limit is, and with it the limit's own noise.
    let share = threshold.relative.filter(|share| share * base.abs() >= limit).unwrap_or(0.0);
    let share = match threshold.direction {
        Direction::Growth => share,
        Direction::Any if difference.change >= 0.0 => share,
        Direction::Shrinkage | Direction::Any => -share,
    };
    let (worse, better) = match threshold.direction {
        Direction::Growth => (difference.change, -difference.change),
        Direction::Shrinkage => (-difference.change, difference.change),
        Direction::Any => (difference.change.abs(), f64::NEG_INFINITY),
    };
    if significant && worse > limit {
        Verdict::Regressed
    } else if significant && better > limit {
        Verdict::Improved
    } else if worse + difference.reach_beyond(share, certainty.misses) <= limit {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    }
}

/// One metric that is undecided, and what it takes to decide it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undecided<'a> {
    /// What was found.
    pub(super) difference: &'a Difference,
    /// Mean of the base.
    pub(super) base: f64,
    /// From which change on it counts.
    pub(super) threshold: &'a Threshold,
    /// Metrics that are looked at with it.
    pub(super) looked_at: usize,
    /// How sure to be.
    pub(super) certainty: &'a Certainty,
}

impl Undecided<'_> {
    fn is_decided_by(&self, then: &Difference) -> bool {
        let alone = self.certainty.false_alarms / float_of(self.looked_at.max(1));
        let (worse, better) = self.threshold.direction.one_sided(then.change, then.p);
        let significant = worse.min(better) <= alone;
        let verdict = verdict(then, self.threshold, self.base, significant, self.certainty);
        verdict != Verdict::Inconclusive
    }

    /// How many runs a side, `least` or more, would decide it if they were like those at hand; `None` if a thousand would not.
    pub(super) fn runs(&self, least: usize, prior: &Prior) -> Option<usize> {
        const MOST: usize = 1000;
        let decides = |runs| self.is_decided_by(&self.difference.with_runs(runs, prior));
        // More runs decide more, so that it is enough to halve; but where it depends on their number whether they are called noisier
        // than a history (`Difference::with_runs`), fewer than what is found may do, too. What is found does in any case.
        let (mut from, mut to) = (least, MOST);
        if from > to || !decides(to) {
            return None;
        }
        while from < to {
            let middle = from.midpoint(to);
            if decides(middle) {
                to = middle;
            } else {
                from = middle.saturating_add(1);
            }
        }
        Some(from)
    }

    /// How many times as long recordings would decide it, where at least half of the variance, the square of `within`, is
    /// noise within them: it gets less in proportion. `None` if a hundred times would not.
    pub(super) fn times_as_long(&self, within: f64) -> Option<u32> {
        const MOST: u32 = 100;
        let (within, all) = (within * within, self.difference.run_sd * self.difference.run_sd);
        if all <= 0.0 || within < all / 2.0 {
            return None;
        }
        let rest = (all - within).max(0.0);
        let share = |times: u32| ((rest + within / f64::from(times)) / all).sqrt().min(1.0);
        (2..=MOST).find(|times| self.is_decided_by(&self.difference.with_noise(share(*times))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::compare::evidence::PriorSource;

    fn found(change: f64, error: f64) -> Difference {
        Difference {
            change,
            run_sd: error / 2.0_f64.sqrt(),
            error,
            freedom: 1e6,
            p: 0.5,
            base_runs: 1,
            new_runs: 1,
        }
    }

    fn says(change: f64, error: f64, significant: bool, direction: Direction) -> Verdict {
        let threshold = Threshold { direction, relative: Some(0.05), absolute: Some(4.0) };
        verdict(&found(change, error), &threshold, 100.0, significant, &Certainty::default())
    }

    #[test]
    fn both_limits_and_significance_are_needed() {
        use Direction::{Any, Growth, Shrinkage};
        assert_eq!(says(6.0, 1.0, true, Growth), Verdict::Regressed);
        assert_eq!(says(6.0, 1.0, false, Growth), Verdict::Inconclusive);
        assert_eq!(says(4.5, 0.1, true, Growth), Verdict::Pass, "above 4 bytes, below 5 %");
        assert_eq!(says(-6.0, 1.0, true, Growth), Verdict::Improved);
        assert_eq!(says(-6.0, 1.0, false, Growth), Verdict::Pass);
        assert_eq!(says(-6.0, 1.0, true, Shrinkage), Verdict::Regressed);
        assert_eq!(says(-6.0, 1.0, true, Any), Verdict::Regressed);
        assert_eq!(says(0.0, 1.0, false, Any), Verdict::Pass);
    }

    #[test]
    fn what_the_data_cannot_tell_does_not_pass() {
        // 1.645 standard errors above the estimate must still be below the limit of 5 % of a base that has half of the noise:
        // √((1.05² + 1) / 2) = 1.0253 times as much; 2.964 is the most.
        assert_eq!(says(0.0, 2.96, false, Direction::Growth), Verdict::Pass);
        assert_eq!(says(0.0, 2.97, false, Direction::Growth), Verdict::Inconclusive);
        // A shrinkage by a share of the base is surer: √((0.95² + 1) / 2) = 0.9753, 3.116.
        assert_eq!(says(0.0, 3.11, false, Direction::Shrinkage), Verdict::Pass);
        assert_eq!(says(0.0, 3.12, false, Direction::Shrinkage), Verdict::Inconclusive);
        let none = Threshold { direction: Direction::Growth, relative: None, absolute: None };
        let certainty = Certainty::default();
        let said = verdict(&found(0.0, 0.1), &none, 100.0, false, &certainty);
        assert_eq!(said, Verdict::Inconclusive);
    }

    #[test]
    fn more_runs_decide_what_one_cannot() {
        let prior = Prior { variance: 4.0, freedom: 2.0, source: PriorSource::Assumed };
        let one = Difference::of(&[100.0], &[100.0], &prior);
        let threshold =
            Threshold { direction: Direction::Growth, relative: Some(0.03), absolute: None };
        let certainty = Certainty::default();
        let open = Undecided {
            difference: &one,
            base: 100.0,
            threshold: &threshold,
            looked_at: 4,
            certainty: &certainty,
        };
        let runs = open.runs(2, &prior).unwrap();
        // t(0.95, 2n)·2·√(2/n) ≤ 3: n = 3 gives 3.17, n = 4 gives 2.63.
        assert_eq!(runs, 4);
        let exact = Threshold { relative: Some(0.0), ..threshold };
        assert_eq!(Undecided { threshold: &exact, ..open }.runs(2, &prior), None);
        // t(0.95, 2)·√8·s ≤ 3 where s is √(¼ + ¾/n): with noise within runs of ¾ it is at least half, which is too much.
        assert_eq!(open.times_as_long(3.0_f64.sqrt()), None);
        // All of it within: √n ≥ 8.26 / 3.
        assert_eq!(open.times_as_long(2.0), Some(8));
        assert_eq!(open.times_as_long(1.0), None, "most of it is from run to run");
    }
}
