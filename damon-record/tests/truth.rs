//! The recorder against the truth: workloads whose accesses are known, recorded by the backend
//! `writes`, and what the recordings say.
#![allow(clippy::print_stdout, reason = "the verdicts are worth reading: --nocapture")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use damon_format::{IndexedReader, Snapshot, SnapshotView, Visitor};
use damon_record::workload::ranges::Ranges;
use damon_record::workload::truth::{PhaseRun, Touch, Truth};

const RECORDER: &str = env!("CARGO_BIN_EXE_damon-record");
const WORKLOAD: &str = env!("CARGO_BIN_EXE_damon-workload");

/// A workload in many short phases: the truth tells of each whether it kept its pace, so that a stall of
/// a busy machine spoils one window and not all of them.
struct Workload {
    areas: &'static str,
    /// Accesses, and for how many phases of 100 ms they last.
    stages: &'static [(&'static str, u32)],
}

/// Written islands, and one that is only read, in a cold sea.
const ISLANDS: Workload = Workload {
    areas: "area sea 96M\n",
    stages: &[(
        "write sea 6M..10M random every 2ms\nread sea 30M..33M every 2ms\nwrite sea 62M..66M every 2ms\n",
        45,
    )],
};

/// Areas that are hot one after the other.
const STAIRS: Workload = Workload {
    areas: "area one 8M\narea two 8M\narea three 8M\n",
    stages: &[
        ("write one every 2ms\n", 30),
        ("write two every 2ms\n", 30),
        ("write three every 2ms\n", 30),
    ],
};

impl Workload {
    fn text(&self) -> String {
        let mut text = self.areas.to_owned();
        for (index, (accesses, phases)) in self.stages.iter().enumerate() {
            for _ in 0..*phases {
                writeln!(text, "phase stage{index} 100ms\n{accesses}").unwrap();
            }
        }
        text
    }
}

/// One recording at a time: the workloads need their pace.
static MACHINE: Mutex<()> = Mutex::new(());

/// What recordings found, compared with the truth over all judged windows.
#[derive(Debug, Default)]
struct Verdict {
    /// Bytes times windows: hot, found to be hot, both, and the expected working set.
    hot: f64,
    found: f64,
    both: f64,
    expected: f64,
    /// Snapshots that could be judged, because the workload kept its pace.
    judged: usize,
    /// Snapshots that could not.
    spoilt: usize,
}

impl Verdict {
    fn precision(&self) -> f64 {
        self.both / self.found
    }

    fn recall(&self) -> f64 {
        self.both / self.hot
    }

    fn working_set(&self) -> f64 {
        self.expected / self.hot
    }

    fn good(&self) -> bool {
        self.precision() >= 0.95
            && self.recall() >= 0.95
            && (0.95..=1.05).contains(&self.working_set())
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (precision, recall, set) = (self.precision(), self.recall(), self.working_set());
        write!(
            out,
            "precision {precision:.4}, recall {recall:.4}, working set {set:.4} of the true one; {} windows judged, {} spoilt",
            self.judged, self.spoilt
        )
    }
}

/// What starts a program with real-time priority; nothing where that is not allowed.
fn realtime() -> &'static [&'static str] {
    const FIRST: &[&str] = &["chrt", "--fifo", "10"];
    let allowed = Command::new(FIRST[0]).args(&FIRST[1..]).arg("true").output();
    if allowed.is_ok_and(|output| output.status.success()) { FIRST } else { &[] }
}

/// How a recording is made and judged.
struct Trial {
    workload: Workload,
    options: &'static [&'static str],
    /// Aggregations that the monitor may take to find out, after each change.
    settle: usize,
    /// A window is judged if no page of the hot set went without a touch for longer.
    pace_ns: u64,
    /// At least so many windows must be judged.
    windows: usize,
}

impl Trial {
    /// A machine on which the workload cannot keep its pace proves nothing: then it is recorded again, before all other
    /// programs where that is allowed, and all windows are judged together, so that their number is the same on any machine.
    fn run(&self) {
        let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut verdict = Verdict::default();
        for attempt in 0..8 {
            let scheduler = if attempt < 2 { &[][..] } else { realtime() };
            self.record(scheduler, &mut verdict);
            println!("{:?}: {verdict}", self.options);
            if verdict.judged >= self.windows {
                assert!(verdict.good(), "the truth was not found: {verdict}");
                return;
            }
        }
        panic!("the machine was too busy in all attempts: {verdict}");
    }

    /// Records once; `scheduler` is a program that starts the recorder, and thereby the workload.
    fn record(&self, scheduler: &[&str], verdict: &mut Verdict) {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("spec.txt"), self.workload.text()).unwrap();
        let words = [scheduler, &[RECORDER, "--backend", "writes", "--budget", "100%"]].concat();
        let output = Command::new(words[0])
            .args(&words[1..])
            .args(self.options)
            .args(["-o", "out.damon", "--", WORKLOAD, "spec.txt", "--truth", "truth.jsonl"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = BufReader::new(File::open(path("truth.jsonl")).unwrap());
        let truth = Truth::read(lines).unwrap();
        assert_eq!(truth.end.map(|(_, complete)| complete), Some(true));
        self.judge(&truth, &snapshots(&path("out.damon")), verdict);
    }

    fn judge(&self, truth: &Truth, snapshots: &[Snapshot], verdict: &mut Verdict) {
        for snapshot in snapshots {
            let Some(phases) = self.phases_of(truth, snapshots, snapshot) else {
                continue;
            };
            if !self.kept_pace(phases) {
                verdict.spoilt += 1;
                continue;
            }
            let real = phases[0].hot(Touch::Write, truth.begin.page_size);
            let hits = hot_regions(snapshot);
            verdict.hot += bytes(real.bytes());
            verdict.found += bytes(hits.bytes());
            verdict.both += bytes(real.intersection(&hits).bytes());
            verdict.expected += expected_bytes(snapshot);
            verdict.judged += 1;
        }
    }

    /// The phases that the snapshot lies in, if they are of one stage and it has settled.
    fn phases_of<'t>(
        &self,
        truth: &'t Truth,
        snapshots: &[Snapshot],
        snapshot: &Snapshot,
    ) -> Option<&'t [PhaseRun]> {
        let first = truth.phases.iter().position(|p| p.end_ns > snapshot.start_ns)?;
        let last = truth.phases.iter().position(|p| p.end_ns >= snapshot.end_ns)?;
        let phases = truth.phases.get(first..=last)?;
        let stage = &phases.first()?.name;
        let begin = truth.phases.iter().find(|p| p.round > 0 && p.name == *stage)?.start_ns;
        let since = |s: &&Snapshot| s.start_ns >= begin && s.end_ns <= snapshot.start_ns;
        let settled =
            snapshot.start_ns >= begin && snapshots.iter().filter(since).count() >= self.settle;
        (settled && phases.iter().all(|p| p.name == *stage)).then_some(phases)
    }

    fn kept_pace(&self, phases: &[PhaseRun]) -> bool {
        let across = phases.windows(2).all(|pair| {
            let next = pair[1].accesses.iter().map(|access| access.first_ns).max();
            let before = pair[0].accesses.iter().map(|access| access.swept_ns).min();
            next.zip(before).is_some_and(|(next, before)| next <= before + self.pace_ns)
        });
        across && phases.iter().all(|phase| phase.steady(self.pace_ns))
    }
}

/// Regions that were accessed in at least half of the samples.
fn hot_regions(snapshot: &Snapshot) -> Ranges {
    let max = snapshot.sampling.max_nr_accesses;
    let hot = snapshot.regions.iter().filter(|region| region.nr_accesses * 2 >= max);
    hot.map(|region| Range { start: region.start, end: region.end }).collect()
}

fn expected_bytes(snapshot: &Snapshot) -> f64 {
    let max = f64::from(snapshot.sampling.max_nr_accesses);
    let share = |accesses: u32| f64::from(accesses) / max;
    snapshot.regions.iter().map(|r| bytes(r.size()) * share(r.nr_accesses)).sum()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn bytes(count: u64) -> f64 {
    count as f64
}

#[derive(Default)]
struct Collector(Vec<Snapshot>);

impl Visitor for Collector {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.0.push(snapshot.to_snapshot());
    }
}

fn snapshots(path: &Path) -> Vec<Snapshot> {
    let reader = IndexedReader::open(File::open(path).unwrap()).unwrap();
    let mut all = Collector::default();
    for block in reader.blocks() {
        reader.visit_block(block, &mut all).unwrap();
    }
    all.0
}

const MS: u64 = 1_000_000;
const EXACT: &[&str] = &["--sample", "1s", "--aggr", "1s"];

#[test]
fn sampling_finds_islands() {
    Trial { workload: ISLANDS, options: &[], settle: 20, pace_ns: 5 * MS, windows: 10 }.run();
}

#[test]
fn sampling_follows_stairs() {
    Trial { workload: STAIRS, options: &[], settle: 15, pace_ns: 5 * MS, windows: 10 }.run();
}

#[test]
fn exact_looks_find_islands() {
    Trial { workload: ISLANDS, options: EXACT, settle: 0, pace_ns: 500 * MS, windows: 2 }.run();
}

#[test]
fn exact_looks_follow_stairs() {
    Trial { workload: STAIRS, options: EXACT, settle: 0, pace_ns: 500 * MS, windows: 3 }.run();
}
