//! How regions are counted: one sampled page each, or everything.

use super::exact::Exact;
use super::kernel::Kernel;
use crate::monitor::census::CensusGranularity;
use crate::monitor::{AddressRange, Engine, EngineError, compact_ranges};
use crate::proc::page_size;
use damon_format::{Attrs, Granularity, Mapping, Snapshot, TargetId};

/// The monitor behind a session.
pub(super) enum Mode {
    /// One page per region and sampling interval.
    Sampled(Engine),
    /// Everything, each sampling interval.
    Exact(Exact),
    /// Somebody else counts: the kernel's DAMON.
    Kernel(Box<Kernel>),
}

impl Mode {
    pub(super) fn sampled(attrs: Attrs, seed: u64) -> Result<Self, EngineError> {
        Ok(Self::Sampled(Engine::new(attrs, page_size(), seed)?.cutting_around_accesses()))
    }

    pub(super) fn exact(attrs: Attrs, granularity: Granularity) -> Self {
        let granularity = match granularity {
            Granularity::Page => CensusGranularity::Pages,
            Granularity::Region | Granularity::Mapping => CensusGranularity::Mappings,
        };
        Self::Exact(Exact::new(attrs, granularity))
    }

    /// Monitors the process `pid` as `id` from nothing. `limits` are the ranges the user asked for, if any. The
    /// error says what is in the way.
    pub(super) fn add(
        &mut self,
        id: TargetId,
        pid: u32,
        mappings: &[Mapping],
        limits: &[AddressRange],
    ) -> Result<(), String> {
        match self {
            Self::Sampled(engine) => {
                let _was_not_there = engine.remove_target(id);
                let ranges = own_ranges(engine, mappings);
                let added = engine.add_target(id).and_then(|()| {
                    if limits.is_empty() {
                        engine.set_ranges(id, &ranges)
                    } else {
                        engine.set_fixed_ranges(id, limits)
                    }
                });
                added.map_err(|error| error.to_string())
            }
            Self::Exact(exact) => {
                exact.add(id, mappings, limits);
                Ok(())
            }
            Self::Kernel(kernel) => kernel.add(id, pid, mappings, limits),
        }
    }

    /// The mappings of `id` have changed. Ranges asked for stay in a sampled session, whatever is
    /// mapped there.
    pub(super) fn follow(&mut self, id: TargetId, mappings: &[Mapping], limits: &[AddressRange]) {
        match self {
            Self::Sampled(engine) if limits.is_empty() => {
                let ranges = own_ranges(engine, mappings);
                let _keeps_the_old_ones = engine.set_ranges(id, &ranges);
            }
            // The kernel follows by itself.
            Self::Sampled(_) | Self::Kernel(_) => {}
            Self::Exact(exact) => exact.follow(id, mappings, limits),
        }
    }

    /// An action was applied to `range` of `id`: its ages go on from 0. What the kernel monitors it ages
    /// itself.
    pub(super) fn reset_age(&mut self, id: TargetId, range: AddressRange) {
        match self {
            Self::Sampled(engine) => engine.reset_age(id, range),
            Self::Exact(exact) => exact.reset_age(id, range),
            Self::Kernel(_) => {}
        }
    }

    pub(super) fn nr_regions(&self) -> usize {
        match self {
            Self::Sampled(engine) => engine.nr_regions(),
            Self::Exact(exact) => exact.nr_regions(),
            Self::Kernel(kernel) => kernel.nr_regions(),
        }
    }

    pub(super) fn change_attrs(&mut self, attrs: Attrs) -> Result<(), EngineError> {
        match self {
            Self::Sampled(engine) => engine.change_attrs(attrs),
            Self::Exact(exact) => {
                exact.change_attrs(attrs);
                Ok(())
            }
            // Its attributes are not ours to change while it runs.
            Self::Kernel(_) => Ok(()),
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
            // Its aggregations end when the kernel says so.
            Self::Kernel(_) => Ok(()),
        }
    }

    /// Forgets `id`; returns what was counted of it from `start_ns` to `end_ns`, if it was looked at.
    pub(super) fn retire(&mut self, id: TargetId, start_ns: u64, end_ns: u64) -> Option<Snapshot> {
        match self {
            Self::Sampled(engine) => engine.retire(id, start_ns, end_ns),
            Self::Exact(exact) => exact.retire(id, start_ns, end_ns),
            Self::Kernel(kernel) => {
                kernel.remove(id);
                None
            }
        }
    }
}

/// What is monitored unless ranges were asked for.
fn own_ranges(engine: &Engine, mappings: &[Mapping]) -> Vec<AddressRange> {
    compact_ranges(mappings, page_size(), engine.attrs().max_nr_regions)
}
