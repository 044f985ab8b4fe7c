//! Heat, working set, idle times and the use of mappings of a recording together, in one pass.
//!
//! A frame for the heat has to be known before the pass, and what was monitored is known after it. So the frame is made for
//! what a few blocks tell (`Overview::sketch`), and made again when all is known: if both are the same, as they are
//! nearly always, that was it; else the heat alone is computed again. What was mapped when has to be known before, too, and is
//! looked up (`Trace::mapping_history`). Results are those of the single analyses.

use super::axis::{self, BandSpan};
use super::groups::GroupBy;
use super::heat::{Edges, Frame, HeatSum, Heatmap};
use super::idle::{IdleScale, IdleSum, IdleTimes};
use super::layout::Layouts;
use super::load::Trace;
use super::mapping_use::{MappingUse, UseOptions, UseSum};
use super::overview::Overview;
use super::select::{Query, SelectError};
use super::view::{Drawn, LeftOut, Plan, View, Wanted};
use super::wss::{WorkingSet, WorkingSetOptions, WorkingSetSum};

/// What there is to say about a recording or a part of it.
#[derive(Debug)]
pub struct Summary {
    /// Which part, and what is in it.
    pub view: View,
    /// Without intervals.
    pub working_set: WorkingSet,
    /// `None` where no ages were recorded.
    pub idle: Option<IdleTimes>,
    /// `None` where no mappings were recorded; without the resident memory.
    pub mappings: Option<MappingUse>,
    /// Heat of all that was monitored, in the cells that were asked for.
    pub cells: Option<Heatmap>,
    /// Heat in a form for looking at, and what had no room in it.
    pub picture: Option<(Heatmap, LeftOut)>,
}

/// As `mappings` looks at them unless told otherwise.
const MAPPINGS: UseOptions =
    UseOptions { threshold: 1, idle_ns: 10_000_000_000, group_by: GroupBy::Mapping };

/// What a summary needs beside working set and idle times.
#[derive(Debug)]
pub struct Parts<G> {
    /// Columns and rows of [`Summary::cells`].
    pub cells: Option<(usize, usize)>,
    /// The picture, and its resolution for the bands.
    pub picture: Option<(Wanted, G)>,
}

/// All frames of one view.
#[derive(Debug, Default, PartialEq)]
struct Frames {
    cells: Option<Frame>,
    plan: Option<Plan>,
}

impl Frames {
    fn new<E>(
        view: &View,
        parts: &Parts<impl Fn(&View, &[BandSpan]) -> Result<(usize, Vec<usize>), E>>,
    ) -> Result<Self, E> {
        let cells = parts.cells.map(|(columns, rows)| cells(view, columns, rows));
        let plan = match &parts.picture {
            Some((wanted, grid)) => view.plan(wanted, &|bands: &[BandSpan]| grid(view, bands))?,
            None => None,
        };
        Ok(Self { cells, plan })
    }

    fn list(&self) -> [Option<&Frame>; 3] {
        let plan = self.plan.as_ref();
        let holes = plan.and_then(|plan| plan.holes.as_ref());
        [self.cells.as_ref(), plan.map(|plan| &plan.frame), holes.map(|holes| &holes.frame)]
    }
}

/// A frame over all that was monitored, for cells that are not looked at.
pub fn cells(view: &View, columns: usize, rows: usize) -> Frame {
    let bands = axis::bands(axis::monitored(&view.overview), rows);
    let shares = axis::share_rows(&bands, rows, 1);
    view.frame(columns, bands, shares)
}

impl Summary {
    /// Goes over a part of a trace, once if it can.
    ///
    /// # Errors
    /// What the query asks for is not there, or `grid` cannot be made.
    pub fn new<E: From<SelectError>>(
        trace: &Trace,
        query: &Query,
        parts: &Parts<impl Fn(&View, &[BandSpan]) -> Result<(usize, Vec<usize>), E>>,
    ) -> Result<Self, E> {
        let options = WorkingSetOptions::without_intervals(1);
        let guess = match View::sketch(trace, query)? {
            Some(view) => view,
            None => View::new(trace, query)?,
        };
        let frames = Frames::new(&guess, parts)?;
        let selection = &guess.selection;
        let edges = frames.list().map(|frame| frame.map(|frame| Edges::new(frame, selection)));
        let scale = IdleScale::new();
        let layouts = Layouts::new(&trace.mapping_history(), GroupBy::Mapping);
        let (overview, (heat, (working_set, (idle, mappings)))) =
            Overview::read_and_fold(trace, selection, || {
                let [cells, picture, holes] = &edges;
                let heat = [cells, picture, holes].map(|edges| edges.as_ref().map(HeatSum::new));
                let idle = IdleSum::new(selection, &scale, guess.origin_ns);
                let mappings = UseSum::new(selection, &layouts, MAPPINGS);
                let mappings = layouts.has_mappings().then_some(mappings);
                (Vec::from(heat), (WorkingSetSum::new(selection, options), (idle, mappings)))
            });
        let working_set = working_set.finish(&overview.records);
        let idle = overview.has_ages.then(|| idle.finish());
        let mappings = mappings.map(|sum| sum.finish(Vec::new()));
        let mut heat = heat.into_iter();
        let mut next = || heat.next().flatten();
        let (in_cells, in_picture, in_holes) = (next(), next(), next());
        let view = guess.with_overview(overview);
        let overview = &view.overview;
        let found = Frames::new(&view, parts)?;
        let cells = found.cells.map(|frame| match in_cells {
            Some(sum) if Some(&frame) == frames.cells.as_ref() => sum.finish(&frame, overview),
            _ => view.heat(trace, &frame, options).0,
        });
        let cold = |plan: &Plan, holes| plan.hot_holes(holes, overview).is_none();
        let picture = match (&parts.picture, &found.plan, in_picture) {
            (None, ..) => None,
            (Some(_), Some(plan), Some(sum))
                if found.plan == frames.plan && cold(plan, in_holes) =>
            {
                Some((sum.finish(&plan.frame, overview), LeftOut::default()))
            }
            (Some((wanted, grid)), ..) => {
                let Drawn { left_out, heatmap, .. } =
                    view.picture(trace, wanted, |bands| grid(&view, bands))?;
                Some((heatmap, left_out))
            }
        };
        Ok(Self { view, working_set, idle, mappings, cells, picture })
    }
}
