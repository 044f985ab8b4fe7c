//! How much depends on the exact value of each swept number: what a quarter more or less of it does.

use super::{Axes, Axis, Parameter, Ran, Value, Variant};
use crate::analysis::num::float;
use crate::analysis::simulate::SimulateError;
use crate::analysis::simulate::plan::{attrs, check_units};
use crate::analysis::view::View;
use damon_format::damos::Schemes;
use serde::Serialize;

/// By so much values are changed.
const SHIFT: f64 = 0.25;

/// What the surroundings of one variant look like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AroundVariant {
    /// Its position.
    pub variant: usize,
    /// In the order of the axes, without those whose value has no quarter, like 0 or no limit.
    pub axes: Vec<OfAxis>,
}

/// What one number does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfAxis {
    /// Of which scheme.
    pub scheme: usize,
    /// Which.
    pub parameter: Parameter,
    /// Its value here.
    pub value: Value,
    /// With a quarter less; none where that means nothing.
    pub lower: Option<Shifted>,
    /// With a quarter more.
    pub higher: Option<Shifted>,
    /// Change of the saving by change of the value, both as shares: `(s(1.25 x) - s(0.75 x)) / s(x)` by `(u(1.25 x) - u(0.75 x)) / u(x)`,
    /// where `u` is what a value comes to in the units of the recording (half of the shift where nothing is rounded). None
    /// without both values, where both are the same in these units, or without saving.
    pub saving_elasticity: Option<f64>,
    /// The same of the promotion rate.
    pub promotion_elasticity: Option<f64>,
}

/// A variant with one other value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Shifted {
    /// The other value.
    pub value: Value,
    /// It is no other in the units of the recording.
    pub same: bool,
    /// Mean of the bytes away, as expected.
    pub saving: f64,
    /// Refaulted bytes per minute in per cent of the working set, as expected.
    pub promotion_percent: f64,
}

/// Simulates the neighbours of some variants in one pass.
pub(super) fn around(
    ran: &Ran<'_>,
    view: &View,
    base: &Schemes,
    axes: &Axes,
    variants: &[Variant],
    around: &[usize],
) -> Result<Vec<AroundVariant>, SimulateError> {
    let (mut values, mut schemes): (Vec<Vec<Value>>, Vec<Schemes>) = (Vec::new(), Vec::new());
    // Which variant, which axis, below or above.
    let mut asked: Vec<(usize, usize, bool)> = Vec::new();
    for variant in around {
        let Some(centre) = variants.get(*variant) else { continue };
        values.push(centre.values.clone());
        schemes.extend(axes.schemes(base, &centre.values).map(|s| ran.plan.as_simulated(s)));
        asked.push((*variant, usize::MAX, false));
        for (axis, value) in centre.values.iter().enumerate() {
            for (above, factor) in [(false, 1.0 - SHIFT), (true, 1.0 + SHIFT)] {
                let mut shifted = centre.values.clone();
                let (Some(new), Some(place)) = (value.scaled(factor), shifted.get_mut(axis)) else {
                    continue;
                };
                *place = new;
                let new = axes.schemes(base, &shifted).map(|s| ran.plan.as_simulated(s));
                if let Some(new) = new.filter(|new| check_units(new, view).is_ok()) {
                    values.push(shifted);
                    schemes.push(new);
                    asked.push((*variant, axis, above));
                }
            }
        }
    }
    if asked.len() <= around.len() {
        return Ok(Vec::new());
    }
    let (found, _) = ran.variants(values, &schemes)?;
    let neighbour = |variant: usize, axis: usize, above: bool| {
        let at = asked.iter().position(|one| *one == (variant, axis, above))?;
        let centre = asked.iter().position(|one| *one == (variant, usize::MAX, false))?;
        let first = |at: usize| found.get(at).map(|one: &Variant| one.same_as.unwrap_or(at));
        let one = found.get(at).filter(|one| !one.too_short)?;
        Some(Shifted {
            value: *one.values.get(axis)?,
            same: first(at) == first(centre),
            saving: one.away.mean.expected,
            promotion_percent: one.promotion_percent.expected,
        })
    };
    let of_variant = |variant: usize| {
        let centre = variants.get(variant)?;
        let list = axes.as_slice().iter().zip(&centre.values).enumerate();
        let list = list.filter_map(|(index, (axis, value))| {
            let (lower, higher) =
                (neighbour(variant, index, false), neighbour(variant, index, true));
            if lower.is_none() && higher.is_none() {
                return None;
            }
            let units = |value: Value| {
                let mut values = centre.values.clone();
                *values.get_mut(index)? = value;
                units(view, &axes.schemes(base, &values)?, axis)
            };
            let shift = || {
                let (lower, higher) = (units(lower?.value)?, units(higher?.value)?);
                let here = units(*value).filter(|here| *here > 0.0)?;
                Some((higher - lower) / here).filter(|shift| *shift > 0.0)
            };
            let shift = shift();
            let elasticity = |here: f64, of: fn(&Shifted) -> f64| {
                let (lower, higher) = lower.as_ref().zip(higher.as_ref())?;
                let shift = shift.filter(|_| here > 0.0)?;
                Some((of(higher) - of(lower)) / here / shift)
            };
            Some(OfAxis {
                scheme: axis.scheme,
                parameter: axis.parameter,
                value: *value,
                saving_elasticity: elasticity(centre.away.mean.expected, |s| s.saving),
                promotion_elasticity: elasticity(centre.promotion_percent.expected, |s| {
                    s.promotion_percent
                }),
                lower,
                higher,
            })
        });
        Some(AroundVariant { variant, axes: list.collect() })
    };
    Ok(around.iter().filter_map(|variant| of_variant(*variant)).collect())
}

/// What the value of an axis is in the units of the recording's first intervals.
fn units(view: &View, schemes: &Schemes, axis: &Axis) -> Option<f64> {
    let sampling = view.overview.samplings.first()?;
    let list = schemes.to_kernel(&attrs(sampling.sample_us, sampling.aggr_us)).ok()?;
    list.get(axis.scheme).map(|scheme| float(axis.parameter.of(scheme, sampling.aggr_us)))
}
