//! Heat and working set of a recording, in one pass each or together.

use super::axis::BandSpan;
use super::heat::{Edges, Frame, HeatSum, Heatmap};
use super::load::{Pass, Trace};
use super::overview::Overview;
use super::select::{Query, SelectError, Selection};
use super::wss::{WorkingSet, WorkingSetOptions, WorkingSetSum};
use damon_format::{SnapshotView, Visitor};
use std::ops::Range;

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
