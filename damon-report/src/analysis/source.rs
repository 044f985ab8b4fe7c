//! Where the bytes of a trace come from.

use damon_format::ReadAt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// A trace in a file that is read where needed, or one that came through a pipe and is kept in memory.
/// Clones share it.
#[derive(Clone, Debug)]
pub struct Source(Arc<Bytes>);

#[derive(Debug)]
enum Bytes {
    File(File),
    Memory(Vec<u8>),
}

impl Source {
    /// Bytes that are at hand.
    pub fn memory(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Bytes::Memory(bytes)))
    }

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
            return Ok(Self(Arc::new(Bytes::File(file))));
        }
        Self::read(file)
    }

    fn read(mut from: impl Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        Ok(Self::memory(bytes))
    }
}

impl ReadAt for Source {
    fn size(&self) -> io::Result<u64> {
        match &*self.0 {
            Bytes::File(file) => file.size(),
            Bytes::Memory(bytes) => bytes.size(),
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match &*self.0 {
            Bytes::File(file) => file.read_at(buf, offset),
            Bytes::Memory(bytes) => bytes.read_at(buf, offset),
        }
    }
}
