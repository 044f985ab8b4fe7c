//! The heatmap: heat of cells over time and address, conserved at every zoom.

use super::axis::BandSpan;
use super::cells::Column;
pub use super::cells::{Cell, Cells, Pool};
use super::fold::Fold;
use super::mappings;
pub use super::mappings::NamedRange;
use super::num::{edge, float};
use super::overview::Overview;
pub use super::overview::TargetName;
use super::rows::{Hot, Rows};
use super::select::Selection;
use damon_format::{SnapshotView, TargetId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

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
    /// `rows × columns` cells.
    pub cells: Cells,
    /// Mappings inside the band that deserve a name, ascending; neighbours of one file are joined.
    pub mappings: Vec<NamedRange>,
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

    /// Whose memory it is, in the order of the bands.
    pub fn targets(&self, overview: &Overview) -> Vec<TargetName> {
        let known = overview.target_names();
        let mut targets: Vec<TargetName> = Vec::new();
        for span in &self.bands {
            if targets.last().is_none_or(|t| t.target != span.target) {
                targets.extend(known.iter().find(|t| t.target == span.target).cloned());
            }
        }
        targets
    }

    /// The mappings inside each band that deserve a name: what is lower than half a row does not.
    pub fn names(&self, overview: &Overview) -> Vec<Vec<NamedRange>> {
        let mut of_target = (None, Vec::new());
        let spans = self.bands.iter().zip(&self.rows);
        let names = spans.map(|(span, &rows)| {
            if of_target.0 != Some(span.target) {
                let names = mappings::names(&overview.mappings, span.target, &self.time);
                of_target = (Some(span.target), names);
            }
            let size = span.range.end.saturating_sub(span.range.start);
            let least = size / (2 * rows.max(1) as u64);
            mappings::names_in_band(&of_target.1, &span.range, least)
        });
        names.collect()
    }
}

/// Accumulates heat of one run of snapshots; partial sums are added in a fixed order, so that the result
/// is the same for any number of threads.
#[derive(Debug)]
pub struct HeatSum<'a> {
    edges: &'a Edges,
    /// By column, each with the rows of all bands; columns without data take no memory.
    columns: Vec<Option<Column>>,
    /// Room for the regions of a snapshot.
    hot: Vec<Hot>,
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
    rows: Rows,
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
            let pieces = selection.pieces(band.target, band.range.start, band.range.end);
            let of_target = targets.entry(band.target).or_default();
            of_target.push(BandEdges {
                rows: Rows::new(&band.range, rows),
                pieces: pieces.collect(),
                first,
            });
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
        let columns = vec![None; edges.columns.len().saturating_sub(1)];
        Self { edges, columns, hot: Vec::new() }
    }

    /// The finished map; `records` give names to addresses and targets.
    pub fn finish(self, frame: &Frame, overview: &Overview) -> Heatmap {
        let mut bands = Vec::with_capacity(frame.bands.len());
        let columns: Arc<[_]> = self.columns.into();
        let mut first = 0;
        let names = frame.names(overview);
        for ((span, &rows), mappings) in frame.bands.iter().zip(&frame.rows).zip(names) {
            bands.push(Band {
                target: span.target,
                start: span.range.start,
                end: span.range.end,
                rows,
                cells: Cells::shared(&columns, first, rows),
                mappings,
            });
            first += rows;
        }
        Heatmap {
            targets: frame.targets(overview),
            start_ns: frame.time.start,
            end_ns: frame.time.end,
            columns: columns.len(),
            bands,
        }
    }
}

impl Fold for HeatSum<'_> {
    fn wants_ages(&self) -> bool {
        false
    }

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
                    band.rows.add(snapshot, (scale, time), piece, rows, &mut self.hot);
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
