//! Schemes at work: `kdamond_apply_schemes`, `damon_do_apply_schemes` and `damos_apply_scheme`
//! (`mm/damon/core.c`).

use super::filter::cut;
use super::{
    Account, Addresses, Filters, Histogram, KernelRules, Order, Readings, Scale, Switch, Turn,
    Verdict, Window,
};
use crate::damos::kernel::{Action, Bounds, Scheme};
use crate::{Region, SchemeStats};

/// What a scheme has done, by the kernel's names (directory `stats`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Regions tried.
    pub nr_tried: u64,
    /// Bytes of these.
    pub sz_tried: u64,
    /// Regions to some of which the action was applied.
    pub nr_applied: u64,
    /// Bytes to which it was applied.
    pub sz_applied: u64,
    /// Bytes that passed the filters of pages.
    pub sz_ops_filter_passed: u64,
    /// Windows that used up their quota.
    pub qt_exceeds: u64,
    /// Passes that got to the last region of a target.
    pub nr_snapshots: u64,
}

impl Stats {
    /// As a record of a trace.
    pub fn record(&self, time_ns: u64, scheme: u32) -> SchemeStats {
        SchemeStats {
            time_ns,
            scheme,
            nr_tried: self.nr_tried,
            sz_tried: self.sz_tried,
            nr_applied: self.nr_applied,
            sz_applied: self.sz_applied,
            qt_exceeds: self.qt_exceeds,
            sz_ops_filter_passed: Some(self.sz_ops_filter_passed),
            nr_snapshots: Some(self.nr_snapshots),
        }
    }

    fn count(&mut self, size: u64, outcome: Outcome) {
        self.nr_tried += 1;
        self.sz_tried = self.sz_tried.saturating_add(size);
        self.nr_applied += u64::from(outcome.applied > 0);
        self.sz_applied = self.sz_applied.saturating_add(outcome.applied);
        self.sz_ops_filter_passed = self.sz_ops_filter_passed.saturating_add(outcome.filter_passed);
    }
}

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

/// One scheme with everything it remembers.
#[derive(Clone, Debug)]
pub struct SchemeState {
    scheme: Scheme,
    order: Order,
    filters: Filters,
    account: Account,
    switch: Switch,
    stats: Stats,
    min_score: u8,
    next_apply: u64,
}

impl SchemeState {
    fn new(scheme: Scheme, addresses: Addresses, rules: KernelRules, scale: &Scale) -> Self {
        let mut state = Self {
            order: Order::of(scheme.action, addresses, &rules),
            filters: Filters::new(&scheme.filters, rules.filter_default, scale.granule),
            account: Account::new(scheme.quota.clone(), rules, scale),
            switch: Switch::new(scheme.watermarks),
            scheme,
            stats: Stats::default(),
            min_score: 0,
            next_apply: 0,
        };
        state.next_apply = state.interval(scale);
        state
    }

    /// Steps between two applications.
    fn interval(&self, scale: &Scale) -> u64 {
        scale.steps(match self.scheme.apply_interval_us {
            0 => scale.aggr_us,
            us => us,
        })
    }

    /// The scheme itself.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// What it has done so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Its quota.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Its filters.
    pub fn filters(&self) -> &Filters {
        &self.filters
    }

    /// Whether watermarks let it work.
    pub fn is_on(&self) -> bool {
        self.switch.is_on()
    }

    /// Whether the scheme is applied when `passed` sampling intervals have passed since the beginning.
    pub fn is_due(&self, passed: u64) -> bool {
        passed >= self.next_apply && self.is_on()
    }

    /// The least score that is urgent enough in this window.
    pub fn min_score(&self) -> u8 {
        self.min_score
    }

    fn pattern(&self) -> Pattern {
        let Scheme { sz, nr_accesses, age, .. } = self.scheme;
        Pattern { sz, nr_accesses, age }
    }

    fn is_finished(&self) -> bool {
        self.scheme.max_nr_snapshots > 0 && self.stats.nr_snapshots >= self.scheme.max_nr_snapshots
    }

    /// Whether it takes whatever matches as it is until something else happens than attempts: nothing limits it, and nothing
    /// cuts regions.
    fn is_simple(&self) -> bool {
        self.account.is_idle()
            && self.filters.is_without_core()
            && self.scheme.max_nr_snapshots == 0
    }

    fn wants(&self, region: &Region, scale: &Scale) -> bool {
        self.scheme.matches(region)
            && (!self.account.is_limited() || self.score(region, scale) >= self.min_score)
    }

    fn score(&self, region: &Region, scale: &Scale) -> u8 {
        self.order.score(region, scale, &self.scheme.quota.weights)
    }
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

/// One region's turn in a walk.
struct WalkTurn {
    region: Region,
    /// What was cut off, the last one first in the address space.
    remainders: Vec<Region>,
    /// What will not be visited again.
    done: Vec<Region>,
    /// Others come behind.
    has_next: bool,
}

impl WalkTurn {
    fn is_last(&self) -> bool {
        !self.has_next && self.remainders.is_empty()
    }

    /// Gives up the part below `address`.
    fn skip_until(&mut self, address: u64) {
        let left = Region { end: address, ..self.region };
        self.region.start = address;
        self.done.push(left);
    }
}

/// Visits regions one by one, and what is cut off them behind them, in this walk if `visits_remainders`.
fn walk(
    regions: &mut Vec<Region>,
    room: &mut Vec<Region>,
    visits_remainders: bool,
    mut visit: impl FnMut(&mut WalkTurn),
) {
    let input = std::mem::replace(regions, std::mem::take(room));
    let mut rest = input.iter().copied();
    let mut waiting: Vec<Region> = Vec::new();
    let mut turn = WalkTurn {
        region: Region { start: 0, end: 0, nr_accesses: 0, age: 0 },
        remainders: Vec::new(),
        done: std::mem::take(regions),
        has_next: false,
    };
    turn.done.clear();
    while let Some(region) = waiting.pop().or_else(|| rest.next()) {
        turn.region = region;
        turn.has_next = !waiting.is_empty() || rest.len() > 0;
        visit(&mut turn);
        turn.done.push(turn.region);
        if visits_remainders {
            waiting.append(&mut turn.remainders);
        } else {
            turn.done.extend(turn.remainders.drain(..).rev());
        }
    }
    *regions = turn.done;
    *room = input;
}

/// Visits the regions that match one of some patterns, and the last one; none may be cut.
fn visit_matching(
    regions: &mut [Region],
    patterns: &[Pattern],
    mut visit: impl FnMut(&mut WalkTurn),
) {
    let mut rest = regions.iter_mut();
    while let Some(region) = rest.next() {
        let has_next = rest.len() > 0;
        if has_next && !patterns.iter().any(|pattern| pattern.matches(region)) {
            continue;
        }
        let (remainders, done) = (Vec::new(), Vec::new());
        let mut turn = WalkTurn { region: *region, remainders, done, has_next };
        visit(&mut turn);
        *region = turn.region;
    }
}

/// What a scheme is about.
struct Pattern {
    sz: Bounds<u64>,
    nr_accesses: Bounds<u32>,
    age: Bounds<u32>,
}

impl Pattern {
    /// As [`Scheme::matches`]; what fails most often is asked first.
    fn matches(&self, region: &Region) -> bool {
        self.age.contains(&region.age)
            && self.nr_accesses.contains(&region.nr_accesses)
            && self.sz.contains(&region.size())
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
