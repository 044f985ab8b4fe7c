//! `process_madvise(2)`: advice about the memory of another process. Behaviour from `mm/madvise.c`.
//!
//! [`Advice::Cold`] is also the only way to clear the Accessed bit of single pages of another process
//! from user space.

#![expect(unsafe_code, reason = "nix has no process_madvise")]

use nix::errno::Errno;
use nix::libc;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Ranges that one call takes (`UIO_MAXIOV`); [`advise`] splits longer vectors.
const MAX_ENTRIES: usize = 1024;

/// Advice that a process may give about another one's memory (`process_madvise_behavior_valid`). None
/// of it changes what the memory contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// It is unlikely to be needed soon. 5.10.
    Cold,
    /// Reclaim it now. 5.10.
    Pageout,
    /// It will be needed: read it in. 5.15.
    Willneed,
    /// Make huge pages of it now. 6.1.
    Collapse,
}

impl Advice {
    /// The name of the system's constant.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cold => "MADV_COLD",
            Self::Pageout => "MADV_PAGEOUT",
            Self::Willneed => "MADV_WILLNEED",
            Self::Collapse => "MADV_COLLAPSE",
        }
    }

    fn value(self) -> libc::c_int {
        match self {
            Self::Cold => libc::MADV_COLD,
            Self::Pageout => libc::MADV_PAGEOUT,
            Self::Willneed => libc::MADV_WILLNEED,
            Self::Collapse => libc::MADV_COLLAPSE,
        }
    }
}

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

    /// What lies behind its first `bytes`; `None` where nothing does.
    fn behind(self, bytes: u64) -> Option<Self> {
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes < self.len)?;
        Some(Self { start: self.start.checked_add(bytes)?, len: self.len - bytes })
    }
}

fn advise_once(pidfd: BorrowedFd<'_>, advice: Advice, ranges: &[Range]) -> Result<u64, Errno> {
    // SAFETY: the kernel reads `ranges.len()` entries laid out as `struct iovec` from a live slice. The
    // addresses inside mean memory of the process behind `pidfd`, which is checked by the kernel; no
    // `Advice` changes content, so it is harmless even when that process is our own.
    let advised = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            pidfd.as_raw_fd(),
            ranges.as_ptr(),
            ranges.len(),
            advice.value(),
            0,
        )
    };
    Ok(u64::try_from(Errno::result(advised)?).unwrap_or(0))
}

/// True for what makes every further range fail as well.
fn is_final(errno: Errno, advice: Advice) -> bool {
    match errno {
        Errno::ESRCH | Errno::EPERM | Errno::ENOSYS | Errno::EFAULT => true,
        // Kernels without swap answer this for anonymous memory.
        Errno::EBADF => advice != Advice::Willneed,
        _ => false,
    }
}

/// Whether this kernel takes `advice`, and from us about the process behind `pidfd`. Changes nothing.
///
/// `EINVAL`: the kernel does not know the advice; otherwise as for [`advise`].
pub fn permitted(pidfd: BorrowedFd<'_>, advice: Advice) -> Result<(), Errno> {
    advise_once(pidfd, advice, &[]).map(|_nothing| ())
}

/// Gives `advice` about all of `ranges` of the process behind `pidfd`.
///
/// `refused` is told the index of each range that the kernel did not take throughout, and why: `EINVAL`
/// (locked memory, hugetlb, device memory), `ENOMEM` (not mapped throughout). A range that was taken may
/// hold pages that were left alone all the same: shared ones, for example.
///
/// The error is one that concerns the whole process: `ESRCH` (it has exited), `EPERM` (needs
/// `CAP_SYS_NICE` and the right to read it by ptrace), `ENOSYS` (before 5.10).
pub fn advise(
    pidfd: BorrowedFd<'_>,
    advice: Advice,
    ranges: &[Range],
    refused: &mut dyn FnMut(usize, Errno),
) -> Result<(), Errno> {
    // Ranges that are done with, and bytes of the next one that are: a call takes 2 GiB at most.
    let (mut done, mut offset) = (0, 0);
    while let Some(rest) = ranges.get(done..).filter(|rest| !rest.is_empty()) {
        let continued = rest.first().and_then(|range| range.behind(offset));
        let batch = match &continued {
            Some(range) if offset > 0 => std::slice::from_ref(range),
            _ => rest.get(..MAX_ENTRIES).unwrap_or(rest),
        };
        let outcome = match advise_once(pidfd, advice, batch) {
            // Ended early without an error: the next call learns why.
            Ok(bytes) => match entries(batch, bytes) {
                (0, 0) => Err(Errno::UnknownErrno),
                (0, part) => {
                    offset += part;
                    Ok(())
                }
                (count, part) => {
                    done += count;
                    offset = part;
                    Ok(())
                }
            },
            Err(errno) if is_final(errno, advice) => return Err(errno),
            Err(errno) => Err(errno),
        };
        if let Err(errno) = outcome {
            refused(done, errno);
            done += 1;
            offset = 0;
        }
    }
    Ok(())
}

/// Clears the Accessed bits of all pages in `ranges` of the process behind `pidfd`, flushes what the
/// processors remember of them, and moves the pages to the inactive list; otherwise as [`advise`]. A
/// part of a transparent huge page *splits* that page.
pub fn advise_cold(
    pidfd: BorrowedFd<'_>,
    ranges: &[Range],
    refused: &mut dyn FnMut(usize, Errno),
) -> Result<(), Errno> {
    advise(pidfd, Advice::Cold, ranges, refused)
}

/// How many of `ranges` the first `bytes` cover entirely, and how much of the next one.
fn entries(ranges: &[Range], mut bytes: u64) -> (usize, u64) {
    let whole = ranges.iter().take_while(|range| {
        let whole = range.len() <= bytes;
        if whole {
            bytes -= range.len();
        }
        whole
    });
    (whole.count(), bytes)
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
        assert_eq!(
            [0, 9, 10, 14, 15, 25].map(|bytes| entries(&ranges, bytes)),
            [(0, 0), (0, 9), (1, 0), (1, 4), (2, 0), (3, 0)]
        );
        assert_eq!(range(20, 5).behind(4), Some(range(24, 1)));
        assert_eq!(range(20, 5).behind(5), None);
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

    /// The kernel cuts what one call asks for at 2 GiB.
    #[test]
    fn a_range_of_many_gibibytes_is_taken() {
        let pages = OwnPages::new((5 << 30) / page_size()).unwrap();
        let ranges = [range(pages.address(0).unwrap(), 5 << 30), range(0, page_size() as u64)];
        let me = pidfd::open(std::process::id().try_into().unwrap()).unwrap();
        let mut failed = Vec::new();
        let told = &mut |index, errno| failed.push((index, errno));
        match advise(me.as_fd(), Advice::Cold, &ranges, told) {
            Ok(()) => assert_eq!(failed, [(1, Errno::ENOMEM)]),
            Err(errno) => println!("SKIP: process_madvise: {errno}"),
        }
    }

    #[test]
    fn asking_for_permission_touches_nothing() {
        let me = pidfd::open(std::process::id().try_into().unwrap()).unwrap();
        for advice in [Advice::Cold, Advice::Pageout, Advice::Willneed, Advice::Collapse] {
            match permitted(me.as_fd(), advice) {
                Ok(()) => {}
                Err(errno) => println!("SKIP: {}: {errno}", advice.name()),
            }
        }
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(permitted(file.as_fd(), Advice::Cold).is_err(), "that is no process");
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
