//! The backend `soft-dirty`: every page that a process has written to, on kernels with
//! `CONFIG_MEM_SOFT_DIRTY`, without stopping the target and without root for one's own processes.
//!
//! Writing `4` to `/proc/PID/clear_refs` clears the soft-dirty bit of every page and write-protects it; the
//! first write to a page afterwards sets its bit again, at the cost of one short fault
//! (Documentation/admin-guide/mm/soft-dirty.rst). A look reads all bits and clears them.
//!
//! What it cannot see, and what it does to the target:
//!
//! - Reads are invisible.
//! - A transparent huge page is one page: a single byte written counts as 2 MiB. It is not split.
//! - The kernel marks a mapping as a whole when it is new, and also when it has grown. A page of new memory
//!   that is there now counts as written if it is anonymous, since it came into being by a write;
//!   pages of files and shared memory may only have been read, and pages of the old part of a mapping that
//!   has grown may be untouched: what cannot be told is missed, and counted ([`Toll`]), for
//!   one look (module `news`).
//! - A page written between reading and clearing, and not again afterwards, is missed.
//! - Huge pages of hugetlbfs are never cleared, and left out.
//! - When the kernel itself assembles a transparent huge page it marks it as written.

mod bits;
mod news;
mod selftest;

use super::alone::{self, Clears};
use super::kind::{Kind, Looks};
use super::{Toll, Touched, Watch, WatchError, clear_refs};
use crate::plan::Intervals;
use crate::proc::{MapsFile, ProcError, ProcRoot};
use bits::Bits;
use damon_format::{AccessKind, Granularity, Mapping};
use news::News;
use std::fs::File;
use std::time::Duration;

/// This backend.
pub const KIND: Kind = Kind {
    name: "soft-dirty",
    auto: true,
    access: AccessKind::Write,
    granularity: Granularity::Page,
    looks: Looks::Exact,
    // Each look write-protects everything again and costs a fault for each page written since.
    intervals: Intervals { sample: Duration::from_secs(1), aggr: Duration::from_secs(5) },
    needs: "CONFIG_MEM_SOFT_DIRTY; root for other users' processes",
    side_effect: "each look write-protects all memory of the target, so that the first write to each page \
        costs it a short fault, and clears the soft-dirty bits that checkpointing (CRIU) relies on",
    self_test: selftest::self_test,
    attach: |proc, pid| {
        alone::attach(proc, pid, Clears::OtherState, || SoftDirty::attach(proc, pid))
    },
};

/// Clears the soft-dirty bits (Documentation/filesystems/proc.rst, `clear_refs`).
const CLEAR_SOFT_DIRTY: &[u8] = b"4";

/// One process seen through its soft-dirty bits.
#[derive(Debug)]
pub struct SoftDirty {
    pid: u32,
    proc: ProcRoot,
    maps: MapsFile,
    bits: Bits,
    clear_refs: File,
    mappings: Vec<Mapping>,
    news: News,
    armed: bool,
    toll: Toll,
}

impl SoftDirty {
    /// Opens the files of `pid`; changes nothing yet.
    pub fn attach(proc: &ProcRoot, pid: u32) -> Result<Self, ProcError> {
        let maps = MapsFile::open(proc, pid)?;
        let bits = Bits::open(proc, pid)?;
        let clear_refs = clear_refs::open(proc, pid)?;
        Ok(Self {
            pid,
            proc: proc.clone(),
            maps,
            bits,
            clear_refs,
            mappings: Vec::new(),
            news: News::default(),
            armed: false,
            toll: Toll::default(),
        })
    }

    /// The open files no longer tell of memory.
    fn ended(&self) -> WatchError {
        WatchError::of_lost_memory(&self.proc, self.pid)
    }

    fn sort_out(&self, error: ProcError) -> WatchError {
        match error {
            ProcError::Gone { .. } => self.ended(),
            other => WatchError::Failed(other.to_string()),
        }
    }

    fn read_mappings(&mut self) -> Result<(), WatchError> {
        match self.maps.read(&mut self.mappings) {
            Ok(_) if self.mappings.is_empty() => Err(self.ended()),
            Ok(_) => Ok(()),
            Err(error) => Err(self.sort_out(error)),
        }
    }

    fn clear(&mut self) -> Result<(), WatchError> {
        clear_refs::clear(&self.clear_refs, self.pid, CLEAR_SOFT_DIRTY)
    }
}

const SAMPLES_NO_PAGES: &str =
    "the backend soft-dirty looks at all pages at once and cannot sample single ones";

impl Watch for SoftDirty {
    fn prepare(&mut self, _addresses: &[u64]) -> Result<(), WatchError> {
        Err(WatchError::Failed(SAMPLES_NO_PAGES.into()))
    }

    fn check(&mut self, _addresses: &[u64], _accessed: &mut [bool]) -> Result<(), WatchError> {
        Err(WatchError::Failed(SAMPLES_NO_PAGES.into()))
    }

    fn look(&mut self, touched: &mut Vec<Touched>) -> Result<(), WatchError> {
        self.read_mappings()?;
        if self.armed {
            if let Err(error) = self.bits.read(&self.mappings) {
                return Err(self.sort_out(error));
            }
            // Again, and last: what grew after this is taken for new by the next look, which errs on the
            // side of missing, never of inventing.
            self.read_mappings()?;
        }
        self.clear()?;
        let found = self.news.sort_out(self.bits.found(), &self.mappings, self.armed, touched);
        self.toll.target += FAULT.saturating_mul(found.faults);
        self.toll.missed += found.missed;
        if found.missed > 0 {
            self.toll.why = "mappings are new or have grown, and all of them is marked as written";
        }
        self.armed = true;
        Ok(())
    }

    fn mappings_changed(&mut self, _mappings: &[Mapping]) -> Result<(), WatchError> {
        Ok(())
    }

    fn toll(&mut self) -> Toll {
        std::mem::take(&mut self.toll)
    }
}

/// What the first write to a protected page costs the target; as measured for userfaultfd, whose faults
/// take the same way through the kernel.
const FAULT: Duration = Duration::from_micros(1);

#[cfg(test)]
mod tests;
