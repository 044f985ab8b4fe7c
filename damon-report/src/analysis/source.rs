//! Where the bytes of a trace come from.

use crate::import::{Counted, Input, Kind, Place, Reading, SNIFFED, sniff};
use damon_format::ReadAt;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::Arc;

/// A trace in a file that is read where needed, or one that came through a pipe and is kept in memory.
/// Clones share it.
#[derive(Clone, Debug)]
pub struct Source(Arc<Bytes>);

#[derive(Debug)]
enum Bytes {
    File(File, Arc<Place>),
    Memory(Vec<u8>),
}

impl Source {
    /// Bytes that are at hand.
    pub fn memory(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Bytes::Memory(bytes)))
    }

    fn read(mut from: impl Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        Ok(Self::memory(bytes))
    }
}

/// What stands under a name.
#[derive(Debug)]
pub enum Opened {
    /// A trace, or nothing that is known.
    Trace(Source),
    /// The recording of another tool, from its first byte on.
    Foreign(Kind, Input),
}

impl Opened {
    /// Opens `path`; `-` is standard input. A trace that cannot be read at an offset is read to memory; the
    /// recordings of others are streams. How far it is read is told to `reading`.
    pub fn open(path: &Path, reading: &Reading) -> io::Result<Self> {
        let name = name_of(path);
        if path.as_os_str() == "-" {
            return Self::stream(Counted::new(io::stdin(), reading.begin(&name, None)));
        }
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if !metadata.is_file() {
            return Self::stream(Counted::new(file, reading.begin(&name, None)));
        }
        let place = reading.begin(&name, Some(metadata.len()));
        let mut begin = Vec::new();
        (&file).take(SNIFFED as u64).read_to_end(&mut begin)?;
        file.rewind()?;
        let kind = sniff(&begin);
        if kind.is_foreign() {
            return Ok(Self::Foreign(kind, Input::File(Counted::new(file, place))));
        }
        Ok(Self::Trace(Source(Arc::new(Bytes::File(file, place)))))
    }

    fn stream(mut from: impl Read + Send + 'static) -> io::Result<Self> {
        let mut begin = Vec::new();
        (&mut from).take(SNIFFED as u64).read_to_end(&mut begin)?;
        let kind = sniff(&begin);
        let all = io::Cursor::new(begin).chain(from);
        if kind.is_foreign() {
            return Ok(Self::Foreign(kind, Input::stream(all)));
        }
        Ok(Self::Trace(Source::read(all)?))
    }
}

/// What people call what stands under a path.
pub(crate) fn name_of(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() }
}

impl ReadAt for Source {
    fn size(&self) -> io::Result<u64> {
        match &*self.0 {
            Bytes::File(file, _) => file.size(),
            Bytes::Memory(bytes) => bytes.size(),
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match &*self.0 {
            Bytes::File(file, place) => {
                place.reach(offset);
                file.read_at(buf, offset)
            }
            Bytes::Memory(bytes) => bytes.read_at(buf, offset),
        }
    }
}
