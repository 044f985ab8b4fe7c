//! The events of one kdamond into snapshots.
//!
//! At the end of an aggregation a kdamond tells all regions of all its targets, one event each: target by target,
//! regions in the order of their addresses, each with the number of regions of its target. Nothing names the
//! aggregation, so events belong together by that order alone. What does not go on with the snapshot that is being
//! filled (another target or number of regions, an address not above the last one, a pause) begins the next one,
//! so a lost event costs the snapshot it belongs to and no other.

use super::event::Hits;
use damon_format::{Region, TargetId};

/// Below this, a pause tells nothing: a kdamond may well be interrupted for so long inside a burst.
const SHORTEST_GAP_NS: u64 = 1_000_000;
/// A pause that separates bursts as long as nothing is known of the intervals.
const USUAL_GAP_NS: u64 = 20_000_000;
/// Events of one burst may come so far out of order from different CPUs.
const JITTER_NS: u64 = 1_000_000;
/// A burst that comes later than so many usual durations comes after a pause of DAMON or of the recording.
const PAUSE: u64 = 4;

/// What came of one target at the end of one aggregation.
#[derive(Clone, Debug, Default)]
pub(super) struct Assembled {
    /// Number of the target in the recording that is made.
    pub(super) target: TargetId,
    /// End of the aggregation before; `None`: not seen.
    pub(super) start_ns: Option<u64>,
    /// Time of the first region.
    pub(super) end_ns: u64,
    /// Ascending, disjoint, none empty.
    pub(super) regions: Vec<Region>,
    /// Columns of the probes' counters; each as long as `regions`.
    pub(super) probes: Vec<Vec<u32>>,
    pub(super) has_ages: bool,
    /// Regions that it must have according to its events.
    pub(super) expected: u32,
    /// Sampling interval that tuning had set when the samples were taken.
    pub(super) counted_us: Option<u64>,
    /// Sampling interval of the unit of ages; another one when tuning comes at the end of this very aggregation.
    pub(super) tuned_us: Option<u64>,
    /// No snapshot, only the time of one that does not exist (see [`Event::Filler`](super::Event::Filler)).
    pub(super) is_filler: bool,
}

impl Assembled {
    /// Regions that did not come.
    pub(super) fn missing(&self) -> u32 {
        let here = u32::try_from(self.regions.len()).unwrap_or(u32::MAX);
        self.expected.saturating_sub(here)
    }
}

/// A target as its kdamond knows it.
#[derive(Clone, Copy, Debug)]
struct Known {
    raw: u64,
    id: TargetId,
    burst: u64,
    end_ns: u64,
}

/// One region event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) time_ns: u64,
    pub(super) target: u64,
    pub(super) nr_regions: u32,
    pub(super) region: Region,
    pub(super) has_age: bool,
    pub(super) hits: Hits,
}

/// One kdamond.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about what came last")]
pub(super) struct Kdamond {
    /// What the source calls it.
    pub(super) name: Vec<u8>,
    /// Time of the last event.
    pub(super) last_ns: u64,
    /// Bursts that came after a long pause.
    pub(super) pauses: u64,
    /// Duration of the last aggregation that is known for sure.
    pub(super) usual_ns: u64,
    /// Sampling interval as tuned, if it has been.
    pub(super) tuned_us: Option<u64>,
    /// Aggregation interval, if the user knows it.
    hint_ns: Option<u64>,
    targets: Vec<Known>,
    /// The target that is being filled, as the source calls it.
    raw: u64,
    filling: Assembled,
    is_open: bool,
    /// Number of the burst, from 1.
    burst: u64,
    /// Its first event.
    burst_ns: u64,
    /// Begin of its aggregation.
    start_ns: Option<u64>,
    /// That start is the end of the burst before.
    is_contiguous: bool,
    /// Sampling interval, as tuned, that the burst's samples were taken with, and the one for the next burst.
    counted_us: Option<u64>,
    in_force_us: Option<u64>,
    /// The next region begins a burst.
    is_new: bool,
    /// Something may be missing since the last event, or since the burst began.
    lost: bool,
    disturbed: bool,
}

impl Kdamond {
    pub(super) fn new(name: &[u8], aggr_us: Option<u64>) -> Self {
        let hint_ns = aggr_us.map(|us| us.saturating_mul(1_000));
        Self { name: name.to_vec(), hint_ns, is_new: true, ..Self::default() }
    }

    /// Events may be missing from here on.
    pub(super) fn lost(&mut self) {
        self.lost = true;
        self.disturbed = true;
    }

    /// The number that a target of this kdamond has in the recording.
    pub(super) fn id(&self, target: u64) -> Option<TargetId> {
        self.targets.iter().find(|known| known.raw == target).map(|known| known.id)
    }

    /// Numbers a target that was not known.
    pub(super) fn add(&mut self, target: u64, id: TargetId) {
        self.targets.push(Known { raw: target, id, burst: 0, end_ns: 0 });
    }

    /// Whether a region goes on with what is being filled, its time aside.
    #[inline]
    fn fits(&self, row: &Row) -> bool {
        let Assembled { expected, regions, .. } = &self.filling;
        self.is_open
            && row.target == self.raw
            && row.nr_regions == *expected
            && regions.len() < row.nr_regions as usize
            && regions.last().is_none_or(|last| last.end <= row.region.start)
            && row.region.start < row.region.end
            && row.time_ns >= self.last_ns
    }

    /// Takes a region that goes on with what is being filled. `false`: it does not, or not surely.
    #[inline]
    pub(super) fn goes_on(&mut self, row: &Row) -> bool {
        let surely = row.time_ns.saturating_sub(self.last_ns) < SHORTEST_GAP_NS && !self.lost;
        if !surely || !self.fits(row) {
            return false;
        }
        self.last_ns = row.time_ns;
        self.filling.push(row);
        true
    }

    /// [`goes_on`](Self::goes_on) after a pause, or after a loss.
    pub(super) fn goes_on_later(&mut self, row: &Row) -> bool {
        if !self.fits(row) || !self.is_same_burst(row.time_ns) {
            return false;
        }
        self.lost = false;
        self.last_ns = row.time_ns;
        self.filling.push(row);
        true
    }

    /// Whether a region is told once more, with the counters of probes: `damon_aggregated` and
    /// `damon_region_aggregated` were recorded both.
    pub(super) fn is_repeated(&mut self, row: &Row) -> bool {
        let filling = &mut self.filling;
        let same = self.is_open
            && row.target == self.raw
            && row.time_ns.abs_diff(self.last_ns) < SHORTEST_GAP_NS
            && filling
                .regions
                .last()
                .is_some_and(|last| (last.start, last.end) == (row.region.start, row.region.end));
        if same {
            filling.hits(&row.hits);
        }
        same
    }

    /// Whether events of this time belong to the burst of the last one.
    fn is_same_burst(&self, time_ns: u64) -> bool {
        if self.is_new || time_ns.saturating_add(JITTER_NS) < self.last_ns {
            return false;
        }
        let gap = match (self.usual_ns, self.hint_ns) {
            (0, None) => USUAL_GAP_NS,
            (0, Some(hint)) => hint / 4 * 3,
            (usual, None) => usual / 4 * 3,
            (usual, Some(hint)) => usual.min(hint) / 4 * 3,
        };
        // Where something is known to be missing, the next burst is likelier than a long interruption.
        let gap = if self.lost { gap / 2 } else { gap };
        time_ns.saturating_sub(self.last_ns) < gap.max(SHORTEST_GAP_NS)
    }

    /// Takes a region of a known target that begins a snapshot. What it ends is to be fetched by
    /// [`close`](Self::close) before.
    pub(super) fn begin(&mut self, row: &Row) {
        let index = self.targets.iter().position(|known| known.raw == row.target);
        let known = index.and_then(|index| self.targets.get(index)).copied();
        let Some(Known { id, burst, end_ns, .. }) = known else { return };
        if !self.is_same_burst(row.time_ns) || burst == self.burst {
            self.begin_burst(row.time_ns);
        }
        // Targets are told one after the other; each has its own ends.
        let follows = self.is_contiguous && burst > 0 && burst + 1 == self.burst;
        let start_ns = if follows { Some(end_ns) } else { self.start_ns };
        let own_ns = (burst > 0 && end_ns < row.time_ns).then_some(end_ns);
        let start_ns = start_ns.map(|start| start.max(own_ns.unwrap_or(0)));
        let filling = &mut self.filling;
        filling.clear();
        filling.target = id;
        filling.start_ns = start_ns.filter(|start| *start < row.time_ns);
        filling.end_ns = row.time_ns;
        filling.expected = row.nr_regions;
        filling.counted_us = self.counted_us;
        filling.tuned_us = self.tuned_us;
        filling.push(row);
        self.is_open = true;
        self.is_new = false;
        self.lost = false;
        self.raw = row.target;
        self.last_ns = row.time_ns;
        let (burst, end_ns) = (self.burst, row.time_ns);
        if let Some(known) = index.and_then(|index| self.targets.get_mut(index)) {
            *known = Known { burst, end_ns, ..*known };
        }
    }

    /// The place of a snapshot that does not exist: it only ends an aggregation.
    pub(super) fn begin_filler(&mut self, row: &Row) {
        self.begin(row);
        self.filling.regions.clear();
        self.filling.expected = 0;
        self.filling.is_filler = true;
    }

    fn begin_burst(&mut self, time_ns: u64) {
        let before = (self.burst > 0 && self.burst_ns < time_ns).then_some(self.burst_ns);
        let lasted_ns = before.map(|before| time_ns - before);
        let usual_ns = self.usual_ns;
        let is_pause = |lasted: u64| usual_ns > 0 && lasted > usual_ns.saturating_mul(PAUSE);
        // Longer than one aggregation takes, and something is missing: perhaps a whole burst is.
        let is_gap = |lasted: u64| {
            self.disturbed && usual_ns > 0 && lasted > usual_ns.saturating_add(usual_ns / 2)
        };
        self.counted_us = self.in_force_us;
        self.in_force_us = self.tuned_us;
        (self.start_ns, self.is_contiguous) = match lasted_ns {
            Some(lasted) if is_pause(lasted) || is_gap(lasted) => {
                self.pauses += u64::from(is_pause(lasted));
                (Some(time_ns.saturating_sub(usual_ns)), false)
            }
            _ => (before, true),
        };
        if let Some(lasted) = lasted_ns.filter(|_| self.is_contiguous && !self.disturbed) {
            self.usual_ns = lasted;
        }
        if self.counted_us != self.in_force_us {
            self.usual_ns = match (self.counted_us, self.in_force_us) {
                (Some(old), Some(new)) => scale(self.usual_ns, new, old),
                _ => 0,
            };
        }
        self.burst += 1;
        self.burst_ns = time_ns;
        self.disturbed = false;
    }

    /// The kernel has tuned the intervals; the burst that follows is the last one that was counted with the old ones.
    pub(super) fn tune(&mut self, time_ns: u64, sample_us: u64) {
        self.is_new = true;
        self.last_ns = time_ns;
        self.tuned_us = Some(sample_us);
    }

    /// Ends what is being filled, and exchanges it with `out`. `false`: there was nothing.
    pub(super) fn close(&mut self, out: &mut Assembled) -> bool {
        if !self.is_open {
            return false;
        }
        self.is_open = false;
        std::mem::swap(&mut self.filling, out);
        out.settle();
        self.disturbed |= out.missing() > 0;
        true
    }
}

impl Assembled {
    fn clear(&mut self) {
        self.regions.clear();
        self.probes.clear();
        self.has_ages = true;
        self.is_filler = false;
    }

    #[inline]
    fn push(&mut self, row: &Row) {
        self.regions.push(row.region);
        self.has_ages &= row.has_age;
        if !row.hits.as_slice().is_empty() {
            self.hits(&row.hits);
        }
    }

    /// Counters of the last region.
    fn hits(&mut self, hits: &Hits) {
        let counts = hits.as_slice();
        if self.probes.is_empty() {
            self.probes.resize(counts.len(), Vec::new());
        }
        for (column, count) in self.probes.iter_mut().zip(counts) {
            // A row whose counters did not come leaves the column too short, and it will be dropped.
            if column.len() + 1 == self.regions.len() {
                column.push(u32::from(*count));
            }
        }
    }

    /// Columns with holes are none.
    fn settle(&mut self) {
        let rows = self.regions.len();
        if self.probes.iter().any(|column| column.len() != rows) {
            self.probes.clear();
        }
    }
}

/// `value * to / from`.
pub(super) fn scale(value: u64, to: u64, from: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(to) / u128::from(from.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
