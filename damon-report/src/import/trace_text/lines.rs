//! Lines of a text of any size and content, in constant memory.

use memchr::memchr;
use std::io::{self, Read};

/// Longest line that is looked at, and about what is read at once.
const BUFFER: usize = 1 << 18;

/// Cuts an input into lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// What of the buffer has not been handed out.
    begin: usize,
    end: usize,
    /// Bytes after `begin` that hold no end of a line.
    scanned: usize,
    /// The number of the line handed out last, from 1.
    number: u64,
    /// Inside a line that is too long.
    skips: bool,
    is_at_end: bool,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        let buffer = vec![0; BUFFER];
        let (number, skips, is_at_end) = (0, false, false);
        Self { input, buffer, begin: 0, end: 0, scanned: 0, number, skips, is_at_end }
    }

    /// The number of the line that was handed out last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line, without its end; one that is longer than the buffer is empty. `None`: there are no more.
    #[inline]
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let found = loop {
            let rest = self.buffer.get(self.begin..self.end).unwrap_or(&[]);
            let behind = rest.get(self.scanned..).unwrap_or(&[]);
            if let Some(length) = memchr(b'\n', behind) {
                break Some((self.scanned + length, 1));
            }
            self.scanned = rest.len();
            if self.is_at_end {
                break (!rest.is_empty() || self.skips).then_some((rest.len(), 0));
            }
            self.fill()?;
        };
        let Some((length, newline)) = found else { return Ok(None) };
        self.number += 1;
        let begin = self.begin;
        self.scanned = 0;
        self.begin += length + newline;
        let length = if std::mem::take(&mut self.skips) { 0 } else { length };
        Ok(self.buffer.get(begin..begin + length))
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.begin == 0 && self.end == self.buffer.len() {
            self.skips = true;
            self.scanned = 0;
            self.end = 0;
        }
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        let room = self.buffer.get_mut(self.end..).unwrap_or(&mut []);
        match self.input.read(room) {
            Ok(0) => self.is_at_end = true,
            Ok(read) => self.end += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out a few bytes at a time.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(buf.len());
            self.0.read(&mut buf[..len])
        }
    }

    #[test]
    fn every_line_comes_with_its_number_and_long_ones_leave_nothing() {
        let long = vec![b'x'; 3 * BUFFER + 17];
        let text = [b"one\n\ntwo\n", &*long, b"\nthree\n", &*long].concat();
        for step in [1, 7, BUFFER, usize::MAX] {
            let mut lines = Lines::new(Dripping(&text, step));
            let mut found = Vec::new();
            while let Some(line) = lines.next().unwrap() {
                found.push(String::from_utf8(line.to_vec()).unwrap());
            }
            assert_eq!(found, ["one", "", "two", "", "three", ""], "{step} bytes at a time");
            assert_eq!(lines.number(), 6);
            assert_eq!(lines.buffer.len(), BUFFER);
        }
        assert_eq!(Lines::new(&b""[..]).next().unwrap(), None);
    }
}
