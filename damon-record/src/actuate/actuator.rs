//! The decisions, and what came of them.

use super::advise::Advise;
use super::check::{advice, check};
use super::machine::System;
use crate::monitor::AddressRange;
use damon_format::damos::Schemes;
use damon_format::damos::kernel::Goal;
use damon_format::damos::rules::{
    Addresses, Attempt, KernelRules, Operation, Outcome, Readings, Scale, SchemeState, Stats,
    TargetRegions, World,
};
use damon_format::{
    Attrs, EffectiveQuota, Mapping, Region, Sampling, SchemeApplied, SchemeStats, Snapshot,
    TargetId,
};
use nix::errno::Errno;

/// The rules in force: those of the newest kernel, which never does more than a quota says.
const RULES: KernelRules = KernelRules::of(7, 3);

/// One target at the end of an aggregation.
pub struct Target<'a> {
    /// What the monitor found. Filters of targets mean the number of its [`TargetId`].
    pub snapshot: &'a Snapshot,
    /// What is mapped; ascending.
    pub mappings: &'a [Mapping],
    /// Who acts on it.
    pub advise: &'a mut dyn Advise,
}

impl std::fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("id", &self.snapshot.target).finish_non_exhaustive()
    }
}

/// What was done at the end of one aggregation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Regions that schemes were applied to, by scheme and target, as the snapshots have them.
    pub regions: Vec<SchemeApplied>,
    /// Quotas that have changed.
    pub quotas: Vec<EffectiveQuota>,
    /// Memory whose age is 0 now. The monitor has to be told
    /// ([`Engine::reset_age`](crate::monitor::Engine::reset_age),
    /// [`Census::reset_age`](crate::monitor::Census::reset_age)).
    pub resets: Vec<(TargetId, AddressRange)>,
    /// Targets that could not be acted on, and why.
    pub failures: Vec<(TargetId, Errno)>,
    /// Nothing was done, because the schemes mean nothing with the intervals that the snapshots have.
    pub refused: Option<String>,
}

/// Applies schemes from user space.
#[derive(Debug)]
pub struct Actuator {
    schemes: Schemes,
    operation: Operation,
    scale: Scale,
    /// Sampling intervals since the beginning, by the intervals in force.
    passed: u64,
    /// Effective quotas as last told.
    quotas: Vec<u64>,
}

impl Actuator {
    /// Schemes that have done nothing yet. `attrs` are the monitor's, `page_size` the machine's.
    ///
    /// The error lists, line by line, what cannot be done from user space.
    pub fn new(schemes: Schemes, attrs: &Attrs, page_size: u64) -> Result<Self, String> {
        check(&schemes).map_err(|problems| problems.join("\n"))?;
        let exact = schemes.to_kernel(attrs).map_err(|error| error.to_string())?;
        let scale = Scale::new(attrs, page_size);
        let quotas = vec![0; exact.len()];
        let operation = Operation::new(exact, Addresses::Virtual, RULES, scale);
        Ok(Self { schemes, operation, scale, passed: 0, quotas })
    }

    /// What each scheme has done so far.
    pub fn stats(&self) -> impl ExactSizeIterator<Item = &Stats> {
        self.operation.schemes().iter().map(SchemeState::stats)
    }

    /// The same as records of a trace.
    pub fn records(&self, time_ns: u64) -> impl Iterator<Item = SchemeStats> + '_ {
        self.stats().zip(0..).map(move |(stats, index)| stats.record(time_ns, index))
    }

    /// A target is gone.
    pub fn forget_target(&mut self, id: TargetId) {
        self.operation.forget_target(id.0);
    }

    /// Applies the schemes that are due at the end of an aggregation. `targets` are all that were observed in
    /// it, ascending.
    ///
    /// When snapshots come in other intervals than before, patterns are converted and the schedule starts
    /// again.
    pub fn apply(&mut self, targets: &mut [Target<'_>], system: &mut dyn System) -> Applied {
        let mut applied = Applied::default();
        let now_ns = system.now_ns();
        if let Some(sampling) = targets.first().map(|target| target.snapshot.sampling)
            && let Err(problem) = self.follow(&sampling)
        {
            applied.refused = Some(problem);
            return applied;
        }
        self.passed = self.passed.saturating_add(self.scale.steps(self.scale.aggr_us));
        if self.operation.has_watermarks()
            && let Some(free) = system.free_permil()
        {
            let _nobody_to_wait_for = self.operation.watch(free);
        }
        let mut regions: Vec<TargetRegions> =
            targets.iter().map(|target| regions(target.snapshot, &self.scale)).collect();
        let mut field = Field { targets, system, applied: &mut applied, now_ns };
        self.operation.run(self.passed, now_ns, &mut regions, &mut field);
        for ((state, told), scheme) in
            self.operation.schemes().iter().zip(&mut self.quotas).zip(0..)
        {
            let bytes = state.account().effective_bytes();
            if bytes != *told {
                *told = bytes;
                applied.quotas.push(EffectiveQuota { time_ns: now_ns, scheme, bytes });
            }
        }
        applied
    }

    fn follow(&mut self, sampling: &Sampling) -> Result<(), String> {
        if (sampling.sample_us, sampling.aggr_us) == (self.scale.sample_us, self.scale.aggr_us) {
            return Ok(());
        }
        let attrs = Attrs {
            sample_us: sampling.sample_us,
            aggr_us: sampling.aggr_us,
            update_us: 0,
            min_nr_regions: 0,
            max_nr_regions: 0,
        };
        let exact = self.schemes.to_kernel(&attrs).map_err(|error| error.to_string())?;
        self.scale = Scale::new(&attrs, self.scale.page_size);
        self.operation.change_scale(exact, self.scale, self.passed);
        Ok(())
    }
}

/// A snapshot's regions with access frequencies on the scale of the schemes.
///
/// The snapshot's own scale may differ: it tells how many looks there really were, and exact looks count
/// parts of regions. Frequencies are rounded to nearest, but never to "not accessed".
fn regions(snapshot: &Snapshot, scale: &Scale) -> TargetRegions {
    let (most, own) = (scale.max_nr_accesses, snapshot.sampling.max_nr_accesses.max(1));
    let scaled = |nr_accesses: u32| {
        if nr_accesses == 0 || own == most {
            return nr_accesses;
        }
        let product = u64::from(nr_accesses) * u64::from(most) + u64::from(own / 2);
        u32::try_from(product / u64::from(own)).unwrap_or(u32::MAX).max(1)
    };
    let regions = snapshot.regions.iter();
    TargetRegions {
        target: snapshot.target.0,
        regions: regions.map(|r| Region { nr_accesses: scaled(r.nr_accesses), ..*r }).collect(),
    }
}

/// Where schemes act in one pass.
struct Field<'a, 'b> {
    targets: &'a mut [Target<'b>],
    system: &'a mut dyn System,
    applied: &'a mut Applied,
    now_ns: u64,
}

impl Readings for Field<'_, '_> {
    fn read(&mut self, goal: &Goal) -> Option<u64> {
        self.system.goal(goal)
    }
}

impl World for Field<'_, '_> {
    fn apply(&mut self, attempt: &Attempt) -> Outcome {
        let id = TargetId(attempt.target);
        let range = AddressRange { start: attempt.region.start, end: attempt.region.end };
        let failed = self.applied.failures.iter().any(|(failed, _)| *failed == id);
        let Some(target) = self.targets.iter_mut().find(|target| target.snapshot.target == id)
        else {
            return Outcome::default();
        };
        self.applied.note(self.now_ns, attempt, id, target.snapshot);
        let Ok(Some(advice)) = advice(attempt.action) else {
            return Outcome::default();
        };
        self.applied.resets.push((id, range));
        let parts = mapped(range, target.mappings);
        if parts.is_empty() || failed {
            return Outcome::default();
        }
        let begin = self.system.now_ns();
        let outcome = target.advise.advise(advice, &parts);
        let elapsed_ns = self.system.now_ns().saturating_sub(begin);
        let applied = outcome.unwrap_or_else(|errno| {
            self.applied.failures.push((id, errno));
            0
        });
        Outcome { applied, filter_passed: 0, elapsed_ns }
    }
}

impl Applied {
    /// Writes down to what a scheme is applied.
    fn note(&mut self, time_ns: u64, attempt: &Attempt, target: TargetId, snapshot: &Snapshot) {
        let scheme = u32::try_from(attempt.scheme).unwrap_or(u32::MAX);
        // As the snapshot says: its scale is the one that readers of the trace know.
        let found = snapshot.regions.partition_point(|region| region.end <= attempt.region.start);
        let nr_accesses = snapshot.regions.get(found).map_or(0, |region| region.nr_accesses);
        let region = Region { nr_accesses, ..attempt.region };
        let known = self.regions.iter_mut().find(|of| of.scheme == scheme && of.target == target);
        match known {
            Some(of) => of.regions.push(region),
            None => {
                self.regions.push(SchemeApplied { time_ns, scheme, target, regions: vec![region] });
            }
        }
    }
}

/// The parts of `range` that are mapped, none across two mappings.
fn mapped(range: AddressRange, mappings: &[Mapping]) -> Vec<AddressRange> {
    let first = mappings.partition_point(|mapping| mapping.end <= range.start);
    let behind = mappings.get(first..).unwrap_or(&[]);
    behind
        .iter()
        .take_while(|mapping| mapping.start < range.end)
        .map(|mapping| AddressRange {
            start: mapping.start.max(range.start),
            end: mapping.end.min(range.end),
        })
        .collect()
}
