//! Which addresses are monitored, and how regions follow when mappings change.

use super::region::{AddressRange, MonitoredRegion, align_down, align_up};
use damon_format::Mapping;

/// Why ranges cannot be monitored; `index` counts from 0 in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangesError {
    /// End not above start.
    #[error(
        "range {index}, {start:#x}-{end:#x}, is empty or reversed; its end must be above its start"
    )]
    Empty {
        /// Which range.
        index: usize,
        /// Its first byte.
        start: u64,
        /// Its end.
        end: u64,
    },
    /// Not ascending, or overlapping once rounded outwards to whole granules.
    #[error(
        "range {index} begins at {start:#x}, before the end of the range in front of it ({previous_end:#x}); ranges must ascend and keep apart by whole pages"
    )]
    Overlap {
        /// Which range.
        index: usize,
        /// Its first byte, rounded down.
        start: u64,
        /// The end of the previous one, rounded up.
        previous_end: u64,
    },
    /// The end cannot be rounded up to a whole granule within 64 bits.
    #[error(
        "range {index} ends at {end:#x}, too close to the end of the address space to be rounded up to whole pages"
    )]
    TooHigh {
        /// Which range.
        index: usize,
        /// Its end.
        end: u64,
    },
}

/// The address ranges of `mappings`, without the x86 `[vsyscall]` page: it belongs to the kernel, and
/// the hole below it would otherwise be the largest of every process.
pub fn mapped_ranges(mappings: &[Mapping]) -> impl Iterator<Item = AddressRange> + '_ {
    mappings
        .iter()
        .filter(|mapping| mapping.name != "[vsyscall]")
        .map(|mapping| AddressRange { start: mapping.start, end: mapping.end })
}

/// The three blocks of a usual address space (heap; mapping area; stack): all of it but the two
/// largest gaps. `mapped` must ascend.
///
/// `None` when there are fewer than two gaps, or when rounding to `granule` leaves a block empty.
pub fn three_ranges(
    mapped: impl IntoIterator<Item = AddressRange>,
    granule: u64,
) -> Option<[AddressRange; 3]> {
    let none = AddressRange { start: 0, end: 0 };
    let (mut first, mut second) = (none, none);
    let mut whole: Option<AddressRange> = None;
    for range in mapped {
        let Some(span) = &mut whole else {
            whole = Some(range);
            continue;
        };
        let gap = AddressRange { start: span.end, end: range.start };
        if gap.size() > first.size() {
            (first, second) = (gap, first);
        } else if gap.size() > second.size() {
            second = gap;
        }
        span.end = span.end.max(range.end);
    }
    let whole = whole?;
    if second.size() == 0 {
        return None;
    }
    if first.start > second.start {
        (first, second) = (second, first);
    }
    let block = |start, end| {
        let start = align_up(start, granule)?;
        let end = align_up(end, granule)?;
        (start < end).then_some(AddressRange { start, end })
    };
    Some([
        block(whole.start, first.start)?,
        block(first.end, second.start)?,
        block(second.end, whole.end)?,
    ])
}

/// What the kernel's DAMON monitors of a process: [`three_ranges`], or for address spaces too simple for
/// that (where the kernel would monitor nothing) every connected block of mappings.
pub fn default_ranges(mappings: &[Mapping], granule: u64) -> Vec<AddressRange> {
    if let Some(ranges) = three_ranges(mapped_ranges(mappings), granule) {
        return ranges.to_vec();
    }
    let mut blocks: Vec<AddressRange> = Vec::new();
    for range in mapped_ranges(mappings) {
        let start = align_down(range.start, granule);
        let Some(end) = align_up(range.end, granule) else {
            continue;
        };
        match blocks.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ if start < end => blocks.push(AddressRange { start, end }),
            _ => {}
        }
    }
    blocks
}

/// The most ranges that [`compact_ranges`] makes: so many regions an address space may need at least.
pub const MOST_RANGES: u32 = 5;
/// At most so many gaps are left out beyond those of [`three_ranges`], since each costs a region.
const MORE_GAPS: usize = 2;
/// A gap is left out if more than this part of what is monitored would be nothing but it: then whole
/// regions of even a monitor with few of them (DAMON's default is ten at least) would lie in it.
const GAP_PART: u64 = 10;

/// What our own monitor looks at: [`default_ranges`] without what else is a large gap, largest first, in no
/// more than `most` ranges unless those are more.
///
/// The kernel's three ranges leave two gaps out. Since Linux 6.9 the heap of a 64-bit program on x86 begins up to a
/// GiB after the program (`arch_randomize_brk`, drawn anew for each run), and a Go program has a
/// third gap of terabytes: that nothing would be monitored like memory, make the regions as large as its
/// share, and their borders as slow to find.
pub fn compact_ranges(mappings: &[Mapping], granule: u64, most: u32) -> Vec<AddressRange> {
    let mut ranges = default_ranges(mappings, granule);
    let mut monitored = ranges.iter().fold(0, |sum: u64, range| sum.saturating_add(range.size()));
    let mut gaps = gaps(mappings, granule);
    gaps.retain(|gap| ranges.iter().any(|range| range.start < gap.start && gap.end < range.end));
    // Stable: of equal ones the first, as in `three_ranges`.
    gaps.sort_by_key(|gap| std::cmp::Reverse(gap.size()));
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    for gap in gaps.into_iter().take(MORE_GAPS) {
        if ranges.len() >= most || gap.size() <= monitored / GAP_PART {
            break;
        }
        monitored = monitored.saturating_sub(gap.size());
        let at = ranges.partition_point(|range| range.end < gap.start);
        let Some(range) = ranges.get_mut(at) else {
            break;
        };
        let behind = AddressRange { start: gap.end, end: range.end };
        range.end = gap.start;
        ranges.insert(at + 1, behind);
    }
    ranges
}

/// The whole granules between neighbouring mappings that none of them touches.
fn gaps(mappings: &[Mapping], granule: u64) -> Vec<AddressRange> {
    let mut gaps = Vec::new();
    let mut end = None;
    for range in mapped_ranges(mappings) {
        if let Some(start) = end.and_then(|end| align_up(end, granule)) {
            let gap = AddressRange { start, end: align_down(range.start, granule) };
            if gap.start < gap.end {
                gaps.push(gap);
            }
        }
        end = end.max(Some(range.end));
    }
    gaps
}

/// The ranges rounded outwards to whole granules, if they ascend, keep apart and none is empty.
pub fn aligned(ranges: &[AddressRange], granule: u64) -> Result<Vec<AddressRange>, RangesError> {
    let mut previous_end = 0;
    let mut result = Vec::with_capacity(ranges.len());
    for (index, range) in ranges.iter().enumerate() {
        if range.start >= range.end {
            return Err(RangesError::Empty { index, start: range.start, end: range.end });
        }
        let start = align_down(range.start, granule);
        let end =
            align_up(range.end, granule).ok_or(RangesError::TooHigh { index, end: range.end })?;
        if start < previous_end {
            return Err(RangesError::Overlap { index, start, previous_end });
        }
        previous_end = end;
        result.push(AddressRange { start, end });
    }
    Ok(result)
}

/// Makes `regions` cover exactly `ranges` (from [`aligned`]), keeping counters where possible.
///
/// Regions outside every range go. In each range the first region is stretched or shrunk to the
/// range's start and the last one to its end; holes and ranges without a region get fresh ones. A
/// region that reaches into two ranges stays with the earlier one.
pub fn fit(regions: &mut Vec<MonitoredRegion>, ranges: &[AddressRange]) {
    let mut old = std::mem::take(regions).into_iter().peekable();
    for range in ranges {
        let first = regions.len();
        while let Some(mut region) = old.next_if(|region| region.start < range.end) {
            if region.end <= range.start {
                continue;
            }
            if regions.len() == first {
                region.start = range.start;
            } else if let Some(hole) = regions
                .last()
                .filter(|last| last.end < region.start)
                .map(|last| MonitoredRegion::fresh(last.end, region.start))
            {
                regions.push(hole);
            }
            regions.push(region);
        }
        match regions.get_mut(first..).and_then(<[_]>::last_mut) {
            Some(last) => last.end = range.end,
            None => regions.push(MonitoredRegion::fresh(range.start, range.end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(bounds: &[(u64, u64)]) -> Vec<AddressRange> {
        bounds.iter().map(|&(start, end)| AddressRange { start, end }).collect()
    }

    fn fitted(regions: &[(u64, u64)], to: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let mut regions =
            regions.iter().map(|&(start, end)| MonitoredRegion::fresh(start, end)).collect();
        fit(&mut regions, &aligned(&ranges(to), 1).unwrap());
        regions.iter().map(|r| (r.start, r.end)).collect()
    }

    #[test]
    fn the_two_largest_gaps_separate_the_three_ranges() {
        let mapped = ranges(&[(10, 20), (20, 25), (200, 210), (210, 220), (300, 305), (307, 330)]);
        assert_eq!(
            three_ranges(mapped, 1).unwrap().to_vec(),
            ranges(&[(10, 25), (200, 220), (300, 330)])
        );
    }

    #[test]
    fn of_equal_gaps_the_earlier_ones_count() {
        let mapped = ranges(&[(0, 10), (20, 30), (40, 50), (60, 70)]);
        assert_eq!(
            three_ranges(mapped, 1).unwrap().to_vec(),
            ranges(&[(0, 10), (20, 30), (40, 70)])
        );
    }

    #[test]
    fn fewer_than_two_gaps_are_not_three_ranges() {
        assert_eq!(three_ranges(ranges(&[]), 1), None);
        assert_eq!(three_ranges(ranges(&[(0, 10), (10, 30)]), 1), None);
        assert_eq!(three_ranges(ranges(&[(0, 10), (20, 30)]), 1), None);
    }

    fn mapping(start: u64, end: u64, name: &str) -> Mapping {
        Mapping {
            start,
            end,
            permissions: damon_format::Permissions::default(),
            offset: 0,
            inode: 0,
            name: name.into(),
        }
    }

    #[test]
    fn the_vsyscall_page_is_left_out() {
        let mappings = [
            mapping(0x40_0000, 0x50_0000, "/bin/true"),
            mapping(0x7000_0000_0000, 0x7000_0010_0000, ""),
            mapping(0x7fff_0000_0000, 0x7fff_0002_1000, "[stack]"),
            mapping(0xffff_ffff_ff60_0000, 0xffff_ffff_ff60_1000, "[vsyscall]"),
        ];
        assert_eq!(
            default_ranges(&mappings, 4096),
            ranges(&[
                (0x40_0000, 0x50_0000),
                (0x7000_0000_0000, 0x7000_0010_0000),
                (0x7fff_0000_0000, 0x7fff_0002_1000)
            ])
        );
    }

    #[test]
    fn a_simple_address_space_is_monitored_block_by_block() {
        let mappings = [
            mapping(0x1000, 0x2000, "a"),
            mapping(0x2000, 0x3000, "b"),
            mapping(0x8000, 0x9000, "c"),
        ];
        assert_eq!(default_ranges(&mappings, 4096), ranges(&[(0x1000, 0x3000), (0x8000, 0x9000)]));
        assert_eq!(default_ranges(&[], 4096), []);
    }

    const MIB: u64 = 1 << 20;

    fn compact(bounds: &[(u64, u64)]) -> Vec<(u64, u64)> {
        compact_to(bounds, 1000)
    }

    fn compact_to(bounds: &[(u64, u64)], most: u32) -> Vec<(u64, u64)> {
        let mappings: Vec<_> = bounds.iter().map(|&(s, e)| mapping(s * MIB, e * MIB, "")).collect();
        let ranges = compact_ranges(&mappings, 4096, most);
        ranges.iter().map(|range| (range.start / MIB, range.end / MIB)).collect()
    }

    #[test]
    fn what_is_drawn_between_program_and_heap_is_not_monitored() {
        assert_eq!(
            compact(&[(0, 4), (700, 720), (9_000, 9_100), (20_000, 20_001)]),
            [(0, 4), (700, 720), (9_000, 9_100), (20_000, 20_001)]
        );
    }

    #[test]
    fn small_gaps_stay_for_mappings_to_come() {
        assert_eq!(
            compact(&[(0, 4), (14, 30), (9_000, 9_050), (9_052, 9_100), (20_000, 20_001)]),
            [(0, 30), (9_000, 9_100), (20_000, 20_001)],
            "10 of 131 MiB are less than a tenth"
        );
    }

    #[test]
    fn what_is_left_decides_and_two_more_gaps_at_most() {
        let sparse: Vec<_> = (0..8).map(|i| (i * 100, i * 100 + 1)).collect();
        assert_eq!(
            compact(&sparse),
            [(0, 1), (100, 101), (200, 201), (300, 301), (400, 701)],
            "two as in the kernel, then two"
        );
        // 60 of 530 MiB go; then 45 of 470 are less than a tenth.
        assert_eq!(
            compact(&[(0, 400), (460, 485), (530, 530 + 1), (5_000, 5_001), (9_000, 9_001)]),
            [(0, 400), (460, 531), (5_000, 5_001), (9_000, 9_001)]
        );
        assert_eq!(compact(&[]), []);
        assert_eq!(compact(&[(3, 4)]), [(3, 4)]);
        assert_eq!(compact(&sparse).len(), MOST_RANGES as usize);
        assert_eq!(compact_to(&sparse, 4).len(), 4);
        assert_eq!(compact_to(&sparse, 1).len(), 3, "as in the kernel");
    }

    #[test]
    fn overlapping_and_unaligned_mappings_leave_whole_pages() {
        let mappings =
            [mapping(0, 5_000, "a"), mapping(100, 200, "b"), mapping(90_001, 94_001, "c")];
        assert_eq!(gaps(&mappings, 4096), ranges(&[(8_192, 86_016)]));
    }

    const REGIONS: [(u64, u64); 8] =
        [(10, 20), (20, 30), (50, 55), (55, 57), (57, 59), (70, 80), (80, 90), (90, 100)];

    #[test]
    fn ranges_that_changed_a_little_stretch_and_shrink_regions() {
        assert_eq!(
            fitted(&REGIONS, &[(5, 27), (45, 55), (73, 104)]),
            [(5, 20), (20, 27), (45, 55), (73, 80), (80, 90), (90, 104)]
        );
        assert_eq!(
            fitted(&REGIONS, &[(5, 27), (56, 57), (65, 104)]),
            [(5, 20), (20, 27), (56, 57), (65, 80), (80, 90), (90, 104)]
        );
    }

    #[test]
    fn ranges_elsewhere_get_fresh_regions() {
        assert_eq!(
            fitted(&REGIONS, &[(5, 27), (61, 63), (65, 104)]),
            [(5, 20), (20, 27), (61, 63), (65, 80), (80, 90), (90, 104)]
        );
        assert_eq!(fitted(&REGIONS, &[(5, 7), (30, 32), (65, 68)]), [(5, 7), (30, 32), (65, 68)]);
        assert_eq!(fitted(&[], &[(5, 7)]), [(5, 7)]);
        assert_eq!(fitted(&REGIONS, &[]), []);
    }

    #[test]
    fn holes_inside_a_range_are_filled() {
        assert_eq!(fitted(&[(4, 16), (24, 32)], &[(8, 28)]), [(8, 16), (16, 24), (24, 28)]);
    }

    #[test]
    fn a_region_in_two_ranges_stays_with_the_earlier() {
        let mut regions =
            vec![MonitoredRegion { nr_accesses: 9, ..MonitoredRegion::fresh(0, 100) }];
        fit(&mut regions, &ranges(&[(0, 40), (60, 100)]));
        assert_eq!(
            regions,
            [
                MonitoredRegion { nr_accesses: 9, ..MonitoredRegion::fresh(0, 40) },
                MonitoredRegion::fresh(60, 100)
            ]
        );
    }

    #[test]
    fn stretched_regions_keep_their_counters_and_new_ones_begin_at_zero() {
        let counted = |start, end| MonitoredRegion {
            start,
            end,
            nr_accesses: 3,
            last_nr_accesses: 2,
            age: 1,
        };
        let mut regions = vec![counted(10, 20), counted(30, 40)];
        fit(&mut regions, &ranges(&[(5, 45)]));
        assert_eq!(regions, [counted(5, 20), MonitoredRegion::fresh(20, 30), counted(30, 45)]);
    }

    #[test]
    fn impossible_ranges_are_named() {
        let refused = |bounds: &[_], granule| aligned(&ranges(bounds), granule).unwrap_err();
        assert!(matches!(refused(&[(0, 1), (5, 5)], 1), RangesError::Empty { index: 1, .. }));
        assert!(matches!(refused(&[(7, 5)], 1), RangesError::Empty { index: 0, .. }));
        assert!(matches!(refused(&[(0, 10), (9, 20)], 1), RangesError::Overlap { index: 1, .. }));
        assert!(matches!(refused(&[(50, 60), (0, 10)], 1), RangesError::Overlap { index: 1, .. }));
        assert!(
            matches!(refused(&[(0, 10), (12, 20)], 8), RangesError::Overlap { index: 1, .. }),
            "disjoint, but not after rounding"
        );
        assert!(matches!(refused(&[(0, u64::MAX)], 4096), RangesError::TooHigh { index: 0, .. }));
        assert_eq!(aligned(&ranges(&[(1, 9), (17, 18)]), 8).unwrap(), ranges(&[(0, 16), (16, 24)]));
    }
}
