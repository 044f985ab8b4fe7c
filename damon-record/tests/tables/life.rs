//! What becomes of the tables when the process does what processes do.

use crate::common::{TARGET, Target, assert_agreement, kernel, walk};
use damon_record::backend::WatchError;
use damon_record::backend::kind::AttachError;
use damon_record::backend::pte::locate;
use damon_record::backend::pte::tables::{Leaf, Tables};
use damon_record::proc::ProcRoot;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Patience with a loaded machine; nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Walks until something is wrong, and returns what.
fn walk_to_the_end(tables: &mut impl Tables, addresses: &[u64]) -> WatchError {
    let begun = Instant::now();
    let mut leaves = vec![Leaf::default(); addresses.len()];
    while begun.elapsed() < PATIENCE {
        if let Err(error) = tables.walk(addresses, &mut leaves) {
            return error;
        }
        assert!(leaves.iter().all(|leaf| !leaf.is_present() || leaf.entry & 4 != 0), "{leaves:x?}");
    }
    panic!("walked for ever");
}

#[test]
fn a_killed_process_is_gone_and_stays_gone() {
    let Some(kernel) = kernel() else { return };
    for _ in 0..20 {
        let mut target = Target::start();
        let base = target.map("map anonymous 256");
        target.ask("write 0 256");
        let mut tables = target.locate(&kernel);
        let addresses: Vec<u64> = (base..).step_by(4096).take(256).collect();
        let error = std::thread::scope(|scope| {
            let walker = scope.spawn(|| walk_to_the_end(&mut tables, &addresses));
            std::thread::sleep(Duration::from_millis(2));
            target.kill();
            walker.join().unwrap()
        });
        assert!(matches!(error, WatchError::Gone), "{error}");
        drop(target);
        let error = tables.scan(0, u64::MAX, &mut |_, _, _| {}).unwrap_err();
        assert!(matches!(error, WatchError::Gone), "{error}");
    }
}

#[test]
fn executing_another_program_replaces_the_tables() {
    let Some(kernel) = kernel() else { return };
    let mut target = Target::start();
    let base = target.map("map anonymous 64");
    target.ask("write 0 64");
    let mut tables = target.locate(&kernel);
    walk(&mut tables, base, 64);
    target.send("exec");
    assert_eq!(target.receive(), "ready");
    let error = walk_to_the_end(&mut tables, &[base]);
    assert!(matches!(error, WatchError::Replaced), "{error}");
    let base = target.map("map anonymous 64");
    target.ask("write 0 64");
    let mut tables = target.locate(&kernel);
    assert_eq!(assert_agreement(&mut tables, target.pid(), base, 64), 64);
}

#[test]
fn a_process_that_executes_over_and_over_is_never_mistaken() {
    let Some(kernel) = kernel() else { return };
    let mut child = Command::new(TARGET).arg("exec-loop").stdin(Stdio::null()).spawn().unwrap();
    let proc = ProcRoot::default();
    let begun = Instant::now();
    let mut replaced = 0;
    let mut addresses: Vec<u64> = Vec::new();
    while replaced < 30 && begun.elapsed() < PATIENCE {
        let Ok(mut tables) = locate(&kernel, &proc, child.id()) else { continue };
        addresses.clear();
        let scanned = tables.scan(0, u64::MAX, &mut |first, _, _| addresses.push(first));
        let error = match scanned {
            Ok(()) => walk_to_the_end(&mut tables, &addresses),
            Err(error) => error,
        };
        assert!(matches!(error, WatchError::Replaced), "{error}");
        replaced += 1;
    }
    assert_eq!(replaced, 30);
    let mut tables = loop {
        if let Ok(tables) = locate(&kernel, &proc, child.id()) {
            break tables;
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    let error = walk_to_the_end(&mut tables, &addresses);
    assert!(matches!(error, WatchError::Gone), "{error}");
}

#[test]
fn the_exit_of_the_first_thread_changes_nothing() {
    let Some(kernel) = kernel() else { return };
    let mut target = Target::start();
    let base = target.map("map anonymous 64");
    target.ask("write 0 64");
    let mut tables = target.locate(&kernel);
    walk(&mut tables, base, 64);
    target.ask("leader-exit");
    let before = walk(&mut tables, base, 64);
    assert!(before.iter().all(|leaf| leaf.is_present()));
    let mut late = target.locate(&kernel);
    let frames = |leaves: &[Leaf]| leaves.iter().map(|leaf| leaf.frame()).collect::<Vec<_>>();
    assert_eq!(frames(&walk(&mut late, base, 64)), frames(&before));
    target.kill();
    assert!(matches!(walk_to_the_end(&mut tables, &[base]), WatchError::Gone));
}

#[test]
fn a_thread_id_means_its_process() {
    let Some(kernel) = kernel() else { return };
    let mut target = Target::start();
    let base = target.map("map anonymous 64");
    target.ask("write 0 64");
    target.ask("threads 3");
    let proc = ProcRoot::default();
    let threads = proc.threads(target.pid());
    let other = *threads.iter().find(|tid| **tid != target.pid()).unwrap();
    let mut tables = locate(&kernel, &proc, other).unwrap();
    assert_eq!(tables.identity().pid, target.pid());
    assert_eq!(assert_agreement(&mut tables, target.pid(), base, 64), 64);
}

#[test]
fn what_has_no_memory_is_refused() {
    let Some(kernel) = kernel() else { return };
    let proc = ProcRoot::default();
    // kthreadd.
    if proc.stat(2).is_ok_and(|stat| stat.is_kernel_thread()) {
        let error = locate(&kernel, &proc, 2).unwrap_err();
        assert!(error.to_string().contains("thread of the kernel"), "{error}");
    }
    let mut child = Command::new("true").spawn().unwrap();
    while !proc.stat(child.id()).unwrap().is_dead() {
        std::thread::yield_now();
    }
    assert!(matches!(locate(&kernel, &proc, child.id()), Err(AttachError::Gone)), "a zombie");
    child.wait().unwrap();
    assert!(matches!(locate(&kernel, &proc, child.id()), Err(AttachError::Gone)), "reaped");
}

#[test]
fn a_forked_child_is_not_taken_for_its_parent() {
    let Some(kernel) = kernel() else { return };
    let mut target = Target::start();
    let base = target.map("map anonymous 64");
    target.ask("write 0 64");
    let child: u32 = target.ask("fork").parse().unwrap();
    let proc = ProcRoot::default();
    let mut parent = target.locate(&kernel);
    let mut forked = locate(&kernel, &proc, child).unwrap();
    assert_eq!(assert_agreement(&mut parent, target.pid(), base, 64), 64);
    // It writes to the first eight, which then are its own.
    let begun = Instant::now();
    let first = |leaves: Vec<Leaf>| leaves[0].frame();
    while first(walk(&mut forked, base, 1)) == first(walk(&mut parent, base, 1)) {
        assert!(begun.elapsed() < PATIENCE, "the child has not written");
    }
    assert_eq!(assert_agreement(&mut forked, child, base, 64), 64);
}

#[test]
fn the_list_of_processes_is_walked_while_it_changes() {
    let Some(kernel) = kernel() else { return };
    let stop = AtomicBool::new(false);
    let proc = ProcRoot::default();
    let target = Target::start();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    Command::new("true").status().unwrap();
                }
            });
        }
        for _ in 0..200 {
            let outcome = locate(&kernel, &proc, target.pid());
            if outcome.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            assert_eq!(outcome.unwrap().identity().pid, target.pid());
        }
        stop.store(true, Ordering::Relaxed);
    });
}
