//! The backend `idle`: reads and writes of single pages through the kernel's idle page tracking
//! (`CONFIG_IDLE_PAGE_TRACKING`, Documentation/admin-guide/mm/idle_page_tracking.rst). Needs root.
//!
//! Marking a page idle clears the Accessed bits of everything that maps it; a page that is found no longer
//! idle was used in between. The kernel keeps those bits for its reclaim, so that watching does not make
//! pages look colder.
//!
//! What an answer means:
//!
//! - Accesses of **all** processes that map the page count, not only the target's.
//! - A large folio (a transparent huge page, also one mapped in parts) is one page to the kernel, known by
//!   its head: it is accessed when any of it is.
//! - A page that was not in memory when it was to be marked and is there at the check was accessed: something
//!   brought it in. With pages of files this may have been the kernel mapping the neighbours of a page in use.
//! - A page that is not in memory at the check was not accessed.
//! - A page that the kernel will not mark (just made and still on its way to an LRU list, being
//!   migrated, of hugetlbfs, the shared zero page), or that sits in another frame at the check, is missed, and
//!   counted ([`Toll`](super::Toll)).
//! - The Accessed bit is cleared without flushing the TLB, as DAMON does: of a hot set that stays in the
//!   TLB, accesses may be missed.
//!
//! Pages are sampled one by one: their frames lie anywhere, so that reading several words of a file at
//! once would mostly read what nobody asked for. Only marks that share a word are set and read together.

mod frames;
mod selftest;
mod watch;
mod words;

use super::alone::{self, Clears};
use super::kind::{AttachError, Kind, Looks, Refusal};
use crate::plan::Intervals;
use crate::proc::ProcRoot;
use damon_format::{AccessKind, Granularity};
use frames::Frames;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use words::FileWords;

pub use watch::IdleWatch;

/// This backend.
pub const KIND: Kind = Kind {
    name: "idle",
    auto: true,
    access: AccessKind::ReadWrite,
    granularity: Granularity::Page,
    looks: Looks::Sampled,
    intervals: Intervals { sample: Duration::from_millis(5), aggr: Duration::from_millis(100) },
    needs: "CONFIG_IDLE_PAGE_TRACKING; root",
    side_effect: "accesses of all processes that share a page count; the idle marks of sampled pages are set, \
        which disturbs DAMON and other users of idle page tracking on the same pages",
    self_test: |proc| selftest::self_test(proc, &Places::of(proc)),
    attach: |proc, pid| {
        let frames = Places::of(proc).open().map_err(|no| AttachError::Refused(no.to_string()))?;
        alone::attach(proc, pid, Clears::AccessedState, || IdleWatch::attach(proc, pid, frames))
    },
};

/// Where the kernel's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// One bit for each page frame.
    bitmap: PathBuf,
    /// One word of flags for each page frame.
    flags: PathBuf,
}

impl Places {
    fn of(proc: &ProcRoot) -> Self {
        Self {
            bitmap: PathBuf::from("/sys/kernel/mm/page_idle/bitmap"),
            flags: proc.path().join("kpageflags"),
        }
    }

    fn open(&self) -> Result<Frames, Refusal> {
        let bitmap = FileWords::open(&self.bitmap, true).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Refusal::with_remedy(
                "the kernel has no idle page tracking",
                "a kernel with CONFIG_IDLE_PAGE_TRACKING=y; not in Debian's, Ubuntu's or Fedora's kernels",
            ),
            io::ErrorKind::PermissionDenied => Refusal::with_remedy(
                "only root may use idle page tracking",
                super::kind::BECOME_ROOT,
            ),
            io::ErrorKind::ReadOnlyFilesystem => Refusal::with_remedy(
                format!("{} is on a read-only file system", self.bitmap.display()),
                "outside of the container",
            ),
            _ => format!("cannot open {}: {error}", self.bitmap.display()).into(),
        })?;
        let flags = FileWords::open(&self.flags, false).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Refusal::with_remedy(
                format!("the kernel has no {}", self.flags.display()),
                "a kernel with CONFIG_PROC_PAGE_MONITOR=y",
            ),
            io::ErrorKind::PermissionDenied => Refusal::with_remedy(
                format!("only root may read {}", self.flags.display()),
                super::kind::BECOME_ROOT,
            ),
            _ => format!("cannot open {}: {error}", self.flags.display()).into(),
        })?;
        Ok(Frames::new(Box::new(bitmap), Box::new(flags)))
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
