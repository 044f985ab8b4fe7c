//! Random splits: how borders inside a region are discovered.

use super::region::{MonitoredRegion, align_down};
use super::rng::Rng;

/// Decides before each split how many pieces every region is cut into.
///
/// The kernel keeps its memory of the previous split in one variable for all monitors of the
/// machine; here each engine has its own.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    previous_count: usize,
}

impl Pieces {
    /// `None` when no split may happen because more than half of `max_nr_regions` are in use. 3 when
    /// the count has not changed since the previous split and leaves room, 2 otherwise.
    pub fn next(&mut self, count: usize, max_nr_regions: usize) -> Option<u32> {
        if count > max_nr_regions / 2 {
            return None;
        }
        let stuck = count == self.previous_count && count < max_nr_regions / 3;
        self.previous_count = count;
        Some(if stuck { 3 } else { 2 })
    }
}

/// How regions are cut.
#[derive(Clone, Copy, Debug)]
pub struct Cuts<'a> {
    /// Pieces that a region is cut into, see [`Pieces`].
    pub pieces: u32,
    /// All pieces are multiples of it.
    pub granule: u64,
    /// Samples of an aggregation.
    pub max_nr_accesses: u32,
    /// Ascending addresses that were accessed in the last aggregation; without them all cuts are anywhere, as the
    /// kernel's.
    pub seen: &'a [u64],
}

/// Where less than one part in this many of the samples was accessed, cuts anywhere rarely set apart what is.
const FEW: u32 = 4;
/// The piece around an accessed address is one part in 2 to the power of one of these of its region: what was accessed
/// there may be of any size.
const PARTS: (u64, u64) = (3, 7);
/// Regions of so many granules or less have no pieces of these sizes.
const SMALL: u64 = 16;

/// Cuts every region at random tenths of its size into at most `pieces`, each a multiple of
/// `granule`. Regions of up to two granules stay.
///
/// A region of which few samples were accessed, and one of them is among `seen`, is cut around that address instead, in
/// three. When accesses are in one hundredth of a large region, as good as no piece that a cut anywhere makes has
/// enough of them to be told from its neighbours, and the pieces merge again; the small one has, if what
/// was accessed has neighbours that are accessed too. Samples of the next aggregation are drawn
/// anew in either case, so that no count depends on how its region came about.
///
/// `scratch` is only working memory, kept by the caller so that it is allocated once.
pub fn split(
    regions: &mut Vec<MonitoredRegion>,
    cuts: &Cuts<'_>,
    rng: &mut Rng,
    scratch: &mut Vec<MonitoredRegion>,
) {
    scratch.clear();
    for region in regions.iter() {
        match witness(region, cuts, rng) {
            Some(address) => around(region, address, cuts.granule, rng, scratch),
            None => anywhere(region, cuts, rng, scratch),
        }
    }
    std::mem::swap(regions, scratch);
}

/// One of the accessed addresses in a region that is to be cut around it.
fn witness(region: &MonitoredRegion, cuts: &Cuts<'_>, rng: &mut Rng) -> Option<u64> {
    let many = region.last_nr_accesses.saturating_mul(FEW) >= cuts.max_nr_accesses;
    if cuts.seen.is_empty() || many || region.size() <= cuts.granule.saturating_mul(SMALL) {
        return None;
    }
    let first = cuts.seen.partition_point(|address| *address < region.start);
    let inside = cuts.seen.get(first..)?;
    let count = inside.partition_point(|address| *address < region.end);
    if count == 0 {
        return None;
    }
    let chosen = rng.below(u64::try_from(count).unwrap_or(u64::MAX));
    inside.get(usize::try_from(chosen).ok()?).copied()
}

/// The piece in which `address` lies, anywhere in it, and what is left and right of it.
fn around(
    region: &MonitoredRegion,
    address: u64,
    granule: u64,
    rng: &mut Rng,
    pieces: &mut Vec<MonitoredRegion>,
) {
    let size = align_down(region.size() >> rng.between(PARTS.0, PARTS.1), granule).max(granule);
    // Multiples of the granule from the region's start, as that of others is one.
    let before = address.saturating_sub(region.start).saturating_sub(rng.below(size));
    let start = region.start + align_down(before, granule);
    let mut rest = *region;
    for cut in [start, start.saturating_add(size)] {
        if let Some(right) = rest.split_off(cut) {
            pieces.push(rest);
            rest = right;
        }
    }
    pieces.push(rest);
}

fn anywhere(
    region: &MonitoredRegion,
    cuts: &Cuts<'_>,
    rng: &mut Rng,
    found: &mut Vec<MonitoredRegion>,
) {
    let mut left = *region;
    let first = found.len();
    for _ in 1..cuts.pieces {
        if left.size() <= cuts.granule.saturating_mul(2) {
            break;
        }
        let size = tenths(left.size(), rng.between(1, 9));
        let address = left.start + align_down(size, cuts.granule);
        if let Some(right) = left.split_off(address) {
            found.push(right);
        }
    }
    // Cuts go leftwards: the pieces were found from right to left.
    found.push(left);
    if let Some(pieces) = found.get_mut(first..) {
        pieces.reverse();
    }
}

/// `size * k / 10`, exact without a wider type for `k` up to 10.
fn tenths(size: u64, k: u64) -> u64 {
    size / 10 * k + size % 10 * k / 10
}

/// Cuts `[start, end)` into `pieces` of equal size, whole granules each; the last takes the rest.
/// `None` when a piece would be smaller than a granule.
pub fn split_evenly(
    start: u64,
    end: u64,
    pieces: u64,
    granule: u64,
) -> Option<impl Iterator<Item = MonitoredRegion>> {
    let size = align_down(end.saturating_sub(start).checked_div(pieces)?, granule);
    if size == 0 {
        return None;
    }
    Some((0..pieces).map(move |i| {
        let from = start + i * size;
        let to = if i + 1 == pieces { end } else { from + size };
        MonitoredRegion::fresh(from, to)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splitted(regions: &[(u64, u64)], pieces: u32, granule: u64, seed: u64) -> Vec<(u64, u64)> {
        let mut regions =
            regions.iter().map(|&(start, end)| MonitoredRegion::fresh(start, end)).collect();
        let cuts = Cuts { pieces, granule, max_nr_accesses: 20, seen: &[] };
        split(&mut regions, &cuts, &mut Rng::new(seed), &mut Vec::new());
        regions.iter().map(|r| (r.start, r.end)).collect()
    }

    #[test]
    fn pieces_keep_the_coverage_and_stay_within_their_number() {
        for seed in 0..200 {
            for pieces in [2, 3] {
                let parts = splitted(&[(0, 22)], pieces, 1, seed);
                assert!((2..=pieces as usize).contains(&parts.len()), "{parts:?}");
                assert_eq!((parts[0].0, parts[parts.len() - 1].1), (0, 22));
                assert!(parts.windows(2).all(|w| w[0].1 == w[1].0), "{parts:?}");
                assert!(parts.iter().all(|&(start, end)| start < end), "{parts:?}");
            }
        }
    }

    #[test]
    fn both_two_and_three_pieces_really_occur() {
        let counts =
            |pieces| (0..50).map(|seed| splitted(&[(0, 1000)], pieces, 1, seed).len()).max();
        assert_eq!(counts(2), Some(2));
        assert_eq!(counts(3), Some(3));
    }

    #[test]
    fn regions_of_two_granules_or_less_stay_whole() {
        for seed in 0..50 {
            let small = [(0, 4096), (8192, 16384)];
            assert_eq!(splitted(&small, 3, 4096, seed), small);
        }
    }

    /// The pieces of one region with two of twenty samples accessed, and these addresses among them.
    fn around(size: u64, granule: u64, seen: &[u64], seed: u64) -> Vec<(u64, u64)> {
        let mut regions = vec![MonitoredRegion {
            last_nr_accesses: 2,
            ..MonitoredRegion::fresh(1 << 20, (1 << 20) + size)
        }];
        let seen: Vec<u64> = seen.iter().map(|offset| (1 << 20) + offset).collect();
        let cuts = Cuts { pieces: 2, granule, max_nr_accesses: 20, seen: &seen };
        split(&mut regions, &cuts, &mut Rng::new(seed), &mut Vec::new());
        regions.iter().map(|r| (r.start - (1 << 20), r.end - (1 << 20))).collect()
    }

    #[test]
    fn a_region_with_few_accesses_is_cut_around_one_of_them() {
        const SIZE: u64 = 1000 * 4096;
        let mut chosen = [0; 2];
        for seed in 0..400 {
            let seen = [0, 999 * 4096 + 77];
            let parts = around(SIZE, 4096, &seen, seed);
            assert!((2..=3).contains(&parts.len()), "{parts:?}");
            assert_eq!((parts[0].0, parts[parts.len() - 1].1), (0, SIZE));
            assert!(parts.windows(2).all(|w| w[0].1 == w[1].0), "{parts:?}");
            assert!(parts.iter().all(|p| p.0 < p.1 && p.0 % 4096 == 0), "{parts:?}");
            let small = |p: &&(u64, u64)| p.1 - p.0 <= SIZE / 8;
            let with =
                |address: u64| parts.iter().filter(small).any(|p| (p.0..p.1).contains(&address));
            for (chosen, address) in chosen.iter_mut().zip(seen) {
                *chosen += u32::from(with(address));
            }
            assert!(with(seen[0]) || with(seen[1]), "{parts:?}");
        }
        assert!(chosen.iter().all(|count| *count > 100), "each of them now and then: {chosen:?}");
    }

    #[test]
    fn elsewhere_and_in_small_regions_cuts_are_as_ever() {
        for seed in 0..50 {
            let usual = around(1000 * 4096, 4096, &[], seed);
            for elsewhere in [1000 * 4096, u64::MAX >> 1] {
                assert_eq!(around(1000 * 4096, 4096, &[elsewhere], seed), usual);
            }
            assert_eq!(around(16 * 4096, 4096, &[0], seed), around(16 * 4096, 4096, &[], seed));
        }
    }

    #[test]
    fn cuts_fall_on_every_tenth() {
        let mut cuts: Vec<u64> =
            (0..400).map(|seed| splitted(&[(0, 1000)], 2, 1, seed)[0].1).collect();
        cuts.sort_unstable();
        cuts.dedup();
        assert_eq!(cuts, [100, 200, 300, 400, 500, 600, 700, 800, 900]);
    }

    #[test]
    fn the_number_of_pieces_follows_the_count() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.next(10, 100), Some(2), "first");
        assert_eq!(pieces.next(10, 100), Some(3), "unchanged");
        assert_eq!(pieces.next(11, 100), Some(2), "changed");
        assert_eq!(pieces.next(51, 100), None, "more than half in use");
        assert_eq!(pieces.next(11, 100), Some(3), "a skipped split is forgotten");
        assert_eq!(pieces.next(33, 100), Some(2));
        assert_eq!(pieces.next(33, 100), Some(2), "a third in use");
        assert_eq!(pieces.next(50, 100), Some(2));
        assert_eq!(pieces.next(50, 100), Some(2));
    }

    #[test]
    fn even_pieces_are_equal_but_the_last() {
        let even = |start, end, pieces, granule| {
            split_evenly(start, end, pieces, granule)
                .map(|parts| parts.map(|r| (r.start, r.end)).collect::<Vec<_>>())
        };
        let tens: Vec<_> = (0..10).map(|i| (i * 10, i * 10 + 10)).collect();
        assert_eq!(even(0, 100, 10, 1), Some(tens));
        assert_eq!(even(5, 59, 5, 1), Some(vec![(5, 15), (15, 25), (25, 35), (35, 45), (45, 59)]));
        assert_eq!(even(4, 14, 2, 2), Some(vec![(4, 8), (8, 14)]));
        assert_eq!(even(5, 6, 2, 1), None, "a piece would be empty");
        assert_eq!(even(5, 6, 0, 1), None);
        assert_eq!(even(0, u64::MAX, 1, 1), Some(vec![(0, u64::MAX)]));
    }

    #[test]
    fn tenths_are_exact_at_both_ends() {
        for size in [0, 1, 9, 10, 19, 4096, u64::MAX - 1, u64::MAX] {
            for k in 1..=9 {
                assert_eq!(u128::from(tenths(size, k)), u128::from(size) * u128::from(k) / 10);
            }
        }
    }

    #[test]
    fn the_largest_region_can_be_split() {
        let parts = splitted(&[(0, u64::MAX)], 3, 1 << 63, 1);
        assert_eq!(parts, [(0, u64::MAX)]);
        assert!(splitted(&[(0, u64::MAX)], 3, 1, 1).len() > 1);
    }
}
