//! The backend `pte`: reads and writes of single pages through the hardware's Accessed bits, on stock
//! kernels without DAMON.
//!
//! The processor sets the Accessed bit of a page table entry when it uses the page. The bit is cleared by
//! `process_madvise(MADV_COLD)`, page by page, and by `/proc/PID/clear_refs` for what that leaves alone;
//! it is read by walking the page tables in the kernel's memory. Nothing is attached to the target, and
//! nothing is left when the recorder dies. docs/PTE.md tells the rest.

mod agree;
mod areas;
mod assembler;
mod btf;
mod clear;
mod directmap;
mod exact;
#[cfg(test)]
mod fake;
mod follow;
mod kernel;
mod locate;
mod machine;
mod pagemap;
mod program;
mod reading;
mod refusal;
mod sampled;
mod scan;
mod selftest;
pub mod tables;
mod tasks;
#[cfg(test)]
mod tests;
mod watch;

pub use kernel::PageTables;
pub use locate::{Located, locate};
pub use reading::tables_self_test;

use super::Watch;
use super::alone::{self, Clears};
use super::kind::{AttachError, Kind, Looks};
use crate::plan::Intervals;
use crate::proc::ProcRoot;
use clear::{Process, zero_frame};
use damon_format::{AccessKind, Granularity};
use std::time::Duration;
use watch::PteWatch;

/// This backend.
pub const KIND: Kind = Kind {
    name: "pte",
    auto: true,
    access: AccessKind::ReadWrite,
    granularity: Granularity::Page,
    // Clearing everything takes 6 to 22 ms per GiB in memory.
    looks: Looks::Either { exact_from: Duration::from_secs(1) },
    intervals: Intervals { sample: Duration::from_millis(5), aggr: Duration::from_millis(100) },
    needs: "root, x86-64, Linux 5.10+ with BPF and BTF",
    side_effect: "pages that are sampled move to the inactive list (or the oldest generation), so that the \
        kernel's reclaim sees them as colder until they are used again; clearing the Accessed bit of a page \
        interrupts the processors that run the target for a microsecond",
    self_test: selftest::self_test,
    attach,
};

fn attach(proc: &ProcRoot, pid: u32) -> Result<Box<dyn Watch>, AttachError> {
    alone::attach(proc, pid, Clears::AccessedState, || {
        let kernel = PageTables::shared(proc).map_err(AttachError::Refused)?;
        let tables = locate(&kernel, proc, pid)?;
        let clear = Process::open(proc, pid)?;
        Ok::<_, AttachError>(PteWatch::new(tables, clear, zero_frame(proc)))
    })
}
