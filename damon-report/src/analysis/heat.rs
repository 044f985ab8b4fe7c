//! The heatmap: heat of cells over time and address, conserved at every zoom.

use super::axis::BandSpan;
pub use super::cells::{Cell, Pool};
use super::fold::Fold;
use super::mappings;
use super::num::{edge, float};
use super::overview::Overview;
use super::select::Selection;
use damon_format::{SnapshotView, TargetId};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;

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

/// What a heatmap shows and how finely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Left and right edge, `CLOCK_MONOTONIC` nanoseconds.
    pub time: Range<u64>,
    /// Time columns.
    pub columns: usize,
    /// The address axis.
    pub bands: Vec<BandSpan>,
    /// Address rows of each band.
    pub rows: Vec<usize>,
}

impl Frame {
    /// Number of cells.
    pub fn cells(&self) -> usize {
        let rows: usize = self.rows.iter().sum();
        rows.saturating_mul(self.columns)
    }
}

/// Accumulates heat of one run of snapshots; partial sums are added in a fixed order, so that the result
/// is the same for any number of threads.
#[derive(Debug)]
pub struct HeatSum<'a> {
    edges: &'a Edges,
    /// By column, each with the rows of all bands; columns without data take no memory.
    columns: Vec<Option<Box<[Cell]>>>,
}

/// Edges of all rows and columns.
#[derive(Debug)]
pub struct Edges {
    time: Range<u64>,
    columns: Vec<u64>,
    /// Bands of each target: edges of rows and the number of the first row.
    targets: BTreeMap<TargetId, Vec<BandEdges>>,
    rows: usize,
}

#[derive(Debug)]
struct BandEdges {
    edges: Vec<u64>,
    /// Selected addresses of the band.
    pieces: Vec<Range<u64>>,
    first: usize,
}

impl Edges {
    /// Cuts a frame; of its bands only what is selected counts.
    pub fn new(frame: &Frame, selection: &Selection) -> Self {
        let columns = frame.columns.max(1);
        let mut targets: BTreeMap<TargetId, Vec<BandEdges>> = BTreeMap::new();
        let mut first = 0;
        for (band, &rows) in frame.bands.iter().zip(&frame.rows) {
            let edges =
                (0..=rows).map(|i| edge(band.range.start, band.range.end, i, rows)).collect();
            let pieces = selection.pieces(band.target, band.range.start, band.range.end);
            let of_target = targets.entry(band.target).or_default();
            of_target.push(BandEdges { edges, pieces: pieces.collect(), first });
            first += rows;
        }
        Self {
            time: frame.time.clone(),
            columns: (0..=columns)
                .map(|i| edge(frame.time.start, frame.time.end, i, columns))
                .collect(),
            targets,
            rows: first,
        }
    }
}

impl<'a> HeatSum<'a> {
    /// No heat yet.
    pub fn new(edges: &'a Edges) -> Self {
        Self { edges, columns: vec![None; edges.columns.len().saturating_sub(1)] }
    }

    /// The finished map; `records` give names to addresses and targets.
    pub fn finish(self, frame: &Frame, overview: &Overview) -> Heatmap {
        let mut bands = Vec::with_capacity(frame.bands.len());
        let mut targets: Vec<TargetName> = Vec::new();
        let known = overview.target_names();
        let mut names = Vec::new();
        let mut first = 0;
        for (span, &rows) in frame.bands.iter().zip(&frame.rows) {
            if targets.last().is_none_or(|t| t.target != span.target) {
                targets.extend(known.iter().find(|t| t.target == span.target).cloned());
                names = mappings::names(&overview.records, span.target, &frame.time);
            }
            // Written once, and by all threads: the memory is new, and touching it costs more than what is put there.
            let width = self.columns.len().max(1);
            let cells = (0..rows.saturating_mul(self.columns.len())).into_par_iter().map(|index| {
                let column = self.columns.get(index % width).and_then(Option::as_deref);
                let row = first + index / width;
                column.and_then(|column| column.get(row)).copied().unwrap_or_default()
            });
            let cells = cells.with_min_len(width).collect();
            let size = span.range.end - span.range.start;
            let least = size / (2 * rows.max(1) as u64);
            bands.push(Band {
                target: span.target,
                start: span.range.start,
                end: span.range.end,
                rows,
                cells,
                mappings: mappings::names_in_band(&names, &span.range, least),
            });
            first += rows;
        }
        Heatmap {
            targets,
            start_ns: frame.time.start,
            end_ns: frame.time.end,
            columns: self.columns.len(),
            bands,
        }
    }
}

impl Fold for HeatSum<'_> {
    /// Adds one snapshot; what lies outside the frame is left out.
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        let edges = self.edges;
        let start = snapshot.start_ns.max(edges.time.start);
        let end = snapshot.end_ns.min(edges.time.end);
        let Some(bands) = edges.targets.get(&snapshot.target) else {
            return;
        };
        if start >= end {
            return;
        }
        let scale = 1.0 / float(u64::from(snapshot.sampling.max_nr_accesses.max(1)));
        let first = edges.columns.partition_point(|edge| *edge <= start).saturating_sub(1);
        let pairs = edges.columns.windows(2).zip(&mut self.columns);
        for (pair, column) in pairs.skip(first) {
            let &[left, right] = pair else { break };
            if left >= end {
                break;
            }
            let time = float(end.min(right).saturating_sub(start.max(left)));
            if time == 0.0 {
                continue;
            }
            let new = || vec![Cell::default(); edges.rows].into_boxed_slice();
            let column = column.get_or_insert_with(new);
            for band in bands {
                let rows = column.get_mut(band.first..).unwrap_or_default();
                for piece in &band.pieces {
                    spread(snapshot, (scale, time), piece, &band.edges, rows);
                }
            }
        }
    }

    /// Adds the sums of a later run.
    fn merge(&mut self, later: Self) {
        for (mine, theirs) in self.columns.iter_mut().zip(later.columns) {
            match (mine, theirs) {
                (Some(mine), Some(theirs)) => {
                    mine.iter_mut().zip(&theirs).for_each(|(cell, other)| cell.add(other));
                }
                (mine @ None, theirs) => *mine = theirs,
                (Some(_), None) => {}
            }
        }
    }
}

/// Adds a snapshot's regions, as far as they lie in one piece of a band, to the band's rows in one column: `scale` makes rates
/// of counts, `time` is what the snapshot lasted in the column.
fn spread(
    snapshot: &SnapshotView<'_>,
    (scale, time): (f64, f64),
    piece: &Range<u64>,
    edges: &[u64],
    rows: &mut [Cell],
) {
    let (low, high) = (piece.start, piece.end);
    let begin = snapshot.ends.partition_point(|end| *end <= low);
    let regions = snapshot.starts.iter().zip(snapshot.ends).zip(snapshot.nr_accesses).skip(begin);
    let first = edges.partition_point(|edge| *edge <= low).saturating_sub(1);
    // Regions ascend: rows that ended before one are never needed again.
    let edges = edges.get(first..).unwrap_or_default();
    let mut ends = edges.iter().skip(1).copied().zip(rows.iter_mut().skip(first));
    let Some(mut row) = ends.next() else { return };
    for ((&start, &end), &accesses) in regions {
        if start >= high {
            break;
        }
        let (mut at, end) = (start.max(low), end.min(high));
        let rate = f64::from(accesses) * scale;
        while at < end {
            while row.0 <= at {
                let Some(next) = ends.next() else { return };
                row = next;
            }
            let to = end.min(row.0);
            let area = float(to - at) * time;
            let cell = &mut *row.1;
            cell.heat += rate * area;
            cell.monitored += area;
            cell.max_rate = cell.max_rate.max(rate);
            at = to;
        }
    }
}
