//! Simulated schemes on recordings whose truth is known, computed by hand or by a second way.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
#![expect(clippy::float_cmp, reason = "exact in binary")]

mod common;

use common::made::{exact as info, open, write};
use common::{BEGIN, MIB, SECOND};
use damon_format::damos::Schemes;
use damon_format::{
    AccessKind, Mapping, MappingsChanged, MemorySample, Permissions, Record, RecordingInfo, Region,
    Sampling, Snapshot, SystemMemory, TargetId,
};
use damon_report::analysis::load::Trace;
use damon_report::analysis::select::Query;
use damon_report::analysis::simulate::{Options, Outlook, Plan, SimulateError, Simulation};
use damon_report::analysis::view::View;
use proptest::prelude::*;

const STEP: u64 = SECOND / 10;
const PAGE: u64 = 4096;

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn float(value: u64) -> f64 {
    value as f64
}

fn region(start: u64, end: u64, nr_accesses: u32, age: u32) -> Region {
    Region { start: start * PAGE, end: end * PAGE, nr_accesses, age }
}

/// The `index`-th aggregation of 100 ms.
fn snapshot(target: u32, index: u64, regions: Vec<Region>) -> Snapshot {
    let (start, sampling) = (BEGIN + index * STEP, Sampling::from_intervals(5_000, 100_000));
    Snapshot::new(TargetId(target), start, start + STEP, sampling, regions)
}

fn trace(info: &RecordingInfo, rows: u64, records: &[Record], snapshots: &[Snapshot]) -> Trace {
    open(write(info, rows, records, snapshots))
}

fn simulate(trace: &Trace, schemes: &str, options: Options) -> Result<Simulation, SimulateError> {
    let view = View::new(trace, &Query::default()).unwrap();
    let schemes = Schemes::from_json(schemes).unwrap();
    Plan::new(trace, &view, &schemes, options)?.run(trace)
}

fn listing() -> Options {
    Options { keep_applied: true, ..Options::default() }
}

const COLD: &str = r#"[{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "0 %"},
    "age": {"min": "5 aggr_intervals"}}}]"#;

/// 4 pages always hot and 12 pages cold from the start on, which get hot for the aggregations of `hot`.
fn cold_area(count: u64, hot: std::ops::Range<u64>, rate: u32) -> Vec<Snapshot> {
    let age = |index: u64| {
        let since = if index < hot.start {
            0
        } else if index < hot.end {
            hot.start
        } else {
            hot.end
        };
        u32::try_from(index - since).unwrap()
    };
    let one = |index| {
        let of_area = if hot.contains(&index) { rate } else { 0 };
        let always = u32::try_from(index).unwrap();
        snapshot(0, index, vec![region(0, 4, 20, always), region(4, 16, of_area, age(index))])
    };
    (0..count).map(one).collect()
}

#[test]
fn a_cold_area_goes_when_it_is_old_enough_and_comes_back_when_it_is_used() {
    let trace = trace(&info(), 64, &[], &cold_area(20, 12..14, 20));
    let found = simulate(&trace, COLD, listing()).unwrap();
    // Age 5 is reached in aggregation 5; then the age begins anew, and is 5 again in 10. It is used in 12 and
    // 13, age 0 again in 14, and 5 in 19.
    let when: Vec<u64> = found.applied.iter().map(|a| (a.time_ns - BEGIN) / STEP - 1).collect();
    assert_eq!(when, [5, 10, 19]);
    assert!(found.applied.iter().all(|a| a.regions == [region(4, 16, 0, 5)]));
    let stats = found.schemes[0].stats;
    assert_eq!((stats.nr_tried, stats.sz_tried), (3, 36 * PAGE));
    assert_eq!((stats.nr_applied, stats.sz_applied), (3, 36 * PAGE));
    // It is away from the end of 5 to that of 11: 7 ends of 20; once more at the last one.
    let area = float(12 * PAGE);
    assert!((found.away.mean.expected - area * 8.0 / 20.0).abs() < 1e-6);
    assert_eq!((found.away.most.expected, found.away.end.expected), (area, area));
    assert_eq!(found.put_away.expected, 2.0 * area, "in 10 it was away already");
    // Accessed in every sample: all readings agree, and what is back cannot come back.
    assert_eq!((found.refaulted.optimistic, found.refaulted.pessimistic), (area, area));
    assert_eq!(found.refaults, 1);
    // 12 pages in 2 s, of (18 * 4 + 2 * 16) / 20 pages that are touched.
    let percent = 12.0 * 30.0 / 5.2 * 100.0;
    assert!((found.promotion_percent.expected - percent).abs() < 1e-6);
    assert_eq!(found.line.len(), 20);
    assert_eq!(found.line[12].refaulted.expected, area);
}

/// Two kdamonds with the same intervals, one of which takes longer than the other.
#[test]
fn targets_out_of_step_count_for_their_own_time() {
    let slow = (0..8).map(|index| {
        // Away from the first aggregation on, used from the fifth on.
        let (rate, age) = if index < 4 { (0, 10) } else { (20, 0) };
        snapshot(0, index, vec![region(0, 4, 20, 0), region(16, 28, rate, age)])
    });
    let fast = (0..10).map(|index| {
        let (start_ns, length_ns) = (BEGIN + index * STEP / 5 * 4, STEP / 5 * 4);
        let regions = vec![region(0, 8, 20, 0), region(8, 24, 0, 1)];
        Snapshot { start_ns, end_ns: start_ns + length_ns, ..snapshot(1, 0, regions) }
    });
    let mut list: Vec<Snapshot> = slow.chain(fast).collect();
    list.sort_by_key(|snapshot| snapshot.end_ns);
    for rows in [3, 64] {
        let found = simulate(&trace(&info(), rows, &[], &list), COLD, listing()).unwrap();
        assert_eq!(found.observed_ns, 8 * STEP, "each moment once");
        let pages = |bytes: f64| (bytes / float(PAGE) * 1e6).round() / 1e6;
        // 4 + 8 pages all the time, and 12 for half of it.
        assert_eq!((pages(found.monitored), pages(found.working_set)), (40.0, 18.0));
        assert_eq!(pages(found.refaulted.expected), 12.0);
        assert_eq!(pages(found.in_per_second.expected), 15.0, "12 pages in 0.8 s");
        let pieces: u64 = found.line.iter().map(|point| point.observed_ns).sum();
        assert_eq!(pieces, found.observed_ns);
    }
}

#[test]
fn targets_with_different_intervals_at_the_same_time_are_refused_and_simulated_alone() {
    let long = (0..4).map(|index| Snapshot {
        start_ns: BEGIN + index * 5 * STEP,
        end_ns: BEGIN + (index + 1) * 5 * STEP,
        sampling: Sampling::from_intervals(25_000, 500_000),
        ..snapshot(1, 0, vec![region(0, 8, 0, u32::try_from(index).unwrap())])
    });
    let mut list: Vec<Snapshot> = cold_area(20, 12..14, 20).into_iter().chain(long).collect();
    list.sort_by_key(|snapshot| snapshot.end_ns);
    let trace = trace(&info(), 64, &[], &list);
    let refused = simulate(&trace, COLD, listing()).unwrap_err().to_string();
    for part in
        ["target 0 has an aggregation interval of 100 ms", "target 1 one of 500 ms", "--target"]
    {
        assert!(refused.contains(part), "{refused}");
    }
    let query = Query { target: Some("0".into()), ..Query::default() };
    let view = View::new(&trace, &query).unwrap();
    let schemes = Schemes::from_json(COLD).unwrap();
    let alone = Plan::new(&trace, &view, &schemes, listing()).unwrap().run(&trace).unwrap();
    assert_eq!((alone.schemes[0].stats.nr_tried, alone.observed_ns), (3, 20 * STEP));
}

#[test]
fn how_much_comes_back_depends_on_the_reading() {
    let scene = cold_area(20, 12..14, 5);
    let exact = simulate(&trace(&info(), 64, &[], &scene), COLD, listing()).unwrap();
    let area = float(12 * PAGE);
    // A quarter of the pages: the same ones in each sample, or others in each of 20, in each of two aggregations.
    let once = 1.0 - 0.75 * 0.75;
    assert!((exact.refaulted.optimistic - area * once).abs() < 1e-6, "every page was looked at");
    assert!((exact.refaulted.expected - area * (1.0 - 0.75_f64.powi(40))).abs() < 1e-6);
    assert_eq!(exact.refaulted.pessimistic, area);
    let mut sampled = info();
    sampled.backend.exact = false;
    let sampled = simulate(&trace(&sampled, 64, &[], &scene), COLD, listing()).unwrap();
    assert_eq!(sampled.refaulted.expected, area, "what is found accessed counts wholly");
    assert!(sampled.refaulted.optimistic < exact.refaulted.optimistic);
    assert!(sampled.refaulted.optimistic > 0.0);
}

#[test]
fn what_has_no_pages_cannot_be_put_away() {
    let mapping = |start: u64, end: u64, read| Mapping {
        start: start * PAGE,
        end: end * PAGE,
        permissions: Permissions { read, write: read, execute: false, shared: false },
        offset: 0,
        inode: 0,
        name: String::new(),
    };
    let records = [
        Record::MappingsChanged(MappingsChanged {
            target: TargetId(0),
            time_ns: BEGIN,
            removed: Vec::new(),
            // Nobody may access the second one, which is monitored all the same.
            added: vec![mapping(0, 16, true), mapping(16, 40, false)],
        }),
        Record::Memory(MemorySample {
            target: TargetId(0),
            time_ns: BEGIN,
            rss: 10 * PAGE,
            swap: 0,
            virtual_size: 40 * PAGE,
            minor_faults: 0,
            major_faults: 0,
        }),
    ];
    let one = |index: u64| {
        let age = u32::try_from(index).unwrap();
        snapshot(
            0,
            index,
            vec![region(0, 4, 20, age), region(4, 16, 0, age), region(16, 40, 0, age)],
        )
    };
    let scene: Vec<Snapshot> = (0..10).map(one).collect();
    let found = simulate(&trace(&info(), 64, &records, &scene), COLD, listing()).unwrap();
    // 4 pages are accessed. Of the other 12 that may be, 6 are resident.
    assert_eq!(found.away.end, Outlook::same(float(6 * PAGE)));
    assert_eq!(found.put_away.expected, float(6 * PAGE));
    assert_eq!(found.resident.unwrap().floor.expected, float(4 * PAGE));
    assert_eq!(found.schemes[0].stats.sz_tried, 36 * PAGE, "DAMON does not know");
    let unknown = simulate(&trace(&info(), 64, &records[..1], &scene), COLD, listing()).unwrap();
    assert_eq!(unknown.away.end.expected, float(12 * PAGE), "all may have pages");
}

#[test]
fn a_size_quota_is_kept_and_what_it_cuts_off_is_merged_again() {
    let schemes = r#"[{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "0 %"},
        "age": {"min": "5 aggr_intervals"}},
        "quotas": {"sz_bytes": "20 KiB", "reset_interval_ms": "200 ms"}}]"#;
    let trace = trace(&info(), 64, &[], &cold_area(12, 99..99, 0));
    let found = simulate(&trace, schemes, listing()).unwrap();
    let of = |a: &damon_format::SchemeApplied| {
        let index = (a.time_ns - BEGIN) / STEP - 1;
        let bounds = a.regions.iter().map(|r| (r.start / PAGE, r.end / PAGE));
        (index, bounds.collect::<Vec<_>>())
    };
    let applied: Vec<_> = found.applied.iter().map(of).collect();
    // 5 pages of the 12 in aggregation 5. In 6 the monitor merges the rest with them, and the mean age is
    // (5 * 1 + 7 * 6) / 12 = 3, so that it is 5 again in 8. The same in 9, and in 11.
    assert_eq!(applied, [5, 8, 11].map(|index| (index, vec![(4, 9)])));
    let outcome = &found.schemes[0];
    assert_eq!(outcome.stats.qt_exceeds, 2);
    assert_eq!((outcome.windows, outcome.windows_limited), (5, Some(0.4)));
    assert_eq!(outcome.skipped_most, 7 * PAGE);
}

#[test]
fn watermarks_follow_the_recorded_free_memory() {
    let schemes = r#"[{"action": "stat", "access_pattern": {"nr_accesses": {"max": "0 %"}},
        "watermarks": {"metric": "free_mem_rate", "interval_us": "1 s",
            "high_permil": 500, "mid_permil": 400, "low_permil": 200}}]"#;
    let memory = |index: u64, free| {
        Record::SystemMemory(SystemMemory {
            time_ns: BEGIN + index * STEP + 1,
            total: 1000,
            free,
            available: free,
            swap_total: 0,
            swap_free: 0,
        })
    };
    let scene = cold_area(20, 99..99, 0);
    let records = [memory(0, 900), memory(10, 300)];
    let found = simulate(&trace(&info(), 64, &records, &scene), schemes, listing()).unwrap();
    assert_eq!(found.schemes[0].stats.nr_tried, 10);
    assert!((found.schemes[0].off - 0.5).abs() < 1e-9);
    let unknown = simulate(&trace(&info(), 64, &[], &scene), schemes, listing()).unwrap_err();
    assert!(unknown.to_string().contains("schemes[0].watermarks"), "{unknown}");
    let ignored = Options { ignore_watermarks: true, ..listing() };
    let found = simulate(&trace(&info(), 64, &[], &scene), schemes, ignored).unwrap();
    assert_eq!(found.schemes[0].stats.nr_tried, 20);
}

#[test]
fn a_time_quota_is_charged_at_the_speed_that_was_assumed() {
    let schemes = r#"[{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "0 %"}},
        "quotas": {"time_ms": 1, "reset_interval_ms": "100 ms"}}]"#;
    // 16 MiB at a mebibyte a millisecond: in its first window the kernel believes in 4 MiB/ms, then in 1.
    let regions = |age| vec![Region { start: 0, end: 16 * MIB, nr_accesses: 0, age }];
    let scene: Vec<_> = (0..5_u32).map(|i| snapshot(0, i.into(), regions(i))).collect();
    let slow = Options { bytes_per_ms: MIB, ..listing() };
    let found = simulate(&trace(&info(), 64, &[], &scene), schemes, slow).unwrap();
    let sizes: Vec<u64> =
        found.applied.iter().map(|a| a.regions.iter().map(Region::size).sum()).collect();
    assert_eq!(sizes, [4 * MIB, MIB, MIB, MIB, MIB]);
}

#[test]
fn what_cannot_be_known_is_refused_with_its_place() {
    let scene = cold_area(20, 99..99, 0);
    let read = trace(&info(), 64, &[], &scene);
    let refused = |trace: &Trace, schemes: &str| {
        simulate(trace, schemes, Options::default()).unwrap_err().to_string()
    };
    let cases = [
        (r#"[{"action": "stat"}, {"apply_interval_us": "50 ms"}]"#, "schemes[1].apply_interval_us"),
        (r#"[{"filters": [{"filter_type": "anon"}]}]"#, "schemes[0].filters"),
        (
            r#"[{"quotas": {"reset_interval_ms": "1 s", "goals": [{"metric": "some_mem_psi_us", "target_value": 5}]}}]"#,
            "schemes[0].quotas.goals",
        ),
        (
            r#"[{"access_pattern": {"nr_accesses": {"min": "30 samples"}}}]"#,
            "schemes[0].access_pattern",
        ),
        (r#"[{"action": "stat", "access_pattern": {"age": {"min": "1 m"}}}]"#, "lasts 2 s"),
    ];
    for (schemes, place) in cases {
        let error = refused(&read, schemes);
        assert!(error.contains(place), "{error}");
    }
    let mut writes = info();
    writes.backend.access = AccessKind::Write;
    let writes = trace(&writes, 64, &[], &scene);
    assert!(refused(&writes, COLD).contains("--accept-write-only"));
    let accepted = Options { accept_write_only: true, ..Options::default() };
    assert!(simulate(&writes, COLD, accepted).unwrap().warnings[0].contains("WRITES ONLY"));
    let mut ageless = scene;
    for snapshot in &mut ageless {
        snapshot.has_ages = false;
    }
    let ageless = trace(&info(), 64, &[], &ageless);
    assert!(matches!(simulate(&ageless, COLD, Options::default()), Err(SimulateError::NoAges)));
}

#[test]
fn what_speaks_against_a_recording_is_said() {
    let installed = |action: &str| {
        Record::SchemeInstalled(damon_format::SchemeInstalled {
            time_ns: BEGIN,
            scheme: 0,
            json: format!(r#"{{"action": "{action}"}}"#),
            by: "kernel".into(),
        })
    };
    let scene = cold_area(20, 12..14, 20);
    let warnings = |records: &[Record], schemes: &str| {
        let recorded = trace(&info(), 64, records, &scene);
        simulate(&recorded, schemes, Options::default()).unwrap().warnings.join("; ")
    };
    assert_eq!(warnings(&[installed("stat")], COLD), "", "counting changes nothing");
    assert!(warnings(&[installed("pageout")], COLD).contains("active while recording"));
    // One of two asks for more than was recorded.
    let both = COLD.replacen(
        '[',
        r#"[{"action": "stat", "access_pattern": {"age": {"min": "3 s"}}}, "#,
        1,
    );
    let warned = warnings(&[], &both);
    assert!(
        warned.contains("schemes[0]: asks for an age of 3 s; the recording lasts 2 s"),
        "{warned}"
    );
    // How much is not known, because it was so when the recording began: 12 pages that would be old enough in 5 of 20
    // aggregations, and 4 that never were cold.
    let found = simulate(&trace(&info(), 64, &[], &scene), COLD, Options::default()).unwrap();
    let outcome = &found.schemes[0];
    assert!((outcome.unknown - float(12 * PAGE * 5) / 20.0).abs() < 1e-6, "{}", outcome.unknown);
    // The first two of three times it had been cold since the start.
    assert!((outcome.tried_since_begin - 2.0 / 3.0).abs() < 1e-9);
}

/// Random snapshots of two targets: pages in random regions with random counts and ages that grow or begin anew.
fn recordings() -> impl Strategy<Value = Vec<Snapshot>> {
    let row = (1_u64..9, 0_u64..3, 0_u32..4, 0_u32..12);
    prop::collection::vec(prop::collection::vec(row, 0..8), 4..40).prop_map(|moments| {
        let snapshots = moments.into_iter().zip(0_u64..).map(|(rows, index)| {
            let mut at = 0;
            let regions = rows.into_iter().map(|(size, gap, nr, age)| {
                let start = at + gap;
                at = start + size;
                region(start, at, nr, age)
            });
            snapshot(u32::try_from(index % 2).unwrap(), index / 2, regions.collect())
        });
        snapshots.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn without_a_quota_all_that_matches_is_tried(
        snapshots in recordings(), nr in 0_u32..4, age in 0_u32..8, size in 1_u64..6,
    ) {
        let schemes = format!(
            r#"[{{"action": "stat", "access_pattern": {{"nr_accesses": {{"max": "{nr} samples"}},
                "age": {{"min": "{age} aggr_intervals"}}, "sz_bytes": {{"min": {}}}}}}}]"#,
            size * PAGE,
        );
        let trace = trace(&info(), 64, &[], &snapshots);
        let matching = |r: &&Region| r.nr_accesses <= nr && r.age >= age && r.size() >= size * PAGE;
        let all = snapshots.iter().flat_map(|snapshot| &snapshot.regions);
        let naive: u64 = all.filter(matching).map(Region::size).sum();
        match simulate(&trace, &schemes, Options::default()) {
            Ok(found) => {
                prop_assert_eq!(found.schemes[0].stats.sz_tried, naive);
                prop_assert_eq!(found.schemes[0].skipped_most, 0);
            }
            Err(SimulateError::TooShort { .. }) => prop_assert_eq!(naive, 0),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }

    #[test]
    fn blocks_do_not_matter_and_quotas_are_kept(snapshots in recordings(), pages in 1_u64..9) {
        let schemes = format!(
            r#"[{{"action": "pageout", "access_pattern": {{"nr_accesses": {{"max": "1 samples"}}}},
                "quotas": {{"sz_bytes": {}, "reset_interval_ms": "300 ms",
                    "weights": {{"nr_accesses_permil": 1, "age_permil": 1}}}}}},
              {{"action": "willneed", "access_pattern": {{"nr_accesses": {{"min": "2 samples"}}}}}}]"#,
            pages * PAGE,
        );
        let whole = simulate(&trace(&info(), 1 << 20, &[], &snapshots), &schemes, listing()).unwrap();
        let pieces = simulate(&trace(&info(), 1, &[], &snapshots), &schemes, listing()).unwrap();
        prop_assert_eq!(&whole, &pieces);
        // Windows begin with an aggregation and last for three.
        let mut used = std::collections::BTreeMap::new();
        for applied in whole.applied.iter().filter(|applied| applied.scheme == 0) {
            let window = ((applied.time_ns - BEGIN) / STEP - 1) / 3;
            let bytes: u64 = applied.regions.iter().map(Region::size).sum();
            *used.entry(window).or_insert(0_u64) += bytes;
        }
        prop_assert!(used.values().all(|bytes| *bytes <= pages * PAGE), "{:?}", used);
        for of in [whole.away.end, whole.refaulted] {
            prop_assert!(of.optimistic >= 0.0 && of.expected >= 0.0 && of.pessimistic >= 0.0);
        }
        prop_assert!(whole.away.most.pessimistic <= whole.away.most.optimistic + 1e-6);
    }
}
