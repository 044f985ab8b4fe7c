//! Why an input cannot be read, and where.

use std::fmt;
use std::io;

/// A place in the input, as its format lets people find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// A line of text, from 1.
    Line(u64),
    /// A byte from the start of the file, from 0.
    Byte(u64),
    /// A byte of the text that the file holds compressed, from 0.
    Inflated(u64),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Byte(byte) => write!(f, "byte {byte}"),
            Self::Inflated(byte) => write!(f, "byte {byte} of the uncompressed text"),
        }
    }
}

/// Why an import came to nothing. The caller puts the input's name before it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The input cannot be read.
    #[error("cannot read: {0}")]
    Read(#[from] io::Error),
    /// Something else than expected stands there.
    #[error("{position}: expected {expected}, found {found}")]
    Unexpected {
        /// Where.
        position: Position,
        /// What the format has there.
        expected: String,
        /// What is there, shortened.
        found: String,
    },
    /// The input is of none of the known formats, or holds nothing of DAMON; one sentence.
    #[error("{0}")]
    Useless(String),
    /// What was read cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] damon_format::WriteError),
}
