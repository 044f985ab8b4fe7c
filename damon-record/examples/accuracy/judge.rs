//! A recording of a generator against the generator's own account.

use std::fs::File;
use std::path::Path;

use damon_format::{
    AccessKind, Finished, Granularity, IndexedReader, KdamondCpu, Record, RecordingInfo, Snapshot,
    SnapshotView, Visitor,
};
use damon_record::workload::truth::{Touch, Truth};
use damon_report::analysis::wss::WorkingSetOptions;

use super::coverage::{self, Coverage};
use super::metrics::{Score, detection_delays};
use super::num::{float, ratio};
use super::physical::Frames;
use super::truth::{Account, Window};

/// A monitor may take so long to find out; windows before are not judged.
pub const SETTLE_NS: u64 = 2_000_000_000;
/// A change of the pattern is found when the hot memory agrees with the new one as well as this (F1).
pub const FOUND_F1: f64 = 0.8;

/// A recording, as far as it is judged.
#[derive(Debug)]
pub struct Recording {
    /// How it was made.
    pub info: RecordingInfo,
    /// In order of time.
    pub snapshots: Vec<Snapshot>,
    /// The recorder's CPU time, microseconds, if it came to an end.
    pub finished: Option<Finished>,
    /// CPU time of the kernel's monitor beside it, microseconds.
    pub kdamond_cpu_us: u64,
    /// Regions are pieces of those that were counted in, so that they state no intervals.
    pub in_pieces: bool,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Over all judged windows.
    pub score: Score,
    /// Windows in which the generator did not keep its pace.
    pub spoilt: u32,
    /// Stated intervals of the working set; none where the backend looks at everything.
    pub working_set: Option<Coverage>,
    /// Stated intervals of the rates of regions.
    pub regions: Option<Coverage>,
    /// After each change, nanoseconds.
    pub delays: Vec<Option<u64>>,
    /// Regions per judged window, summed.
    pub nr_regions: u64,
    /// As [`cpu`].
    pub cpu: Option<f64>,
}

impl Recording {
    /// Reads a trace.
    pub fn read(path: &Path) -> Result<Self, String> {
        let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let file = File::open(path).map_err(|error| failed(&error))?;
        let reader = IndexedReader::open(file).map_err(|error| failed(&error))?;
        let mut all = Collector::default();
        for block in reader.blocks() {
            reader.visit_block(block, &mut all).map_err(|damage| failed(&damage))?;
        }
        let kdamond_cpu_us = all.kdamond.map_or(0, |(first, last)| last.saturating_sub(first));
        Ok(Self {
            info: reader.info().clone(),
            snapshots: all.snapshots,
            finished: all.finished,
            kdamond_cpu_us,
            in_pieces: false,
        })
    }

    /// A recording of physical memory, by the addresses of a process whose pages are in these frames.
    pub fn seen_by(mut self, frames: &Frames) -> Self {
        for snapshot in &mut self.snapshots {
            *snapshot = frames.translate(snapshot);
        }
        self.in_pieces = true;
        self
    }

    /// Which touches its backend can see.
    pub fn touch(&self) -> Touch {
        match self.info.backend.access {
            AccessKind::Write => Touch::Write,
            AccessKind::ReadWrite => Touch::Any,
        }
    }

    /// Whether rates rest on samples, so that the report states intervals.
    pub fn is_sampled(&self) -> bool {
        !self.in_pieces
            && !self.counts_looks()
            && self.info.backend.granularity != Granularity::Mapping
    }

    /// Whether every page or mapping was looked at.
    pub fn counts_looks(&self) -> bool {
        self.info.backend.exact
    }
}

#[derive(Default)]
struct Collector {
    snapshots: Vec<Snapshot>,
    finished: Option<Finished>,
    /// CPU time of the kdamond, microseconds: at first and at last.
    kdamond: Option<(u64, u64)>,
}

impl Visitor for Collector {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.snapshots.push(snapshot.to_snapshot());
    }

    fn record(&mut self, record: Record) {
        match record {
            Record::Finished(finished) => self.finished = Some(finished),
            Record::KdamondCpu(KdamondCpu { cpu_us, .. }) => {
                let first = self.kdamond.map_or(cpu_us, |(first, _)| first);
                self.kdamond = Some((first, cpu_us));
            }
            _ => {}
        }
    }
}

/// Judges the snapshots of the first target.
pub fn judge(recording: &Recording, truth: &Truth) -> Verdict {
    let account = Account::new(truth, recording.touch());
    let begin = account.begin_ns().unwrap_or(u64::MAX);
    let mut verdict = Verdict {
        working_set: recording.is_sampled().then(Coverage::default),
        regions: recording.is_sampled().then(Coverage::default),
        cpu: cpu(recording),
        ..Verdict::default()
    };
    let before = std::iter::once(None).chain(recording.snapshots.iter().map(Some));
    for (snapshot, previous) in recording.snapshots.iter().zip(before) {
        let window = Window::of(snapshot, recording.counts_looks());
        let Some(phases) = account.phases(&window) else {
            continue;
        };
        if window.start_ns < begin.saturating_add(SETTLE_NS) {
            continue;
        }
        if !Account::kept_pace(phases, window.sample_ns()) {
            verdict.spoilt += 1;
            continue;
        }
        let Some(reality) = account.reality(&window) else {
            continue;
        };
        verdict.score.add(&Score::of(&reality, snapshot));
        verdict.nr_regions += snapshot.regions.len() as u64;
        if let Some(coverage) = &mut verdict.working_set {
            let options = WorkingSetOptions::for_backend(&recording.info.backend, 1);
            coverage::working_set(coverage, &reality, previous, snapshot, options);
        }
        if let Some(coverage) = &mut verdict.regions {
            coverage::regions(coverage, &reality, snapshot);
        }
    }
    verdict.delays = delays(recording, &account, truth);
    verdict
}

fn delays(recording: &Recording, account: &Account<'_>, truth: &Truth) -> Vec<Option<u64>> {
    let changes: Vec<u64> = account.changes().iter().map(|phase| phase.start_ns).collect();
    if changes.is_empty() {
        return Vec::new();
    }
    let agreement = |snapshot: &Snapshot| {
        let window = Window::of(snapshot, recording.counts_looks());
        let phase = truth.phases.iter().rfind(|phase| phase.start_ns < snapshot.end_ns)?;
        let reality = account.reality_in(phase, window.sample_ns())?;
        Some((snapshot.end_ns, Score::of(&reality, snapshot).f1().unwrap_or(0.0)))
    };
    let windows: Vec<(u64, f64)> = recording.snapshots.iter().filter_map(agreement).collect();
    let end_ns = truth.phases.last().map_or(0, |phase| phase.end_ns);
    detection_delays(&changes, end_ns, &windows, FOUND_F1)
}

/// Share of one core that the recorder used, and the kernel's monitor beside it.
pub fn cpu(recording: &Recording) -> Option<f64> {
    let finished = recording.finished.as_ref()?;
    let begun = recording.info.clock.monotonic_ns;
    let lasted = float(finished.time_ns.saturating_sub(begun)) / 1e3;
    ratio(float(finished.recorder_cpu_us + recording.kdamond_cpu_us), lasted)
}
