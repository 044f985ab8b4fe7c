//! A few pages of our own memory to try things on.

#![expect(unsafe_code, reason = "mmap, and access that the compiler must not remove")]

use super::area;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, mprotect, munmap};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

/// Size of a page in bytes; 4096 where the system does not say.
pub fn page_size() -> usize {
    area::page_size().unwrap_or(4096)
}

/// Private anonymous memory, never huge pages, unmapped on drop.
#[derive(Debug)]
pub struct OwnPages {
    base: NonNull<c_void>,
    page_size: usize,
    count: usize,
}

impl OwnPages {
    /// Maps `count` pages, none of them populated.
    pub fn new(count: usize) -> Result<Self, Errno> {
        let page_size = page_size();
        let bytes = count.checked_mul(page_size).ok_or(Errno::ENOMEM)?;
        let length = NonZeroUsize::new(bytes).ok_or(Errno::EINVAL)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let base = unsafe { mmap_anonymous(None, length, protection, MapFlags::MAP_PRIVATE) }?;
        let pages = Self { base, page_size, count };
        // SAFETY: the range is exactly the mapping made above; the advice changes no content. It
        // fails where the kernel has no huge pages, which is what is wanted anyway.
        let _no_huge_pages_at_all = unsafe { madvise(base, bytes, MmapAdvise::MADV_NOHUGEPAGE) };
        Ok(pages)
    }

    /// Address of the first byte of page `index`; `None` past the end.
    pub fn address(&self, index: usize) -> Option<u64> {
        (index < self.count).then(|| self.base.as_ptr() as u64 + (index * self.page_size) as u64)
    }

    /// Makes the processor forget where the pages are, so that the next access to each walks the page tables
    /// again and sets its Accessed bit: taking write permission away flushes the TLB.
    pub fn forget_translations(&mut self) -> Result<(), Errno> {
        let bytes = self.count * self.page_size;
        for protection in [ProtFlags::PROT_READ, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE] {
            // SAFETY: the range is exactly the mapping made in `new`; `&mut self` excludes that anybody
            // writes to it while it is read-only.
            unsafe { mprotect(self.base, bytes, protection) }?;
        }
        Ok(())
    }

    fn byte(&self, index: usize) -> Option<*mut u8> {
        let base = self.base.as_ptr().cast::<u8>();
        (index < self.count).then(|| base.wrapping_add(index * self.page_size))
    }

    /// Writes to page `index`; nothing happens past the end.
    pub fn write(&mut self, index: usize, value: u8) {
        if let Some(byte) = self.byte(index) {
            // SAFETY: `byte` lies inside our mapping, which is writable and lives as long as `self`;
            // `&mut self` excludes other accesses.
            unsafe { byte.write_volatile(value) }
        }
    }

    /// Reads from page `index`; 0 past the end.
    pub fn read(&self, index: usize) -> u8 {
        self.byte(index).map_or(0, |byte| {
            // SAFETY: `byte` lies inside our mapping, which is readable, zero-filled by the kernel,
            // and lives as long as `self`.
            unsafe { byte.read_volatile() }
        })
    }
}

impl Drop for OwnPages {
    fn drop(&mut self) {
        // SAFETY: the range is exactly the mapping made in `new`, and no reference into it exists.
        let unmapped = unsafe { munmap(self.base, self.count * self.page_size) };
        debug_assert_eq!(unmapped, Ok(()), "munmap of our own mapping");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_what_was_written_and_end_where_they_end() {
        let mut pages = OwnPages::new(2).unwrap();
        pages.write(1, 7);
        assert_eq!((pages.read(0), pages.read(1)), (0, 7));
        assert_eq!(pages.address(1).unwrap() - pages.address(0).unwrap(), page_size() as u64);
        assert_eq!(pages.address(2), None);
        pages.write(2, 1);
        assert_eq!(pages.read(2), 0);
    }
}
