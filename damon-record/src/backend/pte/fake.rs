//! A process made up for tests: its page tables, and what the kernel would do to them.

use super::clear::{Barrier, Clear, ClearError};
use super::tables::{Leaf, Tables};
use super::watch::PteWatch;
use crate::backend::WatchError;
use crate::sys::madvise::Range;
use damon_format::{Mapping, Permissions};
use nix::errno::Errno;
use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

pub(super) const PAGE: u64 = 4096;
pub(super) const HUGE: u64 = 2 << 20;
/// The frame of the page of zeros.
pub(super) const ZERO: u64 = 7;

const PRESENT: u64 = 1;
const ACCESSED: u64 = 1 << 5;

/// What a page is, as far as clearing it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Anonymous, mapped once, on the LRU lists.
    Ordinary,
    /// What `MADV_COLD` or `clear_refs` leave alone.
    Barred(Barrier),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) leaf: Leaf,
    pub(super) sort: Sort,
}

/// The state of the process and the account of what was done to it.
#[derive(Debug, Default)]
pub(super) struct State {
    /// By first address; a huge page is one entry.
    pub(super) pages: BTreeMap<u64, Page>,
    pub(super) mappings: Vec<Mapping>,
    /// What the next call says instead of doing anything.
    pub(super) ended: Option<fn() -> WatchError>,
    /// Addresses that the target touches as soon as they have been cleared.
    pub(super) hammered: Vec<u64>,
    /// Ranges given to `MADV_COLD`.
    pub(super) cold: Vec<(u64, u64)>,
    /// Huge pages and folios that were split by it.
    pub(super) splits: usize,
    pub(super) clear_refs: usize,
    /// How long each `clear_refs` takes.
    pub(super) clear_refs_takes: Duration,
    pub(super) now: Duration,
    pub(super) resident: u64,
    pub(super) anonymous_folios: bool,
    frames: u64,
}

/// A handle on the process; its tables, its means and the test share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Fake(Rc<RefCell<State>>);

impl Fake {
    pub(super) fn get(&self) -> Ref<'_, State> {
        self.0.borrow()
    }

    pub(super) fn set(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    /// Adds an anonymous mapping of `pages` pages of this sort, all just accessed, at `start`.
    pub(super) fn map(&self, start: u64, pages: u64, sort: Sort) {
        self.map_with(start, pages * PAGE, 0, sort, 0);
    }

    /// The same of a file.
    pub(super) fn map_file(&self, start: u64, pages: u64, sort: Sort) {
        self.map_with(start, pages * PAGE, 0, sort, 99);
    }

    /// The same of huge pages.
    pub(super) fn map_huge(&self, start: u64, pages: u64, sort: Sort) {
        self.map_with(start, pages * HUGE, 1, sort, 0);
    }

    fn map_with(&self, start: u64, bytes: u64, level: u8, sort: Sort, inode: u64) {
        let mut state = self.set();
        let size = Leaf { entry: 0, level }.size();
        for address in (start..start + bytes).step_by(usize::try_from(size).unwrap()) {
            state.frames += 512;
            let frame = if sort == Sort::Barred(Barrier::Zero) { ZERO } else { state.frames + 512 };
            let leaf = Leaf { entry: frame << 12 | PRESENT | ACCESSED, level };
            state.pages.insert(address, Page { leaf, sort });
        }
        state.mappings.push(Mapping {
            start,
            end: start + bytes,
            permissions: Permissions { read: true, write: true, ..Permissions::default() },
            offset: 0,
            inode,
            name: String::new(),
        });
        state.mappings.sort_by_key(|mapping| mapping.start);
    }

    /// The target uses the page at `address`, which may be new.
    pub(super) fn touch(&self, address: u64) {
        let mut state = self.set();
        if let Some((_, page)) = state.page(address) {
            page.leaf.entry |= ACCESSED;
            return;
        }
        state.frames += 512;
        let entry = (state.frames + 512) << 12 | PRESENT | ACCESSED;
        let leaf = Leaf { entry, level: 0 };
        state.pages.insert(address & !(PAGE - 1), Page { leaf, sort: Sort::Ordinary });
    }

    /// Time passes.
    pub(super) fn wait(&self, time: Duration) {
        self.set().now += time;
    }

    pub(super) fn is_set(&self, address: u64) -> bool {
        self.set().page(address).is_some_and(|(_, page)| page.leaf.is_accessed())
    }

    /// A watch that knows all mappings.
    pub(super) fn watch(&self) -> PteWatch<Self, Self> {
        let mut watch = PteWatch::new(self.clone(), self.clone(), Some(ZERO));
        let mappings = self.get().mappings.clone();
        crate::backend::Watch::mappings_changed(&mut watch, &mappings).unwrap();
        watch
    }

    fn alive(&self) -> Result<(), WatchError> {
        self.get().ended.map_or(Ok(()), |error| Err(error()))
    }
}

impl State {
    fn page(&mut self, address: u64) -> Option<(u64, &mut Page)> {
        let (start, page) = self.pages.range_mut(..=address).next_back()?;
        (address < start + page.leaf.size()).then_some((*start, page))
    }

    fn again(&mut self) {
        for address in self.hammered.clone() {
            if let Some((_, page)) = self.page(address) {
                page.leaf.entry |= ACCESSED;
            }
        }
    }

    /// `madvise_cold_or_pageout_pte_range` for one range.
    fn advise(&mut self, start: u64, end: u64) -> Result<(), Errno> {
        let mapped = self.mappings.iter().any(|m| m.start <= start && end <= m.end);
        let refuses = |sort| {
            use Barrier::{Device, Hugetlb, Locked};
            matches!(sort, Sort::Barred(Locked | Hugetlb | Device))
        };
        let mut address = start;
        while address < end {
            let Some((first, page)) = self.page(address) else {
                address += PAGE;
                continue;
            };
            if refuses(page.sort) {
                return Err(Errno::EINVAL);
            }
            let size = page.leaf.size();
            let part = start > first || end < first + size;
            if page.sort == Sort::Ordinary && part {
                self.splits += 1;
            } else if page.sort == Sort::Ordinary {
                page.leaf.entry &= !ACCESSED;
            } else if page.sort == Sort::Barred(Barrier::Large) {
                self.splits += 1;
            }
            address = first + size;
        }
        if mapped { Ok(()) } else { Err(Errno::ENOMEM) }
    }
}

impl Tables for Fake {
    fn walk(&mut self, addresses: &[u64], leaves: &mut [Leaf]) -> Result<(), WatchError> {
        self.alive()?;
        assert_eq!(addresses.len(), leaves.len());
        let mut state = self.set();
        for (&address, leaf) in addresses.iter().zip(leaves) {
            *leaf = state.page(address).map_or(Leaf::default(), |(_, page)| page.leaf);
        }
        Ok(())
    }

    fn scan(
        &mut self,
        start: u64,
        end: u64,
        each: &mut dyn FnMut(u64, u8, &[u64]),
    ) -> Result<(), WatchError> {
        self.alive()?;
        // As tables come: 512 entries that begin at a multiple of what a table spans.
        let mut tables: BTreeMap<(u64, u8), Vec<u64>> = BTreeMap::new();
        for (&address, page) in self.get().pages.range(start..end) {
            let span = page.leaf.size() * 512;
            let first = address & !(span - 1);
            let table = tables.entry((first, page.leaf.level)).or_insert_with(|| vec![0; 512]);
            table[usize::try_from((address - first) / page.leaf.size()).unwrap()] = page.leaf.entry;
        }
        for ((first, level), entries) in tables {
            each(first, level, &entries);
        }
        Ok(())
    }
}

impl Clear for Fake {
    fn cold(
        &mut self,
        ranges: &[Range],
        refused: &mut dyn FnMut(usize, Errno),
    ) -> Result<(), ClearError> {
        if self.get().ended.is_some() {
            return Err(ClearError::Ended);
        }
        let mut state = self.set();
        for (index, range) in ranges.iter().enumerate() {
            let (start, end) = (range.start(), range.start() + range.len());
            state.cold.push((start, end));
            if let Err(errno) = state.advise(start, end) {
                refused(index, errno);
            }
        }
        state.again();
        Ok(())
    }

    fn everything(&mut self) -> Result<(), ClearError> {
        if self.get().ended.is_some() {
            return Err(ClearError::Ended);
        }
        let mut state = self.set();
        let takes = state.clear_refs_takes;
        state.now += takes;
        state.clear_refs += 1;
        for page in state.pages.values_mut() {
            if !matches!(page.sort, Sort::Barred(barrier) if !barrier.yields_to_clear_refs()) {
                page.leaf.entry &= !ACCESSED;
            }
        }
        state.again();
        Ok(())
    }

    fn barrier(&mut self, leaf: Leaf) -> Option<Barrier> {
        let state = self.get();
        let page = state.pages.values().find(|page| page.leaf.frame() == leaf.frame())?;
        match page.sort {
            Sort::Ordinary => None,
            Sort::Barred(barrier) => Some(barrier),
        }
    }

    fn now(&self) -> Duration {
        self.get().now
    }

    fn resident(&mut self) -> u64 {
        self.get().resident
    }

    fn anonymous_folios(&self) -> bool {
        self.get().anonymous_folios
    }
}
