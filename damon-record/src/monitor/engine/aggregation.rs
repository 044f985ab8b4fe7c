//! The end of an aggregation: regions merge, the result is read, regions split.

use super::{Engine, Target};
use crate::monitor::region::MonitoredRegion;
use crate::monitor::split::Cuts;
use crate::monitor::{attrs, limit, merge, split};
use damon_format::{Attrs, Region, Sampling, Snapshot, TargetId};

/// The result of one aggregation: merged regions with their counts.
///
/// Dropping it starts the next aggregation.
#[derive(Debug)]
#[must_use = "read the result before it is dropped"]
pub struct Aggregated<'a> {
    pub(super) engine: &'a mut Engine,
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
        merge::merge(&mut target.regions, threshold, size_limit, self.rounding);
        Some(target.result(&self.attrs).snapshot(start_ns, end_ns))
    }

    /// Merges what looks alike within `threshold`, and further with rising thresholds while there are
    /// too many regions.
    fn merge_to_maximum(&mut self, mut threshold: u32, size_limit: u64) {
        let ceiling = attrs::max_nr_accesses(&self.attrs);
        loop {
            for target in &mut self.targets {
                merge::merge(&mut target.regions, threshold, size_limit, self.rounding);
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
    pub(super) fn merge_down(&mut self) {
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

    fn reset_and_split(&mut self) {
        let max_nr_accesses = attrs::max_nr_accesses(&self.attrs);
        let (count, most) = (self.nr_regions(), self.max_nr_regions());
        let pieces = self.pieces.next(count, most);
        // Each of them may become three.
        let has_room = count < most / 3;
        for target in &mut self.targets {
            target.rounds = 0;
            for region in &mut target.regions {
                region.last_nr_accesses = region.nr_accesses;
                region.nr_accesses = 0;
            }
            self.seen.clear();
            if has_room {
                self.seen.extend(target.witnesses.iter().flatten());
                // They are in order unless regions have changed meanwhile.
                self.seen.sort_unstable();
            }
            target.witnesses.clear();
            let Some(pieces) = pieces else {
                continue;
            };
            let cuts = Cuts { pieces, granule: self.granule, max_nr_accesses, seen: &self.seen };
            split::split(&mut target.regions, &cuts, &mut self.rng, &mut self.scratch);
        }
    }
}
