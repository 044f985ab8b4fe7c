//! What watching costs; measurements, not tests:
//! `cargo test --release -p damon-record --test writes -- --ignored --nocapture --test-threads 1 cost::`

use crate::common::{PAGE, Target, looked, skipped};
use damon_record::backend::Watch;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::time::{Duration, Instant};

/// CPU time of this process in microseconds.
fn cpu() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let used = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    u64::try_from(used).unwrap()
}

/// Pages that the target writes per millisecond.
fn rate(target: &mut Target, time: Duration, mut meanwhile: impl FnMut()) -> u64 {
    let begun = Instant::now();
    let before: u64 = target.ask("counter").parse().unwrap();
    while begun.elapsed() < time {
        meanwhile();
    }
    let after: u64 = target.ask("counter").parse().unwrap();
    (after - before) / u64::try_from(begun.elapsed().as_millis()).unwrap()
}

/// Scattered page addresses, other ones each round.
fn addresses(base: u64, pages: u64, count: u64, round: u64) -> Vec<u64> {
    let span = pages / count;
    (0..count)
        .map(|index| {
            let scattered = (index + round * 7919).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            base + (index * span + scattered % span) * PAGE
        })
        .collect()
}

#[test]
#[ignore = "a measurement"]
fn of_sampling() {
    if skipped() {
        return;
    }
    for (name, busy) in [("idle", 0), ("hammered", 65536)] {
        for count in [10, 100, 1000] {
            let mut target = Target::start();
            let base = target.map("map anonymous 65536");
            target.ask("write 0 65536");
            if busy > 0 {
                target.ask(&format!("hammer 0 {busy}"));
            }
            let second = Duration::from_secs(1);
            let alone = rate(&mut target, second * 3, || std::thread::sleep(second / 200));
            let mut watch = target.attach();
            let (mut used, mut rounds, mut hits) = (0, 0, 0);
            let mut accessed = vec![false; usize::try_from(count).unwrap()];
            let watched = rate(&mut target, second * 3, || {
                let pages = addresses(base, 65536, count, rounds);
                let begun = cpu();
                watch.prepare(&pages).unwrap();
                used += cpu() - begun;
                std::thread::sleep(second / 200);
                let begun = cpu();
                watch.check(&pages, &mut accessed).unwrap();
                used += cpu() - begun;
                hits += accessed.iter().map(|&hit| u64::from(hit)).sum::<u64>();
                rounds += 1;
            });
            let samples = rounds * count;
            println!(
                "sampling, 256 MiB {name}, {count} pages: {} ns per page, {rounds} rounds, \
                 hits {} %, target speed {} %",
                used * 1000 / samples,
                100 * hits / samples,
                100 * watched / alone.max(1),
            );
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn of_looking() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("map anonymous 262144");
    target.ask("write 0 262144");
    let mut watch = target.attach();
    let timed = |what: &str, work: &mut dyn FnMut()| {
        let begun = Instant::now();
        work();
        println!("1 GiB, {what}: {:.2} ms", begun.elapsed().as_secs_f64() * 1e3);
    };
    timed("first look (protects everything)", &mut || drop(looked(&mut watch, base, 1)));
    timed("nothing written", &mut || drop(looked(&mut watch, base, 1)));
    target.ask("write 0 262144");
    timed("all written", &mut || drop(looked(&mut watch, base, 1)));
    target.ask("write 0 131072 2");
    timed("every second page written", &mut || drop(looked(&mut watch, base, 1)));
    timed("dropping the watch", &mut || {
        let watch = std::mem::replace(&mut watch, Target::start().attach());
        drop(watch);
    });
}

#[test]
#[ignore = "a measurement"]
fn of_attaching() {
    if skipped() {
        return;
    }
    for (name, command) in [("running", "count"), ("blocked in read(2)", "counter")] {
        let mut target = Target::start();
        target.ask(command);
        let mut pauses = Vec::new();
        let mut totals = Vec::new();
        for _ in 0..200 {
            let begun = Instant::now();
            let watch = target.attach();
            totals.push(begun.elapsed());
            pauses.push(watch.pause());
        }
        pauses.sort_unstable();
        totals.sort_unstable();
        println!(
            "attaching, target {name}: pause median {:?}, 99 % {:?}, longest {:?}; all in all {:?}",
            pauses[100], pauses[198], pauses[199], totals[100]
        );
    }
}
