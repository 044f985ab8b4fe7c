//! Recordings of what a test says: written, and opened again.

use super::SECOND;
use damon_format::{AccessKind, Record, RecordingInfo, Snapshot, TraceWriter, WriterOptions};
use damon_report::analysis::load::Trace;
use damon_report::analysis::source::Source;

/// Reads and writes of single pages, all of them looked at, on the newest kernel.
pub fn exact() -> RecordingInfo {
    let mut info = super::info();
    info.backend.access = AccessKind::ReadWrite;
    info.backend.exact = true;
    info.kernel = "7.3.0".into();
    info
}

/// A trace of these snapshots after these records, with so many region rows in a block.
pub fn write(
    info: &RecordingInfo,
    rows: u64,
    records: &[Record],
    snapshots: &[Snapshot],
) -> Vec<u8> {
    let mut options = WriterOptions::default();
    options.block_rows = rows;
    let mut writer = TraceWriter::create(Vec::new(), info, options).unwrap();
    for record in records {
        writer.record(record).unwrap();
    }
    for snapshot in snapshots {
        writer.snapshot(snapshot).unwrap();
    }
    writer.finish().unwrap()
}

pub fn open(bytes: Vec<u8>) -> Trace {
    Trace::from_source("made".into(), Source::memory(bytes)).unwrap()
}

/// Two targets, of which the second one ends after half of the time, and whose aggregations end 30 ms later than the first one's.
pub fn staggered() -> Vec<Snapshot> {
    let late = SECOND / 100 * 3;
    let second = super::snapshots(1, 10).into_iter().map(|mut snapshot| {
        snapshot.start_ns += late;
        snapshot.end_ns += late;
        snapshot
    });
    let mut list: Vec<Snapshot> = super::snapshots(0, 20).into_iter().chain(second).collect();
    list.sort_by_key(|snapshot| snapshot.end_ns);
    list
}
