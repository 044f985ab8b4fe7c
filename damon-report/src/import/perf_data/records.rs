//! The records of a recording, one after the other, in constant memory.

use super::unexpected;
use crate::import::ImportError;
use std::io::{self, Read};

/// What is read at once; a record has at most 64 KiB.
const BUFFER: usize = 1 << 18;
/// Bytes of a record before its body.
const HEADER: usize = 8;

/// One record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    /// Its type.
    pub(super) kind: u32,
    pub(super) misc: u16,
    /// What follows the header.
    pub(super) body: &'a [u8],
    /// Where it begins, from the start of the input.
    pub(super) at: u64,
}

/// A record at the start of `bytes`. `None`: more bytes are needed.
#[inline]
pub(super) fn split(bytes: &[u8], at: u64) -> Result<Option<Record<'_>>, ImportError> {
    let Some(head) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let [k0, k1, k2, k3, m0, m1, s0, s1] = *head;
    let size = usize::from(u16::from_le_bytes([s0, s1]));
    if size < HEADER {
        let found = format!("one of {size} bytes");
        return Err(unexpected(at, "a record of at least 8 bytes", &found));
    }
    let Some(body) = bytes.get(HEADER..size) else { return Ok(None) };
    let kind = u32::from_le_bytes([k0, k1, k2, k3]);
    Ok(Some(Record { kind, misc: u16::from_le_bytes([m0, m1]), body, at }))
}

/// Cuts an input into records.
#[derive(Debug)]
pub(super) struct Records<R> {
    input: R,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    /// Offset in the input of the buffer's start.
    offset: u64,
}

impl<R: Read> Records<R> {
    /// `input` is at `offset`.
    pub(super) fn new(input: R, offset: u64) -> Self {
        Self { input, buffer: vec![0; BUFFER], begin: 0, end: 0, offset }
    }

    /// Where the next record begins.
    pub(super) fn position(&self) -> u64 {
        self.offset.saturating_add(self.begin as u64)
    }

    /// The next record. `None`: the input ends here, as it should.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, ImportError> {
        let at = self.position();
        loop {
            let here = self.buffer.get(self.begin..self.end).unwrap_or(&[]);
            if let Some(record) = split(here, at)? {
                let begin = self.begin + HEADER;
                let end = begin + record.body.len();
                self.begin = end;
                let Record { kind, misc, .. } = record;
                let body = self.buffer.get(begin..end).unwrap_or(&[]);
                return Ok(Some(Record { kind, misc, body, at }));
            }
            if self.fill()? {
                continue;
            }
            return if self.begin == self.end {
                Ok(None)
            } else {
                let found = format!("the end, {} bytes after its start", self.end - self.begin);
                Err(unexpected(at, "a whole record", &found))
            };
        }
    }

    /// Bytes that follow the last record and belong to it.
    pub(super) fn raw(&mut self) -> impl Read {
        RawRead(self)
    }

    /// Reads more. `false`: there is no more.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.begin..self.end, 0);
        self.offset = self.offset.saturating_add(self.begin as u64);
        self.end -= self.begin;
        self.begin = 0;
        let room = self.buffer.get_mut(self.end..).unwrap_or(&mut []);
        loop {
            match self.input.read(room) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

struct RawRead<'a, R>(&'a mut Records<R>);

impl<R: Read> Read for RawRead<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let records = &mut *self.0;
        if records.begin == records.end && !records.fill()? {
            return Ok(0);
        }
        let here = records.buffer.get(records.begin..records.end).unwrap_or(&[]);
        let length = here.len().min(to.len());
        if let (Some(to), Some(from)) = (to.get_mut(..length), here.get(..length)) {
            to.copy_from_slice(from);
        }
        records.begin += length;
        Ok(length)
    }
}
