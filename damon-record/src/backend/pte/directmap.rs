//! Where the kernel maps all of physical memory (`Documentation/arch/x86/x86_64/mm.rst`), found with pages of
//! our own whose frame numbers and content are known.

use super::machine::Peek;
use super::pagemap::Pagemap;
use super::program::{ENTRIES_PER_TABLE, Layout};
use super::refusal;
use super::tables::Leaf;
use super::tasks::TaskMembers;
use crate::proc::ProcRoot;
use crate::sys::area::{Area, Reservation, Source};
use nix::errno::Errno;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// What was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) layout: Layout,
    /// The bit that memory encryption sets in every entry (AMD's C-bit); 0 without.
    pub(super) encryption: u64,
    /// End of physical memory, bytes.
    pub(super) limit: u64,
}

/// Bits 12 to 51 of an entry.
const FRAME: u64 = 0x000f_ffff_ffff_f000;
/// The map begins at a multiple of it, also where its place is random (`kernel_randomize_memory` of
/// `arch/x86/mm/kaslr.c` works in steps of `PUD_SIZE`).
const STEP: u64 = 1 << 30;
/// Where it begins when its place is not random, which is also the lowest random place
/// (`__PAGE_OFFSET_BASE_L4`, `__PAGE_OFFSET_BASE_L5`).
const LOWEST: [(u8, u64); 2] = [(4, 0xffff_8880_0000_0000), (5, 0xff11_0000_0000_0000)];
/// Addresses from here on exist with four levels too.
const FOUR_LEVELS: u64 = 0xffff_8000_0000_0000;
/// The page may be moved between the question for its frame and the search for it.
const TRIES: u32 = 3;

/// Finds the map, the number of levels, and what encryption adds to entries.
pub(super) fn find(
    proc: &ProcRoot,
    peek: &mut Peek,
    members: &TaskMembers,
) -> Result<Found, String> {
    let pid = std::process::id();
    let pagemap = Pagemap::open(proc, pid).map_err(|error| error.to_string())?;
    let zones = std::fs::read_to_string(proc.path().join("zoneinfo"))
        .map_err(|error| format!("{}/zoneinfo: {error}", proc.path().display()))?;
    let limit = end_of_memory(&zones).ok_or("/proc/zoneinfo does not tell where memory ends")?;
    let pgd = own_pgd(peek, members)?;
    let (levels, lowest) = if pgd >= FOUR_LEVELS { LOWEST[0] } else { LOWEST[1] };
    let page = KnownPage::new().map_err(|errno| format!("no memory for a known page: {errno}"))?;
    for _ in 0..TRIES {
        let frame = page.frame(&pagemap)?;
        let Some(direct_map) = search(peek, &page, frame, pgd, lowest, limit)? else { continue };
        // No bit above the end of memory can be part of an address of a table.
        let bootstrap =
            Layout { levels, direct_map, frame: FRAME & (limit.next_power_of_two() - 1) };
        let entry = walk(peek, pgd, page.address(), bootstrap).map_err(refusal::run)?;
        if page.frame(&pagemap)? != frame {
            continue;
        }
        let entry = entry.ok_or("the walk to a page of the recorder's own ended nowhere")?;
        let encryption = (entry & FRAME) ^ (frame << 12);
        if encryption != 0 && (!encryption.is_power_of_two() || encryption < limit) {
            return Err(format!(
                "a page of the recorder's own has frame {frame:#x} by pagemap, and the entry {entry:#x} in \
                 the page table; use another backend"
            ));
        }
        let layout = Layout { frame: FRAME & !encryption, ..bootstrap };
        return Ok(Found { layout, encryption, limit });
    }
    Err("the kernel's map of physical memory was not found; use another backend".into())
}

fn own_pgd(peek: &mut Peek, members: &TaskMembers) -> Result<u64, String> {
    let mut read = || -> Result<Option<u64>, Errno> {
        let current = peek.current()?;
        let Some(mm) = peek.word(current.wrapping_add(u64::from(members.mm)))? else {
            return Ok(None);
        };
        peek.word(mm.wrapping_add(u64::from(members.pgd)))
    };
    read().map_err(refusal::run)?.ok_or_else(|| {
        "the recorder's own address space cannot be read; use another backend".into()
    })
}

/// Upwards from the lowest possible place, so that nothing is looked at above the page itself: there are
/// devices behind the map.
fn search(
    peek: &mut Peek,
    page: &KnownPage,
    frame: u64,
    pgd: u64,
    lowest: u64,
    limit: u64,
) -> Result<Option<u64>, String> {
    let mut base = (pgd.saturating_sub(limit) & !(STEP - 1)).max(lowest);
    let mut found = [0; ENTRIES_PER_TABLE];
    while base <= pgd {
        let at = base.saturating_add(frame << 12);
        if peek.read(at, &mut found).map_err(refusal::run)? && page.is(&found) {
            return Ok(Some(base));
        }
        base = base.saturating_add(STEP);
    }
    Ok(None)
}

/// The leaf for an address of our own.
fn walk(peek: &mut Peek, pgd: u64, address: u64, layout: Layout) -> Result<Option<u64>, Errno> {
    let mut table = pgd;
    for level in (0..layout.levels).rev() {
        let index = address >> (12 + 9 * u32::from(level)) & 511;
        let Some(entry) = peek.word(table.wrapping_add(index * 8))? else { return Ok(None) };
        let leaf = Leaf { entry, level };
        if !leaf.is_present() {
            return Ok(None);
        }
        if level == 0 {
            return Ok(Some(entry));
        }
        table = layout.direct_map.wrapping_add(entry & layout.frame);
    }
    Ok(None)
}

/// The end of the last zone of `/proc/zoneinfo`, bytes; unlike `/proc/iomem` it is readable for everybody.
fn end_of_memory(zones: &str) -> Option<u64> {
    let mut spanned = 0;
    let mut end = None;
    for line in zones.lines() {
        let mut words = line.split_ascii_whitespace();
        let number = |words: &mut std::str::SplitAsciiWhitespace<'_>| -> Option<u64> {
            words.next()?.parse().ok()
        };
        match words.next() {
            Some("Node") => spanned = 0,
            Some("spanned") => spanned = number(&mut words)?,
            Some("start_pfn:") => {
                let last = number(&mut words)?.checked_add(spanned)?;
                end = end.max(Some(last));
            }
            _ => {}
        }
    }
    end.filter(|end| *end > 0 && *end < 1 << 40).map(|end| end * 4096)
}

/// A page full of numbers that no other page has.
struct KnownPage {
    area: Area,
    words: [u64; ENTRIES_PER_TABLE],
}

impl KnownPage {
    fn new() -> Result<Self, Errno> {
        let random = RandomState::new();
        let mut words = [0; ENTRIES_PER_TABLE];
        for (index, word) in words.iter_mut().enumerate() {
            let mut hasher = random.build_hasher();
            hasher.write_usize(index);
            *word = hasher.finish();
        }
        let area = Reservation::new(4096)?.place(4096, 4096, 0, Source::Anonymous)?;
        for (offset, word) in (0..).step_by(8).zip(words) {
            area.write(offset, word).ok_or(Errno::EFAULT)?;
        }
        Ok(Self { area, words })
    }

    fn address(&self) -> u64 {
        self.area.address() as u64
    }

    fn is(&self, words: &[u64; ENTRIES_PER_TABLE]) -> bool {
        self.words == *words
    }

    fn frame(&self, pagemap: &Pagemap) -> Result<u64, String> {
        // Swapped out, it would be absent.
        let _touch = self.area.read(0);
        match pagemap.page(self.address()).map(super::pagemap::Page::frame) {
            Ok(Some(0)) => Err(refusal::frames_hidden()),
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err("a page of the recorder's own is not in memory; free memory".into()),
            Err(error) => Err(format!("/proc/self/pagemap cannot be read: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_ends_with_the_last_populated_zone() {
        let text = "Node 0, zone      DMA\n  pages free     2816\n        spanned  4095\n        present  3998\n\
                    \x20 start_pfn:           1\nNode 0, zone   Normal\n        spanned  5505024\n  start_pfn: \
                    1048576\nNode 0, zone  Movable\n        spanned  0\n";
        assert_eq!(end_of_memory(text), Some((1_048_576 + 5_505_024) * 4096));
        assert_eq!(end_of_memory(""), None);
        assert_eq!(end_of_memory("start_pfn: 18446744073709551615\n"), None);
    }
}
