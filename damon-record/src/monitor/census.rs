//! Bookkeeping for exact backends, which see every page (or mapping) at every look: nothing is
//! sampled, so nothing has to be guessed by splitting.
//!
//! How often each byte was found accessed is kept as runs of equal counts, never per page: memory
//! depends on how scattered the accesses are, not on the size of the address space, and is bounded.

use super::coalesce::{Coalescer, Run};
use super::ranges::{self, RangesError};
use super::region::AddressRange;
use damon_format::Region;

/// `nr_accesses` of memory that one look finds accessed throughout.
///
/// A region's `nr_accesses` is the mean over its bytes and the looks of an aggregation; counting in
/// ten-thousandths lets the mean of a mostly idle region survive as an integer.
pub const SCALE: u32 = 10_000;

/// Runs kept from look to look; above it the most similar neighbours are merged. With all working
/// memory that is about 8 MiB at worst, and a few kilobytes for usual programs.
const MAX_RUNS: usize = 1 << 14;

/// Bytes of a range found accessed by one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TouchedRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Bytes inside it that were accessed, at most `end - start`.
    pub bytes: u64,
}

/// What a region of the result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CensusGranularity {
    /// A run of pages of (nearly) equal access rate inside one mapping.
    Pages,
    /// One whole mapping.
    Mappings,
}

/// The result of one aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CensusResult<'a> {
    /// Ascending, disjoint, covering exactly the monitored ranges.
    pub regions: &'a [Region],
    /// The `nr_accesses` that means "all of it at every look": looks × [`SCALE`].
    pub max_nr_accesses: u32,
}

/// Counts the looks at one target.
#[derive(Debug)]
pub struct Census {
    granularity: CensusGranularity,
    max_nr_regions: usize,
    /// What the runs cover; ascending and disjoint.
    ranges: Vec<AddressRange>,
    runs: Vec<Run>,
    scratch: Vec<Run>,
    looks: u32,
    regions: Vec<Region>,
    previous: Vec<Region>,
    previous_max: u32,
    coalescer: Coalescer,
}

impl Census {
    /// A census that reports at most `max_nr_regions` regions of granularity
    /// [`Pages`](CensusGranularity::Pages), as far as gaps in the address space allow; whole mappings are reported however many there are.
    pub fn new(granularity: CensusGranularity, max_nr_regions: u32) -> Self {
        Self {
            granularity,
            max_nr_regions: usize::try_from(max_nr_regions).unwrap_or(usize::MAX),
            ranges: Vec::new(),
            runs: Vec::new(),
            scratch: Vec::new(),
            looks: 0,
            regions: Vec::new(),
            previous: Vec::new(),
            previous_max: 1,
            coalescer: Coalescer::default(),
        }
    }

    /// Counts one look at `mappings` (ascending and disjoint, one range each).
    ///
    /// `touched` must ascend; parts outside the mappings or reported twice are ignored. Counts of
    /// memory that is no longer mapped are dropped, new memory counts as idle so far.
    pub fn look(
        &mut self,
        mappings: &[AddressRange],
        touched: impl IntoIterator<Item = TouchedRange>,
    ) -> Result<(), RangesError> {
        if self.ranges != mappings {
            self.ranges = ranges::aligned(mappings, 1)?;
            self.follow_mappings();
        }
        self.add(touched);
        self.looks = self.looks.saturating_add(1);
        match self.granularity {
            CensusGranularity::Pages => self.coalescer.reduce(&mut self.runs, MAX_RUNS, false),
            CensusGranularity::Mappings => self.runs.dedup_by(|right, left| {
                let same = !right.begins_mapping;
                if same {
                    left.absorb(right);
                }
                same
            }),
        }
        Ok(())
    }

    /// Ends the aggregation and starts the next one; `None` when there was no look.
    ///
    /// Ages grow by one where the access rate has changed by no more than a tenth of the maximum and
    /// not between idle and accessed; they restart at 0 elsewhere. A region's age is the mean over its
    /// bytes.
    pub fn aggregate(&mut self) -> Option<CensusResult<'_>> {
        if self.looks == 0 {
            return None;
        }
        if self.granularity == CensusGranularity::Pages {
            for across in [false, true] {
                let target = self.max_nr_regions;
                self.coalescer.reduce(&mut self.runs, target, across);
            }
        }
        let max_nr_accesses = self.looks.saturating_mul(SCALE);
        std::mem::swap(&mut self.regions, &mut self.previous);
        self.regions.clear();
        self.regions.extend(self.runs.iter().map(|run| Region {
            start: run.start,
            end: run.end,
            nr_accesses: run.mean().min(max_nr_accesses),
            age: 0,
        }));
        carry_ages(&mut self.regions, max_nr_accesses, &self.previous, self.previous_max);
        self.previous_max = max_nr_accesses;
        self.looks = 0;
        self.runs.clear();
        self.runs.extend(self.ranges.iter().map(|range| Run::mapping(*range)));
        Some(CensusResult { regions: &self.regions, max_nr_accesses })
    }

    /// An action was applied to `range`, which gives that memory a new life: ages go on from 0 there. Call
    /// it after the aggregation whose result led to the action.
    pub fn reset_age(&mut self, range: AddressRange) {
        // Ages are carried over from the last result.
        let mut regions = Vec::with_capacity(self.regions.len() + 2);
        for region in &self.regions {
            let inside = region.start.max(range.start)..region.end.min(range.end);
            if inside.is_empty() {
                regions.push(*region);
                continue;
            }
            let parts = [
                Region { end: inside.start, ..*region },
                Region { start: inside.start, end: inside.end, age: 0, ..*region },
                Region { start: inside.end, ..*region },
            ];
            regions.extend(parts.into_iter().filter(|part| part.start < part.end));
        }
        self.regions = regions;
    }

    /// Lays the runs out over `self.ranges`, keeping what was counted for memory still mapped.
    fn follow_mappings(&mut self) {
        self.scratch.clear();
        let mut old = self.runs.iter().peekable();
        for range in &self.ranges {
            let mut rest = Run::mapping(*range);
            while old.next_if(|run| run.end <= range.start).is_some() {}
            while let Some(run) = old.peek().filter(|run| run.start < range.end) {
                if let Some(before) = rest.cut_front(run.start) {
                    self.scratch.push(before);
                }
                let middle = rest.cut_front(run.end);
                let part = middle.unwrap_or(rest);
                self.scratch.push(part.with_count_of(run));
                if middle.is_none() {
                    rest.start = rest.end;
                    break;
                }
                old.next();
            }
            if rest.start < rest.end {
                self.scratch.push(rest);
            }
        }
        std::mem::swap(&mut self.runs, &mut self.scratch);
    }

    /// Adds one look's accesses to the runs.
    fn add(&mut self, touched: impl IntoIterator<Item = TouchedRange>) {
        self.scratch.clear();
        let mut runs = self.runs.iter().copied();
        // Moves only upwards: memory that was passed cannot be counted a second time.
        let mut current = runs.next();
        let mut crowded = 2 * MAX_RUNS;
        for touch in touched {
            if self.scratch.len() > crowded {
                self.coalescer.reduce(&mut self.scratch, MAX_RUNS, false);
                crowded = crowded.max(2 * self.scratch.len());
            }
            if touch.start >= touch.end {
                continue;
            }
            let weight = share(touch.bytes, touch.end - touch.start);
            while let Some(mut run) = current {
                if run.start >= touch.end {
                    break;
                }
                if run.end <= touch.start {
                    push_or_extend(&mut self.scratch, run);
                    current = runs.next();
                    continue;
                }
                if let Some(before) = run.cut_front(touch.start) {
                    push_or_extend(&mut self.scratch, before);
                }
                if let Some(inside) = run.cut_front(touch.end) {
                    push_or_extend(&mut self.scratch, inside.counted(weight));
                    current = Some(run);
                    break;
                }
                push_or_extend(&mut self.scratch, run.counted(weight));
                current = runs.next();
            }
        }
        for run in current.into_iter().chain(runs) {
            push_or_extend(&mut self.scratch, run);
        }
        std::mem::swap(&mut self.runs, &mut self.scratch);
    }
}

/// `bytes` of `size` on the scale of one look, rounded to nearest.
fn share(bytes: u64, size: u64) -> u32 {
    let scaled = u128::from(bytes) * u128::from(SCALE) + u128::from(size / 2);
    let share = scaled.checked_div(u128::from(size)).unwrap_or(0);
    u32::try_from(share).unwrap_or(SCALE).min(SCALE)
}

/// Appends `run`, or lengthens the last run when both belong to one mapping and count the same.
fn push_or_extend(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if !run.begins_mapping && last.joins_exactly(&run) => last.absorb(&run),
        _ => runs.push(run),
    }
}

/// Gives each region the mean age of the bytes it shares with `previous`.
fn carry_ages(regions: &mut [Region], max: u32, previous: &[Region], previous_max: u32) {
    let mut first = 0;
    for region in regions {
        let mut sum = 0_u128;
        let reached = previous.get(first..).unwrap_or(&[]);
        for old in reached {
            if old.start >= region.end {
                break;
            }
            if old.end <= region.start {
                first += 1;
                continue;
            }
            let overlap = region.end.min(old.end) - region.start.max(old.start);
            sum += u128::from(overlap) * u128::from(next_age(region, max, old, previous_max));
        }
        let mean =
            sum.checked_div(u128::from(region.size())).and_then(|mean| u32::try_from(mean).ok());
        region.age = mean.unwrap_or(0);
    }
}

fn next_age(region: &Region, max: u32, old: &Region, old_max: u32) -> u32 {
    let before = u64::from(old.nr_accesses) * u64::from(max) / u64::from(old_max.max(1));
    let changed = u64::from(region.nr_accesses).abs_diff(before) > u64::from(max / 10)
        || (region.nr_accesses == 0) != (old.nr_accesses == 0);
    if changed { 0 } else { old.age.saturating_add(1) }
}

#[cfg(test)]
mod tests;
