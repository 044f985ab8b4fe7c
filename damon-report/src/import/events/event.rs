//! What DAMON's tracepoints tell, whatever text or bytes it came in.

use damon_format::Region;
use damon_format::damos::rules::Stats;

/// Something that a kdamond told. Addresses are in the context's address units (bytes unless `addr_unit` says
/// otherwise, which no event tells).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// One region at the end of an aggregation (`damon_aggregated`, `damon_region_aggregated`).
    Region {
        /// Index of the target in its context; before Linux 5.18 a pointer that only tells targets apart.
        target: u64,
        /// Regions of this target now: so many of these events belong together.
        nr_regions: u32,
        /// The region. Its age is 0 where it was not told.
        region: Region,
        /// Whether the age was told (Linux 5.17).
        has_age: bool,
        /// Samples that met each probe's condition; none with `damon_aggregated`.
        hits: Hits,
    },
    /// Not a region, but what damo writes after the only snapshot of a target to tell that snapshot's duration.
    Filler {
        /// As in [`Event::Region`].
        target: u64,
    },
    /// A region, just before a scheme's action is applied to it (`damos_before_apply`).
    Apply {
        /// Index of the scheme in its context.
        scheme: u32,
        /// Index of the target in its context.
        target: u64,
        /// The region; `nr_accesses` is the moving sum.
        region: Region,
    },
    /// The intervals were tuned (`damon_monitor_intervals_tune`); the regions of the same aggregation follow, with
    /// ages already in the new unit.
    Tuned {
        /// The new sampling interval in microseconds. The aggregation interval stays the same multiple of it.
        sample_us: u64,
    },
    /// A scheme's effective size quota has changed (`damos_esz`).
    Quota {
        /// Index of the scheme in its context.
        scheme: u32,
        /// Bytes per window.
        bytes: u64,
    },
    /// What a scheme has done since it was installed (`damos_stat_after_apply_interval`).
    Stats {
        /// Index of the scheme in its context.
        scheme: u32,
        /// Its counters.
        stats: Stats,
    },
}

/// One counter per probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    len: u8,
    counts: [u8; Self::MAX],
}

impl Hits {
    /// Most probes that are kept; Linux has at most 4.
    pub const MAX: usize = 8;

    /// The counters in the order of the probes; those beyond [`Self::MAX`] are dropped.
    pub fn new(counts: impl IntoIterator<Item = u8>) -> Self {
        let mut hits = Self::default();
        for (slot, count) in hits.counts.iter_mut().zip(counts) {
            *slot = count;
            hits.len += 1;
        }
        hits
    }

    /// The counters.
    pub fn as_slice(&self) -> &[u8] {
        self.counts.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// The tracepoints of DAMON that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Event::Region`].
    Aggregated,
    /// [`Event::Apply`].
    Apply,
    /// [`Event::Tuned`].
    Tuned,
    /// [`Event::Quota`].
    Quota,
    /// [`Event::Stats`].
    Stats,
}

impl Kind {
    /// The kernel's names.
    pub const NAMES: [(&[u8], Self); 6] = [
        (b"damon_aggregated", Self::Aggregated),
        (b"damon_region_aggregated", Self::Aggregated),
        (b"damos_before_apply", Self::Apply),
        (b"damon_monitor_intervals_tune", Self::Tuned),
        (b"damos_esz", Self::Quota),
        (b"damos_stat_after_apply_interval", Self::Stats),
    ];

    /// The tracepoint of this name.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }
}
