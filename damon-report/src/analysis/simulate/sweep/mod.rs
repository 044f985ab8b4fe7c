//! Many variants of schemes on one recording: which are worth a thought, and how much depends on what.
//!
//! Variants that differ in the least age of one scheme alone, and are not held back by a quota, a filter or watermarks, go over
//! the recording together (`bundle`); all others have an engine each. Both give the same results.

mod axes;
mod bundle;
mod found;
mod front;
mod pieces;
mod restarts;
mod run;
mod sensitivity;
mod tally;
mod value;

pub use axes::{Axes, AxesError, Axis, MOST_VARIANTS};
pub use front::Reason;
pub use sensitivity::{AroundVariant, OfAxis, Shifted};
pub use value::{Parameter, Unit, Value};

use super::engine::in_units;
use super::line::share;
use super::plan::{attrs, check_units};
use super::{
    AwayBytes, Options, Outlook, PROMOTION_LIMIT_PERCENT, Plan, ResidentBytes, SimulateError,
    WorstMinute, seconds,
};
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::view::View;
use damon_format::Sampling;
use damon_format::damos::Schemes;
use damon_format::damos::kernel;
use damon_format::damos::rules::KernelRules;
use found::{Found, Shared};
use front::Point;
use serde::Serialize;
use std::collections::HashMap;

/// What one variant would have come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Variant {
    /// Its values, one an axis.
    pub values: Vec<Value>,
    /// The variant of which it is the same with the recording's intervals, and whose results these are.
    pub same_as: Option<usize>,
    /// It asks for an age that the recording says nothing about: nothing is not an answer.
    pub too_short: bool,
    /// Bytes away.
    pub away: AwayBytes,
    /// Mean of the bytes away, in per cent of the resident size where that was recorded, of what was monitored otherwise.
    pub saved_percent: Outlook,
    /// What is left of the resident size.
    pub resident: Option<ResidentBytes>,
    /// Bytes put away.
    pub put_away: Outlook,
    /// Bytes that were accessed while they were away.
    pub refaulted: Outlook,
    /// The same per minute in per cent of the working set.
    pub promotion_percent: Outlook,
    /// The minute in which most came back.
    pub worst_minute: Option<WorstMinute>,
    /// Regions tried, all schemes together.
    pub nr_tried: u64,
    /// Bytes tried, all schemes together.
    pub sz_tried: u64,
    /// Windows of quotas that ended.
    pub windows: u64,
    /// Those of them that had used up the quota.
    pub qt_exceeds: u64,
}

impl Variant {
    fn point(&self) -> Option<Point> {
        let point =
            Point { saving: self.away.mean.expected, promotion: self.promotion_percent.expected };
        (!self.too_short).then_some(point)
    }
}

/// A variant that cannot be simulated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LeftOut {
    /// Its values, one an axis.
    pub values: Vec<Value>,
    /// Why.
    pub why: String,
}

/// The variant to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// Its position.
    pub variant: usize,
    /// Why this one.
    pub why: Reason,
}

/// All variants and what follows from them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    /// By whose rules.
    pub rules: KernelRules,
    /// On what this rests.
    pub assumptions: Vec<String>,
    /// What speaks against believing it.
    pub warnings: Vec<String>,
    /// What was varied.
    pub axes: Axes,
    /// Time that was looked at, nanoseconds.
    pub observed_ns: u64,
    /// Aggregations.
    pub moments: u64,
    /// Mean over time of the monitored bytes.
    pub monitored: f64,
    /// Mean over time of the bytes in regions that were accessed in an aggregation.
    pub working_set: f64,
    /// Mean over time of the resident size; none where no memory was recorded.
    pub resident: Option<f64>,
    /// In the order of the axes, the last one fastest, without those left out.
    pub variants: Vec<Variant>,
    /// Those that cannot be simulated.
    pub left_out: Vec<LeftOut>,
    /// Positions of the variants than which no other saves as much with fewer promotions; ascending in both.
    pub front: Vec<usize>,
    /// Where on the front more saving begins to cost much more.
    pub knee: Option<usize>,
    /// The one to take; none where nothing is saved.
    pub choice: Option<Choice>,
    /// Promotions above are felt, per cent of the working set a minute.
    pub promotion_limit_percent: f64,
    /// What a quarter more or less of each value does, around the choice and the knee.
    pub sensitivity: Vec<AroundVariant>,
}

/// The variants that can be simulated.
struct Ready {
    values: Vec<Vec<Value>>,
    schemes: Vec<Schemes>,
    left_out: Vec<LeftOut>,
}

impl Sweep {
    /// Simulates all variants of `base`.
    pub fn run(
        trace: &Trace,
        view: &View,
        base: &Schemes,
        axes: Axes,
        options: &Options,
    ) -> Result<Self, SimulateError> {
        Self::by(trace, view, base, axes, options, true)
    }

    /// The same, each variant by an engine of its own: slower.
    pub fn run_one_by_one(
        trace: &Trace,
        view: &View,
        base: &Schemes,
        axes: Axes,
        options: &Options,
    ) -> Result<Self, SimulateError> {
        Self::by(trace, view, base, axes, options, false)
    }

    fn by(
        trace: &Trace,
        view: &View,
        base: &Schemes,
        axes: Axes,
        options: &Options,
        bundles: bool,
    ) -> Result<Self, SimulateError> {
        let (plan, ready) = prepare(trace, view, base, &axes, options)?;
        let Ready { values, schemes, left_out } = ready;
        let ran = Ran { plan: &plan, trace, samplings: &view.overview.samplings, bundles };
        let (variants, shared) = ran.variants(values, &schemes)?;
        if shared.moments == 0 {
            return Err(SimulateError::NoAges);
        }
        if variants.iter().all(|variant| variant.too_short) {
            return Err(too_short(&plan, &schemes, &shared));
        }
        let points: Vec<Option<Point>> = variants
            .iter()
            .map(|variant| variant.point().filter(|_| variant.same_as.is_none()))
            .collect();
        let front = front::front(&points);
        let on_front: Vec<(usize, Point)> =
            front.iter().filter_map(|at| Some((*at, (*points.get(*at)?)?))).collect();
        let knee = front::knee(&on_front);
        let choice = front::choice(&on_front, knee, PROMOTION_LIMIT_PERCENT)
            .map(|(variant, why)| Choice { variant, why });
        let mut around: Vec<usize> = choice.iter().map(|choice| choice.variant).collect();
        around.extend(knee.filter(|knee| !around.contains(knee)));
        let sensitivity = sensitivity::around(&ran, view, base, &axes, &variants, &around)?;
        let mut warnings = plan.warnings.clone();
        warnings.extend(doubts(&variants, &shared, &plan));
        Ok(Self {
            rules: plan.rules,
            assumptions: plan.assumptions.clone(),
            warnings,
            axes,
            observed_ns: shared.observed_ns,
            moments: shared.moments,
            monitored: shared.monitored(),
            working_set: shared.working_set(),
            resident: shared.resident(),
            variants,
            left_out,
            front,
            knee,
            choice,
            promotion_limit_percent: PROMOTION_LIMIT_PERCENT,
            sensitivity,
        })
    }

    /// The schemes of a variant, ready to be applied.
    pub fn schemes(&self, base: &Schemes, variant: usize) -> Option<Schemes> {
        self.axes.schemes(base, &self.variants.get(variant)?.values)
    }
}

/// Separates what can be simulated from what cannot.
fn prepare<'v>(
    trace: &Trace,
    view: &'v View,
    base: &Schemes,
    axes: &Axes,
    options: &Options,
) -> Result<(Plan<'v>, Ready), SimulateError> {
    let mut ready = Ready { values: Vec::new(), schemes: Vec::new(), left_out: Vec::new() };
    let mut plan: Option<Plan<'v>> = None;
    for index in 0..axes.count() {
        let values = axes.values(index);
        let Some(schemes) = axes.schemes(base, &values) else { continue };
        let checked = check_units(&schemes, view).and_then(|()| {
            if let Some(plan) = &mut plan {
                return plan.check(&schemes, view);
            }
            plan = Some(Plan::new(trace, view, &schemes, options.clone())?);
            Ok(())
        });
        match checked {
            Ok(()) => {
                ready.values.push(values);
                ready.schemes.push(schemes);
            }
            // Whatever the values are.
            Err(error @ (SimulateError::NoAges | SimulateError::WriteOnly(_))) => {
                return Err(error);
            }
            Err(error) => ready.left_out.push(LeftOut { values, why: error.to_string() }),
        }
    }
    let Some(plan) = plan else {
        let why = ready.left_out.first().map(|one| one.why.clone()).unwrap_or_default();
        return Err(SimulateError::NoVariant { count: axes.count(), why });
    };
    ready.schemes = ready.schemes.into_iter().map(|schemes| plan.as_simulated(schemes)).collect();
    Ok((plan, ready))
}

/// Whoever simulates variants.
struct Ran<'a> {
    plan: &'a Plan<'a>,
    trace: &'a Trace,
    samplings: &'a [Sampling],
    bundles: bool,
}

impl Ran<'_> {
    /// Simulates variants, those that are the same only once.
    fn variants(
        &self,
        values: Vec<Vec<Value>>,
        schemes: &[Schemes],
    ) -> Result<(Vec<Variant>, Shared), SimulateError> {
        let mut first: HashMap<Vec<Vec<kernel::Scheme>>, usize> = HashMap::new();
        let mut distinct: Vec<&Schemes> = Vec::new();
        // The position among all of the first one like it, and its position among the distinct ones.
        let mut of: Vec<(usize, usize)> = Vec::with_capacity(schemes.len());
        for (index, one) in schemes.iter().enumerate() {
            let of_kernel =
                |s: &Sampling| one.to_kernel(&attrs(s.sample_us, s.aggr_us)).unwrap_or_default();
            let key = self.samplings.iter().map(of_kernel).collect();
            let same = *first.entry(key).or_insert(index);
            if same == index {
                of.push((index, distinct.len()));
                distinct.push(one);
            } else {
                of.push((same, of.get(same).map_or(0, |pair| pair.1)));
            }
        }
        let (found, shared) =
            run::run(self.plan, self.trace, self.samplings, &distinct, self.bundles)?;
        let variants = values.into_iter().zip(of).zip(schemes).enumerate();
        let variants = variants.map(|(index, ((values, (same, at)), schemes))| {
            let same_as = (same != index).then_some(same);
            let too_short = asked_us(self.plan, schemes, &shared) > known_us(self.plan, &shared);
            let found = found.get(at).cloned().unwrap_or_default();
            variant(values, same_as, too_short, &found, &shared)
        });
        Ok((variants.collect(), shared))
    }
}

fn variant(
    values: Vec<Value>,
    same_as: Option<usize>,
    too_short: bool,
    found: &Found,
    shared: &Shared,
) -> Variant {
    let mean = shared.mean(found.away);
    let whole = shared.resident().unwrap_or_else(|| shared.monitored());
    let working_set = shared.working_set();
    let resident_time = float(shared.resident_ns.max(1));
    let minutes = float(shared.observed_ns.max(1)) / 60e9;
    Variant {
        values,
        same_as,
        too_short,
        away: AwayBytes { mean, most: found.away_most, end: found.away_end },
        saved_percent: mean.map(|bytes| share(bytes, whole) * 100.0),
        resident: found.resident_floor.zip(shared.resident()).map(|(floor, recorded)| {
            let left = found.resident.map(|sum| sum / resident_time);
            ResidentBytes { recorded, left, floor }
        }),
        put_away: found.put_away,
        refaulted: found.refaulted,
        promotion_percent: found.refaulted.map(|bytes| share(bytes / minutes, working_set) * 100.0),
        worst_minute: found.worst_minute,
        nr_tried: found.nr_tried,
        sz_tried: found.sz_tried,
        windows: found.windows,
        qt_exceeds: found.qt_exceeds,
    }
}

/// The greatest age that the recording can tell anything about.
fn known_us(plan: &Plan<'_>, shared: &Shared) -> u64 {
    let lasts_us = shared.last_end_ns.saturating_sub(plan.origin_ns) / 1000;
    lasts_us.max(shared.highest_age_us)
}

/// The greatest least age that any of the schemes asks for.
/// The least age that the schemes ask for: with one that is younger there is something to see.
fn asked_us(plan: &Plan<'_>, schemes: &Schemes, shared: &Shared) -> u64 {
    let Some(sampling) = shared.sampling else { return 0 };
    let (list, _) = in_units(schemes, plan.page_size, sampling);
    let asked = list.iter().map(|s| u64::from(s.age.min).saturating_mul(sampling.aggr_us));
    asked.min().unwrap_or(0)
}

fn too_short(plan: &Plan<'_>, schemes: &[Schemes], shared: &Shared) -> SimulateError {
    let asked = schemes.iter().map(|schemes| asked_us(plan, schemes, shared)).min();
    let lasts_us = shared.last_end_ns.saturating_sub(plan.origin_ns) / 1000;
    SimulateError::TooShort { lasts: seconds(lasts_us), asked: seconds(asked.unwrap_or(0)) }
}

/// What speaks against some of the variants.
fn doubts(variants: &[Variant], shared: &Shared, plan: &Plan<'_>) -> Vec<String> {
    let mut doubts = Vec::new();
    let short = variants.iter().filter(|variant| variant.too_short).count();
    if short > 0 {
        doubts.push(format!(
            "{short} of {} variants ask for ages of more than {} s, about which the recording says nothing",
            variants.len(),
            seconds(known_us(plan, shared))
        ));
    }
    if shared.without_ages > 0 {
        doubts.push(format!("{} snapshots have no ages and are left out", shared.without_ages));
    }
    doubts
}
