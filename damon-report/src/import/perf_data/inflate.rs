//! Records that perf has compressed (`perf record -z`): one zstd stream, cut anywhere.

use super::records::{Record, split};
use super::unexpected;
use crate::import::ImportError;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

/// What is inflated at once.
const STEP: usize = 1 << 17;
/// Largest window, as a power of two: what perf uses at its highest level. The decoder allocates as much only if the
/// stream asks for it.
const WINDOW_LOG: u32 = 27;

/// Inflates, and keeps the start of a record whose end has not come.
pub(super) struct Inflate {
    decoder: Decoder<'static>,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Inflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflate").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Inflate {
    pub(super) fn new() -> Result<Self, ImportError> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self { decoder, bytes: Vec::with_capacity(2 * STEP) })
    }

    /// Hands out the records that end in this piece of the stream, which stands at `at`.
    pub(super) fn piece(
        &mut self,
        piece: &[u8],
        at: u64,
        each: &mut dyn FnMut(Record<'_>) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let mut input = InBuffer::around(piece);
        loop {
            let before = (input.pos(), self.bytes.len());
            self.bytes.reserve(STEP);
            let mut output = OutBuffer::around_pos(&mut self.bytes, before.1);
            let run = self.decoder.run(&mut input, &mut output);
            run.map_err(|error| unexpected(at, "a zstd stream", &error.to_string()))?;
            if (input.pos(), self.bytes.len()) == before {
                return Ok(());
            }
            self.hand_out(at, each)?;
        }
    }

    fn hand_out(
        &mut self,
        at: u64,
        each: &mut dyn FnMut(Record<'_>) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let mut begin = 0;
        while let Some(record) = split(self.bytes.get(begin..).unwrap_or(&[]), at)? {
            begin += 8 + record.body.len();
            each(record)?;
        }
        self.bytes.drain(..begin);
        Ok(())
    }

    /// Whether a record's end is missing.
    pub(super) fn is_inside(&self) -> bool {
        !self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::made::{compress, record};
    use super::*;

    #[test]
    fn what_is_inflated_is_not_held() {
        let plain = record(1, &vec![0; 60_000]).repeat(1_000);
        let packed = compress(&plain);
        assert!(packed.len() < 20_000);
        let mut inflate = Inflate::new().unwrap();
        let mut count = 0;
        for piece in packed.chunks(5_000) {
            let mut each = |record: Record<'_>| {
                count += usize::from(record.body.len() == 60_000);
                Ok(())
            };
            inflate.piece(piece, 0, &mut each).unwrap();
            assert!(inflate.bytes.capacity() <= 4 * STEP);
        }
        assert_eq!((count, inflate.is_inside()), (1_000, false));
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let mut inflate = Inflate::new().unwrap();
        let error = inflate.piece(b"no zstd at all", 77, &mut |_| Ok(())).unwrap_err();
        assert!(error.to_string().starts_with("byte 77: expected a zstd stream"), "{error}");
    }
}
