//! Compressed pieces of a recording, each whole in memory.

use crate::import::ImportError;
use crate::import::tracepoints::unexpected;
use std::io::Read as _;

/// How pieces are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Zstd,
    Zlib,
}

impl Packing {
    /// By trace-cmd's name. `None`: not known here.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"zstd" => Some(Self::Zstd),
            b"zlib" => Some(Self::Zlib),
            _ => None,
        }
    }

    /// Inflates `packed`, which stands at `at`, into exactly `size` bytes. The caller bounds that.
    pub(super) fn inflate(
        self,
        packed: &[u8],
        size: usize,
        at: u64,
        to: &mut Vec<u8>,
    ) -> Result<(), ImportError> {
        to.clear();
        let broken = |error: &dyn std::fmt::Display| {
            unexpected(at, "a compressed piece of the recording", &error.to_string())
        };
        to.reserve_exact(size);
        match self {
            Self::Zstd => {
                // In one step, so that no window is allocated that the piece asks for.
                let mut inflate = zstd::bulk::Decompressor::new()?;
                inflate.decompress_to_buffer(packed, to).map_err(|error| broken(&error))?;
            }
            Self::Zlib => {
                let inflate = flate2::read::ZlibDecoder::new(packed);
                let most = (size as u64).saturating_add(1);
                inflate.take(most).read_to_end(to).map_err(|error| broken(&error))?;
            }
        }
        if to.len() == size {
            return Ok(());
        }
        let found = format!("{} bytes of it", to.len());
        Err(unexpected(at, &format!("a compressed piece of {size} bytes"), &found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn pieces_have_the_size_that_is_said() {
        let plain = b"region ".repeat(500);
        let zstd = zstd::bulk::compress(&plain, 3).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&plain).unwrap();
        let mut out = Vec::new();
        for (name, packed) in [(&b"zstd"[..], zstd), (b"zlib", zlib.finish().unwrap())] {
            let packing = Packing::named(name).unwrap();
            packing.inflate(&packed, plain.len(), 7, &mut out).unwrap();
            assert_eq!(out, plain);
            for (piece, size) in [
                (&packed[..], plain.len() - 1),
                (&packed[..], plain.len() + 1),
                (&packed[..packed.len() / 2], plain.len()),
                (&b"nonsense"[..], plain.len()),
            ] {
                let error = packing.inflate(piece, size, 7, &mut out).unwrap_err().to_string();
                assert!(error.starts_with("byte 7: expected a compressed piece"), "{error}");
            }
        }
        assert_eq!(Packing::named(b"none"), None);
    }
}
