//! What memory that could be put away has pages, of processes that map and unmap, in parts of a recording.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use common::made::{open, write};
use common::{BEGIN, SECOND};
use damon_format::damos::Schemes;
use damon_format::{
    AccessKind, Mapping, MappingsChanged, MemorySample, Permissions, Record, Region, Sampling,
    Snapshot, TargetId,
};
use damon_report::analysis::load::Trace;
use damon_report::analysis::select::Query;
use damon_report::analysis::simulate::{Options, Outlook, Plan, Simulation};
use damon_report::analysis::view::View;
use damon_report::analysis::wss::WorkingSetOptions;

const STEP: u64 = SECOND / 10;
const PAGE: u64 = 4096;

/// What was not accessed for 5 aggregations.
const COLD: &str = r#"[{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "0 %"},
    "age": {"min": "5 aggr_intervals"}}}]"#;

/// The `index`-th aggregation of 100 ms; regions by pages, with counts and ages.
fn snapshot(target: u32, index: u64, regions: &[(u64, u64, u32, u64)]) -> Snapshot {
    let start = BEGIN + index * STEP;
    let regions = regions.iter().map(|&(start, end, nr_accesses, age)| Region {
        start: start * PAGE,
        end: end * PAGE,
        nr_accesses,
        age: u32::try_from(age).unwrap(),
    });
    let sampling = Sampling::from_intervals(5_000, 100_000);
    Snapshot::new(TargetId(target), start, start + STEP, sampling, regions.collect())
}

fn maps(target: u32, index: u64, removed: &[u64], added: &[(u64, u64)]) -> Record {
    let added = added.iter().map(|(start, end)| Mapping {
        start: start * PAGE,
        end: end * PAGE,
        permissions: Permissions { read: true, ..Permissions::default() },
        offset: 0,
        inode: 0,
        name: format!("/lib/{start}"),
    });
    Record::MappingsChanged(MappingsChanged {
        target: TargetId(target),
        time_ns: BEGIN + index * STEP,
        removed: removed.iter().map(|start| start * PAGE).collect(),
        added: added.collect(),
    })
}

fn resident(target: u32, index: u64, pages: u64) -> Record {
    Record::Memory(MemorySample {
        target: TargetId(target),
        time_ns: BEGIN + index * STEP,
        rss: pages * PAGE,
        swap: 0,
        virtual_size: 0,
        minor_faults: 0,
        major_faults: 0,
    })
}

fn trace(records: &[Record], snapshots: &[Snapshot]) -> Trace {
    let mut info = common::info();
    info.backend.access = AccessKind::ReadWrite;
    info.backend.exact = true;
    open(write(&info, 1 << 16, records, snapshots))
}

fn simulate(trace: &Trace, query: &Query) -> Simulation {
    let view = View::with_all_records(trace, query).unwrap();
    let schemes = Schemes::from_json(COLD).unwrap();
    Plan::new(trace, &view, &schemes, Options::default()).unwrap().run(trace).unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn pages(count: u64) -> Outlook {
    Outlook::same((count * PAGE) as f64)
}

/// 20 pages in use and 20 that never are, of which 5 are resident.
fn half_used(target: u32) -> (Vec<Record>, Vec<Snapshot>) {
    let records = vec![maps(target, 0, &[], &[(0, 16), (16, 40)]), resident(target, 0, 25)];
    let one = |index| snapshot(target, index, &[(0, 20, 20, index), (20, 40, 0, index)]);
    (records, (0..10).map(one).collect())
}

#[test]
fn a_part_of_the_addresses_has_the_pages_that_it_has_in_the_whole() {
    let (records, snapshots) = half_used(0);
    let trace = trace(&records, &snapshots);
    assert_eq!(simulate(&trace, &Query::default()).away.end, pages(5));
    let address = format!("{:x}..{:x}", 18 * PAGE, 40 * PAGE).parse().unwrap();
    let part = Query { address: vec![address], ..Query::default() };
    assert_eq!(simulate(&trace, &part).away.end, pages(5));
    let part = Query { mapping: vec!["/lib/16".into()], ..Query::default() };
    assert_eq!(simulate(&trace, &part).away.end, pages(5));
    // None of the used ones.
    let address = format!("{:x}..{:x}", 24 * PAGE, 40 * PAGE).parse().unwrap();
    let part = Query { address: vec![address], ..Query::default() };
    assert_eq!(simulate(&trace, &part).away.end, pages(4));
}

#[test]
fn who_has_no_mappings_does_not_change_what_others_have() {
    let (mut records, mut snapshots) = half_used(0);
    records.push(resident(1, 0, 1000));
    let other = (0..10).map(|index| snapshot(1, index, &[(500, 900, 20, index)]));
    snapshots.extend(other);
    snapshots.sort_by_key(|snapshot| (snapshot.end_ns, snapshot.target));
    assert_eq!(simulate(&trace(&records, &snapshots), &Query::default()).away.end, pages(5));
}

#[test]
fn memory_that_was_given_back_is_neither_used_nor_away() {
    let records = [
        maps(0, 0, &[], &[(0, 4), (4, 16), (16, 40)]),
        resident(0, 0, 22),
        maps(0, 10, &[4], &[]),
        resident(0, 10, 10),
    ];
    let one = |index: u64| {
        let (nr, age) = if index < 3 { (20, index) } else { (0, index - 3) };
        snapshot(0, index, &[(0, 4, 20, index), (4, 16, nr, age), (16, 40, 0, index)])
    };
    let found = |count| {
        let snapshots: Vec<Snapshot> = (0..count).map(one).collect();
        simulate(&trace(&records, &snapshots), &Query::default())
    };
    // 16 of the 22 resident pages were used; the other 6 lie in the last 24. These go in aggregation 5, the 12 cold
    // ones in 8.
    assert_eq!(found(9).away.end, pages(6 + 12));
    // At the end of 9 the 12 are unmapped. Of the 10 that are resident then, 4 are used, and 6 lie in the last 24.
    let later = found(14);
    assert_eq!(later.away.end, pages(6));
    assert_eq!((later.put_away, later.refaulted), (pages(18), pages(0)));
    assert_eq!(later.resident.unwrap().floor, pages(22 - 18));
}

#[test]
fn a_resident_size_holds_until_the_next_one() {
    let records = [maps(0, 0, &[], &[(0, 16)]), resident(0, 0, 10), resident(0, 40, 16)];
    let one = |index| snapshot(0, index, &[(0, 4, 20, index), (4, 16, 0, index)]);
    let snapshots: Vec<Snapshot> = (0..50).map(one).collect();
    let trace = trace(&records, &snapshots);
    let part = Query { time: Some("1s..2s".parse().unwrap()), ..Query::default() };
    let found = simulate(&trace, &part);
    assert_eq!(found.away.end, pages(6), "4 of the 10 are used");
    let recorded = found.resident.unwrap().recorded;
    assert_eq!(Outlook::same(recorded), pages(10));
    let view = View::new(&trace, &part).unwrap();
    let set = view.working_set(&trace, WorkingSetOptions::without_intervals(1));
    let seen: Vec<(u64, u64)> =
        set.resident.iter().map(|s| (s.time_ns - BEGIN, s.rss / PAGE)).collect();
    assert_eq!(seen, [(SECOND, 10)]);
    let across = Query { time: Some("1s..4500ms".parse().unwrap()), ..Query::default() };
    let view = View::new(&trace, &across).unwrap();
    let sizes: Vec<u64> = view.resident().iter().map(|s| s.rss / PAGE).collect();
    assert_eq!(sizes, [10, 16]);
}
