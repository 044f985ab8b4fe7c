//! What comes of simulated schemes, beside the bytes away, on recordings whose truth is known.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use common::made::{exact as info, open, write};
use common::{BEGIN, MIB, SECOND};
use damon_format::damos::Schemes;
use damon_format::{
    Mapping, MappingsChanged, Permissions, Record, RecordingInfo, Region, Sampling, Snapshot,
    TargetExited, TargetId,
};
use damon_report::analysis::groups::{GroupBy, MemoryKind};
use damon_report::analysis::load::Trace;
use damon_report::analysis::select::Query;
use damon_report::analysis::simulate::{Options, Outlook, Plan, Simulation, Verdict};
use damon_report::analysis::view::View;

const STEP: u64 = SECOND / 10;

/// The `index`-th aggregation of 100 ms; regions by MiB.
fn snapshot(target: u32, index: u64, regions: &[(u64, u64, u32, u32)]) -> Snapshot {
    let start = BEGIN + index * STEP;
    let regions = regions.iter().map(|&(start, end, nr_accesses, age)| Region {
        start: start * MIB,
        end: end * MIB,
        nr_accesses,
        age,
    });
    let sampling = Sampling::from_intervals(5_000, 100_000);
    Snapshot::new(TargetId(target), start, start + STEP, sampling, regions.collect())
}

fn mapped(target: u32, index: u64, ranges: &[(u64, u64, &str)]) -> Record {
    let added = ranges.iter().map(|(start, end, name)| Mapping {
        start: start * MIB,
        end: end * MIB,
        permissions: Permissions { read: true, write: true, ..Permissions::default() },
        offset: 0,
        inode: 0,
        name: (*name).into(),
    });
    Record::MappingsChanged(MappingsChanged {
        target: TargetId(target),
        time_ns: BEGIN + index * STEP,
        removed: vec![],
        added: added.collect(),
    })
}

fn trace(info: &RecordingInfo, records: &[Record], snapshots: &[Snapshot]) -> Trace {
    open(write(info, 64, records, snapshots))
}

fn simulate(trace: &Trace, schemes: &str, options: Options) -> Simulation {
    let view = View::new(trace, &Query::default()).unwrap();
    let schemes = Schemes::from_json(schemes).unwrap();
    Plan::new(trace, &view, &schemes, options).unwrap().run(trace).unwrap()
}

const COLD: &str = r#"[{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "0 %"},
    "age": {"min": "5 aggr_intervals"}}}]"#;

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
}

#[test]
fn the_accounts_of_mappings_add_up_to_the_whole() {
    // A heap of 8 MiB, of which 2 are used again in aggregation 10, and a library after a hole; another
    // process whose memory has no known mappings, and that ends after 12 of 20 aggregations.
    let mut snapshots = Vec::new();
    for index in 0..20_u32 {
        let used =
            if index == 10 { (20, 0) } else { (0, if index < 10 { index } else { index - 10 }) };
        let heap = (2, 4, used.0, used.1);
        snapshots.push(snapshot(
            0,
            index.into(),
            &[(0, 2, 0, index), heap, (4, 8, 0, index), (9, 10, 0, index)],
        ));
        if index < 12 {
            snapshots.push(snapshot(1, index.into(), &[(100, 112, 0, index)]));
        }
    }
    let records = [
        mapped(0, 0, &[(0, 8, "[heap]"), (9, 10, "/lib/x.so")]),
        Record::TargetExited(TargetExited {
            target: TargetId(1),
            time_ns: BEGIN + 12 * STEP,
            wait_status: None,
        }),
    ];
    let trace = trace(&info(), &records, &snapshots);
    let found = simulate(&trace, COLD, Options::default());
    let kinds: Vec<MemoryKind> = found.by_mapping.iter().map(|one| one.group.kind).collect();
    assert_eq!(kinds, [MemoryKind::Heap, MemoryKind::Unknown, MemoryKind::File]);
    let [heap, unknown, file] = found.by_mapping.as_slice() else { panic!() };
    let mib = |value: u32| f64::from(value) * 1_048_576.0;
    // From the end of the 6th aggregation on; 2 MiB of it are back for aggregations 10 to 14.
    assert!(near(heap.away.expected, mib(8) * 15.0 / 20.0 - mib(2) * 5.0 / 20.0));
    assert!(near(unknown.away.expected, mib(12) * 7.0 / 20.0));
    assert!(near(file.away.expected, mib(1) * 15.0 / 20.0));
    assert_eq!((heap.put_away.expected, heap.refaulted.expected), (mib(10), mib(2)));
    assert_eq!(file.refaulted, Outlook::default());
    let sum = |of: &dyn Fn(usize) -> f64| (0..3).map(of).sum::<f64>();
    assert!(near(sum(&|i| found.by_mapping[i].away.expected), found.away.mean.expected));
    assert!(near(sum(&|i| found.by_mapping[i].put_away.pessimistic), found.put_away.pessimistic));
    assert!(near(sum(&|i| found.by_mapping[i].refaulted.optimistic), found.refaulted.optimistic));
    assert!(near(sum(&|i| found.by_mapping[i].share), 1.0));
    let kinds = Options { group_by: GroupBy::Kind, ..Options::default() };
    let file = &simulate(&trace, COLD, kinds).by_mapping[2].group;
    assert_eq!((file.kind, file.name.as_str()), (MemoryKind::File, ""));
}

#[test]
fn the_evidence_and_the_verdict_are_judged() {
    let sampled = RecordingInfo {
        backend: damon_format::Backend { exact: false, ..info().backend },
        ..info()
    };
    // 64 MiB that have had 6 * 20 samples, fewer than pages; half a working set of 2 MiB comes back at most.
    let cold = |index: u32, nr| {
        let age = if nr > 0 { 0 } else { index };
        snapshot(0, index.into(), &[(0, 2, 20, index), (2, 66, nr, age), (70, 71, 0, index)])
    };
    let found = simulate(
        &trace(&sampled, &[], &(0..10).map(|index| cold(index, 0)).collect::<Vec<_>>()),
        COLD,
        Options::default(),
    );
    let grain = found.granularity.as_ref().unwrap();
    assert!(near(grain.in_large, 64.0 / 65.0), "{grain:?}");
    assert_eq!((grain.on_few_samples, grain.unseen), (Some(0.0), Some(1.0)));
    assert_eq!(grain.by_size.len(), 2);
    assert_eq!(found.promotion_verdict, Verdict::Below);
    // 65 MiB in the 6th of 10 aggregations: that much each second, a day long.
    assert!(near(found.paged_out_per_day.unwrap().expected, 65.0 * 1_048_576.0 * 86_400.0));
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    let back: Vec<_> = (0..10).map(|index| cold(index, u32::from(index == 8))).collect();
    let found = simulate(&trace(&sampled, &[], &back), COLD, Options::default());
    assert_eq!(found.promotion_verdict, Verdict::Above, "{:?}", found.promotion_percent);
    // The same once in three hours: felt if the whole region was meant.
    let mut rarely = back;
    for snapshot in rarely.iter_mut().skip(9) {
        snapshot.start_ns += 10_800 * SECOND;
        snapshot.end_ns += 21_600 * SECOND;
    }
    let found = simulate(&trace(&sampled, &[], &rarely), COLD, Options::default());
    assert_eq!(found.promotion_verdict, Verdict::Unsure, "{:?}", found.promotion_percent);
    let warned = found.warnings.join("\n");
    assert!(warned.contains("50.0 % of the time was not recorded"), "{warned}");
    assert!(warned.contains("% longer than their interval"), "{warned}");
    let stat =
        simulate(&trace(&info(), &[], &rarely), r#"[{"action": "stat"}]"#, Options::default());
    assert_eq!((stat.granularity, stat.paged_out_per_day), (None, None));
}

#[test]
fn tiers_follow_what_schemes_move_and_goals_see_it() {
    // 16 MiB, 2 of them hot all the time, 2 only in the first ten aggregations; ages begin with the recording.
    let at = |index: u32| {
        let (was_hot, age) = if index < 10 { (20, index) } else { (0, index - 10) };
        snapshot(0, index.into(), &[(0, 2, 20, index), (2, 4, was_hot, age), (4, 16, 0, index)])
    };
    let snapshots: Vec<_> = (0..40).map(at).collect();
    let trace = trace(&info(), &[], &snapshots);
    let schemes = r#"[{"action": "migrate_hot", "target_nid": 0, "access_pattern": {"nr_accesses": {"min": "50 %"}}},
        {"action": "migrate_cold", "target_nid": 1, "access_pattern": {"nr_accesses": {"max": "0 %"}, "age": {"min": "5 aggr_intervals"}}}]"#;
    let mib = |value: f64| value * 1_048_576.0;
    let found = simulate(&trace, schemes, Options::default()).tiers.unwrap();
    // All of it is fast until 12 MiB have been cold for 5, and 2 more from the 16th on.
    assert_eq!((found.fast.most, found.slow.most), (mib(16.0), mib(14.0)));
    assert!(near(found.slow.mean, mib(12.0 * 35.0 + 2.0 * 25.0) / 40.0), "{found:?}");
    assert_eq!((found.demoted, found.promoted, found.served_fast), (mib(14.0), 0.0, Some(1.0)));
    // A fast tier of 4 MiB holds a quarter of everything at first.
    let sized = Options { fast_tier: Some(4 * MIB), ..Options::default() };
    let whole = simulate(&trace, schemes, sized.clone());
    let found = whole.tiers.as_ref().unwrap();
    assert_eq!((found.fast.most, found.served_at_best), (mib(4.0), Some(1.0)));
    // It is full until 3 MiB of cold memory are gone from it after aggregation 5; then what is hot moves in.
    let served = |index: usize| whole.line[index].served.unwrap().share().unwrap();
    assert!(near(served(0), 0.25) && near(served(5), 0.25), "{} {}", served(0), served(5));
    assert!(near(served(7), 1.0), "{}", served(7));
    assert!(near(found.promoted, mib(3.0)));
    assert!(near(found.curve.last().unwrap().mean, mib(4.0 * 10.0 + 2.0 * 30.0) / 40.0));
    assert!(near(found.curve.last().unwrap().most, mib(4.0)));
    // sz_applied is what was moved, not what was tried.
    assert_eq!(whole.schemes[0].stats.sz_applied, 3 * MIB);
    assert!(whole.schemes[0].stats.sz_tried > 3 * MIB);
    // A goal on how full node 0 is: without the size nothing is known of it.
    let goal = schemes.replace(
        r#""target_nid": 1,"#,
        r#""target_nid": 1, "quotas": {"sz_bytes": "1 M", "reset_interval_ms": "100 ms",
            "goal_tuner": "temporal", "goals": [{"metric": "node_mem_free_bp", "nid": 0, "target_value": "25 %"}]},"#,
    );
    let view = View::new(&trace, &Query::default()).unwrap();
    let list = Schemes::from_json(&goal).unwrap();
    let unknown = Plan::new(&trace, &view, &list, Options::default()).unwrap_err().to_string();
    assert!(
        unknown.contains("schemes[1].quotas.goals") && unknown.contains("--fast-tier"),
        "{unknown}"
    );
    let tuned = simulate(&trace, &goal, sized);
    let found = tuned.tiers.as_ref().unwrap();
    assert!(
        found.demoted >= mib(1.0) && found.demoted < mib(4.0),
        "stops with a quarter free: {found:?}"
    );
    assert!(
        tuned.assumptions.iter().any(|text| text.contains("how full the simulated fast tier is"))
    );
}

#[test]
fn huge_pages_are_counted_where_they_were_advised_and_mapped() {
    let at = |index: u32| snapshot(0, index.into(), &[(0, 9, 10, index), (9, 30, 0, index)]);
    let snapshots: Vec<_> = (0..10).map(at).collect();
    let records = [mapped(0, 0, &[(1, 9, "[heap]"), (9, 10, "/x")])];
    let trace = trace(&info(), &records, &snapshots);
    let thp = r#"[{"action": "hugepage", "access_pattern": {"nr_accesses": {"min": "5 %"}}}]"#;
    let found = simulate(&trace, thp, Options::default());
    let huge = found.huge.unwrap();
    // 1..9 MiB hold three whole blocks, accessed in half of the samples.
    assert_eq!((huge.most, huge.end, huge.bloat), (6 * MIB, 6 * MIB, 0.0));
    assert!(near(huge.hot, huge.mean) && near(huge.hot_expected, huge.hot / 2.0));
    assert_eq!(found.line[3].huge, Some(6.0 * 1_048_576.0));
    assert!(found.assumptions.iter().any(|text| text.contains("khugepaged")));
    let everything = r#"[{"action": "hugepage"}]"#;
    let huge = simulate(&trace, everything, Options::default()).huge.unwrap();
    assert_eq!((huge.most, huge.bloat_most), (8 * MIB, MIB), "2..10, and 9..10 was never accessed");
    assert_eq!(simulate(&trace, COLD, Options::default()).huge, None);
}
