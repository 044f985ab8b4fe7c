//! Who is recorded: several processes, those of a name or a control group, coming and going.

use crate::common::{
    Content, PROGRAM, Place, Sleeper, expect, named, read, recorded, signal, targets, wait_until,
};
use damon_format::Record;
use damon_record::proc::{ProcRoot, hierarchies, processes_below};
use nix::sys::signal::Signal;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn pids(content: &Content) -> Vec<u32> {
    targets(content).into_iter().map(|(pid, _)| pid).collect()
}

fn sorted(mut pids: Vec<u32>) -> Vec<u32> {
    pids.sort_unstable();
    pids
}

/// Starts the recorder and does not wait for a recording.
fn start(place: &Place, words: &[&str]) -> Child {
    place.command(words).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn several_processes_are_recorded_each_once() {
    let place = Place::new();
    let [a, b, c] = [Sleeper::new(), Sleeper::new(), Sleeper::new()];
    let list = format!("{},{}", a.pid(), b.pid());
    let words = ["--backend", "referenced", "-d", "700ms", &list, &c.pid(), &b.pid()];
    expect(&place.run(&words), 0, "of 3 processes");
    let content = read(&place.path("recording.damon"));
    let all = [&a, &b, &c].map(|sleeper| sleeper.0.id());
    assert_eq!(pids(&content)[0], all[0], "the first decides on the backend");
    assert_eq!(sorted(pids(&content)), sorted(all.to_vec()));
    for target in 0..3 {
        assert!(content.snapshots.iter().any(|s| s.0 == target && s.3 > 0), "{target}");
    }
}

#[test]
fn one_wrong_process_among_several_is_an_error_that_names_it() {
    let place = Place::new();
    let target = Sleeper::new();
    expect(&place.run(&[&target.pid(), "2147483647"]), 3, "no process 2147483647");
    assert!(!place.path("recording.damon").exists());
}

#[test]
fn what_ends_later_is_no_error() {
    let place = Place::new();
    let (stays, mut goes) = (Sleeper::new(), Sleeper::new());
    let words = ["--backend", "referenced", &stays.pid(), &goes.pid()];
    let recorder = start(&place, &words);
    recorded(&place, 2);
    goes.0.kill().unwrap();
    goes.0.wait().unwrap();
    drop(stays);
    expect(&recorder.wait_with_output().unwrap(), 0, "of 2 processes");
}

#[test]
fn a_later_process_that_the_backend_refuses_is_skipped_and_named() {
    let place = Place::new();
    let (target, traced) = (Sleeper::new(), Sleeper::new());
    let pid = nix::unistd::Pid::from_raw(i32::try_from(traced.0.id()).unwrap());
    nix::sys::ptrace::seize(pid, nix::sys::ptrace::Options::empty()).unwrap();
    let words = ["--backend", "writes", "-d", "500ms", &target.pid(), &traced.pid()];
    let text = format!("process {} (sleep) is not recorded", traced.pid());
    let said = expect(&place.run(&words), 0, &text);
    assert_eq!(said.matches(&text).count(), 1, "said once: {said}");
    let content = read(&place.path("recording.damon"));
    assert_eq!(pids(&content), [target.0.id()]);
    let noted = |r: &Record| matches!(r, Record::Note(note) if note.text.starts_with(&text));
    assert!(content.records.iter().any(noted));
}

#[test]
fn a_thread_stands_for_its_process() {
    let place = Place::new();
    let tid = nix::unistd::gettid().to_string();
    let said = format!("{tid} is a thread of process {}", std::process::id());
    let words = ["--backend", "referenced", "-d", "100ms", "--regions", "0x1000-0x2000", &tid];
    expect(&place.run(&words), 0, &said);
    assert_eq!(pids(&read(&place.path("recording.damon"))), [std::process::id()]);
}

#[test]
fn threads_of_the_kernel_are_refused() {
    let proc = ProcRoot::default();
    let all = proc.processes();
    let found = all.into_iter().find(|pid| proc.stat(*pid).is_ok_and(|s| s.is_kernel_thread()));
    let Some(pid) = found else {
        println!("SKIP: a container shows no thread of the kernel");
        return;
    };
    expect(&Place::new().run(&[&pid.to_string()]), 3, "is a thread of the kernel");
}

#[test]
fn more_processes_than_regions_allow_are_counted() {
    let place = Place::new();
    let all: Vec<Sleeper> = (0..5).map(|_| Sleeper::new()).collect();
    let list: Vec<String> = all.iter().map(Sleeper::pid).collect();
    let words = ["--backend", "referenced", "-d", "400ms", "--min-regions", "3"];
    let output =
        place.command(&words).args(["--max-regions", "16"]).arg(list.join(",")).output().unwrap();
    expect(&output, 0, "2 more processes are not recorded: at most 3 at a time");
    assert_eq!(targets(&read(&place.path("recording.damon"))).len(), 3);
}

#[test]
fn processes_of_a_name_are_recorded_as_they_come_and_go() {
    for name in ["damon-short", "damon-a-name-that-is-cut-off"] {
        let place = Place::new();
        let first = named(&place, name);
        let words = ["--backend", "referenced", "--comm", name];
        let recorder = start(&place, &words);
        recorded(&place, 1);
        let second = named(&place, name);
        let other = named(&place, "damon-a-name-other");
        recorded(&place, 2);
        let expected = [&first, &second].map(|sleeper| sleeper.0.id());
        drop((first, second));
        // Not for ever: nobody of this name is left.
        expect(&recorder.wait_with_output().unwrap(), 0, "of 2 processes");
        assert_eq!(pids(&read(&place.path("recording.damon"))), expected, "not {}", other.pid());
    }
}

#[test]
fn a_name_that_nobody_has_is_an_error_or_waited_for() {
    let place = Place::new();
    let name = "damon-waited";
    expect(&place.run(&["--comm", name]), 3, "no process named damon-waited; --wait");
    let words = ["--backend", "referenced", "--comm", name, "--wait"];
    let mut ended = start(&place, &words);
    let mut said = BufReader::new(ended.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("waiting; Ctrl-C ends that")));
    signal(&ended, Signal::SIGTERM);
    assert!(said.any(|line| line.contains("ended by SIGTERM while waiting")));
    assert_eq!(ended.wait().unwrap().code(), Some(3));
    assert!(!place.path("recording.damon").exists());

    let recorder = start(&place, &words);
    for number in 1..=2 {
        let process = named(&place, name);
        recorded(&place, number);
        drop(process);
    }
    signal(&recorder, Signal::SIGINT);
    expect(&recorder.wait_with_output().unwrap(), 0, "of 2 processes");
}

/// A control group of the test, removed with its processes when it ends.
struct Group(PathBuf);

impl Group {
    /// One in each kind of hierarchy; none where we may not.
    #[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
    fn all(name: &str) -> Vec<Self> {
        let mounted = hierarchies(&ProcRoot::default());
        let versions = ["v2", "pids", "freezer"];
        let kinds = versions.iter().filter_map(|kind| {
            let hierarchy = mounted.iter().find(|h| h.controllers == **kind)?;
            let path = hierarchy.mount.join(format!("damon-test-{}-{name}", std::process::id()));
            fs::create_dir(&path).ok()?;
            Some(Self(path))
        });
        let all: Vec<Self> = kinds.take(2).collect();
        if all.is_empty() {
            println!("SKIP: no control group can be made here");
        }
        all
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn below(&self, name: &str) -> Self {
        let path = self.0.join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn sleeper(&self) -> Sleeper {
        let sleeper = Sleeper::new();
        fs::write(self.0.join("cgroup.procs"), sleeper.pid()).unwrap();
        sleeper
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        wait_until("the group is removed", || {
            for pid in processes_below(&self.0).unwrap_or_default() {
                let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
                let _gone = nix::sys::signal::kill(pid, Signal::SIGKILL);
            }
            fs::remove_dir(&self.0).is_ok() || !self.0.exists()
        });
    }
}

#[test]
fn processes_of_a_control_group_are_recorded_as_they_come_and_go() {
    for group in Group::all("members") {
        let place = Place::new();
        let below = group.below("below");
        let first = below.sleeper();
        // As in /proc/PID/cgroup.
        let path = Path::new("/").join(group.0.file_name().unwrap());
        let words = ["--backend", "referenced", "--cgroup", path.to_str().unwrap()];
        let recorder = start(&place, &words);
        recorded(&place, 1);
        let second = group.sleeper();
        recorded(&place, 2);
        let expected = [&first, &second].map(|sleeper| sleeper.0.id());
        drop((first, second));
        expect(&recorder.wait_with_output().unwrap(), 0, "of 2 processes");
        assert_eq!(pids(&read(&place.path("recording.damon"))), expected);
    }
}

#[test]
fn a_control_group_may_be_empty_and_vanish() {
    for group in Group::all("vanishing") {
        let place = Place::new();
        let empty = format!("no process in the control group {}; --wait", group.path());
        expect(&place.run(&["--cgroup", group.path()]), 3, &empty);
        let words = ["--backend", "referenced", "--wait", "--cgroup", group.path()];
        let recorder = start(&place, &words);
        let process = group.sleeper();
        recorded(&place, 1);
        drop(process);
        wait_until("the group is removed", || fs::remove_dir(&group.0).is_ok());
        expect(&recorder.wait_with_output().unwrap(), 0, "of 1 process");
        let missing = format!("no control group {}; the nearest", group.path());
        expect(&place.run(&["--cgroup", group.path()]), 3, &missing);
    }
    let text = "no control group /no/such-group";
    if hierarchies(&ProcRoot::default()).is_empty() {
        return;
    }
    expect(&Place::new().run(&["--cgroup", "/no/such-group"]), 3, text);
}

#[test]
fn the_recorder_and_its_helpers_are_not_recorded_though_they_are_in_the_group() {
    let Some(group) = Group::all("inside").pop() else { return };
    let place = Place::new();
    let target = group.sleeper();
    let script = format!(
        "echo $$ > {}/cgroup.procs; exec \"$0\" -d 800ms --cgroup {}",
        group.path(),
        group.path()
    );
    let output = Command::new("sh")
        .args(["-c", &script, PROGRAM])
        .current_dir(place.path("."))
        .output()
        .unwrap();
    expect(&output, 0, "recorded");
    assert_eq!(pids(&read(&place.path("recording.damon"))), [target.0.id()]);
}

/// A process that is not our child, killed when the test ends.
struct Stranger(u32);

impl Drop for Stranger {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0).unwrap());
        let _gone = nix::sys::signal::kill(pid, Signal::SIGKILL);
    }
}

/// Until its exec such a child uses the memory of its parent, where it is recorded already.
#[test]
fn a_vfork_child_is_taken_up_when_it_has_its_own_memory() {
    let place = Place::new();
    let gate = place.path("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let parent = Command::new(env!("CARGO_BIN_EXE_damon-writes-target"))
        .args(["spawn-behind", gate.to_str().unwrap()])
        .spawn()
        .map(Sleeper)
        .unwrap();
    let proc = ProcRoot::default();
    let children = || damon_record::proc::children_of(&proc, parent.0.id());
    wait_until("there is a child", || !children().is_empty());
    let child = Stranger(children()[0]);
    let recorder = start(&place, &["--backend", "referenced", "--children", &parent.pid()]);
    recorded(&place, 1);
    std::thread::sleep(std::time::Duration::from_millis(400));
    drop(fs::OpenOptions::new().write(true).open(&gate).unwrap());
    recorded(&place, 2);
    let expected = [(parent.0.id(), "damon-writes-ta".to_owned()), (child.0, "sleep".to_owned())];
    drop((parent, child));
    expect(&recorder.wait_with_output().unwrap(), 0, "of 2 processes");
    assert_eq!(targets(&read(&place.path("recording.damon"))), expected);
}
