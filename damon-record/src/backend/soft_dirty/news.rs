//! What the marks of a look mean. The kernel has one bit for each page and one for each mapping, and shows
//! only whether either is set. The mapping's bit is set when the mapping is made and when it grows or is
//! joined with a new one (`mmap_region`, `do_brk_flags`), and cleared with all others; so the pages of a
//! mapping say something only if all of it was there when the bits were cleared.

use super::bits::Marked;
use crate::backend::Touched;
use crate::proc::page_size;
use damon_format::Mapping;

/// Bytes of a huge page, which takes one fault.
const HUGE: u64 = 2 << 20;

/// What a look could not say in ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Faults that the writes have cost the target.
    pub(super) faults: u32,
    /// Pages of which it is not known whether they were written.
    pub(super) missed: u64,
}

/// The mappings as they were when the bits were cleared last.
#[derive(Debug, Default)]
pub(super) struct News {
    known: Vec<Mapping>,
}

impl News {
    /// Appends what `marked` means to `touched`, and takes `mappings` for what is known from now on; both
    /// ascend. Nothing is appended unless the bits had been cleared before (`armed`).
    pub(super) fn sort_out(
        &mut self,
        marked: &[Marked],
        mappings: &[Mapping],
        armed: bool,
        touched: &mut Vec<Touched>,
    ) -> Found {
        let mut found = Found::default();
        let own = touched.len();
        if armed {
            let mut marked = marked.iter().copied().peekable();
            let mut known = self.known.as_slice();
            for mapping in mappings {
                while known.first().is_some_and(|old| old.end <= mapping.start) {
                    known = known.get(1..).unwrap_or_default();
                }
                while marked.next_if(|range| range.end <= mapping.start).is_some() {}
                let old = Old::new(known, mapping);
                while let Some(range) = marked.peek().filter(|range| range.start < mapping.end) {
                    let clipped = Marked {
                        start: range.start.max(mapping.start),
                        end: range.end.min(mapping.end),
                        ..*range
                    };
                    old.judge(clipped, own, touched, &mut found);
                    if range.end > mapping.end {
                        break;
                    }
                    marked.next();
                }
            }
        }
        self.known.clear();
        self.known.extend_from_slice(mappings);
        found
    }
}

/// One mapping, and what was known where it lies.
struct Old<'a> {
    known: &'a [Mapping],
    mapping: &'a Mapping,
    complete: bool,
}

impl<'a> Old<'a> {
    fn new(known: &'a [Mapping], mapping: &'a Mapping) -> Self {
        let mut old = Self { known, mapping, complete: false };
        old.complete = old.is_complete();
        old
    }

    /// Known mappings that the mapping continues.
    fn parts(&self) -> impl Iterator<Item = &Mapping> {
        self.known
            .iter()
            .take_while(|old| old.start < self.mapping.end)
            .filter(|old| continues(old, self.mapping))
    }

    /// Whether all of the mapping was there.
    fn is_complete(&self) -> bool {
        let mut position = self.mapping.start;
        for old in self.parts() {
            if old.start > position {
                return false;
            }
            position = old.end;
        }
        position >= self.mapping.end
    }

    fn judge(&self, range: Marked, own: usize, touched: &mut Vec<Touched>, found: &mut Found) {
        if !is_cleared(self.mapping) {
            return;
        }
        if self.complete {
            append(range.start, range.end, own, touched);
            let unit = if range.pages.huge { HUGE } else { page_size() };
            let faults = (range.end - range.start).div_ceil(unit);
            found.faults = found.faults.saturating_add(u32::try_from(faults).unwrap_or(u32::MAX));
            return;
        }
        let mut position = range.start;
        let mut new = |start: u64, end: u64, found: &mut Found| {
            if range.pages.born_written {
                append(start, end, own, touched);
            } else {
                found.missed += (end - start) / page_size();
            }
        };
        for old in self.parts() {
            let (start, end) = (old.start.max(position), old.end.min(range.end));
            if start >= end {
                continue;
            }
            if position < start {
                new(position, start, found);
            }
            found.missed += (end - start) / page_size();
            position = end;
        }
        if position < range.end {
            new(position, range.end, found);
        }
    }
}

/// Whether `new` may hold the pages that `old` held: the same memory at the same addresses.
fn continues(old: &Mapping, new: &Mapping) -> bool {
    let base = |mapping: &Mapping| mapping.start.wrapping_sub(mapping.offset);
    old.inode == new.inode
        && old.permissions.shared == new.permissions.shared
        && (new.inode == 0 || base(old) == base(new))
}

/// Whether the kernel clears the bits of such memory: not those of its own pages, nor of hugetlbfs.
fn is_cleared(mapping: &Mapping) -> bool {
    let name = mapping.name.as_str();
    !["[v", "/anon_hugepage", "/dev/hugepages/"].iter().any(|prefix| name.starts_with(prefix))
}

/// Appends a range, joined with its neighbour among the entries from index `own` on.
fn append(start: u64, end: u64, own: usize, touched: &mut Vec<Touched>) {
    if touched.len() > own
        && let Some(last) = touched.last_mut()
        && last.end == start
    {
        last.end = end;
        last.bytes = last.end - last.start;
        return;
    }
    touched.push(Touched { start, end, bytes: end - start });
}
