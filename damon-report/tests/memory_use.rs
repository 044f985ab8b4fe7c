//! Use of mappings and idle times: conserved sums, known truth, any number of blocks and threads.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "numbers of tests are small, and a helper that fails is a test that fails"
)]

mod common;

use common::{BEGIN, HEAP, LIBRARY, MIB, SECOND, made};
use damon_format::{
    Mapping, MappingsChanged, Permissions, Record, Region, Sampling, Snapshot, TargetId,
    TraceWriter, WriterOptions,
};
use damon_report::analysis::groups::{GroupBy, MemoryKind};
use damon_report::analysis::idle::IdleTimes;
use damon_report::analysis::load::Trace;
use damon_report::analysis::mapping_use::{GroupUse, MappingUse, UseOptions};
use damon_report::analysis::select::{Moment, Query};
use damon_report::analysis::view::View;
use damon_report::analysis::wss::WorkingSetOptions;
use proptest::prelude::*;

fn open(bytes: Vec<u8>, query: &Query) -> (Trace, View) {
    let trace = made::open(bytes);
    let view = View::new(&trace, query).unwrap();
    (trace, view)
}

fn options(group_by: GroupBy) -> UseOptions {
    UseOptions { threshold: 1, idle_ns: SECOND, group_by }
}

fn used(bytes: Vec<u8>, query: &Query, by: GroupBy) -> MappingUse {
    let (trace, view) = open(bytes, query);
    view.mapping_use(&trace, options(by))
}

fn idle(bytes: Vec<u8>, query: &Query) -> IdleTimes {
    let (trace, view) = open(bytes, query);
    view.idle_times(&trace)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

#[test]
fn heat_working_set_and_idle_bytes_of_a_known_process() {
    let all = used(common::ten_seconds(), &Query::default(), GroupBy::Mapping);
    let names: Vec<String> = all.groups.iter().map(|g| g.group.label()).collect();
    assert_eq!(names, ["[heap]", "/usr/lib/libwork.so.1 +0x0..0x400000"]);
    assert_eq!(all.observed_ns, 10 * SECOND);
    let [heap, library] = all.groups.as_slice() else { panic!("{all:?}") };
    assert!(near(heap.heat_share, 1.0) && near(library.heat_share, 0.0));
    // 4 MiB at rate 1 for five seconds, then 4 MiB at 1/2.
    assert!(near(heap.used.expected, (3 * MIB) as f64), "{heap:?}");
    assert!(near(heap.used.rate, 3.0 / 16.0));
    assert!(near(heap.used.touched, (4 * MIB) as f64) && heap.used.touched_most == 4 * MIB);
    assert!(near(heap.used.expected_most, (4 * MIB) as f64));
    assert_eq!((heap.used.size_most, library.used.size_most), (16 * MIB, 4 * MIB));
    // Ages run from 0 to 49 twice: idle for a second (age 9 and more) in 82 of 100 snapshots.
    assert!(near(heap.used.idle.unwrap(), 0.82 * (12 * MIB) as f64), "{heap:?}");
    assert!(near(library.used.idle.unwrap(), 0.82 * (4 * MIB) as f64));
    assert_eq!(all.resident.len(), 10);
}

#[test]
fn idle_times_of_a_known_process() {
    let found = idle(common::ten_seconds(), &Query::default());
    assert!(near(found.accessed, (4 * MIB) as f64) && near(found.known, (20 * MIB) as f64));
    // 50 ages of 16 MiB, each twice in a hundred snapshots.
    assert_eq!(found.bins.len(), 50);
    assert!(found.resolution == 0.0, "each bin holds one value");
    assert!(found.bins.iter().all(|bin| near(bin.bytes, (16 * MIB) as f64 / 50.0)));
    let at = |us| found.curve.iter().find(|p| p.at_least_us == us).map(|p| p.bytes / MIB as f64);
    assert!(near(at(100_000).unwrap(), 16.0) && near(at(5_000_000).unwrap(), 16.0 / 50.0));
    assert!(near(at(1_000_000).unwrap(), 16.0 * 41.0 / 50.0), "{:?}", found.curve);
    assert_eq!(at(10_000_000), None);
    // 20 % of all bytes are not idle, 16 % are for each second.
    assert!(near(found.percentiles[20], 0.0) && near(found.percentiles[100], 5e6));
    assert!(near(found.percentiles[60], 2_500_000.0));
    // In the first five seconds ages reach back to the start.
    assert!(near(found.since_begin, 8.0 * MIB as f64), "{found:?}");
}

#[test]
fn a_moment_is_that_of_its_snapshot() {
    let at = |text: &str| {
        let (trace, _) = open(common::ten_seconds(), &Query::default());
        let moment: Moment = text.parse().unwrap();
        View::at(&trace, &Query::default(), &moment).map(|view| view.idle_times(&trace))
    };
    let found = at("3.25s").unwrap();
    assert_eq!(found.bins.len(), 1);
    assert_eq!((found.bins[0].least_us, found.bins[0].most_us), (3_300_000, 3_300_000));
    assert!(near(found.bins[0].bytes, (16 * MIB) as f64));
    assert_eq!(at("100%").unwrap().bins[0].least_us, 5_000_000);
    assert!(at("11s").is_err());
}

#[test]
fn what_has_no_age_is_neither_idle_nor_young() {
    let mut list = common::snapshots(0, 2);
    list[1].has_ages = false;
    let found = idle(write(&list, &[], 64), &Query::default());
    assert!(near(found.unknown, (8 * MIB) as f64) && near(found.known, (12 * MIB) as f64));
    let found = used(write(&list, &[], 64), &Query::default(), GroupBy::Mapping);
    assert_eq!(found.total.idle, None);
    assert!(!found.has_mappings && found.groups.len() == 1);
    assert_eq!(found.groups[0].group.kind, MemoryKind::Unknown);
}

#[test]
fn mappings_that_come_and_go_count_for_their_time() {
    let list = common::snapshots(0, 10);
    let half = BEGIN + SECOND / 2;
    let records = [
        change(0, BEGIN, &[], &[(HEAP, 16 * MIB, "[heap]")]),
        change(0, half, &[HEAP], &[(LIBRARY, 4 * MIB, "/lib/late.so")]),
    ];
    let found = used(write(&list, &records, 64), &Query::default(), GroupBy::File);
    let size = |kind| -> f64 {
        let groups = found.groups.iter().filter(|g| g.group.kind == kind);
        groups.map(|g| g.used.size).sum::<f64>() / MIB as f64
    };
    // A look at the mappings tells of all snapshots that end at its moment or later: here six of ten.
    assert!(near(size(MemoryKind::Heap), 16.0 * 0.4), "{}", size(MemoryKind::Heap));
    assert!(near(size(MemoryKind::File), 4.0 * 0.6));
    assert!(near(size(MemoryKind::Unknown), 4.0 * 0.4 + 16.0 * 0.6));
}

fn change(target: u32, time_ns: u64, removed: &[u64], added: &[(u64, u64, &str)]) -> Record {
    let mapping = |&(start, size, name): &(u64, u64, &str)| Mapping {
        start,
        end: start + size,
        permissions: Permissions { read: true, write: true, ..Permissions::default() },
        offset: 0,
        inode: 0,
        name: name.into(),
    };
    Record::MappingsChanged(MappingsChanged {
        target: TargetId(target),
        time_ns,
        removed: removed.to_vec(),
        added: added.iter().map(mapping).collect(),
    })
}

/// Records go before the first snapshot that ends after them.
fn write(list: &[Snapshot], records: &[Record], rows: u64) -> Vec<u8> {
    let mut options = WriterOptions::default();
    options.block_rows = rows;
    let mut writer = TraceWriter::create(Vec::new(), &common::info(), options).unwrap();
    let mut records = records.iter().peekable();
    for snapshot in list {
        while let Some(record) = records.next_if(|r| r.time_ns() < snapshot.end_ns) {
            writer.record(record).unwrap();
        }
        writer.snapshot(snapshot).unwrap();
    }
    for record in records {
        writer.record(record).unwrap();
    }
    writer.finish().unwrap()
}

const PAGE: u64 = 4096;

/// A recording of two targets with mappings in between, from a handful of numbers.
fn made(regions: &[(u64, u64, u32, u32)], count: u64, seed: u64) -> (Vec<Snapshot>, Vec<Record>) {
    let mut list = Vec::new();
    let mut records = Vec::new();
    for i in 0..count {
        for target in 0..2 {
            let mut address = PAGE * (1 + u64::from(target));
            let regions = regions.iter().map(|&(gap, size, accesses, age)| {
                let start = address + gap * PAGE;
                address = start + size * PAGE;
                let turn = u32::try_from((seed + i) % 7).unwrap() + target;
                let nr_accesses = accesses.wrapping_mul(turn) % 21;
                Region { start, end: address, nr_accesses, age: age.wrapping_mul(turn) % 5000 }
            });
            let start = BEGIN + i * SECOND / 10 + u64::from(target) * 1_000_000;
            let sampling = Sampling::from_intervals(5_000, 100_000);
            let regions = regions.collect();
            let end = start + SECOND / 10;
            list.push(Snapshot::new(TargetId(target), start, end, sampling, regions));
            if (i + seed) % 3 == u64::from(target) {
                let at = (i * 13 + seed) % 40 * PAGE;
                let names = ["/a", "[heap]", "", "/b"];
                let name = names[usize::try_from((i + seed) % 4).unwrap()];
                let removed = if i % 2 == 0 { vec![] } else { vec![at] };
                records.push(change(target, end, &removed, &[(at, (i % 9 + 1) * PAGE, name)]));
            }
        }
    }
    (list, records)
}

fn sums(groups: &[GroupUse]) -> [f64; 5] {
    groups.iter().fold([0.0; 5], |mut sum, GroupUse { used, .. }| {
        let idle = used.idle.unwrap_or(0.0);
        let parts = [used.heat, used.size, used.touched, used.expected, idle];
        for (sum, part) in sum.iter_mut().zip(parts) {
            *sum += part;
        }
        sum
    })
}

fn regions() -> impl Strategy<Value = Vec<(u64, u64, u32, u32)>> {
    prop::collection::vec((0_u64..5, 1_u64..20, any::<u32>(), any::<u32>()), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_is_lost_whatever_the_mappings_groups_and_blocks(
        regions in regions(),
        count in 1_u64..25,
        seed in 0_u64..100,
        rows in 1_u64..60,
    ) {
        let (list, records) = made(&regions, count, seed);
        let whole = write(&list, &records, 1 << 16);
        let blocks = write(&list, &records, rows);
        let everything = Query::default();
        let fine = used(whole.clone(), &everything, GroupBy::Mapping);
        let total = fine.total;
        let wanted =
            [total.heat, total.size, total.touched, total.expected, total.idle.unwrap_or(0.0)];
        for by in [GroupBy::Mapping, GroupBy::File, GroupBy::Kind] {
            for bytes in [&whole, &blocks] {
                let found = used(bytes.clone(), &everything, by);
                let sums = sums(&found.groups);
                prop_assert!(sums.iter().zip(wanted).all(|(a, b)| near(*a, b)), "{:?}", sums);
                let share: f64 = found.groups.iter().map(|g| g.heat_share).sum();
                let all = f64::from(u8::from(total.heat > 0.0));
                prop_assert!(near(share, all));
            }
        }
        let same = used(blocks, &everything, GroupBy::Mapping);
        for (a, b) in fine.groups.iter().zip(&same.groups) {
            prop_assert!(near(a.used.heat, b.used.heat) && a.used.size_most == b.used.size_most);
        }
        // Working set and idle times see the same bytes.
        let (trace, view) = open(whole, &everything);
        let set = view.working_set(&trace, WorkingSetOptions::without_intervals(1));
        let of_moments = |value: &dyn Fn(&damon_report::analysis::wss::WorkingSetSample) -> f64| {
            set.samples.iter().map(|s| value(&s) * 1e8).sum::<f64>() / fine.observed_ns as f64
        };
        prop_assert!(near(of_moments(&|s| s.touched as f64), total.touched));
        prop_assert!(near(of_moments(&|s| s.expected), total.expected));
        let idle = view.idle_times(&trace);
        prop_assert!(near(idle.known, total.size) && near(idle.unknown, 0.0));
        let long: f64 =
            idle.bins.iter().filter(|b| b.least_us >= 1_000_000).map(|b| b.bytes).sum();
        prop_assert!(near(long, total.idle.unwrap()), "{} {:?}", long, total.idle);
    }

    #[test]
    fn parts_of_the_addresses_and_targets_add_up(
        regions in regions(),
        count in 1_u64..12,
        seed in 0_u64..100,
        cut in 0_u64..150,
    ) {
        let (list, records) = made(&regions, count, seed);
        let bytes = write(&list, &records, 30);
        let whole = idle(bytes.clone(), &Query::default());
        let part = |query: Query| {
            let trace = made::open(bytes.clone());
            // Nothing may have been monitored there.
            View::new(&trace, &query).map_or(0.0, |view| {
                let idle = view.idle_times(&trace);
                idle.bins.iter().map(|b| b.bytes * b.most_us as f64).sum::<f64>()
                    * idle.observed_ns as f64
            })
        };
        let weighted: f64 = whole.bins.iter().map(|b| b.bytes * b.most_us as f64).sum();
        let wanted = weighted * whole.observed_ns as f64;
        let close = |found: f64| (found - wanted).abs() <= 0.02 * wanted + 1e-6;
        let at = |text: String| Query { address: vec![text.parse().unwrap()], ..Query::default() };
        let border = (cut + 1) * PAGE + 7;
        let found = part(at(format!("..{border:x}"))) + part(at(format!("{border:x}..")));
        prop_assert!(close(found), "{} {}", found, wanted);
        let of = |target: &str| Query { target: Some(target.into()), ..Query::default() };
        prop_assert!(close(part(of("0")) + part(of("1"))));
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let regions = [(1, 9, 3, 500), (0, 4, 0, 77), (3, 12, 7, 1234)];
    let (list, records) = made(&regions, 60, 5);
    let bytes = write(&list, &records, 12);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (trace, view) = open(bytes.clone(), &Query::default());
            (view.mapping_use(&trace, options(GroupBy::Mapping)), view.idle_times(&trace))
        })
    };
    assert_eq!(with(1), with(5));
}
