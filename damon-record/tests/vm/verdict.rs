//! What a recording says about the workload of `prelude.sh`, against the workload's own account.

use crate::machine::Section;
use damon_format::{IndexedReader, Record, RecordingInfo, Snapshot, SnapshotView, Visitor};
use damon_record::workload::truth::Truth;
use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::path::Path;

/// No page of the hot areas may go untouched for longer in a window that is judged: the sampling
/// interval of the recordings here is not shorter.
const PACE_NS: u64 = 20_000_000;

/// Mean access rates, 0 to 1, of the parts of the workload, over all bytes and all judged windows.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// 8 MiB to 12 MiB of the sea.
    pub(crate) written: f64,
    /// The first half of the lake.
    pub(crate) read: f64,
    /// The desert, and the sea from 16 MiB on.
    pub(crate) cold: f64,
    /// Snapshots that were judged.
    windows: usize,
}

/// A recording that was brought back.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) info: RecordingInfo,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) records: Vec<Record>,
}

impl Recording {
    pub(crate) fn read(path: &Path) -> Self {
        let reader = IndexedReader::open(File::open(path).unwrap()).unwrap();
        let mut all = Collector::default();
        for block in reader.blocks() {
            reader.visit_block(block, &mut all).unwrap();
        }
        Self { info: reader.info().clone(), snapshots: all.snapshots, records: all.records }
    }
}

/// Judges `recording.damon` by `truth.jsonl` of a section, from the `settle`-th aggregation on.
pub(crate) fn judge(section: &Section, settle: usize) -> Verdict {
    judge_where(section, settle, |_| true)
}

/// Likewise by the snapshots that are `wanted` only.
pub(crate) fn judge_where(
    section: &Section,
    settle: usize,
    wanted: impl Fn(&Snapshot) -> bool,
) -> Verdict {
    let lines = BufReader::new(File::open(section.path("truth.jsonl")).unwrap());
    let truth = Truth::read(lines).unwrap();
    let recording = Recording::read(&section.path("recording.damon"));
    let steady = |snapshot: &&Snapshot| {
        let mut phases = truth
            .phases
            .iter()
            .filter(|p| p.end_ns > snapshot.start_ns && p.start_ns < snapshot.end_ns);
        phases.all(|p| p.round > 0 && p.steady(PACE_NS))
    };
    let all: Vec<&Snapshot> = recording.snapshots.iter().filter(|s| wanted(s)).collect();
    let judged: Vec<&Snapshot> = all.iter().copied().skip(settle).filter(steady).collect();
    let area = |name: &str, part: Range<u64>| {
        let start = truth.area(name).unwrap().start;
        start + (part.start << 20)..start + (part.end << 20)
    };
    let verdict = Verdict {
        written: rate(&judged, &[area("sea", 8..12)]),
        read: rate(&judged, &[area("lake", 0..2)]),
        cold: rate(&judged, &[area("sea", 16..32), area("desert", 0..32)]),
        windows: judged.len(),
    };
    let all = all.len();
    println!("{verdict:?} of {all} snapshots");
    assert!(verdict.windows >= 3, "of {all} snapshots only {} can be judged", verdict.windows);
    verdict
}

fn rate(snapshots: &[&Snapshot], parts: &[Range<u64>]) -> f64 {
    let (mut touched, mut all) = (0.0, 0.0);
    for snapshot in snapshots {
        let max = f64::from(snapshot.sampling.max_nr_accesses);
        for part in parts {
            all += bytes(part.end - part.start);
            touched += snapshot
                .regions
                .iter()
                .map(|region| {
                    let common =
                        region.end.min(part.end).saturating_sub(region.start.max(part.start));
                    bytes(common) * f64::from(region.nr_accesses) / max
                })
                .sum::<f64>();
        }
    }
    touched / all
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn bytes(count: u64) -> f64 {
    count as f64
}

#[derive(Default)]
struct Collector {
    snapshots: Vec<Snapshot>,
    records: Vec<Record>,
}

impl Visitor for Collector {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.snapshots.push(snapshot.to_snapshot());
    }

    fn record(&mut self, record: Record) {
        self.records.push(record);
    }
}
