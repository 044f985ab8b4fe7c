//! What-if: schemes applied to a recording as the kernel would have applied them, and what would have come of it.
//!
//! The rules are the kernel's ([`damon_format::damos::rules`]), the same that apply schemes from user space. Here the world that
//! acts only keeps account:
//!
//! * [`Plan`] says before anything is read what cannot be simulated, and on what assumptions the rest rests;
//! * the engine goes over the recording moment by moment, with the ages that regions would have;
//! * what was put away is followed until it is accessed, under three readings of the recording ([`Outlook`]).
//!
//! `docs/WHAT-IF.md` tells what the numbers mean.

mod ages;
mod away;
mod backing;
mod by_mapping;
mod comes_back;
mod costs;
pub mod emit;
mod engine;
mod feed;
mod field;
mod grain;
mod huge;
mod line;
mod once;
mod outlook;
mod plan;
mod populated;
mod presets;
mod scales;
mod series;
pub mod sweep;
mod tier_curve;
mod tiers;

pub use by_mapping::MappingOutcome;
pub use grain::{FEW_SAMPLES, Granularity, LARGE, SizeShare};
pub use huge::HugeOutcome;
pub use line::{LinePoint, WorstMinute};
pub use once::{Viewed, at_once};
pub use outlook::Outlook;
pub use plan::{Options, Plan, SimulateError};
pub use presets::{PRESETS, Preset, TIER_OF_A_SIZE, preset};
pub use tier_curve::CurvePoint;
pub use tiers::{Level, Served, TierOutcome};

use super::groups::GroupBy;
use super::load::Trace;
use super::num::float;
use damon_format::damos::kernel::{Action, Scheme};
use damon_format::damos::rules::{KernelRules, SchemeState, Stats};
use damon_format::{SchemeApplied, SchemeStats};
use engine::{Ended, Engine};
use feed::Source;
use grain::per_day;
use huge::Huge;
use line::share;
use serde::Serialize;
use tiers::Tiers;

/// Promotions above this share of the working set per minute are felt, per cent (Google's limit for far memory).
pub const PROMOTION_LIMIT_PERCENT: f64 = 0.2;

/// On which side of a limit a number lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Not above it, under each reading.
    Below,
    /// The readings disagree.
    Unsure,
    /// Above it, under each reading.
    Above,
}

impl Verdict {
    fn of(number: Outlook, limit: f64) -> Self {
        let readings = [number.optimistic, number.expected, number.pessimistic];
        match readings.into_iter().filter(|reading| *reading > limit).count() {
            0 => Self::Below,
            3 => Self::Above,
            _ => Self::Unsure,
        }
    }
}

/// What is collected of a scheme on the way.
#[derive(Clone, Debug, Default)]
struct SchemeSum {
    passes: u64,
    passes_full: u64,
    eligible: f64,
    skipped: f64,
    skipped_most: u64,
    /// byte ns
    unknown: f64,
    off_ns: u64,
    tried_since_begin: u64,
    put_away: Outlook,
    brought_back: Outlook,
}

/// What one scheme would have done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SchemeOutcome {
    /// The scheme in the kernel's units, as last in force.
    pub scheme: Scheme,
    /// Its statistics by the kernel's names, at the end.
    pub stats: SchemeStats,
    /// How often it was applied.
    pub passes: u64,
    /// Windows of its quota that ended.
    pub windows: u64,
    /// Share of these that had used up the quota; none without windows.
    pub windows_limited: Option<f64>,
    /// Share of passes at whose end nothing more was allowed in the window.
    pub passes_limited: f64,
    /// Mean over the passes of the bytes that match its pattern.
    pub eligible: f64,
    /// Mean over the passes of the bytes that match and were not tried: for the quota, priorities, filters, or a window that
    /// went on after them.
    pub skipped: f64,
    /// Most in one pass.
    pub skipped_most: u64,
    /// Share of the observed time for which watermarks had it off.
    pub off: f64,
    /// Share of the tried bytes whose age reaches back to the start of the recording: how old they are is known from the
    /// age alone.
    pub tried_since_begin: f64,
    /// Mean over time of the bytes that would match if they were older, and may be: their age began with the recording.
    pub unknown: f64,
    /// Bytes that it put away.
    pub put_away: Outlook,
    /// Bytes that it brought back.
    pub brought_back: Outlook,
}

/// Bytes over time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AwayBytes {
    /// Mean over time.
    pub mean: Outlook,
    /// Most at the end of an aggregation.
    pub most: Outlook,
    /// At the end of the recording.
    pub end: Outlook,
}

/// Resident sizes with and without the schemes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ResidentBytes {
    /// Mean over time as recorded.
    pub recorded: f64,
    /// Mean over time of what would be left.
    pub left: Outlook,
    /// The least that would be left.
    pub floor: Outlook,
}

/// What schemes would have done, and what would have come of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Simulation {
    /// By whose rules.
    pub rules: KernelRules,
    /// On what this rests.
    pub assumptions: Vec<String>,
    /// What speaks against believing it.
    pub warnings: Vec<String>,
    /// Time that was looked at, nanoseconds.
    pub observed_ns: u64,
    /// Aggregations.
    pub moments: u64,
    /// Snapshots that were left out, because they have no ages.
    pub without_ages: u64,
    /// Mean over time of the monitored bytes.
    pub monitored: f64,
    /// Mean over time of the bytes in regions that were accessed in an aggregation.
    pub working_set: f64,
    /// By scheme.
    pub schemes: Vec<SchemeOutcome>,
    /// Bytes away.
    pub away: AwayBytes,
    /// Resident sizes; none where no memory was recorded.
    pub resident: Option<ResidentBytes>,
    /// Bytes that were put away.
    pub put_away: Outlook,
    /// Bytes that schemes brought back before they were accessed, or because of that.
    pub brought_back: Outlook,
    /// Bytes that were accessed while they were away.
    pub refaulted: Outlook,
    /// Pieces of which a page or more is expected to have come back, in an aggregation.
    pub refaults: u64,
    /// [`refaulted`](Self::refaulted) per minute in per cent of the working set.
    pub promotion_percent: Outlook,
    /// The limit it is compared with.
    pub promotion_limit_percent: f64,
    /// On which side of it.
    pub promotion_verdict: Verdict,
    /// The minute in which most came back.
    pub worst_minute: Option<WorstMinute>,
    /// Bytes put away per second.
    pub out_per_second: Outlook,
    /// Bytes refaulted per second.
    pub in_per_second: Outlook,
    /// Bytes that `pageout` puts away in a day: what is written to swap at most, because pages that were written out
    /// before and not changed since, and clean pages of files, are not written.
    pub paged_out_per_day: Option<Outlook>,
    /// What the size of regions and the number of samples add to the uncertainty; none where nothing was put away.
    pub granularity: Option<Granularity>,
    /// How finely mappings are told apart.
    pub group_by: GroupBy,
    /// Whose memory was put away, most first; means, put away and refaulted bytes add up to those above.
    pub by_mapping: Vec<MappingOutcome>,
    /// Fast and slow memory; none where no scheme migrates, and nobody asked.
    pub tiers: Option<TierOutcome>,
    /// Huge pages; none where no scheme is about them.
    pub huge: Option<HugeOutcome>,
    /// The course of it.
    pub line: Vec<LinePoint>,
    /// Regions to which schemes were applied, if that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub applied: Vec<SchemeApplied>,
}

impl Plan<'_> {
    /// Goes over the recording.
    pub fn run(&self, trace: &Trace) -> Result<Simulation, SimulateError> {
        let mut engine: Option<Engine<'_>> = None;
        let fed = Source::of(self, trace).feed(|batch| {
            for moment in batch.moments() {
                let new = || Engine::new(self, &self.schemes, moment.sampling());
                engine.get_or_insert_with(new).step(&moment);
            }
        });
        fed.is_whole()?;
        match engine {
            Some(engine) => simulation(self, engine.end(), fed.without_ages),
            None => Err(SimulateError::NoAges),
        }
    }
}

fn simulation(
    plan: &Plan<'_>,
    ended: Ended,
    without_ages: u64,
) -> Result<Simulation, SimulateError> {
    let Ended {
        operation,
        sums,
        totals,
        aggr_us,
        line,
        minutes,
        applied,
        book,
        grain,
        tiers,
        huge,
    } = ended;
    let last_ns = line.last().map_or(0, |point| point.end_ns);
    let lasts_us = last_ns.saturating_sub(plan.origin_ns) / 1000;
    let time = float(totals.observed_ns.max(1));
    let mut warnings = plan.warnings.clone();
    let mut too_short = Vec::new();
    let mut schemes = Vec::with_capacity(sums.len());
    for (index, (state, sum)) in operation.schemes().iter().zip(sums).enumerate() {
        let scheme = state.scheme();
        let asked_us = u64::from(scheme.age.min).saturating_mul(aggr_us);
        if asked_us > lasts_us && asked_us > totals.highest_age_us {
            too_short.push(asked_us);
            warnings.push(format!(
                "schemes[{index}]: asks for an age of {} s; the recording lasts {} s and says nothing about that",
                seconds(asked_us),
                seconds(lasts_us)
            ));
        }
        schemes.push(scheme_outcome(index, state, &sum, time, last_ns));
    }
    if too_short.len() == schemes.len()
        && let Some(asked_us) = too_short.iter().min()
    {
        return Err(SimulateError::TooShort {
            lasts: seconds(lasts_us),
            asked: seconds(*asked_us),
        });
    }
    if without_ages > 0 {
        warnings.push(format!("{without_ages} snapshots have no ages and are left out"));
    }
    let mean = |sum: Outlook| sum.map(|sum| sum / time);
    let working_set = totals.touched / time;
    let per_second = |bytes: Outlook| bytes.map(|bytes| bytes * 1e9 / time);
    let resident_time = float(totals.resident_ns.max(1));
    let promotion_percent =
        per_second(totals.refaulted).map(|bytes| share(bytes * 60.0, working_set) * 100.0);
    let pageouts = schemes.iter().filter(|one| one.scheme.action == Action::Pageout);
    let paged_out = pageouts.map(|one| one.put_away).reduce(|a, b| a.with(b, |a, b| a + b));
    let paged_out_per_day = paged_out.map(|bytes| per_second(bytes).map(per_day));
    Ok(Simulation {
        rules: plan.rules,
        assumptions: plan.assumptions.clone(),
        warnings,
        observed_ns: totals.observed_ns,
        moments: totals.moments,
        without_ages,
        monitored: totals.monitored / time,
        working_set,
        schemes,
        away: AwayBytes { mean: mean(totals.away), most: totals.away_most, end: totals.away_end },
        resident: totals.resident_floor.map(|floor| ResidentBytes {
            recorded: totals.resident / resident_time,
            left: totals.resident_with.map(|sum| sum / resident_time),
            floor,
        }),
        put_away: totals.put_away,
        brought_back: totals.brought_back,
        refaulted: totals.refaulted,
        refaults: totals.refaults,
        promotion_percent,
        promotion_verdict: Verdict::of(promotion_percent, PROMOTION_LIMIT_PERCENT),
        promotion_limit_percent: PROMOTION_LIMIT_PERCENT,
        worst_minute: minutes.worst(working_set),
        out_per_second: per_second(totals.put_away),
        in_per_second: per_second(totals.refaulted),
        paged_out_per_day,
        granularity: grain.finish(plan.exact),
        group_by: plan.options.group_by,
        by_mapping: book.finish(plan.layouts.groups()),
        tiers: tiers.map(Tiers::finish),
        huge: huge.map(Huge::finish),
        line,
        applied,
    })
}

/// What one scheme has done in `time` nanoseconds.
fn scheme_outcome(
    index: usize,
    state: &SchemeState,
    sum: &SchemeSum,
    time: f64,
    last_ns: u64,
) -> SchemeOutcome {
    let (stats, scheme): (&Stats, _) = (state.stats(), state.scheme());
    let passes = float(sum.passes.max(1));
    let windows = state.account().windows();
    let record = stats.record(last_ns, u32::try_from(index).unwrap_or(u32::MAX));
    SchemeOutcome {
        scheme: scheme.clone(),
        stats: record,
        passes: sum.passes,
        windows,
        windows_limited: (windows > 0).then(|| float(stats.qt_exceeds) / float(windows)),
        passes_limited: float(sum.passes_full) / passes,
        eligible: sum.eligible / passes,
        skipped: sum.skipped / passes,
        skipped_most: sum.skipped_most,
        off: float(sum.off_ns) / time,
        tried_since_begin: share(float(sum.tried_since_begin), float(stats.sz_tried)),
        unknown: sum.unknown / time,
        put_away: sum.put_away,
        brought_back: sum.brought_back,
    }
}

/// Whether an action leaves a trace in the [bytes away](Simulation::away).
pub fn moves_memory(action: Action) -> bool {
    plan::Effect::of(action) != plan::Effect::None
}

fn seconds(us: u64) -> String {
    format!("{}", float(us / 1000) / 1000.0)
}
