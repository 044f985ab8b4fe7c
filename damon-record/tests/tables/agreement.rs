//! Every kind of memory: what is walked for and what is scanned is what the kernel says.

use crate::common::{PAGE, Target, assert_agreement, frame, frames, kernel, walk};
use damon_record::backend::pte::tables::{Leaf, Tables};
use std::collections::BTreeMap;

const PAGES: usize = 2048;

#[test]
fn walks_agree_for_every_kind_of_memory() {
    let Some(kernel) = kernel() else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display();
    for kind in ["anonymous", "shared", "private-file", "shared-file"] {
        let mut target = Target::start();
        let base = target.map(&format!("map {kind} {PAGES} {path}"));
        target.ask("write 0 1000");
        let mut tables = target.locate(&kernel);
        let present = assert_agreement(&mut tables, target.pid(), base, PAGES);
        // File systems may read ahead.
        assert!((1000..PAGES).contains(&present), "{kind}: {present}");
        target.ask("write 1000 48");
        target.ask("dontneed 0 64");
        assert!(assert_agreement(&mut tables, target.pid(), base, PAGES) >= 984, "{kind}");
    }
}

#[test]
fn huge_pages_are_leaves_one_level_up() {
    let Some(kernel) = kernel() else { return };
    let mut target = Target::start();
    let base = target.map("map huge 2048");
    target.ask("write 0 2048");
    let mut tables = target.locate(&kernel);
    let leaves = walk(&mut tables, base, 2048);
    let huge = leaves.iter().filter(|leaf| leaf.level == 1 && leaf.is_present()).count();
    if huge == 0 {
        println!("SKIP: the kernel gave no transparent huge pages");
        return;
    }
    assert_eq!(assert_agreement(&mut tables, target.pid(), base, 2048), 2048);
    let scanned = scan(&mut tables, base, base + 2048 * PAGE);
    let by_level = |level| scanned.values().filter(|leaf| leaf.level == level).count();
    assert_eq!((by_level(1) * 512, by_level(0)), (huge, 2048 - huge));
}

#[test]
fn reserved_huge_pages_are_leaves_too() {
    let Some(kernel) = kernel() else { return };
    let info = std::fs::read_to_string("/proc/meminfo").unwrap();
    if !info.lines().any(|line| line == "Hugepagesize:       2048 kB")
        || info.lines().any(|line| line.starts_with("HugePages_Free:") && line.ends_with(" 0"))
    {
        println!("SKIP: no free huge page of 2 MiB; `sysctl vm.nr_hugepages=4` gives some");
        return;
    }
    let mut target = Target::start();
    let base = target.map("map reserved 512");
    target.ask("write 0 512");
    let mut tables = target.locate(&kernel);
    assert_eq!(assert_agreement(&mut tables, target.pid(), base, 512), 512);
    assert!(walk(&mut tables, base, 512).iter().all(|leaf| leaf.level == 1));
}

/// Leaves by address, as a scan hands them out; asserts that it does so in order and in range.
fn scan(tables: &mut impl Tables, start: u64, end: u64) -> BTreeMap<u64, Leaf> {
    let mut found = BTreeMap::new();
    let mut last = 0;
    tables
        .scan(start, end, &mut |first, level, entries| {
            let size = Leaf { entry: 0, level }.size();
            assert!(first >= last, "{first:#x} after {last:#x}");
            assert!(first + size > start && first < end, "{first:#x} is out of range");
            assert!(level > 0 || first >= start);
            for (at, &entry) in (first..).step_by(usize::try_from(size).unwrap()).zip(entries) {
                assert!(level == 0 || entry & 1 != 0, "above the lowest level leaves only");
                let leaf = Leaf { entry, level };
                if leaf.is_present() {
                    found.insert(at, leaf);
                }
                last = at + size;
            }
        })
        .unwrap();
    found
}

#[test]
fn a_scan_finds_what_walks_find_and_nothing_else() {
    let Some(kernel) = kernel() else { return };
    let mut target = Target::start();
    let huge = target.map("map huge 1024");
    target.ask("write 0 512");
    let base = target.map("map anonymous 4096");
    target.ask("write 3 1500");
    target.ask("write 1600 100 7");
    let mut tables = target.locate(&kernel);
    for (start, end) in [
        (0, 1 << 47),
        (0, u64::MAX),
        (base + 5 * PAGE, base + 6 * PAGE),
        (base + 1000 * PAGE, base + 3000 * PAGE),
        (huge + 3 * PAGE, huge + 700 * PAGE),
        (base, base),
        (base + 1, base + 2),
    ] {
        let scanned = scan(&mut tables, start, end);
        let mut expected = 0;
        for (from, to) in mappings(target.pid()) {
            let (from, to) = (
                from.max(start & !(PAGE - 1)),
                to.min(end.checked_next_multiple_of(PAGE).unwrap_or(end)),
            );
            if from >= to {
                continue;
            }
            let count = usize::try_from((to - from) / PAGE).unwrap();
            for (at, leaf) in (from..).step_by(4096).zip(walk(&mut tables, from, count)) {
                let found = scanned.get(&(at & !(leaf.size() - 1))).copied();
                let found = found.and_then(|leaf| frame(at, leaf));
                assert_eq!(found, frame(at, leaf), "{at:#x} in {start:#x}..{end:#x}");
                expected += usize::from(leaf.is_present());
            }
        }
        let pages = scanned.iter().map(|(at, leaf)| {
            let from = (*at).max(start & !(PAGE - 1));
            (at + leaf.size()).min(end.checked_next_multiple_of(PAGE).unwrap_or(end)) - from
        });
        assert_eq!(pages.sum::<u64>() / PAGE, expected as u64, "{start:#x}..{end:#x}");
    }
}

/// Mappings whose pages are the process's own affair.
fn mappings(pid: u32) -> Vec<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let number = |text| u64::from_str_radix(text, 16).unwrap();
    text.lines()
        .filter_map(|line| {
            let (range, _) = line.split_once(' ')?;
            let (start, end) = range.split_once('-')?;
            Some((number(start), number(end)))
        })
        .filter(|(start, _)| *start < 1 << 47)
        .collect()
}

#[test]
fn addresses_that_no_program_can_have_are_not_mapped() {
    let Some(kernel) = kernel() else { return };
    let target = Target::start();
    let mut tables = target.locate(&kernel);
    let addresses = [0, 1 << 47, 1 << 56, 1 << 63, 0xffff_8880_0000_0000, u64::MAX];
    let mut leaves = [Leaf { entry: 1, level: 0 }; 6];
    tables.walk(&addresses, &mut leaves).unwrap();
    assert!(leaves.iter().all(|leaf| !leaf.is_present()), "{leaves:x?}");
    tables.walk(&[], &mut []).unwrap();
    assert_eq!(frames(target.pid(), 0, 1), [None]);
}
