//! Kinds of memory: what is accessed is seen, what is not is not, and nothing is harmed.

use crate::common::{
    HUGE, NOTHING, PAGE, Target, full_round, pages, rollup, round, skipped, wait_until,
};
use damon_record::backend::Watch;

/// Indices of the `count` pages from `base` on that an exact look reports.
fn looked(watch: &mut dyn Watch, base: u64, count: u64) -> Vec<u64> {
    let mut touched = Vec::new();
    watch.look(&mut touched).unwrap();
    assert!(touched.is_sorted_by(|a, b| a.end <= b.start), "ascending and disjoint: {touched:x?}");
    assert!(touched.iter().all(|t| t.bytes == t.end - t.start && t.bytes > 0));
    (0..count)
        .filter(|page| {
            let address = base + page * PAGE;
            touched.iter().any(|t| (t.start..t.end).contains(&address))
        })
        .collect()
}

#[test]
fn reads_and_writes_of_single_pages_are_seen_and_nothing_else() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("anonymous", 64);
    let mut watch = target.watch();
    let points = pages(base, 64);
    let none = full_round(watch.as_mut(), &points, || {});
    assert_eq!(none, NOTHING);
    let read = full_round(watch.as_mut(), &points, || target.ask_afresh("read 3 5 7"));
    assert_eq!(read, [3, 10, 17, 24, 31]);
    let written = full_round(watch.as_mut(), &points, || target.ask_afresh("write 60 4"));
    assert_eq!(written, [60, 61, 62, 63]);
}

#[test]
fn huge_pages_are_seen_whole_and_stay_whole() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    // The mapping begins anywhere: two huge pages fit into any three.
    let base = target.ask("map huge 2048");
    let base = u64::from_str_radix(&base, 16).unwrap();
    target.ask("write 0 2048");
    let before = rollup(target.pid(), "AnonHugePages");
    if before == 0 {
        println!("SKIP: the kernel gives no transparent huge pages");
        return;
    }
    let mut watch = target.watch();
    let first = base.next_multiple_of(HUGE);
    let page = (first - base) / PAGE + 300;
    let points = [first + 5 * PAGE, first + 300 * PAGE, first + HUGE + 7 * PAGE];
    for _ in 0..50 {
        assert_eq!(full_round(watch.as_mut(), &points, || {}), NOTHING);
        let seen =
            full_round(watch.as_mut(), &points, || target.ask_afresh(&format!("read {page} 1")));
        assert_eq!(seen, [0, 1], "all of the first huge page, nothing of the second");
    }
    assert_eq!(rollup(target.pid(), "AnonHugePages"), before, "none was split");
    // Exact looks do not flush the TLB of the target, which has just used the page; this does.
    assert_eq!(full_round(watch.as_mut(), &points, || {}), NOTHING);
    looked(watch.as_mut(), base, 0);
    target.ask_afresh(&format!("write {page} 1"));
    let found = looked(watch.as_mut(), first, 1024);
    assert_eq!(found, (0..512).collect::<Vec<_>>());
    assert_eq!(rollup(target.pid(), "AnonHugePages"), before);
}

/// Memory that may resist single clearing: what is reported was touched, and what was touched is
/// reported or counted as missed.
fn honest(mut target: Target, base: u64, name: &str) {
    let mut watch = target.watch();
    let points = pages(base, 64);
    let (mut seen, mut missed) = (0, 0);
    for number in 0..40_usize {
        let page = number * 7 % 64;
        let _earlier = watch.toll();
        let found = round(watch.as_mut(), &points, || target.ask_afresh(&format!("read {page} 1")));
        let found = found.unwrap();
        missed += watch.toll().missed;
        assert!(found == [page] || found.is_empty(), "{name}: {found:?} instead of {page}");
        seen += found.len();
    }
    println!("{name}: {seen} of 40 reads seen, {missed} of {} samples missed", 40 * 64);
    assert!(seen == 40 || missed > 0, "{name}: {seen} seen, {missed} missed");
    // Everything is seen by an exact look.
    wait_until("an exact look sees one page", || {
        looked(watch.as_mut(), base, 64);
        target.ask_afresh("read 9 1");
        looked(watch.as_mut(), base, 64) == [9]
    });
}

#[test]
fn memory_of_files_and_shared_memory() {
    if skipped() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    for kind in ["shared-file", "private-file"] {
        let path = place.path().join(kind);
        std::fs::write(&path, vec![1; 256 * 4096]).unwrap();
        let mut target = Target::start();
        let base = target.map(&format!("{kind} {}", path.display()), 64);
        honest(target, base, kind);
    }
    let mut target = Target::start();
    let base = target.map("shared", 64);
    honest(target, base, "shared");
}

#[test]
fn locked_memory() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("anonymous", 64);
    target.ask("lock");
    honest(target, base, "locked");
}

#[test]
fn memory_shared_by_fork() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("anonymous", 128);
    let child: i32 = target.ask("fork").parse().unwrap();
    // The child writes to its first eight pages only: the others stay shared.
    let mut watch = target.watch();
    let points = pages(base + 32 * PAGE, 64);
    for _ in 0..20 {
        assert_eq!(round(watch.as_mut(), &points, || {}).unwrap(), NOTHING);
    }
    let (seen, missed) = (0..20).fold((0, 0), |(seen, missed), _| {
        let _earlier = watch.toll();
        let found = round(watch.as_mut(), &points, || target.ask_afresh("read 40 1")).unwrap();
        assert!(found == [8] || found.is_empty(), "{found:?}");
        (seen + found.len(), missed + watch.toll().missed)
    });
    println!("shared by fork: {seen} of 20 reads seen, {missed} samples missed");
    assert!(seen as u64 + missed >= 20, "each is seen or missed");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
}

#[test]
fn the_page_of_zeros_is_never_hot() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = u64::from_str_radix(&target.ask("map anonymous 64"), 16).unwrap();
    target.ask("read 0 64");
    let mut watch = target.watch();
    let points = pages(base, 64);
    for _ in 0..5 {
        assert_eq!(round(watch.as_mut(), &points, || {}).unwrap(), NOTHING);
        assert_eq!(watch.toll().missed, 64);
    }
    looked(watch.as_mut(), base, 64);
    assert!(looked(watch.as_mut(), base, 64).is_empty());
    target.ask("write 5 2");
    wait_until("written pages are ordinary ones", || {
        round(watch.as_mut(), &points, || target.ask_afresh("read 5 2")).unwrap() == [5, 6]
    });
}

#[test]
fn fresh_and_vanished_memory() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = u64::from_str_radix(&target.ask("map anonymous 256"), 16).unwrap();
    target.ask("write 0 128");
    let mut watch = target.watch();
    let points = pages(base + 32 * PAGE, 128);
    let found = full_round(watch.as_mut(), &points, || target.ask_afresh("write 159 1"));
    assert_eq!(found, [127], "the first touch of a page that was not there");
    target.ask("unmap 32 16");
    let found = full_round(watch.as_mut(), &points, || target.ask_afresh("read 64 1"));
    assert_eq!(found, [32], "holes read as not accessed");
}

#[test]
fn a_hammered_page_is_always_seen_and_its_neighbour_never() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("anonymous", 64);
    target.ask("hammer 0 4");
    let mut watch = target.watch();
    let points = pages(base, 8);
    let begun = target.ask("counter");
    for _ in 0..20 {
        let found = full_round(watch.as_mut(), &points, || {
            let before = target.ask("counter");
            wait_until("the target goes on", || target.ask("counter") != before);
        });
        assert_eq!(found, [0, 1, 2, 3]);
    }
    assert_ne!(target.ask("counter"), begun);
}

#[test]
fn an_exact_look_finds_every_page() {
    if skipped() {
        return;
    }
    let mut target = Target::start();
    let base = target.map("anonymous", 4096);
    let mut watch = target.watch();
    looked(watch.as_mut(), base, 0);
    assert!(looked(watch.as_mut(), base, 4096).is_empty());
    target.ask_afresh("read 1 1000 4");
    assert_eq!(
        looked(watch.as_mut(), base, 4096),
        (0..1000).map(|i| 1 + 4 * i).collect::<Vec<_>>()
    );
    assert!(looked(watch.as_mut(), base, 4096).is_empty());
}
