//! Regions and snapshots: what a monitor counted between two moments.

use serde::Serialize;

/// Names one target inside one trace; dense, in order of appearance, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TargetId(pub u32);

impl std::fmt::Display for TargetId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// `[start, end)` of one target with its two counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// One past the last byte; always greater than `start`.
    pub end: u64,
    /// Positive samples in this aggregation, 0 ..= [`Sampling::max_nr_accesses`] (a sample more is
    /// possible in recordings of the kernel's DAMON).
    pub nr_accesses: u32,
    /// Aggregations for which the access pattern has persisted.
    pub age: u32,
}

impl Region {
    /// Bytes from start to end.
    pub fn size(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// The scale of one snapshot's counters: without it neither `nr_accesses` nor `age` means anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Sampling {
    /// Sampling interval in microseconds.
    pub sample_us: u64,
    /// Aggregation interval in microseconds, the unit of `age`.
    pub aggr_us: u64,
    /// The value of `nr_accesses` that means "accessed in every sample"; at least 1.
    pub max_nr_accesses: u32,
}

impl Sampling {
    /// The usual scale: as many samples per aggregation as fit (kernel: `damon_max_nr_accesses`).
    pub fn from_intervals(sample_us: u64, aggr_us: u64) -> Self {
        let max = (aggr_us / sample_us.max(1)).max(1);
        Self { sample_us, aggr_us, max_nr_accesses: u32::try_from(max).unwrap_or(u32::MAX) }
    }
}

/// All regions of one target at the end of one aggregation; owned, for producers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Whose address space.
    pub target: TargetId,
    /// Real start of the aggregation, nanoseconds of `CLOCK_MONOTONIC`.
    pub start_ns: u64,
    /// Real end of the aggregation, nanoseconds of `CLOCK_MONOTONIC`; not before `start_ns`.
    pub end_ns: u64,
    /// The counters' scale.
    pub sampling: Sampling,
    /// Whether `age` was observed; where not (old kernels), ages are stored as absent.
    pub has_ages: bool,
    /// Ascending, disjoint, none empty. May be empty: monitored, but nothing mapped.
    pub regions: Vec<Region>,
    /// Optional further counters, one column per probe, each as long as `regions`.
    pub probes: Vec<Vec<u32>>,
}

impl Snapshot {
    /// A snapshot with ages and no probe columns.
    pub fn new(
        target: TargetId,
        start_ns: u64,
        end_ns: u64,
        sampling: Sampling,
        regions: Vec<Region>,
    ) -> Self {
        Self { target, start_ns, end_ns, sampling, has_ages: true, regions, probes: Vec::new() }
    }
}

/// One decoded snapshot, borrowed from the decoder's columns; all slices have the same length.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotView<'a> {
    /// Whose address space.
    pub target: TargetId,
    /// Real start of the aggregation, nanoseconds of `CLOCK_MONOTONIC`.
    pub start_ns: u64,
    /// Real end of the aggregation, nanoseconds of `CLOCK_MONOTONIC`.
    pub end_ns: u64,
    /// The counters' scale.
    pub sampling: Sampling,
    /// First byte of each region.
    pub starts: &'a [u64],
    /// One past the last byte of each region.
    pub ends: &'a [u64],
    /// Positive samples of each region.
    pub nr_accesses: &'a [u32],
    /// Ages in aggregations, or `None` where they were not observed.
    pub ages: Option<&'a [u32]>,
    /// Probe columns, each as long as `starts`.
    pub probes: &'a [Vec<u32>],
}

impl SnapshotView<'_> {
    /// Number of regions.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// True when the target had no monitored region.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The regions one by one; an age that was not observed reads as 0.
    pub fn regions(&self) -> impl ExactSizeIterator<Item = Region> + '_ {
        (0..self.len()).map(move |i| Region {
            start: self.starts.get(i).copied().unwrap_or(0),
            end: self.ends.get(i).copied().unwrap_or(0),
            nr_accesses: self.nr_accesses.get(i).copied().unwrap_or(0),
            age: self.ages.and_then(|a| a.get(i).copied()).unwrap_or(0),
        })
    }

    /// A copy that owns its columns.
    pub fn to_snapshot(self) -> Snapshot {
        Snapshot {
            target: self.target,
            start_ns: self.start_ns,
            end_ns: self.end_ns,
            sampling: self.sampling,
            has_ages: self.ages.is_some(),
            regions: self.regions().collect(),
            probes: self.probes.to_vec(),
        }
    }
}
