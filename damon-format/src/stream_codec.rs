//! One zstd stream per data block, cut into frames at flush points.
//!
//! Each frame continues the stream of the one before, so a flush costs a few bytes and later frames
//! still profit from what earlier ones held.

use crate::DamageKind;
use crate::layout::{MAX_FRAME_RAW, MAX_WINDOW_LOG};
use std::io;
use zstd::stream::raw::{
    CParameter, DParameter, Decoder, Encoder, InBuffer, Operation as _, OutBuffer,
};

const STEP: usize = 1 << 16;

/// Compresses the frames of one block after the other.
pub(crate) struct Compressor {
    encoder: Encoder<'static>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    pub(crate) fn new(level: i32, window_log: u32) -> io::Result<Self> {
        let mut encoder = Encoder::new(level)?;
        encoder.set_parameter(CParameter::WindowLog(window_log.min(MAX_WINDOW_LOG)))?;
        // Frames carry their own checksum, and the length is not known in advance.
        encoder.set_parameter(CParameter::ChecksumFlag(false))?;
        encoder.set_parameter(CParameter::ContentSizeFlag(false))?;
        Ok(Self { encoder })
    }

    /// Forgets the previous block.
    pub(crate) fn begin_block(&mut self) -> io::Result<()> {
        self.encoder.reinit()
    }

    /// Compresses `raw` up to a flush point, into `out` (cleared first).
    pub(crate) fn frame(&mut self, raw: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        let mut input = InBuffer::around(raw);
        loop {
            out.reserve(STEP);
            let at = out.len();
            let mut output = OutBuffer::around_pos(out, at);
            let left = if input.pos() < raw.len() {
                self.encoder.run(&mut input, &mut output)?;
                1
            } else {
                self.encoder.flush(&mut output)?
            };
            if left == 0 {
                return Ok(());
            }
        }
    }
}

/// Decompresses the frames of one block.
pub(crate) struct Decompressor {
    decoder: Decoder<'static>,
    raw: Vec<u8>,
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

impl Decompressor {
    pub(crate) fn new() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))?;
        Ok(Self { decoder, raw: Vec::new() })
    }

    /// Decompresses the next frame; at most [`MAX_FRAME_RAW`] bytes, whatever the input claims.
    pub(crate) fn frame(&mut self, stored: &[u8]) -> Result<&[u8], DamageKind> {
        self.raw.clear();
        let mut input = InBuffer::around(stored);
        loop {
            if self.raw.len() >= MAX_FRAME_RAW {
                return Err(DamageKind::Compression("it expands beyond the format's limit".into()));
            }
            self.raw.reserve(STEP.min(MAX_FRAME_RAW - self.raw.len()));
            let at = self.raw.len();
            let room = self.raw.capacity() - at;
            let mut output = OutBuffer::around_pos(&mut self.raw, at);
            self.decoder
                .run(&mut input, &mut output)
                .map_err(|e| DamageKind::Compression(e.to_string()))?;
            let written = self.raw.len() - at;
            // Output that was not filled means that nothing is held back.
            if input.pos() == stored.len() && written < room {
                return Ok(&self.raw);
            }
        }
    }
}
