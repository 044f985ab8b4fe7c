//! What comes of simulated schemes, beside the bytes away, on recordings whose truth is known.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use common::{BEGIN, MIB, SECOND};
use damon_format::damos::Schemes;
use damon_format::{
    AccessKind, Mapping, MappingsChanged, Permissions, Record, RecordingInfo, Region, Sampling,
    Snapshot, TargetExited, TargetId, TraceWriter, WriterOptions,
};
use damon_report::analysis::groups::{GroupBy, MemoryKind};
use damon_report::analysis::load::Trace;
use damon_report::analysis::select::Query;
use damon_report::analysis::simulate::{Options, Outlook, Plan, Simulation};
use damon_report::analysis::source::Source;
use damon_report::analysis::view::View;

const STEP: u64 = SECOND / 10;

fn info() -> RecordingInfo {
    let mut info = common::info();
    info.backend.access = AccessKind::ReadWrite;
    info.backend.exact = true;
    info.kernel = "7.3.0".into();
    info
}

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
    let mut options = WriterOptions::default();
    options.block_rows = 64;
    let mut writer = TraceWriter::create(Vec::new(), info, options).unwrap();
    for record in records {
        writer.record(record).unwrap();
    }
    for snapshot in snapshots {
        writer.snapshot(snapshot).unwrap();
    }
    let bytes = writer.finish().unwrap();
    Trace::from_source("made".into(), Source::memory(bytes)).unwrap()
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
    // A heap of 8 MiB, of which 2 are used again in aggregation 10, and a library behind a hole; another
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
