//! Traces made on the spot.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "each test file uses a part of this module; a helper that fails is a test that fails"
)]

pub mod by_hand;
pub mod made;
pub mod program;

use damon_format::{
    AccessKind, Attrs, Backend, ClockAnchor, Finished, Granularity, Mapping, MappingsChanged,
    MemorySample, Permissions, Record, RecordingInfo, Region, Sampling, Snapshot, TargetId,
    TargetKind, TargetStarted, TraceWriter, WriterOptions,
};

pub const SECOND: u64 = 1_000_000_000;
pub const MIB: u64 = 1 << 20;
/// Begin of the recordings made here.
pub const BEGIN: u64 = 5_000 * SECOND;
pub const HEAP: u64 = 0x5555_0000_0000;
pub const LIBRARY: u64 = 0x7fff_0000_0000;

pub fn info() -> RecordingInfo {
    RecordingInfo {
        tool: "damon-record".into(),
        tool_version: "0.1.0".into(),
        host: "box".into(),
        kernel: "6.12.0".into(),
        arch: "x86_64".into(),
        page_size: 4096,
        clock: ClockAnchor { monotonic_ns: BEGIN, realtime_ns: 1_790_000_000 * SECOND },
        command_line: vec!["damon-record".into(), "--".into(), "work load".into()],
        backend: Backend {
            name: "writes".into(),
            access: AccessKind::Write,
            granularity: Granularity::Page,
            exact: false,
            reason: "userfaultfd write protection works here without privileges".into(),
        },
        attrs: Attrs {
            sample_us: 5_000,
            aggr_us: 100_000,
            update_us: 1_000_000,
            min_nr_regions: 10,
            max_nr_regions: 1_000,
        },
    }
}

pub fn started(target: u32, pid: u32, comm: &str) -> Record {
    Record::TargetStarted(TargetStarted {
        target: TargetId(target),
        time_ns: BEGIN,
        kind: TargetKind::Process,
        pid,
        start_ticks: 1234,
        parent: None,
        comm: comm.into(),
        exe: format!("/usr/bin/{comm}"),
    })
}

fn mapping(start: u64, end: u64, name: &str) -> Mapping {
    Mapping {
        start,
        end,
        permissions: Permissions { read: true, write: true, ..Permissions::default() },
        offset: 0,
        inode: 0,
        name: name.into(),
    }
}

fn region(start: u64, end: u64, nr_accesses: u32, age: u32) -> Region {
    Region { start, end, nr_accesses, age }
}

/// `count` snapshots of 100 ms: 16 MiB of heap whose first quarter is hot in the first half of the time and
/// whose last quarter in the second; 4 MiB of a library, untouched.
pub fn snapshots(target: u32, count: u64) -> Vec<Snapshot> {
    let step = SECOND / 10;
    (0..count)
        .map(|i| {
            let start = BEGIN + i * step;
            let (first, last) = if i < count / 2 { (20, 0) } else { (0, 10) };
            let age = u32::try_from(i % 50).unwrap();
            let regions = vec![
                region(HEAP, HEAP + 4 * MIB, first, age),
                region(HEAP + 4 * MIB, HEAP + 12 * MIB, 0, age),
                region(HEAP + 12 * MIB, HEAP + 16 * MIB, last, age),
                region(LIBRARY, LIBRARY + 4 * MIB, 0, age),
            ];
            Snapshot::new(
                TargetId(target),
                start,
                start + step,
                Sampling::from_intervals(5_000, 100_000),
                regions,
            )
        })
        .collect()
}

/// A writer whose blocks are small, so that short traces have several.
pub fn writer(info: &RecordingInfo) -> TraceWriter<Vec<u8>> {
    let mut options = WriterOptions::default();
    options.block_rows = 64;
    TraceWriter::create(Vec::new(), info, options).unwrap()
}

/// Ten seconds of one process, complete.
pub fn ten_seconds() -> Vec<u8> {
    let mut writer = writer(&info());
    writer.record(&started(0, 4711, "work")).unwrap();
    writer
        .record(&Record::MappingsChanged(MappingsChanged {
            target: TargetId(0),
            time_ns: BEGIN,
            removed: vec![],
            added: vec![
                mapping(HEAP, HEAP + 16 * MIB, "[heap]"),
                mapping(LIBRARY, LIBRARY + 4 * MIB, "/usr/lib/libwork.so.1"),
            ],
        }))
        .unwrap();
    for (i, snapshot) in snapshots(0, 100).iter().enumerate() {
        writer.snapshot(snapshot).unwrap();
        if i % 10 == 9 {
            writer
                .record(&Record::Memory(MemorySample {
                    target: TargetId(0),
                    time_ns: snapshot.end_ns,
                    rss: 12 * MIB,
                    swap: 0,
                    virtual_size: 40 * MIB,
                    minor_faults: 100,
                    major_faults: 0,
                }))
                .unwrap();
        }
    }
    writer
        .record(&Record::Finished(Finished {
            time_ns: BEGIN + 10 * SECOND,
            reason: "the target exited".into(),
            recorder_cpu_us: 50_000,
        }))
        .unwrap();
    writer.finish().unwrap()
}
