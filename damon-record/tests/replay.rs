//! Replays as their users meet them: touch logs of workloads and of programs, recorded.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use damon_format::{Completeness, IndexedReader, Record, Snapshot, SnapshotView, Visitor};

const RECORDER: &str = env!("CARGO_BIN_EXE_damon-record");
const WORKLOAD: &str = env!("CARGO_BIN_EXE_damon-workload");
const TEXT: &str = "area sea 32M\nphase islands 1s\n  write sea 4M..8M random every 4ms\n  read sea 20M..22M every 2ms\n";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::write(place.path("workload.txt"), TEXT).unwrap();
        let made = place.run(WORKLOAD, &["simulate", "workload.txt", "-o", "touches"]);
        assert!(made.status.success(), "{}", said(&made));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, program: &str, words: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(words).current_dir(self.0.path()).stdin(Stdio::null()).output().unwrap()
    }

    fn replay(&self, words: &[&str]) -> Output {
        self.run(
            RECORDER,
            &[&["--backend", "replay:touches", "--force", "-o", "x.damon"], words].concat(),
        )
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path("x.damon")).unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[derive(Default)]
struct Collector {
    snapshots: Vec<Snapshot>,
    notes: Vec<String>,
}

impl Visitor for Collector {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.snapshots.push(snapshot.to_snapshot());
    }

    fn record(&mut self, record: Record) {
        if let Record::Note(note) = record {
            self.notes.push(note.text);
        }
    }
}

#[test]
fn a_recording_says_that_it_is_a_replay_and_what_its_clock_means() {
    let place = Place::new();
    let output = place.replay(&[]);
    assert!(output.status.success(), "{}", said(&output));
    let reader = IndexedReader::open(File::open(place.path("x.damon")).unwrap()).unwrap();
    assert_eq!(reader.completeness(), Completeness::Complete);
    let backend = &reader.info().backend;
    assert_eq!((backend.name.as_str(), backend.exact), ("replay", false));
    assert!(backend.reason.contains("a touch takes 5 ns"), "{}", backend.reason);
    let mut all = Collector::default();
    for block in reader.blocks() {
        reader.visit_block(block, &mut all).unwrap();
    }
    assert!(all.notes.iter().any(|note| note.contains("workload.txt")), "{:?}", all.notes);
    // The population takes less than a sampling interval; then there is one second.
    assert_eq!(all.snapshots.len(), 10);
    let last = all.snapshots.last().unwrap();
    assert_eq!((last.end_ns, last.sampling.max_nr_accesses), (1_000_000_000, 20));
    let hot = last.regions.iter().filter(|region| region.nr_accesses >= 10);
    let hot = hot.map(damon_format::Region::size).sum::<u64>();
    assert!((5 << 20..7 << 20).contains(&hot), "{hot}");
}

#[test]
fn a_replay_gives_the_same_bytes_for_the_same_seed() {
    let place = Place::new();
    let bytes = |seed: &str| {
        let output = place.replay(&["--seed", seed]);
        assert!(output.status.success(), "{}", said(&output));
        place.bytes()
    };
    let first = bytes("3");
    assert_eq!(bytes("3"), first);
    assert_ne!(bytes("4"), first);
}

#[test]
fn mistakes_are_told() {
    let place = Place::new();
    let cut = std::fs::read(place.path("touches")).unwrap();
    std::fs::write(place.path("cut"), &cut[..cut.len() / 2]).unwrap();
    let backend = |name: &str| format!("replay:{name}");
    for (log, words, status, text) in [
        ("missing", &[][..], 3, "No such file"),
        ("workload.txt", &[], 3, "is no touch log"),
        ("cut", &[], 3, "is cut off"),
        ("touches", &["1"], 2, "neither PID nor command"),
        ("touches", &["--", "true"], 2, "neither PID nor command"),
        ("touches", &["-d", "1s"], 2, "--duration"),
        ("touches", &["--min-regions", "2"], 2, "--min-regions"),
    ] {
        let mut line = vec!["--backend".to_owned(), backend(log), "-o".into(), "new".into()];
        line.extend(words.iter().map(|word| (*word).to_owned()));
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let output = place.run(RECORDER, &line);
        assert_eq!(output.status.code(), Some(status), "{line:?}: {}", said(&output));
        assert!(said(&output).contains(text), "{line:?}: {}", said(&output));
        assert!(!place.path("new").exists(), "{line:?}");
    }
    let output = place.run(WORKLOAD, &["fold-lackey", "-o", "x"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("--trace-mem=yes"), "{}", said(&output));
}
