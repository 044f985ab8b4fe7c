//! The `PAGEMAP_SCAN` ioctl of `/proc/PID/pagemap` (6.7): which pages were written since they were
//! last write-protected, and protecting them again in the same walk; or which pages have their soft-dirty
//! bit. Constants from `include/uapi/linux/fs.h`, behaviour from `fs/proc/task_mmu.c`.

#![expect(unsafe_code, reason = "an ioctl with a pointer inside its argument")]

use nix::errno::Errno;
use nix::libc;
use std::os::fd::{AsRawFd, BorrowedFd};

const PAGEMAP_SCAN: libc::c_ulong = 0xC060_6610;
const PM_SCAN_WP_MATCHING: u64 = 1;
const PM_SCAN_CHECK_WPASYNC: u64 = 2;
const PAGE_IS_WRITTEN: u64 = 1 << 1;
/// Category of pages of files and of shared memory.
pub const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;
/// Category of pages that are mapped as huge ones.
pub const PAGE_IS_HUGE: u64 = 1 << 6;
const PAGE_IS_SOFT_DIRTY: u64 = 1 << 7;

/// A run of pages of the same categories.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// `PAGE_IS_…` bits that were asked for.
    pub categories: u64,
}

#[repr(C)]
#[derive(Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// Number of ranges per call that [`written`] can be given. From 6.7 to at least 6.18 `walk_end` is
/// stale after more than 512 ranges; staying at 512 keeps clear of that.
pub const MAX_RANGES: usize = 512;

/// What [`written`] does with the pages it reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Leaves them as they are.
    Keep,
    /// Protects them again, atomically with the report.
    Protect,
}

/// What happens to memory that is not registered for asynchronous write protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unregistered {
    /// The call fails with `EPERM`.
    Refuse,
    /// It is passed over. With [`Then::Keep`] the kernel would report it as written, so that
    /// combination is refused with `EINVAL`.
    Skip,
}

fn scan(pagemap: BorrowedFd<'_>, arg: &mut ScanArg) -> Result<usize, Errno> {
    arg.size = size_of::<ScanArg>() as u64;
    // SAFETY: PAGEMAP_SCAN reads and writes one struct pm_scan_arg, which `arg` mirrors and whose size
    // it states; `vec` and `vec_len` are either zero or describe a live exclusive slice of ranges that
    // the callers below hold across the call.
    let ranges = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN, &raw mut *arg) };
    Ok(usize::try_from(Errno::result(ranges)?).unwrap_or(0))
}

/// The written pages of `[start, end)`, ascending, into `ranges`; returns how many. Fewer than
/// `ranges.len()` means that the walk is complete; otherwise go on at the end of the last one.
///
/// "Written" is a page that is there (in memory or in swap), is not the shared zero page, and carries
/// no protection. So a page that was given back (`MADV_DONTNEED`) does not count until it is used
/// again, and memory that was only read for the first time counts only when it is not anonymous.
///
/// `ESRCH`: the address space is gone. `EPERM`: see [`Unregistered`].
pub fn written(
    pagemap: BorrowedFd<'_>,
    start: u64,
    end: u64,
    then: Then,
    unregistered: Unregistered,
    ranges: &mut [PageRange],
) -> Result<usize, Errno> {
    let mut flags = 0;
    if then == Then::Protect {
        flags |= PM_SCAN_WP_MATCHING;
    } else if unregistered == Unregistered::Skip {
        return Err(Errno::EINVAL);
    }
    if unregistered == Unregistered::Refuse {
        flags |= PM_SCAN_CHECK_WPASYNC;
    }
    let len = ranges.len().min(MAX_RANGES);
    let found = scan(
        pagemap,
        &mut ScanArg {
            flags,
            start,
            end,
            vec: ranges.as_mut_ptr() as u64,
            vec_len: len as u64,
            category_inverted: PAGE_IS_PFNZERO,
            category_mask: PAGE_IS_WRITTEN | PAGE_IS_PFNZERO,
            category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            return_mask: PAGE_IS_WRITTEN,
            ..ScanArg::default()
        },
    )?;
    Ok(found.min(len))
}

/// Protects the pages of `[start, end)`, which must be registered (`EPERM` otherwise). Where no page
/// table exists nothing is protected and no table is made. Inside a transparent huge page the
/// mapping is split unless the range covers it.
///
/// False when the kernel stopped early: a range inside one hugetlb page cannot be protected.
pub fn protect(pagemap: BorrowedFd<'_>, start: u64, end: u64) -> Result<bool, Errno> {
    let mut arg = ScanArg {
        flags: PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
        start,
        end,
        category_mask: PAGE_IS_WRITTEN,
        ..ScanArg::default()
    };
    scan(pagemap, &mut arg)?;
    Ok(arg.walk_end >= end)
}

/// The pages of `[start, end)` that are there (in memory or in swap, but not the shared zero page) and have
/// their soft-dirty bit, ascending, into `ranges`, with [`PAGE_IS_FILE`] and [`PAGE_IS_HUGE`] where they
/// apply; returns how many. Fewer than `ranges.len()` means that the walk is complete.
///
/// `ESRCH`: the address space is gone. `ENOTTY`, `EINVAL`: the kernel cannot.
pub fn soft_dirty(
    pagemap: BorrowedFd<'_>,
    start: u64,
    end: u64,
    ranges: &mut [PageRange],
) -> Result<usize, Errno> {
    let len = ranges.len().min(MAX_RANGES);
    let found = scan(
        pagemap,
        &mut ScanArg {
            start,
            end,
            vec: ranges.as_mut_ptr() as u64,
            vec_len: len as u64,
            category_inverted: PAGE_IS_PFNZERO,
            category_mask: PAGE_IS_SOFT_DIRTY | PAGE_IS_PFNZERO,
            category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            return_mask: PAGE_IS_FILE | PAGE_IS_HUGE,
            ..ScanArg::default()
        },
    )?;
    Ok(found.min(len))
}
