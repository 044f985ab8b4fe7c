//! How the kernel applies schemes, in its integer arithmetic and with explicit state.
//!
//! Whoever applies schemes himself and whoever only wants to know what would have been applied drive the
//! same [`Operation`]: it is given the regions of all targets at the end of each aggregation and asks
//! a [`World`] to act. The pieces it is made of can be used alone:
//!
//! | piece | of the kernel |
//! |---|---|
//! | [`Switch`] | watermarks |
//! | [`Account`] | quotas, windows, where the next one goes on |
//! | [`next_input`] | tuning for goals |
//! | [`Order`], [`Histogram`] | priorities |
//! | [`Filters`] | filters by address and target, and the order in which pages are asked |
//! | [`KernelRules`] | what differs between releases |
//!
//! Not imitated: the kernel's clock of ticks (times here are nanoseconds), overflow of its 32-bit
//! products by absurd weights, and merging back of what a quota has cut off (7.2), which shows only where
//! schemes are applied several times between two aggregations.

mod filter;
mod goal;
mod operation;
mod quota;
mod release;
mod score;
mod watermarks;

pub use filter::{Filters, Verdict};
pub use goal::{NoReadings, REACHED, Readings, next_input};
pub use operation::{Attempt, Operation, Outcome, SchemeState, Stats, TargetRegions, World};
pub use quota::{Account, Turn, Window};
pub use release::{FilterDefault, FirstWindow, KernelRules};
pub use score::{Histogram, MAX_SCORE, Order, hot_score};
pub use watermarks::{Switch, free_permil};

use crate::{Attrs, Sampling};

/// Whose addresses regions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Processes'.
    Virtual,
    /// The machine's.
    Physical,
}

/// The units of regions and intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Sampling interval, microseconds; the step of the schedule.
    pub sample_us: u64,
    /// Aggregation interval, microseconds; the unit of ages.
    pub aggr_us: u64,
    /// The `nr_accesses` that means "in every sample"; at least 1.
    pub max_nr_accesses: u32,
    /// The smallest region in bytes; the page size unless DAMON's address unit says otherwise.
    pub granule: u64,
    /// Page size in bytes.
    pub page_size: u64,
}

impl Scale {
    /// The usual one.
    pub fn new(attrs: &Attrs, page_size: u64) -> Self {
        let sampling = Sampling::from_intervals(attrs.sample_us, attrs.aggr_us);
        Self {
            sample_us: attrs.sample_us,
            aggr_us: attrs.aggr_us,
            max_nr_accesses: sampling.max_nr_accesses,
            granule: page_size,
            page_size,
        }
    }

    /// Sampling intervals in `interval_us`, fractions dropped.
    pub fn steps(&self, interval_us: u64) -> u64 {
        interval_us / self.sample_us.max(1)
    }
}
