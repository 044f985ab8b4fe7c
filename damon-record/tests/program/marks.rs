//! Marks that users set while something is recorded.

use crate::common::{
    Content, PROGRAM, Place, Sleeper, expect, named, parts, read, read_part, signal, stderr,
    wait_until,
};
use damon_format::{Mark, Record};
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, mkfifo};
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Everything fast, whatever it costs.
const FAST: [&str; 6] = ["--budget", "100%", "--sample", "2ms", "--aggr", "10ms"];

fn marks(content: &Content) -> Vec<Mark> {
    let marks = content.records.iter().filter_map(|record| match record {
        Record::Mark(mark) => Some(mark.clone()),
        _ => None,
    });
    let marks: Vec<Mark> = marks.collect();
    assert!(marks.is_sorted_by(|a, b| a.time_ns < b.time_ns), "{marks:?}");
    marks
}

fn texts(content: &Content) -> Vec<String> {
    marks(content).into_iter().map(|mark| mark.text).collect()
}

fn lost(content: &Content) -> u64 {
    let counts = content.records.iter().map(|record| match record {
        Record::Lost(lost) if lost.what.contains("marks came faster than") => lost.count,
        _ => 0,
    });
    counts.sum()
}

fn shell(place: &Place, script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(place.path(".")).stdin(Stdio::null());
    shell
}

/// Ends a recording and reads it.
fn ended(place: &Place, recorder: Child) -> Content {
    signal(&recorder, Signal::SIGINT);
    expect(&recorder.wait_with_output().unwrap(), 0, "recorded");
    read(&place.path("recording.damon"))
}

/// What a file that a script has written says.
fn said(path: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))?;
    Some(PathBuf::from(text.trim()))
}

#[test]
fn a_command_names_its_phases() {
    let script = format!(
        "echo \"$DAMON_RECORD_MARKS\" >where; echo load >\"$DAMON_RECORD_MARKS\"; sleep 0.2; \
         {PROGRAM} mark 'run  it' now; sleep 0.2; printf 'the end' >\"$DAMON_RECORD_MARKS\"; exit 3"
    );
    for backend in ["referenced", "auto"] {
        let place = Place::new();
        let words = ["--backend", backend, "--", "sh", "-c", &script];
        expect(&place.run(&[&FAST[..], &words].concat()), 3, "recorded");
        let content = read(&place.path("recording.damon"));
        assert_eq!(texts(&content), ["load", "run  it now", "the end"], "backend {backend}");
        let marks = marks(&content);
        let at = |wanted: fn(&Record) -> bool| {
            content.records.iter().find(|r| wanted(r)).unwrap().time_ns()
        };
        let began = at(|record| matches!(record, Record::TargetStarted(_)));
        let exited = at(|record| matches!(record, Record::TargetExited(_)));
        assert!(began < marks[0].time_ns && marks[2].time_ns <= exited, "{marks:?}");
        let fifo = said(&place.path("where")).unwrap();
        assert!(fifo.is_absolute() && !fifo.parent().unwrap().exists(), "nothing is left");
    }
}

#[test]
fn a_mark_of_the_last_moment_is_in_the_recording() {
    for round in 0..20 {
        let place = Place::new();
        let words = ["-q", "--", "sh", "-c", "echo last >\"$DAMON_RECORD_MARKS\""];
        assert_eq!(place.run(&words).status.code(), Some(0));
        assert_eq!(texts(&read(&place.path("recording.damon"))), ["last"], "round {round}");
    }
}

#[test]
fn a_mark_and_an_end_that_are_seen_together_keep_their_order() {
    let place = Place::new();
    let script = "echo >begun; while [ ! -e go ]; do sleep 0.01; done; echo last >\"$DAMON_RECORD_MARKS\"; echo $$ >gone";
    let recorder = place.start(&[&FAST[..], &["--", "sh", "-c", script]].concat());
    wait_until("the command runs", || place.path("begun").exists());
    signal(&recorder, Signal::SIGSTOP);
    std::fs::write(place.path("go"), "").unwrap();
    wait_until("the command has ended", || {
        let stat = said(&place.path("gone")).map(|pid| Path::new("/proc").join(pid).join("stat"));
        stat.is_some_and(|stat| std::fs::read_to_string(stat).unwrap().contains(") Z "))
    });
    signal(&recorder, Signal::SIGCONT);
    expect(&recorder.wait_with_output().unwrap(), 0, "recorded");
    let content = read(&place.path("recording.damon"));
    assert_eq!(texts(&content), ["last"]);
    let exit = content.records.iter().find(|r| matches!(r, Record::TargetExited(_)));
    assert!(exit.unwrap().time_ns() >= marks(&content)[0].time_ns);
}

#[test]
fn marks_for_a_running_process_come_through_a_path() {
    let place = Place::new();
    let (target, fifo) = (Sleeper::new(), place.path("marks"));
    let recorder = place.start(&["--marks", "marks", &target.pid()]);
    let found = std::fs::metadata(&fifo).unwrap();
    assert!(found.file_type().is_fifo());
    assert_eq!(found.permissions().mode() & 0o777, 0o600, "for its owner only");
    // A second recorder would take marks away from the first.
    let second = place.run(&["-o", "x", "--marks", "marks", &target.pid()]);
    expect(&second, 3, "another recorder reads the marks");
    expect(&place.run(&["mark", "--to", "marks", "one"]), 0, "");
    assert!(shell(&place, "echo two >marks").status().unwrap().success());
    // A writer that is killed in the middle of a line, and later another one.
    assert!(!shell(&place, "printf half >marks; kill -9 $$").status().unwrap().success());
    // Far longer than an unended line waits for its end, for a recorder that gets no processor for a while.
    std::thread::sleep(Duration::from_secs(2));
    expect(&place.run(&["mark", "--to", "marks", "whole"]), 0, "");
    // Hostile ones, in one piece.
    let hostile = b"\n \t\r\n\x1b[2J\xff\xc3(\0\n".iter().chain(&[b'y'; 3000]).chain(b"\nnext\n");
    std::fs::write(place.path("hostile"), hostile.copied().collect::<Vec<u8>>()).unwrap();
    assert!(shell(&place, "cat hostile >marks").status().unwrap().success());
    let content = ended(&place, recorder);
    let long = format!("{}…", "y".repeat(237));
    let expected =
        ["one", "two", "half", "whole", "\u{fffd}[2J\u{fffd}\u{fffd}(\u{fffd}", &long, "next"];
    assert_eq!(texts(&content), expected);
    assert!(!fifo.exists());
}

/// Nanoseconds of the clock that recordings have.
fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(time.tv_sec() * 1_000_000_000 + time.tv_nsec()).unwrap()
}

#[test]
fn marks_that_are_set_before_anybody_is_there_have_their_own_time() {
    let place = Place::new();
    let name = "damon-marked";
    let words = ["-v", "--backend", "referenced", "--comm", name, "--wait", "--marks", "marks"];
    let mut recorder = place.command(&words).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(recorder.stderr.take().unwrap()).lines();
    let mut wait_for = |text: &str| while !said.next().unwrap().unwrap().contains(text) {};
    wait_for("waiting; Ctrl-C ends that");
    let mut moments = Vec::new();
    for text in ["one", "two"] {
        let begin = now_ns();
        expect(&place.run(&["mark", "--to", "marks", text]), 0, "");
        wait_for(&format!("mark: {text}"));
        moments.push(begin..now_ns());
    }
    let target = named(&place, name);
    wait_for("recording to");
    expect(&place.run(&["mark", "--to", "marks", "three"]), 0, "");
    wait_for("mark: three");
    signal(&recorder, Signal::SIGINT);
    wait_for("recorded");
    assert!(recorder.wait().unwrap().success());
    drop(target);
    let content = read(&place.path("recording.damon"));
    assert_eq!(texts(&content), ["one", "two", "three"]);
    let marks = marks(&content);
    for (mark, moment) in marks.iter().zip(&moments) {
        assert!(moment.contains(&mark.time_ns), "{mark:?} not in {moment:?}");
    }
    let began = content.records.iter().position(|r| matches!(r, Record::TargetStarted(_))).unwrap();
    let of_mark = |text: &str| {
        content.records.iter().position(|r| matches!(r, Record::Mark(m) if m.text == text)).unwrap()
    };
    assert!(of_mark("two") < began);
    assert!(marks[1].time_ns < content.records[began].time_ns());
}

#[test]
fn no_other_file_is_taken_for_a_fifo() {
    let place = Place::new();
    std::fs::write(place.path("precious"), "precious").unwrap();
    let words = ["--marks", "precious", "--", "touch", "never"];
    expect(&place.run(&words), 2, "which is no FIFO");
    expect(&place.run(&["mark", "--to", "precious", "x"]), 2, "is no FIFO");
    expect(&place.run(&["--marks", "no/marks", "--", "touch", "never"]), 3, "create it first");
    assert!(!place.path("never").exists() && !place.path("recording.damon").exists());
    assert_eq!(std::fs::read_to_string(place.path("precious")).unwrap(), "precious");
    // One that is there is used, and stays.
    mkfifo(&place.path("theirs"), Mode::S_IRWXU).unwrap();
    let words = ["-q", "--marks", "theirs", "--", "sh", "-c", "echo x >theirs"];
    assert_eq!(place.run(&words).status.code(), Some(0));
    assert_eq!(texts(&read(&place.path("recording.damon"))), ["x"]);
    assert!(place.path("theirs").exists());
    expect(&place.run(&["--backend", "replay:x", "--marks", "theirs"]), 2, "--marks");
    expect(&place.run(&["--backend", "replay:x", "--pss", "1s"]), 2, "--pss");
}

#[test]
fn a_script_that_is_not_recorded_may_say_that_it_does_not_mind() {
    let place = Place::new();
    let mark = |words: &[&str]| {
        let mut command = place.command(&[&["mark"], words].concat());
        command.env_remove("DAMON_RECORD_MARKS").output().unwrap()
    };
    let text = expect(&mark(&["x"]), 3, "nobody records");
    assert!(text.contains("damon-record -- COMMAND") && text.contains("--if-recorded"), "{text}");
    expect(&mark(&["--to", "missing", "x"]), 3, "nobody records");
    mkfifo(&place.path("unread"), Mode::S_IRWXU).unwrap();
    expect(&mark(&["--to", "unread", "x"]), 3, "nobody reads unread");
    for to in [&[][..], &["--to", "missing"], &["--to", "unread"]] {
        expect(&mark(&[to, &["--if-recorded", "x"]].concat()), 0, "");
    }
    expect(&mark(&["--if-recorded", " "]), 2, "needs a text");
    expect(&mark(&[]), 2, "<TEXT>");
}

#[test]
fn a_flood_of_marks_is_cut_and_recording_goes_on() {
    let place = Place::new();
    let target = Sleeper::new();
    let pid = target.pid();
    let words = [&FAST[..], &["--marks", "marks", "-d", "2500ms", &pid]].concat();
    let recorder = place.start(&words);
    let mut flood = Sleeper(shell(&place, "exec yes >marks").spawn().unwrap());
    let output = recorder.wait_with_output().unwrap();
    expect(&output, 0, " lost");
    let content = read(&place.path("recording.damon"));
    let count = marks(&content).len();
    let times: Vec<u64> = content.records.iter().map(Record::time_ns).collect();
    let seconds = (times.iter().max().unwrap() - times.iter().min().unwrap()) / 1_000_000_000;
    let most = usize::try_from(200 * (seconds + 2)).unwrap();
    assert!((200..=most).contains(&count), "{count} marks in {seconds} s");
    assert!(lost(&content) > 10_000, "{}", lost(&content));
    let begun = marks(&content)[0].time_ns;
    assert!(content.snapshots.iter().any(|snapshot| snapshot.1 > begun), "it looks on");
    // The writer was blocked by nobody and killed by nobody: it goes on until it goes.
    assert!(flood.0.try_wait().unwrap().is_none());
}

#[test]
fn parts_hold_each_mark_once_and_children_may_set_them() {
    let place = Place::new();
    let script = "for i in 1 2 3 4 5 6 7 8 9; do (echo mark $i >\"$DAMON_RECORD_MARKS\"; sleep 0.3) & \
                  wait; done";
    let words = ["-q", "--rotate-time", "1s", "--children", "--", "sh", "-c", script];
    let output = place.run(&[&FAST[..], &words].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let paths = parts(&place.path("."), "recording");
    assert!(paths.len() >= 2, "{paths:?}");
    let all: Vec<String> = paths.iter().flat_map(|path| texts(&read_part(path).1)).collect();
    let expected: Vec<String> = (1..=9).map(|i| format!("mark {i}")).collect();
    assert_eq!(all, expected);
}

/// Sets marks in every way until `enough` exists; fails when one cannot be set.
const STUBBORN: &str = "set -e; echo \"$DAMON_RECORD_MARKS\" >where; exec 9>\"$DAMON_RECORD_MARKS\"; \
    while [ ! -e enough ]; do echo x >\"$DAMON_RECORD_MARKS\"; echo kept open >&9; echo >set; sleep 0.01; done; \
    head -c 300000 /dev/zero | tr '\\0' '\\n' >&9; echo done >ended";

#[test]
fn a_command_may_set_marks_whatever_has_become_of_its_recorder() {
    // Killed; ended by a signal; ended by the time, and waiting.
    let ways: [(&[&str], Option<Signal>); 3] =
        [(&[], Some(Signal::SIGKILL)), (&[], Some(Signal::SIGTERM)), (&["-d", "2s"], None)];
    for (more, ending) in ways {
        let place = Place::new();
        let words = [&FAST[..], more, &["--", "sh", "-c", STUBBORN]].concat();
        let mut recorder = place.start(&words);
        wait_until("marks are set", || place.path("set").exists());
        let fifo = said(&place.path("where")).unwrap();
        if let Some(ending) = ending {
            signal(&recorder, ending);
            recorder.wait().unwrap();
        } else {
            std::thread::sleep(Duration::from_millis(2500));
            assert!(recorder.try_wait().unwrap().is_none(), "it waits for the command");
        }
        // More than the FIFO holds is written without anybody who reads it.
        std::thread::sleep(Duration::from_millis(200));
        assert!(fifo.exists(), "{ending:?}");
        std::fs::write(place.path("enough"), "").unwrap();
        wait_until("the command ends by itself", || place.path("ended").exists());
        wait_until("nothing is left", || !fifo.parent().unwrap().exists());
        let content = read(&place.path("recording.damon"));
        if ending != Some(Signal::SIGKILL) {
            assert!(texts(&content).iter().any(|text| text == "kept open"));
            wait_until("the recorder ends", || recorder.try_wait().unwrap().is_some());
        }
    }
}

/// The process that looks after the FIFO of this recorder.
fn guard_of(recorder: &Child) -> Option<i32> {
    let parent = format!(" {} ", recorder.id());
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let said = |name: &str| std::fs::read_to_string(entry.path().join(name)).ok();
        let is_guard = said("cmdline")?.contains("--internal-marks-guard")
            && said("stat")?.rsplit(')').next()?.get(2..)?.starts_with(&parent);
        is_guard.then(|| entry.file_name().to_str()?.parse().ok())?
    })
}

#[test]
fn a_recorder_that_has_lost_its_guard_does_not_block_the_command_it_waits_for() {
    let place = Place::new();
    let words = [&FAST[..], &["-d", "2s", "--", "sh", "-c", STUBBORN]].concat();
    let mut recorder = place.start(&words);
    wait_until("marks are set", || place.path("set").exists());
    let guard = Pid::from_raw(guard_of(&recorder).unwrap());
    nix::sys::signal::kill(guard, Signal::SIGKILL).unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    assert!(recorder.try_wait().unwrap().is_none(), "it waits for the command");
    std::fs::write(place.path("enough"), "").unwrap();
    wait_until("the command ends by itself", || place.path("ended").exists());
    wait_until("the recorder ends", || recorder.try_wait().unwrap().is_some());
    assert!(texts(&read(&place.path("recording.damon"))).iter().any(|text| text == "kept open"));
    let fifo = said(&place.path("where")).unwrap();
    assert!(!fifo.parent().unwrap().exists(), "nothing is left");
}

#[test]
fn recordings_one_after_the_other_share_a_fifo_that_stays_and_that_somebody_keeps_open() {
    let place = Place::new();
    let target = Sleeper::new();
    let path = place.path("theirs");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let open = || OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&path);
    let mut writer = None;
    for round in 0..4 {
        let name = format!("{round}.damon");
        let words = ["-o", &name, "--marks", "theirs", &target.pid()];
        let recorder = place.start_with(&name, &words);
        let writer = writer.get_or_insert_with(|| open().unwrap());
        let expected: Vec<String> = (0..20).map(|number| format!("{round}: {number}")).collect();
        for text in &expected {
            // One write is one mark.
            writer.write_all(format!("{text}\n").as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
        signal(&recorder, Signal::SIGINT);
        expect(&recorder.wait_with_output().unwrap(), 0, "recorded");
        assert_eq!(texts(&read(&place.path(&name))), expected);
    }
    // More than it holds, and nobody records.
    let (mut writer, mut written) = (writer.unwrap(), 0);
    wait_until("it is thrown away", || {
        match writer.write(&[b'\n'; 4096]) {
            Ok(count) => written += count,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}"),
        }
        written > 300_000
    });
    drop(writer);
    wait_until("nobody reads it any more", || open().is_err());
}

#[test]
fn a_fifo_of_a_killed_recorder_blocks_nobody() {
    let place = Place::new();
    let target = Sleeper::new();
    let mut recorder = place.start(&["--marks", "marks", &target.pid()]);
    let writer = "exec 9>marks; echo > begun; while [ ! -e enough ]; do echo x >&9; sleep 0.01; done; \
                  echo > ended";
    let mut writer = shell(&place, writer).spawn().unwrap();
    wait_until("it writes", || place.path("begun").exists());
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    wait_until("the FIFO is gone", || !place.path("marks").exists());
    std::fs::write(place.path("enough"), "").unwrap();
    assert!(writer.wait().unwrap().success(), "it was not killed for writing");
    // The name is free.
    let again = place.start_with("again", &["-o", "again", "--marks", "marks", &target.pid()]);
    expect(&place.run(&["mark", "--to", "marks", "again"]), 0, "");
    signal(&again, Signal::SIGINT);
    expect(&again.wait_with_output().unwrap(), 0, "recorded");
    assert_eq!(texts(&read(&place.path("again"))), ["again"]);
}

/// `words` as a user without privileges.
fn unprivileged(place: &Place, words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "1000", "--regid", "1000", "--clear-groups"]).args(words);
    command.current_dir(place.path(".")).stdin(Stdio::null()).env("TMPDIR", place.path("."));
    command
}

#[test]
fn users_without_privileges_set_marks_in_what_they_record() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: the other tests are such users already");
        return;
    }
    let place = Place::new();
    std::fs::set_permissions(place.path("."), std::fs::Permissions::from_mode(0o777)).unwrap();
    let program = place.path("damon-record");
    std::fs::copy(PROGRAM, &program).unwrap();
    let program = program.to_str().unwrap();
    let words = [program, "-q", "--", "sh", "-c", "$0 mark theirs", program];
    assert_eq!(unprivileged(&place, &words).status().unwrap().code(), Some(0));
    assert_eq!(texts(&read(&place.path("recording.damon"))), ["theirs"]);
    // One that they make and may not open themselves is no reason to leave it there.
    let script = "umask 777; exec \"$0\" --marks masked -- true";
    let output = unprivileged(&place, &["sh", "-c", script, program]).output().unwrap();
    expect(&output, 3, "no permission for marks");
    assert!(!place.path("masked").exists());
    // Not in what somebody else records, unless that one lets them.
    let target = Sleeper::new();
    mkfifo(&place.path("open"), Mode::S_IRWXU).unwrap();
    let wide = std::fs::Permissions::from_mode(0o622);
    std::fs::set_permissions(place.path("open"), wide).unwrap();
    for (fifo, status) in [("closed", 3), ("open", 0)] {
        std::fs::remove_file(place.path("recording.damon")).unwrap();
        let recorder = place.start(&["--marks", fifo, &target.pid()]);
        wait_until("it is there", || place.path(fifo).exists());
        let output = unprivileged(&place, &[program, "mark", "--to", fifo, fifo]).output().unwrap();
        expect(&output, status, if status == 0 { "" } else { "mkfifo -m 622" });
        let set: &[&str] = if status == 0 { &[fifo] } else { &[] };
        assert_eq!(texts(&ended(&place, recorder)), set);
    }
}
