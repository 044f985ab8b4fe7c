//! Two groups of recordings held against each other: did the structure of memory accesses change, and by how much?
//!
//! Recordings are laid over each other (`phases`), measured (`course`, `values`) as a whole and by mapping
//! (`matching`), and each `metric` is tested: does what the runs show go beyond their noise (`noise`, `evidence`), and
//! beyond what the user cares about (`verdict`)? Where heat changed is in [`difference()`]. `docs/CI.md` tells what the words mean.

mod alike;
mod all_runs;
mod binned;
mod course;
mod difference;
mod ended;
mod evidence;
mod history;
mod hotness;
mod judge;
mod levels;
mod matching;
mod metric;
mod noise;
mod ordered;
mod outcome;
mod phases;
mod rule;
mod sides;
mod values;
mod verdict;

pub use alike::Setting;
pub use binned::COLUMNS;
pub use difference::{DifferenceBand, DifferenceMap, Pair, difference};
pub use evidence::{Difference, Prior, PriorSource};
pub use history::{Entry, HISTORY_VERSION, History, HistoryError, MEASURED_BY, Measured};
pub use metric::{Measure, Metric, MetricError, MetricPattern, Statistic};
pub use outcome::{Compared, Comparison, Noise, Run, Unmatched};
pub use phases::{Align, Phase};
pub use rule::RuleError;
pub use verdict::{Certainty, Direction, Rule, Threshold, Verdict, default_rules};

use super::groups::{GroupBy, MappingId};
use super::layout::Layouts;
use super::load::Trace;
use super::num::float;
use super::view::View;
use course::{Course, CourseOptions, CourseSum};
use damon_format::Granularity;
use hotness::{Hotness, SeenSum};
use matching::Matching;
use rayon::prelude::*;
use sides::Sides;
use std::collections::{BTreeMap, BTreeSet};

/// How recordings are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How they are laid over each other.
    pub align: Align,
    /// Access rate from which on memory is hot, 0..1.
    pub hot: f64,
    /// Idle time from which on memory is idle, nanoseconds.
    pub idle_ns: u64,
    /// How finely mappings are told apart.
    pub group_by: GroupBy,
    /// What must not get worse; [`default_rules`] if there are none.
    pub rules: Vec<Rule>,
    /// From which change on metrics without a rule have changed.
    pub otherwise: Threshold,
    /// How sure to be.
    pub certainty: Certainty,
    /// How much a value is assumed to vary from run to run, as a share of it, until runs tell.
    pub run_noise: f64,
    /// For how many degrees of freedom that counts.
    pub run_noise_freedom: f64,
    /// Compare what was recorded in different ways.
    pub allow_different: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            align: Align::default(),
            hot: 0.5,
            idle_ns: 10_000_000_000,
            group_by: GroupBy::Mapping,
            rules: Vec::new(),
            otherwise: Threshold::DEFAULT,
            certainty: Certainty::default(),
            run_noise: 0.02,
            run_noise_freedom: 2.0,
            allow_different: false,
        }
    }
}

impl Options {
    fn measured(&self) -> Measured {
        let Self { align, hot, idle_ns, group_by, .. } = *self;
        Measured { by: MEASURED_BY, align, hot, idle_ns, group_by }
    }
}

/// A recording that takes part.
#[derive(Debug)]
pub struct Recording {
    /// The trace.
    pub trace: Trace,
    /// The part that is looked at.
    pub view: View,
}

/// Why recordings cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// A side without recordings.
    #[error("there is nothing to compare: {0} has no recordings")]
    NoRuns(&'static str),
    /// They were recorded in different ways.
    #[error(
        "{first} and {second} are not comparable, they differ in: {what}; --allow-different compares them all the same"
    )]
    Different {
        /// One recording.
        first: String,
        /// The other.
        second: String,
        /// In what.
        what: String,
    },
    /// No phase is in all of them.
    #[error("no mark is in all recordings, so that there are no phases to compare{0}")]
    NoPhases(String),
    /// A rule is about nothing that is there.
    #[error("`{rule}` is about nothing that can be compared here: {why}")]
    NoMetric {
        /// The rule.
        rule: String,
        /// Why not.
        why: String,
    },
}

/// Compares recordings; `history` tells of earlier runs.
pub fn compare(
    base: &[Recording],
    new: &[Recording],
    history: Option<&History>,
    options: &Options,
) -> Result<Comparison, CompareError> {
    for (side, name) in [(base, "the base"), (new, "the new side")] {
        if side.is_empty() {
            return Err(CompareError::NoRuns(name));
        }
    }
    let mut options = options.clone();
    let mut asked: Vec<Rule> = Vec::new();
    for rule in std::mem::take(&mut options.rules) {
        // However it is written: `> 5%` is `> +5%`.
        let same =
            |known: &Rule| known.metrics == rule.metrics && known.threshold == rule.threshold;
        if !asked.iter().any(same) {
            asked.push(rule);
        }
    }
    options.rules =
        if asked.is_empty() { default_rules(options.align == Align::Marks) } else { asked.clone() };
    let options = &options;
    let all: Vec<&Recording> = base.iter().chain(new).collect();
    let mut warnings = Vec::new();
    let settings = alike::alike(&all, options, &mut warnings)?;
    let spans: Vec<_> = all.iter().map(|r| (&r.view.overview, r.view.time())).collect();
    let phases::Phases { of: phases, left_out, beyond } = phases::phases(options.align, &spans);
    if phases.iter().any(Vec::is_empty) {
        let known = left_out.join(", ");
        let known = if known.is_empty() { known } else { format!("; some have: {known}") };
        return Err(CompareError::NoPhases(known));
    }
    if !left_out.is_empty() {
        warnings.push(format!("marks that not all recordings have: {}", left_out.join(", ")));
    }
    if beyond > 0 {
        warnings.push(format!("{beyond} more phases are not compared: too many"));
    }
    let hotness = hotness(&all, options.hot);
    let (courses, mapped): (Vec<Vec<Course>>, Vec<BTreeMap<MappingId, u64>>) = all
        .par_iter()
        .zip(&phases)
        .map(|(recording, phases)| courses(recording, phases, &hotness, options))
        .unzip();
    let matching = Matching::new(&mapped);
    let measured = options.measured();
    let history =
        history.and_then(|history| history::usable(history, &settings, &measured, &mut warnings));
    let sides = Sides::new(base.len(), &phases, &courses, &matching);
    let mut metrics = sides.metrics(history.as_ref(), options);
    for rule in asked {
        if !metrics.iter().any(|m| m.rule.as_ref() == Some(&rule.text)) {
            let why = judge::why_nothing(&rule, &metrics, &matching.mappings);
            return Err(CompareError::NoMetric { rule: rule.text, why });
        }
    }
    let unlike = ended::unlike(&all, options, &mut warnings);
    for metric in &mut metrics {
        metric.reason = unlike.clone().or_else(|| metric.reason.take());
    }
    let stretched = alike::stretched(&all, options, &mut warnings);
    for metric in metrics.iter_mut().filter(|m| judge::depends_on_interval(m.metric.measure)) {
        metric.reason = metric.reason.take().or_else(|| stretched.clone());
    }
    for rule in &options.rules {
        if !metrics.iter().any(|m| m.rule.as_ref() == Some(&rule.text)) {
            warnings.push(format!("`{}` is not gated: not all recordings have it", rule.text));
        }
    }
    warnings.extend(lengths(&all));
    judge::judge(&mut metrics, &options.certainty);
    let runs = sides.runs(&all, settings, &metrics);
    let (base, new) = runs.split_at(base.len());
    let gated = || metrics.iter().filter(|m| m.rule.is_some()).map(|m| m.verdict);
    Ok(Comparison {
        verdict: overall(gated()),
        align: options.align,
        hot: options.hot,
        idle_ns: options.idle_ns,
        group_by: options.group_by,
        certainty: options.certainty,
        base: base.to_vec(),
        new: new.to_vec(),
        unmatched: sides.unmatched(),
        metrics,
        warnings,
    })
}

/// The worst of all; better only if nothing is worse or unknown.
fn overall(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    verdicts.max().unwrap_or(Verdict::Inconclusive)
}

/// Recordings of the same work whose lengths differ by more have not done the same work, or did not end as they should.
const MOST_LONGER: f64 = 1.5;

/// What is to be said of recordings of different lengths.
fn lengths(all: &[&Recording]) -> Option<String> {
    let length = |r: &Recording| r.view.time().end.saturating_sub(r.view.time().start);
    let shortest = all.iter().min_by_key(|r| length(r))?;
    let longest = all.iter().max_by_key(|r| length(r))?;
    let (least, most) = (length(shortest), length(longest));
    let seconds = |ns: u64| format!("{:.1} s", float(ns) / 1e9);
    (float(most) > float(least) * MOST_LONGER).then(|| {
        format!(
            "{} lasts {} and {} {}: did all of them do the same work, to its end?",
            shortest.trace.name(),
            seconds(least),
            longest.trace.name(),
            seconds(most)
        )
    })
}

/// Whether rates of a recording carry no sampling error.
fn is_exact(recording: &Recording) -> bool {
    let backend = &recording.trace.info().backend;
    backend.exact || backend.granularity == Granularity::Mapping
}

/// Which memory is hot in recordings.
fn hotness(all: &[&Recording], threshold: f64) -> Hotness {
    let seen = |recording: &&Recording| {
        let selection = &recording.view.selection;
        recording.trace.fold(selection, || SeenSum::new(selection)).finish()
    };
    let sampled = all.par_iter().filter(|recording| !is_exact(recording));
    Hotness::new(threshold, &sampled.map(seen).collect::<Vec<_>>())
}

/// What was found of a recording, and its mappings with their greatest sizes.
fn courses(
    recording: &Recording,
    phases: &[Phase],
    hotness: &Hotness,
    options: &Options,
) -> (Vec<Course>, BTreeMap<MappingId, u64>) {
    let Recording { trace, view } = recording;
    let exact = is_exact(recording);
    let by_sight = Hotness::exact(options.hot);
    let hotness = if exact { &by_sight } else { hotness };
    let options_of = CourseOptions { hotness, idle_ns: options.idle_ns, exact };
    let layouts = Layouts::new(&view.overview.mappings, options.group_by);
    let new = || CourseSum::new(&view.selection, &layouts, phases, options_of);
    let courses = trace.fold(&view.selection, new).finish(&view.resident());
    let present: BTreeSet<&MappingId> =
        courses.iter().flat_map(|course| course.groups.iter().map(|(id, _)| id)).collect();
    let sizes = layouts.groups().iter().zip(layouts.extents());
    let sizes = sizes.filter(|(id, _)| present.contains(id));
    let sizes = sizes.map(|(id, size)| (id.clone(), size)).collect();
    (courses, sizes)
}
