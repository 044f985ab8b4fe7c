//! A comparison in words and numbers for people.

use super::super::words::{bytes, clean, duration, percent};
use crate::analysis::compare::{
    Align, Compared, Comparison, Direction, Measure, Run, Setting, Statistic, Verdict,
};
use crate::analysis::groups::MemoryKind;
use crate::analysis::num::float;
use std::collections::BTreeSet;

/// The word for a verdict.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Improved => "improved",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Regressed => "regressed",
    }
}

/// The metrics that rules are about.
pub(super) fn gated(found: &Comparison) -> impl Iterator<Item = &Compared> {
    found.metrics.iter().filter(|metric| metric.rule.is_some())
}

/// So many of the gated metrics ended in some way.
pub(super) fn count(found: &Comparison, verdict: Verdict) -> usize {
    gated(found).filter(|metric| metric.verdict == verdict).count()
}

/// How it ends, in a sentence after the verdict.
pub(super) fn sentence(found: &Comparison) -> String {
    let all = gated(found).count();
    let s = if all == 1 { "" } else { "s" };
    let unknown = match count(found, Verdict::Inconclusive) {
        0 => String::new(),
        unknown => format!(", {unknown} cannot be told"),
    };
    match found.verdict {
        Verdict::Pass => format!("none of {all} gated metric{s} got worse"),
        Verdict::Improved => {
            let better = count(found, Verdict::Improved);
            format!("{better} of {all} gated metric{s} got better, none worse")
        }
        Verdict::Inconclusive => {
            let unknown = count(found, Verdict::Inconclusive);
            format!("{unknown} of {all} gated metric{s} cannot be told with these recordings")
        }
        Verdict::Regressed => {
            let worse = count(found, Verdict::Regressed);
            format!("{worse} of {all} gated metric{s} got worse{unknown}")
        }
    }
}

/// Bytes with their sign.
pub(super) fn signed(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "+" };
    format!("{sign}{}", bytes(value.abs()))
}

/// `+20.0 %`; a dash where the base is nothing.
pub(super) fn relative(metric: &Compared) -> String {
    metric.relative.map_or_else(|| "-".to_owned(), |share| format!("{:+.1} %", share * 100.0))
}

/// How far the truth may be from the change that was found, either way.
pub(super) fn reach(metric: &Compared) -> String {
    bytes((metric.high - metric.low) / 2.0)
}

/// The change from which on it counts.
pub(super) fn limit(metric: &Compared) -> String {
    let sign = match metric.threshold.direction {
        Direction::Growth => "+",
        Direction::Shrinkage => "-",
        Direction::Any => "±",
    };
    format!("{sign}{}", bytes(metric.limit))
}

/// What would decide an inconclusive metric.
pub(super) fn decides(metric: &Compared) -> Option<String> {
    if metric.verdict != Verdict::Inconclusive || metric.rule.is_none() {
        return None;
    }
    if let Some(reason) = &metric.reason {
        return Some(reason.clone());
    }
    let runs = metric
        .runs_needed
        .map(|runs| format!("{runs} run{} a side", if runs == 1 { "" } else { "s" }));
    let longer = metric.longer.map(|times| format!("recordings {times} times as long"));
    Some(match (runs, longer) {
        (Some(runs), Some(longer)) => format!("{runs}, or {longer}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => {
            "no thousand runs like these: the change is too near its limit, or the limit too small"
                .to_owned()
        }
    })
}

/// Of each mapping the mean that changed most, if it is more than what is held to be a change; greatest first.
///
/// What is in no known mapping is the address space between mappings, whose size is chance.
pub(super) fn moved(found: &Comparison) -> Vec<&Compared> {
    let chance = |metric: &&Compared| {
        let by_size = matches!(metric.metric.measure, Measure::Size | Measure::Idle);
        !(by_size && metric.metric.mapping.as_deref() == Some(MemoryKind::Unknown.as_str()))
    };
    let mut list: Vec<&Compared> = found
        .metrics
        .iter()
        .filter(|metric| metric.metric.mapping.is_some() && metric.change.abs() > metric.limit)
        .filter(|metric| metric.metric.statistic == Statistic::Mean)
        .filter(chance)
        .collect();
    list.sort_by(|a, b| b.change.abs().total_cmp(&a.change.abs()));
    let mut known = BTreeSet::new();
    list.retain(|metric| known.insert((&metric.metric.phase, &metric.metric.mapping)));
    list
}

/// `3 recordings of work, 10 s to 12 s: a.damon, b.damon, c.damon`.
pub(super) fn side(runs: &[Run]) -> String {
    const MOST: usize = 4;
    let count = runs.len();
    let s = if count == 1 { "" } else { "s" };
    let program = runs.first().map_or("", |run| run.setting.program.as_str());
    let program = if program.is_empty() { "" } else { &format!(" of {}", clean(program)) };
    let length = |run: &Run| -> u64 {
        run.phases.iter().map(|p| p.time.end.saturating_sub(p.time.start)).sum()
    };
    let lengths = || runs.iter().map(length);
    let least = duration(float(lengths().min().unwrap_or(0)));
    let most = duration(float(lengths().max().unwrap_or(0)));
    let time = if least == most { least } else { format!("{least} to {most}") };
    let names: Vec<String> = runs.iter().take(MOST).map(|run| clean(&run.name)).collect();
    let more = match count.saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{count} recording{s}{program}, {time}: {}{more}", names.join(", "))
}

/// How recordings were made: `write accesses, page, sampled (backend writes), sample 5 ms, aggregate 100 ms`, of the first one; all
/// others are alike, or a warning says in what they are not. Intervals that some of them did not tell are called guessed.
pub(super) fn setting(found: &Comparison) -> Option<String> {
    let Setting { backend, access, granularity, exact, sample_us, aggr_us, .. } =
        &found.base.first()?.setting;
    let how = if *exact { "exact" } else { "sampled" };
    let us = |us: u64| duration(float(us) * 1e3);
    Some(format!(
        "{access} accesses, {granularity}, {how} (backend {}), sample {}, aggregate {}{}",
        clean(backend),
        us(*sample_us),
        us(*aggr_us),
        guessed(found.base.iter().chain(&found.new).map(|run| run.intervals_guessed))
    ))
}

/// What stands behind intervals that were guessed in some of the recordings, or in all.
fn guessed(recordings: impl Iterator<Item = bool> + Clone) -> String {
    let all = recordings.clone().count();
    match recordings.filter(|guessed| *guessed).count() {
        0 => String::new(),
        some if some < all => format!(" (guessed in {some} of {all} recordings)"),
        _ => " (guessed)".to_owned(),
    }
}

/// What the numbers mean and how sure verdicts are.
pub(super) fn terms(found: &Comparison) -> String {
    let by = match found.align {
        Align::Progress => "progress",
        Align::Time => "time",
        Align::Marks => "marks",
    };
    format!(
        "aligned by {by}; hot from {} %, idle from {}; false alarms {} %, misses {} %",
        percent(found.hot),
        duration(float(found.idle_ns)),
        percent(found.certainty.false_alarms),
        percent(found.certainty.misses)
    )
}
