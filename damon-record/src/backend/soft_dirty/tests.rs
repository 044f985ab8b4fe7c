//! Against a fake `/proc`, whose pagemap is a file: it refuses `PAGEMAP_SCAN` as an old kernel does. The real
//! kernel's rules are played by the tests.

use super::news::News;
use super::*;
use crate::proc::Entry;
use crate::proc::fake::{put, root, stat_line};
use std::path::Path;

const PAGE: u64 = 4096;
/// Anonymous memory, written: what a private page looks like.
const WRITTEN: u64 = Entry::PRESENT | Entry::EXCLUSIVE | Entry::SOFT_DIRTY;
const CLEAN: u64 = Entry::PRESENT | Entry::EXCLUSIVE;

/// A process of a few pages from page 16 on, whose entries the test sets.
struct Fake {
    dir: tempfile::TempDir,
    proc: ProcRoot,
}

impl Fake {
    fn new(maps: &str) -> Self {
        let (dir, proc) = root();
        put(dir.path(), "5/stat", &stat_line(5, "x", 'S', 1, 1));
        put(dir.path(), "5/clear_refs", "");
        let fake = Self { dir, proc };
        fake.maps(maps);
        fake.entries(&[]);
        fake
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("5").join(name)
    }

    fn maps(&self, text: &str) {
        // In place: the watch holds the file open, as it would the address space.
        std::fs::write(self.path("maps"), text).unwrap();
    }

    /// `(page, entry)`; all others of the first 64 pages are empty.
    fn entries(&self, entries: &[(usize, u64)]) {
        let mut words = [0_u64; 64];
        for (page, entry) in entries {
            words[*page] = *entry;
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        std::fs::write(self.path("pagemap"), bytes).unwrap();
    }

    fn attach(&self) -> SoftDirty {
        let mut watch = SoftDirty::attach(&self.proc, 5).unwrap();
        let mut touched = Vec::new();
        watch.look(&mut touched).unwrap();
        assert!(touched.is_empty(), "the first look only arms");
        watch
    }
}

/// Ranges in pages.
fn look(watch: &mut SoftDirty) -> Vec<(u64, u64)> {
    let mut touched = Vec::new();
    watch.look(&mut touched).unwrap();
    assert!(touched.iter().all(|t| t.bytes == t.end - t.start));
    touched.iter().map(|t| (t.start / PAGE, t.end / PAGE)).collect()
}

fn cleared(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

const HEAP: &str = "10000-18000 rw-p 0 0:0 0 [heap]\n";

#[test]
fn pages_written_between_two_looks_are_reported_once() {
    let fake = Fake::new(HEAP);
    fake.entries(&[(16, WRITTEN), (17, WRITTEN), (20, WRITTEN)]);
    let mut watch = fake.attach();
    assert_eq!(cleared(&fake.path("clear_refs")), b"4");
    fake.entries(&[(16, CLEAN), (17, WRITTEN), (18, WRITTEN), (20, WRITTEN), (21, CLEAN)]);
    assert_eq!(look(&mut watch), [(17, 19), (20, 21)]);
    assert_eq!(watch.toll(), Toll { target: 3 * FAULT, ..Toll::default() });
    assert_eq!(cleared(&fake.path("clear_refs")), b"44");
    // A swapped page keeps its mark; one that is not there has none, whatever its mapping says.
    fake.entries(&[(17, Entry::SWAPPED | Entry::SOFT_DIRTY), (18, Entry::SOFT_DIRTY)]);
    assert_eq!(look(&mut watch), [(17, 18)]);
}

#[test]
fn new_memory_counts_where_a_write_has_made_it() {
    let fake = Fake::new(HEAP);
    fake.entries(&[(16, CLEAN)]);
    let mut watch = fake.attach();
    // The kernel marks everything in the new mappings, even what is not there.
    fake.maps(&format!("{HEAP}20000-24000 rw-p 0 0:0 0\n28000-2a000 rw-s 0 0:1 7 /dev/shm/x\n"));
    let zero_page = Entry::PRESENT | Entry::SOFT_DIRTY;
    let shared = WRITTEN | Entry::FILE;
    fake.entries(&[
        (16, CLEAN),
        (32, WRITTEN),
        (33, zero_page),
        (34, Entry::SOFT_DIRTY),
        (40, shared),
    ]);
    assert_eq!(look(&mut watch), [(32, 33)]);
    let toll = watch.toll();
    assert_eq!((toll.missed, toll.target), (2, Duration::ZERO), "the zero page and the shared one");
    assert!(!toll.why.is_empty());
    // Known from now on.
    fake.entries(&[(16, CLEAN), (32, CLEAN), (40, shared)]);
    assert_eq!(look(&mut watch), [(40, 41)]);
    assert_eq!(watch.toll().missed, 0);
}

#[test]
fn a_heap_that_grows_does_not_look_written_all_over() {
    let fake = Fake::new(HEAP);
    fake.entries(&[(16, CLEAN), (17, CLEAN)]);
    let mut watch = fake.attach();
    fake.maps("10000-1a000 rw-p 0 0:0 0 [heap]\n");
    fake.entries(&[(16, WRITTEN), (17, WRITTEN), (24, WRITTEN)]);
    assert_eq!(look(&mut watch), [(24, 25)], "only what is new");
    assert_eq!(watch.toll().missed, 2);
    fake.entries(&[(16, CLEAN), (17, WRITTEN), (24, CLEAN)]);
    assert_eq!(look(&mut watch), [(17, 18)]);
    // Shrinking and splitting tell nothing new.
    fake.maps("10000-12000 rw-p 0 0:0 0 [heap]\n13000-18000 r--p 0 0:0 0 [heap]\n");
    fake.entries(&[(17, WRITTEN), (20, WRITTEN)]);
    assert_eq!(look(&mut watch), [(17, 18), (20, 21)]);
    assert_eq!(watch.toll().missed, 0);
}

#[test]
fn another_file_at_the_same_place_is_new() {
    let fake = Fake::new("10000-14000 rw-s 0 0:1 7 /a\n");
    let mut watch = fake.attach();
    fake.maps("10000-14000 rw-s 0 0:1 8 /b\n");
    fake.entries(&[(16, WRITTEN | Entry::FILE)]);
    assert!(look(&mut watch).is_empty());
    assert_eq!(watch.toll().missed, 1);
}

#[test]
fn memory_whose_marks_are_never_cleared_is_left_out() {
    let fake = Fake::new(
        "10000-11000 rw-p 0 0:1 7 /anon_hugepage (deleted)\n11000-12000 r--p 0 0:0 0 [vvar]\n",
    );
    let mut watch = fake.attach();
    fake.entries(&[(16, WRITTEN), (17, WRITTEN)]);
    assert!(look(&mut watch).is_empty());
}

#[test]
fn an_address_space_that_became_empty_tells_exec_from_exit() {
    let fake = Fake::new(HEAP);
    let mut watch = fake.attach();
    std::fs::write(fake.path("pagemap"), "").unwrap();
    let mut touched = Vec::new();
    assert!(matches!(watch.look(&mut touched), Err(WatchError::Replaced)));
    fake.maps("");
    assert!(matches!(watch.look(&mut touched), Err(WatchError::Gone)));
    assert!(touched.is_empty());
}

#[test]
fn sampling_single_pages_is_refused_not_answered_with_zeros() {
    let mut watch = Fake::new(HEAP).attach();
    assert!(watch.prepare(&[0]).is_err());
    assert!(watch.check(&[0], &mut [false]).is_err());
}

#[test]
fn the_self_test_agrees_with_the_kernel() {
    // Not its own judgement: what the kernel says of a page that was never cleared.
    let mut page = crate::sys::own_pages::OwnPages::new(1).unwrap();
    page.write(0, 1);
    let mut pagemap = crate::proc::PagemapFile::open(&ProcRoot::default(), std::process::id());
    let entry = pagemap.as_mut().unwrap().entry(page.address(0).unwrap()).unwrap().unwrap();
    let verdict = selftest::self_test(&ProcRoot::default());
    assert_eq!(verdict.is_ok(), entry.has(Entry::SOFT_DIRTY), "{verdict:?}");
}

mod properties {
    use super::*;
    use crate::backend::soft_dirty::bits::{Marked, Pages};
    use proptest::prelude::*;

    fn mapping(start: u64, end: u64, inode: u64) -> Mapping {
        let permissions = damon_format::Permissions::default();
        Mapping { start, end, permissions, offset: start, inode, name: String::new() }
    }

    /// Ascending disjoint runs of the pages 0..32, from a word of bits.
    fn runs(bits: u32) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for page in (0..32_u64).filter(|page| bits >> page & 1 == 1) {
            match runs.last_mut() {
                Some(last) if last.1 == page => last.1 += 1,
                _ => runs.push((page, page + 1)),
            }
        }
        runs
    }

    proptest! {
        /// Page by page: in a mapping that was there as a whole, marks count; in one that was not, only
        /// those of new anonymous pages do, and all others are missed.
        #[test]
        fn every_marked_page_is_either_reported_or_missed(
            before: u32, now: u32, dirty: u32, born_written: bool,
        ) {
            let maps = |bits: u32| -> Vec<Mapping> {
                runs(bits).iter().map(|r| mapping(r.0 * PAGE, r.1 * PAGE, 0)).collect()
            };
            let marked: Vec<Marked> = runs(dirty)
                .iter()
                .map(|r| Marked {
                    start: r.0 * PAGE,
                    end: r.1 * PAGE,
                    pages: Pages { born_written, huge: false },
                })
                .collect();
            let mut news = News::default();
            let mut touched = Vec::new();
            news.sort_out(&[], &maps(before), false, &mut touched);
            let found = news.sort_out(&marked, &maps(now), true, &mut touched);
            let (mut expected, mut missed, mut faults) = (0_u32, 0, 0);
            for (start, end) in runs(now) {
                let all: u32 = (start..end).map(|page| 1 << page).sum();
                let complete = before & all == all;
                for page in (start..end).filter(|page| dirty >> page & 1 == 1) {
                    let is_new = before >> page & 1 == 0;
                    if complete || is_new && born_written {
                        expected |= 1 << page;
                        faults += u32::from(complete);
                    } else {
                        missed += 1;
                    }
                }
            }
            let reported: u32 = touched
                .iter()
                .flat_map(|t| t.start / PAGE..t.end / PAGE)
                .map(|page| 1 << page)
                .sum();
            prop_assert_eq!(reported, expected);
            prop_assert_eq!((found.missed, found.faults), (missed, faults));
            prop_assert!(touched.windows(2).all(|w| w[0].end < w[1].start));
        }
    }
}
