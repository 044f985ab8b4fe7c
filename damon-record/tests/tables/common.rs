//! The target, and what the kernel says of its pages.

#[path = "../told/mod.rs"]
mod told;

pub(crate) use told::{TARGET, Target};

use damon_record::backend::pte::tables::{Leaf, Tables};
use damon_record::backend::pte::{Located, PageTables, locate};
use damon_record::proc::ProcRoot;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

pub(crate) const PAGE: u64 = 4096;
/// A page table entry that belongs to a program, and not to the kernel, has this bit.
const USER: u64 = 1 << 2;
const PRESENT: u64 = 1 << 63;

/// The means to read page tables; `None` (and a printed reason) where they cannot be had.
pub(crate) fn kernel() -> Option<Arc<PageTables>> {
    match PageTables::shared(&ProcRoot::default()) {
        Ok(kernel) => Some(kernel),
        Err(reason) => {
            let possible = nix::unistd::geteuid().is_root()
                && cfg!(target_arch = "x86_64")
                && std::path::Path::new("/sys/kernel/btf/vmlinux").exists();
            assert!(!possible, "this kernel should let page tables be read: {reason}");
            println!("SKIP: {reason}");
            None
        }
    }
}

impl Target {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Maps memory and returns its address.
    pub(crate) fn map(&mut self, command: &str) -> u64 {
        u64::from_str_radix(&self.ask(command), 16).unwrap()
    }

    pub(crate) fn locate(&self, kernel: &Arc<PageTables>) -> Located {
        locate(kernel, &ProcRoot::default(), self.pid()).unwrap()
    }
}

/// Frame by `pagemap` of each of `count` pages; `None` where nothing is in memory.
pub(crate) fn frames(pid: u32, address: u64, count: usize) -> Vec<Option<u64>> {
    let file = File::open(format!("/proc/{pid}/pagemap")).unwrap();
    let mut bytes = vec![0; count * 8];
    file.read_exact_at(&mut bytes, address / PAGE * 8).unwrap();
    let words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    words.map(|word| (word & PRESENT != 0).then_some(word & ((1 << 55) - 1))).collect()
}

/// Frame of the small page at `address` by its leaf.
pub(crate) fn frame(address: u64, leaf: Leaf) -> Option<u64> {
    assert!(!leaf.is_present() || leaf.entry & USER != 0, "{address:#x}: garbage {leaf:x?}");
    Some(leaf.frame()? + (address & (leaf.size() - 1)) / PAGE)
}

pub(crate) fn walk(tables: &mut Located, address: u64, count: usize) -> Vec<Leaf> {
    let addresses: Vec<u64> = (address..).step_by(4096).take(count).collect();
    let mut leaves = vec![Leaf::default(); count];
    tables.walk(&addresses, &mut leaves).unwrap();
    leaves
}

/// Asserts that every page has the same frame by walk and by `pagemap`; returns how many are in memory.
/// Nothing may change meanwhile but what the kernel moves, so what differs is looked at again.
pub(crate) fn assert_agreement(
    tables: &mut Located,
    pid: u32,
    address: u64,
    count: usize,
) -> usize {
    let mut present = 0;
    let expected = frames(pid, address, count);
    let leaves = walk(tables, address, count);
    for ((at, expected), leaf) in (address..).step_by(4096).zip(expected).zip(leaves) {
        present += usize::from(expected.is_some());
        if frame(at, leaf) != expected {
            let agree = (0..100).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(1));
                frame(at, walk(tables, at, 1)[0]) == frames(pid, at, 1)[0]
            });
            assert!(agree, "{at:#x}: {leaf:x?}, by pagemap {expected:x?}");
        }
    }
    present
}
