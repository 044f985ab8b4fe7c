//! Exact looks: one census per target, and the schedule they share.

use crate::backend::Touched;
use crate::monitor::census::{Census, CensusGranularity, TouchedRange};
use crate::monitor::{AddressRange, mapped_ranges};
use damon_format::{Attrs, Mapping, Sampling, Snapshot, TargetId};

/// The monitor of an exact session.
#[derive(Debug)]
pub(super) struct Exact {
    attrs: Attrs,
    granularity: CensusGranularity,
    /// Ascending by id.
    targets: Vec<Counted>,
    rounds: u64,
}

#[derive(Debug)]
struct Counted {
    id: TargetId,
    ranges: Vec<AddressRange>,
    census: Census,
    regions: usize,
}

impl Exact {
    pub(super) fn new(attrs: Attrs, granularity: CensusGranularity) -> Self {
        Self { attrs, granularity, targets: Vec::new(), rounds: 0 }
    }

    /// Counts what is mapped of `id`, within `limits` if there are any, from nothing.
    pub(super) fn add(&mut self, id: TargetId, mappings: &[Mapping], limits: &[AddressRange]) {
        self.remove(id);
        let index = self.targets.partition_point(|t| t.id < id);
        let counted = Counted {
            id,
            ranges: within(mappings, limits),
            census: Census::new(self.granularity, self.attrs.max_nr_regions),
            regions: 0,
        };
        self.targets.insert(index, counted);
    }

    pub(super) fn remove(&mut self, id: TargetId) {
        self.targets.retain(|t| t.id != id);
    }

    /// The mappings have changed; counts of what persists are kept.
    pub(super) fn follow(&mut self, id: TargetId, mappings: &[Mapping], limits: &[AddressRange]) {
        if let Some(target) = self.targets.iter_mut().find(|t| t.id == id) {
            target.ranges = within(mappings, limits);
        }
    }

    /// An action was applied to `range` of `id`: its ages go on from 0.
    pub(super) fn reset_age(&mut self, id: TargetId, range: AddressRange) {
        if let Some(target) = self.targets.iter_mut().find(|t| t.id == id) {
            target.census.reset_age(range);
        }
    }

    pub(super) fn nr_regions(&self) -> usize {
        self.targets.iter().map(|t| t.regions).sum()
    }

    /// Whether nothing has been counted since the last aggregation.
    pub(super) fn is_fresh(&self) -> bool {
        self.rounds == 0
    }

    /// Counts what one look found.
    pub(super) fn record(&mut self, id: TargetId, touched: &[Touched]) {
        if let Some(target) = self.targets.iter_mut().find(|t| t.id == id) {
            let ranges =
                touched.iter().map(|t| TouchedRange { start: t.start, end: t.end, bytes: t.bytes });
            // Mappings come from the kernel ascending and disjoint; were they not, this look is left out.
            let _refused = target.census.look(&target.ranges, ranges);
        }
    }

    /// Ends a round; true when the aggregation is complete.
    pub(super) fn end_round(&mut self) -> bool {
        self.rounds += 1;
        self.rounds
            >= u64::from(
                Sampling::from_intervals(self.attrs.sample_us, self.attrs.aggr_us).max_nr_accesses,
            )
    }

    /// Other intervals from now on; call it at the end of an aggregation.
    pub(super) fn change_attrs(&mut self, attrs: Attrs) {
        self.attrs = attrs;
        self.rounds = 0;
    }

    /// Ends the aggregation that lasted from `start_ns` (of each target) to `end_ns`.
    pub(super) fn aggregate<E>(
        &mut self,
        start_ns: impl Fn(TargetId) -> u64,
        end_ns: u64,
        mut each: impl FnMut(&Snapshot) -> Result<(), E>,
    ) -> Result<(), E> {
        self.rounds = 0;
        for target in &mut self.targets {
            if let Some(snapshot) = target.aggregate(&self.attrs, start_ns(target.id), end_ns) {
                each(&snapshot)?;
            }
        }
        Ok(())
    }

    /// Forgets `id`; returns what was counted of it, if anything was.
    pub(super) fn retire(&mut self, id: TargetId, start_ns: u64, end_ns: u64) -> Option<Snapshot> {
        let index = self.targets.binary_search_by_key(&id, |t| t.id).ok()?;
        self.targets.remove(index).aggregate(&self.attrs, start_ns, end_ns)
    }
}

impl Counted {
    fn aggregate(&mut self, attrs: &Attrs, start_ns: u64, end_ns: u64) -> Option<Snapshot> {
        let result = self.census.aggregate()?;
        self.regions = result.regions.len();
        let sampling = Sampling {
            sample_us: attrs.sample_us,
            aggr_us: attrs.aggr_us,
            max_nr_accesses: result.max_nr_accesses,
        };
        Some(Snapshot::new(self.id, start_ns, end_ns, sampling, result.regions.to_vec()))
    }
}

/// What is mapped, cut to `limits` unless there are none; both ascend.
fn within(mappings: &[Mapping], limits: &[AddressRange]) -> Vec<AddressRange> {
    let mapped = mapped_ranges(mappings);
    if limits.is_empty() {
        return mapped.collect();
    }
    mapped
        .flat_map(|range| {
            limits.iter().filter_map(move |limit| {
                let start = range.start.max(limit.start);
                let end = range.end.min(limit.end);
                (start < end).then_some(AddressRange { start, end })
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::Permissions;

    const ID: TargetId = TargetId(0);

    fn attrs() -> Attrs {
        Attrs {
            sample_us: 100,
            aggr_us: 300,
            update_us: 1000,
            min_nr_regions: 10,
            max_nr_regions: 1000,
        }
    }

    fn mapping(start: u64, end: u64) -> Mapping {
        Mapping {
            start,
            end,
            permissions: Permissions::default(),
            offset: 0,
            inode: 0,
            name: String::new(),
        }
    }

    fn touched(start: u64, end: u64) -> Touched {
        Touched { start, end, bytes: end - start }
    }

    fn snapshots(exact: &mut Exact) -> Vec<Snapshot> {
        let mut all = Vec::new();
        let Ok(()) = exact.aggregate(
            |_| 5,
            9,
            |snapshot| {
                all.push(snapshot.clone());
                Ok::<(), std::convert::Infallible>(())
            },
        );
        all
    }

    #[test]
    fn an_aggregation_has_as_many_looks_as_fit() {
        let mut exact = Exact::new(attrs(), CensusGranularity::Pages);
        exact.add(ID, &[mapping(0x1000, 0x9000)], &[]);
        for (look, complete) in [(1, false), (2, false), (3, true)] {
            exact.record(ID, &[touched(0x1000, 0x1000 + look * 0x1000)]);
            assert_eq!(exact.end_round(), complete);
        }
        let all = snapshots(&mut exact);
        let [snapshot] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((snapshot.start_ns, snapshot.end_ns), (5, 9));
        let rates: Vec<(u64, u32)> = snapshot
            .regions
            .iter()
            .map(|r| (r.end, r.nr_accesses * 3 / snapshot.sampling.max_nr_accesses))
            .collect();
        assert_eq!(rates, [(0x2000, 3), (0x3000, 2), (0x4000, 1), (0x9000, 0)]);
        assert!(snapshots(&mut exact).is_empty(), "nothing was looked at since");
    }

    #[test]
    fn ranges_asked_for_limit_what_is_counted() {
        let limits =
            [(0x2000, 0x3000), (0x4000, 0x7000)].map(|(start, end)| AddressRange { start, end });
        let mappings = [mapping(0x1000, 0x5000), mapping(0x6000, 0x9000)];
        let expected = [(0x2000, 0x3000), (0x4000, 0x5000), (0x6000, 0x7000)]
            .map(|(start, end)| AddressRange { start, end });
        assert_eq!(within(&mappings, &limits), expected);
        assert_eq!(within(&mappings, &[]).len(), 2);
    }
}
