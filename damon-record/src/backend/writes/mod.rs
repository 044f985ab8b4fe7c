//! The backend `writes`: which pages a process writes to, exact to the page, without root for one's own
//! processes (Linux 6.7 or later, x86-64).
//!
//! The target executes one userfaultfd(2) for us (see [`serve_if_asked`]); from then on everything happens
//! from outside. Pages are write-protected asynchronously: the first write to each costs the target one
//! short fault that the kernel resolves by itself, and leaves a mark that `PAGEMAP_SCAN` finds.
//! When the watch is dropped, or the recorder dies in whatever way, the kernel removes every trace.
//!
//! What it cannot see, and what it does to the target:
//!
//! - Reads are invisible.
//! - A transparent huge page is split into ordinary pages: by the first write after a
//!   [`look`](crate::backend::Watch::look), and by sampling a single page of it at once. The kernel
//!   does not rebuild it while the watch lasts.
//! - A page used for the first time by reading it counts as written unless it is anonymous.
//! - Memory of a mapping made since the last
//!   [`mappings_changed`](crate::backend::Watch::mappings_changed) reads as not accessed.
//! - Ranges that the target itself gave to a userfaultfd, and read-only mappings, are not watched.

mod attach;
#[cfg(target_arch = "x86_64")]
mod borrowed;
#[cfg(target_arch = "x86_64")]
mod gate;
mod helper;
#[cfg(target_arch = "x86_64")]
mod inject;
mod memory;
mod protocol;
mod selftest;
#[cfg(target_arch = "x86_64")]
mod threads;
mod watch;

use super::Watch;
use super::kind::{self, Kind, Looks};
use crate::plan::Intervals;
use crate::proc::ProcRoot;
use damon_format::{AccessKind, Granularity};
use std::time::Duration;

pub use attach::{AttachError, Helper};
pub use helper::{HELPER_ARGUMENT, serve_if_asked};
pub use selftest::self_test;
pub use watch::{Coverage, WritesWatch};

/// This backend.
pub const KIND: Kind = Kind {
    name: "writes",
    auto: true,
    access: AccessKind::Write,
    granularity: Granularity::Page,
    // Protecting everything more often slows writers down too much.
    looks: Looks::Either { exact_from: Duration::from_secs(1) },
    intervals: Intervals { sample: Duration::from_millis(5), aggr: Duration::from_millis(100) },
    needs: "Linux 6.7+, x86-64; root for other users' processes",
    side_effect: "the first write to each watched page costs the target a short fault, and its \
        transparent huge pages are split into ordinary ones",
    self_test: |_| self_test(),
    attach: attach_kind,
};

fn attach_kind(_proc: &ProcRoot, pid: u32) -> Result<Box<dyn Watch>, kind::AttachError> {
    let pid = i32::try_from(pid).map_err(|_too_large| kind::AttachError::Gone)?;
    match WritesWatch::attach(pid, &Helper::this_program()) {
        Ok(watch) => Ok(Box::new(watch)),
        Err(AttachError::Gone { .. }) => Err(kind::AttachError::Gone),
        Err(error) => Err(kind::AttachError::Refused(error.to_string())),
    }
}
