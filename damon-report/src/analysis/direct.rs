//! Recordings that are opened and read once.
//!
//! What looks at each snapshot once gets it while a trace is decoded, or while the recording of another tool is read:
//! to make a trace of that, and to decode it for the overview and again for the analysis, takes longer than to parse it.

use super::ends::Ends;
use super::fold::Fold;
use super::kept::{Kept, Part, room};
use super::load::{LoadError, Trace, find};
use super::overview::{Overview, OverviewVisitor};
use super::select::{Query, SelectError, Selection};
use super::source::Opened;
use super::view::View;
use super::wss::{WorkingSet, WorkingSetOptions, WorkingSetSum};
use crate::import::{Encoder, ImportError, Input, Kind, Reading, Sink, in_memory};
use damon_format::{Record, RecordingInfo, Snapshot, SnapshotView, Visitor};
use std::path::Path;

impl View {
    /// Opens a path and applies a query, for whoever asks for nothing but the working set; the trace is good for its
    /// description alone.
    ///
    /// # Errors
    /// What is there is no recording, or has not what the query asks for.
    pub fn open_for_working_set<E: From<LoadError> + From<SelectError>>(
        path: &Path,
        query: &Query,
        threshold: u32,
        reading: &Reading,
    ) -> Result<(Trace, Self, WorkingSet), E> {
        let options =
            |info: &RecordingInfo| WorkingSetOptions::for_backend(&info.backend, threshold);
        let everything = Selection::everything();
        let make = |info: &RecordingInfo| WorkingSetSum::new(&everything, options(info));
        let (name, opened) = find(path, reading)?;
        let opened = match opened {
            Opened::Foreign(kind, input) if query.is_everything() => {
                let take = |info: &RecordingInfo| Folding(make(info));
                let (trace, overview, sum) = import((name, path), (kind, input), &take)?;
                // Nobody reads well what has no description; then there would have been an error.
                let sum = sum.map_or_else(|| make(trace.info()), |folding| folding.0);
                let set = sum.finish(&overview.records);
                let view = Self::of(everything.clone(), overview.span(), (overview, None));
                return Ok((trace, view, set));
            }
            opened => opened,
        };
        let trace = Trace::of((name, path), opened)?;
        if query.is_everything() {
            let new = || make(trace.info());
            let (overview, sum) = Overview::read_and_fold(&trace, &everything, new);
            let set = sum.finish(&overview.records);
            let view = Self::of(everything.clone(), overview.span(), (overview, None));
            return Ok((trace, view, set));
        }
        if query.is_about_time()
            && let Some(whole) = Ends::find(&trace)
        {
            let selection = query.select_time(&whole)?;
            let new = || WorkingSetSum::new(&selection, options(trace.info()));
            let (overview, sum) = Overview::read_and_fold(&trace, &selection, new);
            let set = sum.finish(&overview.records);
            return Ok((trace, Self::of(selection, whole, (overview, None)), set));
        }
        let view = Self::new(&trace, query)?;
        let set = view.working_set(&trace, options(trace.info()));
        Ok((trace, view, set))
    }

    /// Opens a path and applies a query, for whoever asks for heat, and for working sets without intervals. What is
    /// short is kept in memory and not decoded again; of another tool's recording the trace then holds its
    /// description alone.
    ///
    /// # Errors
    /// What is there is no recording, or has not what the query asks for.
    pub fn open_for_picture<E: From<LoadError> + From<SelectError>>(
        path: &Path,
        query: &Query,
        reading: &Reading,
    ) -> Result<(Trace, Self), E> {
        let (name, opened) = find(path, reading)?;
        let opened = match opened {
            Opened::Foreign(kind, input) if query.is_everything() => {
                let room = room();
                let keep = |_: &RecordingInfo| Keeping::Columns(Part::new(&room));
                let (trace, overview, kept) = import((name, path), (kind, input), &keep)?;
                let kept = match kept {
                    Some(Keeping::Columns(part)) => Kept::new(vec![part]),
                    Some(Keeping::Trace) | None => None,
                };
                let view = Self::of(Selection::everything(), overview.span(), (overview, kept));
                return Ok((trace, view));
            }
            opened => opened,
        };
        let trace = Trace::of((name, path), opened)?;
        let view = Self::for_picture(&trace, query)?;
        Ok((trace, view))
    }
}

/// Reads another tool's recording. The trace has its records, and the snapshots that `T` puts there.
fn import<T: Take>(
    place: (String, &Path),
    input: (Kind, Input),
    make: &dyn Fn(&RecordingInfo) -> T,
) -> Result<(Trace, Overview, Option<T>), LoadError> {
    let everything = Selection::everything();
    let sink = Direct {
        trace: Encoder::new(Vec::new(), in_memory()),
        overview: OverviewVisitor::of_snapshots(&everything),
        make,
        take: None,
        columns: Columns::default(),
    };
    let (trace, sink) = Trace::import(place, input, sink, |sink| &mut sink.trace)?;
    let overview = Overview::of_records(&trace, sink.overview);
    Ok((trace, overview, sink.take))
}

/// What becomes of snapshots.
trait Take {
    /// Takes the next one, told in both ways, or puts it into a trace.
    fn take(
        &mut self,
        view: &SnapshotView<'_>,
        snapshot: &Snapshot,
        trace: &mut Encoder<Vec<u8>>,
    ) -> Result<(), ImportError>;
}

/// An analysis gets them.
struct Folding<F>(F);

impl<F: Fold> Take for Folding<F> {
    fn take(
        &mut self,
        view: &SnapshotView<'_>,
        _snapshot: &Snapshot,
        _trace: &mut Encoder<Vec<u8>>,
    ) -> Result<(), ImportError> {
        self.0.snapshot(view);
        Ok(())
    }
}

/// They are kept as long as they are few; then all of them are put into the trace, those of before without what
/// heat does not need.
enum Keeping {
    Columns(Part),
    Trace,
}

impl Take for Keeping {
    fn take(
        &mut self,
        view: &SnapshotView<'_>,
        snapshot: &Snapshot,
        trace: &mut Encoder<Vec<u8>>,
    ) -> Result<(), ImportError> {
        if let Self::Columns(part) = self {
            if part.try_add(view).is_some() {
                return Ok(());
            }
            part.each(|before| trace.snapshot(&before.to_snapshot()))?;
            *self = Self::Trace;
        }
        trace.snapshot(snapshot)
    }
}

/// Passes on what an importer tells.
struct Direct<'a, T> {
    trace: Encoder<Vec<u8>>,
    overview: OverviewVisitor<'a>,
    make: &'a dyn Fn(&RecordingInfo) -> T,
    take: Option<T>,
    columns: Columns,
}

impl<T: Take> Sink for Direct<'_, T> {
    fn begin(&mut self, info: RecordingInfo) -> Result<(), ImportError> {
        self.take = Some((self.make)(&info));
        self.trace.begin(info)
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), ImportError> {
        let view = self.columns.of(snapshot);
        self.overview.snapshot(&view);
        match &mut self.take {
            Some(take) => take.take(&view, snapshot, &mut self.trace),
            None => self.trace.snapshot(snapshot),
        }
    }

    fn record(&mut self, record: Record) -> Result<(), ImportError> {
        self.trace.record(record)
    }
}

/// The regions of a snapshot, one vector per field.
#[derive(Default)]
struct Columns {
    starts: Vec<u64>,
    ends: Vec<u64>,
    nr_accesses: Vec<u32>,
    ages: Vec<u32>,
}

impl Columns {
    fn of<'a>(&'a mut self, snapshot: &'a Snapshot) -> SnapshotView<'a> {
        let Self { starts, ends, nr_accesses, ages } = self;
        let regions = snapshot.regions.iter();
        starts.clear();
        starts.extend(regions.clone().map(|region| region.start));
        ends.clear();
        ends.extend(regions.clone().map(|region| region.end));
        nr_accesses.clear();
        nr_accesses.extend(regions.clone().map(|region| region.nr_accesses));
        ages.clear();
        ages.extend(regions.map(|region| region.age));
        SnapshotView {
            target: snapshot.target,
            start_ns: snapshot.start_ns,
            end_ns: snapshot.end_ns,
            sampling: snapshot.sampling,
            starts,
            ends,
            nr_accesses,
            ages: snapshot.has_ages.then_some(ages.as_slice()),
            probes: &snapshot.probes,
        }
    }
}
