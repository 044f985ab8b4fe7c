//! Killing the owner in the rudest way, at any moment, leaves the tree as it was found.

use crate::common::Machine;
use damon_record::damon::fake::Moment;
use nix::sys::signal::{Signal, kill, killpg};
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

/// Somebody has provided two kdamonds and uses one of them.
const PROVIDED: [(&str, &str); 5] = [
    ("nr_kdamonds", "2"),
    ("0/contexts/nr_contexts", "1"),
    ("0/contexts/0/targets/nr_targets", "1"),
    ("0/contexts/0/targets/0/pid_target", "77"),
    ("0/state", "on"),
];

/// Kills it before the first operation, after it, before the second one, and so on, until it has ended before
/// it was killed. Returns how often it was killed.
fn at_every_operation(others: &[(&str, &str)], options: &[&str]) -> u32 {
    let mut killed = 0;
    for moment in [Moment::Before, Moment::After] {
        for operation in 1.. {
            let machine = Machine::new();
            machine.others(others);
            let before = machine.listing();
            let theirs = machine.with(|kernel| {
                kernel.kill = Some((operation, moment));
                kernel.running.clone()
            });
            let mut owner = machine.owner(options);
            for words in ["add 1", "attrs 10000 200000", "stats", "state"] {
                owner.tell(words);
            }
            let status = owner.finish();
            let whose = format!("{moment:?} operation {operation}");
            if others.is_empty() {
                machine.wait_until_restored(&before, &whose);
            } else {
                let restored = || machine.listing() == before && machine.lock_is_void();
                assert!(crate::common::wait_until(restored), "{whose}: {:?}", machine.listing());
                assert_eq!(machine.with(|kernel| kernel.running.clone()), theirs, "{whose}");
            }
            if status.signal() != Some(Signal::SIGKILL as i32) {
                assert!(status.success(), "{whose}: {status}");
                break;
            }
            killed += 1;
        }
    }
    killed
}

#[test]
fn at_every_operation_on_a_kdamond_of_its_own() {
    let killed = at_every_operation(&[], &["scheme"]);
    assert!(killed > 200, "only {killed} operations");
}

#[test]
fn at_every_operation_on_a_spare_kdamond() {
    let killed = at_every_operation(&PROVIDED, &["spare"]);
    assert!(killed > 100, "only {killed} operations");
}

/// A number that differs from round to round (splitmix64).
fn scattered(round: u32) -> u64 {
    let mut x = u64::from(round).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

const ROUNDS: u32 = 100;

#[test]
fn at_100_random_moments() {
    let machine = Machine::new();
    let before = machine.listing();
    let begun = Instant::now();
    let mut first = machine.owner(&["scheme"]);
    assert!(first.says("running"));
    let usual = begun.elapsed().max(Duration::from_millis(1));
    first.kill();
    machine.wait_until_restored(&before, "the first one");

    let mut early = 0;
    for round in 0..ROUNDS {
        let begun = Instant::now();
        let mut owner = machine.owner(&["scheme"]);
        for words in ["add 1", "attrs 10000 200000", "stats"] {
            owner.tell(words);
        }
        let delay = usual * u32::try_from(scattered(round) % 2000).unwrap() / 1000;
        while begun.elapsed() < delay {
            std::hint::spin_loop();
        }
        if round % 2 == 0 {
            kill(owner.pid(), Signal::SIGKILL).unwrap();
        } else {
            // Takes everybody who has not left the group, as a closing terminal or a shell does.
            killpg(owner.pid(), Signal::SIGKILL).unwrap();
        }
        owner.child.wait().unwrap();
        machine.wait_until_restored(&before, &format!("round {round}"));
        early += u32::from(!owner.says("running"));
    }
    println!("killed {early} times before and {} times after it was running", ROUNDS - early);
    assert!(early >= ROUNDS / 5, "only {early} of {ROUNDS} kills hit the setting up");
}
