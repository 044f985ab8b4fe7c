//! A target that maps and unmaps as fast as it can while its tables are read.

use crate::common::{PAGE, Target, assert_agreement, frame, kernel};
use damon_record::backend::pte::tables::{Leaf, Tables};

/// Pages replaced over and over: 8 MiB, so that whole page tables are freed.
const PAGES: usize = 2048;
/// Walks, one for each address.
const WALKS: usize = 200_000;

#[test]
fn nothing_read_during_a_mapping_storm_is_garbage() {
    let Some(kernel) = kernel() else { return };
    let mut target = Target::start();
    let base = target.map(&format!("map anonymous {PAGES}"));
    target.ask("write 0 2048");
    let mut tables = target.locate(&kernel);
    let end_of_memory = end_of_memory();
    target.ask(&format!("storm 0 {PAGES}"));
    // Those that the storm writes to, so that mapped and unmapped take turns.
    let addresses: Vec<u64> = (base..).step_by(64 * 4096).take(PAGES / 64).collect();
    let mut leaves = vec![Leaf::default(); addresses.len()];
    let (mut walked, mut present, mut absent, mut scanned) = (0, 0, 0, 0);
    while walked < WALKS || present == 0 || absent == 0 {
        tables.walk(&addresses, &mut leaves).unwrap();
        for (&at, &leaf) in addresses.iter().zip(&leaves) {
            check(at, leaf, end_of_memory);
            present += usize::from(leaf.is_present());
            absent += usize::from(!leaf.is_present());
        }
        walked += leaves.len();
        if walked.is_multiple_of(2048) {
            let mut each = |first: u64, level: u8, entries: &[u64]| {
                let size = Leaf { entry: 0, level }.size();
                for (at, &entry) in (first..).step_by(usize::try_from(size).unwrap()).zip(entries) {
                    check(at, Leaf { entry, level }, end_of_memory);
                }
                scanned += entries.len();
            };
            tables.scan(base, base + PAGES as u64 * PAGE, &mut each).unwrap();
        }
    }
    let storms: u64 = target.ask("counter").parse().unwrap();
    println!("{walked} walks, {present} present, {scanned} entries scanned, {storms} storms");
    assert!(storms > 100 && scanned > 0);
    // The rest of the process is quiet.
    let quiet = target.map("map anonymous 64");
    target.ask("write 0 64");
    assert_eq!(assert_agreement(&mut tables, target.pid(), quiet, 64), 64);
}

fn check(at: u64, leaf: Leaf, end_of_memory: u64) {
    if let Some(frame) = frame(at, leaf) {
        assert!(frame > 0 && frame < end_of_memory, "{at:#x}: {leaf:x?}");
    }
}

/// Number of the frame after the last one.
fn end_of_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/zoneinfo").unwrap();
    let number = |line: &str, key| {
        line.trim().strip_prefix(key).map(|rest| rest.trim().parse::<u64>().unwrap())
    };
    let mut spanned = 0;
    let mut end = 0;
    for line in text.lines() {
        spanned = number(line, "spanned").unwrap_or(spanned);
        end = number(line, "start_pfn:").map_or(end, |start| end.max(start + spanned));
    }
    end
}
