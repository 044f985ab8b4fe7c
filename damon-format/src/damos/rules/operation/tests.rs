mod simple;

use super::*;
use crate::damos::kernel::{
    Bounds, Filter, FilterType, Goal, GoalMetric, Quota, WatermarkMetric, Watermarks, Weights,
};
use proptest::prelude::*;

const PAGE: u64 = 4096;
const SECOND: u64 = 1_000_000_000;
const AGGR: u64 = 20;
const SCALE: Scale = Scale {
    sample_us: 5_000,
    aggr_us: 100_000,
    max_nr_accesses: 20,
    granule: PAGE,
    page_size: PAGE,
};
const NEWEST: KernelRules = KernelRules::of(7, 3);

/// Applies to all but `failing` bytes of each region, and writes down what it was asked for.
#[derive(Default)]
struct Diary {
    attempts: Vec<(usize, u32, u64, u64)>,
    failing: u64,
    elapsed_ns: u64,
}

impl Readings for Diary {
    fn read(&mut self, _goal: &Goal) -> Option<u64> {
        None
    }
}

impl World for Diary {
    fn apply(&mut self, attempt: &Attempt) -> Outcome {
        let region = attempt.region;
        self.attempts.push((
            attempt.scheme,
            attempt.target,
            region.start / PAGE,
            region.end / PAGE,
        ));
        let applied = match attempt.action {
            Action::Stat => 0,
            _ => region.size().saturating_sub(self.failing),
        };
        Outcome { applied, filter_passed: applied, elapsed_ns: self.elapsed_ns }
    }
}

fn region(start: u64, end: u64, nr_accesses: u32, age: u32) -> Region {
    Region { start: start * PAGE, end: end * PAGE, nr_accesses, age }
}

fn target(target: u32, regions: &[Region]) -> TargetRegions {
    TargetRegions { target, regions: regions.to_vec() }
}

fn operation(schemes: Vec<Scheme>, rules: KernelRules) -> Operation {
    Operation::new(schemes, Addresses::Virtual, rules, SCALE)
}

fn pageout(pages_a_second: u64) -> Scheme {
    let mut scheme = Scheme::new(Action::Pageout);
    scheme.quota = Quota { bytes: pages_a_second * PAGE, reset_interval_ms: 1_000, ..Quota::NONE };
    scheme
}

/// Runs the `n`th aggregation, one per second, on fresh regions; what was tried.
fn aggregation(
    operation: &mut Operation,
    n: u64,
    targets: &[TargetRegions],
) -> Vec<(usize, u32, u64, u64)> {
    let mut diary = Diary::default();
    let mut targets = targets.to_vec();
    operation.run(n * AGGR, n * SECOND, &mut targets, &mut diary);
    diary.attempts
}

#[test]
fn what_matches_is_tried_and_gets_age_0() {
    let mut scheme = Scheme::new(Action::Pageout);
    scheme.nr_accesses = Bounds { min: 0, max: 0 };
    scheme.age = Bounds { min: 5, max: u32::MAX };
    let mut operation = operation(vec![scheme], NEWEST);
    let regions = [region(0, 2, 0, 5), region(2, 3, 0, 4), region(3, 9, 1, 9), region(9, 10, 0, 7)];
    let mut targets = [target(0, &regions), target(1, &regions[..1])];
    let mut diary = Diary { failing: PAGE, ..Diary::default() };
    assert!(operation.run(AGGR, SECOND, &mut targets, &mut diary));
    assert_eq!(diary.attempts, [(0, 0, 0, 2), (0, 0, 9, 10), (0, 1, 0, 2)]);
    let ages: Vec<u32> = targets[0].regions.iter().map(|r| r.age).collect();
    assert_eq!(ages, [0, 4, 9, 0]);
    let stats = operation.schemes()[0].stats();
    assert_eq!((stats.nr_tried, stats.sz_tried), (3, 5 * PAGE));
    assert_eq!((stats.nr_applied, stats.sz_applied), (2, 2 * PAGE), "one of the three failed");
    assert_eq!((stats.sz_ops_filter_passed, stats.nr_snapshots), (2 * PAGE, 2));
    let record = stats.record(5, 3);
    assert_eq!((record.time_ns, record.scheme, record.nr_tried), (5, 3, 3));
    assert_eq!((record.sz_applied, record.qt_exceeds), (2 * PAGE, 0));
    assert_eq!((record.sz_ops_filter_passed, record.nr_snapshots), (Some(2 * PAGE), Some(2)));
}

#[test]
fn stat_changes_nothing() {
    let mut operation = operation(vec![Scheme::new(Action::Stat)], NEWEST);
    let regions = [region(0, 2, 3, 5), region(2, 3, 0, 4)];
    let mut targets = [target(0, &regions)];
    operation.run(AGGR, SECOND, &mut targets, &mut Diary::default());
    assert_eq!(targets[0].regions, regions);
    assert_eq!(operation.schemes()[0].stats().sz_tried, 3 * PAGE);
    assert_eq!(operation.schemes()[0].stats().nr_applied, 0);
}

#[test]
fn schemes_see_what_those_before_them_did() {
    let mut old = Scheme::new(Action::Cold);
    old.age = Bounds { min: 5, max: u32::MAX };
    let mut again = old.clone();
    again.action = Action::Stat;
    let mut operation = operation(vec![again.clone(), old, again], NEWEST);
    let tried = aggregation(&mut operation, 1, &[target(0, &[region(0, 1, 0, 5)])]);
    assert_eq!(tried, [(0, 0, 0, 1), (1, 0, 0, 1)], "the age is 0 for the third");
}

#[test]
fn schemes_are_applied_at_their_intervals() {
    let mut slow = Scheme::new(Action::Stat);
    slow.apply_interval_us = 3 * SCALE.aggr_us;
    let mut operation = operation(vec![Scheme::new(Action::Stat), slow], NEWEST);
    let one = [target(0, &[region(0, 1, 0, 0)])];
    let mut both = Vec::new();
    for n in 1..=9 {
        both.push(aggregation(&mut operation, n, &one).len());
    }
    assert_eq!(both, [1, 1, 2, 1, 1, 2, 1, 1, 2]);
    // A pass that comes late moves the next one.
    assert_eq!(aggregation(&mut operation, 14, &one).len(), 2);
    assert_eq!(aggregation(&mut operation, 15, &one).len(), 1);
    assert_eq!(aggregation(&mut operation, 17, &one).len(), 2);
    assert!(!operation.run(17 * AGGR + 5, 0, &mut [], &mut Diary::default()), "none is due");
}

/// Ten times the applications in ten times the passes.
#[test]
fn shorter_intervals_try_more() {
    let tried = |apply_interval_us| {
        let mut scheme = Scheme::new(Action::Stat);
        scheme.apply_interval_us = apply_interval_us;
        let mut operation = operation(vec![scheme], NEWEST);
        let mut targets = [target(0, &[region(0, 1, 0, 0)])];
        for passed in 1..=1_000 {
            operation.run(passed, passed, &mut targets, &mut Diary::default());
        }
        operation.schemes()[0].stats().nr_tried
    };
    assert_eq!((tried(1_000_000), tried(100_000)), (5, 50));
}

#[test]
fn two_windows_with_half_the_quota_cover_everything_once() {
    let regions = [region(0, 6, 0, 0), region(10, 14, 0, 0), region(20, 22, 0, 0)];
    let targets = [target(0, &regions[..2]), target(1, &regions[2..])];
    let mut operation = operation(vec![pageout(6)], NEWEST);
    assert_eq!(aggregation(&mut operation, 1, &targets), [(0, 0, 0, 6)]);
    assert_eq!(aggregation(&mut operation, 2, &targets), [(0, 0, 10, 14), (0, 1, 20, 22)]);
    // This window was left to end after the last region, where nothing is; that takes a pass.
    assert_eq!(aggregation(&mut operation, 3, &targets), []);
    assert_eq!(aggregation(&mut operation, 4, &targets), [(0, 0, 0, 6)], "from the beginning");
    assert_eq!(operation.schemes()[0].stats().qt_exceeds, 2);
}

#[test]
fn a_window_that_ends_inside_a_region_goes_on_there() {
    let targets = [target(0, &[region(0, 10, 0, 0), region(10, 12, 0, 0)])];
    let mut operation = operation(vec![pageout(4)], NEWEST);
    let windows: Vec<_> = (1..=3).map(|n| aggregation(&mut operation, n, &targets)).collect();
    assert_eq!(windows[0], [(0, 0, 0, 4)]);
    assert_eq!(windows[1], [(0, 0, 4, 8)]);
    assert_eq!(windows[2], [(0, 0, 8, 10), (0, 0, 10, 12)]);
}

#[test]
fn regions_are_cut_where_the_quota_ends() {
    let mut operation = operation(vec![pageout(4), Scheme::new(Action::Stat)], NEWEST);
    let mut targets = [target(0, &[region(0, 10, 0, 7)])];
    let mut diary = Diary::default();
    operation.run(AGGR, SECOND, &mut targets, &mut diary);
    assert_eq!(targets[0].regions, [region(0, 4, 0, 0), region(4, 10, 0, 7)]);
    assert_eq!(
        diary.attempts,
        [(0, 0, 0, 4), (1, 0, 0, 4), (1, 0, 4, 10)],
        "both parts have their turn"
    );
}

/// Before 7.1 what was cut off waited for the next pass, for all schemes.
#[test]
fn older_kernels_do_not_visit_what_was_cut_off() {
    let rules = KernelRules::of(6, 18);
    let reject = Filter {
        kind: FilterType::Addr { start: 2 * PAGE, end: 6 * PAGE },
        matching: true,
        allow: false,
    };
    let mut filtered = Scheme::new(Action::Stat);
    filtered.filters = vec![reject];
    let mut operation = operation(vec![filtered, Scheme::new(Action::Stat)], rules);
    let mut targets = [target(0, &[region(1, 8, 0, 0), region(8, 9, 0, 0)])];
    let mut diary = Diary::default();
    operation.run(AGGR, SECOND, &mut targets, &mut diary);
    assert_eq!(diary.attempts, [(0, 0, 1, 2), (1, 0, 1, 2), (0, 0, 8, 9), (1, 0, 8, 9)]);
    assert_eq!(targets[0].regions, [region(1, 2, 0, 0), region(2, 8, 0, 0), region(8, 9, 0, 0)]);
    let stats = *operation.schemes()[0].stats();
    assert_eq!((stats.nr_tried, stats.sz_tried), (2, 8 * PAGE), "what was cut off is counted");
    let mut diary = Diary::default();
    operation.run(2 * AGGR, 2 * SECOND, &mut targets, &mut diary);
    assert!(diary.attempts.contains(&(1, 0, 2, 6)) && !diary.attempts.contains(&(0, 0, 2, 6)));
}

#[test]
fn rejected_memory_is_neither_tried_nor_charged() {
    let mut scheme = pageout(4);
    scheme.filters = vec![Filter {
        kind: FilterType::Addr { start: 0, end: 6 * PAGE },
        matching: true,
        allow: false,
    }];
    let mut operation = operation(vec![scheme], NEWEST);
    let tried = aggregation(&mut operation, 1, &[target(0, &[region(0, 8, 0, 0)])]);
    assert_eq!(tried, [(0, 0, 6, 8)]);
    let state = &operation.schemes()[0];
    assert_eq!(state.stats().sz_tried, 2 * PAGE);
    assert_eq!(state.account().charged_bytes(), 2 * PAGE);
}

/// Since 7.1 quotas look at filters before, and regions are cut already when their turn comes.
#[test]
fn what_filters_cut_off_is_charged_by_release() {
    let mut scheme = pageout(9);
    scheme.filters = vec![Filter {
        kind: FilterType::Addr { start: 6 * PAGE, end: 9 * PAGE },
        matching: true,
        allow: false,
    }];
    let charged = |rules| {
        let mut operation = operation(vec![scheme.clone()], rules);
        let tried = aggregation(&mut operation, 1, &[target(0, &[region(4, 8, 0, 0)])]);
        assert_eq!(tried, [(0, 0, 4, 6)]);
        operation.schemes()[0].account().charged_bytes() / PAGE
    };
    let old = KernelRules::of(6, 18);
    assert_eq!(charged(old), 4);
    assert_eq!(charged(KernelRules { measured_after_filters: true, ..old }), 2);
    assert_eq!(charged(NEWEST), 2);
}

#[test]
fn the_most_urgent_come_first_under_a_quota() {
    let mut scheme = pageout(4);
    scheme.quota.weights = Weights { sz: 0, nr_accesses: 0, age: 1 };
    let mut operation = operation(vec![scheme], NEWEST);
    // Ages of 1 s, 1000 s, 60 s and 1000 s.
    let regions = [
        region(0, 4, 0, 10),
        region(4, 6, 0, 10_000),
        region(6, 9, 0, 600),
        region(9, 10, 0, 10_000),
    ];
    let tried = aggregation(&mut operation, 1, &[target(0, &regions)]);
    assert_eq!(tried, [(0, 0, 4, 6), (0, 0, 6, 8)], "the last bucket is served by address");
    assert!(operation.schemes()[0].min_score() > 0);
}

/// What filters keep away does not crowd out others (7.1).
#[test]
fn the_histogram_and_filters_by_release() {
    let mut scheme = pageout(4);
    scheme.quota.weights = Weights { sz: 0, nr_accesses: 0, age: 1 };
    scheme.filters =
        vec![Filter { kind: FilterType::Target { index: 0 }, matching: true, allow: false }];
    let targets = [target(0, &[region(0, 9, 0, 10_000)]), target(1, &[region(0, 4, 0, 10)])];
    let tried = |rules| aggregation(&mut operation(vec![scheme.clone()], rules), 1, &targets);
    assert_eq!(tried(NEWEST), [(0, 1, 0, 4)]);
    assert_eq!(tried(KernelRules::of(6, 18)), [], "only the filtered ones seemed urgent enough");
}

#[test]
fn a_full_quota_with_crumbs_by_release() {
    let mut scheme = pageout(0);
    scheme.quota.bytes = PAGE + 100;
    let stats = |rules| {
        let mut operation = operation(vec![scheme.clone()], rules);
        let regions = [region(0, 1, 0, 0), region(1, 2, 0, 0), region(2, 3, 0, 0)];
        let tried = aggregation(&mut operation, 1, &[target(0, &regions)]).len();
        let _next = aggregation(&mut operation, 2, &[]);
        let stats = *operation.schemes()[0].stats();
        (tried, stats.nr_tried, stats.sz_tried, stats.qt_exceeds)
    };
    assert_eq!(stats(KernelRules::of(6, 18)), (1, 3, PAGE, 0), "tries of nothing are counted");
    assert_eq!(stats(NEWEST), (1, 1, PAGE, 1));
}

#[test]
fn time_is_charged_as_it_passes() {
    let mut scheme = Scheme::new(Action::Cold);
    scheme.quota = Quota { ms: 2, reset_interval_ms: 1_000, ..Quota::NONE };
    let mut operation = operation(vec![scheme], NEWEST);
    let mut targets = [target(0, &[region(0, 10, 0, 0), region(10, 30, 0, 0)])];
    let mut diary = Diary { elapsed_ns: 1_000_000, ..Diary::default() };
    operation.run(AGGR, SECOND, &mut targets, &mut diary);
    operation.run(2 * AGGR, 2 * SECOND, &mut targets, &mut diary);
    // 30 pages took 2 ms.
    assert_eq!(operation.schemes()[0].account().effective_bytes(), 30 * PAGE);
}

#[test]
fn goals_let_the_quota_grow_from_one_byte() {
    let mut scheme = Scheme::new(Action::Pageout);
    let goal = Goal {
        metric: GoalMetric::UserInput,
        target_value: 100,
        current_value: 0,
        nid: 0,
        path: String::new(),
    };
    scheme.quota = Quota { goals: vec![goal], reset_interval_ms: 1_000, ..Quota::NONE };
    let mut operation = operation(vec![scheme], NEWEST);
    let targets = [target(0, &[region(0, 1_000_000, 0, 0)])];
    let mut first = None;
    for n in 1..30 {
        let tried = aggregation(&mut operation, n, &targets);
        if !tried.is_empty() && first.is_none() {
            first = Some(n);
        }
    }
    assert_eq!(first, Some(12), "2^12 bytes are a page");
}

#[test]
fn watermarks_switch_schemes_off() {
    let mut scheme = Scheme::new(Action::Stat);
    scheme.watermarks = Watermarks {
        metric: WatermarkMetric::FreeMemRate,
        interval_us: 5_000_000,
        high: 500,
        mid: 400,
        low: 200,
    };
    let one = [target(0, &[region(0, 1, 0, 0)])];
    let mut alone = operation(vec![scheme.clone()], NEWEST);
    assert!(alone.has_watermarks());
    assert_eq!(alone.watch(600), Some(5_000_000));
    assert_eq!(aggregation(&mut alone, 1, &one), []);
    assert_eq!(alone.watch(300), None);
    assert_eq!(aggregation(&mut alone, 2, &one).len(), 1);
    let mut both = operation(vec![scheme, Scheme::new(Action::Cold)], NEWEST);
    assert_eq!(both.watch(600), None, "the other one works on");
    assert_eq!(aggregation(&mut both, 1, &one), [(1, 0, 0, 1)]);
}

#[test]
fn a_limit_of_snapshots_ends_a_scheme() {
    let mut scheme = Scheme::new(Action::Stat);
    scheme.max_nr_snapshots = 2;
    let mut operation = operation(vec![scheme], NEWEST);
    let one = [target(0, &[region(0, 1, 0, 0), region(1, 2, 0, 0)])];
    let tried: Vec<usize> = (1..=4).map(|n| aggregation(&mut operation, n, &one).len()).collect();
    assert_eq!(tried, [2, 2, 0, 0]);
}

#[test]
fn other_intervals_keep_statistics_and_start_the_schedule_again() {
    let mut operation = operation(vec![Scheme::new(Action::Stat)], NEWEST);
    let one = [target(0, &[region(0, 1, 0, 3)])];
    assert_eq!(aggregation(&mut operation, 1, &one).len(), 1);
    let mut older = Scheme::new(Action::Stat);
    older.age = Bounds { min: 4, max: u32::MAX };
    let scale = Scale { aggr_us: 200_000, max_nr_accesses: 40, ..SCALE };
    operation.change_scale(vec![older], scale, 3 * AGGR);
    assert_eq!(aggregation(&mut operation, 4, &one).len(), 0, "not due");
    assert_eq!(aggregation(&mut operation, 5, &one).len(), 0, "too young");
    let older = [target(0, &[region(0, 1, 0, 4)])];
    assert_eq!(aggregation(&mut operation, 7, &older).len(), 1);
    assert_eq!(operation.schemes()[0].stats().nr_tried, 2);
}

fn layout() -> impl Strategy<Value = Vec<Region>> {
    let one = (1..20_u64, prop::bool::weighted(0.3), 0..=20_u32, 0..40_u32);
    prop::collection::vec(one, 1..12).prop_map(|parts| {
        let mut at = 5;
        let mut regions = Vec::new();
        for (size, gap, nr, age) in parts {
            at += u64::from(gap) * 3;
            regions.push(region(at, at + size, nr, age));
            at += size;
        }
        regions
    })
}

fn any_scheme() -> impl Strategy<Value = Scheme> {
    let actions = vec![Action::Pageout, Action::Stat, Action::MigrateHot, Action::Cold];
    (
        prop::sample::select(actions),
        (0..30_u64, 0..3_u64),
        (0..10_u32, 0..20_u32),
        (0..3_u32, 0..3_u32),
        prop::collection::vec((0..120_u64, 1..60_u64, any::<bool>(), any::<bool>()), 0..3),
    )
        .prop_map(|(action, (pages, seconds), (nr, age), weights, filters)| {
            let mut scheme = Scheme::new(action);
            scheme.quota = Quota {
                bytes: pages * PAGE,
                reset_interval_ms: seconds * 1_000,
                weights: Weights { sz: 0, nr_accesses: weights.0, age: weights.1 },
                ..Quota::NONE
            };
            scheme.nr_accesses.max = nr;
            scheme.age.min = age;
            for (start, size, matching, allow) in filters {
                let kind = FilterType::Addr { start: start * PAGE, end: (start + size) * PAGE };
                scheme.filters.push(Filter { kind, matching, allow });
            }
            scheme
        })
}

fn covered(regions: &[Region]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for region in regions {
        assert!(region.start < region.end, "{regions:?}");
        match ranges.last_mut() {
            Some(last) if last.1 == region.start => last.1 = region.end,
            Some(last) => {
                assert!(last.1 < region.start, "{regions:?}");
                ranges.push((region.start, region.end));
            }
            None => ranges.push((region.start, region.end)),
        }
    }
    ranges
}

proptest! {
    #[test]
    fn whatever_schemes_do_memory_is_conserved_and_quotas_hold(
        regions in prop::collection::vec(layout(), 1..3),
        schemes in prop::collection::vec(any_scheme(), 1..4),
        release in prop::sample::select(vec![(6, 12), (6, 17), (6, 18), (7, 1), (7, 2), (7, 3)]),
    ) {
        let rules = KernelRules::of(release.0, release.1);
        let mut targets: Vec<TargetRegions> =
            regions.iter().zip(0..).map(|(regions, n)| target(n, regions)).collect();
        let before: Vec<_> = targets.iter().map(|t| covered(&t.regions)).collect();
        let mut operation = operation(schemes.clone(), rules);
        for n in 1..8 {
            let mut diary = Diary::default();
            operation.run(n * AGGR, n * SECOND, &mut targets, &mut diary);
            let after: Vec<_> = targets.iter().map(|t| covered(&t.regions)).collect();
            prop_assert_eq!(&after, &before);
            for (index, state) in operation.schemes().iter().enumerate() {
                let tried = diary.attempts.iter().filter(|a| a.0 == index);
                let pages: u64 = tried.map(|a| a.3 - a.2).sum();
                if state.account().is_limited() {
                    prop_assert!(pages * PAGE <= schemes[index].quota.bytes);
                    prop_assert!(state.account().charged_bytes() <= schemes[index].quota.bytes);
                }
                let stats = state.stats();
                prop_assert!(stats.sz_applied <= stats.sz_tried);
                prop_assert!(stats.nr_applied <= stats.nr_tried);
                prop_assert!(stats.qt_exceeds < n);
            }
            for attempt in &diary.attempts {
                prop_assert!(attempt.2 < attempt.3);
            }
        }
    }

    /// With one scheme and no weights, full windows go through the memory in order, again and again.
    #[test]
    fn windows_take_turns(regions in layout(), pages in 1..30_u64) {
        let mut operation = operation(vec![pageout(pages)], NEWEST);
        let all: u64 = regions.iter().map(Region::size).sum::<u64>() / PAGE;
        let targets = [target(0, &regions)];
        let mut seen = std::collections::BTreeMap::new();
        let windows = all.div_ceil(pages);
        for n in 1..=windows {
            for (_, _, start, end) in aggregation(&mut operation, n, &targets) {
                for page in start..end {
                    *seen.entry(page).or_insert(0) += 1;
                }
            }
        }
        prop_assert_eq!(seen.len() as u64, all);
        prop_assert!(seen.values().all(|times| *times == 1), "{:?}", seen);
    }
}
