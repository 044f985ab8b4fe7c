//! Traces for unit tests.

use super::load::Trace;
use super::source::Source;
use damon_format::{
    AccessKind, Attrs, Backend, ClockAnchor, Granularity, RecordingInfo, Snapshot, TraceWriter,
    WriterOptions,
};

/// A trace of snapshots, in blocks of about so many regions; frames of small blocks have a snapshot each.
pub(super) fn written(list: &[Snapshot], block_rows: u64) -> Trace {
    let begin = list.first().map_or(0, |first| first.start_ns);
    let info = RecordingInfo {
        tool: String::new(),
        tool_version: String::new(),
        host: String::new(),
        kernel: String::new(),
        arch: String::new(),
        page_size: 4096,
        clock: ClockAnchor { monotonic_ns: begin, realtime_ns: begin },
        command_line: Vec::new(),
        backend: Backend {
            name: String::new(),
            access: AccessKind::ReadWrite,
            granularity: Granularity::Page,
            exact: false,
            reason: String::new(),
        },
        attrs: Attrs {
            sample_us: 5_000,
            aggr_us: 100_000,
            update_us: 1_000_000,
            min_nr_regions: 10,
            max_nr_regions: 1_000,
        },
    };
    let mut options = WriterOptions::default();
    // A frame has the snapshots of one target after those of another.
    options.flush_interval_ns = u64::MAX;
    options.block_rows = block_rows;
    let mut writer = TraceWriter::create(Vec::new(), &info, options).unwrap();
    for snapshot in list {
        writer.snapshot(snapshot).unwrap();
        if block_rows < 50 {
            writer.flush().unwrap();
        }
    }
    let bytes = writer.finish().unwrap();
    Trace::from_source("test".into(), Source::memory(bytes)).unwrap()
}
