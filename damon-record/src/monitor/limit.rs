//! The minimum number of regions, kept by an upper bound of their size.

use super::region::{MonitoredRegion, align_down, align_up};

/// The largest size a region may have: `total / min_nr_regions`, at least one granule, rounded up to
/// whole granules (kernel 7.1 and later).
///
/// `total` is over all targets of the engine.
pub fn size_limit(total: u128, min_nr_regions: u32, granule: u64) -> u64 {
    let share = total / u128::from(min_nr_regions.max(1));
    let share = u64::try_from(share).unwrap_or(u64::MAX).max(granule);
    align_up(share, granule).unwrap_or_else(|| align_down(u64::MAX, granule))
}

/// Cuts every region larger than `limit` into pieces of that size from its start; the last piece
/// takes the remainder. Pieces inherit the counters.
///
/// `scratch` is only working memory, kept by the caller so that it is allocated once.
pub fn enforce(regions: &mut Vec<MonitoredRegion>, limit: u64, scratch: &mut Vec<MonitoredRegion>) {
    if limit == 0 || regions.iter().all(|region| region.size() <= limit) {
        return;
    }
    scratch.clear();
    for region in regions.iter() {
        let mut rest = *region;
        while rest.size() > limit {
            let Some(right) = rest.split_off(rest.start + limit) else {
                break;
            };
            scratch.push(rest);
            rest = right;
        }
        scratch.push(rest);
    }
    std::mem::swap(regions, scratch);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enforced(size: u64, granule: u64, min_nr_regions: u32) -> (u64, Vec<u64>) {
        let limit = size_limit(u128::from(size), min_nr_regions, granule);
        let mut regions = vec![MonitoredRegion::fresh(0, size)];
        enforce(&mut regions, limit, &mut Vec::new());
        (limit, regions.iter().map(MonitoredRegion::size).collect())
    }

    #[test]
    fn one_large_region_is_cut_to_the_minimum_count() {
        assert_eq!(enforced(10, 1, 10), (1, vec![1; 10]));
        assert_eq!(enforced(10, 1, 15), (1, vec![1; 10]));
        assert_eq!(enforced(10, 2, 2), (6, vec![6, 4]));
        assert_eq!(enforced(10, 2, 10), (2, vec![2; 5]));
    }

    #[test]
    fn pieces_inherit_and_small_regions_stay() {
        let counted = |start, end, nr_accesses| MonitoredRegion {
            nr_accesses,
            last_nr_accesses: 7,
            age: 9,
            ..MonitoredRegion::fresh(start, end)
        };
        let mut regions = vec![counted(0, 5, 1), counted(8, 18, 2)];
        enforce(&mut regions, 5, &mut Vec::new());
        assert_eq!(regions, [counted(0, 5, 1), counted(8, 13, 2), counted(13, 18, 2)]);
    }

    #[test]
    fn the_limit_of_more_than_an_address_space_stays_a_multiple_of_the_granule() {
        let limit = size_limit(u128::MAX, 3, 4096);
        assert_eq!(limit, u64::MAX - 4095);
        let mut regions = vec![MonitoredRegion::fresh(0, limit)];
        enforce(&mut regions, limit, &mut Vec::new());
        assert_eq!(regions.len(), 1);
    }
}
