use super::*;
use crate::monitor::synthetic::run_aggregation;
use damon_format::Region;

const MIB: u64 = 1 << 20;
const PAGE: u64 = 4096;
const A: TargetId = TargetId(0);
const B: TargetId = TargetId(1);

fn attrs(min_nr_regions: u32, max_nr_regions: u32) -> Attrs {
    Attrs {
        sample_us: 5_000,
        aggr_us: 100_000,
        update_us: 1_000_000,
        min_nr_regions,
        max_nr_regions,
    }
}

fn range(start: u64, end: u64) -> AddressRange {
    AddressRange { start, end }
}

fn engine(attrs: Attrs, ranges: &[AddressRange]) -> Engine {
    let mut engine = Engine::new(attrs, PAGE, 42).unwrap();
    engine.add_target(A).unwrap();
    engine.set_ranges(A, ranges).unwrap();
    engine
}

/// The merged regions of target A after each of `count` aggregations.
fn results(
    engine: &mut Engine,
    count: usize,
    mut accessed: impl FnMut(u64) -> bool,
) -> Vec<Vec<Region>> {
    (0..count)
        .map(|_| {
            let result = run_aggregation(engine, &mut |_, address| accessed(address));
            let target = result.targets().next().unwrap();
            target.regions().collect()
        })
        .collect()
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

/// Records one target's round in which nothing, or everything, was accessed.
fn record(engine: &mut Engine, target: TargetId, accessed: bool) {
    let recorded: Result<(), ()> = engine.record(target, |_, answers| {
        answers.fill(accessed);
        Ok(())
    });
    assert_eq!(recorded, Ok(()));
}

/// `count` blocks of 10 MiB, 2 MiB apart.
fn blocks(count: u64) -> Vec<AddressRange> {
    (0..count).map(|i| range(i * 12 * MIB, (i * 12 + 10) * MIB)).collect()
}

#[test]
fn the_number_of_regions_stays_within_its_limits() {
    let alternating = |address: u64| (address / (5 * MIB)).is_multiple_of(2);
    let mut engine = engine(attrs(20, 100), &blocks(10));
    for regions in results(&mut engine, 100, alternating) {
        assert!((20..=100).contains(&regions.len()), "{}", regions.len());
    }
}

#[test]
fn more_gaps_than_the_maximum_allows_still_give_one_region_each() {
    let mut engine = engine(attrs(3, 10), &blocks(15));
    for regions in results(&mut engine, 50, |address| address < 30 * MIB) {
        assert_eq!(regions.len(), 15);
    }
}

#[test]
fn a_lowered_maximum_holds_at_once() {
    let mut engine = engine(attrs(3, 100), &[range(0, 140 * MIB)]);
    let noisy = |address: u64| (address / (10 * MIB)).is_multiple_of(2);
    let before = results(&mut engine, 50, noisy);
    assert!(before[49].len() > 7, "{}", before[49].len());
    engine.change_attrs(attrs(3, 7)).unwrap();
    assert!((3..=7).contains(&engine.nr_regions()), "{}", engine.nr_regions());
    let bounds = |r: &MonitoredRegion| (r.start, r.end);
    let all: Vec<_> = engine.regions(A).iter().map(bounds).collect();
    assert_eq!((all[0].0, all[all.len() - 1].1), (0, 140 * MIB));
    assert!(all.windows(2).all(|pair| pair[0].1 == pair[1].0), "nothing is lost: {all:?}");
    for regions in results(&mut engine, 20, noisy) {
        assert!((3..=7).contains(&regions.len()), "{}", regions.len());
    }
}

#[test]
fn merging_down_to_a_lowered_maximum_keeps_the_border_between_hot_and_cold() {
    let mut engine = engine(attrs(10, 100), &[range(0, 140 * MIB)]);
    drop(results(&mut engine, 50, |address| address < 70 * MIB));
    assert!(engine.nr_regions() > 12, "just split: {}", engine.nr_regions());
    engine.change_attrs(attrs(10, 12)).unwrap();
    let regions = engine.regions(A);
    assert!(regions.len() <= 12, "{}", regions.len());
    assert!(regions.iter().any(|region| region.start.abs_diff(70 * MIB) <= MIB), "{regions:?}");
    for region in regions {
        let hot = region.start + region.size() / 2 < 70 * MIB;
        assert_eq!(region.last_nr_accesses > 10, hot, "{region:?}");
        assert_eq!(region.nr_accesses, 0);
    }
}

#[test]
fn alternating_blocks_are_told_apart() {
    let mut engine = engine(attrs(10, 1000), &[range(0, 140 * MIB)]);
    let counts = results(&mut engine, 100, |address| (address / (10 * MIB)).is_multiple_of(2));
    let median = median(counts.iter().map(|r| r.len() as u64).collect());
    assert!((14..=1000).contains(&median), "{median}");
}

#[test]
fn an_idle_target_only_grows_older() {
    let mut engine = engine(attrs(10, 1000), &[range(0, 100 * MIB)]);
    for (age, regions) in (1..).zip(results(&mut engine, 30, |_| false)) {
        assert_eq!(regions.len(), 10);
        for region in regions {
            assert_eq!((region.nr_accesses, region.age), (0, age));
        }
    }
}

#[test]
fn the_border_of_a_hot_half_is_found() {
    let (hot, end) = (333 * MIB / 10, 67 * MIB);
    let mut engine = engine(attrs(3, 100), &[range(0, end)]);
    let settled = results(&mut engine, 50, |address| address < hot).split_off(20);
    let overlaps = settled.iter().map(|regions| {
        let found = |inside: bool| -> u64 {
            regions
                .iter()
                .filter(|region| region.nr_accesses >= 10)
                .map(|region| {
                    let within = region.end.min(hot).saturating_sub(region.start);
                    if inside { within } else { region.size() - within }
                })
                .sum()
        };
        100 * found(true) / (hot + found(false))
    });
    let median = median(overlaps.collect());
    assert!(median > 80, "{median} %");
}

#[test]
fn the_working_set_is_estimated_within_a_fifth() {
    let hot = 300 * MIB..310 * MIB;
    let mut engine = engine(attrs(10, 1000), &[range(0, 400 * MIB)]);
    let settled = results(&mut engine, 100, |address| hot.contains(&address)).split_off(20);
    let touched = settled.iter().map(|regions| {
        let hot = regions.iter().filter(|region| region.nr_accesses > 0);
        hot.map(Region::size).sum()
    });
    let median = median(touched.collect());
    assert!((8 * MIB..=12 * MIB).contains(&median), "{median}");
}

#[test]
fn regions_above_four_gib_are_sampled_to_their_end() {
    let size = 1 << 34;
    let mut engine = engine(attrs(3, 6), &[range(0, 3 * size)]);
    let mut furthest = 0;
    for _ in 0..100 {
        engine.begin_round();
        let regions = engine.regions(A).iter();
        let points = engine.points().flat_map(|(_, points)| points);
        furthest = regions.zip(points).map(|(r, point)| point - r.start).fold(furthest, u64::max);
        let _due = engine.end_round();
    }
    assert!((size / 100 * 95..size).contains(&furthest), "{furthest:#x}");
}

#[test]
fn a_target_that_nobody_looked_at_does_not_grow_older() {
    let mut engine = engine(attrs(3, 100), &[range(0, MIB)]);
    engine.add_target(B).unwrap();
    engine.set_ranges(B, &[range(0, MIB)]).unwrap();
    for _ in 0..20 {
        engine.begin_round();
        record(&mut engine, A, false);
        let _due = engine.end_round();
    }
    drop(engine.aggregate());
    assert!(engine.regions(A).iter().all(|region| region.age == 1));
    assert!(engine.regions(B).iter().all(|region| region.age == 0));
}

#[test]
fn aggregations_and_updates_fall_due_in_rounds() {
    let odd = Attrs { sample_us: 30, aggr_us: 100, update_us: 250, ..attrs(3, 10) };
    let mut engine = engine(odd, &[range(0, MIB)]);
    let mut due = Vec::new();
    for round in 1..=12 {
        engine.begin_round();
        let now = engine.end_round();
        if now.aggregation {
            drop(engine.aggregate());
        }
        if now.aggregation || now.update {
            due.push((round, now.aggregation, now.update));
        }
    }
    assert_eq!(
        due,
        [(3, true, false), (6, true, false), (8, false, true), (9, true, false), (12, true, false)]
    );
}

#[test]
fn results_are_read_before_the_counters_restart() {
    let mut engine = engine(attrs(3, 100), &[range(0, MIB)]);
    let results = results(&mut engine, 1, |_| true);
    assert!(results[0].iter().all(|region| region.nr_accesses == 20));
    let after = engine.regions(A);
    assert!(after.len() > results[0].len(), "split");
    assert!(after.iter().all(|region| (region.nr_accesses, region.last_nr_accesses) == (0, 20)));
}

#[test]
fn the_scale_is_the_number_of_rounds_a_target_was_recorded_in() {
    let mut engine = engine(attrs(3, 100), &[range(0, MIB)]);
    engine.add_target(B).unwrap();
    engine.set_ranges(B, &[range(0, MIB)]).unwrap();
    engine.add_target(TargetId(2)).unwrap();
    for round in 0..20 {
        engine.begin_round();
        record(&mut engine, A, true);
        if round == 7 {
            assert_eq!(engine.record(B, |_, _| Err("no")), Err("no"));
        }
        if round == 8 {
            engine.set_ranges(B, &[range(0, 2 * MIB)]).unwrap();
        }
        record(&mut engine, B, true);
        // The second time counts nothing.
        record(&mut engine, B, true);
        let due = engine.end_round();
        assert_eq!(due.aggregation, round == 19);
    }
    let result = engine.aggregate();
    let seen: Vec<_> =
        result.targets().map(|target| (target.id, target.sampling.max_nr_accesses)).collect();
    assert_eq!(seen, [(A, 20), (B, 18)]);
    for target in result.targets() {
        assert!(
            target.regions().all(|region| region.nr_accesses <= target.sampling.max_nr_accesses)
        );
    }
}

#[test]
fn an_early_aggregation_restarts_the_schedule() {
    let mut engine = engine(attrs(3, 100), &[range(0, MIB)]);
    for _ in 0..5 {
        engine.begin_round();
        record(&mut engine, A, true);
        assert_eq!(engine.end_round(), Due::default());
    }
    let result = engine.aggregate();
    let target = result.targets().next().unwrap();
    assert_eq!(target.sampling.max_nr_accesses, 5);
    assert!(target.regions().all(|region| region.nr_accesses == 5));
    drop(result);
    for round in 1..=20 {
        engine.begin_round();
        assert_eq!(engine.end_round().aggregation, round == 20);
    }
}

#[test]
fn recording_outside_a_round_counts_nothing() {
    let mut engine = engine(attrs(3, 100), &[range(0, MIB)]);
    let unexpected = |_: &[u64], _: &mut [bool]| Err("called");
    assert_eq!(engine.record(A, unexpected), Ok(()));
    assert_eq!(engine.record(B, unexpected), Ok(()));
    engine.begin_round();
    let _due = engine.end_round();
    assert_eq!(engine.record(A, unexpected), Ok(()));
    assert_eq!(engine.aggregate().targets().count(), 0);
}

#[test]
fn targets_share_the_limits_and_keep_their_own_regions() {
    let mut engine = engine(attrs(10, 40), &[range(0, 30 * MIB)]);
    assert_eq!(engine.regions(A).len(), 10);
    engine.add_target(B).unwrap();
    engine.set_ranges(B, &[range(0, 10 * MIB)]).unwrap();
    assert_eq!(engine.regions(B).len(), 3, "10 MiB of 40 MiB in ten");
    for _ in 0..30 {
        let result =
            run_aggregation(&mut engine, &mut |target, address| target == A && address < 15 * MIB);
        assert!((10..=40).contains(&result.nr_regions()));
        for target in result.targets() {
            let busy = target.regions().any(|region| region.nr_accesses > 0);
            assert_eq!(busy, target.id == A);
        }
    }
    engine.remove_target(A).unwrap();
    assert_eq!(engine.targets().collect::<Vec<_>>(), [B]);
    assert!(engine.regions(A).is_empty());
}

#[test]
fn an_update_keeps_counters_and_fixed_ranges_ignore_it() {
    let mut engine = engine(attrs(3, 100), &[range(0, 3 * MIB)]);
    engine.add_target(B).unwrap();
    engine.set_fixed_ranges(B, &[range(0, 3 * MIB)]).unwrap();
    for _ in 0..5 {
        drop(run_aggregation(&mut engine, &mut |_, _| false));
    }
    let fixed = engine.regions(B).to_vec();
    let grown = [range(0, 3 * MIB + PAGE)];
    engine.set_ranges(A, &grown).unwrap();
    engine.set_ranges(B, &grown).unwrap();
    assert_eq!(engine.regions(B), fixed);
    let last = engine.regions(A).last().unwrap();
    assert_eq!((last.end, last.age), (3 * MIB + PAGE, 5));
    engine.set_ranges(A, &[]).unwrap();
    assert!(engine.regions(A).is_empty());
}

#[test]
fn a_mapping_that_grows_a_lot_is_cut_at_once() {
    let mut engine = engine(attrs(10, 100), &[range(0, MIB)]);
    engine.set_ranges(A, &[range(0, 100 * MIB)]).unwrap();
    assert!(engine.regions(A).iter().all(|r| r.size() <= 10 * MIB));
}

#[test]
fn new_attributes_convert_what_is_known_and_drop_what_is_half_counted() {
    let old = Attrs { sample_us: 10, aggr_us: 1000, ..attrs(3, 100) };
    let mut engine = engine(old, &[range(0, 3 * PAGE)]);
    let mut round = 0;
    for _ in 0..20 {
        drop(run_aggregation(&mut engine, &mut |_, _| {
            round += 1;
            round % 300 < 45
        }));
    }
    assert!(
        engine.regions(A).iter().all(|region| (region.last_nr_accesses, region.age) == (15, 19))
    );
    engine.begin_round();
    record(&mut engine, A, true);
    let _due = engine.end_round();
    engine.change_attrs(Attrs { sample_us: 1, aggr_us: 500, ..old }).unwrap();
    for region in engine.regions(A) {
        assert_eq!((region.nr_accesses, region.last_nr_accesses, region.age), (0, 75, 38));
    }
    for round in 1..=500 {
        engine.begin_round();
        record(&mut engine, A, false);
        assert_eq!(engine.end_round().aggregation, round == 500);
    }
}

#[test]
fn refusals_name_the_fault_and_change_nothing() {
    let mut engine = engine(attrs(3, 100), &[range(0, MIB)]);
    let before = engine.regions(A).to_vec();
    assert_eq!(engine.add_target(A), Err(EngineError::Duplicate(A)));
    assert_eq!(engine.remove_target(B), Err(EngineError::Unknown(B)));
    assert_eq!(engine.set_ranges(B, &[]), Err(EngineError::Unknown(B)));
    assert!(matches!(
        engine.set_ranges(A, &[range(0, PAGE), range(1, PAGE)]),
        Err(EngineError::Ranges { target: A, error: RangesError::Overlap { index: 1, .. } })
    ));
    assert!(matches!(
        engine.change_attrs(attrs(2, 100)),
        Err(EngineError::Attrs(AttrsError::TooFewRegions(2)))
    ));
    assert_eq!(engine.regions(A), before);
    assert_eq!(engine.attrs(), &attrs(3, 100));
    assert!(Engine::new(attrs(9, 8), PAGE, 0).is_err());
    assert!(Engine::new(attrs(3, 8), 0, 0).is_err());
}

#[test]
fn a_target_that_retires_takes_its_counts_along_and_leaves_the_others_theirs() {
    let mut engine = engine(attrs(10, 100), &[range(0, 40 * MIB)]);
    engine.add_target(B).unwrap();
    engine.set_ranges(B, &[range(0, 40 * MIB)]).unwrap();
    for round in 0..5 {
        engine.begin_round();
        record(&mut engine, A, true);
        if round >= 2 {
            record(&mut engine, B, true);
        }
        assert!(!engine.end_round().aggregation);
    }
    let snapshot = engine.retire(B, 7, 9).unwrap();
    assert_eq!((snapshot.target, snapshot.start_ns, snapshot.end_ns), (B, 7, 9));
    assert_eq!(snapshot.sampling.max_nr_accesses, 3, "the rounds it was there for");
    assert!(snapshot.regions.iter().all(|region| region.nr_accesses == 3));
    let covered: u64 = snapshot.regions.iter().map(Region::size).sum();
    assert_eq!(covered, 40 * MIB);
    assert_eq!(engine.retire(B, 7, 9), None);
    assert!(engine.regions(A).iter().all(|region| region.nr_accesses == 5));
}

/// Of sixteen islands of 5 MiB in 8 GiB, with 1 MiB beside them that is accessed too, how much lies in hot regions in the
/// end.
fn found(engine: Engine) -> u64 {
    let island = |number: u64| {
        let start = (100 + number * 512 + number * 37 % 200) * MIB;
        start..start + 5 * MIB
    };
    let beside = 9 << 30..(9 << 30) + MIB;
    let mut engine = engine;
    engine.add_target(A).unwrap();
    engine.set_ranges(A, &[range(0, 8 << 30), range(beside.start, beside.end)]).unwrap();
    let accessed =
        |address| beside.contains(&address) || (0..16).any(|i| island(i).contains(&address));
    let all = results(&mut engine, 70, accessed);
    assert!(all.iter().all(|regions| (10..=200).contains(&regions.len())));
    let hot = all[69].iter().filter(|region| region.nr_accesses >= 10);
    let part = |region: &Region| -> u64 {
        let common =
            |i| region.end.min(island(i).end).saturating_sub(region.start.max(island(i).start));
        (0..16).map(common).sum()
    };
    hot.map(part).sum::<u64>() * 100 / (80 * MIB)
}

/// Where one page in a hundred is accessed a region with some of them counts one or two of twenty, as if it were nothing,
/// unless it is cut around what was seen.
#[test]
fn what_is_sparse_is_found_by_cuts_around_accesses() {
    for seed in 1..=5 {
        let engine = || Engine::new(attrs(10, 200), PAGE, seed).unwrap();
        let (around, anywhere) = (found(engine().cutting_around_accesses()), found(engine()));
        assert!(around >= 80, "seed {seed}: {around} % found");
        assert!(anywhere <= 60, "seed {seed}: {anywhere} % found, without");
    }
}
