//! Where the bytes of a trace come from.

use damon_format::ReadAt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A trace in a file, or one that came through a pipe and is kept in memory.
#[derive(Debug)]
pub enum Source {
    /// Read where needed.
    File(File),
    /// Read completely.
    Memory(Vec<u8>),
}

impl Source {
    /// Opens `path`; `-` is standard input. Whatever cannot be read at an offset is read to memory.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Self::read(io::stdin().lock());
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if metadata.is_file() {
            return Ok(Self::File(file));
        }
        Self::read(file)
    }

    fn read(mut from: impl Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        Ok(Self::Memory(bytes))
    }
}

impl ReadAt for Source {
    fn size(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => file.size(),
            Self::Memory(bytes) => bytes.size(),
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read_at(buf, offset),
            Self::Memory(bytes) => bytes.read_at(buf, offset),
        }
    }
}
