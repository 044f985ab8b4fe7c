//! The pages of one CPU's ring buffer, a few at a time.

use super::contents::Buffer;
use super::inflate::Packing;
use crate::import::ImportError;
use crate::import::tracepoints::{Bytes, Span, unexpected};
use damon_format::ReadAt;

/// What all CPUs together may hold, unless they need more for a [chunk](CHUNK) each; beside that, one compressed chunk
/// is held, of no more.
const MOST: u64 = 128 << 20;
/// Pages that trace-cmd compresses at once.
const CHUNK: u64 = 10;
/// What all CPUs together may hold of chunks: of pages of 4 KiB on the 8192 CPUs that Linux has at most, or of pages of
/// 64 KiB on 512.
const MOST_OF_CHUNKS: u64 = 320 << 20;
/// What is read at once where pages are smaller, and memory allows it.
const RUN: u64 = 1 << 16;

/// Reads pages.
#[derive(Debug)]
pub(super) struct Pages<'a, S: ?Sized> {
    input: &'a S,
    offset: u64,
    end: u64,
    page_size: u64,
    /// Bytes that may be held.
    most: u64,
    packing: Option<Packing>,
    /// Chunks that are to come; `None`: their number has not been read.
    chunks: Option<u32>,
}

impl<'a, S: ReadAt + ?Sized> Pages<'a, S> {
    /// The pages of one of so many CPUs that have some, in a file of `size` bytes.
    pub(super) fn new(
        input: &'a S,
        size: u64,
        buffer: &Buffer,
        cpus: usize,
    ) -> Result<Self, ImportError> {
        let Buffer { offset, size: length, page_size, packing } = *buffer;
        // trace-cmd 3.1 does not count the number of chunks in the size of compressed ones.
        let uncounted = if packing.is_some() { size_of::<u32>() as u64 } else { 0 };
        let end = offset.checked_add(length).and_then(|end| end.checked_add(uncounted));
        let end = end.filter(|end| *end <= size).ok_or_else(|| {
            let expected = format!("{length} bytes of a CPU's events");
            unexpected(offset, &expected, &format!("a file that ends at byte {size}"))
        })?;
        let cpus = (cpus as u64).max(1);
        let mut most = MOST / cpus;
        if packing.is_some() {
            most = most.max(CHUNK.saturating_mul(page_size.into())).min(MOST_OF_CHUNKS / cpus);
        }
        if page_size < 64 || u64::from(page_size) > most {
            let found = format!("{page_size} bytes, of {cpus} CPUs");
            return Err(unexpected(offset, "a page of the ring buffer", &found));
        }
        let page_size = page_size.into();
        Ok(Self { input, offset, end, page_size, most, packing, chunks: None })
    }

    /// Replaces `to` by the next pages. The place of the first of them, or of what they are inflated from; `None`: no more.
    pub(super) fn next(&mut self, to: &mut Vec<u8>) -> Result<Option<u64>, ImportError> {
        let at = self.offset;
        let left = self.end.saturating_sub(at);
        let Some(packing) = self.packing else {
            if left == 0 {
                return Ok(None);
            }
            let run = RUN.min(self.most).max(self.page_size);
            let length = (run - run % self.page_size).min(left);
            self.fill(length, to, "pages of the ring buffer")?;
            return self.whole(to.len() as u64, at);
        };
        let chunks = match self.chunks {
            Some(chunks) => chunks,
            None if left == 0 => 0,
            None => self.word("number of compressed chunks")?,
        };
        let Some(rest) = chunks.checked_sub(1) else { return Ok(None) };
        self.chunks = Some(rest);
        let at = self.offset;
        let packed = self.word("size of a compressed chunk")?;
        let length = self.word("size of a chunk")?;
        // What cannot be compressed gets a little longer.
        let most_packed = self.most.saturating_add(self.most / 8).min(MOST);
        if u64::from(length) > self.most || u64::from(packed) > most_packed {
            let found = format!("one of {length} bytes, compressed {packed}");
            return Err(unexpected(at, "a chunk of reasonable size", &found));
        }
        let mut piece = Vec::new();
        self.fill(packed.into(), &mut piece, "a compressed chunk")?;
        packing.inflate(&piece, usize::try_from(length).unwrap_or(usize::MAX), at, to)?;
        self.whole(length.into(), at)
    }

    /// Refuses what is not whole pages.
    fn whole(&self, length: u64, at: u64) -> Result<Option<u64>, ImportError> {
        if length.is_multiple_of(self.page_size) {
            return Ok(Some(at));
        }
        let expected = format!("whole pages of {} bytes", self.page_size);
        Err(unexpected(at, &expected, &format!("{length} bytes")))
    }

    fn word(&mut self, what: &str) -> Result<u32, ImportError> {
        let length = self.end.saturating_sub(self.offset);
        let span = Span::new(self.input, self.offset, self.end);
        let word = Bytes::new(span, self.offset, length).u32(what)?;
        self.offset = self.offset.saturating_add(4);
        Ok(word)
    }

    fn fill(&mut self, length: u64, to: &mut Vec<u8>, what: &str) -> Result<(), ImportError> {
        let left = self.end.saturating_sub(self.offset);
        if length > left {
            return Err(unexpected(self.offset, &format!("{length} bytes of {what}"), "the end"));
        }
        to.resize(usize::try_from(length).unwrap_or(0), 0);
        let span = Span::new(self.input, self.offset, self.end);
        Bytes::new(span, self.offset, left).fill(to, what)?;
        self.offset = self.offset.saturating_add(length);
        Ok(())
    }
}
