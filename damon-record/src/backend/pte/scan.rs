//! Whole page tables, top down: what is absent above is passed over at once.

use super::locate::Located;
use super::program::{ENTRIES_PER_TABLE, TABLES};
use super::tables::Leaf;
use crate::backend::WatchError;

/// How often tables are copied again that changed while they were copied; then they count as not mapped.
const COPY_TRIES: u32 = 8;
/// The highest level with leaves (1 GiB).
const HIGHEST_LEAF: u8 = 2;
const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;

/// What a scan is about.
struct Scan<'a> {
    start: u64,
    end: u64,
    each: &'a mut dyn FnMut(u64, u8, &[u64]),
    /// One address of each table handed out last, to be compared with `pagemap`.
    seen: Vec<u64>,
    next_seen: usize,
    /// End of what was handed out: tables change while we go, but nothing is handed out twice.
    done: u64,
}

/// Addresses kept for the comparison.
const KEPT: usize = 64;

/// Bytes that one entry of a level maps.
fn entry_bytes(level: u8) -> u64 {
    1 << (12 + 9 * u32::from(level))
}

fn table_bytes(level: u8) -> u64 {
    entry_bytes(level) * ENTRIES_PER_TABLE as u64
}

/// [`Tables::scan`](super::tables::Tables::scan): runs of leaves, ascending and disjoint, cut to
/// `start..end` where pages are of 4 KiB.
pub(super) fn scan(
    tables: &mut Located,
    start: u64,
    end: u64,
    each: &mut dyn FnMut(u64, u8, &[u64]),
) -> Result<(), WatchError> {
    let end = end.min(tables.end_of_user_space());
    let start = start & !(entry_bytes(0) - 1);
    if start >= end {
        return Ok(());
    }
    let top = tables.levels().saturating_sub(1);
    let mut scan = Scan { start, end, each, seen: Vec::with_capacity(KEPT), next_seen: 0, done: 0 };
    scan.descend(tables, top, &[start])?;
    let seen = std::mem::take(&mut scan.seen);
    tables.compare_now_and_then(seen.into_iter())
}

impl Scan<'_> {
    /// Goes through the tables with entries of `level` around `addresses`, which are in the range.
    fn descend(
        &mut self,
        tables: &mut Located,
        level: u8,
        addresses: &[u64],
    ) -> Result<(), WatchError> {
        // Going deeper overwrites the copies, so above the lowest level they are taken one by one.
        let at_once = if level == 0 { TABLES } else { 1 };
        let mut rest = addresses;
        let mut tries = 0;
        while !rest.is_empty() {
            let batch = rest.get(..at_once.min(rest.len())).unwrap_or_default();
            tables.copy_tables(level, batch)?;
            let settled = tables.ends.iter().take_while(|end| end.is_some()).count();
            tries += 1;
            let mut done = settled;
            if settled > 0 {
                tries = 0;
            } else if tries == COPY_TRIES {
                (tries, done) = (0, 1);
            }
            let settled = batch.get(..settled).unwrap_or_default();
            if level == 0 {
                self.lowest(tables, settled);
            } else if let [address] = settled {
                self.upper(tables, level, *address)?;
            }
            rest = rest.get(done..).unwrap_or_default();
        }
        Ok(())
    }

    /// The part of a table's entries that the range needs: address of the first, and their indices.
    fn part(&self, level: u8, address: u64) -> (u64, std::ops::Range<usize>) {
        let base = address & !(table_bytes(level) - 1);
        let first = self.start.saturating_sub(base) / entry_bytes(level);
        let end = self.end.saturating_sub(base).div_ceil(entry_bytes(level));
        let index =
            |entry: u64| usize::try_from(entry).unwrap_or(ENTRIES_PER_TABLE).min(ENTRIES_PER_TABLE);
        (base + first * entry_bytes(level), index(first)..index(end))
    }

    /// Tables with entries of 4 KiB.
    fn lowest(&mut self, tables: &Located, addresses: &[u64]) {
        let copies = tables.copies.chunks(ENTRIES_PER_TABLE);
        for ((&address, end), copy) in addresses.iter().zip(&tables.ends).zip(copies) {
            if let Some(end) = end.filter(|end| end.level != 0) {
                self.leaf_above(address, end);
                continue;
            }
            let (first, part) = self.part(0, address);
            let entries = copy.get(part).unwrap_or_default();
            if let Some(present) = entries.iter().position(|entry| entry & PRESENT != 0) {
                self.saw(first + present as u64 * entry_bytes(0));
                self.hand_out(first, 0, entries);
            }
        }
    }

    /// What was found above a table that is no longer there: perhaps a large page by now.
    fn leaf_above(&mut self, address: u64, leaf: Leaf) {
        let base = address & !(entry_bytes(leaf.level) - 1);
        if leaf.is_present() && leaf.level <= HIGHEST_LEAF && base >= self.done {
            self.saw(base);
            self.hand_out(base, leaf.level, &[leaf.entry]);
        }
    }

    /// A table with larger entries, copied: runs of leaves and of tables below take turns.
    fn upper(&mut self, tables: &mut Located, level: u8, address: u64) -> Result<(), WatchError> {
        if let Some(&Some(end)) = tables.ends.first()
            && end.level != level
        {
            self.leaf_above(address, end);
            return Ok(());
        }
        let (first, part) = self.part(level, address);
        let entries = tables.copies.get(part).unwrap_or_default().to_vec();
        let kind = |entry: u64| match (entry & PRESENT != 0, entry & LARGE != 0) {
            (false, _) => Kind::Absent,
            (true, true) if level <= HIGHEST_LEAF => Kind::Leaf,
            (true, _) => Kind::Table,
        };
        let mut at = first;
        for run in entries.chunk_by(|a, b| kind(*a) == kind(*b)) {
            match run.first().map_or(Kind::Absent, |entry| kind(*entry)) {
                Kind::Absent => {}
                Kind::Leaf => {
                    self.saw(at);
                    self.hand_out(at, level, run);
                }
                Kind::Table => {
                    let below: Vec<u64> = (0..run.len() as u64)
                        .map(|index| (at + index * entry_bytes(level)).max(self.start))
                        .collect();
                    self.descend(tables, level - 1, &below)?;
                }
            }
            at += run.len() as u64 * entry_bytes(level);
        }
        Ok(())
    }

    fn hand_out(&mut self, first: u64, level: u8, entries: &[u64]) {
        self.done = first + entries.len() as u64 * entry_bytes(level);
        (self.each)(first, level, entries);
    }

    fn saw(&mut self, address: u64) {
        if self.seen.len() < KEPT {
            self.seen.push(address);
        } else if let Some(seen) = self.seen.get_mut(self.next_seen % KEPT) {
            *seen = address;
        }
        self.next_seen += 1;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Absent,
    Leaf,
    Table,
}
