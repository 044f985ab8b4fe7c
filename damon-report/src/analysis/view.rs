//! Heat and working set of a recording, in one pass each or together.

mod making;

use super::axis::{self, BandSpan};
use super::fold::Fold;
use super::heat::{Cell, Edges, Frame, HeatSum, Heatmap};
use super::kept::Kept;
use super::load::Trace;
use super::overview::{Overview, TargetName};
use super::select::Selection;
use super::wss::{WorkingSet, WorkingSetOptions, WorkingSetSum};
use damon_format::TargetId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A hole whose access rate is this part of that of mapped memory is no hole.
const HOT_HOLE: f64 = 0.25;

/// A range may be left out for lack of room if its share of the heat and of the monitored bytes · time is below
/// this.
const UNIMPORTANT: f64 = 0.02;

/// Bands that would fit are left out for the sake of reading up to this share of the heat.
const LEFT_OUT_FOR_READING: f64 = 0.05;

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
    /// From the start of the first to the end of the last snapshot of the whole recording.
    pub whole: Range<u64>,
    /// From the start of the first to the end of the last selected snapshot.
    span: Range<u64>,
    kept: Option<Kept>,
}

impl View {
    /// The same of which more is known.
    pub(super) fn with_overview(self, overview: Overview) -> Self {
        Self { span: overview.span(), overview, ..self }
    }

    /// True when nothing was left out.
    pub fn is_whole(&self) -> bool {
        self.selection == Selection::everything()
    }

    /// The selected time, as far as there are snapshots.
    pub fn time(&self) -> Range<u64> {
        let (span, time) = (&self.span, &self.selection.time);
        span.start.max(time.start)..span.end.min(time.end)
    }

    /// How people call the targets that have snapshots in the selection.
    pub fn target_names(&self) -> Vec<TargetName> {
        let seen =
            |name: &TargetName| self.overview.targets.iter().any(|t| t.target == name.target);
        self.overview.target_names().into_iter().filter(seen).collect()
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
        let Some((mapped, holes)) = self.holes() else {
            return axis::monitored(&self.overview);
        };
        let all: Vec<BandSpan> = mapped.iter().chain(&holes).cloned().collect();
        without_cold_holes(mapped, holes, &self.totals(trace, &all))
    }

    /// What was mapped and what never was, if the two can be told apart and there is any of both.
    fn holes(&self) -> Option<(Vec<BandSpan>, Vec<BandSpan>)> {
        let (mapped, holes) = axis::split_holes(&self.overview, &self.time());
        (!mapped.is_empty() && !holes.is_empty()).then_some((mapped, holes))
    }

    /// Joins ranges into at most `most` bands. Where joining alone would fill the picture with gaps, or where more
    /// than `readable` bands remain, the ranges that matter least are left out: programs that were replaced
    /// at once, pages at the end of nowhere. For the sake of reading alone no more than a twentieth of the heat
    /// is left out.
    pub fn axis(&self, trace: &Trace, spans: Vec<BandSpan>, most: usize, readable: usize) -> Axis {
        let waste = axis::bytes(&spans);
        let mut bands = axis::join(spans, most, waste);
        let mut left_out = LeftOut::default();
        if bands.len() > readable.min(most) {
            let totals = self.totals(trace, &bands);
            let drop;
            (drop, left_out.heat_share) = unimportant(&totals, most, readable);
            let (kept, dropped): (Vec<_>, Vec<_>) =
                bands.into_iter().enumerate().partition(|(index, _)| !drop.contains(index));
            let dropped: Vec<BandSpan> = dropped.into_iter().map(|(_, band)| band).collect();
            left_out.ranges = dropped.len();
            left_out.bytes = axis::bytes(&dropped);
            bands = axis::bands(kept.into_iter().map(|(_, band)| band).collect(), most);
        }
        Axis { bands, left_out }
    }

    /// A whole picture: the axis as [`shown`](Self::shown) and [`axis`](Self::axis) make it (with `unmapped`, of
    /// all that was monitored), its heat at the resolution that `grid` has for its bands, and the working
    /// set. Reads the trace once where it can: holes are taken to be cold, and it is read again if that was wrong.
    pub fn picture<E>(
        &self,
        trace: &Trace,
        wanted: &Wanted,
        grid: impl Fn(&[BandSpan]) -> Result<(usize, Vec<usize>), E>,
    ) -> Result<Drawn, E> {
        let Wanted { unmapped, most, readable, options } = *wanted;
        let draw = |shown: Vec<BandSpan>| {
            let axis = self.axis(trace, shown, most, readable);
            let (columns, rows) = grid(&axis.bands)?;
            let frame = self.frame(columns, axis.bands, rows);
            let (heatmap, working_set) = self.heat(trace, &frame, options);
            Ok(Drawn { left_out: axis.left_out, heatmap, working_set })
        };
        let Some(plan) = self.plan(wanted, &grid)? else {
            let all = unmapped.then(|| axis::monitored(&self.overview));
            return draw(all.unwrap_or_else(|| self.shown(trace)));
        };
        let edges = Edges::new(&plan.frame, &self.selection);
        let totals = plan.holes.as_ref().map(|holes| Edges::new(&holes.frame, &self.selection));
        let new = || {
            let heat = (HeatSum::new(&edges), totals.as_ref().map(HeatSum::new));
            (heat, WorkingSetSum::new(&self.selection, options))
        };
        let ((heat, totals), working_set) = self.fold(trace, options, new);
        if let Some(shown) = plan.hot_holes(totals, &self.overview) {
            return draw(shown);
        }
        Ok(Drawn {
            left_out: LeftOut::default(),
            heatmap: heat.finish(&plan.frame, &self.overview),
            working_set: working_set.finish(&self.overview.records),
        })
    }

    /// The frame of a [picture](Self::picture) as far as the overview tells; `None` where it depends on the heat.
    pub(super) fn plan<E>(
        &self,
        wanted: &Wanted,
        grid: &impl Fn(&[BandSpan]) -> Result<(usize, Vec<usize>), E>,
    ) -> Result<Option<Plan>, E> {
        let Wanted { unmapped, most, readable, .. } = *wanted;
        let holes = if unmapped { None } else { self.holes() };
        let spans = match &holes {
            Some((mapped, _)) => mapped.clone(),
            None => axis::monitored(&self.overview),
        };
        let waste = axis::bytes(&spans);
        let bands = axis::join(spans, most, waste);
        if bands.len() > readable.min(most) {
            return Ok(None);
        }
        let (columns, rows) = grid(&bands)?;
        let holes = holes.map(|(mapped, holes)| {
            let all: Vec<BandSpan> = mapped.iter().chain(&holes).cloned().collect();
            let rows = vec![1; all.len()];
            Holes { mapped, unmapped: holes, frame: self.frame(1, all, rows) }
        });
        Ok(Some(Plan { frame: self.frame(columns, bands, rows), holes }))
    }

    /// Heat and working set look at neither ages nor records, unless intervals are asked for: these follow each region
    /// from snapshot to snapshot.
    fn fold<F: Fold>(
        &self,
        trace: &Trace,
        options: WorkingSetOptions,
        make: impl Fn() -> F + Sync,
    ) -> F {
        match &self.kept {
            Some(kept) if options.exact => kept.fold(make),
            _ => trace.fold(&self.selection, make),
        }
    }

    /// Heat of whole ranges.
    fn totals(&self, trace: &Trace, spans: &[BandSpan]) -> Vec<Cell> {
        let frame = self.frame(1, spans.to_vec(), vec![1; spans.len()]);
        single_cells(&self.heat_alone(trace, &frame))
    }

    /// Working set alone.
    pub fn working_set(&self, trace: &Trace, options: WorkingSetOptions) -> WorkingSet {
        let sum = trace.fold(&self.selection, || WorkingSetSum::new(&self.selection, options));
        sum.finish(&self.overview.records)
    }

    /// Working set of each target.
    pub fn working_sets(
        &self,
        trace: &Trace,
        options: WorkingSetOptions,
    ) -> BTreeMap<TargetId, WorkingSet> {
        let sum = trace.fold(&self.selection, || WorkingSetSum::new(&self.selection, options));
        sum.finish_each(&self.overview.records)
    }

    /// Heat alone.
    pub fn heat_alone(&self, trace: &Trace, frame: &Frame) -> Heatmap {
        let edges = Edges::new(frame, &self.selection);
        let options = WorkingSetOptions::without_intervals(1);
        self.fold(trace, options, || HeatSum::new(&edges)).finish(frame, &self.overview)
    }

    /// Heat, and the working set on the same time axis.
    pub fn heat(
        &self,
        trace: &Trace,
        frame: &Frame,
        options: WorkingSetOptions,
    ) -> (Heatmap, WorkingSet) {
        let edges = Edges::new(frame, &self.selection);
        let new = || (HeatSum::new(&edges), WorkingSetSum::new(&self.selection, options));
        let (heat, working_set) = self.fold(trace, options, new);
        (heat.finish(frame, &self.overview), working_set.finish(&self.overview.records))
    }
}

/// A frame for a picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) frame: Frame,
    /// What is taken to be cold, if there are holes.
    pub(super) holes: Option<Holes>,
}

/// Addresses that were never mapped.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Holes {
    mapped: Vec<BandSpan>,
    unmapped: Vec<BandSpan>,
    /// One cell for each of the mapped ranges, then of the holes.
    pub(super) frame: Frame,
}

impl Plan {
    /// What has to be shown instead if some hole is hot, given the heat of the frame of the holes.
    pub(super) fn hot_holes(
        &self,
        totals: Option<HeatSum<'_>>,
        overview: &Overview,
    ) -> Option<Vec<BandSpan>> {
        let (holes, totals) = (self.holes.as_ref()?, totals?);
        let totals = single_cells(&totals.finish(&holes.frame, overview));
        let shown = without_cold_holes(holes.mapped.clone(), holes.unmapped.clone(), &totals);
        (shown.len() > holes.mapped.len()).then_some(shown)
    }
}

/// What a picture should show.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Addresses that were never mapped, too.
    pub unmapped: bool,
    /// Bands that have room at most.
    pub most: usize,
    /// Bands that can be read; see [`View::axis`].
    pub readable: usize,
    /// Of the working set.
    pub options: WorkingSetOptions,
}

/// What a picture shows.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// What had no room.
    pub left_out: LeftOut,
    /// The cells.
    pub heatmap: Heatmap,
    /// The working set over the same time.
    pub working_set: WorkingSet,
}

/// The only cell of each band.
fn single_cells(heatmap: &Heatmap) -> Vec<Cell> {
    heatmap.bands.iter().map(|band| band.cells.get(0, 0)).collect()
}

/// Mapped ranges and hot holes; `totals` are of the mapped ranges, then of the holes.
fn without_cold_holes(
    mapped: Vec<BandSpan>,
    holes: Vec<BandSpan>,
    totals: &[Cell],
) -> Vec<BandSpan> {
    let (of_mapped, of_holes) = totals.split_at(mapped.len().min(totals.len()));
    let least = sum(of_mapped).rate().unwrap_or(0.0) * HOT_HOLE;
    let hot = holes.into_iter().zip(of_holes).filter(|(_, cell)| cell.rate() > Some(least));
    let mut shown = mapped;
    shown.extend(hot.map(|(hole, _)| hole));
    shown.sort_by_key(|span| (span.target, span.range.start));
    shown
}

fn sum(cells: &[Cell]) -> Cell {
    let mut sum = Cell::default();
    for cell in cells {
        sum.add(cell);
    }
    sum
}

/// Which bands to leave out, given their heat, and the share of heat they have together.
fn unimportant(totals: &[Cell], most: usize, readable: usize) -> (BTreeSet<usize>, f64) {
    let whole = sum(totals);
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let mut order: Vec<(f64, f64, usize)> = totals
        .iter()
        .enumerate()
        .map(|(index, total)| {
            let heat = share(total.heat, whole.heat);
            (heat.max(share(total.monitored, whole.monitored)), heat, index)
        })
        .collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
    let surplus = totals.len().saturating_sub(most);
    let wanted = totals.len().saturating_sub(readable.min(most));
    let (mut drop, mut dropped) = (BTreeSet::new(), 0.0);
    for (rank, (importance, heat, index)) in order.into_iter().take(wanted).enumerate() {
        let too_hot = rank >= surplus && dropped + heat > LEFT_OUT_FOR_READING;
        if importance >= UNIMPORTANT || too_hot {
            break;
        }
        dropped += heat;
        drop.insert(index);
    }
    (drop, dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(list: &[(f64, f64)]) -> Vec<Cell> {
        let cell = |&(heat, monitored): &(f64, f64)| Cell { heat, monitored, max_rate: 1.0 };
        list.iter().map(cell).collect()
    }

    #[test]
    fn what_hardly_matters_is_left_out_beyond_what_can_be_read() {
        let totals = cells(&[(90.0, 50.0), (0.5, 1.0), (9.0, 1.0), (0.0, 40.0), (0.1, 0.1)]);
        let left_out = |most, readable| -> Vec<usize> {
            unimportant(&totals, most, readable).0.into_iter().collect()
        };
        assert!(left_out(9, 9).is_empty());
        assert_eq!(left_out(9, 4), [4]);
        // Neither what is hot nor what is large for long is ever left out.
        assert_eq!(left_out(9, 1), [1, 4]);
        assert_eq!(left_out(1, 1), [1, 4]);
    }

    #[test]
    fn only_lack_of_room_leaves_out_more_than_a_twentieth_of_the_heat() {
        let mut list = vec![(85.0, 1000.0)];
        list.extend([(1.5, 1.0); 10]);
        let totals = cells(&list);
        let (for_reading, heat) = unimportant(&totals, 20, 2);
        assert_eq!(for_reading.len(), 3);
        assert!((heat - 0.045).abs() < 1e-9, "{heat}");
        assert_eq!(unimportant(&totals, 2, 2).0.len(), 9);
    }
}
