//! DAMON's region algorithm: integer arithmetic over an abstract access check.
//!
//! [`Engine`] is for backends that sample pages, [`Census`] for those that see every page or mapping. Nothing here makes a system call, reads a clock or
//! depends on a backend; rules and names follow the kernel's `mm/damon/core.c` and `mm/damon/vaddr.c`
//! as of Linux 7.1 where versions differ. What we do otherwise, and why: [`merge::merge`] rounds once,
//! [`compact_ranges`] leaves more gaps out, and, where it is asked for, [`split::split`] cuts around accesses.

pub mod attrs;
pub mod census;
mod coalesce;
pub mod engine;
pub mod limit;
pub mod merge;
pub mod ranges;
pub mod region;
pub mod rng;
pub mod split;
pub mod synthetic;

pub use attrs::{AttrsError, validate};
pub use census::{Census, CensusGranularity, CensusResult, TouchedRange};
pub use engine::{Aggregated, Due, Engine, EngineError, TargetResult};
pub use merge::Rounding;
pub use ranges::{
    MOST_RANGES, RangesError, aligned, compact_ranges, default_ranges, mapped_ranges, three_ranges,
};
pub use region::{AddressRange, MonitoredRegion};
