//! Heat and working set of a recording, in one pass each or together.

use super::axis::{self, BandSpan};
use super::heat::{Cell, Edges, Frame, HeatSum, Heatmap};
use super::load::{Pass, Trace};
use super::overview::Overview;
use super::select::{Query, SelectError, Selection};
use super::wss::{WorkingSet, WorkingSetOptions, WorkingSetSum};
use damon_format::{SnapshotView, Visitor};
use std::collections::BTreeSet;
use std::ops::Range;

/// A hole whose access rate is this part of that of mapped memory is no hole.
const HOT_HOLE: f64 = 0.25;

/// A range may be left out for lack of room if its share of the heat and of the monitored bytes · time is below
/// this.
const UNIMPORTANT: f64 = 0.02;

/// The bands of an address axis, and what had no room on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// By target, then ascending.
    pub bands: Vec<BandSpan>,
    /// What had no room.
    pub left_out: LeftOut,
}

/// Ranges that had no room on an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LeftOut {
    /// How many.
    pub ranges: usize,
    /// Their size.
    pub bytes: u64,
    /// Their share of the heat, 0..1.
    pub heat_share: f64,
}

/// A part of a recording, ready to be looked at.
#[derive(Debug)]
pub struct View {
    /// Which part.
    pub selection: Selection,
    /// What is in it.
    pub overview: Overview,
    /// Begin of the whole recording: the zero of all relative times.
    pub origin_ns: u64,
}

impl View {
    /// Applies a query to a trace.
    pub fn new(trace: &Trace, query: &Query) -> Result<Self, SelectError> {
        let all = Overview::read(trace, &Selection::everything());
        let origin_ns = all.span().start;
        // Without snapshots there is nothing to select from; the caller says so.
        if query.is_everything() || all.snapshots() == 0 {
            return Ok(Self { selection: Selection::everything(), overview: all, origin_ns });
        }
        let selection = query.resolve(&all)?;
        Ok(Self { overview: Overview::read(trace, &selection), selection, origin_ns })
    }

    /// True when nothing was left out.
    pub fn is_whole(&self) -> bool {
        self.selection == Selection::everything()
    }

    /// The selected time, as far as there are snapshots.
    pub fn time(&self) -> Range<u64> {
        let span = self.overview.span();
        span.start.max(self.selection.time.start)..span.end.min(self.selection.time.end)
    }

    /// A frame over everything selected.
    pub fn frame(&self, columns: usize, bands: Vec<BandSpan>, rows: Vec<usize>) -> Frame {
        Frame { time: self.time(), columns, bands, rows }
    }

    /// The address ranges a picture shows: all that was monitored but for holes, that is addresses that were never
    /// mapped. Regions that reach into a hole smear a little heat into it, nothing can be accessed there. A
    /// hole that is hot all over is one only by mistake (a mapping that came and went between two looks at
    /// the mappings) and stays.
    pub fn shown(&self, trace: &Trace) -> Vec<BandSpan> {
        let (mapped, holes) = axis::split_holes(&self.overview, &self.time());
        if holes.is_empty() || mapped.is_empty() {
            return axis::monitored(&self.overview);
        }
        let all: Vec<BandSpan> = mapped.iter().chain(&holes).cloned().collect();
        let totals = self.totals(trace, &all);
        let (of_mapped, of_holes) = totals.split_at(mapped.len().min(totals.len()));
        let least = sum(of_mapped).rate().unwrap_or(0.0) * HOT_HOLE;
        let hot = holes.into_iter().zip(of_holes).filter(|(_, cell)| cell.rate() > Some(least));
        let mut shown = mapped;
        shown.extend(hot.map(|(hole, _)| hole));
        shown.sort_by_key(|span| (span.target, span.range.start));
        shown
    }

    /// Joins ranges into at most `most` bands. Where joining alone would fill the picture with gaps, the
    /// ranges that matter least are left out: programs that were replaced at once, pages at the end of
    /// nowhere.
    pub fn axis(&self, trace: &Trace, spans: Vec<BandSpan>, most: usize) -> Axis {
        let waste = axis::bytes(&spans);
        let mut bands = axis::join(spans, most, waste);
        let mut left_out = LeftOut::default();
        if bands.len() > most {
            let totals = self.totals(trace, &bands);
            let whole = sum(&totals);
            let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
            let mut order: Vec<(f64, usize)> = totals
                .iter()
                .map(|t| share(t.heat, whole.heat).max(share(t.monitored, whole.monitored)))
                .enumerate()
                .map(|(index, share)| (share, index))
                .collect();
            order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let surplus = bands.len() - most;
            let drop: BTreeSet<usize> = order
                .into_iter()
                .take(surplus)
                .take_while(|(share, _)| *share < UNIMPORTANT)
                .map(|(_, index)| index)
                .collect();
            for index in &drop {
                let heat = totals.get(*index).map_or(0.0, |t| t.heat);
                left_out.heat_share += share(heat, whole.heat);
            }
            let (kept, dropped): (Vec<_>, Vec<_>) =
                bands.into_iter().enumerate().partition(|(index, _)| !drop.contains(index));
            let dropped: Vec<BandSpan> = dropped.into_iter().map(|(_, band)| band).collect();
            left_out.ranges = dropped.len();
            left_out.bytes = axis::bytes(&dropped);
            bands = axis::bands(kept.into_iter().map(|(_, band)| band).collect(), most);
        }
        Axis { bands, left_out }
    }

    /// Heat of whole ranges.
    fn totals(&self, trace: &Trace, spans: &[BandSpan]) -> Vec<Cell> {
        let frame = self.frame(1, spans.to_vec(), vec![1; spans.len()]);
        let cells = self.cells(trace, &frame).bands.into_iter().map(|b| b.cells);
        cells.map(|c| c.first().copied().unwrap_or_default()).collect()
    }

    /// Heat alone.
    fn cells(&self, trace: &Trace, frame: &Frame) -> Heatmap {
        let edges = Edges::new(frame);
        let pass = trace.scan(&self.selection, || HeatVisitor(HeatSum::new(&edges)));
        let mut sum = HeatSum::new(&edges);
        for part in pass.parts {
            sum.merge(part.0);
        }
        sum.finish(frame, &self.overview)
    }

    /// Working set alone.
    pub fn working_set(&self, trace: &Trace, options: WorkingSetOptions) -> WorkingSet {
        let pass = trace.scan(&self.selection, || {
            WorkingSetVisitor(WorkingSetSum::new(&self.selection, options))
        });
        let mut sum = WorkingSetSum::new(&self.selection, options);
        for part in pass.parts {
            sum.merge(part.0);
        }
        sum.finish(&self.overview.records)
    }

    /// Heat, and the working set on the same time axis.
    pub fn heat(
        &self,
        trace: &Trace,
        frame: &Frame,
        options: WorkingSetOptions,
    ) -> (Heatmap, WorkingSet) {
        let edges = Edges::new(frame);
        let new = || Both {
            heat: HeatSum::new(&edges),
            working_set: WorkingSetSum::new(&self.selection, options),
        };
        let Pass { parts, .. } = trace.scan(&self.selection, new);
        let mut sum = new();
        for part in parts {
            sum.heat.merge(part.heat);
            sum.working_set.merge(part.working_set);
        }
        (sum.heat.finish(frame, &self.overview), sum.working_set.finish(&self.overview.records))
    }
}

fn sum(cells: &[Cell]) -> Cell {
    cells.iter().fold(Cell::default(), |sum, cell| Cell {
        heat: sum.heat + cell.heat,
        monitored: sum.monitored + cell.monitored,
    })
}

struct HeatVisitor<'a>(HeatSum<'a>);

impl Visitor for HeatVisitor<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.0.add(snapshot);
    }
}

struct WorkingSetVisitor<'a>(WorkingSetSum<'a>);

impl Visitor for WorkingSetVisitor<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.0.add(snapshot);
    }
}

struct Both<'a> {
    heat: HeatSum<'a>,
    working_set: WorkingSetSum<'a>,
}

impl Visitor for Both<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.heat.add(snapshot);
        self.working_set.add(snapshot);
    }
}
