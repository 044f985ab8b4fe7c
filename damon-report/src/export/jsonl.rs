//! Everything as JSON, one value in each line.

use super::{ExportError, Part};
use crate::analysis::walk::Event;
use damon_format::{Record, RecordingInfo, Sampling, SnapshotView, TargetId};
use serde::Serialize;
use std::io::{self, Write};

/// Version of the form: new fields do not raise it, changed meanings do.
const FORMAT: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Line<'a> {
    Recording(Recording<'a>),
    Snapshot(Snapshot),
    Record(&'a Record),
}

#[derive(Serialize)]
struct Recording<'a> {
    format: u32,
    #[serde(flatten)]
    info: &'a RecordingInfo,
}

#[derive(Serialize)]
struct Snapshot {
    target: TargetId,
    start_ns: u64,
    end_ns: u64,
    sampling: Sampling,
    regions: Vec<Region>,
}

#[derive(Serialize)]
struct Region {
    start: u64,
    end: u64,
    nr_accesses: u32,
    /// Absent where it was not observed.
    age: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    probes: Vec<u32>,
}

/// Writes the description of the recording, then snapshots and records in the order of the trace.
///
/// # Errors
/// When the output fails.
pub fn jsonl(part: &Part<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
    let info = part.trace.info();
    line(out, &Line::Recording(Recording { format: FORMAT, info }))?;
    part.trace.walk(part.selection, |event| match event {
        Event::Snapshot(snapshot) => line(out, &Line::Snapshot(owned(snapshot))),
        Event::Record(record) => line(out, &Line::Record(&record)),
    })?;
    Ok(())
}

fn line(out: &mut dyn Write, line: &Line<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    writeln!(out)
}

fn owned(snapshot: &SnapshotView<'_>) -> Snapshot {
    let probes = |index: usize| {
        snapshot.probes.iter().map(|probe| probe.get(index).copied().unwrap_or(0)).collect()
    };
    let regions = snapshot.regions().enumerate().map(|(index, region)| Region {
        start: region.start,
        end: region.end,
        nr_accesses: region.nr_accesses,
        age: snapshot.ages.map(|_| region.age),
        probes: probes(index),
    });
    Snapshot {
        target: snapshot.target,
        start_ns: snapshot.start_ns,
        end_ns: snapshot.end_ns,
        sampling: snapshot.sampling,
        regions: regions.collect(),
    }
}
