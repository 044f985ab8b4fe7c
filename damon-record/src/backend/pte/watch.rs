//! One target whose Accessed bits are cleared and read.

use super::areas::Areas;
use super::clear::{Clear, ClearError};
use super::exact::Exact;
use super::sampled::{Costs, Means, RefsCost, RoundError, Sampled};
use super::tables::{Leaf, Tables};
use crate::backend::{Toll, Touched, Watch, WatchError};
use damon_format::Mapping;
use std::fmt;
use std::time::Duration;

/// What clearing one page costs a target that runs meanwhile: the interrupt that makes its processor
/// forget the page, and looking it up again.
const SHOOTDOWN: Duration = Duration::from_nanos(1500);
/// Part of the time of `clear_refs` that the target loses: page faults and mapping calls wait for it, and
/// the processors fetch the page tables from each other.
const REFS_PART: u32 = 4;

/// The watch of the backend `pte`, over tables and means that tests replace.
pub(super) struct PteWatch<T, C> {
    tables: T,
    clear: C,
    areas: Areas,
    sampled: Sampled,
    exact: Exact,
    refs: RefsCost,
    costs: Costs,
    zero: Option<u64>,
    resident: u64,
}

impl<T, C> fmt::Debug for PteWatch<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PteWatch")
            .field("areas", &self.areas)
            .field("costs", &self.costs)
            .finish_non_exhaustive()
    }
}

impl<T: Tables, C: Clear> PteWatch<T, C> {
    /// Watches the process whose `tables` are read and whose pages are cleared by `clear`. `zero` is
    /// the frame of the page of zeros.
    pub(super) fn new(tables: T, clear: C, zero: Option<u64>) -> Self {
        Self {
            tables,
            clear,
            areas: Areas::default(),
            sampled: Sampled::default(),
            exact: Exact::default(),
            refs: RefsCost::default(),
            costs: Costs::default(),
            zero,
            resident: 0,
        }
    }

    /// The parts that looking works on.
    fn parts(&mut self) -> (Means<'_, T, C>, &mut Sampled, &mut Exact) {
        let Self { tables, clear, areas, refs, costs, zero, resident, sampled, exact, .. } = self;
        let (zero, resident) = (*zero, *resident);
        (Means { tables, clear, areas, refs, costs, zero, resident }, sampled, exact)
    }

    /// What an error means for the target.
    fn verdict(&mut self, error: RoundError) -> WatchError {
        match error {
            RoundError::Watch(error) => error,
            RoundError::Clear(ClearError::Failed(what)) => WatchError::Failed(what),
            // The tables know whether it is the process or only its program that has ended. Where they can
            // still be read, it is in the middle of an exec, or its first thread has just exited.
            RoundError::Clear(ClearError::Ended) => {
                let walked = self.tables.walk(&[0], &mut [Leaf::default()]);
                walked.err().unwrap_or(WatchError::Replaced)
            }
        }
    }
}

impl<T: Tables, C: Clear> Watch for PteWatch<T, C> {
    fn prepare(&mut self, addresses: &[u64]) -> Result<(), WatchError> {
        let (mut means, sampled, _) = self.parts();
        sampled.prepare(&mut means, addresses).map_err(|error| self.verdict(error))
    }

    fn check(&mut self, addresses: &[u64], accessed: &mut [bool]) -> Result<(), WatchError> {
        let (mut means, sampled, _) = self.parts();
        sampled.check(&mut means, addresses, accessed).map_err(|error| self.verdict(error))
    }

    fn look(&mut self, touched: &mut Vec<Touched>) -> Result<(), WatchError> {
        let (mut means, _, exact) = self.parts();
        exact.look(&mut means, touched).map_err(|error| self.verdict(error))
    }

    fn mappings_changed(&mut self, mappings: &[Mapping]) -> Result<(), WatchError> {
        self.areas.replace(mappings);
        let resident = self.clear.resident();
        if resident.abs_diff(self.resident) > self.resident / 8 {
            self.refs.forget();
        }
        self.resident = resident;
        Ok(())
    }

    fn toll(&mut self) -> Toll {
        let costs = std::mem::take(&mut self.costs);
        let flushed = u32::try_from(costs.flushed).unwrap_or(u32::MAX);
        Toll {
            target: SHOOTDOWN.saturating_mul(flushed) + costs.refs / REFS_PART,
            missed: costs.missed,
            why: costs.barrier.map_or("", super::clear::Barrier::text),
        }
    }
}
