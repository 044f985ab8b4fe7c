//! `/proc/PID/pagemap` (`Documentation/admin-guide/mm/pagemap.rst`): the kernel's own word on which page
//! frame lies behind an address.

use crate::proc::{ProcError, ProcRoot};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The open `pagemap` of one address space. While it is open, the kernel keeps `mm_struct` and the topmost
/// page table of that address space, although the process may be gone (`proc_mem_open` of
/// `fs/proc/task_mmu.c`).
#[derive(Debug)]
pub(super) struct Pagemap(File);

/// What `pagemap` says of one page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Page(u64);

impl Page {
    const PRESENT: u64 = 1 << 63;
    const EXCLUSIVE: u64 = 1 << 56;
    const FRAME: u64 = (1 << 55) - 1;

    /// Whether it is in memory.
    pub(super) fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// Whether no other address space maps it.
    pub(super) fn is_exclusive(self) -> bool {
        self.0 & Self::EXCLUSIVE != 0
    }

    /// Number of its frame; 0 without `CAP_SYS_ADMIN`.
    pub(super) fn frame(self) -> Option<u64> {
        self.is_present().then_some(self.0 & Self::FRAME)
    }
}

impl Pagemap {
    /// Opens that of `pid`, or of a thread of it that lives where the first one does not.
    pub(super) fn open(proc: &ProcRoot, pid: u32) -> Result<Self, ProcError> {
        let name = format!("{}pagemap", proc.memory_dir(pid));
        Ok(Self(proc.open(pid, &name)?))
    }

    /// The pages from `address` on; fewer than asked for at the end of the address space, none when it is
    /// gone.
    pub(super) fn read<'a>(
        &self,
        address: u64,
        pages: &'a mut [Page],
    ) -> std::io::Result<&'a [Page]> {
        let mut bytes = vec![0; pages.len() * 8];
        let read = self.0.read_at(&mut bytes, address / 4096 * 8)?;
        let words = bytes.get(..read).unwrap_or_default().chunks_exact(8);
        let count = words.len();
        for (page, word) in pages.iter_mut().zip(words) {
            *page = Page(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        Ok(pages.get(..count).unwrap_or_default())
    }

    /// One page; not present where there is nothing.
    pub(super) fn page(&self, address: u64) -> std::io::Result<Page> {
        let mut page = [Page::default()];
        self.read(address, &mut page)?;
        Ok(page[0])
    }
}

#[cfg(test)]
impl Page {
    /// A page in memory.
    pub(super) fn present(frame: u64) -> Self {
        Self(Self::PRESENT | frame)
    }
}
