//! Snapshots of one target as bits, predicted from the snapshot before.
//!
//! DAMON's regions change in few ways from one aggregation to the next: most boundaries persist,
//! neighbours are merged, and new boundaries lie at a tenth of the region they cut
//! (`mm/damon/core.c`, `damon_split_regions_of`). A region that is as the rules predict takes one bit;
//! what they do not predict is stored as a short code. zstd then takes what repeats.

mod code;
mod decode;
mod encode;
mod predict;

use crate::Region;

pub(crate) use decode::{Scratch, SectionHead, TargetDecoder};
pub(crate) use encode::{TargetEncoder, check};

/// The regions of one snapshot, one vector per field, all of the same length.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    pub(crate) starts: Vec<u64>,
    pub(crate) ends: Vec<u64>,
    pub(crate) nr_accesses: Vec<u32>,
    pub(crate) ages: Vec<u32>,
}

impl Columns {
    fn clear(&mut self) {
        self.starts.clear();
        self.ends.clear();
        self.nr_accesses.clear();
        self.ages.clear();
    }

    /// Keeps room for at most twice the regions there are.
    fn shrink(&mut self) {
        let room = 2 * self.len() + 16;
        if self.starts.capacity() > room {
            self.starts.shrink_to_fit();
            self.ends.shrink_to_fit();
            self.nr_accesses.shrink_to_fit();
            self.ages.shrink_to_fit();
        }
    }

    /// Makes it so many regions; what was there before is not cleared.
    fn resize(&mut self, count: usize) {
        self.starts.resize(count, 0);
        self.ends.resize(count, 0);
        self.nr_accesses.resize(count, 0);
        self.ages.resize(count, 0);
    }

    #[inline]
    fn push(&mut self, region: Region) {
        self.starts.push(region.start);
        self.ends.push(region.end);
        self.nr_accesses.push(region.nr_accesses);
        self.ages.push(region.age);
    }

    fn len(&self) -> usize {
        self.starts.len()
    }

    #[inline]
    fn bounds(&self, index: usize) -> Option<(u64, u64)> {
        Some((*self.starts.get(index)?, *self.ends.get(index)?))
    }

    #[inline]
    fn nr(&self, index: usize) -> u32 {
        self.nr_accesses.get(index).copied().unwrap_or(0)
    }
}
