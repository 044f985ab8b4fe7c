//! How an access is seen. A backend that is attached to one target is a [`Watch`].

mod alone;
pub mod attach;
pub mod choose;
mod clear_refs;
mod conflict;
pub mod damon;
pub mod exclusive;
pub mod idle;
pub mod kind;
mod passive;
pub mod pte;
pub mod referenced;
pub mod soft_dirty;
pub mod survey;
pub mod writes;

use crate::proc::ProcRoot;
use damon_format::Mapping;
use std::time::Duration;

/// Bytes of a range found accessed by an exact look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// First byte of the range.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Bytes inside the range that were accessed: `end - start` where the backend sees pages, less
    /// where it sees whole mappings.
    pub bytes: u64,
}

/// Why a watch cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The target has exited.
    #[error("the target has exited")]
    Gone,
    /// The target has replaced its program: attach again.
    #[error("the target has executed another program")]
    Replaced,
    /// Anything else; says what failed, where, and what to do.
    #[error("{0}")]
    Failed(String),
}

impl WatchError {
    /// What has become of `pid` when the address space behind the files that are open is no more: exit, or another
    /// program?
    fn of_lost_memory(proc: &ProcRoot, pid: u32) -> Self {
        let maps = format!("{}maps", proc.memory_dir(pid));
        let is_alive = proc.read(pid, &maps).is_ok_and(|text| !text.is_empty());
        if is_alive { Self::Replaced } else { Self::Gone }
    }
}

/// What observing a target has cost and missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Toll {
    /// CPU time that it is estimated to have cost the target: faults, TLB shoot-downs, pauses.
    pub target: Duration,
    /// Pages that should have been observed and could not be; they read as not accessed.
    pub missed: u64,
    /// Why, in a few words; empty when nothing was missed.
    pub why: &'static str,
}

/// One target under observation.
///
/// Sampled use: [`prepare`](Watch::prepare), wait one sampling interval, [`check`](Watch::check) with
/// the same addresses. Exact use: [`look`](Watch::look) once per sampling interval.
pub trait Watch {
    /// Forgets earlier accesses to the pages at `addresses`.
    fn prepare(&mut self, addresses: &[u64]) -> Result<(), WatchError>;

    /// Was the page at `addresses[i]` accessed since [`prepare`](Watch::prepare)? Pages that are not
    /// mapped or cannot be watched read as not accessed. `accessed` has the length of `addresses`.
    fn check(&mut self, addresses: &[u64], accessed: &mut [bool]) -> Result<(), WatchError>;

    /// Everything accessed since the previous look (the first look after attaching only arms and
    /// reports nothing), ascending and disjoint, appended to `touched`.
    fn look(&mut self, touched: &mut Vec<Touched>) -> Result<(), WatchError>;

    /// The target's mappings as they are now; called at attach and after every change.
    fn mappings_changed(&mut self, mappings: &[Mapping]) -> Result<(), WatchError>;

    /// What observing has cost and missed since the last call.
    fn toll(&mut self) -> Toll {
        Toll::default()
    }

    /// What there is to say of watching this very target, once: said and recorded with the reason of
    /// the backend's choice.
    fn remark(&mut self) -> Option<String> {
        None
    }
}
