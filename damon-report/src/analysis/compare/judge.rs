//! Verdicts over many metrics.

use super::evidence::{Difference, benjamini_hochberg};
use super::metric::Measure;
use super::outcome::Compared;
use super::verdict::{Certainty, Direction, Rule, Verdict, runs_to_decide, verdict};
use crate::analysis::groups::MappingId;
use crate::analysis::num::{float, round};
use damon_format::damos::suggestion;

/// Gives verdicts, gated metrics first: what is significant depends on how many were looked at, and nobody's alarm
/// should depend on what is only told.
pub(super) fn judge(metrics: &mut [Compared], certainty: &Certainty) {
    metrics.sort_by_key(|m| m.rule.is_none());
    let gated = metrics.partition_point(|m| m.rule.is_some());
    let (gated, told) = metrics.split_at_mut(gated);
    for group in [gated, told] {
        let seen: Vec<Seen> = group.iter().map(Seen::of).collect();
        let looked_at = group.len();
        for (metric, significant) in group.iter_mut().zip(significant(&seen, certainty)) {
            decide(metric, significant, looked_at, certainty);
        }
    }
}

/// What one metric has to say for itself.
#[derive(Clone, Copy, Debug)]
struct Seen {
    direction: Direction,
    change: f64,
    /// Of a change as large, either way.
    p: f64,
}

impl Seen {
    fn of(metric: &Compared) -> Self {
        let p = if metric.reason.is_some() { 1.0 } else { metric.p };
        Self { direction: metric.threshold.direction, change: metric.change, p }
    }
}

/// Which changes are significant among all that were looked at. Worse and better are asked for separately, each with a
/// one-sided test: what got better is no alarm, and need not be paid for.
fn significant(seen: &[Seen], certainty: &Certainty) -> Vec<bool> {
    let sides: Vec<(f64, f64)> =
        seen.iter().map(|s| s.direction.one_sided(s.change, s.p)).collect();
    let (worse, better): (Vec<f64>, Vec<f64>) = sides.iter().copied().unzip();
    let bound = |all: &[f64]| benjamini_hochberg(all, certainty.false_alarms);
    let (worst, best) = (bound(&worse), bound(&better));
    let within = |p: f64, bound: Option<f64>| bound.is_some_and(|bound| p <= bound);
    sides.iter().map(|(worse, better)| within(*worse, worst) || within(*better, best)).collect()
}

/// Why a rule is about nothing.
pub(super) fn why_nothing(rule: &Rule, mappings: &[MappingId]) -> String {
    match (&rule.metrics.phase, &rule.metrics.mapping, rule.metrics.measure) {
        (Some(phase), ..) => format!("no phase is called {phase} (phases need --align marks)"),
        (None, Some(mapping), _) => {
            let labels: Vec<String> = mappings.iter().map(MappingId::label).collect();
            let near = suggestion(mapping, &labels.iter().map(String::as_str).collect::<Vec<_>>());
            // All of them would be too many.
            let near =
                if near.starts_with("did you mean") { format!("; {near}") } else { String::new() };
            format!("no mapping is called {mapping}{near}")
        }
        (None, None, Measure::Resident) => "resident memory was not recorded everywhere".to_owned(),
        (None, None, Measure::Idle) => "not all recordings have ages".to_owned(),
        _ => "with --align marks, begin it with phase(*).".to_owned(),
    }
}

fn decide(metric: &mut Compared, significant: bool, looked_at: usize, certainty: &Certainty) {
    if metric.reason.is_some() {
        metric.verdict = Verdict::Inconclusive;
        return;
    }
    let prior = metric.noise.prior;
    let difference = Difference {
        change: metric.change,
        run_sd: metric.noise.run,
        error: Difference::of(&metric.base, &metric.new, &prior).error,
        freedom: metric.noise.freedom,
        p: metric.p,
    };
    let (threshold, base) = (metric.threshold, metric.base_mean);
    metric.verdict = verdict(&difference, &threshold, base, significant, certainty);
    if metric.verdict != Verdict::Inconclusive {
        return;
    }
    metric.runs_needed =
        runs_to_decide(&difference, &prior, &threshold, base, looked_at, certainty);
    metric.longer = longer(metric, &difference, certainty);
}

/// How many times as long recordings would decide, where most of the noise is within them.
fn longer(metric: &Compared, difference: &Difference, certainty: &Certainty) -> Option<f64> {
    let (within, run) = (metric.noise.within, metric.noise.run);
    if run <= 0.0 || within * within < run * run / 2.0 {
        return None;
    }
    let room = (metric.limit - metric.change.abs()).abs();
    let allowed = room / difference.reach(certainty.misses).max(f64::MIN_POSITIVE) * run;
    let rest = (run * run - within * within).max(0.0);
    let left = allowed * allowed - rest;
    (left > 0.0).then(|| float(round((within * within / left).max(1.0).ceil())))
}

/// What is accessed within an interval depends on its length; sizes do not.
pub(super) fn depends_on_interval(measure: Measure) -> bool {
    !matches!(measure, Measure::Resident | Measure::Size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Any, Growth, Shrinkage};

    fn found(list: &[(Direction, f64, f64)]) -> Vec<bool> {
        let seen = |(direction, change, p): &(Direction, f64, f64)| Seen {
            direction: *direction,
            change: *change,
            p: *p,
        };
        significant(&list.iter().map(seen).collect::<Vec<_>>(), &Certainty::default())
    }

    #[test]
    fn growth_and_shrinkage_are_tested_one_sided() {
        // Of 1 %: half of 1.5 % is below, all of it is not.
        assert_eq!(found(&[(Growth, 5.0, 0.015)]), [true]);
        assert_eq!(found(&[(Growth, -5.0, 0.015)]), [true]);
        assert_eq!(found(&[(Shrinkage, -5.0, 0.015)]), [true]);
        assert_eq!(found(&[(Any, 5.0, 0.015)]), [false]);
        assert_eq!(found(&[(Any, -5.0, 0.009)]), [true]);
        assert_eq!(found(&[(Growth, 5.0, 0.021)]), [false]);
        assert_eq!(found(&[(Growth, 0.0, 1.0)]), [false]);
    }

    #[test]
    fn what_got_better_makes_no_alarm_easier() {
        // 0.6 % alone would pass; of two, the first has 0.5 %. A great improvement beside it does not change that,
        let beside = |other| found(&[(Growth, 5.0, 0.012), other]);
        assert_eq!(beside((Growth, 0.1, 0.9)), [false, false]);
        assert_eq!(beside((Growth, -9.0, 1e-9)), [false, true]);
        // another growth does: then 1 % of two may be false.
        assert_eq!(beside((Growth, 9.0, 1e-9)), [true, true]);
    }
}
