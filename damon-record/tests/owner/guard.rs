//! What the guard does, and what it leaves alone.

use crate::common::{Machine, has_ended, wait_until};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getsid};

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

#[test]
fn it_ends_without_a_write_when_it_is_not_needed() {
    let machine = Machine::new();
    let before = machine.listing();
    for words in ["release", "panic", "state"] {
        let mut owner = machine.running(&[]);
        let guard = owner.guard();
        owner.tell(words);
        let status = owner.finish();
        assert_eq!(status.success(), words != "panic", "{words}: {status}");
        // Not later by the guard: it was restored before the owner had ended.
        assert_eq!(machine.listing(), before, "{words}");
        assert!(!machine.lock().exists());
        assert!(wait_until(|| has_ended(guard)), "{words}");
    }
}

#[test]
fn it_ends_when_it_has_restored_the_tree() {
    let machine = Machine::new();
    let before = machine.listing();
    let owner = machine.running(&["scheme"]);
    let guard = owner.guard();
    owner.kill();
    machine.wait_until_restored(&before, "killed");
    assert!(wait_until(|| has_ended(guard)));
}

#[test]
fn signals_that_end_others_do_not_end_it() {
    let machine = Machine::new();
    let before = machine.listing();
    let owner = machine.running(&[]);
    let guard = owner.guard();
    for signal in
        [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGPIPE]
    {
        send(guard, signal);
    }
    assert_ne!(getsid(Some(Pid::from_raw(guard))), getsid(Some(owner.pid())));
    killpg(owner.pid(), Signal::SIGKILL).unwrap();
    machine.wait_until_restored(&before, "its group was killed");
}

#[test]
fn it_holds_nothing_that_others_wait_for() {
    let machine = Machine::new();
    let owner = machine.running(&[]);
    let fds = std::fs::read_dir(format!("/proc/{}/fd", owner.guard())).unwrap();
    let names: Vec<String> = fds
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .map(|name| name.display().to_string())
        .collect();
    let lock = machine.lock().display().to_string();
    let rest: Vec<&String> = names
        .iter()
        .filter(|name| !name.starts_with("socket:") && *name != "/dev/null" && **name != lock)
        .collect();
    assert!(names.contains(&lock), "{names:?}");
    assert!(rest.iter().all(|name| name.contains("pidfd")) && rest.len() == 1, "{names:?}");
}

/// Somebody takes over while the owner runs, and then the owner is killed.
#[test]
fn it_does_not_touch_what_has_become_somebody_elses() {
    let theirs = [
        ("0/state", "off"),
        ("nr_kdamonds", "1"),
        ("0/contexts/nr_contexts", "1"),
        ("0/contexts/0/targets/nr_targets", "1"),
        ("0/contexts/0/targets/0/pid_target", "77"),
    ];
    for last in [None, Some(("0/state", "on"))] {
        let machine = Machine::new();
        let owner = machine.running(&[]);
        let guard = owner.guard();
        machine.others(&theirs);
        machine.others(last.as_slice());
        let before = (machine.listing(), machine.with(|kernel| kernel.log.len()));
        owner.kill();
        assert!(wait_until(|| has_ended(guard)));
        assert_eq!((machine.listing(), machine.with(|kernel| kernel.log.len())), before);
        assert!(!machine.lock().exists());
    }
}

#[test]
fn it_is_patient_with_a_busy_kernel() {
    let machine = Machine::new();
    let before = machine.listing();
    let owner = machine.running(&[]);
    machine.with(|kernel| kernel.busy = u32::MAX);
    let tried = machine.with(|kernel| kernel.operations_done);
    owner.kill();
    // More often than one operation is tried again.
    assert!(wait_until(|| machine.with(|kernel| kernel.operations_done) > tried + 40));
    assert_ne!(machine.listing(), before);
    machine.with(|kernel| kernel.busy = 0);
    machine.wait_until_restored(&before, "no longer busy");
}

#[test]
fn what_it_cannot_do_any_more_the_next_owner_does() {
    let machine = Machine::new();
    let before = machine.listing();
    let owner = machine.running(&["scheme"]);
    send(owner.guard(), Signal::SIGKILL);
    owner.kill();
    assert_ne!(machine.listing(), before);
    assert!(machine.lock().exists());

    let mut next = machine.running(&[]);
    assert_eq!(machine.with(|kernel| kernel.running[&0].schemes.len()), 0, "a new one");
    assert!(next.finish().success());
    assert_eq!(machine.listing(), before);
    assert!(!machine.lock().exists());
}

/// The owner notices nothing, and restores the tree by itself.
#[test]
fn an_owner_can_do_without_it() {
    let machine = Machine::new();
    let before = machine.listing();
    let mut owner = machine.running(&[]);
    send(owner.guard(), Signal::SIGKILL);
    owner.ask("add 1");
    assert!(owner.finish().success());
    assert_eq!(machine.listing(), before);
}

#[test]
fn the_next_owner_waits_for_it() {
    let machine = Machine::new();
    let before = machine.listing();
    let first = machine.running(&[]);
    let guard = first.guard();
    // Held up, so that the next one comes too early for sure.
    send(guard, Signal::SIGSTOP);
    first.kill();
    let mut next = machine.owner(&[]);
    assert!(next.says("begun"));
    assert_ne!(machine.listing(), before);
    send(guard, Signal::SIGCONT);
    assert!(next.says("running"));
    assert!(next.finish().success());
    assert_eq!(machine.listing(), before);
}

#[test]
fn two_owners_exclude_each_other() {
    let machine = Machine::new();
    let mut first = machine.running(&[]);
    let before = (machine.listing(), machine.with(|kernel| kernel.log.len()));
    let mut second = machine.owner(&[]);
    assert!(!second.says("running"));
    assert!(!second.finish().success());
    assert_eq!((machine.listing(), machine.with(|kernel| kernel.log.len())), before);
    first.ask("state");
    assert!(first.finish().success());
}

/// The recorder's own program, on plain files.
#[test]
fn the_recorder_itself_serves_as_one() {
    let machine = Machine::new();
    let context = "0/contexts/0";
    let attrs = format!("{context}/monitoring_attrs");
    let names = [
        "0/contexts/nr_contexts".to_owned(),
        format!("{context}/operations"),
        format!("{context}/targets/nr_targets"),
        format!("{context}/targets/0/pid_target"),
        format!("{context}/targets/1/pid_target"),
        format!("{context}/schemes/nr_schemes"),
        format!("{attrs}/intervals/sample_us"),
        format!("{attrs}/intervals/aggr_us"),
        format!("{attrs}/intervals/update_us"),
        format!("{attrs}/nr_regions/min"),
        format!("{attrs}/nr_regions/max"),
    ];
    let mut files = vec![("nr_kdamonds", "0"), ("0/state", "off"), ("0/pid", "7")];
    files.extend(names.iter().map(|name| (name.as_str(), "0")));
    let root = machine.plain_files(&files);
    let says = |path: &str| std::fs::read_to_string(root.join("kdamonds").join(path)).unwrap();

    let recorder = format!("guard={}", env!("CARGO_BIN_EXE_damon-record"));
    let mut owner = machine.owner_of("plain", &[recorder.as_str()]);
    assert!(owner.says("running"));
    assert_eq!((says("nr_kdamonds"), says("0/state")), ("1".into(), "on".into()));
    let guard = owner.guard();
    owner.kill();
    assert!(wait_until(|| has_ended(guard)));
    assert_eq!(says("0/state"), "off");
    assert_eq!((says("nr_kdamonds"), says("0/contexts/nr_contexts")), ("0".into(), "0".into()));
    assert!(!machine.lock().exists());
}

/// Started by hand it finds no recorder, and does nothing.
#[test]
fn without_a_recorder_it_ends() {
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_damon-record"))
        .arg(damon_record::damon::own::GUARD_ARGUMENT)
        .stdin(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}
