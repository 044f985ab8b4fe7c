//! Events in a page of the kernel's ring buffer (`include/linux/ring_buffer.h`, and what `events/header_page` says).
//!
//! A page begins with a time, and each event says how much later it is. Its first word is five bits of type or length and
//! 27 of time.

use crate::import::ImportError;
use crate::import::tracepoints::{Field, fields, unexpected};
use std::ops::Range;

/// Types of events; smaller ones are a length in words.
mod types {
    pub(super) const PADDING: u32 = 29;
    pub(super) const TIME_EXTEND: u32 = 30;
    pub(super) const TIME_STAMP: u32 = 31;
}

/// Bits of `commit` that are a length, and those that tell of lost events.
const LENGTH: u64 = (1 << 27) - 1;
const HAS_LOST: u64 = 1 << 31;
const HAS_LOST_COUNT: u64 = 1 << 30;
/// Absolute times have 59 bits.
const STAMP_BITS: u32 = 59;

/// What a page begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageLayout {
    time: Field,
    commit: Field,
    data: usize,
}

impl PageLayout {
    /// By the kernel's description. `None`: it lacks what is needed.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let fields = fields(&String::from_utf8_lossy(text));
        let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, field)| *field);
        let (time, commit) = (field("timestamp")?, field("commit")?);
        Some(Self { time, commit, data: field("data")?.offset() })
    }
}

/// The place in a page.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    /// Of what has not been read, in the page's bytes.
    rest: Range<usize>,
    time: u64,
}

impl Page {
    /// Begins a page, which stands at `at`. Also returns how many events were lost before it, 0 if that is not known.
    pub(super) fn begin(
        layout: PageLayout,
        page: &[u8],
        at: u64,
    ) -> Result<(Self, Option<u64>), ImportError> {
        let head = layout.time.number(page).zip(layout.commit.number(page));
        let Some((time, commit)) = head else {
            return Err(unexpected(at, "the head of a page", "the end"));
        };
        let length = usize::try_from(commit & LENGTH).unwrap_or(usize::MAX);
        let end = layout.data.saturating_add(length);
        if end > page.len() {
            let found = format!("one with {length} bytes of events");
            return Err(unexpected(at, &format!("a page of {} bytes", page.len()), &found));
        }
        let lost = (commit & HAS_LOST != 0).then(|| {
            let count = page.get(end..).and_then(|rest| rest.first_chunk());
            let count = count.filter(|_| commit & HAS_LOST_COUNT != 0);
            count.map_or(0, |count| u64::from_le_bytes(*count))
        });
        Ok((Self { rest: layout.data..end, time }, lost))
    }

    /// Time of the last event, or of the page's begin.
    pub(super) fn time(&self) -> u64 {
        self.time
    }

    /// The bytes of the next event. `None`: the page ends here. `at` is the page's place, or that of what it was inflated
    /// from: inside a page there are no places of the file.
    #[inline]
    pub(super) fn next<'a>(
        &mut self,
        page: &'a [u8],
        at: u64,
    ) -> Result<Option<&'a [u8]>, ImportError> {
        while !self.rest.is_empty() {
            let begin = self.rest.start;
            let bytes = page.get(self.rest.clone()).unwrap_or(&[]);
            let cut = || {
                let found = format!("the end of the page that it begins in, at its byte {begin}");
                unexpected(at, "a whole event of the ring buffer", &found)
            };
            let word = |at: usize| {
                let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
                chunk.map(|chunk| u32::from_le_bytes(*chunk)).ok_or_else(cut)
            };
            let head = word(0)?;
            let (kind, delta) = (head & 31, u64::from(head >> 5));
            // Where the event's bytes begin, and how many there are.
            let (data, length) = match kind {
                types::PADDING if delta == 0 => {
                    self.rest.start = self.rest.end;
                    return Ok(None);
                }
                types::TIME_EXTEND => {
                    self.pass((u64::from(word(4)?) << 27) + delta);
                    self.rest.start += 8;
                    continue;
                }
                types::TIME_STAMP => {
                    self.stamp((u64::from(word(4)?) << 27) + delta);
                    self.rest.start += 8;
                    continue;
                }
                types::PADDING => (4, word(4)?.max(4)),
                0 => (8, word(4)?.checked_sub(4).ok_or_else(cut)?),
                words => (4, words * 4),
            };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let event = bytes.get(data..).and_then(|rest| rest.get(..length)).ok_or_else(cut)?;
            self.pass(delta);
            // The last event's padding may be beyond the page's end.
            self.rest.start =
                begin.saturating_add(data + length.next_multiple_of(4)).min(self.rest.end);
            if kind != types::PADDING {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn pass(&mut self, delta: u64) {
        self.time = self.time.saturating_add(delta);
    }

    /// An absolute time, whose highest bits are those of the time before.
    fn stamp(&mut self, stamp: u64) {
        let high = self.time >> STAMP_BITS << STAMP_BITS;
        let time = high | (stamp & ((1 << STAMP_BITS) - 1));
        let wrapped = high != 0 && time < self.time;
        self.time = if wrapped { time.saturating_add(1 << STAMP_BITS) } else { time };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
        \tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\
        \tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n\
        \tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n";

    fn page(time: u64, flags: u64, words: &[u32]) -> Vec<u8> {
        let mut out = [time.to_le_bytes(), (flags + words.len() as u64 * 4).to_le_bytes()].concat();
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        out.resize(256, 0);
        out
    }

    /// The first word of an event.
    fn head(delta: u32, kind: u32) -> u32 {
        (delta << 5) + kind
    }

    /// Time and first word of each event.
    fn events(bytes: &[u8]) -> Result<Vec<(u64, u32)>, String> {
        let layout = PageLayout::parse(TEXT).unwrap();
        let told = |error: ImportError| error.to_string();
        let (mut page, _) = Page::begin(layout, bytes, 1_000).map_err(told)?;
        let mut out = Vec::new();
        while let Some(event) = page.next(bytes, 1_000).map_err(told)? {
            out.push((page.time(), u32::from_le_bytes(*event.first_chunk().unwrap())));
        }
        Ok(out)
    }

    #[test]
    fn events_of_all_lengths_and_times_are_found() {
        let words = [
            // Two words, 5 later.
            &[head(5, 2), 11, 0][..],
            // The length in a word of its own.
            &[head(7, 0), 12, 22, 0],
            // 3 · 2²⁷ + 1 later, and then an event that was discarded, whose time passes.
            &[head(1, 30), 3, head(2, 29), 4],
            &[head(0, 1), 33],
            // An absolute time.
            &[head(9, 31), 64, head(1, 1), 44],
            // The rest of the page is empty.
            &[head(0, 29), 55],
        ]
        .concat();
        let extended = 112 + (3 << 27) + 3;
        let stamp = (64 << 27) + 10;
        assert_eq!(
            events(&page(100, 0, &words)),
            Ok(vec![(105, 11), (112, 22), (extended, 33), (stamp, 44)])
        );
        assert_eq!(events(&page(100, 0, &[])), Ok(vec![]));
        // Above 59 bits an absolute time goes on from the page's.
        let high = (3 << 59) + 500;
        assert_eq!(events(&page(high, 0, &[head(9, 31), 0, 1, 7])), Ok(vec![((4 << 59) + 9, 7)]));
    }

    #[test]
    fn lost_events_are_told_with_their_number_if_it_is_known() {
        let layout = PageLayout::parse(TEXT).unwrap();
        let lost = |flags| {
            let mut bytes = page(100, flags, &[1, 11]);
            bytes[24] = 17;
            Page::begin(layout, &bytes, 0).unwrap().1
        };
        assert_eq!([0, HAS_LOST, HAS_LOST | HAS_LOST_COUNT].map(lost), [None, Some(0), Some(17)]);
    }

    #[test]
    fn what_goes_beyond_the_page_is_named_with_its_place() {
        let cut = "byte 1000: expected a whole event of the ring buffer, found the end of the page that it \
                   begins in, at its byte 16";
        for words in
            [&[3, 1, 2][..], &[30], &[31], &[0], &[0, 3], &[0, u32::MAX], &[head(1, 29), u32::MAX]]
        {
            assert_eq!(events(&page(0, 0, words)), Err(cut.to_owned()), "{words:?}");
        }
        let long = page(0, 4_000, &[]);
        assert!(events(&long).unwrap_err().starts_with("byte 1000: expected a page of 256 bytes"));
        assert!(PageLayout::parse(b"field: u64 timestamp; offset:0; size:8; signed:0;").is_none());
    }
}
