//! Killing the recorder, at any moment and in the rudest way, must not harm the target.

use crate::common::{TARGET, Target, assert_unregistered, attach, is_root, skipped, wait_until};
use damon_record::backend::writes::HELPER_ARGUMENT;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const PID: &str = "DAMON_TEST_KILL_PID";
const ROUNDS: u32 = 300;

/// A recorder in a process of its own: says when it begins and when it has attached.
#[test]
#[ignore = "started by a_recorder_killed_at_300_random_moments"]
fn attacher() {
    let pid = std::env::var(PID).unwrap().parse().unwrap();
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nbegun").unwrap();
    out.flush().unwrap();
    let watch = attach(pid);
    writeln!(out, "attached").unwrap();
    out.flush().unwrap();
    std::thread::sleep(Duration::from_secs(60));
    drop(watch);
}

struct Attacher {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Attacher {
    /// Starts one in its own process group and waits until it begins.
    fn start(pid: i32) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::attacher", "--ignored", "--nocapture"])
            .env(PID, pid.to_string())
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut attacher = Self { child, output };
        assert!(attacher.says("begun"));
        attacher
    }

    /// Reads up to a line; false when the output ends before it.
    fn says(&mut self, word: &str) -> bool {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if line.trim_end() == word {
                return true;
            }
            line.clear();
        }
        false
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }
}

/// A number that differs from round to round (splitmix64).
fn scattered(round: u32) -> u64 {
    let mut x = u64::from(round).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[test]
fn a_recorder_killed_at_300_random_moments() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    target.ask("map anonymous 256");
    target.ask("write 0 256");
    target.ask("count");
    let pid = target.pid();

    let mut first = Attacher::start(pid);
    let begun = Instant::now();
    assert!(first.says("attached"));
    let usual = begun.elapsed().max(Duration::from_millis(1));
    first.child.kill().unwrap();
    first.child.wait().unwrap();

    let (mut before, mut after) = (0, 0);
    for round in 0..ROUNDS {
        let mut attacher = Attacher::start(pid);
        let delay = usual * u32::try_from(scattered(round) % 2000).unwrap() / 1000;
        let begun = Instant::now();
        while begun.elapsed() < delay {
            std::hint::spin_loop();
        }
        if round % 2 == 0 {
            kill(attacher.pid(), Signal::SIGKILL).unwrap();
        } else {
            // Takes everybody who has not left the group, as a closing terminal or a shell does.
            killpg(attacher.pid(), Signal::SIGKILL).unwrap();
        }
        attacher.child.wait().unwrap();
        if attacher.says("attached") {
            after += 1;
        } else {
            before += 1;
        }
        assert!(!target.ask("counter").is_empty(), "round {round}");
    }
    println!("killed {before} times before and {after} times after it had attached");
    assert!(before >= ROUNDS / 5, "only {before} of {ROUNDS} kills hit the attaching");

    let count: u64 = target.ask("counter").parse().unwrap();
    wait_until("it goes on counting", || target.ask("counter").parse::<u64>().unwrap() > count);
    target.assert_unharmed();
    assert_unregistered(pid);
}

/// A recorder that was killed may leave a helper behind that still holds the target: no debugger.
#[test]
fn a_helper_that_still_holds_the_target_is_waited_for() {
    if skipped() || !is_root() {
        return;
    }
    let mut target = Target::start();
    let pid = target.pid().to_string();
    let mut earlier = Command::new(TARGET)
        .args([HELPER_ARGUMENT, &pid, "700"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(earlier.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    drop(target.attach());
    assert!(earlier.try_wait().unwrap().is_some(), "attached while it was traced?");
    target.assert_unharmed();
}
