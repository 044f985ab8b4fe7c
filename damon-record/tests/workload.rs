//! The workload generator against the kernel's own books, and its manners on the command line.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};

use damon_record::workload::ranges::Ranges;
use damon_record::workload::truth::{Event, PhaseRun, Touch, Truth};

const WORKLOAD: &str = env!("CARGO_BIN_EXE_damon-workload");
const PAGE: u64 = 4096;
/// Bit of an entry of `/proc/PID/pagemap`: the page is in memory.
const PRESENT: u64 = 1 << 63;

/// A generator that runs, with its truth line by line.
struct Running {
    child: Child,
    truth: BufReader<ChildStdout>,
    lines: String,
    _dir: tempfile::TempDir,
}

impl Running {
    fn start(spec: &str, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("spec.txt"), spec).unwrap();
        let mut child = Command::new(WORKLOAD)
            .args(["spec.txt", "--truth", "-"])
            .args(options)
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let truth = BufReader::new(child.stdout.take().unwrap());
        Self { child, truth, lines: String::new(), _dir: dir }
    }

    fn event(&mut self) -> Event {
        let from = self.lines.len();
        self.truth.read_line(&mut self.lines).unwrap();
        serde_json::from_str(&self.lines[from..]).unwrap()
    }

    /// Reads on until a phase of this name is over.
    fn phase(&mut self, name: &str) -> PhaseRun {
        loop {
            match self.event() {
                Event::Phase(phase) if phase.name == name => return phase,
                _ => {}
            }
        }
    }

    fn truth(&self) -> Truth {
        Truth::read(self.lines.as_bytes()).unwrap()
    }

    /// The pages of `[start, end)` that are in memory.
    fn present(&self, start: u64, end: u64) -> Ranges {
        let pagemap = File::open(format!("/proc/{}/pagemap", self.child.id())).unwrap();
        let mut entry = [0; 8];
        let mut present = Vec::new();
        for page in start / PAGE..end / PAGE {
            pagemap.read_exact_at(&mut entry, page * 8).unwrap();
            if u64::from_le_bytes(entry) & PRESENT != 0 {
                present.push(page * PAGE..(page + 1) * PAGE);
            }
        }
        present.into_iter().collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[test]
fn exactly_the_pages_of_the_truth_come_into_memory() {
    let mut running = Running::start(
        "area full 1M\narea empty 8M lazy\n\
         phase some 100ms\nwrite empty 1M..2M random\nwrite empty 3M..4M stride 64K\n\
         write empty 5M..5136K max\n\
         phase rest 1m\n",
        &[],
    );
    let phase = running.phase("some");
    let truth = running.truth();
    let (full, empty) = (truth.area("full").unwrap(), truth.area("empty").unwrap());
    let touched = phase.hot(Touch::Any, PAGE);
    assert_eq!(touched.bytes(), (1 << 20) + 16 * PAGE + 4 * PAGE);
    assert_eq!(running.present(empty.start, empty.end), touched);
    assert_eq!(running.present(full.start, full.end).bytes(), 1 << 20);
}

#[test]
fn a_signal_ends_the_phase_and_the_account() {
    let mut running = Running::start("area a 64K\nphase long 1m\nwrite a\n", &[]);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(running.child.id()).unwrap());
    while !matches!(running.event(), Event::Ready { .. }) {}
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(!running.phase("long").complete);
    assert!(matches!(running.event(), Event::End { complete: false, .. }));
    assert_eq!(running.child.wait().unwrap().code(), Some(128 + 15));
}

#[test]
fn nonsense_is_answered_with_its_line_and_status_2() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.txt"), "area a 64K\nphase p 1s\nread b\n").unwrap();
    for (argument, words) in
        [("bad.txt", "bad.txt: line 3: no area called `b`"), ("none", "stairs")]
    {
        let output = Command::new(WORKLOAD).arg(argument).current_dir(dir.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words), "{said}");
    }
}
