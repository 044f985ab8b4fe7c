//! What comes of a comparison, as plain data.

use super::alike::Setting;
use super::ended::is_failure;
use super::evidence::Prior;
use super::history::{Entry, HISTORY_VERSION, MEASURED_BY, Measured};
use super::metric::{Metric, Statistic};
use super::phases::{self, Align, Phase};
use super::verdict::{Certainty, Threshold, Verdict};
use crate::analysis::groups::{GroupBy, MappingId};
use serde::Serialize;
use std::collections::BTreeMap;

/// A recording that took part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its file.
    pub name: String,
    /// How it was recorded.
    pub setting: Setting,
    /// Whether its intervals were guessed when it was imported, because the recording of another tool did not tell them.
    pub intervals_guessed: bool,
    /// Mean sampling interval, as it was on the way, microseconds.
    pub mean_sample_us: Option<f64>,
    /// How the program ended, as `waitpid` tells it; none where nobody saw it.
    pub wait_status: Option<i32>,
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
    pub longer: Option<u32>,
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
    /// How finely mappings were told apart.
    pub group_by: GroupBy,
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

impl Comparison {
    /// The entries by which runs of a side go into a history. Of runs that failed where others did not, nothing can be learnt. Totals
    /// are for the usual length of this base; the history has them by second, so that it means the same to every other base.
    pub fn entries<'a>(&'a self, runs: &'a [Run]) -> impl Iterator<Item = Entry> + 'a {
        let Self { align, hot, idle_ns, group_by, .. } = *self;
        let all = || self.base.iter().chain(&self.new).map(|run| run.wait_status);
        let alike = all().next().is_none_or(|first| all().all(|other| other == first));
        let totals = self.metrics.iter().map(|m| &m.metric);
        let totals = totals.filter(|metric| metric.statistic == Statistic::Total);
        let seconds = |metric: &Metric| {
            let base = self.base.iter().map(|run| run.phases.as_slice());
            phases::usual_ns(base, metric.phase.as_ref()) / 1e9
        };
        let seconds: BTreeMap<String, f64> =
            totals.map(|metric| (metric.to_string(), seconds(metric))).collect();
        let values = move |run: &Run| {
            let value = |(name, value): (&String, &f64)| {
                let value = match seconds.get(name) {
                    Some(seconds) if *seconds > 0.0 => value / seconds,
                    Some(_) => return None,
                    None => *value,
                };
                Some((name.clone(), value))
            };
            run.values.iter().filter_map(value).collect()
        };
        let usable = runs.iter().filter(move |run| alike || !is_failure(run.wait_status));
        usable.map(move |run| Entry {
            version: HISTORY_VERSION,
            name: run.name.clone(),
            setting: run.setting.clone(),
            measured: Measured { by: MEASURED_BY, align, hot, idle_ns, group_by },
            values: values(run),
        })
    }
}
