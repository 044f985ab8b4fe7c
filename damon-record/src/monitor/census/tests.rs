use super::*;
use proptest::prelude::*;

fn range(start: u64, end: u64) -> AddressRange {
    AddressRange { start, end }
}

fn touched(start: u64, end: u64) -> TouchedRange {
    TouchedRange { start, end, bytes: end - start }
}

/// Start, end, `nr_accesses`, age.
type Row = (u64, u64, u32, u32);

fn rows(census: &mut Census) -> (Vec<Row>, u32) {
    let result = census.aggregate().unwrap();
    let rows = result.regions.iter();
    (rows.map(|r| (r.start, r.end, r.nr_accesses, r.age)).collect(), result.max_nr_accesses)
}

fn pages(max_nr_regions: u32) -> Census {
    Census::new(CensusGranularity::Pages, max_nr_regions)
}

#[test]
fn runs_count_in_how_many_looks_they_were_touched() {
    let mut census = pages(1000);
    let mapped = [range(0, 100)];
    census.look(&mapped, [touched(10, 20), touched(40, 60)]).unwrap();
    census.look(&mapped, [touched(50, 60)]).unwrap();
    census.look(&mapped, []).unwrap();
    assert_eq!(
        rows(&mut census),
        (
            vec![
                (0, 10, 0, 0),
                (10, 20, SCALE, 0),
                (20, 40, 0, 0),
                (40, 50, SCALE, 0),
                (50, 60, 2 * SCALE, 0),
                (60, 100, 0, 0)
            ],
            3 * SCALE
        )
    );
}

#[test]
fn equal_neighbours_of_different_mappings_stay_apart() {
    let mut census = pages(1000);
    let mapped = [range(0, 10), range(10, 20), range(30, 40)];
    census.look(&mapped, [touched(0, 40)]).unwrap();
    assert_eq!(rows(&mut census).0, [(0, 10, SCALE, 0), (10, 20, SCALE, 0), (30, 40, SCALE, 0)]);
}

#[test]
fn too_many_runs_lose_slivers_before_long_runs_and_borders_of_mappings_last() {
    let mapped = [range(0, 1000), range(1000, 2000)];
    let look = [touched(100, 101), touched(400, 800), touched(1999, 2000)];
    let bounds = |max| {
        let mut census = pages(max);
        census.look(&mapped, look).unwrap();
        let rows = rows(&mut census).0;
        rows.iter().map(|row| (row.0, row.1)).collect::<Vec<_>>()
    };
    assert_eq!(bounds(1000).len(), 7);
    assert_eq!(bounds(4), [(0, 400), (400, 800), (800, 1000), (1000, 2000)]);
    assert_eq!(bounds(2), mapped.map(|range| (range.start, range.end)));
    assert_eq!(bounds(1), [(0, 2000)]);
}

#[test]
fn a_gap_is_never_bridged() {
    let mut census = pages(1);
    let mapped = [range(0, 10), range(11, 20)];
    census.look(&mapped, []).unwrap();
    assert_eq!(rows(&mut census).0, [(0, 10, 0, 0), (11, 20, 0, 0)]);
}

#[test]
fn whole_mappings_carry_the_fraction_touched() {
    let mut census = Census::new(CensusGranularity::Mappings, 1);
    let mapped = [range(0, 1000), range(1000, 4000), range(5000, 6000)];
    let fraction = |start, end, bytes| TouchedRange { start, end, bytes };
    census.look(&mapped, [fraction(0, 1000, 250), fraction(1000, 4000, 1)]).unwrap();
    census.look(&mapped, [fraction(0, 1000, 500), fraction(5000, 5100, 100)]).unwrap();
    assert_eq!(
        rows(&mut census),
        (vec![(0, 1000, 7_500, 0), (1000, 4000, 3, 0), (5000, 6000, 1_000, 0)], 2 * SCALE)
    );
}

#[test]
fn age_counts_aggregations_of_an_unchanged_rate() {
    let mut census = pages(1000);
    let mapped = [range(0, 100)];
    let mut ages = Vec::new();
    for aggregation in 0..5 {
        // The number of looks differs: rates count, not counts.
        for _ in 0..=aggregation % 2 {
            census.look(&mapped, [touched(0, 30)]).unwrap();
        }
        ages.push(rows(&mut census).0.iter().map(|row| row.3).collect::<Vec<_>>());
    }
    assert_eq!(ages, [[0, 0], [1, 1], [2, 2], [3, 3], [4, 4]]);

    census.look(&mapped, [touched(0, 60)]).unwrap();
    assert_eq!(
        rows(&mut census).0,
        [(0, 60, SCALE, 2), (60, 100, 0, 5)],
        "half of it has persisted: (30 * 5 + 30 * 0) / 60"
    );
    census.look(&mapped, []).unwrap();
    assert_eq!(rows(&mut census).0, [(0, 100, 0, 2)], "(60 * 0 + 40 * 6) / 100");
}

#[test]
fn age_restarts_beyond_a_tenth_and_at_idle() {
    let region = |nr_accesses, age| Region { start: 0, end: 1, nr_accesses, age };
    let aged = |now, before| next_age(&region(now, 0), 1000, &region(before, 7), 1000);
    assert_eq!(aged(500, 600), 8);
    assert_eq!(aged(500, 601), 0);
    assert_eq!(aged(500, 399), 0);
    assert_eq!(aged(0, 0), 8);
    assert_eq!(aged(0, 1), 0);
    assert_eq!(aged(1, 0), 0);
    assert_eq!(
        next_age(&region(500, 0), 1000, &region(50, 7), 100),
        8,
        "the same rate on another scale"
    );
}

#[test]
fn counts_follow_changed_mappings() {
    let mut census = pages(1000);
    census.look(&[range(10, 20), range(30, 50)], [touched(10, 50)]).unwrap();
    census.look(&[range(5, 15), range(35, 40), range(40, 60)], [touched(50, 60)]).unwrap();
    assert_eq!(
        rows(&mut census),
        (
            vec![(5, 10, 0, 0), (10, 15, SCALE, 0), (35, 40, SCALE, 0), (40, 60, SCALE, 0)],
            2 * SCALE
        )
    );
}

#[test]
fn no_look_no_result() {
    let mut census = pages(1000);
    assert_eq!(census.aggregate(), None);
    census.look(&[], [touched(0, 10)]).unwrap();
    assert_eq!(rows(&mut census), (vec![], SCALE));
    assert_eq!(census.aggregate(), None);
}

#[test]
fn bad_mappings_are_refused_and_change_nothing() {
    let mut census = pages(1000);
    census.look(&[range(0, 10)], []).unwrap();
    assert!(census.look(&[range(10, 20), range(0, 5)], []).is_err());
    assert_eq!(rows(&mut census), (vec![(0, 10, 0, 0)], SCALE));
}

#[test]
fn touched_ranges_in_disorder_count_once() {
    let mut census = pages(1000);
    let look = [touched(20, 40), touched(10, 30), touched(35, u64::MAX), touched(0, 5)];
    census.look(&[range(0, 100)], look).unwrap();
    assert_eq!(rows(&mut census).0, [(0, 20, 0, 0), (20, 100, SCALE, 0)]);
}

#[test]
fn a_whole_address_space_of_scattered_pages_stays_small() {
    let mut census = pages(1000);
    let scattered = |phase| {
        (0..200_000_u64).map(move |i| {
            let start = (i * 2 + phase) << 12;
            touched(start, start + 4096)
        })
    };
    for phase in [0, 1] {
        census.look(&[range(0, u64::MAX)], scattered(phase)).unwrap();
        assert!(census.runs.len() <= MAX_RUNS);
        assert!(census.scratch.capacity() <= 4 * MAX_RUNS);
    }
    let result = census.aggregate().unwrap();
    assert!(result.regions.len() <= 1000);
    let found: u128 = result
        .regions
        .iter()
        .take(999)
        .map(|r| u128::from(r.size()) * u128::from(r.nr_accesses))
        .sum();
    let truth = 400_000 * 4096 * u128::from(SCALE);
    assert!(found.abs_diff(truth) * 1000 < truth, "{found} {truth}");
}

/// Pages 0..200 in a few mappings; some pages are touched in each of a few looks.
fn mappings() -> impl Strategy<Value = Vec<AddressRange>> {
    proptest::collection::btree_set(0_u64..200, 2..12).prop_map(|cuts| {
        let cuts: Vec<u64> = cuts.into_iter().collect();
        let mapped = cuts.windows(2).zip([1, 1, 0].into_iter().cycle());
        mapped.filter(|(_, mapped)| *mapped == 1).map(|(cut, _)| range(cut[0], cut[1])).collect()
    })
}

proptest! {
    #[test]
    fn an_unbounded_census_equals_counting_every_page(
        mappings in mappings(),
        looks in proptest::collection::vec(
            proptest::collection::vec(proptest::bool::weighted(0.3), 200), 1..5),
    ) {
        let mut census = pages(u32::MAX);
        let mut truth = [0_u32; 200];
        for look in &looks {
            let hit = (0_u64..).zip(look).filter(|(_, hit)| **hit);
            census.look(&mappings, hit.map(|(page, _)| touched(page, page + 1))).unwrap();
            for (count, hit) in truth.iter_mut().zip(look) {
                *count += u32::from(*hit) * SCALE;
            }
        }
        let (rows, max) = rows(&mut census);
        prop_assert_eq!(max, u32::try_from(looks.len()).unwrap() * SCALE);
        let found: Vec<(u64, u32)> = rows
            .iter()
            .flat_map(|row| (row.0..row.1).map(|page| (page, row.2)))
            .collect();
        let expected: Vec<(u64, u32)> = mappings
            .iter()
            .flat_map(|m| m.start..m.end)
            .map(|page| (page, truth[usize::try_from(page).unwrap()]))
            .collect();
        prop_assert_eq!(found, expected);
        for pair in rows.windows(2) {
            let distinct = pair[0].2 != pair[1].2
                || mappings.iter().any(|m| m.start == pair[1].0);
            prop_assert!(distinct, "{:?} should be one", pair);
        }
    }

    #[test]
    fn a_bounded_census_keeps_coverage_and_the_sum(
        mappings in mappings(),
        look in proptest::collection::vec(any::<bool>(), 200),
        max_nr_regions in 1_u32..20,
    ) {
        let mut census = pages(max_nr_regions);
        let hit = (0_u64..).zip(&look).filter(|(_, hit)| **hit);
        census.look(&mappings, hit.map(|(page, _)| touched(page, page + 1))).unwrap();
        let (rows, max) = rows(&mut census);
        let covered: Vec<u64> = rows.iter().flat_map(|row| row.0..row.1).collect();
        let mapped: Vec<u64> = mappings.iter().flat_map(|m| m.start..m.end).collect();
        prop_assert_eq!(&covered, &mapped);
        prop_assert!(rows.iter().all(|row| row.2 <= max));
        let gaps = mappings.windows(2).filter(|pair| pair[0].end < pair[1].start).count();
        prop_assert!(rows.len() <= (max_nr_regions as usize).max(gaps + 1));
        let found: u64 = rows.iter().map(|row| (row.1 - row.0) * u64::from(row.2)).sum();
        let truth = u64::from(SCALE)
            * mapped.iter().filter(|page| look[usize::try_from(**page).unwrap()]).count() as u64;
        prop_assert!(found.abs_diff(truth) * 2 <= mapped.len() as u64, "rounding only");
    }
}

#[test]
fn ages_go_on_from_0_where_something_was_done() {
    let mut census = pages(1000);
    let mapped = [range(0, 100), range(200, 300)];
    let idle = |census: &mut Census| {
        census.look(&mapped, []).unwrap();
        rows(census).0
    };
    for _ in 0..4 {
        idle(&mut census);
    }
    assert_eq!(idle(&mut census), [(0, 100, 0, 4), (200, 300, 0, 4)]);
    census.reset_age(range(50, 240));
    census.reset_age(range(7, 7));
    // Half of the first mapping and three fifths of the second are 5 now, the rest is 1.
    assert_eq!(idle(&mut census), [(0, 100, 0, 3), (200, 300, 0, 3)]);
    census.reset_age(range(0, u64::MAX));
    assert_eq!(idle(&mut census), [(0, 100, 0, 1), (200, 300, 0, 1)]);
}
