//! Recordings of real processes, from start to finish.

use crate::common::{Place, Sleeper, expect, open, read, recorded, signal, wait_until};
use damon_format::{Completeness, Record};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::process::{Child, Command, Stdio};

const BUSY: &str = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; exit 7";

#[test]
fn the_commands_status_is_passed_on_and_recorded() {
    for backend in ["referenced", "auto"] {
        let place = Place::new();
        let words =
            ["--backend", backend, "--sample", "2ms", "--aggr", "10ms", "--", "sh", "-c", BUSY];
        expect(&place.run(&words), 7, "recorded");
        let content = read(&place.path("recording.damon"));
        assert!(!content.snapshots.is_empty());
        let status = content.records.iter().find_map(|r| match r {
            Record::TargetExited(exited) => exited.wait_status,
            _ => None,
        });
        assert_eq!(status, Some(7 << 8));
        let started = content.records.iter().find_map(|r| match r {
            Record::TargetStarted(started) => Some(started.comm.clone()),
            _ => None,
        });
        assert_eq!(started.as_deref(), Some("sh"));
    }
}

#[test]
fn signals_of_the_command_become_shell_statuses() {
    let place = Place::new();
    let output = place.run(&["-q", "--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!(output.status.code(), Some(143));
}

#[test]
fn standard_streams_belong_to_the_command() {
    let place = Place::new();
    let output = place.run(&["-q", "--", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.stderr, b"err\n");
}

#[test]
fn a_command_that_ends_at_once_still_leaves_a_valid_recording() {
    let place = Place::new();
    expect(&place.run(&["--", "true"]), 0, "recorded");
    let reader = open(&place.path("recording.damon"));
    assert_eq!(reader.completeness(), Completeness::Complete);
}

#[test]
fn the_default_output_keeps_its_predecessor() {
    let place = Place::new();
    assert_eq!(place.run(&["-q", "--", "true"]).status.code(), Some(0));
    let first = std::fs::read(place.path("recording.damon")).unwrap();
    assert_eq!(place.run(&["-q", "--", "true"]).status.code(), Some(0));
    assert_eq!(std::fs::read(place.path("recording.damon.old")).unwrap(), first);
    assert_ne!(std::fs::read(place.path("recording.damon")).unwrap(), first);
}

#[test]
fn a_duration_ends_the_recording_and_not_the_process() {
    let place = Place::new();
    let mut target = Sleeper::new();
    expect(&place.run(&["-d", "2s", "--budget", "100%", &target.pid()]), 0, "recorded");
    assert!(target.0.try_wait().unwrap().is_none(), "the target lives");
    let content = read(&place.path("recording.damon"));
    assert!(content.snapshots.len() >= 2, "{}", content.snapshots.len());
    assert!(content.snapshots.iter().all(|(_, start, end, _)| start < end));
    let memory = content.records.iter().any(|r| matches!(r, Record::Memory(m) if m.rss > 0));
    assert!(memory, "the memory series has begun");
    let mappings = content.records.iter().find_map(|r| match r {
        Record::MappingsChanged(m) => Some(m),
        _ => None,
    });
    assert!(mappings.unwrap().added.iter().any(|m| m.name == "[stack]"));
}

/// Of which targets proportional memory is recorded, in this order; none of it is nothing.
fn proportional(place: &Place) -> Vec<u32> {
    let records = read(&place.path("recording.damon")).records;
    let samples = records.iter().filter_map(|record| match record {
        Record::ProportionalMemory(sample) => Some(sample),
        _ => None,
    });
    samples.inspect(|sample| assert!(sample.pss > 0)).map(|sample| sample.target.0).collect()
}

#[test]
fn memory_in_proportion_is_recorded_for_who_asks_for_it() {
    let place = Place::new();
    let (one, other) = (Sleeper::new(), Sleeper::new());
    let (first, second) = (one.pid(), other.pid());
    let words = ["--budget", "100%", &first, &second];
    let recorder = place.start(&[&["--pss", "5m"], &words[..]].concat());
    // What is not read when the recording ends is given up.
    wait_until("both are read", || proportional(&place).len() >= 2);
    signal(&recorder, Signal::SIGINT);
    expect(&recorder.wait_with_output().unwrap(), 0, "recorded");
    assert_eq!(proportional(&place), [0, 1], "each once, one after the other");
    expect(&place.run(&[&["-d", "1s", "--force"], &words[..]].concat()), 0, "recorded");
    assert!(proportional(&place).is_empty(), "nobody has asked for it");
}

#[test]
fn signals_finish_the_file() {
    for ending in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let place = Place::new();
        let target = Sleeper::new();
        let recorder = place.start(&[&target.pid()]);
        signal(&recorder, ending);
        let output = recorder.wait_with_output().unwrap();
        expect(&output, 0, "recorded");
        let path = place.path("recording.damon");
        assert_eq!(open(&path).completeness(), Completeness::Complete);
        let finished = read(&path).records.into_iter().find_map(|r| match r {
            Record::Finished(f) => Some(f.reason),
            _ => None,
        });
        assert_eq!(finished.unwrap(), format!("ended by {}", ending.as_str()));
    }
}

#[test]
fn an_interrupted_command_is_waited_for_and_its_status_passed_on() {
    let place = Place::new();
    let recorder = place.start(&["--", "sh", "-c", "trap '' INT; sleep 1; exit 9"]);
    signal(&recorder, Signal::SIGINT);
    let output = recorder.wait_with_output().unwrap();
    expect(&output, 9, "waiting for sh to end");
    let reader = open(&place.path("recording.damon"));
    assert_eq!(reader.completeness(), Completeness::Complete);
}

#[test]
fn the_end_of_the_target_ends_the_recording() {
    let place = Place::new();
    let mut target = Command::new("sleep").arg("1").spawn().unwrap();
    let pid = target.id().to_string();
    expect(&place.run(&[&pid]), 0, "recorded");
    target.wait().unwrap();
    let content = read(&place.path("recording.damon"));
    let exits = content.records.iter().filter(|r| matches!(r, Record::TargetExited(_)));
    assert_eq!(exits.count(), 1);
}

#[test]
fn a_new_program_in_the_same_process_is_followed() {
    for backend in ["referenced", "auto"] {
        let place = Place::new();
        let words = ["-q", "--backend", backend, "--", "sh", "-c", "sleep 0.5; exec sleep 1"];
        assert_eq!(place.run(&words).status.code(), Some(0));
        let content = read(&place.path("recording.damon"));
        let program = content.records.iter().find_map(|r| match r {
            Record::TargetExecuted(e) => Some(e.comm.clone()),
            _ => None,
        });
        assert_eq!(program.as_deref(), Some("sleep"), "backend {backend}");
        let last = content.snapshots.last().unwrap();
        assert!(last.3 > 0, "the new program has regions");
    }
}

#[test]
fn forked_processes_are_recorded_when_asked_for() {
    let place = Place::new();
    let words = ["-q", "--children", "--", "sh", "-c", "sh -c 'sleep 1; true' & wait"];
    assert_eq!(place.run(&words).status.code(), Some(0));
    let content = read(&place.path("recording.damon"));
    let parents: Vec<_> = content
        .records
        .iter()
        .filter_map(|r| match r {
            Record::TargetStarted(s) => Some(s.parent.map(|p| p.0)),
            _ => None,
        })
        .collect();
    assert_eq!(parents[0], None);
    assert!(parents[1..].contains(&Some(0)), "{parents:?}");
    assert!(parents.len() >= 3, "the grandchild too: {parents:?}");
}

#[test]
fn processes_that_nobody_could_look_at_are_counted() {
    let place = Place::new();
    let go = place.path("go");
    mkfifo(&go, Mode::S_IRWXU).unwrap();
    // A child that ends when it is told to.
    let child = ["--backend", "referenced", "--children", "--", "sh", "-c", "cat go & wait; true"];
    let end = |recorder: Child| {
        std::fs::write(&go, "").unwrap();
        recorder.wait_with_output().unwrap()
    };
    let recorder = place.start(&[&["--sample", "1h", "--aggr", "1h"], &child[..]].concat());
    recorded(&place, 2);
    expect(&end(recorder), 0, "of 2 processes (2 ended before the first look at them)");
    std::fs::remove_file(place.path("recording.damon")).unwrap();
    let often = ["--sample", "50ms", "--aggr", "50ms", "--budget", "100%"];
    let recorder = place.start(&[&often, &child[..]].concat());
    let path = place.path("recording.damon");
    wait_until("both have been looked at", || {
        let content = read(&path);
        (0..2).all(|target| content.snapshots.iter().any(|snapshot| snapshot.0 == target))
    });
    let said = expect(&end(recorder), 0, "of 2 processes in");
    assert!(!said.contains("first look at them"), "{said}");
}

/// Some live long enough to be recorded, the others are counted, and nobody is forgotten.
#[test]
fn each_child_is_recorded_or_counted() {
    // The shell forks one for seq, one for each true, and one for each sleep.
    const FORKED: usize = 1 + 40 + 5;
    let place = Place::new();
    let script = "for i in $(seq 40); do /bin/true; [ $((i % 8)) = 0 ] && sleep 0.2; done; true";
    let words = ["--backend", "referenced", "--children", "--", "sh", "-c", script];
    let said = expect(&place.run(&words), 0, "recorded");
    let content = read(&place.path("recording.damon"));
    let notes: Vec<&str> = content
        .records
        .iter()
        .filter_map(|r| if let Record::Note(note) = r { Some(note.text.as_str()) } else { None })
        .collect();
    if let Some(why) = notes.iter().find(|note| note.contains("the kernel does not tell of them")) {
        assert!(
            !nix::unistd::geteuid().is_root() || why.contains("EACCES") || why.contains("EPERM")
        );
        println!("SKIP: {why}");
        return;
    }
    let brief = notes.iter().find_map(|note| {
        let (count, _) = note.split_once(" forked process")?;
        note.contains("ended before anything could be recorded").then(|| count.parse().unwrap())
    });
    let brief: usize = brief.unwrap_or(0);
    let recorded = crate::common::targets(&content).len() - 1;
    assert_eq!(recorded + brief, FORKED, "{notes:?}\n{said}");
    if brief > 0 {
        let text = format!("{brief} more ended before they could be recorded");
        assert!(said.contains(&text), "{said}");
    }
}

/// The parent ends at once, before anybody has looked for its children.
#[test]
fn a_child_is_recorded_though_its_parent_has_ended() {
    let place = Place::new();
    if damon_record::sys::perf::PerfRing::tasks(0, 0).is_err() {
        println!("SKIP: the kernel does not tell of children here");
        return;
    }
    let go = place.path("go");
    mkfifo(&go, Mode::S_IRWXU).unwrap();
    for backend in ["referenced", "writes"] {
        let words = ["--backend", backend, "--force", "-o", "recording.damon", "--children", "--"];
        let script = ["sh", "-c", "cat go & exit 3"];
        let recorder = place.start(&[&words[..], &script].concat());
        recorded(&place, 2);
        std::fs::write(&go, "").unwrap();
        expect(&recorder.wait_with_output().unwrap(), 3, "of 2 processes");
        std::fs::remove_file(place.path("recording.damon")).unwrap();
    }
}

#[test]
fn many_short_children_all_run_and_nobody_hangs() {
    let place = Place::new();
    let loops = "for i in $(seq 200); do /bin/true && echo ran; done; exit 5";
    for backend in ["auto", "referenced"] {
        let words = ["-q", "--children", "--backend", backend, "--", "sh", "-c", loops];
        let mut recorder = place.command(&words).stdout(Stdio::piped()).spawn().unwrap();
        wait_until("the recorder ends", || recorder.try_wait().unwrap().is_some());
        let output = recorder.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(5), "backend {backend}");
        assert_eq!(output.stdout, "ran\n".repeat(200).as_bytes(), "backend {backend}");
    }
}

#[test]
fn a_recording_goes_through_a_pipe() {
    let place = Place::new();
    let output = place.run(&["-o", "-", "--", "sleep", "0.4"]);
    let said = expect(&output, 0, "to standard output");
    assert!(!said.contains("heatmap"), "no file to look at: {said}");
    let path = place.path("copy");
    std::fs::write(&path, &output.stdout).unwrap();
    assert_eq!(open(&path).completeness(), Completeness::Complete);
    assert!(!read(&path).snapshots.is_empty());
}

struct Bounds<'a>(&'a mut Vec<(u64, u64)>);
impl damon_format::Visitor for Bounds<'_> {
    fn snapshot(&mut self, s: &damon_format::SnapshotView<'_>) {
        self.0.push((s.starts[0], *s.ends.last().unwrap()));
    }
}

#[test]
fn a_recording_shorter_than_a_sample_has_one_snapshot_of_an_exact_backend() {
    let place = Place::new();
    let target = Sleeper::new();
    let words = ["-q", "--backend", "referenced", "--sample", "1h", "--aggr", "1h", "-d", "200ms"];
    let output = place.command(&words).arg(target.pid()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(read(&place.path("recording.damon")).snapshots.len(), 1);
}

#[test]
fn what_the_command_prints_does_not_get_into_a_piped_recording() {
    let place = Place::new();
    let output = place.run(&["-q", "-o", "-", "--", "echo", "hello"]);
    assert_eq!(output.stderr, b"hello\n");
    let path = place.path("copy");
    std::fs::write(&path, &output.stdout).unwrap();
    assert_eq!(open(&path).completeness(), Completeness::Complete);
}

#[test]
fn a_stopped_process_stays_stopped() {
    let place = Place::new();
    let target = Sleeper::new();
    signal(&target.0, Signal::SIGSTOP);
    let stat = || std::fs::read_to_string(format!("/proc/{}/stat", target.pid())).unwrap();
    wait_until("the target is stopped", || stat().contains(") T "));
    expect(&place.run(&["-d", "300ms", &target.pid()]), 0, "recorded");
    assert!(stat().contains(") T "), "{}", stat());
}

#[test]
fn a_killed_target_ends_the_recording_in_good_order() {
    let place = Place::new();
    let mut target = Sleeper::new();
    let recorder = place.start(&[&target.pid()]);
    let path = place.path("recording.damon");
    target.0.kill().unwrap();
    expect(&recorder.wait_with_output().unwrap(), 0, "recorded");
    assert_eq!(open(&path).completeness(), Completeness::Complete);
}

#[test]
fn only_the_ranges_asked_for_are_monitored() {
    let place = Place::new();
    let target = Sleeper::new();
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", target.pid())).unwrap();
    let range = maps.lines().find(|l| l.contains("[stack]")).unwrap();
    let (start, rest) = range.split_once('-').unwrap();
    let end = rest.split_once(' ').unwrap().0;
    let words = ["-q", "-d", "400ms", "--regions", &format!("0x{start}-0x{end}"), &target.pid()];
    assert_eq!(place.run(&words).status.code(), Some(0));
    let reader = open(&place.path("recording.damon"));
    let mut seen = Vec::new();
    for block in reader.blocks() {
        reader.visit_block(block, &mut Bounds(&mut seen)).unwrap();
    }
    let hex = |text| u64::from_str_radix(text, 16).unwrap();
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|bounds| *bounds == (hex(start), hex(end))), "{seen:x?}");
}
