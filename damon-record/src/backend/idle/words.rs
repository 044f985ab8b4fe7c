//! Files of the kernel that are tables of 64-bit words.

#![expect(clippy::host_endian_bytes, reason = "the kernel shows its own words")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// A table of words.
pub(super) trait Words {
    /// The word at `index`; `None` past the end.
    fn read(&self, index: u64) -> io::Result<Option<u64>>;

    /// Hands `value` to the kernel as the word at `index`.
    fn write(&self, index: u64, value: u64) -> io::Result<()>;
}

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

fn offset(index: u64) -> u64 {
    index.saturating_mul(WORD as u64)
}

/// A file.
#[derive(Debug)]
pub(super) struct FileWords(File);

impl FileWords {
    pub(super) fn open(path: &Path, writable: bool) -> io::Result<Self> {
        OpenOptions::new().read(true).write(writable).open(path).map(Self)
    }
}

impl From<File> for FileWords {
    fn from(file: File) -> Self {
        Self(file)
    }
}

impl Words for FileWords {
    fn read(&self, index: u64) -> io::Result<Option<u64>> {
        let mut bytes = [0; WORD];
        let length = self.0.read_at(&mut bytes, offset(index))?;
        Ok((length == bytes.len()).then_some(u64::from_ne_bytes(bytes)))
    }

    fn write(&self, index: u64, value: u64) -> io::Result<()> {
        // When the machine's frames do not fill the last word of the bitmap, the kernel takes that word and says
        // that it has written nothing.
        self.0.write_at(&value.to_ne_bytes(), offset(index)).map(drop)
    }
}
