//! Verdicts over many metrics.

use super::evidence::{Difference, benjamini_hochberg};
use super::metric::{Measure, glob};
use super::outcome::Compared;
use super::verdict::{Certainty, Direction, Rule, Undecided, Verdict, verdict};
use crate::analysis::groups::MappingId;
use damon_format::damos::suggestion;
use std::collections::BTreeSet;

/// Gives verdicts, gated metrics first: what is significant depends on how many were looked at, and nobody's alarm
/// should depend on what is only told.
pub(super) fn judge(metrics: &mut [Compared], certainty: &Certainty) {
    metrics.sort_by_key(|m| m.rule.is_none());
    let gated = metrics.partition_point(|m| m.rule.is_some());
    let (gated, told) = metrics.split_at_mut(gated);
    for group in [gated, told] {
        let seen = seen(group);
        let looked_at = seen.iter().filter(|seen| !seen.again).count();
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
    /// Another rule asks for the same metric in the same direction. That is one hypothesis, whatever their limits, and counts
    /// once among all: counted twice, it would make the alarms of others easier.
    again: bool,
}

fn seen(group: &[Compared]) -> Vec<Seen> {
    let mut known = BTreeSet::new();
    let one = |compared: &Compared| {
        let direction = compared.threshold.direction;
        let p = if compared.reason.is_some() { 1.0 } else { compared.p };
        let again = !known.insert((compared.metric.clone(), direction));
        Seen { direction, change: compared.change, p, again }
    };
    group.iter().map(one).collect()
}

/// Which changes are significant among all that were looked at. Worse and better are asked for separately, each with a
/// one-sided test: what got better is no alarm, and need not be paid for.
fn significant(seen: &[Seen], certainty: &Certainty) -> Vec<bool> {
    let sides: Vec<(f64, f64)> =
        seen.iter().map(|s| s.direction.one_sided(s.change, s.p)).collect();
    let once = sides.iter().zip(seen).filter(|(_, seen)| !seen.again);
    let (worse, better): (Vec<f64>, Vec<f64>) = once.map(|(sides, _)| *sides).unzip();
    let bound = |all: &[f64]| benjamini_hochberg(all, certainty.false_alarms);
    let (worst, best) = (bound(&worse), bound(&better));
    let within = |p: f64, bound: Option<f64>| bound.is_some_and(|bound| p <= bound);
    sides.iter().map(|(worse, better)| within(*worse, worst) || within(*better, best)).collect()
}

/// Why a rule is about none of the metrics that there are.
pub(super) fn why_nothing(rule: &Rule, metrics: &[Compared], mappings: &[MappingId]) -> String {
    let phases: BTreeSet<&String> =
        metrics.iter().filter_map(|m| m.metric.phase.as_ref()).collect();
    match &rule.metrics.phase {
        None if !phases.is_empty() => {
            return "with --align marks, begin it with phase(*).".to_owned();
        }
        Some(_) if phases.is_empty() => return "phases need --align marks".to_owned(),
        Some(phase) if !phases.iter().any(|name| glob(phase, name)) => {
            let names: Vec<&str> = phases.iter().map(|name| name.as_str()).collect();
            return format!("no phase is called {phase}{}", near(phase, &names));
        }
        _ => {}
    }
    if let Some(mapping) = &rule.metrics.mapping {
        let labels: Vec<String> = mappings.iter().map(MappingId::label).collect();
        if !labels.iter().any(|label| glob(mapping, label)) {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            return format!("no mapping is called {mapping}{}", near(mapping, &labels));
        }
    }
    match rule.metrics.measure {
        Measure::Resident => "resident memory was not recorded everywhere".to_owned(),
        Measure::Idle => "not all recordings have ages".to_owned(),
        _ => "not all recordings have it".to_owned(),
    }
}

/// "; did you mean …?" where a name is near; all of them would be too many.
fn near(name: &str, known: &[&str]) -> String {
    let near = suggestion(name, known);
    if near.starts_with("did you mean") { format!("; {near}") } else { String::new() }
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
        base_runs: metric.base.len(),
        new_runs: metric.new.len(),
    };
    let (threshold, base) = (metric.threshold, metric.base_mean);
    metric.verdict = verdict(&difference, &threshold, base, significant, certainty);
    if metric.verdict == Verdict::Inconclusive {
        let (difference, threshold) = (&difference, &threshold);
        let open = Undecided { difference, base, threshold, looked_at, certainty };
        let least = metric.base.len().min(metric.new.len());
        metric.runs_needed = open.runs(least.saturating_add(1), &prior);
        metric.longer = open.times_as_long(metric.noise.within);
    }
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
            again: false,
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
    fn a_metric_that_several_rules_are_about_counts_once() {
        let of = |p, again| Seen { direction: Growth, change: 5.0, p, again };
        let found = |list: &[Seen]| significant(list, &Certainty::default());
        // One-sided 0.3 % and 0.9 %: of two, 0.5 % and 1 % are the bounds; the first one twice makes no three of them.
        assert_eq!(found(&[of(0.006, false), of(0.018, false)]), [true, true]);
        // 0.3 % beside 0.7 % and what is none: ⅔ % is the bound of the second. With the first one twice it would be ¾ %.
        let list = [of(0.006, false), of(0.006, true), of(0.014, false), of(1.0, false)];
        assert_eq!(found(&list), [true, true, false, false]);
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
