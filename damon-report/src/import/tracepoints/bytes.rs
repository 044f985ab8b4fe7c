//! Little-endian fields of a bounded piece of the input.

use super::unexpected;
use crate::import::ImportError;
use std::io::{self, Read};

/// Reads a piece of known length front to back, and knows where it is.
#[derive(Debug)]
pub(in crate::import) struct Bytes<R> {
    input: io::Take<R>,
    /// Of the next byte, from the start of the input.
    offset: u64,
    /// The bytes are those of a compressed piece; `offset` is where that begins.
    is_inflated: bool,
}

impl<R: Read> Bytes<R> {
    /// The next `length` bytes of `input`, which is at `offset`.
    pub(in crate::import) fn new(input: R, offset: u64, length: u64) -> Self {
        Self { input: input.take(length), offset, is_inflated: false }
    }

    /// Bytes that stand compressed at `offset`, all of them.
    pub(in crate::import) fn inflated(input: R, offset: u64) -> Self {
        Self { input: input.take(u64::MAX), offset, is_inflated: true }
    }

    pub(in crate::import) fn offset(&self) -> u64 {
        self.offset
    }

    pub(in crate::import) fn fill(&mut self, to: &mut [u8], what: &str) -> Result<(), ImportError> {
        match self.input.read_exact(to) {
            Ok(()) => {
                self.advance(to.len() as u64);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(unexpected(self.offset, what, "the end"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn advance(&mut self, by: u64) {
        if !self.is_inflated {
            self.offset = self.offset.saturating_add(by);
        }
    }

    pub(in crate::import) fn byte(&mut self, what: &str) -> Result<u8, ImportError> {
        let mut bytes = [0; 1];
        self.fill(&mut bytes, what)?;
        Ok(u8::from_le_bytes(bytes))
    }

    pub(in crate::import) fn u16(&mut self, what: &str) -> Result<u16, ImportError> {
        let mut bytes = [0; 2];
        self.fill(&mut bytes, what)?;
        Ok(u16::from_le_bytes(bytes))
    }

    pub(in crate::import) fn u32(&mut self, what: &str) -> Result<u32, ImportError> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes, what)?;
        Ok(u32::from_le_bytes(bytes))
    }

    pub(in crate::import) fn u64(&mut self, what: &str) -> Result<u64, ImportError> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes, what)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// `length` bytes, which must not be more than `most`.
    pub(in crate::import) fn vec(
        &mut self,
        length: u64,
        most: u64,
        what: &str,
    ) -> Result<Vec<u8>, ImportError> {
        if length > most.min(self.input.limit()) {
            let found = format!("{length} bytes of it");
            return Err(unexpected(self.offset, what, &found));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    /// Text that ends with a zero byte, at most 255 bytes.
    pub(in crate::import) fn name(&mut self, what: &str) -> Result<Vec<u8>, ImportError> {
        let mut name = Vec::new();
        loop {
            match self.byte(what)? {
                0 => return Ok(name),
                _ if name.len() >= 255 => {
                    return Err(unexpected(self.offset, what, "a name of more than 255 bytes"));
                }
                byte => name.push(byte),
            }
        }
    }

    /// Text of perf's header: its length, and so many bytes with zeros at the end.
    pub(in crate::import) fn text(&mut self, what: &str) -> Result<String, ImportError> {
        let length = self.u32(what)?;
        let bytes = self.vec(length.into(), 1 << 16, what)?;
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or(&[]);
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    pub(in crate::import) fn skip(&mut self, length: u64, what: &str) -> Result<(), ImportError> {
        let skipped = io::copy(&mut self.input.by_ref().take(length), &mut io::sink())?;
        self.advance(skipped);
        if skipped < length { Err(unexpected(self.offset, what, "the end")) } else { Ok(()) }
    }

    /// Passes over the rest.
    pub(in crate::import) fn finish(mut self, what: &str) -> Result<(), ImportError> {
        self.skip(self.input.limit(), what)
    }
}
