use super::*;
use crate::monitor::{AddressRange, Census, CensusGranularity, Engine};
use crate::sys::madvise::Advice;
use damon_format::damos::Schemes;
use damon_format::damos::kernel::Goal;
use damon_format::{
    Attrs, EffectiveQuota, Mapping, Permissions, Region, Sampling, Snapshot, TargetId,
};
use nix::errno::Errno;
use proptest::prelude::*;

const PAGE: u64 = 4096;
const SECOND: u64 = 1_000_000_000;
/// Aggregations of one second.
const ATTRS: Attrs = Attrs {
    sample_us: 50_000,
    aggr_us: 1_000_000,
    update_us: 1_000_000,
    min_nr_regions: 3,
    max_nr_regions: 100,
};

/// Advice and ranges of pages.
type Call = (Advice, Vec<(u64, u64)>);

/// Takes all advice but that for `refused` bytes, and writes it down in pages.
#[derive(Default)]
struct Diary {
    calls: Vec<Call>,
    refused: u64,
    fails: Option<Errno>,
}

impl Advise for Diary {
    fn advise(&mut self, advice: Advice, ranges: &[AddressRange]) -> Result<u64, Errno> {
        let pages = ranges.iter().map(|range| (range.start / PAGE, range.end / PAGE));
        self.calls.push((advice, pages.collect()));
        let bytes: u64 = ranges.iter().map(AddressRange::size).sum();
        self.fails.map_or(Ok(bytes.saturating_sub(self.refused)), Err)
    }
}

/// A clock that advances by itself with each look.
struct Clock {
    now_ns: u64,
    step_ns: u64,
    free_permil: Option<u64>,
}

impl System for Clock {
    fn now_ns(&mut self) -> u64 {
        self.now_ns += self.step_ns;
        self.now_ns
    }

    fn free_permil(&mut self) -> Option<u64> {
        self.free_permil
    }

    fn goal(&mut self, _goal: &Goal) -> Option<u64> {
        None
    }
}

fn clock(seconds: u64) -> Clock {
    Clock { now_ns: seconds * SECOND, step_ns: 0, free_permil: None }
}

fn actuator(json: &str) -> Actuator {
    Actuator::new(Schemes::from_json(json).unwrap(), &ATTRS, PAGE).unwrap()
}

/// Regions of pages.
fn snapshot(id: u32, regions: &[(u64, u64, u32, u32)]) -> Snapshot {
    let regions = regions.iter().map(|(start, end, nr_accesses, age)| Region {
        start: start * PAGE,
        end: end * PAGE,
        nr_accesses: *nr_accesses,
        age: *age,
    });
    let sampling = Sampling::from_intervals(ATTRS.sample_us, ATTRS.aggr_us);
    Snapshot::new(TargetId(id), 0, SECOND, sampling, regions.collect())
}

fn mapping(start: u64, end: u64) -> Mapping {
    Mapping {
        start: start * PAGE,
        end: end * PAGE,
        permissions: Permissions::default(),
        offset: 0,
        inode: 0,
        name: String::new(),
    }
}

/// One aggregation of one target; everything is mapped.
fn once(actuator: &mut Actuator, system: &mut Clock, snapshot: &Snapshot) -> (Applied, Vec<Call>) {
    let mut diary = Diary::default();
    let mappings = [mapping(0, 1 << 30)];
    let mut targets = [Target { snapshot, mappings: &mappings, advise: &mut diary }];
    let applied = actuator.apply(&mut targets, system);
    (applied, diary.calls)
}

const COLD: &str = r#"[{"action": "pageout",
    "access_pattern": {"nr_accesses": {"max": "0 %"}, "age": {"min": "5 s"}}}]"#;

#[test]
fn what_matches_is_advised_and_counted() {
    let mut actuator = actuator(COLD);
    let snapshot = snapshot(7, &[(0, 4, 0, 5), (4, 6, 1, 9), (6, 9, 0, 4), (20, 22, 0, 8)]);
    let mut diary = Diary { refused: PAGE, ..Diary::default() };
    let mappings = [mapping(0, 100)];
    let mut targets = [Target { snapshot: &snapshot, mappings: &mappings, advise: &mut diary }];
    let applied = actuator.apply(&mut targets, &mut clock(1));
    let calls = [(Advice::Pageout, vec![(0, 4)]), (Advice::Pageout, vec![(20, 22)])];
    assert_eq!(diary.calls, calls);
    let range = |start, end| AddressRange { start: start * PAGE, end: end * PAGE };
    assert_eq!(applied.resets, [(TargetId(7), range(0, 4)), (TargetId(7), range(20, 22))]);
    let [of] = applied.regions.as_slice() else { panic!("{applied:?}") };
    assert_eq!((of.scheme, of.target, of.time_ns), (0, TargetId(7), SECOND));
    assert_eq!(of.regions, [snapshot.regions[0], snapshot.regions[3]], "as they were before");
    assert!(applied.failures.is_empty() && applied.refused.is_none());
    let stats = actuator.records(3).next().unwrap();
    assert_eq!((stats.nr_tried, stats.sz_tried), (2, 6 * PAGE));
    assert_eq!((stats.nr_applied, stats.sz_applied), (2, 4 * PAGE));
}

#[test]
fn only_what_is_mapped_is_advised() {
    let mut actuator = actuator(COLD);
    let snapshot = snapshot(0, &[(0, 20, 0, 9), (20, 30, 0, 9)]);
    let mut diary = Diary::default();
    let mappings = [mapping(0, 2), mapping(5, 8), mapping(8, 9), mapping(15, 25), mapping(40, 50)];
    let mut targets = [Target { snapshot: &snapshot, mappings: &mappings, advise: &mut diary }];
    actuator.apply(&mut targets, &mut clock(1));
    let calls = [
        (Advice::Pageout, vec![(0, 2), (5, 8), (8, 9), (15, 20)]),
        (Advice::Pageout, vec![(20, 25)]),
    ];
    assert_eq!(diary.calls, calls);
    let stats = *actuator.stats().next().unwrap();
    assert_eq!((stats.sz_tried, stats.sz_applied), (30 * PAGE, 16 * PAGE));
}

#[test]
fn memory_that_is_not_mapped_is_tried_without_effect() {
    let mut actuator = actuator(COLD);
    let snapshot = snapshot(0, &[(0, 20, 0, 9)]);
    let mut diary = Diary::default();
    let mut targets = [Target { snapshot: &snapshot, mappings: &[], advise: &mut diary }];
    let applied = actuator.apply(&mut targets, &mut clock(1));
    assert!(diary.calls.is_empty());
    assert_eq!(applied.resets.len(), 1);
    let stats = *actuator.stats().next().unwrap();
    assert_eq!((stats.nr_tried, stats.nr_applied), (1, 0));
}

#[test]
fn a_process_out_of_reach_is_reported_once_and_does_not_stop_the_others() {
    let mut actuator = actuator(COLD);
    let snapshots = [0, 1].map(|id| snapshot(id, &[(0, 2, 0, 9), (4, 6, 0, 9)]));
    let (mut gone, mut alive) =
        (Diary { fails: Some(Errno::ESRCH), ..Diary::default() }, Diary::default());
    let mappings = [mapping(0, 100)];
    let mut targets = [
        Target { snapshot: &snapshots[0], mappings: &mappings, advise: &mut gone },
        Target { snapshot: &snapshots[1], mappings: &mappings, advise: &mut alive },
    ];
    let applied = actuator.apply(&mut targets, &mut clock(1));
    assert_eq!(applied.failures, [(TargetId(0), Errno::ESRCH)]);
    assert_eq!((gone.calls.len(), alive.calls.len()), (1, 2));
    let stats = *actuator.stats().next().unwrap();
    assert_eq!((stats.nr_tried, stats.nr_applied), (4, 2));
}

#[test]
fn quotas_cut_at_pages_and_go_on_in_the_next_window() {
    let mut actuator = actuator(
        r#"[{"action": "cold", "quotas": {"sz_bytes": "20 KiB", "reset_interval_ms": "2 s"}}]"#,
    );
    let snapshot = snapshot(0, &[(0, 3, 0, 0), (3, 9, 0, 0)]);
    let mut at = |second| once(&mut actuator, &mut clock(second), &snapshot);
    let (first, calls) = at(1);
    assert_eq!(calls, [(Advice::Cold, vec![(0, 3)]), (Advice::Cold, vec![(3, 5)])]);
    assert_eq!(first.quotas, [EffectiveQuota { time_ns: SECOND, scheme: 0, bytes: 5 * PAGE }]);
    let (second, calls) = at(2);
    assert_eq!((calls, second), (vec![], Applied::default()), "the window is full");
    assert_eq!(at(3).1, [(Advice::Cold, vec![(5, 9)])]);
    assert_eq!(actuator.stats().next().unwrap().qt_exceeds, 1);
}

#[test]
fn time_quotas_measure_the_time_it_took() {
    let mut actuator = actuator(
        r#"[{"action": "cold", "quotas": {"time_ms": "2 ms", "reset_interval_ms": "1 s"}}]"#,
    );
    let snapshot = snapshot(0, &[(0, 10, 0, 0)]);
    let mut system = Clock { step_ns: 1_000_000, ..clock(1) };
    once(&mut actuator, &mut system, &snapshot);
    system.now_ns = 3 * SECOND;
    let (applied, _) = once(&mut actuator, &mut system, &snapshot);
    // Ten pages took a millisecond.
    assert_eq!(applied.quotas[0].bytes, 20 * PAGE);
}

#[test]
fn schemes_work_one_after_the_other() {
    let mut actuator = actuator(
        r#"[{"action": "stat"},
            {"action": "cold", "access_pattern": {"age": {"min": "3 s"}}},
            {"action": "pageout", "access_pattern": {"age": {"min": "3 s"}}}]"#,
    );
    let (applied, calls) = once(&mut actuator, &mut clock(1), &snapshot(0, &[(0, 1, 0, 3)]));
    assert_eq!(calls, [(Advice::Cold, vec![(0, 1)])], "then its age is 0");
    let schemes: Vec<u32> = applied.regions.iter().map(|of| of.scheme).collect();
    assert_eq!(schemes, [0, 1]);
    assert_eq!(applied.resets.len(), 1, "stat resets nothing");
}

#[test]
fn frequencies_are_understood_on_any_scale() {
    let mut actuator = actuator(
        r#"[{"action": "cold", "access_pattern": {"nr_accesses": {"min": "0 %", "max": "0 %"}}},
                     {"action": "pageout", "access_pattern": {"nr_accesses": {"min": "50 %"}}}]"#,
    );
    // Exact looks: 10000 for each byte and look, seven looks instead of twenty.
    let mut exact =
        snapshot(0, &[(0, 1, 0, 0), (1, 2, 1, 0), (2, 3, 34_000, 0), (3, 4, 35_000, 0)]);
    exact.sampling.max_nr_accesses = 70_000;
    let (applied, calls) = once(&mut actuator, &mut clock(1), &exact);
    let expected = [
        (Advice::Cold, vec![(0, 1)]),
        (Advice::Pageout, vec![(2, 3)]),
        (Advice::Pageout, vec![(3, 4)]),
    ];
    assert_eq!(calls, expected, "34000 of 70000 is 9.7 of 20, 1 of 70000 is not never");
    assert_eq!(applied.regions[1].regions[0].nr_accesses, 34_000, "recorded on its own scale");
}

#[test]
fn other_intervals_change_what_an_age_is() {
    let mut actuator = actuator(COLD);
    let mut snapshot = snapshot(0, &[(0, 1, 0, 3)]);
    assert_eq!(once(&mut actuator, &mut clock(1), &snapshot).1, []);
    snapshot.sampling = Sampling::from_intervals(100_000, 2_000_000);
    assert_eq!(once(&mut actuator, &mut clock(3), &snapshot).1.len(), 1, "three times two seconds");
}

#[test]
fn intervals_that_schemes_cannot_mean_stop_them() {
    let mut actuator = actuator(
        r#"[{"action": "cold", "access_pattern": {"nr_accesses": {"min": "15 samples"}}}]"#,
    );
    let mut snapshot = snapshot(0, &[(0, 1, 20, 0)]);
    assert_eq!(once(&mut actuator, &mut clock(1), &snapshot).1.len(), 1);
    snapshot.sampling = Sampling::from_intervals(100_000, 1_000_000);
    let (applied, calls) = once(&mut actuator, &mut clock(2), &snapshot);
    assert!(calls.is_empty());
    assert!(applied.refused.is_some_and(|problem| problem.contains("15 samples")));
}

#[test]
fn schemes_wait_for_their_interval_and_their_watermarks() {
    let mut actuator = actuator(
        r#"[{"action": "cold", "apply_interval_us": "3 s"},
            {"action": "pageout", "watermarks": {"metric": "free_mem_rate", "interval_us": "1 s",
             "high_permil": 500, "mid_permil": 400, "low_permil": 200}}]"#,
    );
    let snapshot = snapshot(0, &[(0, 1, 0, 0)]);
    let mut counts = Vec::new();
    for (second, free) in [(1, 600), (2, 600), (3, 300), (4, 300), (5, 600), (6, 100)] {
        let mut system = Clock { free_permil: Some(free), ..clock(second) };
        counts.push(once(&mut actuator, &mut system, &snapshot).1.len());
    }
    assert_eq!(counts, [0, 0, 2, 1, 0, 1]);
}

#[test]
fn targets_are_told_apart_by_filters() {
    let mut actuator = actuator(
        r#"[{"action": "cold", "filters": [{"filter_type": "target", "damon_target_idx": 4},
            {"filter_type": "addr", "address_range": {"start": 8192, "end": 16384}}]}]"#,
    );
    let snapshots = [snapshot(4, &[(0, 9, 0, 0)]), snapshot(5, &[(0, 9, 0, 0)])];
    let (mut four, mut five) = (Diary::default(), Diary::default());
    let mappings = [mapping(0, 100)];
    let mut targets = [
        Target { snapshot: &snapshots[0], mappings: &mappings, advise: &mut four },
        Target { snapshot: &snapshots[1], mappings: &mappings, advise: &mut five },
    ];
    actuator.apply(&mut targets, &mut clock(1));
    assert!(four.calls.is_empty());
    assert_eq!(five.calls, [(Advice::Cold, vec![(0, 2)]), (Advice::Cold, vec![(4, 9)])]);
}

#[test]
fn what_user_space_cannot_do_is_refused_at_once() {
    let schemes =
        Schemes::from_json(r#"[{"action": "hugepage"}, {"action": "lru_prio"}]"#).unwrap();
    let problems = Actuator::new(schemes, &ATTRS, PAGE).unwrap_err();
    assert_eq!(problems.lines().count(), 2);
    assert!(problems.starts_with("schemes[0].action: hugepage"), "{problems}");
    let never =
        Schemes::from_json(r#"[{"access_pattern": {"nr_accesses": {"min": "99 samples"}}}]"#)
            .unwrap();
    assert!(Actuator::new(never, &ATTRS, PAGE).unwrap_err().contains("99 samples"));
}

/// Monitor and actuator together: memory that stays idle is paged out again and again, each time when it
/// has reached the age again, and not at every aggregation.
#[test]
fn the_monitor_gives_memory_a_new_life() {
    let id = TargetId(0);
    let mut engine = Engine::new(ATTRS, PAGE, 3).unwrap();
    engine.add_target(id).unwrap();
    engine.set_ranges(id, &[AddressRange { start: 0, end: 64 * PAGE }]).unwrap();
    let mut census = Census::new(CensusGranularity::Pages, 100);
    let (mut of_engine, mut of_census) = (actuator(COLD), actuator(COLD));
    let mut seconds = (Vec::new(), Vec::new());
    for second in 1..=20 {
        engine.begin_round();
        let Ok(()) = engine.record(id, |_, _| Ok::<(), std::convert::Infallible>(()));
        let snapshot = engine.aggregate().targets().next().unwrap().snapshot(0, second);
        let (applied, calls) = once(&mut of_engine, &mut clock(second), &snapshot);
        for (id, range) in &applied.resets {
            engine.reset_age(*id, *range);
        }
        if !calls.is_empty() {
            seconds.0.push(second);
        }

        census.look(&[AddressRange { start: 0, end: 64 * PAGE }], []).unwrap();
        let result = census.aggregate().unwrap();
        let sampling = Sampling { max_nr_accesses: result.max_nr_accesses, ..snapshot.sampling };
        let snapshot = Snapshot::new(id, 0, second, sampling, result.regions.to_vec());
        let (applied, calls) = once(&mut of_census, &mut clock(second), &snapshot);
        for (_, range) in &applied.resets {
            census.reset_age(*range);
        }
        if !calls.is_empty() {
            seconds.1.push(second);
        }
    }
    assert_eq!(seconds.0, [5, 10, 15, 20]);
    // A region's first result has age 0 there.
    assert_eq!(seconds.1, [6, 11, 16]);
}

proptest! {
    #[test]
    fn only_mapped_memory_inside_matching_regions_is_touched(
        bounds in prop::collection::btree_set(0..200_u64, 2..16),
        maps in prop::collection::btree_set(0..200_u64, 2..16),
        quota in 0..60_u64,
    ) {
        let regions: Vec<_> = bounds.iter().copied().collect();
        let regions: Vec<(u64, u64, u32, u32)> =
            regions.windows(2).zip(0..).map(|(w, n)| (w[0], w[1], n % 2, 9)).collect();
        let maps: Vec<u64> = maps.into_iter().collect();
        let mappings: Vec<Mapping> =
            maps.chunks_exact(2).map(|pair| mapping(pair[0], pair[1])).collect();
        let json = format!(
            r#"[{{"action": "pageout", "access_pattern": {{"nr_accesses": {{"max": "0 %"}}}},
                "quotas": {{"sz_bytes": {}, "reset_interval_ms": "1 s"}}}}]"#,
            quota * PAGE
        );
        let mut actuator = actuator(&json);
        let snapshot = snapshot(0, &regions);
        let mut diary = Diary::default();
        let mut targets = [Target { snapshot: &snapshot, mappings: &mappings, advise: &mut diary }];
        actuator.apply(&mut targets, &mut clock(1));
        let mut pages = 0;
        for (start, end) in diary.calls.iter().flat_map(|(_, ranges)| ranges) {
            prop_assert!(start < end);
            pages += end - start;
            let inside = |r: &(u64, u64, u32, u32)| r.0 <= *start && *end <= r.1 && r.2 == 0;
            prop_assert!(regions.iter().any(inside));
            prop_assert!(maps.chunks_exact(2).any(|m| m[0] <= *start && *end <= m[1]));
        }
        prop_assert!(quota == 0 || pages <= quota);
        let stats = *actuator.stats().next().unwrap();
        prop_assert_eq!(stats.sz_applied, pages * PAGE);
        prop_assert!(stats.sz_applied <= stats.sz_tried);
    }
}
