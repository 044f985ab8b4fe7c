//! The engine: targets, rounds, aggregations. It does no I/O and knows no clock.

use super::attrs::{self, AttrsError};
use super::ranges::{self, RangesError};
use super::region::{AddressRange, MonitoredRegion};
use super::rng::Rng;
use super::split::Pieces;
use super::{limit, merge, split};
use damon_format::{Attrs, Region, Sampling, Snapshot, TargetId};

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

/// What is due after a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Due {
    /// Call [`Engine::aggregate`] now, before any update.
    pub aggregation: bool,
    /// Read the mappings again and call [`Engine::set_ranges`].
    pub update: bool,
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
    passed: u64,
    next_aggregation: u64,
    next_update: u64,
    accessed: Vec<bool>,
    scratch: Vec<MonitoredRegion>,
}

#[derive(Debug)]
struct Target {
    id: TargetId,
    regions: Vec<MonitoredRegion>,
    /// One address per region between `begin_round` and `record`, otherwise empty.
    points: Vec<u64>,
    /// Rounds recorded in the running aggregation.
    rounds: u32,
    fixed: bool,
}

impl Target {
    fn result(&self, attrs: &Attrs) -> TargetResult<'_> {
        TargetResult {
            id: self.id,
            sampling: Sampling {
                sample_us: attrs.sample_us,
                aggr_us: attrs.aggr_us,
                max_nr_accesses: self.rounds,
            },
            regions: &self.regions,
        }
    }
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
            passed: 0,
            next_aggregation: 0,
            next_update: 0,
            accessed: Vec::new(),
            scratch: Vec::new(),
        };
        engine.restart_schedule();
        Ok(engine)
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
                    Target { id, regions: Vec::new(), points: Vec::new(), rounds: 0, fixed: false },
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

    /// Draws one address in every region of every target.
    pub fn begin_round(&mut self) {
        for target in &mut self.targets {
            target.points.clear();
            let rng = &mut self.rng;
            target.points.extend(
                target.regions.iter().map(|region| region.start + rng.below(region.size())),
            );
        }
    }

    /// The addresses drawn for each target that has any, ascending by target and by address; to be
    /// prepared before the sampling interval begins.
    pub fn points(&self) -> impl Iterator<Item = (TargetId, &[u64])> + '_ {
        self.targets
            .iter()
            .filter(|target| !target.points.is_empty())
            .map(|target| (target.id, target.points.as_slice()))
    }

    /// Counts one target's accesses of this round: `check` is given the addresses and answers in the
    /// slice of the same length, which is all `false` at first.
    ///
    /// `check` isn't called when there is nothing to check: the target is unknown, has no regions, has
    /// got other regions since [`begin_round`](Self::begin_round), or was recorded already. If it fails
    /// nothing is counted and the target sits this round out.
    pub fn record<E>(
        &mut self,
        id: TargetId,
        check: impl FnOnce(&[u64], &mut [bool]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Ok(position) = self.position(id) else {
            return Ok(());
        };
        let Some(target) = self.targets.get_mut(position) else {
            return Ok(());
        };
        if target.points.is_empty() {
            return Ok(());
        }
        self.accessed.clear();
        self.accessed.resize(target.points.len(), false);
        let checked = check(&target.points, &mut self.accessed);
        target.points.clear();
        checked?;
        for (region, &accessed) in target.regions.iter_mut().zip(&self.accessed) {
            region.nr_accesses = region.nr_accesses.saturating_add(u32::from(accessed));
        }
        target.rounds = target.rounds.saturating_add(1);
        Ok(())
    }

    /// Ends the round and says what is due. Targets not recorded sit this round out.
    pub fn end_round(&mut self) -> Due {
        for target in &mut self.targets {
            target.points.clear();
        }
        self.passed = self.passed.saturating_add(1);
        let update = self.passed >= self.next_update;
        if update {
            let step = attrs::rounds(self.attrs.update_us, self.attrs.sample_us);
            self.next_update = self.next_update.saturating_add(step);
        }
        Due { aggregation: self.passed >= self.next_aggregation, update }
    }

    /// Ages and merges the regions, enforces the limits and lets the caller read the result; when that
    /// is dropped, counters restart and regions split.
    ///
    /// Normally called when [`end_round`](Self::end_round) says so. It may be called earlier, at the
    /// end of a recording for instance: each target's scale tells how many rounds it really holds.
    pub fn aggregate(&mut self) -> Aggregated<'_> {
        let step = attrs::rounds(self.attrs.aggr_us, self.attrs.sample_us);
        self.next_aggregation = if self.passed >= self.next_aggregation {
            self.next_aggregation.saturating_add(step)
        } else {
            self.passed.saturating_add(step)
        };

        let largest = self.all_regions().map(|region| region.nr_accesses).max();
        let threshold = largest.unwrap_or(0) / 10;
        for target in self.targets.iter_mut().filter(|target| target.rounds > 0) {
            merge::age(&mut target.regions, threshold);
        }

        let size_limit = self.size_limit();
        self.merge_to_maximum(threshold, size_limit);
        for target in &mut self.targets {
            target.points.clear();
            limit::enforce(&mut target.regions, size_limit, &mut self.scratch);
        }
        Aggregated { engine: self }
    }

    /// Forgets a target that is gone; returns what the running aggregation, which began at `start_ns`,
    /// has counted of it until `end_ns`, if it was recorded at all. The other targets' goes on.
    pub fn retire(&mut self, id: TargetId, start_ns: u64, end_ns: u64) -> Option<Snapshot> {
        let position = self.position(id).ok()?;
        let size_limit = self.size_limit();
        let mut target = self.targets.remove(position);
        if target.rounds == 0 {
            return None;
        }
        let largest = target.regions.iter().map(|region| region.nr_accesses).max();
        let threshold = largest.unwrap_or(0) / 10;
        merge::age(&mut target.regions, threshold);
        merge::merge(&mut target.regions, threshold, size_limit);
        Some(target.result(&self.attrs).snapshot(start_ns, end_ns))
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

    /// Merges what looks alike within `threshold`, and further with rising thresholds while there are
    /// too many regions.
    fn merge_to_maximum(&mut self, mut threshold: u32, size_limit: u64) {
        let ceiling = attrs::max_nr_accesses(&self.attrs);
        loop {
            for target in &mut self.targets {
                merge::merge(&mut target.regions, threshold, size_limit);
            }
            if self.nr_regions() <= self.max_nr_regions() {
                break;
            }
            match merge::next_threshold(threshold, ceiling) {
                Some(next) => threshold = next,
                None => break,
            }
        }
    }

    /// Keeps a maximum that was lowered between two aggregations: those to come may be far away, and
    /// every region costs a sample until then.
    fn merge_down(&mut self) {
        if self.nr_regions() <= self.max_nr_regions() {
            return;
        }
        for region in self.targets.iter_mut().flat_map(|target| &mut target.regions) {
            region.nr_accesses = region.last_nr_accesses;
        }
        let size_limit = self.size_limit();
        self.merge_to_maximum(0, size_limit);
        for region in self.targets.iter_mut().flat_map(|target| &mut target.regions) {
            region.last_nr_accesses = std::mem::take(&mut region.nr_accesses);
        }
    }

    fn restart_schedule(&mut self) {
        let rounds = |interval| attrs::rounds(interval, self.attrs.sample_us);
        self.next_aggregation = self.passed.saturating_add(rounds(self.attrs.aggr_us));
        self.next_update = self.passed.saturating_add(rounds(self.attrs.update_us));
    }

    fn reset_and_split(&mut self) {
        for target in &mut self.targets {
            target.rounds = 0;
            for region in &mut target.regions {
                region.last_nr_accesses = region.nr_accesses;
                region.nr_accesses = 0;
            }
        }
        let count = self.nr_regions();
        if let Some(pieces) = self.pieces.next(count, self.max_nr_regions()) {
            for target in &mut self.targets {
                split::split(
                    &mut target.regions,
                    pieces,
                    self.granule,
                    &mut self.rng,
                    &mut self.scratch,
                );
            }
        }
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

/// The result of one aggregation: merged regions with their counts.
///
/// Dropping it starts the next aggregation.
#[derive(Debug)]
#[must_use = "read the result before it is dropped"]
pub struct Aggregated<'a> {
    engine: &'a mut Engine,
}

impl Aggregated<'_> {
    /// Every target that was observed at least once in this aggregation, ascending by id.
    pub fn targets(&self) -> impl Iterator<Item = TargetResult<'_>> + '_ {
        let attrs = &self.engine.attrs;
        let observed = self.engine.targets.iter().filter(|target| target.rounds > 0);
        observed.map(|target| target.result(attrs))
    }

    /// Regions of all targets.
    pub fn nr_regions(&self) -> usize {
        self.engine.nr_regions()
    }
}

impl Drop for Aggregated<'_> {
    fn drop(&mut self) {
        self.engine.reset_and_split();
    }
}

/// One target's share of an aggregation.
#[derive(Clone, Copy, Debug)]
pub struct TargetResult<'a> {
    /// Whose.
    pub id: TargetId,
    /// The counters' scale; `max_nr_accesses` is the number of rounds this target was recorded in.
    pub sampling: Sampling,
    regions: &'a [MonitoredRegion],
}

impl TargetResult<'_> {
    /// The regions, ascending and disjoint.
    pub fn regions(&self) -> impl ExactSizeIterator<Item = Region> + '_ {
        self.regions.iter().map(Region::from)
    }

    /// An owned snapshot of the aggregation that lasted from `start_ns` to `end_ns`.
    pub fn snapshot(&self, start_ns: u64, end_ns: u64) -> Snapshot {
        Snapshot::new(self.id, start_ns, end_ns, self.sampling, self.regions().collect())
    }
}

#[cfg(test)]
mod properties;
mod reset;
#[cfg(test)]
mod tests;
