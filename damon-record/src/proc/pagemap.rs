//! `/proc/PID/pagemap`: one entry of eight bytes for each page of an address space
//! (Documentation/admin-guide/mm/pagemap.rst).

#![expect(clippy::host_endian_bytes, reason = "the kernel shows its own words")]

use super::{ProcError, ProcRoot, classify, page_size};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// What the kernel tells of one page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry(pub u64);

impl Entry {
    const FRAME: u64 = (1 << 55) - 1;
    /// Written since the bits were cleared, or in a mapping that has grown or appeared since.
    pub const SOFT_DIRTY: u64 = 1 << 55;
    /// Mapped nowhere else.
    pub const EXCLUSIVE: u64 = 1 << 56;
    /// A page of a file or of shared memory.
    pub const FILE: u64 = 1 << 61;
    /// In swap.
    pub const SWAPPED: u64 = 1 << 62;
    /// In memory.
    pub const PRESENT: u64 = 1 << 63;

    /// Whether the page is in memory.
    pub fn is_present(self) -> bool {
        self.has(Self::PRESENT)
    }

    /// Whether there is a page at all, in memory or in swap.
    pub fn is_populated(self) -> bool {
        self.0 & (Self::PRESENT | Self::SWAPPED) != 0
    }

    /// Whether all of `bits` are set.
    pub fn has(self, bits: u64) -> bool {
        self.0 & bits == bits
    }

    /// Number of the page frame; `None` when the page is not in memory, `Some(0)` when the kernel hides
    /// it from this user.
    pub fn frame(self) -> Option<u64> {
        self.is_present().then_some(self.0 & Self::FRAME)
    }
}

/// The open `pagemap` of one address space, to which it stays bound: after an exec or exit it reads as
/// empty.
#[derive(Debug)]
pub struct PagemapFile {
    pid: u32,
    file: File,
    path: PathBuf,
    page_size: u64,
    bytes: Vec<u8>,
}

/// Bytes of an entry.
const ENTRY: u64 = 8;

impl PagemapFile {
    /// Opens the pagemap of `pid`.
    pub fn open(proc: &ProcRoot, pid: u32) -> Result<Self, ProcError> {
        let name = format!("{}pagemap", proc.memory_dir(pid));
        let file = proc.open(pid, &name)?;
        let path = proc.of(pid, &name);
        Ok(Self { pid, file, path, page_size: page_size(), bytes: Vec::new() })
    }

    /// The entries of the pages from the one that holds `address` on; returns how many there were: fewer
    /// than asked for at the end of the address space, none when it is gone.
    pub fn read(&mut self, address: u64, entries: &mut [Entry]) -> Result<usize, ProcError> {
        let offset = (address / self.page_size).saturating_mul(ENTRY);
        self.bytes.resize(size_of_val(entries), 0);
        let length = self
            .file
            .read_at(&mut self.bytes, offset)
            .map_err(|source| classify(self.pid, self.path.clone(), source))?;
        let (words, _) = self.bytes.get(..length).unwrap_or_default().as_chunks();
        for (entry, word) in entries.iter_mut().zip(words) {
            *entry = Entry(u64::from_ne_bytes(*word));
        }
        Ok(words.len().min(entries.len()))
    }

    /// The error of another call on this file.
    pub fn failed(&self, what: &str, errno: nix::errno::Errno) -> ProcError {
        let source = std::io::Error::other(format!("{what} failed: {errno}"));
        ProcError::Io { path: self.path.clone(), source }
    }

    /// The entry of one page; `None` when the address space is gone.
    pub fn entry(&mut self, address: u64) -> Result<Option<Entry>, ProcError> {
        let mut entry = [Entry::default()];
        let count = self.read(address, &mut entry)?;
        Ok(entry.first().copied().filter(|_| count == 1))
    }
}

impl AsFd for PagemapFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::own_pages::OwnPages;

    #[test]
    fn entries_of_our_own_pages_tell_what_is_there() {
        let mut pages = OwnPages::new(2).unwrap();
        pages.write(0, 1);
        let mut file = PagemapFile::open(&ProcRoot::default(), std::process::id()).unwrap();
        let mut entries = [Entry::default(); 2];
        assert_eq!(file.read(pages.address(0).unwrap(), &mut entries).unwrap(), 2);
        assert!(entries[0].is_populated() && !entries[0].has(Entry::FILE));
        assert_eq!(entries[1].frame(), None);
    }

    #[test]
    fn an_address_space_that_is_gone_has_no_entries() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let mut file = PagemapFile::open(&ProcRoot::default(), child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(file.entry(0x1000).unwrap(), None);
    }
}
