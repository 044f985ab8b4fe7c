//! A region while it is monitored, and the arithmetic of addresses.

use damon_format::Region;

/// `[start, end)` in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl AddressRange {
    /// Bytes from start to end; 0 when reversed.
    pub fn size(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// A region with its counters, as the kernel's `struct damon_region` keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MonitoredRegion {
    /// First byte.
    pub start: u64,
    /// One past the last byte; greater than `start`.
    pub end: u64,
    /// Positive samples in the running aggregation.
    pub nr_accesses: u32,
    /// What `nr_accesses` was at the end of the previous aggregation.
    pub last_nr_accesses: u32,
    /// Aggregations for which the access pattern has persisted.
    pub age: u32,
}

impl MonitoredRegion {
    /// A region about which nothing is known yet.
    pub fn fresh(start: u64, end: u64) -> Self {
        Self { start, end, nr_accesses: 0, last_nr_accesses: 0, age: 0 }
    }

    /// Bytes from start to end.
    pub fn size(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Cuts at `address`: `self` keeps the left part, the right part is returned, both with the same
    /// counters. `None`, and nothing cut, unless `address` lies strictly inside.
    pub fn split_off(&mut self, address: u64) -> Option<Self> {
        if address <= self.start || address >= self.end {
            return None;
        }
        let right = Self { start: address, ..*self };
        self.end = address;
        Some(right)
    }
}

impl From<&MonitoredRegion> for Region {
    fn from(region: &MonitoredRegion) -> Self {
        Self {
            start: region.start,
            end: region.end,
            nr_accesses: region.nr_accesses,
            age: region.age,
        }
    }
}

/// The largest multiple of `granule` that is not above `address`.
pub(super) fn align_down(address: u64, granule: u64) -> u64 {
    address - address.checked_rem(granule).unwrap_or(0)
}

/// The smallest multiple of `granule` that is not below `address`, if 64 bits hold it.
pub(super) fn align_up(address: u64, granule: u64) -> Option<u64> {
    match address.checked_rem(granule) {
        None | Some(0) => Some(address),
        Some(excess) => address.checked_add(granule - excess),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_of_a_split_inherit_the_counters() {
        let mut left =
            MonitoredRegion { start: 0, end: 100, nr_accesses: 42, last_nr_accesses: 15, age: 10 };
        let right = left.split_off(25).unwrap();
        assert_eq!((left.start, left.end), (0, 25));
        assert_eq!((right.start, right.end), (25, 100));
        for part in [left, right] {
            assert_eq!((part.nr_accesses, part.last_nr_accesses, part.age), (42, 15, 10));
        }
    }

    #[test]
    fn a_split_never_leaves_an_empty_part() {
        let whole = MonitoredRegion::fresh(10, 20);
        for address in [0, 10, 20, u64::MAX] {
            let mut region = whole;
            assert_eq!(region.split_off(address), None);
            assert_eq!(region, whole);
        }
    }

    #[test]
    fn alignment_at_the_end_of_the_address_space_does_not_wrap() {
        assert_eq!(align_up(u64::MAX, 4096), None);
        assert_eq!(align_up(u64::MAX, 1), Some(u64::MAX));
        assert_eq!(align_down(u64::MAX, 4096), u64::MAX - 4095);
        assert_eq!(align_up(4097, 4096), Some(8192));
    }
}
