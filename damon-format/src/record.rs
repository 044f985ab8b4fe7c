//! Metadata: what was recorded, how, and everything that changed while recording.
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC`, sizes bytes, intervals microseconds.

mod held;
mod kernel;

pub use kernel::*;

use crate::TargetId;
use serde::Serialize;

/// Which accesses the backend can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessKind {
    /// Reads and writes, not told apart.
    #[serde(rename = "read+write")]
    ReadWrite,
    /// Writes only; reads are invisible.
    Write,
}

impl AccessKind {
    /// The word used in every report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "read+write",
            Self::Write => "write",
        }
    }
}

/// What one observation of the backend stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    /// Single pages, sampled or exact.
    Page,
    /// Regions whose pages somebody else samples (the kernel's DAMON).
    Region,
    /// Whole mappings.
    Mapping,
}

impl Granularity {
    /// The word used in every report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Region => "region",
            Self::Mapping => "mapping",
        }
    }
}

/// How accesses were seen, and why this way was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backend {
    /// `writes`, `referenced`, `damon`, …
    pub name: String,
    /// Which accesses it sees.
    pub access: AccessKind,
    /// What one observation stands for.
    pub granularity: Granularity,
    /// True when every page is looked at in every sampling interval, false when pages are sampled.
    pub exact: bool,
    /// One sentence: why this backend.
    pub reason: String,
}

/// Two clocks read at the same moment, so that monotonic times can be shown as wall-clock times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClockAnchor {
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub monotonic_ns: u64,
    /// `CLOCK_REALTIME` in nanoseconds since the epoch.
    pub realtime_ns: u64,
}

/// Monitoring attributes as in DAMON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Attrs {
    /// Sampling interval, microseconds.
    pub sample_us: u64,
    /// Aggregation interval, microseconds.
    pub aggr_us: u64,
    /// Interval at which mappings are read again, microseconds.
    pub update_us: u64,
    /// Lower bound of the number of regions.
    pub min_nr_regions: u32,
    /// Upper bound of the number of regions.
    pub max_nr_regions: u32,
}

/// The first record of every trace: who recorded what, where and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordingInfo {
    /// Name of the program that wrote the trace.
    pub tool: String,
    /// Its version.
    pub tool_version: String,
    /// Host name.
    pub host: String,
    /// Kernel release, as `uname -r` prints it.
    pub kernel: String,
    /// Machine architecture, as `uname -m` prints it.
    pub arch: String,
    /// Page size in bytes.
    pub page_size: u32,
    /// Clock anchors of the moment the recording began.
    pub clock: ClockAnchor,
    /// The recorder's command line.
    pub command_line: Vec<String>,
    /// How accesses are seen.
    pub backend: Backend,
    /// Attributes at the beginning; later changes are [`IntervalsChanged`].
    pub attrs: Attrs,
}

/// What kind of address space a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// The virtual address space of a process.
    Process,
    /// The physical address space of the machine.
    Physical,
}

/// A target appeared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetStarted {
    /// The new target.
    pub target: TargetId,
    /// When monitoring of it began.
    pub time_ns: u64,
    /// Process or physical memory.
    pub kind: TargetKind,
    /// Process id in the recorder's pid namespace; 0 for physical memory.
    pub pid: u32,
    /// Start time of the process in clock ticks since boot (field 22 of `/proc/PID/stat`): tells a
    /// reused pid apart.
    pub start_ticks: u64,
    /// The target it was forked from, if that one is recorded too.
    pub parent: Option<TargetId>,
    /// Command name.
    pub comm: String,
    /// Path of the executable; empty when it cannot be read.
    pub exe: String,
}

/// A target replaced its program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetExecuted {
    /// Which one.
    pub target: TargetId,
    /// When it was noticed.
    pub time_ns: u64,
    /// New command name.
    pub comm: String,
    /// New executable.
    pub exe: String,
}

/// A target is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TargetExited {
    /// Which one.
    pub target: TargetId,
    /// When it was noticed.
    pub time_ns: u64,
    /// Its wait status, where the recorder was its parent.
    pub wait_status: Option<i32>,
}

/// Intervals or region limits changed from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IntervalsChanged {
    /// From when on.
    pub time_ns: u64,
    /// The new attributes.
    pub attrs: Attrs,
    /// One sentence: why.
    pub reason: String,
}

/// Access rights of a mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "four independent bits of the kernel's text")]
pub struct Permissions {
    /// `r`.
    pub read: bool,
    /// `w`.
    pub write: bool,
    /// `x`.
    pub execute: bool,
    /// `s` rather than `p`.
    pub shared: bool,
}

/// One line of `/proc/PID/maps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Access rights.
    pub permissions: Permissions,
    /// Offset into the file.
    pub offset: u64,
    /// Inode, 0 for anonymous memory.
    pub inode: u64,
    /// Path or `[heap]`, `[stack]`, `[anon:NAME]`…; empty for plain anonymous memory.
    pub name: String,
}

/// How a target's mappings differ from the previous [`MappingsChanged`] of that target (the first one
/// and the one after an exec add everything).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MappingsChanged {
    /// Which target.
    pub target: TargetId,
    /// When the mappings were read.
    pub time_ns: u64,
    /// Start addresses of the mappings that are gone or have changed.
    pub removed: Vec<u64>,
    /// Mappings that are new or have changed, ascending.
    pub added: Vec<Mapping>,
}

/// Memory of one target, sampled about once a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemorySample {
    /// Which target.
    pub target: TargetId,
    /// When.
    pub time_ns: u64,
    /// Resident set size, bytes.
    pub rss: u64,
    /// Swapped out, bytes.
    pub swap: u64,
    /// Size of the address space, bytes.
    pub virtual_size: u64,
    /// Minor faults since the process began.
    pub minor_faults: u64,
    /// Major faults since the process began.
    pub major_faults: u64,
}

/// Memory of one target where what is shared counts in proportion (`/proc/PID/smaps_rollup`), sampled when asked for,
/// and rarely: the kernel visits each page for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProportionalMemory {
    /// Which target.
    pub target: TargetId,
    /// When.
    pub time_ns: u64,
    /// Proportional set size, bytes: of each resident page its size over the number of its mappings.
    pub pss: u64,
    /// The same of what is swapped out, bytes.
    pub swap_pss: u64,
}

/// Memory pressure of the machine (`/proc/pressure/memory`), totals since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PressureSample {
    /// When.
    pub time_ns: u64,
    /// Microseconds in which some task waited for memory.
    pub some_us: u64,
    /// Microseconds in which all tasks waited for memory.
    pub full_us: u64,
}

/// Data that should be here and is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Which target, or `None` when it concerns the recording as a whole.
    pub target: Option<TargetId>,
    /// When it was noticed.
    pub time_ns: u64,
    /// How many snapshots or events.
    pub count: u64,
    /// One sentence: what was lost and why.
    pub what: String,
}

/// A moment named by the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// When.
    pub time_ns: u64,
    /// What the user said.
    pub text: String,
}

/// Something a reader of the results should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// When.
    pub time_ns: u64,
    /// One sentence.
    pub text: String,
}

/// The recording ended in good order; a trace without it was interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finished {
    /// When.
    pub time_ns: u64,
    /// One sentence: why it ended.
    pub reason: String,
    /// CPU time the recorder itself used, microseconds.
    pub recorder_cpu_us: u64,
}

/// This trace is one part of a recording that fills several files, one after the other; the first record of
/// each part.
///
/// The [`repeated`](Self::repeated) records after it say again what earlier parts have said and what still
/// holds (targets, mappings, notes …), with its own times, so that the part can be read alone. Who reads
/// all parts passes over them. [`PartChain`](crate::PartChain) tells whether one is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// When the part began: nothing in earlier parts is later.
    pub time_ns: u64,
    /// Identity of the recording: the identity in the file header of its first part.
    pub recording: u64,
    /// Which part it is, from 1, without gaps.
    pub number: u32,
    /// How many snapshots the parts before it hold.
    pub first_snapshot: u64,
    /// So many of the records that follow are repetitions.
    pub repeated: u32,
}

/// One piece of metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// See [`TargetStarted`].
    TargetStarted(TargetStarted),
    /// See [`TargetExecuted`].
    TargetExecuted(TargetExecuted),
    /// See [`TargetExited`].
    TargetExited(TargetExited),
    /// See [`IntervalsChanged`].
    IntervalsChanged(IntervalsChanged),
    /// See [`MappingsChanged`].
    MappingsChanged(MappingsChanged),
    /// See [`MemorySample`].
    Memory(MemorySample),
    /// See [`PressureSample`].
    Pressure(PressureSample),
    /// See [`Lost`].
    Lost(Lost),
    /// See [`SchemeStats`].
    SchemeStats(SchemeStats),
    /// See [`Mark`].
    Mark(Mark),
    /// See [`Note`].
    Note(Note),
    /// See [`Finished`].
    Finished(Finished),
    /// See [`SystemMemory`].
    SystemMemory(SystemMemory),
    /// See [`KdamondCpu`].
    KdamondCpu(KdamondCpu),
    /// See [`SchemeInstalled`].
    SchemeInstalled(SchemeInstalled),
    /// See [`SchemeApplied`].
    SchemeApplied(SchemeApplied),
    /// See [`Part`].
    Part(Part),
    /// See [`EffectiveQuota`].
    EffectiveQuota(EffectiveQuota),
    /// See [`ProbeColumns`].
    ProbeColumns(ProbeColumns),
    /// See [`ProportionalMemory`].
    ProportionalMemory(ProportionalMemory),
}

impl Record {
    /// When it happened or was noticed, nanoseconds of `CLOCK_MONOTONIC`.
    pub fn time_ns(&self) -> u64 {
        match self {
            Self::TargetStarted(body) => body.time_ns,
            Self::TargetExecuted(body) => body.time_ns,
            Self::TargetExited(body) => body.time_ns,
            Self::IntervalsChanged(body) => body.time_ns,
            Self::MappingsChanged(body) => body.time_ns,
            Self::Memory(body) => body.time_ns,
            Self::Pressure(body) => body.time_ns,
            Self::Lost(body) => body.time_ns,
            Self::SchemeStats(body) => body.time_ns,
            Self::Mark(body) => body.time_ns,
            Self::Note(body) => body.time_ns,
            Self::Finished(body) => body.time_ns,
            Self::SystemMemory(body) => body.time_ns,
            Self::KdamondCpu(body) => body.time_ns,
            Self::SchemeInstalled(body) => body.time_ns,
            Self::SchemeApplied(body) => body.time_ns,
            Self::Part(body) => body.time_ns,
            Self::EffectiveQuota(body) => body.time_ns,
            Self::ProbeColumns(body) => body.time_ns,
            Self::ProportionalMemory(body) => body.time_ns,
        }
    }

    /// The target it is about; `None` when it concerns the recording as a whole.
    pub fn target(&self) -> Option<TargetId> {
        match self {
            Self::TargetStarted(body) => Some(body.target),
            Self::TargetExecuted(body) => Some(body.target),
            Self::TargetExited(body) => Some(body.target),
            Self::MappingsChanged(body) => Some(body.target),
            Self::Memory(body) => Some(body.target),
            Self::Lost(body) => body.target,
            Self::SchemeApplied(body) => Some(body.target),
            Self::ProbeColumns(body) => Some(body.target),
            Self::ProportionalMemory(body) => Some(body.target),
            Self::IntervalsChanged(_)
            | Self::Pressure(_)
            | Self::SchemeStats(_)
            | Self::Mark(_)
            | Self::Note(_)
            | Self::Finished(_)
            | Self::SystemMemory(_)
            | Self::KdamondCpu(_)
            | Self::SchemeInstalled(_)
            | Self::Part(_)
            | Self::EffectiveQuota(_) => None,
        }
    }
}
