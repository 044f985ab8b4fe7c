//! Clearing Accessed bits of another process, and which pages resist.

use super::follow::{Follower, WORTH_IT};
use super::tables::Leaf;
use crate::backend::clear_refs;
use crate::host::monotonic_ns;
use crate::proc::{ProcError, ProcRoot};
use crate::sys::madvise::{self, Range};
use crate::sys::own_pages::OwnPages;
use crate::sys::pidfd;
use nix::errno::Errno;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

/// Why a page's Accessed bit stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barrier {
    /// mlock(2).
    Locked,
    /// More than one process maps it.
    Shared,
    /// Part of a folio of several pages, which would be split.
    Large,
    /// On no LRU list at the moment: fresh, isolated, or a page that the kernel never reclaims.
    OffList,
    /// The kernel does not say why.
    Unknown,
    /// hugetlbfs.
    Hugetlb,
    /// The page of zeros behind memory that was only read.
    Zero,
    /// Device memory, or pages that the kernel itself owns.
    Device,
    /// Its mapping changed from small pages to a large one during the sampling interval.
    Collapsed,
}

impl Barrier {
    /// Whether `clear_refs` clears the page all the same (`clear_refs_pte_range` of `fs/proc/task_mmu.c`
    /// passes over what has no ordinary page behind it, and over hugetlbfs).
    pub(super) fn yields_to_clear_refs(self) -> bool {
        match self {
            Self::Locked | Self::Shared | Self::Large | Self::OffList | Self::Unknown => true,
            Self::Hugetlb | Self::Zero | Self::Device | Self::Collapsed => false,
        }
    }

    /// In a few words.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Locked => "locked in memory",
            Self::Shared => "mapped by several processes",
            Self::Large => "part of a large folio",
            Self::OffList => "on no LRU list",
            Self::Unknown => "not clearable, for reasons unknown",
            Self::Hugetlb => "of hugetlbfs",
            Self::Zero => "the zero page",
            Self::Device => "device memory",
            Self::Collapsed => "made part of a huge page meanwhile",
        }
    }
}

/// Why clearing failed as a whole.
#[derive(Debug)]
pub(super) enum ClearError {
    /// The address space is gone.
    Ended,
    /// Anything else.
    Failed(String),
}

/// What can be done to one process. Tests put one of their own behind it.
pub(super) trait Clear {
    /// Clears all pages of `ranges` as far as `MADV_COLD` does; `refused` as in
    /// [`madvise::advise_cold`].
    fn cold(
        &mut self,
        ranges: &[Range],
        refused: &mut dyn FnMut(usize, Errno),
    ) -> Result<(), ClearError>;

    /// Clears all pages of the process (`clear_refs`).
    fn everything(&mut self) -> Result<(), ClearError>;

    /// What keeps `MADV_COLD` from clearing the page that `leaf` maps; `None` when nothing does.
    fn barrier(&mut self, leaf: Leaf) -> Option<Barrier>;

    /// The time on a clock that never goes back.
    fn now(&self) -> Duration;

    /// Bytes of the process in memory; 0 when it is not known.
    fn resident(&mut self) -> u64;

    /// Whether anonymous memory may come in large folios below the size of a huge page.
    fn anonymous_folios(&self) -> bool;
}

/// Bits of `/proc/kpageflags` (`include/uapi/linux/kernel-page-flags.h`).
mod kpf {
    pub(super) const LRU: u64 = 1 << 5;
    pub(super) const MMAP: u64 = 1 << 11;
    pub(super) const COMPOUND: u64 = 1 << 15 | 1 << 16;
    pub(super) const HUGE: u64 = 1 << 17;
    pub(super) const UNEVICTABLE: u64 = 1 << 18;
    pub(super) const NOPAGE: u64 = 1 << 20;
    pub(super) const ZERO_PAGE: u64 = 1 << 24;
}

/// What bars the page with these flags and that many mappings, seen through a leaf of `level`.
fn barrier_of(flags: u64, mappings: u64, level: u8) -> Option<Barrier> {
    let has = |bits: u64| flags & bits != 0;
    if has(kpf::ZERO_PAGE) {
        Some(Barrier::Zero)
    } else if has(kpf::HUGE) {
        Some(Barrier::Hugetlb)
    } else if has(kpf::NOPAGE) || !has(kpf::MMAP) {
        Some(Barrier::Device)
    } else if has(kpf::UNEVICTABLE) {
        Some(Barrier::Locked)
    } else if mappings > 1 {
        Some(Barrier::Shared)
    } else if has(kpf::COMPOUND) && level == 0 {
        Some(Barrier::Large)
    } else if !has(kpf::LRU) {
        Some(Barrier::OffList)
    } else {
        None
    }
}

/// The means of the kernel.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    proc: ProcRoot,
    memory_dir: String,
    pidfd: OwnedFd,
    clear_refs: File,
    page_flags: File,
    page_counts: File,
    anonymous_folios: bool,
    follower: Option<Follower>,
}

impl Process {
    /// Opens what is needed for `pid`; changes nothing.
    pub(super) fn open(proc: &ProcRoot, pid: u32) -> Result<Self, ProcError> {
        let memory_dir = proc.memory_dir(pid);
        let leader = i32::try_from(pid).map_err(|_too_large| ProcError::Gone { pid })?;
        let thread =
            memory_dir.strip_prefix("task/").and_then(|tid| tid.trim_end_matches('/').parse().ok());
        // Of an exited leader the kernel finds no memory; a thread's descriptor (6.9) finds it.
        let pidfd = match thread {
            Some(tid) => pidfd::open_thread(tid),
            None => pidfd::open(leader),
        };
        let pidfd = pidfd.map_err(|errno| match errno {
            Errno::ESRCH => ProcError::Gone { pid },
            errno => ProcError::Io { path: proc.of(pid, ""), source: errno.into() },
        })?;
        let clear_refs = clear_refs::open(proc, pid)?;
        let open = |name: &str| {
            let path = proc.path().join(name);
            File::open(&path).map_err(|source| match source.kind() {
                io::ErrorKind::PermissionDenied => ProcError::Denied { path },
                _ => ProcError::Io { path, source },
            })
        };
        Ok(Self {
            pid,
            proc: proc.clone(),
            memory_dir,
            pidfd,
            clear_refs,
            page_flags: open("kpageflags")?,
            page_counts: open("kpagecount")?,
            anonymous_folios: anonymous_folios(Path::new("/sys")),
            follower: Follower::new(proc, pid),
        })
    }
}

/// One number of `/proc/kpageflags` or `/proc/kpagecount`.
fn number_of(file: &File, frame: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, frame.checked_mul(8)?).ok()?;
    Some(u64::from_le_bytes(bytes))
}

/// The frame of the page of zeros that the kernel maps where memory is only read; `None` where it
/// cannot be found out.
pub(super) fn zero_frame(proc: &ProcRoot) -> Option<u64> {
    const PRESENT: u64 = 1 << 63;
    const FRAME: u64 = (1 << 55) - 1;
    let page = OwnPages::new(1).ok()?;
    let _zero = page.read(0);
    let pagemap = proc.open(std::process::id(), "pagemap").ok()?;
    let entry = number_of(&pagemap, page.address(0)? / crate::proc::page_size())?;
    let frame = (entry & PRESENT != 0).then_some(entry & FRAME)?;
    let flags = number_of(&File::open(proc.path().join("kpageflags")).ok()?, frame)?;
    (flags & kpf::ZERO_PAGE != 0).then_some(frame)
}

/// Whether a size below that of a huge page is switched on (Documentation/admin-guide/mm/transhuge.rst).
fn anonymous_folios(sys: &Path) -> bool {
    let Ok(entries) = fs::read_dir(sys.join("kernel/mm/transparent_hugepage")) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let size = entry.file_name();
        let size = size.to_str().and_then(|name| name.strip_prefix("hugepages-"));
        let size = size.and_then(|name| name.strip_suffix("kB")).and_then(|size| size.parse().ok());
        size.is_some_and(|kib: u64| kib < 2048)
            && fs::read_to_string(entry.path().join("enabled"))
                .is_ok_and(|text| !text.contains("[never]"))
    })
}

fn clear_error(errno: Errno, what: &str) -> ClearError {
    match errno {
        Errno::ESRCH => ClearError::Ended,
        errno => ClearError::Failed(format!("{what} failed: {errno}")),
    }
}

impl Clear for Process {
    fn cold(
        &mut self,
        ranges: &[Range],
        refused: &mut dyn FnMut(usize, Errno),
    ) -> Result<(), ClearError> {
        let now = self.now();
        if let Some(follower) = self.follower.as_mut().filter(|_| ranges.len() >= WORTH_IT) {
            follower.follow(now);
        }
        madvise::advise_cold(self.pidfd.as_fd(), ranges, refused)
            .map_err(|errno| clear_error(errno, "process_madvise(MADV_COLD)"))
    }

    fn everything(&mut self) -> Result<(), ClearError> {
        self.clear_refs.write_all(b"1").map_err(|error| {
            let errno = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
            clear_error(errno, &format!("writing /proc/{}/clear_refs", self.pid))
        })
    }

    fn barrier(&mut self, leaf: Leaf) -> Option<Barrier> {
        let Some(frame) = leaf.frame() else {
            return Some(Barrier::Unknown);
        };
        let flags = number_of(&self.page_flags, frame);
        let count = number_of(&self.page_counts, frame);
        match (flags, count) {
            (Some(flags), Some(count)) => barrier_of(flags, count, leaf.level),
            _ => Some(Barrier::Unknown),
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(monotonic_ns())
    }

    fn resident(&mut self) -> u64 {
        let name = format!("{}statm", self.memory_dir);
        let text = self.proc.read(self.pid, &name).unwrap_or_default();
        let pages = std::str::from_utf8(&text)
            .ok()
            .and_then(|text| text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
        pages.unwrap_or(0).saturating_mul(crate::proc::page_size())
    }

    fn anonymous_folios(&self) -> bool {
        self.anonymous_folios
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::fake::put;

    #[test]
    fn flags_of_real_kinds_of_pages_are_told_apart() {
        // Referenced, up to date, LRU, active, mmap, anonymous, swap-backed: an ordinary page.
        let ordinary = 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 11 | 1 << 12 | 1 << 14;
        assert_eq!(barrier_of(ordinary, 1, 0), None);
        assert_eq!(barrier_of(ordinary, 2, 0), Some(Barrier::Shared));
        assert_eq!(barrier_of(ordinary & !kpf::LRU, 1, 0), Some(Barrier::OffList));
        assert_eq!(barrier_of(ordinary | 1 << 18, 1, 0), Some(Barrier::Locked));
        assert_eq!(barrier_of(ordinary | 1 << 16, 1, 0), Some(Barrier::Large));
        let huge = ordinary | 1 << 15 | 1 << 22;
        assert_eq!(barrier_of(huge, 1, 1), None, "a transparent huge page as a whole");
        assert_eq!(barrier_of(1 << 15 | 1 << 17 | 1 << 11, 1, 1), Some(Barrier::Hugetlb));
        assert_eq!(barrier_of(1 << 24, 0, 0), Some(Barrier::Zero));
        assert_eq!(barrier_of(1 << 20, 0, 0), Some(Barrier::Device), "no page at all");
        assert_eq!(barrier_of(1 << 32, 0, 0), Some(Barrier::Device), "reserved by the kernel");
    }

    #[test]
    fn sizes_that_are_switched_on_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = |size: u32| format!("kernel/mm/transparent_hugepage/hugepages-{size}kB/enabled");
        assert!(!anonymous_folios(dir.path()));
        put(dir.path(), &path(2048), "always [inherit] madvise never\n");
        put(dir.path(), &path(64), "always inherit madvise [never]\n");
        assert!(!anonymous_folios(dir.path()));
        put(dir.path(), &path(16), "always inherit [madvise] never\n");
        assert!(anonymous_folios(dir.path()));
    }

    #[test]
    fn root_finds_the_page_of_zeros() {
        let found = zero_frame(&ProcRoot::default());
        if nix::unistd::geteuid().is_root() && File::open("/proc/kpageflags").is_ok() {
            assert!(found.is_some());
        } else {
            assert_eq!(found, None);
        }
    }

    #[test]
    fn resident_memory_is_read() {
        let resident = Process::open(&ProcRoot::default(), std::process::id());
        match resident {
            Ok(mut process) => assert!(process.resident() > 1 << 20),
            Err(error) => println!("SKIP: {error}"),
        }
    }
}
