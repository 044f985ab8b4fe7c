//! Snapshots of one target as columns, predicted from the snapshot before.
//!
//! DAMON's regions change in few ways from one aggregation to the next: most boundaries persist,
//! neighbours are merged, and new boundaries lie at a tenth of the region they cut
//! (`mm/damon/core.c`, `damon_split_regions_of`). One byte says which of these happened; counters
//! are stored as differences from what the rules predict. What remains is left to zstd.

mod decode;
mod encode;
mod predict;

pub(crate) use decode::{SectionHead, TargetDecoder};
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
    pub(crate) fn clear(&mut self) {
        self.starts.clear();
        self.ends.clear();
        self.nr_accesses.clear();
        self.ages.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    fn bounds(&self, index: usize) -> Option<(u64, u64)> {
        Some((*self.starts.get(index)?, *self.ends.get(index)?))
    }
}

/// Flags of a snapshot section.
mod flags {
    /// Ages are present.
    pub(super) const AGES: u8 = 1 << 0;
    /// Times are in microseconds rather than nanoseconds.
    pub(super) const MICROSECONDS: u8 = 1 << 1;
    /// The scale (intervals, maximum, granule, probe columns) is stated; otherwise it is that of the
    /// target's previous section in this block.
    pub(super) const SCALE: u8 = 1 << 2;
    pub(super) const KNOWN: u8 = AGES | MICROSECONDS | SCALE;
}

/// How a region follows from the previous snapshot: the low four bits of an operation byte.
///
/// Let `p` be the first previous region that ends behind the region before this one, and `n` the
/// high four bits ([`MORE`](op::MORE): `n` is 15 plus a number from the extras). The parent is the
/// previous region `p + n`. The region starts where the one before it ended or where `p` starts,
/// whichever is later, and ends as follows.
mod op {
    /// Where the parent ends.
    pub(super) const KEEP: u8 = 0;
    /// 1 to 9: that many tenths of the parent behind its start, rounded down to the granule.
    pub(super) const LAST_TENTH: u8 = 9;
    /// A tenth of a tenth: `k1 * 16 + k2` from the extras; `k2` tenths of the piece that `k1` tenths
    /// of the parent make.
    pub(super) const TENTH_OF_TENTH: u8 = 10;
    /// A number of granules (from the extras) behind its own start; `n` is 0.
    pub(super) const GRANULES: u8 = 11;
    /// Start and size are stated in bytes: distance from the end of the region before, then size,
    /// both from the extras; `n` is 0.
    pub(super) const BYTES: u8 = 12;
    /// High four bits: the number of parents to pass over is 15 plus a number from the extras.
    pub(super) const MORE: u8 = 15;
}

/// `tenths` tenths of `size`, rounded down to the granule `1 << shift`.
fn cut(size: u64, tenths: u8, shift: u32) -> u64 {
    // Divided first where the product would overflow, as sizes near 2^64 need no exactness: encoder
    // and decoder only have to agree.
    let product = size.checked_mul(u64::from(tenths));
    let part = product.map_or_else(|| size / 10 * u64::from(tenths), |p| p / 10);
    part >> shift << shift
}

#[cfg(test)]
mod tests;
