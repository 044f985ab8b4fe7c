//! Reading the soft-dirty bits of a whole address space: by `PAGEMAP_SCAN` where the kernel has it (6.7),
//! entry by entry where not.

use crate::proc::{Entry, PagemapFile, ProcError, ProcRoot, page_size};
use crate::sys::pagemap_scan::{self, MAX_RANGES, PAGE_IS_FILE, PAGE_IS_HUGE, PageRange};
use damon_format::Mapping;
use nix::errno::Errno;
use std::os::fd::AsFd as _;

/// A run of pages that are there and are marked as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marked {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) pages: Pages,
}

/// What is known of marked pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    /// They came into being by a write: anonymous, and not the shared zero page.
    pub(super) born_written: bool,
    /// Mapped as huge ones.
    pub(super) huge: bool,
}

/// Entries read at once when the kernel has no `PAGEMAP_SCAN`: 64 KiB, that is 32 MiB of memory.
const ENTRIES: usize = 8192;

/// The reader, and what it found last.
#[derive(Debug)]
pub(super) struct Bits {
    pid: u32,
    pagemap: PagemapFile,
    page_size: u64,
    ranges: Vec<PageRange>,
    entries: Vec<Entry>,
    scans: bool,
    found: Vec<Marked>,
}

impl Bits {
    pub(super) fn open(proc: &ProcRoot, pid: u32) -> Result<Self, ProcError> {
        Ok(Self {
            pid,
            pagemap: PagemapFile::open(proc, pid)?,
            page_size: page_size(),
            ranges: vec![PageRange::default(); MAX_RANGES],
            entries: Vec::new(),
            scans: true,
            found: Vec::new(),
        })
    }

    /// What the last [`read`](Self::read) found, ascending.
    pub(super) fn found(&self) -> &[Marked] {
        &self.found
    }

    /// Reads the bits of everything in `mappings`; `Gone` when the address space is.
    pub(super) fn read(&mut self, mappings: &[Mapping]) -> Result<(), ProcError> {
        self.found.clear();
        let (Some(first), Some(last)) = (mappings.first(), mappings.last()) else {
            return Ok(());
        };
        if self.scans {
            match self.scan(first.start, last.end) {
                Err(Errno::ENOTTY | Errno::EINVAL) => self.scans = false,
                Err(Errno::ESRCH) => return Err(ProcError::Gone { pid: self.pid }),
                Err(errno) => return Err(self.pagemap.failed("PAGEMAP_SCAN", errno)),
                Ok(()) => return Ok(()),
            }
        }
        self.found.clear();
        for mapping in mappings {
            self.read_entries(mapping.start, mapping.end)?;
        }
        Ok(())
    }

    fn scan(&mut self, start: u64, end: u64) -> Result<(), Errno> {
        let mut position = start;
        loop {
            let pagemap = self.pagemap.as_fd();
            let count = pagemap_scan::soft_dirty(pagemap, position, end, &mut self.ranges)?;
            let ranges = self.ranges.get(..count).unwrap_or_default();
            self.found.extend(ranges.iter().map(|range| Marked {
                start: range.start,
                end: range.end,
                pages: Pages {
                    born_written: range.categories & PAGE_IS_FILE == 0,
                    huge: range.categories & PAGE_IS_HUGE != 0,
                },
            }));
            match ranges.last() {
                Some(last) if count == self.ranges.len() && last.end > position => {
                    position = last.end;
                }
                _ => return Ok(()),
            }
        }
    }

    fn read_entries(&mut self, start: u64, end: u64) -> Result<(), ProcError> {
        self.entries.resize(ENTRIES, Entry::default());
        let mut position = start;
        while position < end {
            let pages = usize::try_from((end - position).div_ceil(self.page_size));
            let wanted = pages.unwrap_or(ENTRIES).min(ENTRIES);
            let entries = self.entries.get_mut(..wanted).unwrap_or_default();
            let count = self.pagemap.read(position, entries)?;
            if count == 0 {
                return Err(ProcError::Gone { pid: self.pid });
            }
            for entry in entries.iter().take(count) {
                let next = position.saturating_add(self.page_size);
                if entry.is_populated() && entry.has(Entry::SOFT_DIRTY) {
                    note(&mut self.found, position, next, judge(*entry));
                }
                position = next;
            }
        }
        Ok(())
    }
}

/// The shared zero page cannot be told by its entry; but it is never mapped exclusively.
fn judge(entry: Entry) -> Pages {
    let own = entry.has(Entry::EXCLUSIVE) || entry.has(Entry::SWAPPED);
    Pages { born_written: own && !entry.has(Entry::FILE), huge: false }
}

fn note(found: &mut Vec<Marked>, start: u64, end: u64, pages: Pages) {
    match found.last_mut() {
        Some(last) if last.end == start && last.pages == pages => last.end = end,
        _ => found.push(Marked { start, end, pages }),
    }
}
