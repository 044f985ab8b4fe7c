//! damo's `json` and `json_compressed`: a list of records, one for each target, each with its snapshots.
//!
//! The text is read as a stream: a thread inflates it piece by piece, the parser hands over each snapshot when
//! it has ended, and neither holds more than a piece and a snapshot. Keys may come in any order, and those
//! that are not known are passed over.

mod chunks;
mod fast;
mod lexer;
mod records;
mod text;

use super::assemble::Assembler;
use super::{ImportError, ImportOptions, Sink};
use chunks::Chunks;
use lexer::Lexer;
use records::Records;
use std::io::Read;
use text::Text;

/// How the text is read; what comes out is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes of text that are handed to the parser at once.
    pub chunk: usize,
    /// Whether rows in exactly damo's layout are read by comparing instead of parsing.
    pub fast: bool,
}

impl Default for Pace {
    fn default() -> Self {
        // Two or three of them and the inflater's window fit into the second cache.
        Self { chunk: 1 << 18, fast: true }
    }
}

/// Reads `json`, or `json_compressed`, which is the same inside zlib. Whoever has seen enough of an input that says nothing
/// for a while is not kept waiting for it, hence the bounds.
pub fn read(
    input: impl Read + Send + 'static,
    compressed: bool,
    options: &ImportOptions,
    sink: &mut dyn Sink,
) -> Result<(), ImportError> {
    read_at(Pace::default(), input, compressed, options, sink)
}

/// [`read`] at another pace.
pub fn read_at(
    pace: Pace,
    input: impl Read + Send + 'static,
    compressed: bool,
    options: &ImportOptions,
    sink: &mut dyn Sink,
) -> Result<(), ImportError> {
    let source = if compressed { "damo's json_compressed" } else { "damo's json" };
    let chunks = Chunks::start(input, compressed, pace.chunk)?;
    let lexer = Lexer::new(Text::new(chunks, compressed));
    let assembler = Assembler::new(sink, options, source);
    Records::new(lexer, assembler, pace.fast).read()
}
