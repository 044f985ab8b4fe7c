//! Events into snapshots.
//!
//! At the end of an aggregation a kdamond tells all regions of all its targets, one event each: targets in the order
//! of their indices, regions in the order of their addresses, each with the number of regions of its target. Nothing
//! names the aggregation, so its events are found by that order. A target is complete when as many regions have come
//! as its events say; it is handed out at that moment. A target that has no region tells nothing.
//!
//! Between two aggregations a kdamond sleeps as many sampling intervals as an aggregation has, and sleeps never end
//! early, so events of different aggregations are at least that far apart. This tells two bursts apart even if the end
//! of one and the beginning of the next are missing and what is left would look like one. Where every loss is told
//! ([`Assembler::of_told_losses`]), the middle of a target needs no such rule: then a kdamond that is kept from
//! running in the midst of it for longer than an aggregation does not cost a snapshot.

use super::decode::Event;
use damon_format::{Region, Sampling};

/// Below this, gaps alone tell nothing: a kdamond may well be interrupted for so long inside a burst.
const SHORTEST_GAP_NS: u64 = 1_000_000;

/// The regions of one target at the end of one aggregation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// The kdamond's thread id.
    pub thread: i32,
    /// Index of the target in its context.
    pub target_index: u64,
    /// Real start of the aggregation: end of the one before. Where that one was lost or was never seen, `end_ns` less
    /// the last undisturbed duration, or less the nominal one.
    pub start_ns: u64,
    /// Real end of the aggregation: time of the burst's first event, the same for all targets of a burst.
    pub end_ns: u64,
    /// The counters' scale.
    pub sampling: Sampling,
    /// Not `None`: the kernel tuned the intervals at the end of this aggregation. The samples were taken with these old
    /// intervals, and so many of them that `nr_accesses` means the same; but ages have already been rescaled to the
    /// unit of `sampling`.
    pub tuned_from: Option<Sampling>,
    /// What came: ascending, disjoint, none empty.
    pub regions: Vec<Region>,
    /// Whether the kernel tells ages.
    pub has_ages: bool,
    /// How many regions did not come. If any, this is no snapshot but the remains of one.
    pub missing: u32,
}

impl Assembled {
    /// Whether every region of the target is here.
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }
}

/// Puts the events of several kdamonds together. Allocates only while its buffers grow.
///
/// Losses show up twice: as a count that the collector told ([`Assembler::lost`]), and as remains with `missing`
/// regions; the two are not to be added.
#[derive(Debug, Default)]
pub struct Assembler {
    threads: Vec<Kdamond>,
    losses_are_told: bool,
}

impl Assembler {
    /// Of events whose losses are all told ([`Assembler::lost`]) before the next event.
    pub fn of_told_losses() -> Self {
        Self { losses_are_told: true, ..Self::default() }
    }

    /// Expects events of this kdamond, whose intervals are `sampling`; to be told again when a commit changes them. Of
    /// one that leaves them as they are [`Assembler::committed`] is to be told.
    /// Tuning by the kernel itself is followed by its events. Events of other threads are ignored.
    pub fn watch(&mut self, thread: i32, sampling: Sampling) {
        match self.threads.iter_mut().find(|known| known.filling.thread == thread) {
            // A commit makes the kernel begin its aggregation anew.
            Some(known) if known.sampling != sampling => {
                known.change(sampling);
                known.disturbed = true;
            }
            Some(_) => {}
            None => self.threads.push(Kdamond::new(thread, sampling, self.losses_are_told)),
        }
    }

    /// A commit that leaves the intervals as they are was made before the events that come now. Some kernels begin
    /// their aggregation anew for it, so this one may last longer than usual; nothing is lost.
    pub fn committed(&mut self, thread: i32) {
        if let Some(known) = self.threads.iter_mut().find(|known| known.filling.thread == thread) {
            known.disturbed = true;
        }
    }

    /// Forgets a kdamond that has ended, after handing out what is left of it.
    pub fn unwatch(&mut self, thread: i32, out: &mut dyn FnMut(&Assembled)) {
        self.threads.retain_mut(|known| {
            let ended = known.filling.thread == thread;
            if ended {
                known.close(out);
            }
            !ended
        });
    }

    /// The present intervals of a kdamond.
    pub fn sampling(&self, thread: i32) -> Option<Sampling> {
        let known = self.threads.iter().find(|known| known.filling.thread == thread)?;
        Some(known.sampling)
    }

    /// When the first aggregation of a kdamond that ends after `after_ns` is likely to end; `None` before any has.
    pub fn next_end_ns(&self, thread: i32, after_ns: u64) -> Option<u64> {
        let known = self.threads.iter().find(|known| known.filling.thread == thread)?;
        let nominal_ns = known.sampling.aggr_us.saturating_mul(1_000);
        let usual_ns = if known.usual_ns > 0 { known.usual_ns } else { nominal_ns }.max(1);
        let last_ns = known.last_end_ns?;
        let passed = after_ns.saturating_sub(last_ns) / usual_ns;
        last_ns.checked_add(usual_ns.checked_mul(passed.checked_add(1)?)?)
    }

    /// Takes the next event. A target that this completes, and the remains of one that this shows to be incomplete,
    /// are handed to `out`, remains first.
    #[inline]
    pub fn push(
        &mut self,
        time_ns: u64,
        thread: i32,
        event: &Event,
        out: &mut dyn FnMut(&Assembled),
    ) {
        let Some(known) = self.threads.iter_mut().find(|known| known.filling.thread == thread)
        else {
            return;
        };
        match *event {
            Event::Aggregated { target, nr_regions, region, has_age } => {
                known.region(time_ns, target, nr_regions, region, has_age, out);
            }
            Event::IntervalsTuned { sample_us } => known.tuned(time_ns, sample_us, out),
            Event::BeforeApply { .. } | Event::EffectiveQuota { .. } | Event::SchemeStat { .. } => {
            }
        }
    }

    /// Events were lost about here, whosever they were.
    pub fn lost(&mut self) {
        for thread in &mut self.threads {
            thread.lost_since_event = true;
            thread.disturbed = true;
        }
    }

    /// Hands out what is left: targets of which regions are missing still.
    pub fn finish(&mut self, out: &mut dyn FnMut(&Assembled)) {
        self.threads.iter_mut().for_each(|thread| thread.close(out));
    }
}

/// One kdamond.
#[derive(Debug)]
struct Kdamond {
    /// The target being filled, or the last one that was.
    filling: Assembled,
    /// How many regions it has according to its events; 0: it has been handed out.
    expected: u32,
    /// The intervals from the next burst on.
    sampling: Sampling,
    /// Those before, and when they were tuned, if no burst has come since.
    tuned_from: Option<(u64, Sampling)>,
    /// When the last event came; `None`: the next one begins a burst.
    last_event_ns: Option<u64>,
    /// Something may be missing between the last event and the next.
    lost_since_event: bool,
    /// Otherwise nothing is.
    losses_are_told: bool,
    /// End of the burst before.
    last_end_ns: Option<u64>,
    /// Something was lost since the last burst began.
    disturbed: bool,
    /// Duration of the last aggregation that is known for sure.
    usual_ns: u64,
}

impl Kdamond {
    fn new(thread: i32, sampling: Sampling, losses_are_told: bool) -> Self {
        Self {
            filling: Assembled {
                thread,
                target_index: 0,
                start_ns: 0,
                end_ns: 0,
                sampling,
                tuned_from: None,
                regions: Vec::new(),
                has_ages: true,
                missing: 0,
            },
            expected: 0,
            sampling,
            tuned_from: None,
            last_event_ns: None,
            lost_since_event: false,
            losses_are_told,
            last_end_ns: None,
            disturbed: false,
            usual_ns: 0,
        }
    }

    fn change(&mut self, sampling: Sampling) {
        self.sampling = sampling;
        self.usual_ns = 0;
    }

    fn tuned(&mut self, time_ns: u64, sample_us: u64, out: &mut dyn FnMut(&Assembled)) {
        // This is told before the first region of its aggregation.
        self.close(out);
        self.last_event_ns = None;
        let old = self.sampling;
        let max_nr_accesses = old.max_nr_accesses;
        let aggr_us = sample_us.saturating_mul(u64::from(max_nr_accesses));
        self.change(Sampling { sample_us, aggr_us, max_nr_accesses });
        self.tuned_from = Some((time_ns, old));
    }

    /// Events of different aggregations are at least so far apart, with an eighth for clocks that tick.
    fn gap_ns(&self) -> u64 {
        let Sampling { sample_us, max_nr_accesses, .. } = self.sampling;
        let slept = sample_us.saturating_mul(u64::from(max_nr_accesses)).saturating_mul(1_000);
        // Where somebody else has changed the intervals, we have seen as much.
        let gap = if self.usual_ns > 0 { slept.min(self.usual_ns) } else { slept };
        let gap = gap / 8 * 7;
        // Where something is known to be missing, the next burst is likelier than a long interruption.
        if self.lost_since_event { gap / 2 } else { gap.max(SHORTEST_GAP_NS) }
    }

    /// Whether a region belongs to the same aggregation as the event before.
    #[inline]
    fn continues(&self, time_ns: u64, target: u64, nr_regions: u32, region: Region) -> bool {
        let Some(last_ns) = self.last_event_ns else { return false };
        let since_ns = time_ns.saturating_sub(last_ns);
        // Inside a burst it is microseconds, and nothing need be known of the intervals.
        let complete_so_far = self.losses_are_told && self.expected > 0;
        let surely = !self.lost_since_event && (since_ns < SHORTEST_GAP_NS || complete_so_far);
        if !surely && since_ns >= self.gap_ns() {
            return false;
        }
        if target != self.filling.target_index {
            return target > self.filling.target_index;
        }
        let after = self.filling.regions.last().is_none_or(|last| last.end <= region.start);
        self.expected == nr_regions && after
    }

    #[inline]
    fn region(
        &mut self,
        time_ns: u64,
        target: u64,
        nr_regions: u32,
        region: Region,
        has_age: bool,
        out: &mut dyn FnMut(&Assembled),
    ) {
        if nr_regions == 0 || region.start >= region.end {
            self.lost_since_event = true;
            self.disturbed = true;
            return;
        }
        let continues = self.continues(time_ns, target, nr_regions, region);
        if !continues {
            self.close(out);
            self.begin(time_ns);
        } else if target != self.filling.target_index {
            self.close(out);
        }
        if self.expected == 0 {
            self.expected = nr_regions;
            self.filling.target_index = target;
            self.filling.has_ages = has_age;
            self.filling.regions.clear();
        }
        self.last_event_ns = Some(time_ns);
        self.lost_since_event = false;
        self.filling.regions.push(region);
        if self.filling.regions.len() >= self.expected as usize {
            self.filling.missing = 0;
            self.expected = 0;
            out(&self.filling);
        }
    }

    /// Begins a burst with an event of this time.
    fn begin(&mut self, time_ns: u64) {
        // If the burst that was tuned has been lost, this is another one.
        let tuned_from = self.tuned_from.take();
        let tuned_from =
            tuned_from.filter(|(tuned_ns, _)| time_ns.saturating_sub(*tuned_ns) < self.gap_ns());
        let tuned_from = tuned_from.map(|(_, old)| old);
        let nominal_ns = tuned_from.unwrap_or(self.sampling).aggr_us.saturating_mul(1_000);
        let usual_ns = self.usual_ns.max(nominal_ns);
        let guess_ns = time_ns.saturating_sub(usual_ns);
        let start_ns = match self.last_end_ns {
            None => guess_ns,
            // Longer than one aggregation takes, and something is missing: perhaps a whole burst is.
            Some(last_ns)
                if self.disturbed
                    && time_ns.saturating_sub(last_ns) > usual_ns.saturating_add(usual_ns / 2) =>
            {
                guess_ns
            }
            Some(last_ns) => last_ns.min(time_ns),
        };
        if self.last_end_ns.is_some() && !self.disturbed && tuned_from.is_none() {
            self.usual_ns = time_ns.saturating_sub(start_ns);
        }
        self.disturbed = false;
        self.last_end_ns = Some(time_ns);
        self.filling.start_ns = start_ns;
        self.filling.end_ns = time_ns;
        self.filling.sampling = self.sampling;
        self.filling.tuned_from = tuned_from;
    }

    /// Hands out the target being filled as the remains it is.
    fn close(&mut self, out: &mut dyn FnMut(&Assembled)) {
        if self.expected > 0 {
            let came = u32::try_from(self.filling.regions.len()).unwrap_or(u32::MAX);
            self.filling.missing = self.expected.saturating_sub(came);
            self.expected = 0;
            self.disturbed = true;
            out(&self.filling);
        }
    }
}

#[cfg(test)]
mod tests;
