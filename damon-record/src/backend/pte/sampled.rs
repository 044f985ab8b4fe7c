//! One page per region: clear its Accessed bit, wait, look whether it is set again.

use super::areas::Areas;
use super::clear::{Barrier, Clear, ClearError};
use super::tables::{Leaf, Tables};
use crate::backend::WatchError;
use crate::sys::madvise::Range;
use nix::errno::Errno;
use std::time::Duration;

/// `clear_refs` clears every page of the process, so it is used for a few pages only where it takes at
/// most this part of the sampling interval …
const REFS_SHARE_FOR_ANY: u32 = 100;
/// … and up to this part when …
const REFS_SHARE_FOR_MANY: u32 = 20;
/// … one page in so many can be observed by no other means.
const MANY: usize = 8;
/// The interval that is assumed in the first round.
const FIRST_INTERVAL: Duration = Duration::from_millis(5);

/// Why a round was not prepared.
#[derive(Debug)]
pub(super) enum RoundError {
    /// The page tables could not be read.
    Watch(WatchError),
    /// Nothing could be cleared.
    Clear(ClearError),
}

impl From<WatchError> for RoundError {
    fn from(error: WatchError) -> Self {
        Self::Watch(error)
    }
}

impl From<ClearError> for RoundError {
    fn from(error: ClearError) -> Self {
        Self::Clear(error)
    }
}

/// What a page was like when the sampling interval began.
#[derive(Clone, Copy, Debug)]
struct Sample {
    before: Leaf,
    /// Why its Accessed bit says nothing about this interval.
    barrier: Option<Barrier>,
}

/// What a round has cost the target and missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Costs {
    /// Entries cleared one by one, each with a TLB flush.
    pub(super) flushed: u64,
    /// Time spent in `clear_refs`.
    pub(super) refs: Duration,
    /// Pages that could not be observed.
    pub(super) missed: u64,
    /// Why the last of them could not.
    pub(super) barrier: Option<Barrier>,
}

impl Costs {
    pub(super) fn miss(&mut self, count: u64, barrier: Barrier) {
        if count > 0 {
            self.missed += count;
            self.barrier = Some(barrier);
        }
    }
}

/// What `clear_refs` takes per GiB of small pages in memory, when the target uses them all meanwhile; a
/// quarter of that when it is idle.
const REFS_NS_PER_GIB: u64 = 22_000_000;

/// How long `clear_refs` takes: what it took last time, at first an estimate.
#[derive(Debug, Default)]
pub(super) struct RefsCost(Option<Duration>);

impl RefsCost {
    /// The expected time for `resident` bytes.
    pub(super) fn expected(&self, resident: u64) -> Duration {
        self.0.unwrap_or_else(|| {
            let ns = (u128::from(resident) * u128::from(REFS_NS_PER_GIB)) >> 30;
            Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
        })
    }

    /// Runs it, and remembers half the old and half the new time.
    pub(super) fn run(&mut self, clear: &mut impl Clear) -> Result<Duration, ClearError> {
        let begun = clear.now();
        clear.everything()?;
        let took = clear.now().saturating_sub(begun);
        self.0 = Some(self.0.map_or(took, |before| (before + took) / 2));
        Ok(took)
    }

    /// The process has changed: estimate again.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

/// The state of sampled observation.
#[derive(Debug, Default)]
pub(super) struct Sampled {
    samples: Vec<Sample>,
    leaves: Vec<Leaf>,
    ranges: Vec<Range>,
    /// Samples that are cleared one by one, each with its range.
    owners: Vec<(usize, usize)>,
    /// Whether the kernel refused each range.
    refused: Vec<bool>,
    addresses: Vec<u64>,
    /// Samples that need `clear_refs`, and why.
    stuck: Vec<(usize, Barrier)>,
    prepared_at: Option<Duration>,
    interval: Option<Duration>,
}

/// What the parts of a watch are worked on with.
#[derive(Debug)]
pub(super) struct Means<'a, T, C> {
    pub(super) tables: &'a mut T,
    pub(super) clear: &'a mut C,
    pub(super) areas: &'a mut Areas,
    pub(super) refs: &'a mut RefsCost,
    pub(super) costs: &'a mut Costs,
    /// The frame of the page of zeros, where it is known.
    pub(super) zero: Option<u64>,
    pub(super) resident: u64,
}

impl Sampled {
    /// Clears the Accessed bits of the pages at `addresses` where they are set.
    pub(super) fn prepare<T: Tables, C: Clear>(
        &mut self,
        means: &mut Means<'_, T, C>,
        addresses: &[u64],
    ) -> Result<(), RoundError> {
        self.samples.clear();
        self.prepared_at = None;
        let outcome = self.try_to_prepare(means, addresses);
        match outcome {
            Ok(()) => self.prepared_at = Some(means.clear.now()),
            // A check that comes all the same must not take old bits for accesses.
            Err(_) => self.samples.clear(),
        }
        outcome
    }

    fn try_to_prepare<T: Tables, C: Clear>(
        &mut self,
        means: &mut Means<'_, T, C>,
        addresses: &[u64],
    ) -> Result<(), RoundError> {
        means.areas.begin_round();
        walk(means.tables, addresses, &mut self.leaves)?;
        self.sort_out(means, addresses);
        self.clear_singly(means)?;
        self.clear_stuck(means, addresses)?;
        self.count_missed(means);
        Ok(())
    }

    /// Decides for each page how it is cleared. One that is not set needs nothing, which saves a TLB
    /// flush, by far the dearest part.
    fn sort_out<T: Tables, C: Clear>(&mut self, means: &mut Means<'_, T, C>, addresses: &[u64]) {
        self.ranges.clear();
        self.owners.clear();
        self.addresses.clear();
        self.stuck.clear();
        for (index, (&address, &leaf)) in addresses.iter().zip(&self.leaves).enumerate() {
            self.samples.push(Sample { before: leaf, barrier: None });
            if !leaf.is_accessed() {
                continue;
            }
            if let Some(barrier) = foreseen(means, address, leaf) {
                self.stuck.push((index, barrier));
                continue;
            }
            let start = address & !(leaf.size() - 1);
            // Several points may lie in one huge page; they come in ascending order.
            if self.ranges.last().is_none_or(|last| last.start() != start) {
                self.ranges.extend(Range::new(start, leaf.size()));
            }
            self.owners.push((index, self.ranges.len().saturating_sub(1)));
            self.addresses.push(address);
        }
    }

    /// Clears what can be cleared page by page, and finds what resists.
    fn clear_singly<T: Tables, C: Clear>(
        &mut self,
        means: &mut Means<'_, T, C>,
    ) -> Result<(), RoundError> {
        if self.ranges.is_empty() {
            return Ok(());
        }
        let Means { clear, areas, .. } = means;
        self.refused.clear();
        self.refused.resize(self.ranges.len(), false);
        let refused = &mut self.refused;
        clear.cold(&self.ranges, &mut |index, errno| {
            // ENOMEM: unmapped since the walk; the next walk sees that.
            if errno == Errno::EINVAL
                && let Some(refused) = refused.get_mut(index)
            {
                *refused = true;
            }
        })?;
        means.costs.flushed += self.refused.iter().filter(|refused| !**refused).count() as u64;
        walk(means.tables, &self.addresses, &mut self.leaves)?;
        let found = self.addresses.iter().zip(&self.leaves);
        for (&(index, range), (&address, &leaf)) in self.owners.iter().zip(found) {
            let Some(sample) = self.samples.get_mut(index) else {
                continue;
            };
            sample.before = leaf;
            let area = areas.at(address);
            let barred = self.refused.get(range) == Some(&true);
            if !leaf.is_accessed() {
                if let Some(area) = area {
                    area.succeeded();
                }
                continue;
            }
            // Set again already, or still? The kernel tells whether it had a reason to leave it alone.
            match clear.barrier(leaf) {
                None if !barred => {}
                barrier => {
                    let barrier = barrier.unwrap_or(Barrier::Unknown);
                    if let Some(area) = area {
                        if barred { area.rest(barrier) } else { area.failed(barrier) }
                    }
                    self.stuck.push((index, barrier));
                }
            }
        }
        Ok(())
    }

    /// Clears what resists by `clear_refs`, where that is worth its price.
    fn clear_stuck<T: Tables, C: Clear>(
        &mut self,
        means: &mut Means<'_, T, C>,
        addresses: &[u64],
    ) -> Result<(), RoundError> {
        for &(index, barrier) in &self.stuck {
            if let Some(sample) = self.samples.get_mut(index) {
                sample.barrier = Some(barrier);
            }
        }
        self.stuck.retain(|(_, barrier)| barrier.yields_to_clear_refs());
        let share = match self.stuck.len() {
            0 => return Ok(()),
            stuck if stuck.saturating_mul(MANY) >= addresses.len() => REFS_SHARE_FOR_MANY,
            _ => REFS_SHARE_FOR_ANY,
        };
        let interval = self.interval.unwrap_or(FIRST_INTERVAL);
        if means.refs.expected(means.resident) > interval / share {
            return Ok(());
        }
        means.costs.refs += means.refs.run(means.clear)?;
        self.addresses.clear();
        self.addresses
            .extend(self.stuck.iter().filter_map(|(index, _)| addresses.get(*index)).copied());
        walk(means.tables, &self.addresses, &mut self.leaves)?;
        for (&(index, _), &leaf) in self.stuck.iter().zip(&self.leaves) {
            // clear_refs leaves out only what is sorted out above, so one that is set has been set
            // again.
            if let Some(sample) = self.samples.get_mut(index) {
                *sample = Sample { before: leaf, barrier: None };
            }
        }
        Ok(())
    }

    fn count_missed<T, C>(&self, means: &mut Means<'_, T, C>) {
        for barrier in self.samples.iter().filter_map(|sample| sample.barrier) {
            means.costs.miss(1, barrier);
        }
    }

    /// Whether the pages prepared were accessed since.
    pub(super) fn check<T: Tables, C: Clear>(
        &mut self,
        means: &mut Means<'_, T, C>,
        addresses: &[u64],
        accessed: &mut [bool],
    ) -> Result<(), RoundError> {
        if addresses.len() != self.samples.len() || accessed.len() != addresses.len() {
            return Err(RoundError::Watch(WatchError::Failed(format!(
                "{} pages were checked, {} were prepared",
                addresses.len(),
                self.samples.len()
            ))));
        }
        self.interval = self.prepared_at.map(|at| means.clear.now().saturating_sub(at));
        walk(means.tables, addresses, &mut self.leaves)?;
        for ((sample, &now), accessed) in self.samples.iter().zip(&self.leaves).zip(accessed) {
            *accessed = sample.barrier.is_none() && now.is_accessed();
            // The kernel makes huge pages of small ones and marks them accessed without any access.
            if *accessed && sample.before.is_present() && now.level > sample.before.level {
                *accessed = false;
                means.costs.miss(1, Barrier::Collapsed);
            }
        }
        Ok(())
    }
}

/// Why it would be pointless, or harmful, to try to clear the page at `address` by itself.
fn foreseen<T, C: Clear>(means: &mut Means<'_, T, C>, address: u64, leaf: Leaf) -> Option<Barrier> {
    if leaf.level > 1 {
        return Some(Barrier::Hugetlb);
    }
    if leaf.level == 0 && means.zero.is_some() && leaf.frame() == means.zero {
        return Some(Barrier::Zero);
    }
    let area = means.areas.at(address);
    if let Some(barrier) = area.as_ref().and_then(|area| area.barrier()) {
        return Some(barrier);
    }
    // Clearing a part of a folio splits it. What is mapped since the mappings were read may be anything.
    let folios = means.clear.anonymous_folios() || area.as_ref().is_none_or(|area| area.backed);
    if leaf.level == 0 && folios {
        let barrier = means.clear.barrier(leaf);
        if let (Some(barrier), Some(area)) = (barrier, area) {
            area.failed(barrier);
        }
        return barrier;
    }
    None
}

fn walk(
    tables: &mut impl Tables,
    addresses: &[u64],
    leaves: &mut Vec<Leaf>,
) -> Result<(), WatchError> {
    leaves.clear();
    leaves.resize(addresses.len(), Leaf::default());
    tables.walk(addresses, leaves)
}
