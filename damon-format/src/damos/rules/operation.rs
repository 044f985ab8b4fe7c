//! Schemes at work: `kdamond_apply_schemes`, `damon_do_apply_schemes` and `damos_apply_scheme`
//! (`mm/damon/core.c`).

mod state;
mod walk;

pub use state::{SchemeState, Stats};

use super::filter::cut;
use super::{Addresses, Histogram, KernelRules, Readings, Scale, Turn, Verdict, Window};
use crate::Region;
use crate::damos::kernel::{Action, Scheme};
use walk::{WalkTurn, visit_matching, walk};

/// An action about to be applied to a region (what the event `damos_before_apply` tells).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Position of the scheme.
    pub scheme: usize,
    /// What to do.
    pub action: Action,
    /// Number of the target.
    pub target: u32,
    /// To which memory.
    pub region: Region,
    /// Filters of pages have nothing to say, because one of the core let the region pass.
    pub skips_page_filters: bool,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes to which the action was applied.
    pub applied: u64,
    /// Bytes that passed the filters of pages.
    pub filter_passed: u64,
    /// How long it took.
    pub elapsed_ns: u64,
}

/// Who acts, and knows how goals stand.
pub trait World: Readings {
    /// Applies an action.
    fn apply(&mut self, attempt: &Attempt) -> Outcome;
}

/// The regions of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRegions {
    /// Its number, which filters of targets mean.
    pub target: u32,
    /// Ascending and disjoint. Operation cuts them, and sets ages to 0.
    pub regions: Vec<Region>,
}

/// Several schemes at work on several targets.
#[derive(Clone, Debug)]
pub struct Operation {
    rules: KernelRules,
    scale: Scale,
    schemes: Vec<SchemeState>,
    /// Room for the regions of a target, which is used again.
    room: Vec<Region>,
}

impl Operation {
    /// Schemes that have done nothing yet; the first application is one interval away.
    pub fn new(
        schemes: Vec<Scheme>,
        addresses: Addresses,
        rules: KernelRules,
        scale: Scale,
    ) -> Self {
        let state = |scheme| SchemeState::new(scheme, addresses, rules, &scale);
        let schemes = schemes.into_iter().map(state).collect();
        Self { rules, scale, schemes, room: Vec::new() }
    }

    /// The schemes in order.
    pub fn schemes(&self) -> &[SchemeState] {
        &self.schemes
    }

    /// Intervals have changed at step `passed`: patterns are replaced by `schemes`, which are the same ones
    /// in the new units, and the schedule starts again. Statistics and quotas stay.
    pub fn change_scale(&mut self, schemes: Vec<Scheme>, scale: Scale, passed: u64) {
        self.scale = scale;
        for (state, scheme) in self.schemes.iter_mut().zip(schemes) {
            state.scheme = scheme;
            state.next_apply = passed.saturating_add(state.interval(&scale));
        }
    }

    /// A target is gone.
    pub fn forget_target(&mut self, target: u32) {
        for state in &mut self.schemes {
            state.account.forget_target(target);
        }
    }

    /// Whether any scheme is switched by free memory.
    pub fn has_watermarks(&self) -> bool {
        self.schemes.iter().any(|state| !state.switch.is_fixed())
    }

    /// Switches schemes by the free memory in per mille of all. Returns how long nothing will happen,
    /// microseconds, when all of them are off (the kernel stops monitoring meanwhile).
    pub fn watch(&mut self, free_permil: u64) -> Option<u64> {
        let waits = self.schemes.iter_mut().map(|state| state.switch.update(free_permil));
        // One that is on waits for nothing.
        waits.min().flatten()
    }

    /// Applies the schemes that are due when `passed` sampling intervals have passed since the beginning.
    /// Returns false when none is.
    pub fn run(
        &mut self,
        passed: u64,
        now_ns: u64,
        targets: &mut [TargetRegions],
        world: &mut dyn World,
    ) -> bool {
        let mut due = Vec::new();
        for index in 0..self.schemes.len() {
            if self.schemes.get(index).is_some_and(|state| state.is_due(passed)) {
                self.adjust(index, now_ns, targets, world);
                due.push(index);
            }
        }
        if due.is_empty() {
            return false;
        }
        let of_due = |index: &usize| self.schemes.get(*index);
        let is_simple = due.iter().filter_map(of_due).all(SchemeState::is_simple);
        let patterns: Vec<_> = due.iter().filter_map(of_due).map(SchemeState::pattern).collect();
        for target in targets {
            let visit = |turn: &mut WalkTurn| {
                for index in &due {
                    if let Some(state) = self.schemes.get_mut(*index) {
                        offer(state, *index, target.target, &self.rules, &self.scale, turn, world);
                    }
                }
            };
            if is_simple {
                visit_matching(&mut target.regions, &patterns, visit);
            } else {
                let remainders = self.rules.remainders_visited;
                walk(&mut target.regions, &mut self.room, remainders, visit);
            }
        }
        for state in self.schemes.iter_mut().filter(|state| passed >= state.next_apply) {
            state.next_apply = passed.saturating_add(state.interval(&self.scale));
        }
        true
    }

    /// Begins a window if it is time, and decides from which score on regions are served.
    fn adjust(
        &mut self,
        index: usize,
        now_ns: u64,
        targets: &mut [TargetRegions],
        world: &mut dyn World,
    ) {
        let Some(state) = self.schemes.get_mut(index) else { return };
        if !state.account.quota().is_set() {
            return;
        }
        if let (Window::Next { exceeded: true }, stats) =
            (state.account.begin_window(now_ns, world), &mut state.stats)
        {
            stats.qt_exceeds += 1;
        }
        let mut histogram = Histogram::default();
        let (scale, filtered) = (&self.scale, self.rules.histogram_filtered);
        for TargetRegions { target, regions } in targets {
            if filtered {
                walk(regions, &mut self.room, true, |turn| {
                    if state.scheme.matches(&turn.region)
                        && state.filters.core(*target, &mut turn.region, &mut turn.remainders)
                            != Verdict::Rejected
                    {
                        histogram.add(state.score(&turn.region, scale), turn.region.size());
                    }
                });
            } else {
                for region in regions.iter().filter(|region| state.scheme.matches(region)) {
                    histogram.add(state.score(region, scale), region.size());
                }
            }
        }
        state.min_score = histogram.min_score(state.account.effective_bytes());
    }
}

/// Offers a region to a scheme.
fn offer(
    state: &mut SchemeState,
    index: usize,
    target: u32,
    rules: &KernelRules,
    scale: &Scale,
    turn: &mut WalkTurn,
    world: &mut dyn World,
) {
    if state.account.is_full() {
        return;
    }
    match state.account.turn(target, &turn.region, turn.is_last()) {
        Turn::Open => {}
        Turn::Over => return,
        Turn::OverUntil(address) if rules.remainders_visited => {
            cut(&mut turn.region, address, &mut turn.remainders);
            return;
        }
        Turn::OverUntil(address) => turn.skip_until(address),
    }
    if state.is_finished() {
        return;
    }
    if state.wants(&turn.region, scale) {
        apply(state, index, target, rules, turn, world);
    }
    if turn.is_last() {
        state.stats.nr_snapshots += 1;
    }
}

fn apply(
    state: &mut SchemeState,
    index: usize,
    target: u32,
    rules: &KernelRules,
    turn: &mut WalkTurn,
    world: &mut dyn World,
) {
    let mut size = turn.region.size();
    let room = state.account.room(size);
    if room == 0 {
        state.stats.count(0, Outcome::default());
        return;
    }
    if room < size {
        size = room;
        let address = turn.region.start.saturating_add(room);
        cut(&mut turn.region, address, &mut turn.remainders);
    }
    let verdict = state.filters.core(target, &mut turn.region, &mut turn.remainders);
    if verdict == Verdict::Rejected {
        return;
    }
    if rules.measured_after_filters {
        size = turn.region.size();
    }
    let action = state.scheme.action;
    let outcome = world.apply(&Attempt {
        scheme: index,
        action,
        target,
        region: turn.region,
        skips_page_filters: verdict == Verdict::Allowed,
    });
    state.account.charge(size, outcome.applied, outcome.elapsed_ns);
    state.account.stop_at(target, turn.region.end);
    if action != Action::Stat {
        turn.region.age = 0;
    }
    state.stats.count(size, outcome);
}

#[cfg(test)]
mod tests;
