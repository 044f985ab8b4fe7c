//! Writes a trace of any size for benchmarks: `make-trace FILE [ROWS [REGIONS [SEED]]]`.
//!
//! The monitor engine runs over a made-up process with a moving hot set; the defaults are ten minutes of
//! 200 regions at 100 ms, 1.2 million region rows. Same arguments, same file.

use damon_format::{
    AccessKind, Attrs, Backend, ClockAnchor, Finished, Granularity, Mapping, MappingsChanged,
    MemorySample, Permissions, Record, RecordingInfo, TargetKind, TargetStarted, TraceWriter,
    WriterOptions,
};
use damon_record::monitor::synthetic::{Config, snapshots};
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: make-trace FILE [ROWS [REGIONS [SEED]]]")?;
    let mut number = |default: u64| args.next().map_or(Ok(default), |text| text.parse());
    let rows: u64 = number(1_200_000)?;
    let regions = u32::try_from(number(200)?)?;

    let seed = number(1)?;

    let config = Config { seed, ..Config::with_regions(regions) };
    let (target, begin) = (config.target, config.start_ns);
    let file = BufWriter::new(File::create(path)?);
    let mut writer =
        TraceWriter::create(file, &info(begin, config.attrs), WriterOptions::default())?;
    writer.record(&Record::TargetStarted(TargetStarted {
        target,
        time_ns: begin,
        kind: TargetKind::Process,
        pid: 4711,
        start_ticks: 100,
        parent: None,
        comm: "made-up".into(),
        exe: "/usr/bin/made-up".into(),
    }))?;
    let names = ["[heap]", "", "[stack]"];
    let added = config.ranges.iter().zip(names).map(|(range, name)| Mapping {
        start: range.start,
        end: range.end,
        permissions: Permissions::default(),
        offset: 0,
        inode: 0,
        name: name.into(),
    });
    writer.record(&Record::MappingsChanged(MappingsChanged {
        target,
        time_ns: begin,
        removed: Vec::new(),
        added: added.collect(),
    }))?;
    let (mut written, mut end, mut memory_due) = (0, begin, begin);
    for snapshot in snapshots(config)? {
        if written >= rows {
            break;
        }
        writer.snapshot(&snapshot)?;
        written += snapshot.regions.len() as u64;
        end = snapshot.end_ns;
        if end >= memory_due {
            memory_due = end + 1_000_000_000;
            writer.record(&Record::Memory(MemorySample {
                target,
                time_ns: end,
                rss: 700 << 20,
                swap: 0,
                virtual_size: 1 << 30,
                minor_faults: 0,
                major_faults: 0,
            }))?;
        }
    }
    writer.record(&Record::Finished(Finished {
        time_ns: end,
        reason: "all rows were made".into(),
        recorder_cpu_us: 0,
    }))?;
    writer.finish()?;
    Ok(())
}

fn info(monotonic_ns: u64, attrs: Attrs) -> RecordingInfo {
    RecordingInfo {
        tool: "make-trace".into(),
        tool_version: env!("CARGO_PKG_VERSION").into(),
        host: "nowhere".into(),
        kernel: "none".into(),
        arch: "none".into(),
        page_size: 4096,
        clock: ClockAnchor { monotonic_ns, realtime_ns: 1_700_000_000_000_000_000 },
        command_line: std::env::args().collect(),
        backend: Backend {
            name: "synthetic".into(),
            access: AccessKind::ReadWrite,
            granularity: Granularity::Region,
            exact: false,
            reason: "made-up data".into(),
        },
        attrs,
    }
}
