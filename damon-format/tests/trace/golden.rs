//! The trace of format version 1 that every later version must read for ever.
//!
//! `testdata/format/v1.damon` was written once. It is never written again, not even by a later version of
//! the same format: what is tested is that old files stay readable.

use crate::common::{Content, info, read_indexed, read_stream};
use damon_format::{
    AccessKind, Attrs, Backend, ClockAnchor, Completeness, EffectiveQuota, Finished, Granularity,
    IndexedReader, IntervalsChanged, KdamondCpu, Lost, Mapping, MappingsChanged, Mark,
    MemorySample, Note, Part, Permissions, PressureSample, ProbeColumn, ProbeColumns,
    ProportionalMemory, Record, RecordingInfo, Region, Sampling, SchemeApplied, SchemeInstalled,
    SchemeStats, Snapshot, SystemMemory, TargetExecuted, TargetExited, TargetId, TargetKind,
    TargetStarted, TraceWriter, WriterOptions, recover, verify,
};
use std::path::{Path, PathBuf};

const BLESS: &str = "DAMON_FORMAT_BLESS";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/format").join(name)
}

/// A golden file; where it is missing and `BLESS` is set, `make` makes it. An existing one is never replaced.
fn golden_or(name: &str, make: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let path = golden(name);
    if !path.exists() && std::env::var_os(BLESS).is_some() {
        std::fs::write(&path, make()).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; to make a file that never existed: {BLESS}=1 cargo test",
            path.display()
        )
    })
}

fn description() -> RecordingInfo {
    RecordingInfo {
        tool: "damon-record".into(),
        tool_version: "0.1.0".into(),
        host: "höst".into(),
        kernel: "6.12.0-golden".into(),
        arch: "x86_64".into(),
        page_size: 4096,
        clock: ClockAnchor { monotonic_ns: 70_000_000_123, realtime_ns: 1_760_000_000_987_654_321 },
        command_line: ["damon-record", "-o", "v1.damon", "--", "true"].map(String::from).to_vec(),
        backend: Backend {
            name: "damon".into(),
            access: AccessKind::ReadWrite,
            granularity: Granularity::Region,
            exact: true,
            reason: "the golden file uses the less usual values".into(),
        },
        attrs: Attrs {
            sample_us: 250,
            aggr_us: 70_000,
            update_us: 1_000_000,
            min_nr_regions: 10,
            max_nr_regions: 66_000,
        },
    }
}

/// Every kind of record with every field set, optional ones both ways.
fn records() -> Vec<Record> {
    let time_ns = 70_000_000_500;
    let (first, second) = (TargetId(0), TargetId(300));
    let mapping = |start: u64, permissions: &str, name: &str| Mapping {
        start,
        end: start + 0x2000,
        permissions: Permissions {
            read: permissions.contains('r'),
            write: permissions.contains('w'),
            execute: permissions.contains('x'),
            shared: permissions.contains('s'),
        },
        offset: 0x1000,
        inode: 1 << 33,
        name: name.into(),
    };
    let started = TargetStarted {
        target: first,
        time_ns,
        kind: TargetKind::Process,
        pid: 4711,
        start_ticks: 987_654,
        parent: None,
        comm: "sh".into(),
        exe: "/bin/sh".into(),
    };
    let attrs = Attrs {
        sample_us: 5_000,
        aggr_us: 100_000,
        update_us: 2_000_000,
        min_nr_regions: 3,
        max_nr_regions: 1000,
    };
    vec![
        Record::TargetStarted(started.clone()),
        Record::TargetStarted(TargetStarted {
            target: second,
            kind: TargetKind::Physical,
            pid: 0,
            parent: Some(first),
            exe: String::new(),
            ..started
        }),
        Record::TargetExecuted(TargetExecuted {
            target: first,
            time_ns: time_ns + 1,
            comm: "true".into(),
            exe: "/bin/true".into(),
        }),
        Record::TargetExited(TargetExited { target: first, time_ns, wait_status: Some(-1) }),
        Record::TargetExited(TargetExited { target: second, time_ns, wait_status: None }),
        Record::IntervalsChanged(IntervalsChanged { time_ns, attrs, reason: "why not".into() }),
        Record::MappingsChanged(MappingsChanged {
            target: first,
            time_ns,
            removed: vec![0x7000, 0x7fff_ffff_f000],
            added: vec![
                mapping(0x40_0000, "rx", "/bin/true"),
                mapping(0x7fff_0000_0000, "rws", "[stack]"),
                mapping(0xffff_ffff_ff60_0000, "", ""),
            ],
        }),
        Record::Memory(MemorySample {
            target: second,
            time_ns,
            rss: 1 << 20,
            swap: 1 << 40,
            virtual_size: u64::MAX,
            minor_faults: 250,
            major_faults: 251,
        }),
        Record::Pressure(PressureSample { time_ns, some_us: 65_535, full_us: 65_536 }),
        Record::Lost(Lost { target: Some(second), time_ns, count: 3, what: "three events".into() }),
        Record::Lost(Lost { target: None, time_ns, count: 0, what: "nothing".into() }),
        Record::SchemeStats(SchemeStats {
            time_ns,
            scheme: 2,
            nr_tried: 10,
            sz_tried: 40_960,
            nr_applied: 9,
            sz_applied: 36_864,
            qt_exceeds: 1,
            sz_ops_filter_passed: None,
            nr_snapshots: None,
        }),
        Record::Mark(Mark { time_ns, text: "begin of phase 2".into() }),
        Record::Note(Note { time_ns, text: "ünïcode".into() }),
        Record::Finished(Finished { time_ns, reason: "all done".into(), recorder_cpu_us: 1234 }),
    ]
}

/// Snapshots of two targets: kept, cut, cut twice, merged, moved and odd regions; with and without ages,
/// probes, whole microseconds and gaps in time.
fn snapshots() -> Vec<Snapshot> {
    let page = 4096;
    let region = |start, end, nr_accesses, age| Region { start, end, nr_accesses, age };
    let paged = |start: u64, end: u64, nr, age| region(start * page, end * page, nr, age);
    let fine = Sampling::from_intervals(250, 70_000);
    let coarse = Sampling::from_intervals(5_000, 100_000);
    let from = 70_000_001_000;
    let snapshot = |target: u32, number: u64, sampling: Sampling, regions: Vec<Region>| {
        let start_ns = from + number * 70_000_000;
        Snapshot::new(TargetId(target), start_ns, start_ns + 70_000_000, sampling, regions)
    };
    let wide = vec![paged(16, 116, 280, 7), paged(116, 1116, 0, 9), paged(9000, 9100, 30, 0)];
    let older = |regions: &[Region]| -> Vec<Region> {
        regions.iter().map(|r| Region { age: r.age + 1, ..*r }).collect()
    };
    let mut list = vec![
        snapshot(0, 0, fine, wide.clone()),
        snapshot(0, 1, fine, older(&wide)),
        // Cut at three tenths; twice at tenths; one moved; one counter differs.
        snapshot(
            0,
            2,
            fine,
            vec![
                paged(16, 46, 280, 9),
                paged(46, 116, 279, 9),
                paged(116, 316, 0, 11),
                paged(316, 586, 140, 0),
                paged(586, 1116, 0, 11),
                paged(9001, 9100, 31, 2),
            ],
        ),
        // Merged again; an odd region that no granule fits.
        snapshot(
            0,
            3,
            fine,
            vec![
                paged(16, 1116, 60, 4),
                region(9001 * page + 1, 9001 * page + 12, 4, u32::MAX),
                region(u64::MAX - 4096, u64::MAX, u32::MAX, 0),
            ],
        ),
        snapshot(0, 4, fine, Vec::new()),
    ];
    for number in 0..4_u64 {
        let start_ns = from + 300_000_123 + number * 100_000_457;
        let count = 1 + u32::try_from(number).unwrap();
        list.push(Snapshot {
            target: TargetId(300),
            start_ns,
            end_ns: start_ns + 99_999_999,
            sampling: if number < 2 { coarse } else { fine },
            has_ages: number == 3,
            regions: vec![region(0, 1 << 40, count, 0), region(1 << 40, 3 << 40, 0, 0)],
            probes: (0..number).map(|probe| vec![u32::try_from(probe).unwrap(), count]).collect(),
        });
    }
    list
}

fn written() -> Vec<u8> {
    let mut options = WriterOptions::default();
    options.block_rows = 12;
    let mut writer = TraceWriter::create(Vec::new(), &description(), options).unwrap();
    for (number, record) in records().iter().enumerate() {
        writer.record(record).unwrap();
        if number == 9 {
            writer.flush().unwrap();
        }
    }
    for (number, snapshot) in snapshots().iter().enumerate() {
        writer.snapshot(snapshot).unwrap();
        if number % 2 == 1 {
            writer.flush().unwrap();
        }
    }
    writer.finish().unwrap()
}

fn json(info: &RecordingInfo, content: &Content) -> serde_json::Value {
    serde_json::json!({
        "info": info,
        "snapshots": content.snapshots,
        "records": content.records,
    })
}

#[test]
fn version_1_is_read_by_every_reader() {
    let trace = golden_or("v1.damon", written);
    assert!(trace.len() < 20_000);
    let expected = golden_or("v1.json", || {
        let content = Content { snapshots: snapshots(), records: records() }.sorted();
        serde_json::to_vec_pretty(&json(&description(), &content)).unwrap()
    });
    let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();

    let (stream, damage, finished) = read_stream(&trace);
    assert!(damage.is_empty() && finished);
    let reader = IndexedReader::open(trace.clone()).unwrap();
    assert_eq!(reader.completeness(), Completeness::Complete);
    assert!(reader.blocks().len() >= 2, "several blocks");
    assert_eq!((reader.header().major, reader.header().minor), (1, 0));
    assert_eq!(reader.header().identity, 1_760_000_000_987_654_321);
    assert_eq!(json(reader.info(), &stream.clone().sorted()), expected);
    assert_eq!(read_indexed(trace.clone()), stream);
    let report = verify(&trace).unwrap();
    assert_eq!((report.completeness, report.damage), (Completeness::Complete, vec![]));
    let (_, copy) = recover(trace.as_slice(), Vec::new()).unwrap();
    assert_eq!(copy, trace, "a whole trace is recovered to itself");
}

/// What came with format version 1.1, in a file of its own that was written once, too.
#[test]
fn version_1_1_is_read_by_every_reader() {
    let written = || {
        let mut writer =
            TraceWriter::create(Vec::new(), &description(), WriterOptions::default()).unwrap();
        for record in records_of_1_1() {
            writer.record(&record).unwrap();
        }
        writer.finish().unwrap()
    };
    let trace = golden_or("v1.1.damon", written);
    let expected = golden_or("v1.1.json", || {
        let content = Content { snapshots: Vec::new(), records: records_of_1_1() }.sorted();
        serde_json::to_vec_pretty(&json(&description(), &content)).unwrap()
    });
    let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
    let (stream, damage, finished) = read_stream(&trace);
    assert!(damage.is_empty() && finished);
    let reader = IndexedReader::open(trace.clone()).unwrap();
    assert_eq!((reader.header().major, reader.header().minor), (1, 1));
    assert_eq!(json(reader.info(), &stream.clone().sorted()), expected);
    assert_eq!(read_indexed(trace.clone()), stream);
    let (_, copy) = recover(trace.as_slice(), Vec::new()).unwrap();
    assert_eq!(copy, trace, "a whole trace is recovered to itself");
}

/// Every kind of record since 1.1 with every field set, optional ones both ways.
fn records_of_1_1() -> Vec<Record> {
    let time_ns = 70_000_000_500;
    let region =
        Region { start: 0x7000_0000_1000, end: 0x7000_0020_0000, nr_accesses: 280, age: 70_000 };
    let stats = SchemeStats {
        time_ns,
        scheme: 2,
        nr_tried: 10,
        sz_tried: 40_960,
        nr_applied: 9,
        sz_applied: 36_864,
        qt_exceeds: 1,
        sz_ops_filter_passed: Some(1 << 40),
        nr_snapshots: Some(77),
    };
    vec![
        Record::SchemeStats(stats),
        Record::SchemeStats(SchemeStats {
            sz_ops_filter_passed: None,
            nr_snapshots: None,
            ..stats
        }),
        Record::SystemMemory(SystemMemory {
            time_ns,
            total: 24 << 30,
            free: 3 << 30,
            available: 20 << 30,
            swap_total: 1 << 30,
            swap_free: 251,
        }),
        Record::KdamondCpu(KdamondCpu { time_ns, thread: 70_000, cpu_us: 1 << 33 }),
        Record::SchemeInstalled(SchemeInstalled {
            time_ns,
            scheme: 2,
            json: r#"{"action": "pageout"}"#.into(),
            by: "kernel".into(),
        }),
        Record::SchemeApplied(SchemeApplied {
            time_ns,
            scheme: 2,
            target: TargetId(300),
            regions: vec![region, Region { age: 0, ..region }],
        }),
        Record::Part(Part {
            time_ns,
            recording: 1_760_000_000_987_654_321,
            number: 251,
            first_snapshot: 1 << 32,
            repeated: 4,
        }),
        Record::EffectiveQuota(EffectiveQuota { time_ns, scheme: 2, bytes: 128 << 20 }),
        Record::ProbeColumns(ProbeColumns {
            time_ns,
            target: TargetId(300),
            columns: vec![
                ProbeColumn { name: ProbeColumn::HITS.into(), unit: 1 },
                ProbeColumn { name: ProbeColumn::PASSED.into(), unit: 4096 },
            ],
        }),
        Record::ProportionalMemory(ProportionalMemory {
            time_ns,
            target: TargetId(300),
            pss: 70_000,
            swap_pss: 1 << 40,
        }),
    ]
}

/// What is written today still says what the golden file says, whatever bytes the compressor makes of it.
#[test]
fn the_golden_content_survives_writing_it_again() {
    let (now, _, _) = read_stream(&written());
    let (then, _, _) = read_stream(&golden_or("v1.damon", written));
    assert_eq!(now, then);
    assert_ne!(description(), info());
}
