//! Which regions are meant, spelled and meant the same everywhere.

use crate::analysis::pattern::{Bounds, Pattern};
use crate::analysis::quantity::{Duration, Share, Size};
use clap::Args;

/// Bounds of size, access rate and age; both ends are included.
#[derive(Debug, Args)]
pub struct PatternArgs {
    /// Only regions of at least this size: 4096, 64K, 2MiB
    #[arg(long, value_name = "SIZE")]
    pub min_size: Option<Size>,
    /// Only regions of at most this size
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<Size>,
    /// Only regions with at least this access rate: 5%
    #[arg(long, value_name = "RATE")]
    pub min_rate: Option<Share>,
    /// Only regions with at most this access rate; 0% are idle ones
    #[arg(long, value_name = "RATE")]
    pub max_rate: Option<Share>,
    /// Only regions whose accesses have not changed for at least this long: 500ms, 2min
    #[arg(long, value_name = "TIME")]
    pub min_age: Option<Duration>,
    /// Only regions whose accesses have changed since then
    #[arg(long, value_name = "TIME")]
    pub max_age: Option<Duration>,
}

impl PatternArgs {
    /// The same without clap.
    pub fn pattern(&self) -> Pattern {
        let size = |size: Option<Size>| size.map(|s| s.0);
        let share = |share: Option<Share>| share.map(|s| s.0);
        let time = |time: Option<Duration>| time.map(|t| t.0);
        Pattern {
            size: Bounds { min: size(self.min_size), max: size(self.max_size) },
            rate: Bounds { min: share(self.min_rate), max: share(self.max_rate) },
            age_ns: Bounds { min: time(self.min_age), max: time(self.max_age) },
        }
    }
}
