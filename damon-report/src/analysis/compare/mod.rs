//! Two groups of recordings held against each other: did the structure of memory accesses change, and by how much?
//!
//! Recordings are laid over each other ([`phases`]), measured ([`course`], [`values`]) as a whole and by mapping
//! ([`matching`]), and each [`metric`] is tested: does what the runs show go beyond their noise ([`noise`], [`evidence`]), and
//! beyond what the user cares about ([`verdict`])? `docs/CI.md` tells what the words mean.

mod alike;
mod course;
mod evidence;
mod history;
mod levels;
mod matching;
mod metric;
mod noise;
mod phases;
mod values;
mod verdict;

pub use alike::Setting;
pub use evidence::{Difference, Prior, PriorSource};
pub use history::{Entry, HISTORY_VERSION, History, HistoryError};
pub use metric::{Measure, Metric, MetricError, MetricPattern, Statistic};
pub use phases::{Align, Phase};
pub use verdict::{Certainty, Direction, Rule, Threshold, Verdict, default_rules};

use super::groups::{GroupBy, MappingId};
use super::layout::Layouts;
use super::load::Trace;
use super::num::{float, float_of, round};
use super::view::View;
use course::{Course, CourseOptions, CourseSum};
use damon_format::Granularity;
use evidence::benjamini_hochberg;
use levels::Levels;
use matching::Matching;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use verdict::{runs_to_decide, verdict};

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

/// A recording that took part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its file.
    pub name: String,
    /// How it was recorded.
    pub setting: Setting,
    /// Mean sampling interval, as it was on the way, microseconds.
    pub mean_sample_us: Option<f64>,
    /// Its phases.
    pub phases: Vec<Phase>,
    /// Aggregations by phase.
    pub moments: Vec<usize>,
    /// Values by the names of metrics.
    pub values: BTreeMap<String, f64>,
}

/// Where what is known of the noise is from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Noise {
    /// Standard deviation of one run's value by noise within it, bytes.
    pub within: f64,
    /// What was known before the runs were compared.
    pub prior: Prior,
    /// Standard deviation of one run's value, all together, bytes.
    pub run: f64,
    /// Degrees of freedom of it.
    pub freedom: f64,
}

/// One metric of both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Which.
    pub metric: Metric,
    /// Values of the base, by run.
    pub base: Vec<f64>,
    /// Values of the new side, by run.
    pub new: Vec<f64>,
    /// Mean of the base.
    pub base_mean: f64,
    /// Mean of the new side.
    pub new_mean: f64,
    /// New less base, bytes.
    pub change: f64,
    /// As a share of the base; none where that is 0.
    pub relative: Option<f64>,
    /// The change is above this but for [`Certainty::misses`].
    pub low: f64,
    /// The change is below this but for [`Certainty::misses`].
    pub high: f64,
    /// Probability of such a change if nothing changed.
    pub p: f64,
    /// Change from which on it counts, bytes.
    pub limit: f64,
    /// The threshold that gave it.
    pub threshold: Threshold,
    /// The rule that asks for it; none for what is only told.
    pub rule: Option<String>,
    /// How it ends.
    pub verdict: Verdict,
    /// Why nothing can be said, where that is not because of noise.
    pub reason: Option<String>,
    /// Runs a side that would decide it, if they are like these; only for what is inconclusive.
    pub runs_needed: Option<usize>,
    /// How many times as long recordings would have to be, where noise within runs is most of it.
    pub longer: Option<f64>,
    /// What is known of the noise.
    pub noise: Noise,
}

/// A mapping that only one side has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unmatched {
    /// Which.
    pub mapping: MappingId,
    /// Its label.
    pub label: String,
    /// Runs of the base that have it.
    pub base: usize,
    /// New runs that have it.
    pub new: usize,
    /// Its mean size where it is, bytes.
    pub size: f64,
}

/// All of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// How it ends.
    pub verdict: Verdict,
    /// How recordings were laid over each other.
    pub align: Align,
    /// Access rate from which on memory is hot.
    pub hot: f64,
    /// Idle time from which on memory is idle, nanoseconds.
    pub idle_ns: u64,
    /// How sure verdicts are.
    pub certainty: Certainty,
    /// The old ones.
    pub base: Vec<Run>,
    /// The new ones.
    pub new: Vec<Run>,
    /// Gated metrics first, then all others.
    pub metrics: Vec<Compared>,
    /// Mappings that only one side has, largest first.
    pub unmatched: Vec<Unmatched>,
    /// What to know before believing it.
    pub warnings: Vec<String>,
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
    let asked = std::mem::take(&mut options.rules);
    options.rules =
        if asked.is_empty() { default_rules(options.align == Align::Marks) } else { asked.clone() };
    let options = &options;
    let all: Vec<&Recording> = base.iter().chain(new).collect();
    let mut warnings = Vec::new();
    let settings = alike(&all, options, &mut warnings)?;
    let spans: Vec<_> = all.iter().map(|r| (&r.view.overview, r.view.time())).collect();
    let phases::Phases { of: phases, left_out } = phases::phases(options.align, &spans);
    if phases.iter().any(Vec::is_empty) {
        let known = left_out.join(", ");
        let known = if known.is_empty() { known } else { format!("; some have: {known}") };
        return Err(CompareError::NoPhases(known));
    }
    if !left_out.is_empty() {
        warnings.push(format!("marks that not all recordings have: {}", left_out.join(", ")));
    }
    let courses: Vec<Vec<Course>> = all
        .par_iter()
        .zip(&phases)
        .map(|(recording, phases)| courses(recording, phases, options))
        .collect();
    let mapped: Vec<BTreeSet<MappingId>> = courses.iter().map(|c| mappings(c)).collect();
    let matching = Matching::new(&mapped);
    let history = history.and_then(|history| usable(history, &settings, &mut warnings));
    let sides = Sides { base: base.len(), phases: &phases, courses: &courses, matching: &matching };
    let mut metrics = sides.metrics(history.as_ref(), options);
    for rule in asked {
        if !metrics.iter().any(|m| m.rule.as_ref() == Some(&rule.text)) {
            let why = why_nothing(&rule);
            return Err(CompareError::NoMetric { rule: rule.text, why });
        }
    }
    let stretched = stretched(&all, options, &mut warnings);
    for metric in metrics.iter_mut().filter(|m| depends_on_interval(m.metric.measure)) {
        metric.reason = metric.reason.take().or_else(|| stretched.clone());
    }
    judge(&mut metrics, &options.certainty);
    let runs = sides.runs(&all, settings, &metrics);
    let (base, new) = runs.split_at(base.len());
    let gated = || metrics.iter().filter(|m| m.rule.is_some()).map(|m| m.verdict);
    Ok(Comparison {
        verdict: overall(gated()),
        align: options.align,
        hot: options.hot,
        idle_ns: options.idle_ns,
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

fn alike(
    all: &[&Recording],
    options: &Options,
    warnings: &mut Vec<String>,
) -> Result<Vec<Setting>, CompareError> {
    let settings: Vec<Setting> =
        all.iter().map(|r| Setting::of(&r.trace, &r.view.overview)).collect();
    let name = |index: usize| all.get(index).map_or("", |r| r.trace.name()).to_owned();
    let Some(first) = settings.first() else { return Ok(settings) };
    for (index, setting) in settings.iter().enumerate().skip(1) {
        let what = first.differences(setting);
        if what.is_empty() {
            continue;
        }
        let what = what.join(", ");
        if !options.allow_different {
            return Err(CompareError::Different { first: name(0), second: name(index), what });
        }
        warnings.push(format!("{} and {} differ in: {what}", name(0), name(index)));
    }
    Ok(settings)
}

/// Recordings whose sampling intervals differ by more measure different things.
const MOST_STRETCHED: f64 = 1.05;

/// Why access rates of recordings cannot be compared although they were recorded alike: a budget stretched the intervals of
/// some of them.
fn stretched(all: &[&Recording], options: &Options, warnings: &mut Vec<String>) -> Option<String> {
    let means =
        all.iter().filter_map(|r| Some((alike::mean_sample_us(&r.view.overview)?, r.trace.name())));
    let least = means.clone().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let most = means.max_by(|a, b| a.0.total_cmp(&b.0))?;
    if most.0 <= least.0 * MOST_STRETCHED {
        return None;
    }
    let ms = |us: f64| format!("{:.1} ms", us / 1000.0);
    let why = format!(
        "sampling intervals differ: {} in {}, {} in {} (means); record with the same fixed intervals and without a budget, \
         or compare all the same with --allow-different",
        ms(least.0),
        least.1,
        ms(most.0),
        most.1
    );
    warnings.push(why.clone());
    (!options.allow_different).then_some(why)
}

/// What is accessed within an interval depends on its length; sizes do not.
fn depends_on_interval(measure: Measure) -> bool {
    !matches!(measure, Measure::Resident | Measure::Size)
}

fn usable(history: &History, settings: &[Setting], warnings: &mut Vec<String>) -> Option<History> {
    let (alike, others) = history.alike(settings.first()?);
    if others > 0 {
        warnings
            .push(format!("{others} runs of the history were recorded in another way: left out"));
    }
    if alike.entries.len() < history::FEWEST_RUNS {
        warnings.push(format!(
            "the history has {} runs like these; {} are needed before it tells how much runs vary",
            alike.entries.len(),
            history::FEWEST_RUNS
        ));
        return None;
    }
    Some(alike)
}

fn courses(recording: &Recording, phases: &[Phase], options: &Options) -> Vec<Course> {
    let Recording { trace, view } = recording;
    let backend = &trace.info().backend;
    let options_of = CourseOptions {
        hot: options.hot,
        idle_ns: options.idle_ns,
        exact: backend.exact || backend.granularity == Granularity::Mapping,
    };
    let layouts = Layouts::new(&view.overview.records, options.group_by);
    let new = || CourseSum::new(&view.selection, &layouts, phases, options_of);
    trace.fold(&view.selection, new).finish(&view.resident())
}

fn mappings(courses: &[Course]) -> BTreeSet<MappingId> {
    courses.iter().flat_map(|course| course.groups.iter().map(|(id, _)| id.clone())).collect()
}

/// All runs, the base first.
struct Sides<'a> {
    /// Runs of the base.
    base: usize,
    phases: &'a [Vec<Phase>],
    courses: &'a [Vec<Course>],
    matching: &'a Matching,
}

impl Sides<'_> {
    /// The courses of a phase of the first run, in all runs.
    fn of_phase(&self, name: Option<&String>) -> Vec<&Course> {
        let of = |(phases, courses): (&Vec<Phase>, &'_ Vec<Course>)| {
            phases
                .iter()
                .position(|phase| phase.name.as_ref() == name)
                .filter(|i| *i < courses.len())
        };
        let places = self.phases.iter().zip(self.courses).map(of);
        places.zip(self.courses).filter_map(|(at, courses)| courses.get(at?)).collect()
    }

    /// The place of a mapping in a course.
    fn group(&self, run: usize, course: &Course, mapping: usize) -> Option<usize> {
        let of = self.matching.of.get(run)?;
        course.groups.iter().position(|(id, _)| of.get(id) == Some(&mapping))
    }

    fn metrics(&self, history: Option<&History>, options: &Options) -> Vec<Compared> {
        let mut wanted: Vec<(Metric, Option<usize>)> = Vec::new();
        for phase in self.phases.first().into_iter().flatten() {
            let phase = || phase.name.clone();
            wanted.extend(Metric::totals().map(|(measure, statistic)| {
                (Metric { phase: phase(), mapping: None, measure, statistic }, None)
            }));
            for (index, id) in self.matching.mappings.iter().enumerate() {
                let label = id.label();
                wanted.extend(Metric::of_mappings().map(|(measure, statistic)| {
                    let mapping = Some(label.clone());
                    (Metric { phase: phase(), mapping, measure, statistic }, Some(index))
                }));
            }
        }
        let one = |(metric, mapping)| self.compared(metric, mapping, history, options);
        wanted.into_par_iter().flat_map_iter(one).collect()
    }

    /// One metric, by each rule that is about it; nothing where not all runs have it.
    fn compared(
        &self,
        metric: Metric,
        mapping: Option<usize>,
        history: Option<&History>,
        options: &Options,
    ) -> Vec<Compared> {
        let Some(told) = self.told(metric, mapping, history, options) else { return Vec::new() };
        let about = options.rules.iter().filter(|rule| rule.metrics.matches(&told.metric));
        let gated: Vec<Compared> = about
            .map(|Rule { threshold, text, .. }| Compared {
                limit: threshold.bytes(told.base_mean),
                threshold: *threshold,
                rule: Some(text.clone()),
                ..told.clone()
            })
            .collect();
        if gated.is_empty() { vec![told] } else { gated }
    }

    /// One metric without a rule.
    fn told(
        &self,
        metric: Metric,
        mapping: Option<usize>,
        history: Option<&History>,
        options: &Options,
    ) -> Option<Compared> {
        let Metric { measure, statistic, .. } = metric;
        let courses = self.of_phase(metric.phase.as_ref());
        let groups: Vec<Option<usize>> = match mapping {
            None => Vec::new(),
            Some(index) => {
                courses.iter().enumerate().map(|(run, c)| self.group(run, c, index)).collect()
            }
        };
        let value = |(run, course): (usize, &&Course)| match mapping {
            None => values::total(course, measure, statistic),
            Some(_) => values::of_group(course, groups.get(run).copied().flatten(), measure),
        };
        let all: Option<Vec<f64>> = courses.iter().enumerate().map(value).collect();
        let all = all.filter(|all| all.len() == self.courses.len())?;
        let (base, new) = all.split_at(self.base);
        let parts = courses.iter().map(|course| values::parts(course)).min().unwrap_or(0);
        let levels = |(run, course): (usize, &&Course)| {
            let levels: Option<&[Levels]> = if mapping.is_none() {
                Some(&course.total)
            } else {
                let group = groups.get(run).copied().flatten();
                group.and_then(|g| course.groups.get(g)).map(|(_, levels)| levels.as_slice())
            };
            values::series(course, levels, measure, parts)
        };
        let series: Vec<Vec<f64>> = courses.iter().enumerate().map(levels).collect();
        let mut within = within(&series, statistic);
        let of_sampling = measure == Measure::Expected && mapping.is_none();
        if of_sampling && statistic == Statistic::Mean {
            let known = courses.iter().map(|c| c.sampling_sd * c.sampling_sd).sum::<f64>();
            within = within.max(known / float_of(courses.len()).max(1.0));
        }
        if measure == Measure::Volume {
            // As sure as the mean of what it adds up.
            let mean = series.iter().map(|run| noise::mean(run)).sum::<f64>();
            let mean = mean / float_of(series.len()).max(1.0);
            let volume = noise::mean(&all);
            within *= if mean > 0.0 { (volume / mean) * (volume / mean) } else { 0.0 };
        }
        let (base_mean, new_mean) = (noise::mean(base), noise::mean(new));
        let assumed = options.run_noise * base_mean.abs().max(new_mean.abs());
        let prior = match history.and_then(|history| history.variance(&metric)) {
            Some((variance, freedom)) => {
                Prior { variance, freedom: float_of(freedom), source: PriorSource::History }
            }
            None => Prior {
                variance: within + assumed * assumed,
                freedom: options.run_noise_freedom,
                source: PriorSource::Assumed,
            },
        };
        let difference = Difference::of(base, new, &prior);
        let reach = difference.reach(options.certainty.misses);
        let few = parts < noise::FEWEST;
        let threshold = options.otherwise;
        let least = courses.iter().map(|course| course.moments.len()).min().unwrap_or(0);
        Some(Compared {
            base: base.to_vec(),
            new: new.to_vec(),
            base_mean,
            new_mean,
            change: difference.change,
            relative: (base_mean.abs() > 0.0).then(|| difference.change / base_mean.abs()),
            low: difference.change - reach,
            high: difference.change + reach,
            p: difference.p,
            limit: threshold.bytes(base_mean),
            threshold,
            rule: None,
            verdict: Verdict::Inconclusive,
            reason: few.then(|| {
                format!(
                    "a recording has {least} aggregations in its part, or gaps; without gaps {} are the least",
                    noise::FEWEST
                )
            }),
            runs_needed: None,
            longer: None,
            noise: Noise {
                within: within.sqrt(),
                prior,
                run: difference.run_sd,
                freedom: difference.freedom,
            },
            metric,
        })
    }

    fn runs(&self, all: &[&Recording], settings: Vec<Setting>, metrics: &[Compared]) -> Vec<Run> {
        let values = |run: usize| {
            let value = |m: &Compared| m.base.iter().chain(&m.new).nth(run).copied();
            metrics.iter().filter_map(|m| Some((m.metric.to_string(), value(m)?))).collect()
        };
        let of = |(run, (recording, setting)): (usize, (&&Recording, Setting))| Run {
            name: recording.trace.name().to_owned(),
            setting,
            mean_sample_us: alike::mean_sample_us(&recording.view.overview),
            phases: self.phases.get(run).cloned().unwrap_or_default(),
            moments: self.courses.get(run).into_iter().flatten().map(|c| c.moments.len()).collect(),
            values: values(run),
        };
        all.iter().zip(settings).enumerate().map(of).collect()
    }

    fn unmatched(&self) -> Vec<Unmatched> {
        let mut list = Vec::new();
        for (index, id) in self.matching.mappings.iter().enumerate() {
            let has = |run: &BTreeMap<MappingId, usize>| run.values().any(|at| *at == index);
            let base = self.matching.of.iter().take(self.base).filter(|run| has(run)).count();
            let new = self.matching.of.iter().skip(self.base).filter(|run| has(run)).count();
            if base > 0 && new > 0 {
                continue;
            }
            let sizes: Vec<f64> = (0..self.courses.len())
                .filter(|run| self.matching.of.get(*run).is_some_and(&has))
                .map(|run| self.size(run, index))
                .collect();
            let size = noise::mean(&sizes);
            list.push(Unmatched { label: id.label(), mapping: id.clone(), base, new, size });
        }
        list.sort_by(|a, b| b.size.total_cmp(&a.size).then_with(|| a.mapping.cmp(&b.mapping)));
        list
    }

    /// Mean size of a mapping over the phases of a run.
    fn size(&self, run: usize, mapping: usize) -> f64 {
        let Some(courses) = self.courses.get(run) else { return 0.0 };
        let of = |course| values::of_group(course, self.group(run, course, mapping), Measure::Size);
        let sizes: Vec<f64> = courses.iter().filter_map(of).collect();
        noise::mean(&sizes)
    }
}

/// Mean over the runs of the variance of a run's value by noise within it.
fn within(series: &[Vec<f64>], statistic: Statistic) -> f64 {
    let residuals = noise::residuals(series);
    let common = noise::common(series);
    let block = noise::block_length(&residuals);
    let of = |(seed, residual): (usize, &Vec<f64>)| {
        noise::variance_of(statistic, &common, residual, block, seed as u64)
    };
    noise::mean(&residuals.iter().enumerate().map(of).collect::<Vec<f64>>())
}

/// Gives verdicts, gated metrics first: what is significant depends on how many were looked at, and nobody's alarm
/// should depend on what is only told.
fn judge(metrics: &mut [Compared], certainty: &Certainty) {
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

fn why_nothing(rule: &Rule) -> String {
    match (&rule.metrics.phase, &rule.metrics.mapping, rule.metrics.measure) {
        (Some(phase), ..) => format!("no phase is called {phase} (phases need --align marks)"),
        (None, Some(mapping), _) => format!("no mapping is called {mapping}"),
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

impl Comparison {
    /// The entries by which a side goes into a history.
    pub fn entries(runs: &[Run]) -> impl Iterator<Item = Entry> {
        runs.iter().map(|run| Entry {
            version: HISTORY_VERSION,
            name: run.name.clone(),
            setting: run.setting.clone(),
            values: run.values.clone(),
        })
    }
}
