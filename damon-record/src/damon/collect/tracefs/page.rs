//! Pages of tracefs' ring buffer as `trace_pipe_raw` hands them out (`kernel/trace/ring_buffer.c`; layout of the page in
//! `events/header_page`, of an entry in `events/header_event`).

#![expect(clippy::host_endian_bytes, reason = "the kernel writes its own words")]

use crate::damon::events::{Field, parse_fields};

/// Bits of an entry's length and kind.
const KIND_BITS: u32 = 5;
/// Bits of an entry's time.
const DELTA_BITS: u32 = 27;
/// Entries that are no events.
const PADDING: u32 = 29;
const TIME_EXTEND: u32 = 30;
const TIME_STAMP: u32 = 31;
/// In the word of the page's length: events before this page were lost, and how many is written after the data.
const MISSED: u64 = 1 << 31;
const MISSED_STORED: u64 = 1 << 30;
const LENGTH_MASK: u64 = (1 << 27) - 1;
/// An absolute time has only as many bits; the page's own time has the others.
const STAMP_BITS: u32 = 59;

/// Where the parts of a page are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    time: Field,
    commit: Field,
    data: Field,
}

/// Events that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// So many.
    Counted(u64),
    /// The kernel does not say how many.
    Uncounted,
}

/// A page is not what the kernel's layout says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

impl Layout {
    /// Reads `events/header_page`. `None`: it does not say.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let fields = parse_fields(&String::from_utf8_lossy(text));
        let find = |name| fields.iter().find(|(known, _)| known == name).map(|(_, field)| *field);
        let layout =
            Self { time: find("timestamp")?, commit: find("commit")?, data: find("data")? };
        let numbers = layout.time.is_number() && layout.commit.is_number();
        // Sub-buffers may be larger than pages (6.8), but not that large.
        let sane = layout.data.size > 0 && layout.data.size <= 1 << 24 && layout.data.offset <= 64;
        (numbers && sane).then_some(layout)
    }

    /// Bytes of a page.
    pub(super) fn page_bytes(self) -> usize {
        self.data.offset + self.data.size
    }

    /// Begins to read a page.
    pub(super) fn open(self, page: &[u8]) -> Result<Page<'_>, Damaged> {
        let time_ns = self.time.number(page).ok_or(Damaged)?;
        let commit = self.commit.number(page).ok_or(Damaged)?;
        let length = usize::try_from(commit & LENGTH_MASK).map_err(|_too_long| Damaged)?;
        let data = page.get(self.data.offset..).ok_or(Damaged)?;
        let (data, behind) = data.split_at_checked(length).ok_or(Damaged)?;
        let stored = Field { offset: 0, ..self.commit };
        let missed = if commit & MISSED == 0 {
            None
        } else if commit & MISSED_STORED == 0 {
            Some(Missed::Uncounted)
        } else {
            Some(stored.number(behind).map_or(Missed::Uncounted, Missed::Counted))
        };
        Ok(Page { time_ns, missed, data })
    }
}

/// A page that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    /// When it was begun.
    pub(super) time_ns: u64,
    /// Events were lost between the page before and this one.
    pub(super) missed: Option<Missed>,
    data: &'a [u8],
}

impl<'a> Page<'a> {
    /// Hands over its events with their times.
    pub(super) fn events(self, mut each: impl FnMut(u64, &'a [u8])) -> Result<(), Damaged> {
        let mut time_ns = self.time_ns;
        let mut rest = self.data;
        while !rest.is_empty() {
            let (kind, delta) = header(take(&mut rest, 4)?).ok_or(Damaged)?;
            let mut length_word =
                || take(&mut rest, 4).and_then(|word| number(word).ok_or(Damaged));
            match kind {
                // The rest of the page is unused.
                PADDING if delta == 0 => return Ok(()),
                PADDING => {
                    // An event that was taken back. Its length counts the word that holds it.
                    let length = length_word()?.checked_sub(4).ok_or(Damaged)?;
                    take(&mut rest, length)?;
                }
                TIME_EXTEND => {
                    let high = u64::from(length_word()?);
                    time_ns = time_ns.wrapping_add(high << DELTA_BITS | u64::from(delta));
                }
                TIME_STAMP => {
                    let high = u64::from(length_word()?);
                    time_ns = absolute(time_ns, high << DELTA_BITS | u64::from(delta));
                }
                kind => {
                    time_ns = time_ns.wrapping_add(u64::from(delta));
                    let length = match kind {
                        0 => length_word()?.checked_sub(4).ok_or(Damaged)?,
                        words => words * 4,
                    };
                    each(time_ns, take(&mut rest, length)?);
                }
            }
        }
        Ok(())
    }
}

/// Cuts the next `length` bytes off.
fn take<'a>(rest: &mut &'a [u8], length: u32) -> Result<&'a [u8], Damaged> {
    let length = usize::try_from(length).map_err(|_too_long| Damaged)?;
    let (taken, behind) = rest.split_at_checked(length).ok_or(Damaged)?;
    *rest = behind;
    Ok(taken)
}

fn number(word: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*word.first_chunk()?))
}

/// Kind and time of an entry: a bit field, filled from the other end on big-endian machines.
fn header(word: &[u8]) -> Option<(u32, u32)> {
    let word = number(word)?;
    Some(if cfg!(target_endian = "big") {
        (word >> DELTA_BITS, word & ((1 << DELTA_BITS) - 1))
    } else {
        (word & ((1 << KIND_BITS) - 1), word >> KIND_BITS)
    })
}

/// The time whose low bits are `low`, nearest after `before`.
fn absolute(before: u64, low: u64) -> u64 {
    let unit = 1_u64 << STAMP_BITS;
    let low = low & (unit - 1);
    if before < unit {
        return low;
    }
    let time = before & !(unit - 1) | low;
    if time < before { time.wrapping_add(unit) } else { time }
}

#[cfg(test)]
pub(super) mod tests;
