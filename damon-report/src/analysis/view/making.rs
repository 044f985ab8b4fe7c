//! How much of a trace is read to make a view: as little as the query needs to be understood.

use super::View;
use crate::analysis::ends::Ends;
use crate::analysis::kept::Kept;
use crate::analysis::load::Trace;
use crate::analysis::moment::CoveredMoment;
use crate::analysis::overview::Overview;
use crate::analysis::select::{Moment, Query, SelectError, Selection};
use std::ops::Range;

impl View {
    /// Applies a query to a trace. Of a part of the time, the records are those that
    /// [matter in it](crate::analysis::load::Trace::blocks_for).
    pub fn new(trace: &Trace, query: &Query) -> Result<Self, SelectError> {
        Self::make(trace, query, |selection| (Overview::read(trace, selection), None))
    }

    /// The same with all records of the recording, whatever part of the time is asked for.
    pub fn with_all_records(trace: &Trace, query: &Query) -> Result<Self, SelectError> {
        let read = |selection: &Selection| (Overview::read_all_records(trace, selection), None);
        Self::make(trace, query, read)
    }

    /// The same for a [picture](Self::picture), which goes over a trace more than once.
    pub fn for_picture(trace: &Trace, query: &Query) -> Result<Self, SelectError> {
        Self::make(trace, query, |selection| Overview::read_and_keep(trace, selection))
    }

    /// A view that knows of its part what a few looks tell, and where the recording begins and ends; `None` for
    /// queries that need to know all of a recording, and where it is damaged at an end.
    pub(in crate::analysis) fn sketch(
        trace: &Trace,
        query: &Query,
    ) -> Result<Option<Self>, SelectError> {
        let Some(whole) = Ends::find(trace).filter(|_| query.is_about_time()) else {
            return Ok(None);
        };
        let selection = query.select_time(&whole)?;
        let overview = Overview::sketch(trace, &selection);
        Ok(Some(Self::of(selection, whole, (overview, None))))
    }

    /// A view in which one moment is looked for, by default the [last complete one](CoveredMoment::find). Of a whole recording, what is
    /// known is what was recorded at that moment, and only that is read.
    pub fn around(
        trace: &Trace,
        query: &Query,
        moment: Option<&Moment>,
    ) -> Result<Self, SelectError> {
        if let Some(whole) = Ends::find(trace).filter(|_| query.is_everything()) {
            let span = whole.clone();
            let nothing = (Overview::default(), None);
            let mut view = Self::of(Selection::everything(), whole, nothing);
            view.span = span;
            let found = CoveredMoment::find(trace, &view, moment)?;
            view.overview = Overview::read(trace, &found.selection(&view.selection));
            if view.overview.snapshots() > 0 {
                return Ok(view);
            }
        }
        Self::new(trace, query)
    }

    /// The same with what was recorded at one moment of it, however much was read to find that.
    #[must_use]
    pub fn of_moment(self, trace: &Trace, moment: &CoveredMoment) -> Self {
        let overview = Overview::read(trace, &moment.selection(&self.selection));
        Self { overview, ..self }
    }

    /// A view of one moment; without targets if no snapshot covers it.
    pub fn at(trace: &Trace, query: &Query, moment: &Moment) -> Result<Self, SelectError> {
        let whole = Ends::find(trace).filter(|_| query.is_everything());
        let (selection, whole) = if let Some(whole) = whole {
            (Selection::everything(), whole)
        } else {
            let view = Self::new(trace, query)?;
            if view.overview.snapshots() == 0 {
                return Ok(view);
            }
            (view.selection, view.whole)
        };
        let time_ns = moment.resolve(&whole)?;
        let time = time_ns..time_ns.saturating_add(1);
        let selection = Selection { time, ..selection };
        let overview = Overview::read(trace, &selection);
        Ok(Self::of(selection, whole, (overview, None)))
    }

    fn make(
        trace: &Trace,
        query: &Query,
        read: impl Fn(&Selection) -> (Overview, Option<Kept>),
    ) -> Result<Self, SelectError> {
        let everything = Selection::everything();
        if query.is_everything() {
            let all = read(&everything);
            return Ok(Self::of(everything, all.0.span(), all));
        }
        if query.time.is_some()
            && let Some(whole) = Ends::find(trace)
        {
            let time = query.select_time(&whole)?;
            if query.is_about_time() {
                let some = read(&time);
                return Ok(Self::of(time, whole, some));
            }
            // Who is called how, and what is mapped, is known wherever one looks.
            let then = Overview::read(trace, &time);
            if let Ok(selection) = query.resolve_in(&then, &whole) {
                let some = read(&selection);
                return Ok(Self::of(selection, whole, some));
            }
        }
        let all = Overview::read(trace, &everything);
        let whole = all.span();
        // Without snapshots there is nothing to select from; the caller says so.
        if all.snapshots() == 0 {
            return Ok(Self::of(everything, whole, (all, None)));
        }
        let selection = query.resolve(&all)?;
        let some = read(&selection);
        Ok(Self::of(selection, whole, some))
    }

    /// What was read of a part of a recording that goes over `whole`.
    pub(in crate::analysis) fn of(
        selection: Selection,
        whole: Range<u64>,
        (overview, kept): (Overview, Option<Kept>),
    ) -> Self {
        let (span, origin_ns) = (overview.span(), whole.start);
        Self { selection, overview, origin_ns, whole, span, kept }
    }
}
