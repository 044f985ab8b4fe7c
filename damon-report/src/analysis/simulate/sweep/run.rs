//! Going over the recording with all variants at once.

use super::bundle::{Bundle, can_be_bundled, kind};
use super::found::{Found, Shared};
use crate::analysis::load::Trace;
use crate::analysis::simulate::SimulateError;
use crate::analysis::simulate::engine::Engine;
use crate::analysis::simulate::feed::{Moment, Source};
use crate::analysis::simulate::plan::Plan;
use damon_format::Sampling;
use damon_format::damos::{Age, Scheme, Schemes};
use rayon::prelude::*;
use std::collections::HashMap;

/// Variants in a bundle. The same with any number of threads, so that the results are.
const BUNDLED: usize = 256;

/// Variants that are simulated in one pass over the recording; more would take too much memory.
const IN_A_PASS: usize = 1 << 12;

/// Who simulates.
enum Worker<'p> {
    /// One variant: its position, its schemes.
    One(usize, &'p Schemes, Option<Box<Engine<'p>>>),
    /// Several.
    Many(Box<Bundle<'p>>),
}

impl<'p> Worker<'p> {
    fn step(&mut self, plan: &'p Plan<'p>, moment: &Moment<'_>) {
        match self {
            Self::One(_, schemes, engine) => {
                let new = || Box::new(Engine::new(plan, schemes, moment.sampling()).brief());
                engine.get_or_insert_with(new).step(moment);
            }
            Self::Many(bundle) => bundle.step(moment),
        }
    }

    fn end(self, shared: &Shared) -> Vec<(usize, Found)> {
        match self {
            Self::One(position, _, engine) => {
                engine.map(|e| (position, Found::of(&e.end(), shared))).into_iter().collect()
            }
            Self::Many(bundle) => bundle.end(shared),
        }
    }
}

/// Simulates all variants; without `bundles`, each by an engine of its own.
pub(super) fn run(
    plan: &Plan<'_>,
    trace: &Trace,
    samplings: &[Sampling],
    variants: &[&Schemes],
    bundles: bool,
) -> Result<(Vec<Found>, Shared), SimulateError> {
    let mut found = vec![Found::default(); variants.len()];
    let mut shared = Shared::default();
    let numbered: Vec<(usize, &Schemes)> = variants.iter().copied().enumerate().collect();
    for some in numbered.chunks(IN_A_PASS) {
        let mut workers = workers(plan, samplings, some, bundles);
        let mut sum = Shared::default();
        let source = Source::of(plan, trace);
        let fed = source.feed(|batch| {
            batch.moments().for_each(|moment| sum.add(&moment, &plan.resident));
            workers
                .par_iter_mut()
                .for_each(|worker| batch.moments().for_each(|m| worker.step(plan, &m)));
        });
        fed.is_whole()?;
        sum.without_ages = fed.without_ages;
        let ended: Vec<Vec<(usize, Found)>> =
            workers.into_par_iter().map(|worker| worker.end(&sum)).collect();
        for (position, one) in ended.into_iter().flatten() {
            if let Some(place) = found.get_mut(position) {
                *place = one;
            }
        }
        shared = sum;
    }
    Ok((found, shared))
}

fn workers<'p>(
    plan: &'p Plan<'p>,
    samplings: &[Sampling],
    variants: &[(usize, &'p Schemes)],
    bundles: bool,
) -> Vec<Worker<'p>> {
    let mut workers = Vec::new();
    let mut kinds: HashMap<Scheme, Vec<(usize, &'p Schemes)>> = HashMap::new();
    for (position, schemes) in variants {
        let kind = kind(schemes).filter(|_| bundles && can_be_bundled(schemes, plan, samplings));
        match kind {
            Some(kind) => kinds.entry(kind).or_default().push((*position, schemes)),
            None => workers.push(Worker::One(*position, schemes, None)),
        }
    }
    let mut kinds: Vec<_> = kinds.into_values().collect();
    kinds.sort_by_key(|members| members.first().map(|member| member.0));
    for mut members in kinds {
        // Ages by time and by aggregations have no common order in all intervals.
        members.sort_by_key(|(position, schemes)| (age(schemes, samplings), *position));
        let is_sorted = samplings.iter().all(|sampling| {
            members.iter().is_sorted_by_key(|(_, s)| age(s, std::slice::from_ref(sampling)))
        });
        if !is_sorted {
            workers.extend(members.into_iter().map(|(at, schemes)| Worker::One(at, schemes, None)));
            continue;
        }
        for some in members.chunks(BUNDLED) {
            workers.push(Worker::Many(Box::new(Bundle::new(plan, some.to_vec()))));
        }
    }
    workers
}

/// The least age in aggregations of the first of some intervals.
fn age(schemes: &Schemes, samplings: &[Sampling]) -> u64 {
    let aggr_us = samplings.first().map_or(1, |sampling| sampling.aggr_us).max(1);
    match schemes.as_slice().first().map(|scheme| scheme.age.min) {
        Some(Age::Micros(us)) => us / aggr_us,
        Some(Age::Aggregations(count)) => count,
        Some(Age::Max) => u64::MAX,
        None => 0,
    }
}
