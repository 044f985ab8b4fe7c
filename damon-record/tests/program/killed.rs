//! SIGKILL at any moment: the target goes on, and what was flushed is readable.

use crate::common::{Place, expect, read, wait_until};
use damon_format::IndexedReader;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Moments after the start, spread over everything from loading the program to the first snapshots.
/// Deterministic; the machine's own jitter does the rest.
fn moments(count: u32, span: Duration) -> impl Iterator<Item = Duration> {
    // Multiples of the golden ratio fill the span evenly in any prefix.
    (1..=count).map(move |i| span / 1000 * (i * 618 % 1000))
}

fn kill_after(mut recorder: Child, moment: Duration) {
    std::thread::sleep(moment);
    recorder.kill().unwrap();
    recorder.wait().unwrap();
}

/// A file appears under its name when it is a trace.
fn assert_readable(path: &Path) {
    if let Ok(file) = File::open(path) {
        assert_eq!(IndexedReader::open(file).unwrap().damage(), &[]);
    }
}

#[test]
fn a_process_survives_the_death_of_its_recorder_at_any_moment() {
    let place = Place::new();
    // Writes all the time, so that it would notice a page that stays protected.
    let mut target = Command::new("sh")
        .args(["-c", "while :; do x=$((x+1)); echo $x; done"])
        .stdout(Stdio::from(File::create(place.path("progress")).unwrap()))
        .spawn()
        .unwrap();
    let pid = target.id().to_string();
    let progress = || std::fs::metadata(place.path("progress")).unwrap().len();
    let path = place.path("x");
    expect(&place.run(&["-o", "x", "-d", "100ms", &pid]), 0, "recorded");
    for moment in moments(300, Duration::from_millis(60)) {
        let words = ["-q", "--backend", "writes", "--force", "-o", "x", &pid];
        let recorder = place.command(&words).spawn().unwrap();
        kill_after(recorder, moment);
        assert!(target.try_wait().unwrap().is_none(), "died after {moment:?}");
        assert!(path.exists(), "the older one or the new one");
        assert_readable(&path);
    }
    let before = progress();
    wait_until("the target writes on", || progress() > before);
    wait_until("no protection is left", || {
        let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
        !smaps.lines().any(|l| l.starts_with("VmFlags:") && l.contains(" uw"))
    });
    // The helper of the last recorder finishes what it has begun.
    wait_until("nobody traces the target", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.contains("TracerPid:\t0")
    });
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    for file in files.flatten() {
        let link = std::fs::read_link(file.path()).unwrap_or_default();
        assert!(!link.to_string_lossy().contains("userfaultfd"), "{link:?}");
    }
    target.kill().unwrap();
    target.wait().unwrap();
}

fn time_to_begin() -> Duration {
    let (place, begun) = (Place::new(), Instant::now());
    let mut recorder = place.command(&["-q", "-o", "x", "--", "true"]).spawn().unwrap();
    wait_until("the recording begins", || place.path("x").exists());
    let time = begun.elapsed();
    recorder.wait().unwrap();
    time
}

#[test]
fn a_command_runs_to_its_end_whenever_its_recorder_dies() {
    let place = Place::new();
    let mut started = Vec::new();
    // Half of them before the recording begins here and now, half of them after.
    let span = (0..3).map(|_| time_to_begin()).max().unwrap() * 2;
    for (index, moment) in moments(100, span).enumerate() {
        let mark = place.path(&format!("ended{index}"));
        let script = format!("sleep 0.05; echo > {}", mark.display());
        let output = format!("x{index}");
        let words = ["-q", "--backend", "writes", "-o", &output, "--", "sh", "-c", &script];
        let recorder = place.command(&words).spawn().unwrap();
        kill_after(recorder, moment);
        assert_readable(&place.path(&output));
        started.push((mark, place.path(&output)));
    }
    // A recorder that dies before it has forked has started nothing; one that has opened its output
    // has started the command.
    for (mark, output) in &started {
        if output.exists() {
            wait_until("the command ends by itself", || mark.exists());
        }
    }
    let begun = started.iter().filter(|(_, output)| output.exists()).count();
    assert!(begun > 20, "only {begun} recordings had begun");
}

#[test]
fn what_was_recorded_lacks_at_most_a_second() {
    let place = Place::new();
    // Without a budget, which would make aggregations as long as the machine is busy.
    let command = ["--", "sh", "-c", "echo $$ > pid; sleep 3; echo > ended"];
    let recorder = place.start(&[&["-q", "--budget", "100%"], &command[..]].concat());
    let path = place.path("recording.damon");
    kill_after(recorder, Duration::from_millis(2500));
    let newest = read(&path).snapshots.iter().map(|s| s.2).max().unwrap();
    let lag = damon_record::host::monotonic_ns() - newest;
    // The second, and what reading takes here.
    assert!(lag < 1_500_000_000, "{lag} ns are missing");
    wait_until("the command ends by itself", || place.path("ended").exists());
}
