//! Recordings of made-up runs, by the monitor's own engine: it samples them as it samples a process.

use super::random::Random;
use super::workload::{Piece, Run};
use damon_format::{
    AccessKind, Attrs, Backend, ClockAnchor, Finished, Granularity, Mapping, MappingsChanged,
    MemorySample, Permissions, Record, RecordingInfo, TargetId, TargetKind, TargetStarted,
    TraceWriter, WriterOptions,
};
use damon_record::monitor::synthetic::run_aggregation;
use damon_record::monitor::{AddressRange, Engine};
use damon_report::analysis::compare::Recording;
use damon_report::analysis::load::Trace;
use damon_report::analysis::select::Query;
use damon_report::analysis::source::Source;
use damon_report::analysis::view::View;
use std::error::Error;

const TARGET: TargetId = TargetId(0);
const BEGIN: u64 = 1_000_000_000;

/// How runs are recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Aggregations of 100 ms.
    pub(crate) aggregations: u32,
    /// Most regions; the fewest are 10, as the recorder has it. With more than half of the most as the fewest, regions would never
    /// be split.
    pub(crate) regions: u32,
}

/// Records a run. `seed` is that of the monitor, and of where memory lies.
pub(crate) fn record(
    run: &Run,
    program: &str,
    size: Size,
    seed: u64,
) -> Result<Recording, Box<dyn Error + Send + Sync>> {
    let bytes = bytes(run, program, size, seed)?;
    let trace = Trace::from_source(format!("{program}-{seed:x}"), Source::memory(bytes))?;
    let view = View::new(&trace, &Query::default())?;
    Ok(Recording { trace, view })
}

/// The trace of a run.
pub(crate) fn bytes(
    run: &Run,
    program: &str,
    size: Size,
    seed: u64,
) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let attrs = Attrs {
        sample_us: 5_000,
        aggr_us: 100_000,
        update_us: 1_000_000,
        min_nr_regions: 10,
        max_nr_regions: size.regions.max(20),
    };
    let mut random = Random::new(!seed);
    let start = 0x7f00_0000_0000 + random.below(1 << 20) * 4096;
    let end = start + run.size;
    let mut writer = TraceWriter::create(Vec::new(), &info(attrs), WriterOptions::default())?;
    begin(&mut writer, program, start, end)?;
    let mut engine = Engine::new(attrs, 4096, seed)?;
    engine.add_target(TARGET)?;
    engine.set_ranges(TARGET, &[AddressRange { start, end }])?;
    // What was ever accessed is resident, and some more that is never monitored.
    let mut touched: u64 = 0;
    let mut time_ns = BEGIN;
    let mut frames = run.frames.iter().peekable();
    let mut pieces: &[Piece] = &[];
    for aggregation in 0..size.aggregations {
        let share = f64::from(aggregation) / f64::from(size.aggregations);
        while let Some((_, next)) = frames.next_if(|(from, _)| *from <= share) {
            pieces = next;
        }
        let now: u64 = pieces.iter().map(|piece| piece.end - piece.start).sum();
        touched = touched.max(now);
        let start_ns = time_ns;
        time_ns += 100_000_000 + (20 + random.below(60)) * 1_000;
        let aggregated = run_aggregation(&mut engine, &mut |_, address| {
            let at = address.saturating_sub(start);
            let index = pieces.partition_point(|piece| piece.end <= at);
            let piece = pieces.get(index).filter(|piece| piece.start <= at);
            piece.is_some_and(|piece| random.share() < piece.rate)
        });
        if let Some(target) = aggregated.targets().next() {
            writer.snapshot(&target.snapshot(start_ns, time_ns))?;
        }
        if aggregation % 10 == 0 {
            writer.record(&memory(time_ns, touched + 8 * super::workload::MIB, run.size))?;
        }
    }
    let reason = "the run is over".into();
    writer.record(&Record::Finished(Finished { time_ns, reason, recorder_cpu_us: 0 }))?;
    Ok(writer.finish()?)
}

fn begin(
    writer: &mut TraceWriter<Vec<u8>>,
    program: &str,
    start: u64,
    end: u64,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    writer.record(&Record::TargetStarted(TargetStarted {
        target: TARGET,
        time_ns: BEGIN,
        kind: TargetKind::Process,
        pid: 4711,
        start_ticks: 100,
        parent: None,
        comm: program.into(),
        exe: format!("/usr/bin/{program}"),
    }))?;
    let permissions = Permissions { read: true, write: true, ..Permissions::default() };
    let arena = Mapping { start, end, permissions, offset: 0, inode: 0, name: String::new() };
    writer.record(&Record::MappingsChanged(MappingsChanged {
        target: TARGET,
        time_ns: BEGIN,
        removed: Vec::new(),
        added: vec![arena],
    }))?;
    Ok(())
}

fn memory(time_ns: u64, rss: u64, virtual_size: u64) -> Record {
    let (swap, minor_faults, major_faults) = (0, 0, 0);
    let target = TARGET;
    Record::Memory(MemorySample {
        target,
        time_ns,
        rss,
        swap,
        virtual_size,
        minor_faults,
        major_faults,
    })
}

fn info(attrs: Attrs) -> RecordingInfo {
    RecordingInfo {
        tool: "compare-farm".into(),
        tool_version: env!("CARGO_PKG_VERSION").into(),
        host: "nowhere".into(),
        kernel: "none".into(),
        arch: "none".into(),
        page_size: 4096,
        clock: ClockAnchor { monotonic_ns: BEGIN, realtime_ns: 1_700_000_000_000_000_000 },
        command_line: Vec::new(),
        backend: Backend {
            name: "synthetic".into(),
            access: AccessKind::ReadWrite,
            granularity: Granularity::Page,
            exact: false,
            reason: "made-up data".into(),
        },
        attrs,
    }
}
