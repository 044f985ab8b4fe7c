//! Memory to touch on purpose: one reservation, areas inside it, bounds-checked volatile accesses.
#![expect(unsafe_code, reason = "mapping memory and touching it through raw pointers")]

use std::ffi::{CStr, c_void};
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

/// Bytes of one touch; offsets of touches are multiples of it.
pub const TOUCH_BYTES: usize = size_of::<u64>();

/// The system's page size in bytes.
///
/// # Errors
/// The system does not say (never seen on Linux).
pub fn page_size() -> nix::Result<usize> {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?
        .and_then(|size| usize::try_from(size).ok())
        .filter(|size| size.is_power_of_two())
        .ok_or(Errno::EINVAL)
}

/// What stands behind an area.
#[derive(Clone, Copy, Debug)]
pub enum Source<'fd> {
    /// Private anonymous memory.
    Anonymous,
    /// A shared mapping of this file from its first byte. A file that shrinks while it is mapped
    /// kills the process with SIGBUS at the next touch, as for every mapped file.
    Shared(BorrowedFd<'fd>),
}

/// A stretch of address space that nothing else in this process uses: mapped without access, so
/// that what is not an area stays a guard that no later mapping can settle in.
#[derive(Debug)]
pub struct Reservation {
    block: Rc<Block>,
    used: usize,
}

#[derive(Debug)]
struct Block {
    base: NonNull<c_void>,
    len: usize,
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `base` and `len` are one successful mmap of ours; areas hold a reference to this
        // block, so none is left, and no Rust reference to the memory was ever made.
        let unmapped = unsafe { munmap(self.base, self.len) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

impl Reservation {
    /// Reserves `len` bytes of address space; costs no memory.
    ///
    /// # Errors
    /// What `mmap` says: `ENOMEM` when the address space or its limit does not suffice.
    pub fn new(len: usize) -> nix::Result<Self> {
        let length = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let base = unsafe {
            mmap_anonymous(
                None,
                length,
                ProtFlags::PROT_NONE,
                MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE,
            )
        }?;
        Ok(Self { block: Rc::new(Block { base, len }), used: 0 })
    }

    /// Turns the next free part into a readable and writable area of `len` bytes whose address is a
    /// multiple of `align`, at least `guard` bytes after the one before it.
    ///
    /// # Errors
    /// `EINVAL` for a `len` that is no positive multiple of the page size or an `align` that is no
    /// power of two of at least a page; `ENOSPC` when the reservation is used up; otherwise what
    /// `mmap` says.
    pub fn place(
        &mut self,
        len: usize,
        align: usize,
        guard: usize,
        source: Source<'_>,
    ) -> nix::Result<Area> {
        let page = page_size()?;
        if !len.is_multiple_of(page) || !align.is_power_of_two() || align < page {
            return Err(Errno::EINVAL);
        }
        let length = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
        let base = self.block.base.as_ptr().addr();
        let (start, end) = base
            .checked_add(self.used)
            .and_then(|at| at.checked_add(guard))
            .and_then(|at| at.checked_next_multiple_of(align))
            .and_then(|start| Some((start, start.checked_add(len)?)))
            .filter(|&(_, end)| end - base <= self.block.len)
            .ok_or(Errno::ENOSPC)?;
        let at = NonZeroUsize::new(start);
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let fixed = MapFlags::MAP_FIXED;
        let mapped = match source {
            Source::Anonymous => {
                // SAFETY: [start, end) lies inside our reservation and above `used`, so the fixed
                // mapping replaces only inaccessible memory that no area covers.
                unsafe { mmap_anonymous(at, length, prot, fixed | MapFlags::MAP_PRIVATE) }
            }
            Source::Shared(file) => {
                // SAFETY: as above; the file stays mapped after its descriptor is closed.
                unsafe { mmap(at, length, prot, fixed | MapFlags::MAP_SHARED, file, 0) }
            }
        }?;
        self.used = end - base;
        Ok(Area { start: mapped.cast(), len, _block: Rc::clone(&self.block) })
    }
}

/// Readable and writable memory, touched only through volatile accesses: the optimiser may not
/// drop, merge or reorder them among one another.
#[derive(Debug)]
pub struct Area {
    start: NonNull<u64>,
    len: usize,
    _block: Rc<Block>,
}

impl Area {
    /// Address of the first byte.
    pub fn address(&self) -> usize {
        self.start.as_ptr().addr()
    }

    /// Bytes.
    pub fn size(&self) -> usize {
        self.len
    }

    /// Asks for transparent huge pages, or for none.
    ///
    /// # Errors
    /// `EINVAL` from a kernel without transparent huge pages.
    pub fn advise_huge_pages(&self, wanted: bool) -> nix::Result<()> {
        let advice = if wanted { MmapAdvise::MADV_HUGEPAGE } else { MmapAdvise::MADV_NOHUGEPAGE };
        // SAFETY: the range is exactly our mapping, and neither advice changes its contents.
        unsafe { madvise(self.start.cast(), self.len, advice) }
    }

    /// Names the mapping, so that `/proc/PID/maps` shows `[anon:NAME]`.
    ///
    /// # Errors
    /// `EINVAL` from a kernel without `CONFIG_ANON_VMA_NAME` or for a name with other characters
    /// than printable ones or with any of `[]\$` and the backquote.
    pub fn set_name(&self, name: &CStr) -> nix::Result<()> {
        let length = NonZeroUsize::new(self.len).ok_or(Errno::EINVAL)?;
        nix::sys::prctl::set_vma_anon_name(self.start.cast(), length, Some(name))
    }

    /// Reads the word at `offset`; `None` if the offset is not a multiple of [`TOUCH_BYTES`]
    /// inside the area.
    #[inline]
    pub fn read(&self, offset: usize) -> Option<u64> {
        let word = self.word(offset)?;
        // SAFETY: `word` is aligned and inside a mapping that lives as long as `self`, whose every
        // bit pattern is a u64; no reference to it exists.
        Some(unsafe { word.read_volatile() })
    }

    /// Writes the word at `offset`; `None` (and no write) under the same conditions as
    /// [`Self::read`].
    #[inline]
    #[must_use]
    pub fn write(&self, offset: usize, value: u64) -> Option<()> {
        let word = self.word(offset)?;
        // SAFETY: `word` is aligned and inside a writable mapping that lives as long as `self`; no
        // reference to it exists.
        unsafe { word.write_volatile(value) };
        Some(())
    }

    #[inline]
    fn word(&self, offset: usize) -> Option<*mut u64> {
        let inside = offset.is_multiple_of(TOUCH_BYTES) && offset < self.len;
        // The length is a multiple of the page size, so a whole word fits after `offset`.
        inside.then(|| self.start.as_ptr().wrapping_byte_add(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn areas_are_aligned_apart_and_ascending() {
        let mut reservation = Reservation::new(32 * MIB).unwrap();
        let first = reservation.place(4 * MIB, 2 * MIB, MIB, Source::Anonymous).unwrap();
        let second = reservation.place(MIB, 2 * MIB, MIB, Source::Anonymous).unwrap();
        assert_eq!(first.address() % (2 * MIB), 0);
        assert_eq!(second.address() % (2 * MIB), 0);
        assert!(second.address() >= first.address() + first.size() + MIB);
    }

    #[test]
    fn a_word_written_is_read_back_and_the_edges_hold() {
        let mut reservation = Reservation::new(MIB).unwrap();
        let area = reservation.place(65536, 65536, 0, Source::Anonymous).unwrap();
        drop(reservation);
        assert_eq!(area.write(65528, 7), Some(()));
        assert_eq!(area.read(65528), Some(7));
        assert_eq!(area.read(0), Some(0));
        assert_eq!(area.read(65536), None);
        assert_eq!(area.write(usize::MAX - 7, 1), None);
        assert_eq!(area.write(3, 1), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut reservation = Reservation::new(MIB).unwrap();
        let place = |reservation: &mut Reservation, len, align| {
            reservation.place(len, align, 0, Source::Anonymous).map(drop)
        };
        assert_eq!(place(&mut reservation, 2 * MIB, 65536), Err(Errno::ENOSPC));
        assert_eq!(place(&mut reservation, 65536, usize::MAX / 2 + 1), Err(Errno::ENOSPC));
        assert_eq!(place(&mut reservation, 100, 65536), Err(Errno::EINVAL));
        assert_eq!(place(&mut reservation, 0, 65536), Err(Errno::EINVAL));
        assert_eq!(place(&mut reservation, 65536, 3), Err(Errno::EINVAL));
    }

    #[test]
    fn a_shared_area_writes_to_its_file() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(65536).unwrap();
        let mut reservation = Reservation::new(MIB).unwrap();
        let area = reservation
            .place(65536, 65536, 0, Source::Shared(std::os::fd::AsFd::as_fd(&file)))
            .unwrap();
        assert_eq!(area.write(4096, 0x0102), Some(()));
        let mut word = [0; 8];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut word, 4096).unwrap();
        assert_eq!(area.read(4096), Some(0x0102));
        assert_ne!(word, [0; 8]);
    }
}
