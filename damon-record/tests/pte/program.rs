//! The whole program with the backend `pte`.

use crate::common::{RECORDER, mappings, skipped, wait_until};
use damon_format::{IndexedReader, Snapshot, SnapshotView, Visitor};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const WORKLOAD: &str = env!("CARGO_BIN_EXE_damon-workload");

/// One workload at a time: two would take the processors from each other and from the recorder.
static MACHINE: Mutex<()> = Mutex::new(());

/// A workload that keeps itself busy in one half of its memory.
struct Busy {
    child: Child,
    place: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Busy {
    fn start(text: &str) -> Self {
        let alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("spec.txt"), text).unwrap();
        let child = Command::new(WORKLOAD)
            .args(["spec.txt", "--truth", "truth.jsonl"])
            .current_dir(place.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let busy = Self { child, place, _alone: alone };
        wait_until("the workload is ready", || {
            fs::read_to_string(busy.path("truth.jsonl")).is_ok_and(|t| t.contains("\"ready\""))
        });
        busy
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.place.path().join(name)
    }

    fn record(&self, words: &[&str]) -> Command {
        let mut command = Command::new(RECORDER);
        command.args(["--force", "-o"]).arg(self.path("x.damon")).args(words);
        command.arg(self.child.id().to_string()).stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_reaped = self.child.wait();
    }
}

#[derive(Default)]
struct Snapshots(Vec<Snapshot>);

impl Visitor for Snapshots {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.0.push(snapshot.to_snapshot());
    }
}

fn snapshots(path: &Path) -> Vec<Snapshot> {
    let reader = IndexedReader::open(File::open(path).unwrap()).unwrap();
    let mut all = Snapshots::default();
    for block in reader.blocks() {
        reader.visit_block(block, &mut all).unwrap();
    }
    all.0
}

/// Mean access rate over the bytes of `range`, 0 to 1.
fn rate(snapshots: &[Snapshot], range: &std::ops::Range<u64>) -> f64 {
    let (mut sum, mut bytes) = (0.0, 0.0);
    for snapshot in snapshots {
        for region in &snapshot.regions {
            let overlap = region.end.min(range.end).saturating_sub(region.start.max(range.start));
            #[expect(clippy::cast_precision_loss, reason = "a share")]
            let overlap = overlap as f64;
            let rate = f64::from(region.nr_accesses) / f64::from(snapshot.sampling.max_nr_accesses);
            sum += rate * overlap;
            bytes += overlap;
        }
    }
    sum / bytes
}

#[test]
fn the_hot_half_is_hot_and_the_cold_half_is_cold() {
    if skipped() {
        return;
    }
    for options in [["--sample", "5ms", "--aggr", "100ms"], ["--sample", "1s", "--aggr", "1s"]] {
        let busy = Busy::start("area hot 32M\narea cold 32M\nphase all 60s\nread hot max\n");
        let output = busy
            .record(&["--backend", "pte", "--budget", "100%", "-d", "4s"])
            .args(["--min-regions", "100", "--max-regions", "200"])
            .args(options)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let halves: Vec<_> = mappings(busy.child.id())
            .into_iter()
            .filter(|mapping| mapping.end - mapping.start == 32 << 20)
            .map(|mapping| mapping.start..mapping.end)
            .collect();
        let [hot, cold] = halves.as_slice() else { panic!("{halves:x?}") };
        let all = snapshots(&busy.path("x.damon"));
        // The first is where regions and a first touch settle.
        let judged = all.get(1..).unwrap();
        let (hot, cold) = (rate(judged, hot), rate(judged, cold));
        println!("{options:?}: hot {hot:.3}, cold {cold:.4} over {} snapshots", judged.len());
        // A loaded machine keeps the workload from running in every interval of 5 ms, and then nothing is
        // accessed; what is cold stays so in any case.
        let least = if options[1] == "1s" { 0.5 } else { 0.02 };
        assert!(hot > least && hot > 20.0 * cold, "hot {hot}, cold {cold}");
    }
}

#[test]
fn root_gets_it_without_asking_and_its_side_effect_is_recorded() {
    if skipped() {
        return;
    }
    let busy = Busy::start("area a 4M\nphase all 60s\nread a every 4ms\n");
    let output = busy.record(&["-v", "-d", "500ms"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("backend pte") && said.contains("inactive list"), "{said}");
}

#[test]
fn nothing_is_left_of_a_killed_recorder_and_the_target_goes_on() {
    if skipped() {
        return;
    }
    let busy = Busy::start("area a 16M\nphase all 60s\nread a max\n");
    for moment in [60, 150, 300, 600] {
        let mut recorder = busy.record(&["-q", "--backend", "pte"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        recorder.kill().unwrap();
        recorder.wait().unwrap();
        // The claim went with it: the next recorder is not refused.
        let output = busy.record(&["--backend", "pte", "-d", "200ms"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", busy.child.id())).unwrap();
    assert!(status.contains("TracerPid:\t0"));
    let pinned = fs::read_dir("/sys/fs/bpf").map_or(0, Iterator::count);
    assert_eq!(pinned, 0, "nothing was pinned");
}
