//! What there is to tell of the kernel: its schemes, its monitoring thread, the machine's memory.

use crate::{Region, TargetId};
use serde::Serialize;

/// Statistics of a DAMOS scheme, by the kernel's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SchemeStats {
    /// When they were read.
    pub time_ns: u64,
    /// Index of the scheme.
    pub scheme: u32,
    /// Regions the scheme tried.
    pub nr_tried: u64,
    /// Bytes of these.
    pub sz_tried: u64,
    /// Regions to which the action was applied.
    pub nr_applied: u64,
    /// Bytes of these.
    pub sz_applied: u64,
    /// Times the quota was exceeded.
    pub qt_exceeds: u64,
    /// Bytes that passed the filters of pages; `None` where the kernel does not tell (before Linux 6.14), and
    /// in traces of format version 1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sz_ops_filter_passed: Option<u64>,
    /// Snapshots the scheme has been applied to; `None` where the kernel does not tell (before Linux 7.0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nr_snapshots: Option<u64>,
}

/// Memory of the whole machine (`/proc/meminfo`), sampled about once a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SystemMemory {
    /// When.
    pub time_ns: u64,
    /// Memory that the kernel manages, bytes.
    pub total: u64,
    /// Unused, bytes; what the watermarks of schemes are compared with (`free_mem_rate`).
    pub free: u64,
    /// The kernel's estimate of what programs could get without swapping, bytes.
    pub available: u64,
    /// Swap space, bytes.
    pub swap_total: u64,
    /// Swap space not in use, bytes.
    pub swap_free: u64,
}

/// CPU time that the kernel's monitoring thread has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KdamondCpu {
    /// When.
    pub time_ns: u64,
    /// Id of the thread (`kdamond.N`), as the initial namespace counts.
    pub thread: u32,
    /// Since it was started, microseconds.
    pub cpu_us: u64,
}

/// A DAMOS scheme is in force from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemeInstalled {
    /// From when on.
    pub time_ns: u64,
    /// Index of the scheme.
    pub scheme: u32,
    /// The scheme in the form that `damo` reads and writes (docs/SCHEMES.md).
    pub json: String,
    /// Who applies it: `kernel` or `damon-record`.
    pub by: String,
}

/// Regions that a scheme's action is applied to (tracepoint `damos_before_apply`), those of one target and one
/// aggregation, in the order of application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemeApplied {
    /// When the first was.
    pub time_ns: u64,
    /// Index of the scheme.
    pub scheme: u32,
    /// Whose regions.
    pub target: TargetId,
    /// The regions, as they were before the action.
    pub regions: Vec<Region>,
}

/// What the probe columns of a target's snapshots hold from here on, in the columns' order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeColumns {
    /// From when on.
    pub time_ns: u64,
    /// Whose snapshots.
    pub target: TargetId,
    /// One for each column.
    pub columns: Vec<ProbeColumn>,
}

/// What one probe column holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeColumn {
    /// By the kernel's or the tool's name, such as `probe_hits` or `sz_filter_passed`.
    pub name: String,
    /// What a counter of 1 stands for: bytes of sizes, 1 of numbers.
    pub unit: u64,
}

impl ProbeColumn {
    /// Bytes of a region that passed the filters of a scheme, as DAMON and damo call them.
    pub const PASSED: &str = "sz_filter_passed";
    /// Samples that a data attribute probe was hit in.
    pub const HITS: &str = "probe_hits";
}

/// How many bytes a scheme may be applied to in each window of its quota, from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EffectiveQuota {
    /// From when on.
    pub time_ns: u64,
    /// Index of the scheme.
    pub scheme: u32,
    /// The quota that results from all limits and goals, bytes (`esz`).
    pub bytes: u64,
}
