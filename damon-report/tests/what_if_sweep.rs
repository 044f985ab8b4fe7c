//! Sweeps: all variants together give what each gives by itself, and what follows from them is what the numbers say.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use common::{BEGIN, SECOND, made};
use damon_format::damos::Schemes;
use damon_format::{
    Mapping, MappingsChanged, MemorySample, Permissions, Record, RecordingInfo, Region, Sampling,
    Snapshot, TargetExited, TargetId,
};
use damon_report::analysis::load::Trace;
use damon_report::analysis::select::Query;
use damon_report::analysis::simulate::sweep::{Axes, Reason, Sweep, Variant};
use damon_report::analysis::simulate::{
    Options, Outlook, Plan, SimulateError, Simulation, at_once,
};
use damon_report::analysis::view::View;
use proptest::prelude::*;

const STEP: u64 = SECOND / 10;
const PAGE: u64 = 4096;

fn info(exact: bool) -> RecordingInfo {
    let mut info = made::exact();
    info.backend.exact = exact;
    info
}

/// [`made::write`], opened again.
fn write(info: &RecordingInfo, rows: u64, records: &[Record], snapshots: &[Snapshot]) -> Trace {
    made::open(made::write(info, rows, records, snapshots))
}

/// How the regions of a moment come from those of the one before.
#[derive(Clone, Debug)]
struct Change {
    /// Which cell begins a new count, and which one.
    cell: usize,
    count: u32,
    /// Which border moves, and where to.
    border: usize,
    to: u64,
    /// The moment is missing, of the first target, the second, or both.
    missing: u8,
}

fn change() -> impl Strategy<Value = Change> {
    (0..6_usize, prop_oneof![Just(0_u32), 0..21_u32], 0..8_usize, 1..64_u64, 0..16_u8)
        .prop_map(|(cell, count, border, to, missing)| Change { cell, count, border, to, missing })
}

/// Cells of 64 pages in two targets, whose borders, counts and ages change as those of a monitor do.
fn snapshots(changes: &[Change], hole: bool, intervals_change: bool) -> Vec<Snapshot> {
    let mut all = Vec::new();
    let mut start = BEGIN;
    for target in 0..2_u32 {
        let mut cells: Vec<(u64, u32, u32)> = vec![(10, 0, 0), (25, 0, 3), (40, 3, 0), (64, 0, 9)];
        start = BEGIN;
        for (index, change) in changes.iter().enumerate() {
            let aggr = if intervals_change && index >= 12 { 2 * STEP } else { STEP };
            let sampling = Sampling::from_intervals(5_000, aggr / 1000);
            let cell = (change.cell + usize::try_from(target).unwrap()) % cells.len();
            for (at, (_, count, age)) in cells.iter_mut().enumerate() {
                if at == cell && count.abs_diff(change.count) > 2 {
                    (*count, *age) = (change.count, 0);
                } else {
                    *age += 1;
                    if at == cell {
                        *count = change.count;
                    }
                }
            }
            if change.border < cells.len() - 1 {
                // Regions merge or are cut: the mean age stays.
                let (_, count, age) = cells[change.border];
                let to = change.to;
                cells.retain(|cell| cell.0 != to || to == 64);
                cells.push((to, count, age));
                cells.sort_unstable();
                if cells.len() > 6 {
                    cells.remove(change.border);
                }
                cells.dedup_by_key(|cell| cell.0);
            }
            let mut at = 0;
            let mut regions = Vec::new();
            for (end, nr_accesses, age) in &cells {
                let begin = if hole && at == 0 { 2 } else { at };
                if begin < *end {
                    regions.push(Region {
                        start: (100 + begin) * PAGE,
                        end: (100 + end) * PAGE,
                        nr_accesses: *nr_accesses,
                        age: *age,
                    });
                }
                at = *end;
            }
            if change.missing & 3 != u8::try_from(target).unwrap() + 1 {
                let (id, end) = (TargetId(target), start + aggr);
                all.push(Snapshot::new(id, start, end, sampling, regions));
            }
            start += aggr;
        }
    }
    all.sort_by_key(|snapshot| (snapshot.end_ns, snapshot.target));
    assert!(start > BEGIN);
    all
}

fn records(mapped: bool, exits: bool) -> Vec<Record> {
    let mut records = vec![Record::Memory(MemorySample {
        target: TargetId(0),
        time_ns: BEGIN + STEP,
        rss: 50 * PAGE,
        swap: 0,
        virtual_size: 100 * PAGE,
        minor_faults: 0,
        major_faults: 0,
    })];
    let mapping = |start: u64, end: u64| Mapping {
        start: (100 + start) * PAGE,
        end: (100 + end) * PAGE,
        permissions: Permissions { read: true, ..Permissions::default() },
        offset: 0,
        inode: 0,
        name: String::new(),
    };
    if mapped {
        records.push(Record::MappingsChanged(MappingsChanged {
            target: TargetId(0),
            time_ns: BEGIN,
            removed: Vec::new(),
            added: vec![mapping(0, 20), mapping(23, 60)],
        }));
        // Some of it goes, and is there again later.
        let changed = |step: u64, removed: Vec<u64>, added| {
            Record::MappingsChanged(MappingsChanged {
                target: TargetId(0),
                time_ns: BEGIN + step * STEP,
                removed,
                added,
            })
        };
        records.push(changed(9, vec![123 * PAGE], vec![mapping(23, 30), mapping(44, 60)]));
        records.push(changed(17, vec![144 * PAGE], vec![mapping(40, 60)]));
    }
    if exits {
        records.push(Record::TargetExited(TargetExited {
            target: TargetId(1),
            time_ns: BEGIN + 15 * STEP,
            wait_status: None,
        }));
    }
    records
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * (1.0 + a.abs().max(b.abs()))
}

fn same(what: &str, a: Outlook, b: Outlook) {
    let all =
        [(a.optimistic, b.optimistic), (a.expected, b.expected), (a.pessimistic, b.pessimistic)];
    assert!(all.iter().all(|(a, b)| close(*a, *b)), "{what}: {a:?} and {b:?}");
}

/// A variant against the same schemes simulated alone, by the way that `simulate` goes.
fn compare(variant: &Variant, alone: &Simulation) {
    let (found, sum) = (&variant.away, &alone.away);
    same("mean", found.mean, sum.mean);
    same("most", found.most, sum.most);
    same("end", found.end, sum.end);
    same("put away", variant.put_away, alone.put_away);
    same("refaulted", variant.refaulted, alone.refaulted);
    same("promotions", variant.promotion_percent, alone.promotion_percent);
    let tried = |of: fn(&damon_format::SchemeStats) -> u64| -> u64 {
        alone.schemes.iter().map(|scheme| of(&scheme.stats)).sum()
    };
    assert_eq!(variant.nr_tried, tried(|stats| stats.nr_tried));
    assert_eq!(variant.sz_tried, tried(|stats| stats.sz_tried));
    assert_eq!(variant.qt_exceeds, tried(|stats| stats.qt_exceeds));
    assert_eq!(variant.resident.is_some(), alone.resident.is_some());
    if let (Some(found), Some(expected)) = (variant.resident, alone.resident) {
        same("left", found.left, expected.left);
        same("floor", found.floor, expected.floor);
        assert!(close(found.recorded, expected.recorded));
    }
    let (found, expected) = (variant.worst_minute.unwrap(), alone.worst_minute.unwrap());
    assert!(close(found.refaulted.expected, expected.refaulted.expected));
    assert!(close(found.percent.expected, expected.percent.expected));
}

/// Two ways to the same sweep.
fn alike(a: &Sweep, b: &Sweep) {
    assert_eq!((&a.rules, &a.assumptions, &a.warnings), (&b.rules, &b.assumptions, &b.warnings));
    assert_eq!((&a.axes, &a.left_out), (&b.axes, &b.left_out));
    assert_eq!((a.observed_ns, a.moments), (b.observed_ns, b.moments));
    let of_all = |s: &Sweep| (s.monitored, s.working_set, s.resident, s.promotion_limit_percent);
    assert_eq!(of_all(a), of_all(b), "that has nothing to do with variants");
    assert_eq!(a.variants.len(), b.variants.len());
    for (a, b) in a.variants.iter().zip(&b.variants) {
        assert_eq!((&a.values, a.same_as, a.too_short), (&b.values, b.same_as, b.too_short));
        let counted = |v: &Variant| (v.nr_tried, v.sz_tried, v.windows, v.qt_exceeds);
        assert_eq!(counted(a), counted(b));
        same("mean", a.away.mean, b.away.mean);
        same("most", a.away.most, b.away.most);
        same("end", a.away.end, b.away.end);
        same("saved", a.saved_percent, b.saved_percent);
        same("put away", a.put_away, b.put_away);
        same("refaulted", a.refaulted, b.refaulted);
        same("promotions", a.promotion_percent, b.promotion_percent);
        assert_eq!(a.resident.is_some(), b.resident.is_some());
        if let (Some(a), Some(b)) = (a.resident, b.resident) {
            same("left", a.left, b.left);
            same("floor", a.floor, b.floor);
            assert!(close(a.recorded, b.recorded));
        }
        assert_eq!(a.worst_minute.is_some(), b.worst_minute.is_some());
        if let (Some(a), Some(b)) = (a.worst_minute, b.worst_minute) {
            assert!(close(a.refaulted.expected, b.refaulted.expected));
            assert!(close(a.percent.expected, b.percent.expected));
        }
    }
    if !all_differ(a) {
        // Which of two equal ones is taken is decided by the last digits.
        return;
    }
    assert_eq!((&a.front, a.knee, a.choice), (&b.front, b.knee, b.choice));
    assert_eq!(a.sensitivity.len(), b.sensitivity.len());
    for (a, b) in a.sensitivity.iter().zip(&b.sensitivity) {
        assert_eq!((a.variant, a.axes.len()), (b.variant, b.axes.len()));
        let ends = a.axes.iter().zip(&b.axes);
        for (a, b) in ends.flat_map(|(a, b)| [(a.lower, b.lower), (a.higher, b.higher)]) {
            assert_eq!(a.map(|a| (a.value, a.same)), b.map(|b| (b.value, b.same)));
            if let (Some(a), Some(b)) = (a, b) {
                assert!(close(a.saving, b.saving), "{a:?} and {b:?}");
                assert!(close(a.promotion_percent, b.promotion_percent), "{a:?} and {b:?}");
            }
        }
    }
}

/// Whether no two variants save nearly the same, or cost nearly the same without costing nothing.
fn all_differ(sweep: &Sweep) -> bool {
    let variants = sweep.variants.iter().filter(|v| v.same_as.is_none() && !v.too_short);
    let numbers: Vec<(f64, f64)> = variants
        .map(|variant| (variant.away.mean.expected, variant.promotion_percent.expected))
        .collect();
    let differ = |a: f64, b: f64| (a - b).abs() > 1e-6 * a.abs().max(b.abs());
    numbers.iter().enumerate().all(|(index, a)| {
        let others = numbers.iter().skip(index + 1);
        others.clone().all(|b| differ(a.0, b.0) && (differ(a.1, b.1) || a.1 == 0.0 && b.1 == 0.0))
    })
}

/// Scheme lists and what is varied of them: alone and with limits, one and two, with what other members decide.
fn question() -> impl Strategy<Value = (&'static str, String)> {
    let ages = prop::collection::vec(0_u64..14, 1..12).prop_map(|ages| {
        let ages: Vec<String> = ages.iter().map(|age| format!("{} ms", age * 100)).collect();
        format!("age={}", ages.join("|"))
    });
    let base = prop_oneof![
        3 => Just(r#"{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "0 %"}}}"#),
        1 => Just(r#"{"action": "cold", "access_pattern": {"nr_accesses": {"max": "2 samples"}}}"#),
        1 => Just(r#"{"action": "pageout", "access_pattern": {"age": {"max": "1500 ms"}}}"#),
        1 => Just(r#"{"action": "pageout", "access_pattern": {"sz_bytes": {"min": "40 K"}}}"#),
        1 => Just(r#"{"action": "pageout", "filters": [{"filter_type": "addr",
            "address_range": {"start": "440 K", "end": "500 K"}}]}"#),
        1 => Just(r#"{"action": "pageout", "apply_interval_us": "300 ms"}"#),
        1 => Just(r#"{"action": "lru_deprio"}"#),
        1 => Just(r#"{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "0 %"}}},
            {"action": "willneed", "access_pattern": {"nr_accesses": {"min": "10 samples"}}}"#),
    ];
    let more = prop_oneof![
        3 => Just(""),
        1 => Just(",max_rate=0%|5%|20%"),
        1 => Just(",quota=20K|40K/s|max,reset_interval=200ms|1s"),
        1 => Just(",min_size=0|64K"),
    ];
    (base, ages, more).prop_map(|(base, ages, more)| (base, ages + more))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn together_as_each_by_itself(
        changes in prop::collection::vec(change(), 4..60),
        (scheme, axes) in question(),
        (hole, intervals_change, mapped, exits, exact) in any::<(bool, bool, bool, bool, bool)>(),
        rows in prop_oneof![Just(7_u64), Just(1000)],
    ) {
        let trace = write(&info(exact), rows, &records(mapped, exits), &snapshots(&changes, hole, intervals_change));
        let view = View::new(&trace, &Query::default()).unwrap();
        let base = Schemes::from_json(&format!("[{scheme}]")).unwrap();
        let axes = Axes::parse(&axes, &base).unwrap();
        let options = Options::default();
        let sweep = match Sweep::run(&trace, &view, &base, axes.clone(), &options) {
            Ok(sweep) => sweep,
            Err(SimulateError::TooShort { .. } | SimulateError::NoVariant { .. } | SimulateError::NoAges) => return Ok(()),
            Err(other) => panic!("{other}"),
        };
        for (index, variant) in sweep.variants.iter().enumerate() {
            let schemes = sweep.schemes(&base, index).unwrap();
            let plan = Plan::new(&trace, &view, &schemes, options.clone()).unwrap();
            match plan.run(&trace) {
                Ok(alone) => compare(variant, &alone),
                Err(error) => {
                    let is_short = matches!(error, SimulateError::TooShort { .. });
                    prop_assert!(is_short);
                    prop_assert!(variant.too_short);
                }
            }
        }
        let engines = Sweep::run_one_by_one(&trace, &view, &base, axes, &options).unwrap();
        alike(&sweep, &engines);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn in_one_pass_as_in_two(
        changes in prop::collection::vec(change(), 20..200),
        (scheme, _) in question(),
        (hole, intervals_change, mapped, exits, exact) in any::<(bool, bool, bool, bool, bool)>(),
        part in any::<bool>(),
    ) {
        // More blocks than a plan is made for.
        let trace = write(&info(exact), 7, &records(mapped, exits), &snapshots(&changes, hole, intervals_change));
        let time = part.then(|| "10%..90%".parse().unwrap());
        let query = Query { time, ..Query::default() };
        let view = View::with_all_records(&trace, &query).unwrap();
        let schemes = Schemes::from_json(&format!("[{scheme}]")).unwrap();
        let options = Options::default();
        let Some((once, found)) = at_once(&trace, &query, &schemes, &options).unwrap() else {
            return Ok(());
        };
        let plan = Plan::new(&trace, &view, &schemes, options).unwrap();
        prop_assert_eq!(found, plan.run(&trace));
        prop_assert_eq!((once.time(), once.origin_ns), (view.time(), view.origin_ns));
        prop_assert_eq!(&once.selection, &view.selection);
        let (once, twice) = (&once.overview, &view.overview);
        prop_assert_eq!(&once.records, &twice.records);
        prop_assert_eq!(&once.samplings, &twice.samplings);
        prop_assert_eq!(format!("{:?}", once.targets), format!("{:?}", twice.targets));
    }
}

/// What the property above compares is not left out because it is never done in one pass.
#[test]
fn one_pass_is_enough_for_what_stays_as_it_is() {
    let schemes = Schemes::from_json(PAGEOUT).unwrap();
    for (mapped, exits, part) in [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (false, false, true),
        (true, true, true),
    ] {
        let trace = known_with(&records(mapped, exits));
        let time = part.then(|| "10%..90%".parse().unwrap());
        let query = Query { time, ..Query::default() };
        let found = at_once(&trace, &query, &schemes, &Options::default()).unwrap();
        let is_done = found.is_some_and(|(_, simulation)| simulation.is_ok());
        assert!(is_done, "mapped {mapped}, exits {exits}, part {part}");
    }
}

/// 4 pages always hot; 30 pages that are used for 0.2 s after each 1.5 s; 30 pages that are never used.
fn known() -> Trace {
    known_with(&[])
}

fn known_with(records: &[Record]) -> Trace {
    let mut all = Vec::new();
    let mut age = 0;
    for index in 0..300_u64 {
        let used = index % 17 >= 15;
        age = if index % 17 == 15 || index % 17 == 0 { 0 } else { age + 1 };
        let long = u32::try_from(index).unwrap();
        let regions = vec![
            Region { start: 0, end: 4 * PAGE, nr_accesses: 20, age: long },
            Region { start: 4 * PAGE, end: 34 * PAGE, nr_accesses: if used { 20 } else { 0 }, age },
            Region { start: 34 * PAGE, end: 64 * PAGE, nr_accesses: 0, age: long },
        ];
        let (start, sampling) = (BEGIN + index * STEP, Sampling::from_intervals(5_000, 100_000));
        all.push(Snapshot::new(TargetId(0), start, start + STEP, sampling, regions));
    }
    write(&info(true), 64, records, &all)
}

const PAGEOUT: &str =
    r#"[{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "0 %"}}}]"#;

fn sweep(trace: &Trace, schemes: &str, axes: &str) -> Result<Sweep, SimulateError> {
    let view = View::new(trace, &Query::default()).unwrap();
    let base = Schemes::from_json(schemes).unwrap();
    Sweep::run(trace, &view, &base, Axes::parse(axes, &base).unwrap(), &Options::default())
}

#[test]
fn the_choice_leaves_alone_what_comes_back() {
    let trace = known();
    let found = sweep(&trace, PAGEOUT, "age=500ms|1s|1400ms|2s|5s|20s").unwrap();
    // From 1.5 s on only what is never used goes away: the earlier the more.
    assert_eq!(found.front, [3, 0]);
    assert_eq!(found.choice.unwrap().variant, 3);
    assert_eq!(found.choice.unwrap().why, Reason::MostBelowLimit);
    assert_eq!(found.knee, None, "two points have none");
    assert!(found.variants[3].refaulted.expected == 0.0);
    let cold = 30.0 * 4096.0 * 280.0 / 300.0;
    assert!(close(found.variants[3].away.mean.expected, cold), "away from 2 s to 30 s");
    assert!(close(found.variants[3].saved_percent.expected, cold / (64.0 * 4096.0) * 100.0));
    // 2.5 s instead of 2 s: 275 moments. 1.5 s: 285 moments, and nothing comes back yet.
    let around = &found.sensitivity[0];
    assert_eq!((around.variant, around.axes.len()), (3, 1));
    let age = &around.axes[0];
    let (lower, higher) = (age.lower.unwrap(), age.higher.unwrap());
    assert_eq!(
        (lower.value.to_string(), higher.value.to_string()),
        ("1.5 s".into(), "2.5 s".into())
    );
    assert!(close(higher.saving, 30.0 * 4096.0 * 275.0 / 300.0));
    assert!(close(age.saving_elasticity.unwrap(), (275.0 - 285.0) / 280.0 / 0.5));
    assert_eq!(age.promotion_elasticity, None, "nothing comes back here");
}

#[test]
fn elasticities_are_by_what_values_come_to() {
    let trace = known();
    // A quarter less of 21 aggregations is 15, a quarter more 26: by 11 of 21, not by half. What is never used is away from
    // then on.
    let found = sweep(&trace, PAGEOUT, "age=2149ms|20s").unwrap();
    let age = &found.sensitivity[0].axes[0];
    assert_eq!(found.sensitivity[0].variant, 0);
    let elasticity = age.saving_elasticity.unwrap();
    let right = ((300.0 - 26.0) - (300.0 - 16.0)) / (300.0 - 21.0) / (10.0 / 21.0);
    assert!(close(elasticity, right), "{elasticity} {right}");
    // Of two aggregations a quarter less is one, and a quarter more are two.
    let found = sweep(&trace, PAGEOUT, "age=280ms").unwrap();
    let age = &found.sensitivity[0].axes[0];
    let (lower, higher) = (age.lower.unwrap(), age.higher.unwrap());
    assert!(lower.same && !higher.same, "{lower:?} {higher:?}");
    let saving = found.variants[0].away.mean.expected;
    assert!(close(age.saving_elasticity.unwrap(), (higher.saving - saving) / saving / 0.5));
    // Of one aggregation neither is anything else: nothing was varied.
    let found = sweep(&trace, PAGEOUT, "age=140ms").unwrap();
    let age = &found.sensitivity[0].axes[0];
    assert!(age.lower.unwrap().same && age.higher.unwrap().same);
    assert_eq!((age.saving_elasticity, age.promotion_elasticity), (None, None));
}

#[test]
fn what_is_the_same_or_means_nothing_is_told() {
    let trace = known();
    let found = sweep(&trace, PAGEOUT, "age=1s|1050ms|40s,max_age=500ms|max").unwrap();
    assert_eq!(found.variants.len(), 3);
    assert_eq!(found.left_out.len(), 3);
    assert!(found.left_out.iter().all(|one| one.why.contains("greater than its max")));
    assert_eq!(found.variants[1].same_as, Some(0), "ages are in aggregations");
    assert_eq!(found.variants[1].away, found.variants[0].away);
    assert!(found.variants[2].too_short && !found.variants[0].too_short);
    assert_eq!(found.front, [0]);
    assert!(found.warnings.iter().any(|text| text.contains("1 of 3 variants ask for ages")));
}

#[test]
fn a_sweep_of_nothing_is_refused() {
    let trace = known();
    let refused = |axes: &str| sweep(&trace, PAGEOUT, axes).unwrap_err().to_string();
    assert!(refused("age=40s|50s").contains("lasts 30 s"));
    let none = refused("min_rate=50%|60%");
    assert!(none.contains("none of the 2 variants") && none.contains("schemes[0]"), "{none}");
    let early = refused("apply_interval=10ms");
    assert!(early.contains("shorter than the recording's aggregation interval"), "{early}");
}
