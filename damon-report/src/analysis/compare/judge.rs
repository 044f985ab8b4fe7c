//! Verdicts over many metrics.

use super::evidence::{Difference, benjamini_hochberg};
use super::metric::Measure;
use super::outcome::Compared;
use super::verdict::{Certainty, Rule, Verdict, runs_to_decide, verdict};
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
        let known = |m: &Compared| if m.reason.is_some() { 1.0 } else { m.p };
        let probabilities: Vec<f64> = group.iter().map(known).collect();
        let worst = benjamini_hochberg(&probabilities, certainty.false_alarms);
        let looked_at = group.len();
        for metric in group {
            let significant = worst.is_some_and(|worst| metric.p <= worst);
            decide(metric, significant, looked_at, certainty);
        }
    }
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
