//! Attaching to a process that executes programs all the time: whatever the moment, nobody may hang and
//! nothing may be left.

use crate::common::{RECORDER, TARGET, helper, skipped, status, userfaultfds, wait_until};
use damon_record::backend::writes::{HELPER_ARGUMENT, WritesWatch};
use std::fs;
use std::process::{Child, Command, Stdio};

const ATTACHES: u64 = 250;

/// A process that executes itself for ever; its last argument counts how often.
struct Restless(Child);

impl Restless {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    fn count(&self) -> u64 {
        let path = format!("/proc/{}/cmdline", self.pid());
        let mut count = None;
        wait_until("the process lives and counts", || {
            // Empty for a moment while it executes.
            let line = fs::read_to_string(&path).unwrap_or_default();
            count = line.trim_end_matches('\0').rsplit('\0').next().unwrap().parse().ok();
            count.is_some()
        });
        count.unwrap()
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _already_reaped = self.0.wait();
    }
}

fn helpers() -> Vec<String> {
    let command = format!("{RECORDER}\0{HELPER_ARGUMENT}\0");
    let numbers = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    numbers
        .map(|path| path.join("cmdline").to_string_lossy().into_owned())
        .filter(|path| fs::read_to_string(path).is_ok_and(|line| line == command))
        .collect()
}

fn attaches_again_and_again(command: &mut Command) {
    if skipped() {
        return;
    }
    let mut restless = Restless::start(command);
    let pid = restless.pid();
    let begun = restless.count();
    for round in 0..ATTACHES {
        let watch = WritesWatch::attach(pid, &helper());
        assert!(watch.is_ok(), "round {round}: {watch:?}");
    }
    let exited = restless.0.try_wait().unwrap();
    assert_eq!(exited, None, "it did not survive");
    let count = restless.count();
    println!("{ATTACHES} attaches during {} executions", count - begun);
    assert!(count > begun + ATTACHES / 4, "hardly ever hit: {begun} to {count}");
    wait_until("it goes on", || restless.count() > count + 20);
    wait_until("no tracer is left", || status(pid, "TracerPid") == "0");
    assert_eq!(userfaultfds(pid), 0);
    for helper in helpers() {
        // Other tests' helpers end as well.
        wait_until("no helper is left", || fs::read(&helper).map_or(true, |line| line.is_empty()));
    }
}

#[test]
fn a_process_that_executes_itself_all_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("again");
    fs::write(&script, "exec sh \"$0\" $(($1 + 1))").unwrap();
    attaches_again_and_again(Command::new("sh").arg(&script).arg("0"));
}

#[test]
fn a_process_in_which_another_thread_than_the_leader_executes() {
    attaches_again_and_again(Command::new(TARGET).args(["exec-loop", "0"]));
}
