//! Whether recordings can be compared at all.

use super::{CompareError, Options, Recording};
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::overview::Overview;
use damon_format::{AccessKind, Granularity, Record};
use serde::{Deserialize, Serialize};

/// How a recording was made, as far as it matters for its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// What was recorded: the name of the first target's executable, or its command name.
    pub program: String,
    /// Backend.
    pub backend: String,
    /// Which accesses it sees.
    pub access: String,
    /// What one observation stands for.
    pub granularity: String,
    /// Whether every page was looked at.
    pub exact: bool,
    /// Microseconds between samples.
    pub sample_us: u64,
    /// Microseconds of an aggregation.
    pub aggr_us: u64,
    /// Fewest regions.
    pub min_regions: u64,
    /// Most regions.
    pub max_regions: u64,
}

impl Setting {
    /// Of a trace.
    pub fn of(trace: &Trace, overview: &Overview) -> Self {
        let info = trace.info();
        let access: AccessKind = info.backend.access;
        let granularity: Granularity = info.backend.granularity;
        Self {
            program: program(overview),
            backend: info.backend.name.clone(),
            access: access.as_str().to_owned(),
            granularity: granularity.as_str().to_owned(),
            exact: info.backend.exact,
            sample_us: info.attrs.sample_us,
            aggr_us: info.attrs.aggr_us,
            min_regions: info.attrs.min_nr_regions.into(),
            max_regions: info.attrs.max_nr_regions.into(),
        }
    }

    /// In what two recordings differ so that their numbers do: what, one, and the other.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut list = Vec::new();
        let mut note = |what: &str, a: &str, b: &str| {
            if a != b {
                list.push(format!("{what} ({a}, {b})"));
            }
        };
        note("program", &self.program, &other.program);
        note("backend", &self.backend, &other.backend);
        note("kind of access", &self.access, &other.access);
        note("granularity", &self.granularity, &other.granularity);
        let how = |exact: bool| if exact { "every page" } else { "sampled" };
        note("pages looked at", how(self.exact), how(other.exact));
        let us = |us: u64| format!("{us} us");
        note("sampling interval", &us(self.sample_us), &us(other.sample_us));
        note("aggregation interval", &us(self.aggr_us), &us(other.aggr_us));
        let limits = |setting: &Self| format!("{} to {}", setting.min_regions, setting.max_regions);
        note("limits of regions", &limits(self), &limits(other));
        list
    }
}

/// Mean sampling interval, microseconds: a budget, or the kernel's tuning, stretches it on the way, and "accessed"
/// means *within one sampling interval*. None without snapshots.
pub(super) fn mean_sample_us(overview: &Overview) -> Option<f64> {
    let samples = overview.samplings.first()?.max_nr_accesses.max(1);
    let nominal_ns: f64 = overview.targets.iter().map(|t| float(t.nominal_ns)).sum();
    let snapshots: f64 = overview.targets.iter().map(|t| float(t.snapshots)).sum();
    (snapshots > 0.0).then(|| nominal_ns / snapshots / f64::from(samples) / 1000.0)
}

/// What was recorded first: the name of its executable without the folder (which differs between builds), or its
/// command name where that is not known.
fn program(overview: &Overview) -> String {
    let mut first = None;
    let mut name = String::new();
    for record in &overview.records {
        let (target, exe, comm) = match record {
            Record::TargetStarted(t) => (t.target, &t.exe, &t.comm),
            Record::TargetExecuted(t) => (t.target, &t.exe, &t.comm),
            _ => continue,
        };
        if *first.get_or_insert(target) == target {
            let file = exe.rsplit('/').next().unwrap_or_default();
            (if file.is_empty() { comm } else { file }).clone_into(&mut name);
        }
    }
    name
}

/// How recordings were made; an error where they differ so that they cannot be compared.
pub(super) fn alike(
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
pub(super) fn stretched(
    all: &[&Recording],
    options: &Options,
    warnings: &mut Vec<String>,
) -> Option<String> {
    let means =
        all.iter().filter_map(|r| Some((mean_sample_us(&r.view.overview)?, r.trace.name())));
    let least = means.clone().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let most = means.max_by(|a, b| a.0.total_cmp(&b.0))?;
    if most.0 <= least.0 * MOST_STRETCHED {
        return None;
    }
    let ms = |us: f64| format!("{:.1} ms", us / 1000.0);
    let what = format!(
        "sampling intervals differ: {} in {}, {} in {} (means)",
        ms(least.0),
        least.1,
        ms(most.0),
        most.1
    );
    if options.allow_different {
        warnings.push(what);
        return None;
    }
    let remedy = "record with the same fixed intervals and without a budget, or compare all the same with --allow-different";
    Some(format!("{what}; {remedy}"))
}
