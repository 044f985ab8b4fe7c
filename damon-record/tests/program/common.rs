//! What the tests of the program share.

use damon_format::{Completeness, IndexedReader, Part, Record, Snapshot, SnapshotView, Visitor};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_damon-record");

/// A directory to record in.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(words).current_dir(self.dir.path()).stdin(Stdio::null());
        // What a recorder leaves that is killed together with its guard goes with this directory.
        command.env("TMPDIR", self.dir.path());
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Starts the recorder and waits until it has written the head of its recording.
    pub(crate) fn start(&self, words: &[&str]) -> Child {
        self.start_with("recording.damon", words)
    }

    /// Likewise, where its first file has this name.
    pub(crate) fn start_with(&self, name: &str, words: &[&str]) -> Child {
        let child =
            self.command(words).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let file = self.path(name);
        wait_until("the recording begins", || {
            std::fs::metadata(&file).is_ok_and(|meta| meta.len() > 0)
        });
        child
    }
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < limit, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts status and a part of what was said; returns all of it.
pub(crate) fn expect(output: &Output, status: i32, text: &str) -> String {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(said.contains(text), "{text:?} is missing in: {said}");
    said
}

/// Makes the touch log `touches` of a workload: a replay of it runs as fast as it can, and it always says the
/// same.
pub(crate) fn make_touches(place: &Place, workload: &str) {
    std::fs::write(place.path("workload.txt"), workload).unwrap();
    let mut simulate = Command::new(env!("CARGO_BIN_EXE_damon-workload"));
    simulate.args(["simulate", "workload.txt", "-o", "touches"]);
    let made = simulate.current_dir(place.path(".")).output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
}

#[derive(Default)]
struct Whole(Vec<Snapshot>);

impl Visitor for Whole {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.0.push(snapshot.to_snapshot());
    }
}

/// All snapshots of a trace, whole.
pub(crate) fn snapshots(path: &Path) -> Vec<Snapshot> {
    let reader = open(path);
    let mut whole = Whole::default();
    for block in reader.blocks() {
        reader.visit_block(block, &mut whole).unwrap();
    }
    whole.0
}

/// The part that a file is, what it holds, and in what state it is; all of it must be valid.
pub(crate) fn read_part(path: &Path) -> (Part, Content, Completeness) {
    let report = damon_format::verify(&File::open(path).unwrap()).unwrap();
    assert_eq!(report.damage.iter().filter(|d| !is_cut(d)).count(), 0, "{:?}", report.damage);
    let mut content = read(path);
    let part = match content.records.remove(0) {
        Record::Part(part) => Some(part),
        _ => None,
    };
    (part.unwrap(), content, report.completeness)
}

fn is_cut(damage: &damon_format::Damage) -> bool {
    matches!(damage.kind, damon_format::DamageKind::Truncated { .. })
}

/// The parts below `directory` whose names begin with `stem`, by number.
pub(crate) fn parts(directory: &Path, stem: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_part = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        let middle = name.strip_prefix(stem).and_then(|name| name.strip_suffix(".damon"));
        middle.is_some_and(|m| m.len() == 7 && m.starts_with('.'))
    };
    let mut parts: Vec<PathBuf> = entries.filter(is_part).collect();
    parts.sort();
    parts
}

/// Pid and name of every target, in the order of appearance.
pub(crate) fn targets(content: &Content) -> Vec<(u32, String)> {
    let started = content.records.iter().filter_map(|record| match record {
        Record::TargetStarted(started) => Some((started.pid, started.comm.clone())),
        _ => None,
    });
    started.collect()
}

/// Waits until so many targets are in the recording.
pub(crate) fn recorded(place: &Place, wanted: usize) {
    let path = place.path("recording.damon");
    wait_until("so many targets are recorded", || {
        path.exists() && targets(&read(&path)).len() >= wanted
    });
}

/// A process that sleeps, and is killed when the test ends.
pub(crate) struct Sleeper(pub(crate) Child);

impl Sleeper {
    pub(crate) fn new() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// `sleep` under another name.
pub(crate) fn named(place: &Place, name: &str) -> Sleeper {
    let program = place.path(name);
    if !program.exists() {
        // No copy: while another test forks, a file that was just written may still be open for writing, and is not executed.
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
    }
    let mut child = Command::new(&program);
    let comm = name.get(..15).unwrap_or(name);
    let sleeper = Sleeper(child.arg("600").spawn().unwrap());
    wait_until("it has its name", || {
        let path = format!("/proc/{}/comm", sleeper.pid());
        std::fs::read_to_string(path).is_ok_and(|text| text.trim_end() == comm)
    });
    sleeper
}

pub(crate) fn signal(child: &Child, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
}

/// Everything in a trace.
#[derive(Default)]
pub(crate) struct Content {
    pub(crate) records: Vec<Record>,
    /// Target, start, end, regions.
    pub(crate) snapshots: Vec<(u32, u64, u64, usize)>,
}

impl Visitor for Content {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.snapshots.push((
            snapshot.target.0,
            snapshot.start_ns,
            snapshot.end_ns,
            snapshot.len(),
        ));
    }

    fn record(&mut self, record: Record) {
        self.records.push(record);
    }
}

pub(crate) fn open(path: &Path) -> IndexedReader<File> {
    IndexedReader::open(File::open(path).unwrap()).unwrap()
}

pub(crate) fn read(path: &Path) -> Content {
    let reader = open(path);
    let mut content = Content::default();
    for block in reader.blocks() {
        reader.visit_block(block, &mut content).unwrap();
    }
    content
}
