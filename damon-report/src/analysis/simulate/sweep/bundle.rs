//! Many variants of one scheme in one go.
//!
//! Of variants that differ in the least age alone nearly everything is the same: which regions there are, what was accessed,
//! how much of it came back. What differs is kept by variant in arrays ([`Restarts`], [`Pieces`]), and only what changes is
//! touched. The results are those of one engine a variant.

use super::found::{Found, Shared};
use super::pieces::{Bytes, Pieces};
use super::restarts::{Restarts, Thresholds};
use super::tally::Tally;
use crate::analysis::layout::Cursor;
use crate::analysis::simulate::backing::resident_at;
use crate::analysis::simulate::comes_back::ComesBack;
use crate::analysis::simulate::engine::{in_units, scaled};
use crate::analysis::simulate::feed::Moment;
use crate::analysis::simulate::field::by_group;
use crate::analysis::simulate::plan::{Effect, Plan, works};
use crate::analysis::simulate::populated::Populated;
use damon_format::damos::kernel::{Bounds, WatermarkMetric};
use damon_format::damos::rules::Scale;
use damon_format::damos::{Age, Scheme, Schemes};
use damon_format::{Region, Sampling, TargetId};
use std::collections::BTreeMap;

/// Whether schemes can be in a bundle: a single one that puts memory away, at each aggregation, without limits.
pub(super) fn can_be_bundled(schemes: &Schemes, plan: &Plan<'_>, samplings: &[Sampling]) -> bool {
    let [scheme] = schemes.as_slice() else { return false };
    let interval = scheme.apply_interval_us;
    Effect::of(scheme.action) == Effect::Away
        && works(scheme.action, plan.addresses)
        && !scheme.quota.is_set()
        && scheme.filters.is_empty()
        && scheme.max_nr_snapshots == 0
        && plan.options.fast_tier.is_none()
        && scheme.watermarks.metric == WatermarkMetric::None
        && (interval == 0 || samplings.iter().all(|sampling| sampling.aggr_us == interval))
}

/// What is the same for all variants of a bundle.
pub(super) fn kind(schemes: &Schemes) -> Option<Scheme> {
    let [scheme] = schemes.as_slice() else { return None };
    let mut kind = scheme.clone();
    kind.age.min = Age::Micros(0);
    kind.apply_interval_us = 0;
    kind.quota.reset_interval_ms = 0;
    Some(kind)
}

/// What is remembered of a target.
#[derive(Clone, Debug)]
struct State {
    restarts: Restarts,
    pieces: Pieces,
    populated: Populated,
}

/// The pattern in the units of the moment.
#[derive(Clone, Debug)]
struct Pattern {
    sz: Bounds<u64>,
    nr_accesses: Bounds<u32>,
    thresholds: Thresholds,
    scale: Scale,
    comes_back: ComesBack,
}

/// Variants under way.
#[derive(Debug)]
pub(super) struct Bundle<'p> {
    plan: &'p Plan<'p>,
    /// Positions and schemes, by ascending age.
    members: Vec<(usize, &'p Schemes)>,
    pattern: Option<Pattern>,
    targets: BTreeMap<TargetId, State>,
    cursor: Cursor<'p>,
    exited: usize,
    bytes: Bytes,
    tally: Tally,
    who: Vec<usize>,
}

impl<'p> Bundle<'p> {
    /// Variants of one [kind], by ascending least age.
    pub(super) fn new(plan: &'p Plan<'p>, members: Vec<(usize, &'p Schemes)>) -> Self {
        let variants = members.len();
        Self {
            plan,
            members,
            pattern: None,
            targets: BTreeMap::new(),
            cursor: Cursor::new(&plan.layouts),
            exited: 0,
            bytes: Bytes::new(variants),
            tally: Tally::new(variants),
            who: Vec::new(),
        }
    }

    /// Positions of its variants and what they come to.
    pub(super) fn end(self, shared: &Shared) -> Vec<(usize, Found)> {
        let Bytes { away, put, back } = self.bytes;
        let found = self.tally.finish(&put, &away, back, shared);
        self.members.iter().map(|member| member.0).zip(found).collect()
    }

    pub(super) fn step(&mut self, moment: &Moment<'_>) {
        let time = moment.time();
        self.forget_exited(time.start);
        self.set_units(moment.sampling());
        let Some(pattern) = &self.pattern else { return };
        let since_begin_ns = time.start.saturating_sub(self.plan.origin_ns);
        self.tally.begins(since_begin_ns, &mut self.bytes.back);
        let variants = self.members.len();
        let targets = self.targets.len();
        for snapshot in moment.shots() {
            let state = self.targets.entry(snapshot.target).or_insert_with(|| State {
                restarts: Restarts::default(),
                pieces: Pieces::new(variants),
                populated: Populated::default(),
            });
            state.pieces.share(targets);
            let recorded = scaled(&snapshot, &pattern.scale);
            refault(&mut state.pieces, &recorded, pattern, &mut self.bytes);
            let course = self.plan.backing.target(snapshot.target);
            for freed in state.populated.learn(course, time.end, snapshot.accessed()) {
                state.pieces.take(&freed, &mut self.bytes);
            }
        }
        let resident = resident_at(&self.plan.resident, time.end);
        for snapshot in moment.shots() {
            let Some(state) = self.targets.get_mut(&snapshot.target) else { continue };
            let recorded = scaled(&snapshot, &pattern.scale);
            state.restarts.advance(&recorded, &pattern.thresholds);
            for (position, region) in recorded.iter().enumerate() {
                if !pattern.sz.contains(&region.size())
                    || !pattern.nr_accesses.contains(&region.nr_accesses)
                {
                    continue;
                }
                let who = &mut self.who;
                state.restarts.act(position, region.age, &pattern.thresholds, who);
                if who.is_empty() {
                    continue;
                }
                for variant in who.iter() {
                    if let (Some(nr), Some(sz)) = (
                        self.tally.nr_tried.get_mut(*variant),
                        self.tally.sz_tried.get_mut(*variant),
                    ) {
                        *nr += 1;
                        *sz = sz.saturating_add(region.size());
                    }
                }
                let range = region.start..region.end;
                let State { pieces, populated, .. } = state;
                let bytes = &mut self.bytes;
                // In the same pieces as the engine.
                let slots = self.cursor.at(snapshot.target, time.end);
                for part in populated.accessible(&range) {
                    by_group(slots, part, &mut |part, _| {
                        populated.split(&part, &mut |part, share| {
                            pieces.put(&part, share, who, bytes);
                        });
                    });
                }
            }
        }
        let length_ns = moment.observed_ns();
        self.tally.observed(length_ns);
        self.tally.lasted(&self.bytes.away, length_ns, resident);
    }

    fn set_units(&mut self, sampling: Sampling) {
        let is_new = self.pattern.as_ref().is_none_or(|p| {
            (p.scale.sample_us, p.scale.aggr_us) != (sampling.sample_us, sampling.aggr_us)
        });
        if !is_new {
            return;
        }
        let mut pattern: Option<Pattern> = None;
        for (_, schemes) in &self.members {
            let (list, scale) = in_units(schemes, self.plan.page_size, sampling);
            let Some(scheme) = list.first() else { return };
            let pattern = pattern.get_or_insert_with(|| Pattern {
                sz: scheme.sz,
                nr_accesses: scheme.nr_accesses,
                thresholds: Thresholds { least: Vec::new(), most: scheme.age.max },
                scale,
                comes_back: ComesBack::new(scale.max_nr_accesses, self.plan.exact),
            });
            pattern.thresholds.least.push(scheme.age.min);
        }
        self.pattern = pattern;
        self.targets.values_mut().for_each(|state| state.restarts.ask_again());
    }

    fn forget_exited(&mut self, now_ns: u64) {
        let exits = self.plan.exits.get(self.exited..).unwrap_or_default();
        for (_, target) in exits.iter().take_while(|(time_ns, _)| *time_ns <= now_ns) {
            if let Some(mut state) = self.targets.remove(target) {
                state.pieces.take(&(0..u64::MAX), &mut self.bytes);
            }
            self.exited += 1;
        }
    }
}

/// Lets what is away come back where it was accessed, and forgets what is not monitored any more.
fn refault(pieces: &mut Pieces, recorded: &[Region], pattern: &Pattern, bytes: &mut Bytes) {
    if pieces.is_empty() {
        return;
    }
    let mut at = 0;
    for region in recorded {
        if at < region.start {
            pieces.take(&(at..region.start), bytes);
        }
        at = region.end;
        let count = region.nr_accesses;
        if count > 0 {
            let back = pattern.comes_back.of(count);
            let back = [back.optimistic, back.expected, back.pessimistic];
            pieces.access(&(region.start..region.end), back, bytes);
        }
    }
    pieces.take(&(at..u64::MAX), bytes);
}
