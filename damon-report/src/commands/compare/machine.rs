//! A comparison for programs: JSON, CSV, and what two collectors of benchmarks read.

use super::super::output::JSON_FORMAT;
use super::super::words::csv_text;
use super::Report;
use super::words::{gated, verdict};
use crate::analysis::compare::{Compared, Comparison, Direction};
use crate::exit::Failure;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// All of it; `docs/schemas/compare-1.json` describes it.
#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    report: &'static str,
    picture: Option<&'a str>,
    #[serde(flatten)]
    found: &'a Comparison,
}

pub(super) fn json(report: &Report<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    let Report { found, picture, .. } = *report;
    let document = Document { format: JSON_FORMAT, report: "compare", picture, found };
    line(out, &document)
}

fn line(out: &mut dyn Write, value: &impl Serialize) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, value)?;
    Ok(writeln!(out)?)
}

pub(super) fn csv(found: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "metric,phase,mapping,measure,statistic,base,new,change,relative,low,high,p,limit,rule,verdict,runs_needed,longer"
    )?;
    let optional = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
    let text = |value: Option<&String>| value.map(|v| csv_text(v)).unwrap_or_default();
    for compared in &found.metrics {
        let Compared { metric, base_mean, new_mean, change, low, high, p, limit, .. } = compared;
        writeln!(
            out,
            "{},{},{},{},{},{base_mean},{new_mean},{change},{},{low},{high},{p},{limit},{},{},{},{}",
            csv_text(&metric.to_string()),
            text(metric.phase.as_ref()),
            text(metric.mapping.as_ref()),
            metric.measure.as_str(),
            metric.statistic.as_str(),
            optional(compared.relative),
            text(compared.rule.as_ref()),
            verdict(compared.verdict),
            compared.runs_needed.map(|runs| runs.to_string()).unwrap_or_default(),
            optional(compared.longer.map(f64::from)),
        )?;
    }
    Ok(())
}

/// A value of the new side and, from several runs, the least and the greatest.
#[derive(Serialize)]
struct Bounded {
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lower_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upper_value: Option<f64>,
}

impl Bounded {
    fn of(metric: &Compared) -> Self {
        let several = || Some(metric.new.iter().copied()).filter(|_| metric.new.len() > 1);
        Self {
            value: metric.new_mean,
            lower_value: several().and_then(|values| values.min_by(f64::total_cmp)),
            upper_value: several().and_then(|values| values.max_by(f64::total_cmp)),
        }
    }
}

/// Bencher Metric Format: benchmarks (all memory, a phase, a mapping) with their measures. What is gated, and all of all memory.
pub(super) fn bencher(found: &Comparison, out: &mut dyn Write) -> Result<(), Failure> {
    let mut all: BTreeMap<String, BTreeMap<String, Bounded>> = BTreeMap::new();
    let wanted = |m: &&Compared| m.rule.is_some() || m.metric.mapping.is_none();
    for metric in found.metrics.iter().filter(wanted) {
        let name = metric.metric.to_string();
        let what = metric.metric.what();
        let scope = name.strip_suffix(&what).unwrap_or_default().trim_end_matches('.');
        let scope = if scope.is_empty() { "memory" } else { scope };
        let measures = all.entry(scope.to_owned()).or_default();
        measures.insert(what, Bounded::of(metric));
    }
    line(out, &all)
}

/// One entry of customSmallerIsBetter.
#[derive(Serialize)]
struct Benchmark {
    name: String,
    unit: &'static str,
    value: f64,
    range: String,
    extra: String,
}

/// Of github-action-benchmark: the gated metrics of which less is better.
pub(super) fn action_benchmark(found: &Comparison, out: &mut dyn Write) -> Result<(), Failure> {
    let mut list: Vec<Benchmark> = Vec::new();
    for metric in gated(found).filter(|m| m.threshold.direction != Direction::Shrinkage) {
        let name = metric.metric.to_string();
        if list.iter().any(|known| known.name == name) {
            continue;
        }
        let Bounded { lower_value, upper_value, .. } = Bounded::of(metric);
        let half = lower_value.zip(upper_value).map(|(low, high)| (high - low) / 2.0);
        list.push(Benchmark {
            name,
            unit: "bytes",
            value: metric.new_mean,
            range: half.map(|half| format!("± {half}")).unwrap_or_default(),
            extra: format!("base {}, verdict {}", metric.base_mean, verdict(metric.verdict)),
        });
    }
    line(out, &list)
}
