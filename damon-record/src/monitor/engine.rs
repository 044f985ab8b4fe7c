//! The engine: targets, rounds, aggregations. It does no I/O and knows no clock.

mod aggregation;
#[cfg(test)]
mod properties;
mod reset;
mod round;
#[cfg(test)]
mod tests;

pub use aggregation::{Aggregated, TargetResult};
pub use round::Due;

use super::attrs::{self, AttrsError};
use super::merge::Rounding;
use super::ranges::{self, RangesError};
use super::region::{AddressRange, MonitoredRegion};
use super::rng::Rng;
use super::split::Pieces;
use super::{limit, split};
use damon_format::{Attrs, TargetId};

/// Why the engine refused a call; it is unchanged then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// See [`AttrsError`].
    #[error(transparent)]
    Attrs(#[from] AttrsError),
    /// See [`RangesError`].
    #[error("target {target}: {error}")]
    Ranges {
        /// Whose ranges.
        target: TargetId,
        /// What is wrong with them.
        error: RangesError,
    },
    /// The target is there already.
    #[error("target {0} is monitored already; remove it before adding it again")]
    Duplicate(TargetId),
    /// There is no such target.
    #[error("target {0} is not monitored; add it first")]
    Unknown(TargetId),
}

/// DAMON's region-based monitoring of several targets that share one pair of region limits.
///
/// One round:
///
/// 1. [`begin_round`](Self::begin_round) draws one address in every region; prepare the pages of
///    [`points`](Self::points).
/// 2. Wait one sampling interval.
/// 3. [`record`](Self::record) every target's accesses, then [`end_round`](Self::end_round).
/// 4. When it says so: [`aggregate`](Self::aggregate), then [`set_ranges`](Self::set_ranges).
///
/// Targets may come, go and change at any moment; a target whose regions change between
/// `begin_round` and `record` sits this round out. Buffers are reused: a round allocates nothing once
/// the number of regions has settled.
#[derive(Debug)]
pub struct Engine {
    attrs: Attrs,
    granule: u64,
    rng: Rng,
    /// Ascending by id.
    targets: Vec<Target>,
    pieces: Pieces,
    rounding: Rounding,
    passed: u64,
    next_aggregation: u64,
    next_update: u64,
    accessed: Vec<bool>,
    scratch: Vec<MonitoredRegion>,
    cuts_around_accesses: bool,
    /// The witnesses of one target, ascending; only working memory.
    seen: Vec<u64>,
}

#[derive(Debug)]
struct Target {
    id: TargetId,
    regions: Vec<MonitoredRegion>,
    /// One address per region between `begin_round` and `record`, otherwise empty.
    points: Vec<u64>,
    /// Of each region the latest address in the running aggregation that was accessed. Regions may have changed
    /// since: hints, and where there are none, none.
    witnesses: Vec<Option<u64>>,
    /// Rounds recorded in the running aggregation.
    rounds: u32,
    fixed: bool,
}

impl Engine {
    /// An engine without targets. `granule` is the smallest region in bytes, normally the page size;
    /// everything random follows from `seed`.
    pub fn new(attrs: Attrs, granule: u64, seed: u64) -> Result<Self, EngineError> {
        attrs::validate(&attrs)?;
        if granule == 0 {
            return Err(AttrsError::NoGranule.into());
        }
        let mut engine = Self {
            attrs,
            granule,
            rng: Rng::new(seed),
            targets: Vec::new(),
            pieces: Pieces::default(),
            rounding: Rounding::default(),
            passed: 0,
            next_aggregation: 0,
            next_update: 0,
            accessed: Vec::new(),
            scratch: Vec::new(),
            cuts_around_accesses: false,
            seen: Vec::new(),
        };
        engine.restart_schedule();
        Ok(engine)
    }

    /// Cuts regions in which little was accessed around an address that was, where the kernel cuts anywhere: see
    /// [`split::split`]. Limits and counters are as ever.
    #[must_use]
    pub fn cutting_around_accesses(mut self) -> Self {
        self.cuts_around_accesses = true;
        self
    }

    /// From the next aggregation on, means are rounded like this where regions merge.
    pub fn set_rounding(&mut self, rounding: Rounding) {
        self.rounding = rounding;
    }

    /// The attributes in force.
    pub fn attrs(&self) -> &Attrs {
        &self.attrs
    }

    /// Adds a target that has no regions yet.
    pub fn add_target(&mut self, id: TargetId) -> Result<(), EngineError> {
        match self.position(id) {
            Ok(_) => Err(EngineError::Duplicate(id)),
            Err(position) => {
                self.targets.insert(
                    position,
                    Target {
                        id,
                        regions: Vec::new(),
                        points: Vec::new(),
                        witnesses: Vec::new(),
                        rounds: 0,
                        fixed: false,
                    },
                );
                Ok(())
            }
        }
    }

    /// Forgets a target and its counters.
    pub fn remove_target(&mut self, id: TargetId) -> Result<(), EngineError> {
        let position = self.known(id)?;
        self.targets.remove(position);
        Ok(())
    }

    /// Ids of all targets, ascending.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = TargetId> + '_ {
        self.targets.iter().map(|target| target.id)
    }

    /// Regions of all targets.
    pub fn nr_regions(&self) -> usize {
        self.targets.iter().map(|target| target.regions.len()).sum()
    }

    /// The regions of one target as they are now; none for an unknown target.
    pub fn regions(&self, id: TargetId) -> &[MonitoredRegion] {
        match self.position(id) {
            Ok(position) => {
                self.targets.get(position).map_or(&[], |target| target.regions.as_slice())
            }
            Err(_) => &[],
        }
    }

    /// Monitors exactly `ranges` of a target, rounded outwards to whole granules. No ranges at all
    /// means no regions.
    ///
    /// A target without regions is divided evenly; later calls keep counters where ranges persist
    /// ([`ranges::fit`]). Does nothing to a target with
    /// [fixed ranges](Self::set_fixed_ranges).
    pub fn set_ranges(&mut self, id: TargetId, ranges: &[AddressRange]) -> Result<(), EngineError> {
        self.replace_ranges(id, ranges, false)
    }

    /// Monitors `ranges` given by the user, whatever is mapped there;
    /// [`set_ranges`](Self::set_ranges) leaves them alone from now on.
    pub fn set_fixed_ranges(
        &mut self,
        id: TargetId,
        ranges: &[AddressRange],
    ) -> Result<(), EngineError> {
        self.replace_ranges(id, ranges, true)
    }

    fn replace_ranges(
        &mut self,
        id: TargetId,
        ranges: &[AddressRange],
        fixed: bool,
    ) -> Result<(), EngineError> {
        let position = self.known(id)?;
        let ranges = ranges::aligned(ranges, self.granule)
            .map_err(|error| EngineError::Ranges { target: id, error })?;
        let (min, granule) = (self.attrs.min_nr_regions, self.granule);
        let Some(target) = self.targets.get_mut(position) else {
            return Ok(());
        };
        if target.fixed && !fixed {
            return Ok(());
        }
        target.fixed = fixed;
        target.points.clear();
        let initial = target.regions.is_empty();
        ranges::fit(&mut target.regions, &ranges);
        let limit = limit::size_limit(self.total_size(), min, granule);
        if let Some(target) = self.targets.get_mut(position) {
            if initial {
                target.regions = target
                    .regions
                    .iter()
                    .flat_map(|region| divide(region, limit, granule))
                    .collect();
            }
            limit::enforce(&mut target.regions, limit, &mut self.scratch);
        }
        Ok(())
    }

    /// Changes intervals and region limits from now on.
    ///
    /// What was counted in the running aggregation is dropped, the previous result and the ages are
    /// converted to the new scale, and the schedule restarts. A lower maximum holds at once: neighbours
    /// merge by the previous result, most alike first.
    pub fn change_attrs(&mut self, new: Attrs) -> Result<(), EngineError> {
        attrs::validate(&new)?;
        let old = self.attrs;
        for target in &mut self.targets {
            target.points.clear();
            target.rounds = 0;
            for region in &mut target.regions {
                region.nr_accesses = 0;
                region.last_nr_accesses =
                    attrs::rescale_nr_accesses(region.last_nr_accesses, &old, &new);
                region.age = attrs::rescale_age(region.age, &old, &new);
            }
        }
        self.attrs = new;
        self.restart_schedule();
        self.merge_down();
        Ok(())
    }

    fn restart_schedule(&mut self) {
        let rounds = |interval| attrs::rounds(interval, self.attrs.sample_us);
        self.next_aggregation = self.passed.saturating_add(rounds(self.attrs.aggr_us));
        self.next_update = self.passed.saturating_add(rounds(self.attrs.update_us));
    }

    fn position(&self, id: TargetId) -> Result<usize, usize> {
        self.targets.binary_search_by_key(&id, |target| target.id)
    }

    fn known(&self, id: TargetId) -> Result<usize, EngineError> {
        self.position(id).ok().ok_or(EngineError::Unknown(id))
    }

    fn all_regions(&self) -> impl Iterator<Item = &MonitoredRegion> {
        self.targets.iter().flat_map(|target| &target.regions)
    }

    fn total_size(&self) -> u128 {
        self.all_regions().map(|region| u128::from(region.size())).sum()
    }

    fn size_limit(&self) -> u64 {
        limit::size_limit(self.total_size(), self.attrs.min_nr_regions, self.granule)
    }

    fn max_nr_regions(&self) -> usize {
        usize::try_from(self.attrs.max_nr_regions).unwrap_or(usize::MAX)
    }
}

/// The even parts of a new region, none much larger than `limit`.
fn divide(
    region: &MonitoredRegion,
    limit: u64,
    granule: u64,
) -> impl Iterator<Item = MonitoredRegion> + use<> {
    let pieces = region.size().div_ceil(limit.max(1));
    let whole = *region;
    let parts = split::split_evenly(whole.start, whole.end, pieces, granule);
    let undivided = parts.is_none().then_some(whole);
    parts.into_iter().flatten().chain(undivided)
}
