//! How regions are counted: one sampled page each, or everything.

use super::exact::Exact;
use crate::monitor::census::CensusGranularity;
use crate::monitor::{AddressRange, Engine, EngineError, default_ranges};
use crate::proc::page_size;
use damon_format::{Attrs, Granularity, Mapping, Snapshot, TargetId};

/// The monitor behind a session.
pub(super) enum Mode {
    /// One page per region and sampling interval.
    Sampled(Engine),
    /// Everything, each sampling interval.
    Exact(Exact),
}

impl Mode {
    pub(super) fn sampled(attrs: Attrs, seed: u64) -> Result<Self, EngineError> {
        Ok(Self::Sampled(Engine::new(attrs, page_size(), seed)?))
    }

    pub(super) fn exact(attrs: Attrs, granularity: Granularity) -> Self {
        let granularity = match granularity {
            Granularity::Page => CensusGranularity::Pages,
            Granularity::Region | Granularity::Mapping => CensusGranularity::Mappings,
        };
        Self::Exact(Exact::new(attrs, granularity))
    }

    /// Monitors `id` from nothing. `limits` are the ranges the user asked for, if any.
    pub(super) fn add(
        &mut self,
        id: TargetId,
        mappings: &[Mapping],
        limits: &[AddressRange],
    ) -> Result<(), EngineError> {
        match self {
            Self::Sampled(engine) => {
                let _was_not_there = engine.remove_target(id);
                engine.add_target(id)?;
                if limits.is_empty() {
                    engine.set_ranges(id, &default_ranges(mappings, page_size()))
                } else {
                    engine.set_fixed_ranges(id, limits)
                }
            }
            Self::Exact(exact) => {
                exact.add(id, mappings, limits);
                Ok(())
            }
        }
    }

    /// The mappings of `id` have changed. Ranges asked for stay in a sampled session, whatever is
    /// mapped there.
    pub(super) fn follow(&mut self, id: TargetId, mappings: &[Mapping], limits: &[AddressRange]) {
        match self {
            Self::Sampled(engine) if limits.is_empty() => {
                let ranges = default_ranges(mappings, page_size());
                let _keeps_the_old_ones = engine.set_ranges(id, &ranges);
            }
            Self::Sampled(_) => {}
            Self::Exact(exact) => exact.follow(id, mappings, limits),
        }
    }

    pub(super) fn nr_regions(&self) -> usize {
        match self {
            Self::Sampled(engine) => engine.nr_regions(),
            Self::Exact(exact) => exact.nr_regions(),
        }
    }

    pub(super) fn change_attrs(&mut self, attrs: Attrs) -> Result<(), EngineError> {
        match self {
            Self::Sampled(engine) => engine.change_attrs(attrs),
            Self::Exact(exact) => {
                exact.change_attrs(attrs);
                Ok(())
            }
        }
    }

    /// Ends the aggregation that lasted from `start_ns` (of each target) to `end_ns`, and hands each
    /// target's snapshot to `each`.
    pub(super) fn aggregate<E>(
        &mut self,
        start_ns: impl Fn(TargetId) -> u64,
        end_ns: u64,
        mut each: impl FnMut(&Snapshot) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Sampled(engine) => {
                let results = engine.aggregate();
                for result in results.targets() {
                    each(&result.snapshot(start_ns(result.id), end_ns))?;
                }
                Ok(())
            }
            Self::Exact(exact) => exact.aggregate(start_ns, end_ns, each),
        }
    }

    /// Forgets `id`; returns what was counted of it from `start_ns` to `end_ns`, if it was looked at.
    pub(super) fn retire(&mut self, id: TargetId, start_ns: u64, end_ns: u64) -> Option<Snapshot> {
        match self {
            Self::Sampled(engine) => engine.retire(id, start_ns, end_ns),
            Self::Exact(exact) => exact.retire(id, start_ns, end_ns),
        }
    }
}
