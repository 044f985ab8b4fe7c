//! A piece of a file as a stream.

use damon_format::ReadAt;
use std::io::{self, Read};

/// `[offset, end)` of something that can be read at any place, front to back.
#[derive(Debug)]
pub(in crate::import) struct Span<'a, S: ?Sized> {
    source: &'a S,
    offset: u64,
    end: u64,
}

impl<'a, S: ReadAt + ?Sized> Span<'a, S> {
    pub(in crate::import) fn new(source: &'a S, offset: u64, end: u64) -> Self {
        Self { source, offset, end }
    }
}

impl<S: ReadAt + ?Sized> Read for Span<'_, S> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let length = to.len().min(left);
        let read = self.source.read_at(to.get_mut(..length).unwrap_or(&mut []), self.offset)?;
        self.offset = self.offset.saturating_add(read as u64);
        Ok(read)
    }
}
