//! How regions are counted: one sampled page each, or everything.

use super::exact::Census;
use crate::monitor::{AddressRange, Engine, EngineError, TargetResult};
use damon_format::{Attrs, TargetId};

/// The monitor behind a session.
pub(super) enum Mode {
    /// One page per region and sampling interval.
    Sampled(Engine),
    /// Everything, each sampling interval.
    Exact(Census),
}

impl Mode {
    pub(super) fn new(
        attrs: Attrs,
        exact: bool,
        granule: u64,
        seed: u64,
    ) -> Result<Self, EngineError> {
        Ok(if exact {
            Self::Exact(Census::new(attrs, granule, seed)?)
        } else {
            Self::Sampled(Engine::new(attrs, granule, seed)?)
        })
    }

    fn engine(&mut self) -> &mut Engine {
        match self {
            Self::Sampled(engine) => engine,
            Self::Exact(census) => census.engine_mut(),
        }
    }

    pub(super) fn add(&mut self, id: TargetId) -> Result<(), EngineError> {
        self.engine().add_target(id)
    }

    pub(super) fn remove(&mut self, id: TargetId) {
        let _was_not_there = self.engine().remove_target(id);
    }

    /// What is monitored of `id`; `fixed` ranges are the user's and stay whatever is mapped.
    pub(super) fn set_ranges(
        &mut self,
        id: TargetId,
        ranges: &[AddressRange],
        fixed: bool,
    ) -> Result<(), EngineError> {
        match self {
            Self::Sampled(engine) if fixed => engine.set_fixed_ranges(id, ranges),
            Self::Sampled(engine) => engine.set_ranges(id, ranges),
            Self::Exact(census) => census.set_ranges(id, ranges, fixed),
        }
    }

    pub(super) fn nr_regions(&self) -> usize {
        match self {
            Self::Sampled(engine) => engine.nr_regions(),
            Self::Exact(census) => census.engine().nr_regions(),
        }
    }

    pub(super) fn change_attrs(&mut self, attrs: Attrs) -> Result<(), EngineError> {
        self.engine().change_attrs(attrs)
    }

    /// Ends the running aggregation and hands each target's result to `each`.
    pub(super) fn aggregate<E>(
        &mut self,
        mut each: impl FnMut(TargetResult<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let results = match self {
            Self::Sampled(engine) => engine.aggregate(),
            Self::Exact(census) => census.aggregate(),
        };
        for result in results.targets() {
            each(result)?;
        }
        Ok(())
    }
}
