//! Where the bytes of an import come from.

use super::reading::Counted;
use std::fs::File;
use std::io::{self, Read};

/// A file, of which parts can be read that stand after others, or what comes through a pipe. Reading either begins at
/// its first byte.
pub enum Input {
    /// A regular file.
    File(Counted<File>),
    /// Anything else.
    Stream(Box<dyn Read + Send>),
}

impl Input {
    /// What is read front to back only.
    pub fn stream(from: impl Read + Send + 'static) -> Self {
        Self::Stream(Box::new(from))
    }
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buf),
            Self::Stream(stream) => stream.read(buf),
        }
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Stream(_) => "Stream",
        })
    }
}
