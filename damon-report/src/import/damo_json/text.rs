//! The text that lies before the parser, as long as it is wanted.

use super::chunks::{Chunk, Chunks, HEADROOM};
use crate::import::{ImportError, Position};

/// A window onto the text that only moves forward. However long the text is, no more than a chunk of it is
/// held here.
#[derive(Debug)]
pub(super) struct Text {
    chunks: Chunks,
    bytes: Vec<u8>,
    at: usize,
    end: usize,
    /// Bytes of the text before the window.
    before: u64,
    compressed: bool,
}

impl Text {
    pub(super) fn new(chunks: Chunks, compressed: bool) -> Self {
        Self { chunks, bytes: Vec::new(), at: 0, end: 0, before: 0, compressed }
    }

    /// What is at hand; empty when more has to be [fetched](Self::more).
    #[inline]
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..self.end).unwrap_or_default()
    }

    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        let count = count.min(self.end.saturating_sub(self.at));
        self.at = self.at.saturating_add(count);
        self.before = self.before.saturating_add(count as u64);
    }

    /// Adds the next chunk after what is left; false at the end of the text.
    pub(super) fn more(&mut self) -> Result<bool, ImportError> {
        let Some(Chunk { mut bytes, end, .. }) = self.chunks.next()? else {
            return Ok(false);
        };
        let left = self.rest();
        let (at, end) = if let Some(at) = HEADROOM.checked_sub(left.len()) {
            if let Some(room) = bytes.get_mut(at..HEADROOM) {
                room.copy_from_slice(left);
            }
            (at, end)
        } else {
            // Nobody leaves that much; but if somebody did, nothing would be lost.
            bytes = [left, bytes.get(HEADROOM..end).unwrap_or_default()].concat();
            (0, bytes.len())
        };
        self.at = at;
        self.end = end;
        let used = std::mem::replace(&mut self.bytes, bytes);
        if !used.is_empty() {
            self.chunks.recycle(used);
        }
        Ok(true)
    }

    /// Makes at least `count` bytes available, if there are as many.
    #[inline]
    pub(super) fn have(&mut self, count: usize) -> Result<(), ImportError> {
        while self.rest().len() < count {
            if !self.more()? {
                break;
            }
        }
        Ok(())
    }

    /// Where the next byte stands.
    pub(super) fn position(&self) -> Position {
        if self.compressed { Position::Inflated(self.before) } else { Position::Byte(self.before) }
    }
}
