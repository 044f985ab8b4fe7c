//! `process_madvise(2)` with `MADV_COLD` (5.10): the only way to clear the Accessed bit of single pages
//! of another process from user space. Behaviour from `mm/madvise.c`.

#![expect(unsafe_code, reason = "nix has no process_madvise")]

use nix::errno::Errno;
use nix::libc;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Ranges that one call takes (`UIO_MAXIOV`); [`advise_cold`] splits longer vectors.
const MAX_ENTRIES: usize = 1024;

/// A range of another process's memory; the layout of `struct iovec`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    start: usize,
    len: usize,
}

impl Range {
    /// `None` where the numbers do not fit this machine's addresses.
    pub fn new(start: u64, len: u64) -> Option<Self> {
        Some(Self { start: usize::try_from(start).ok()?, len: usize::try_from(len).ok()? })
    }

    /// First byte.
    pub fn start(self) -> u64 {
        self.start as u64
    }

    /// Bytes.
    pub fn len(self) -> u64 {
        self.len as u64
    }

    /// Whether it holds no byte.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

fn advise(pidfd: BorrowedFd<'_>, ranges: &[Range]) -> Result<u64, Errno> {
    // SAFETY: the kernel reads `ranges.len()` entries laid out as `struct iovec` from a live slice. The
    // addresses inside mean memory of the process behind `pidfd`, which is checked by the kernel;
    // MADV_COLD changes no content, so it is harmless even when that process is our own.
    let advised = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            pidfd.as_raw_fd(),
            ranges.as_ptr(),
            ranges.len(),
            libc::MADV_COLD,
            0,
        )
    };
    Ok(u64::try_from(Errno::result(advised)?).unwrap_or(0))
}

/// True for what makes every further range fail as well.
fn is_final(errno: Errno) -> bool {
    matches!(errno, Errno::ESRCH | Errno::EPERM | Errno::EBADF | Errno::ENOSYS | Errno::EFAULT)
}

/// Clears the Accessed bits of all pages in `ranges` of the process behind `pidfd`, flushes what the
/// processors remember of them, and moves the pages to the inactive list.
///
/// `refused` is told the index of each range that the kernel did not take, and why: `EINVAL` (locked
/// memory, hugetlb, device memory), `ENOMEM` (not mapped throughout). A range that was taken may hold
/// pages that were left alone all the same: shared ones, for example. A part of a transparent huge
/// page *splits* that page.
///
/// The error is one that concerns the whole process: `ESRCH` (it has exited), `EPERM` (needs
/// `CAP_SYS_NICE` and the right to read it by ptrace), `ENOSYS` (before 5.10).
pub fn advise_cold(
    pidfd: BorrowedFd<'_>,
    ranges: &[Range],
    refused: &mut dyn FnMut(usize, Errno),
) -> Result<(), Errno> {
    let mut done = 0;
    while let Some(rest) = ranges.get(done..).filter(|rest| !rest.is_empty()) {
        let batch = rest.get(..MAX_ENTRIES).unwrap_or(rest);
        match advise(pidfd, batch) {
            // Ended early without an error: the next call learns why.
            Ok(bytes) => match entries(batch, bytes) {
                0 => {
                    refused(done, Errno::UnknownErrno);
                    done += 1;
                }
                count => done += count,
            },
            Err(errno) if is_final(errno) => return Err(errno),
            Err(errno) => {
                refused(done, errno);
                done += 1;
            }
        }
    }
    Ok(())
}

/// How many of `ranges` the first `bytes` cover entirely.
fn entries(ranges: &[Range], mut bytes: u64) -> usize {
    ranges
        .iter()
        .take_while(|range| {
            let whole = range.len() <= bytes;
            bytes = bytes.saturating_sub(range.len());
            whole
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::own_pages::{OwnPages, page_size};
    use crate::sys::pidfd;
    use std::os::fd::AsFd as _;

    fn range(start: u64, len: u64) -> Range {
        Range::new(start, len).unwrap()
    }

    #[test]
    fn bytes_are_turned_into_whole_entries() {
        let ranges = [range(0, 10), range(20, 5), range(40, 10)];
        assert_eq!([0, 9, 10, 14, 15, 25].map(|bytes| entries(&ranges, bytes)), [0, 0, 1, 1, 2, 3]);
    }

    /// Runs where the kernel allows it for our own process: everywhere since 5.10 but in containers
    /// that forbid the call.
    #[test]
    fn a_refused_range_does_not_stop_the_others_and_contents_stay() {
        let page = page_size() as u64;
        let mut pages = OwnPages::new(4).unwrap();
        for index in 0..4 {
            pages.write(index, 7);
        }
        let at = |index: usize| pages.address(index).unwrap();
        // The page at 0 can never be mapped.
        let ranges = [range(at(0), page), range(0, page), range(at(1), 2 * page), range(0, page)];
        let me = pidfd::open(std::process::id().try_into().unwrap()).unwrap();
        let mut failed = Vec::new();
        match advise_cold(me.as_fd(), &ranges, &mut |index, errno| failed.push((index, errno))) {
            Ok(()) => assert_eq!(failed, [(1, Errno::ENOMEM), (3, Errno::ENOMEM)]),
            Err(errno) => println!("SKIP: process_madvise: {errno}"),
        }
        assert!((0..4).all(|index| pages.read(index) == 7));
    }

    #[test]
    fn more_than_one_vector_is_taken() {
        let page = page_size() as u64;
        let mut pages = OwnPages::new(1).unwrap();
        pages.write(0, 1);
        let mut ranges = vec![range(pages.address(0).unwrap(), page); 2 * MAX_ENTRIES + 1];
        ranges.push(range(0, page));
        let me = pidfd::open(std::process::id().try_into().unwrap()).unwrap();
        let mut failed = Vec::new();
        match advise_cold(me.as_fd(), &ranges, &mut |index, _| failed.push(index)) {
            Ok(()) => assert_eq!(failed, [2 * MAX_ENTRIES + 1]),
            Err(errno) => println!("SKIP: process_madvise: {errno}"),
        }
    }

    #[test]
    fn a_process_that_has_exited_is_esrch() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pidfd = pidfd::open(child.id().try_into().unwrap()).unwrap();
        child.wait().unwrap();
        let gone = advise_cold(pidfd.as_fd(), &[range(0x1000, 0x1000)], &mut |_, _| {});
        assert!(matches!(gone, Err(Errno::ESRCH | Errno::EPERM | Errno::ENOSYS)), "{gone:?}");
    }
}
