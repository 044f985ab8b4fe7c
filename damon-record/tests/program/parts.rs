//! Recordings that fill several files.

use crate::common::{
    Content, Place, Sleeper, expect, make_touches, parts, read_part, signal, snapshots, stderr,
    wait_until,
};
use damon_format::{Completeness, PartChain, Record, Snapshot, TargetStarted};
use nix::sys::signal::Signal;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::LazyLock;

/// A shell that writes to its memory all the time.
fn busy() -> Sleeper {
    let script = "while :; do x=$((x+1)); y=$x$y; [ ${#y} -gt 9999 ] && y=; done";
    Sleeper(Command::new("sh").args(["-c", script]).spawn().unwrap())
}

/// Everything fast, whatever it costs.
const FAST: [&str; 6] = ["--budget", "100%", "--sample", "1ms", "--aggr", "5ms"];

/// Reads parts that must follow one another, and be complete but for the last.
fn read_parts(paths: &[PathBuf]) -> Vec<Content> {
    let mut chain = PartChain::default();
    let mut contents = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let (part, content, state) = read_part(path);
        chain.follow(&part, content.snapshots.len() as u64).unwrap();
        assert!(state == Completeness::Complete || index + 1 == paths.len(), "{}", path.display());
        contents.push(content);
    }
    contents
}

/// Snapshots of a target begin where the one before ended, in whichever part that is.
fn assert_no_gap(contents: &[Content]) {
    let all: Vec<_> = contents.iter().flat_map(|content| &content.snapshots).collect();
    let gaps = all.windows(2).filter(|pair| pair[0].2 != pair[1].1).count();
    assert_eq!(gaps, 0, "of {} snapshots", all.len());
}

fn started(content: &Content) -> &TargetStarted {
    let found = content.records.iter().find_map(|record| match record {
        Record::TargetStarted(started) => Some(started),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn parts_by_time_follow_one_another_without_a_gap_and_are_read_alone() {
    let place = Place::new();
    let target = busy();
    let rotation = ["--rotate-time", "1s", "-d", "3500ms"];
    let output = place.run(&[&FAST[..], &rotation, &[&target.pid()]].concat());
    let said = expect(&output, 0, "parts, ");
    let paths = parts(&place.path("."), "recording");
    assert!(paths.len() >= 3, "{paths:?}");
    let (first, last) = (&paths[0], &paths[paths.len() - 1]);
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(said.contains(&format!("to {} .. {} (", name(first), name(last))), "{said}");
    let hint = said.lines().find_map(|line| line.strip_prefix("look at it: damon-report heatmap "));
    assert!(place.path(hint.unwrap()).exists(), "{said}");
    let contents = read_parts(&paths);
    assert_no_gap(&contents);
    let process = started(&contents[0]);
    assert!(process.start_ticks > 0);
    for content in &contents {
        assert_eq!(started(content), process, "it is the same process as in the beginning");
        let named = content.records.iter().any(|record| match record {
            Record::MappingsChanged(m) => m.added.iter().any(|m| m.name == "[stack]"),
            _ => false,
        });
        assert!(named, "its mappings are told");
        let notes = content.records.iter().filter_map(|record| match record {
            Record::Note(note) => Some(note.text.as_str()),
            _ => None,
        });
        assert!(notes.into_iter().any(|text| text.starts_with("side effect")));
    }
    let ended = |content: &&Content| matches!(content.records.last(), Some(Record::Finished(_)));
    assert_eq!(contents.iter().filter(ended).count(), contents.len(), "each says why it ends");
    for path in &paths {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// A recording of several hundred KiB, from a replay that has all this in one file. In memory: nobody drops what is
/// static, and a directory would stay.
struct Large {
    touches: Vec<u8>,
    snapshots: Vec<Snapshot>,
}

static LARGE: LazyLock<Large> = LazyLock::new(|| {
    let place = Place::new();
    make_touches(&place, "area sea 32M\nphase noise 60s\n  read sea random rate 40000/s\n");
    let words = format!("{} -o whole.damon", replay(&place));
    expect(&place.run(&words.split(' ').collect::<Vec<_>>()), 0, "");
    let snapshots = snapshots(&place.path("whole.damon"));
    assert!(std::fs::metadata(place.path("whole.damon")).unwrap().len() > 300 << 10);
    Large { touches: std::fs::read(place.path("touches")).unwrap(), snapshots }
});

fn replay(place: &Place) -> String {
    let log = place.path("touches");
    format!("--backend replay:{} --sample 5ms --aggr 20ms --min-regions 900", log.display())
}

/// The arguments that record all this, whose touches are put into this place.
fn large(place: &Place) -> String {
    std::fs::write(place.path("touches"), &LARGE.touches).unwrap();
    replay(place)
}

/// All that parts hold, one after another: not one snapshot lost, not one twice, none changed.
fn assert_end_of_large(paths: &[PathBuf]) {
    let before = usize::try_from(read_part(&paths[0]).0.first_snapshot).unwrap();
    let stored: Vec<Snapshot> = paths.iter().flat_map(|path| snapshots(path)).collect();
    assert!(stored == LARGE.snapshots[before..], "{} from {before}", stored.len());
}

#[test]
fn a_flight_recorder_keeps_the_newest_parts_of_the_size_asked_for() {
    const SIZE: u64 = 64 << 10;
    let place = Place::new();
    let words = format!("{} --rotate-size 64KiB --keep 3 -o web.damon", large(&place));
    expect(&place.run(&words.split(' ').collect::<Vec<_>>()), 0, "");
    let paths = parts(&place.path("."), "web");
    assert_eq!(paths.len(), 3);
    let sizes: Vec<u64> = paths.iter().map(|path| std::fs::metadata(path).unwrap().len()).collect();
    assert!(sizes.iter().all(|size| *size <= SIZE), "{sizes:?}");
    assert!(sizes[..2].iter().all(|size| *size > SIZE * 95 / 100), "nearly full: {sizes:?}");
    assert!(!paths[0].ends_with("web.000001.damon"), "older ones have gone");
    read_parts(&paths);
    assert_end_of_large(&paths);
}

#[test]
fn older_recordings_are_left_alone_refused_or_replaced() {
    let place = Place::new();
    let names = || -> Vec<String> {
        let paths =
            parts(&place.path("."), "recording").into_iter().chain(parts(&place.path("."), "x"));
        paths.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let run = |words: &[&str]| {
        place.run(&[&["-q", "--rotate-time", "1h"], words, &["--", "true"]].concat())
    };
    for _ in 0..2 {
        assert_eq!(run(&[]).status.code(), Some(0));
    }
    assert_eq!(names(), ["recording.000001.damon", "recording.000002.damon"]);
    let identity = |name: &str| read_part(&place.path(name)).0.recording;
    assert_ne!(identity("recording.000001.damon"), identity("recording.000002.damon"));
    for name in names() {
        std::fs::remove_file(place.path(&name)).unwrap();
    }
    assert_eq!(run(&["-o", "x.damon"]).status.code(), Some(0));
    let said = expect(&run(&["-o", "x.damon"]), 5, "x.000001.damon exists");
    assert!(said.contains("--force"), "{said}");
    // With --keep older parts go when there are too many, otherwise at once.
    assert_eq!(run(&["-o", "x.damon", "--force", "--keep", "2"]).status.code(), Some(0));
    assert_eq!(names(), ["x.000001.damon", "x.000002.damon"]);
    assert_eq!(run(&["-o", "x.damon", "--force", "--keep", "2"]).status.code(), Some(0));
    assert_eq!(names(), ["x.000002.damon", "x.000003.damon"]);
    assert_eq!(run(&["-o", "x.damon", "--force"]).status.code(), Some(0));
    assert_eq!(names(), ["x.000004.damon"]);
}

fn kept(place: &Place, set: u32) -> Vec<PathBuf> {
    parts(&place.path("."), &format!("recording.kept-{set}"))
}

/// Waits until it has recorded something, so that there is something to keep.
fn wait_for_data(place: &Place) {
    wait_until("there are data", || {
        let path = place.path("recording.000001.damon");
        std::fs::metadata(path).is_ok_and(|meta| meta.len() > 3000)
    });
}

fn start(place: &Place, rotation: &[&str], target: &Sleeper) -> Child {
    let recorder = place
        .start_with("recording.000001.damon", &[&FAST[..], rotation, &[&target.pid()]].concat());
    wait_for_data(place);
    recorder
}

#[test]
fn sigusr1_keeps_everything_up_to_now_and_a_second_one_is_not_lost() {
    let place = Place::new();
    let target = busy();
    let recorder = start(&place, &["--rotate-time", "1h", "--keep", "2"], &target);
    signal(&recorder, Signal::SIGUSR1);
    wait_until("the first set begins", || !kept(&place, 1).is_empty());
    // Whether the first one is dealt with or not.
    signal(&recorder, Signal::SIGUSR1);
    wait_until("there is a second set", || !kept(&place, 2).is_empty());
    signal(&recorder, Signal::SIGINT);
    let said = expect(&recorder.wait_with_output().unwrap(), 0, "kept 1 part (");
    assert!(said.contains("as recording.kept-1.*.damon"), "{said}");
    assert!(said.contains("as recording.kept-2.*.damon"), "{said}");
    let (first, second) = (read_parts(&kept(&place, 1)), read_parts(&kept(&place, 2)));
    assert_eq!(first.len(), 1);
    assert!(first[0].snapshots.len() > 1);
    assert!(second.len() >= first.len());
    assert_no_gap(&second);
    let recording = parts(&place.path("."), "recording");
    assert_no_gap(&read_parts(&recording));
    let noted = read_part(recording.last().unwrap()).1.records;
    assert!(noted.iter().any(|r| matches!(r, Record::Note(n) if n.text.contains("kept-2"))));
}

#[test]
fn signals_never_kill_and_the_last_of_many_counts() {
    let place = Place::new();
    let target = busy();
    let mut recorder = start(&place, &["--rotate-size", "1MiB", "--keep", "3"], &target);
    for _ in 0..200 {
        signal(&recorder, Signal::SIGUSR1);
    }
    let now = damon_record::host::monotonic_ns();
    wait_until("a set has what is newer than the signals", || {
        assert!(recorder.try_wait().unwrap().is_none(), "it lives");
        signal(&recorder, Signal::SIGUSR1);
        let sets = (1..).map(|set| kept(&place, set)).take_while(|set| !set.is_empty());
        let newest = sets.last().and_then(|set| set.last().cloned());
        newest.is_some_and(|path| read_part(&path).1.snapshots.iter().any(|s| s.2 > now))
    });
    signal(&recorder, Signal::SIGTERM);
    expect(&recorder.wait_with_output().unwrap(), 0, "recorded");
    assert_no_gap(&read_parts(&parts(&place.path("."), "recording")));
}

#[test]
fn without_rotation_sigusr1_writes_what_is_pending() {
    let place = Place::new();
    let target = Sleeper::new();
    let mut recorder = place.start(&[&FAST[..], &[&target.pid()]].concat());
    let mut said = BufReader::new(recorder.stderr.take().unwrap()).lines().map(Result::unwrap);
    for _ in 0..20 {
        signal(&recorder, Signal::SIGUSR1);
    }
    // Of signals that wait together SIGINT is the first.
    let line = said.find(|line| line.contains("everything up to here is in recording.damon"));
    assert!(line.is_some_and(|line| line.contains("--rotate-size")));
    signal(&recorder, Signal::SIGINT);
    assert!(said.any(|line| line.contains("recorded")));
    assert!(recorder.wait().unwrap().success());
}

#[test]
fn sigusr1_before_there_is_anybody_to_record_does_not_kill() {
    let place = Place::new();
    let words = ["--comm", "no-such-name-here", "--wait", "--rotate-time", "1h"];
    let mut recorder = place.command(&words).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", recorder.id());
    wait_until("signals are blocked", || {
        let text = std::fs::read_to_string(&status).unwrap();
        let mask = text.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        // SIGUSR1 is number 10.
        u64::from_str_radix(mask.trim(), 16).unwrap() >> 9 & 1 == 1
    });
    signal(&recorder, Signal::SIGUSR1);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(recorder.try_wait().unwrap().is_none());
    signal(&recorder, Signal::SIGINT);
    expect(&recorder.wait_with_output().unwrap(), 3, "nothing was recorded");
}

/// The limit for file sizes is in the way of one file, not of several.
#[test]
fn a_limit_for_file_sizes_begins_another_part() {
    let place = Place::new();
    let script =
        format!("ulimit -f 200; exec \"$0\" {} --rotate-size 1MiB -o x.damon", large(&place));
    let output = Command::new("sh")
        .args(["-c", &script, crate::common::PROGRAM])
        .current_dir(place.path("."))
        .output()
        .unwrap();
    let said = expect(&output, 0, "the limit for file sizes is reached");
    assert!(said.contains("recording goes on in x.000002.damon"), "{said}");
    let paths = parts(&place.path("."), "x");
    assert!(paths.len() >= 3, "{said}");
    assert_end_of_large(&paths);
}

/// Runs `script` with a file system of its own of so many KiB at `disk`; `None` where that is not possible.
fn with_small_disk(place: &Place, kib: u32, script: &str) -> Option<std::process::Output> {
    std::fs::create_dir(place.path("disk")).unwrap();
    let script = format!(
        "mount -t tmpfs -o size={kib}k none disk || exit 77; {script}; status=$?; \
         cp disk/*.damon . ; exit $status"
    );
    let words = ["--mount", "--map-root-user", "sh", "-c", &script, crate::common::PROGRAM];
    let output = Command::new("unshare").args(words).current_dir(place.path(".")).output().unwrap();
    let possible = output.status.code() != Some(77) && !stderr(&output).starts_with("unshare:");
    if !possible {
        println!("SKIP: no file system can be mounted here: {}", stderr(&output));
    }
    possible.then_some(output)
}

#[test]
fn on_a_full_disk_a_flight_recorder_gives_up_its_oldest_parts() {
    let place = Place::new();
    // There is room for three parts, and ten are asked for.
    let script = format!(
        "head -c 100k /dev/zero > disk/others; \"$0\" {} --rotate-size 64KiB --keep 10 -o disk/x.damon",
        large(&place)
    );
    let Some(output) = with_small_disk(&place, 300, &script) else { return };
    expect(&output, 0, "the disk is full: removed disk/x.000001.damon to go on");
    let paths = parts(&place.path("."), "x");
    assert!(paths.len() >= 2, "{paths:?}");
    let (last, before) = paths.split_last().unwrap();
    assert_eq!(read_part(last).2, Completeness::Complete);
    let mut chain = PartChain::default();
    for path in &paths {
        let (part, content, _) = read_part(path);
        chain.follow(&part, content.snapshots.len() as u64).unwrap();
    }
    assert_end_of_large(&paths);
    let told = paths.iter().flat_map(|path| read_part(path).1.records).any(
        |record| matches!(record, Record::Note(note) if note.text.starts_with("the disk is full")),
    );
    assert!(told && !before.is_empty(), "and it is recorded");
}

#[test]
fn without_parts_that_may_go_a_full_disk_ends_the_recording() {
    let place = Place::new();
    let script = format!("\"$0\" {} --rotate-size 64KiB -o disk/x.damon", large(&place));
    let Some(output) = with_small_disk(&place, 200, &script) else { return };
    expect(&output, 5, "the disk is full; what was written before is a valid recording");
    let paths = parts(&place.path("."), "x");
    assert!(paths.len() >= 2);
    let stored: Vec<Snapshot> = paths.iter().flat_map(|path| snapshots(path)).collect();
    assert!(stored == LARGE.snapshots[..stored.len()], "{}", stored.len());
}
