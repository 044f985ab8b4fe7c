//! The heatmap: heat of cells over time and address, conserved at every zoom.

use damon_format::TargetId;
use serde::Serialize;

/// Heat over time × address of one or more targets, gaps of the address space left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Heatmap {
    /// Whose memory, in the order of their bands.
    pub targets: Vec<TargetName>,
    /// Left edge, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// Right edge.
    pub end_ns: u64,
    /// Number of time columns, the same in every band.
    pub columns: usize,
    /// Contiguous monitored parts of the address space, by target, then ascending.
    pub bands: Vec<Band>,
}

/// How people call a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetName {
    /// Its number in the trace.
    pub target: TargetId,
    /// Process id, 0 for physical memory.
    pub pid: u32,
    /// Command name (the last one, where the target executed several programs).
    pub comm: String,
}

/// One contiguous part of the address axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Band {
    /// Whose address space; one of [`Heatmap::targets`].
    pub target: TargetId,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Number of address rows; row 0 is the lowest address.
    pub rows: usize,
    /// `rows × columns` cells, row by row.
    pub cells: Vec<Cell>,
    /// Mappings inside the band that deserve a name, ascending; neighbours of one file are joined.
    pub mappings: Vec<NamedRange>,
}

/// One cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cell {
    /// Σ(rate · bytes · time) over what was monitored inside the cell, in byte·nanoseconds.
    pub heat: f64,
    /// Σ(bytes · time) that was monitored inside the cell, in byte·nanoseconds; 0 = not monitored.
    pub monitored: f64,
}

/// A named part of the address space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// `[heap]`, `libc.so.6`, `anon`, …
    pub name: String,
}
