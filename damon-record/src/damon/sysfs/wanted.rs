//! What is to be monitored, and the plan that says it to the kernel.

use super::change;
use super::context::{IntervalsGoal, Operations};
use super::plan::{Plan, Step};
use super::schemes;
use crate::monitor::{AddressRange, AttrsError, RangesError, aligned, validate};
use damon_format::Attrs;
use damon_format::damos::kernel::Scheme;

/// One address space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Process or thread id in our own pid namespace; `None` for physical addresses.
    pub pid: Option<u32>,
    /// Where to begin, bytes, ascending and apart. Optional for `vaddr`, which finds its regions by itself when
    /// it starts; a target that is added later has none before the next update interval unless they are given.
    pub regions: Vec<AddressRange>,
}

/// A whole context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which addresses are meant.
    pub operations: Operations,
    /// Intervals and region limits.
    pub attrs: Attrs,
    /// Tuning of the intervals, if wanted (6.15).
    pub goal: Option<IntervalsGoal>,
    /// Address spaces. Their order is the `target_id` of DAMON's events.
    pub targets: Vec<Target>,
    /// Schemes to apply, in order.
    pub schemes: Vec<Scheme>,
}

/// Why the kernel would not take it. The kernel itself says no more than "invalid argument".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WantedError {
    /// Intervals or region limits contradict themselves.
    #[error(transparent)]
    Attrs(#[from] AttrsError),
    /// A range of a target is empty, overlaps another, or is out of order.
    #[error("target {target}: {source}")]
    Regions {
        /// Index of the target.
        target: usize,
        /// What is wrong.
        source: RangesError,
    },
    /// Nothing to monitor.
    #[error("no target: name a process, or give --physical for the whole machine")]
    NoTarget,
    /// The kernel has one physical address space.
    #[error("{0} targets of physical addresses: there is one physical address space")]
    PhysicalTargets(usize),
    /// Virtual addresses of nobody.
    #[error("target {0} names no process, and virtual addresses mean nothing without one")]
    NoProcess(usize),
    /// Nobody else finds them.
    #[error(
        "target {target} has no regions, and {} does not find any by itself: give --regions START-END",
        operations.keyword()
    )]
    NoRegions {
        /// Index of the target.
        target: usize,
        /// The set of operations.
        operations: Operations,
    },
    /// The limits of tuning contradict the intervals, or each other.
    #[error(
        "the intervals cannot be tuned: the sampling interval ({sample_us} us) must lie within {min_us} us and \
         {max_us} us, the limits of tuning"
    )]
    Goal {
        /// Sampling interval.
        sample_us: u64,
        /// Least allowed.
        min_us: u64,
        /// Greatest allowed.
        max_us: u64,
    },
}

impl Wanted {
    /// Finds what the kernel would refuse; `granule` is the page size in bytes.
    pub fn check(&self, granule: u64) -> Result<(), WantedError> {
        validate(&self.attrs)?;
        if let Some(goal) = self.goal
            && goal.aggrs != 0
        {
            let IntervalsGoal { min_sample_us: min_us, max_sample_us: max_us, .. } = goal;
            let sample_us = self.attrs.sample_us;
            // An empty interval of limits contains nothing.
            if !(min_us..=max_us).contains(&sample_us) {
                return Err(WantedError::Goal { sample_us, min_us, max_us });
            }
        }
        match (self.operations, self.targets.len()) {
            (_, 0) => return Err(WantedError::NoTarget),
            (Operations::Vaddr | Operations::Fvaddr, _) | (Operations::Paddr, 1) => {}
            (Operations::Paddr, many) => return Err(WantedError::PhysicalTargets(many)),
        }
        self.targets
            .iter()
            .enumerate()
            .try_for_each(|(index, target)| target.check(index, self.operations, granule))
    }

    /// Everything to be written below the context's directory.
    pub fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        plan.push(Step::new("operations", self.operations.keyword()));
        change::attrs(&mut plan, &self.attrs);
        if let Some(goal) = &self.goal {
            change::intervals_goal(&mut plan, goal);
        }
        change::targets(&mut plan, &self.targets);
        schemes::plan(&mut plan, &self.schemes);
        plan
    }
}

impl Target {
    /// A process whose regions the kernel finds.
    pub fn process(pid: u32) -> Self {
        Self { pid: Some(pid), regions: Vec::new() }
    }

    /// As [`Wanted::check`], for one target.
    pub(in crate::damon) fn check(
        &self,
        index: usize,
        operations: Operations,
        granule: u64,
    ) -> Result<(), WantedError> {
        let finds_regions = operations == Operations::Vaddr;
        if operations != Operations::Paddr && self.pid.is_none() {
            Err(WantedError::NoProcess(index))
        } else if self.regions.is_empty() && !finds_regions {
            Err(WantedError::NoRegions { target: index, operations })
        } else {
            aligned(&self.regions, granule)
                .map(drop)
                .map_err(|source| WantedError::Regions { target: index, source })
        }
    }
}
