//! A part of a recording as a trace of its own.

use super::{Sink, TransformError, Written};
use crate::analysis::addresses::Addresses;
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::overview::Overview;
use crate::analysis::select::Selection;
use crate::analysis::walk::Event;
use damon_format::{
    Finished, Lasting, Note, Part, Record, Region, State, TraceWriter, WriterOptions,
};
use std::convert::Infallible;
use std::io::Write;
use std::ops::Range;

/// Writes the selected part of a trace, of which `all` is the overview of everything.
///
/// A snapshot belongs to the part in which it begins, so that parts that follow one another have each snapshot once. What
/// still holds of all that was recorded before is repeated at the start, as the parts of a rotated recording do, and
/// [`merge`](super::merge()) makes one trace of such parts again.
///
/// # Errors
/// When nothing is selected, and when the output fails.
pub fn slice<W: Write>(
    trace: &Trace,
    all: &Overview,
    selection: &Selection,
    out: W,
) -> Result<(Written, W), TransformError> {
    let span = all.span();
    let cut = Cut::new(selection, &span);
    let before = Before::read(trace, &cut);
    if before.is_crowded {
        return Err(TransformError::Mismatch(format!(
            "{}: what was told before the part takes more memory than in any recording of this size",
            trace.name()
        )));
    }
    let mut info = trace.info().clone();
    info.attrs = before.state.attrs().unwrap_or(info.attrs);
    let mut sink = Sink::new(TraceWriter::create(out, &info, WriterOptions::default())?);
    let recording = before.part.map_or(info.clock.realtime_ns, |part| part.recording);
    let begin_ns = cut.time.start.max(span.start);
    let mut repeated: Vec<Record> = before.state.records().collect();
    repeated.retain(|record| record.target().is_none_or(|t| cut.selection.has_target(t)));
    let text = description(trace.name(), recording, &cut, &span);
    repeated.push(Record::Note(Note { time_ns: begin_ns, text }));
    sink.record(&Record::Part(Part {
        time_ns: begin_ns,
        recording,
        number: before.part.map_or(1, |part| part.number),
        first_snapshot: before
            .part
            .map_or(0, |part| part.first_snapshot)
            .saturating_add(before.snapshots),
        repeated: u32::try_from(repeated.len()).unwrap_or(u32::MAX),
    }))?;
    for record in &repeated {
        sink.record(record)?;
    }
    // In a frame of their own: nothing may come between.
    sink.writer.flush()?;
    sink.damage(trace.name(), &all.damage, begin_ns)?;

    let mut finished = false;
    let mut newest_ns = begin_ns;
    let mut repetitions = Repetitions::default();
    trace.walk_all_records(&cut.snapshots(), |event| match event {
        Event::Snapshot(snapshot) if cut.begins_in(snapshot.start_ns) => {
            newest_ns = newest_ns.max(snapshot.end_ns);
            sink.snapshot(&snapshot.to_snapshot())
        }
        Event::Snapshot(_) => Ok(()),
        Event::Record(record) => {
            if repetitions.is_one(&record) || !cut.has(&record) {
                return Ok(());
            }
            finished |= matches!(record, Record::Finished(_));
            sink.record(&cut.record(record))
        }
    })?;
    if sink.written.snapshots == 0 {
        return Err(TransformError::Unsuitable(
            "no snapshot begins in the selected part of the recording".to_owned(),
        ));
    }
    if !finished && cut.time.end != u64::MAX {
        sink.record(&Record::Finished(Finished {
            time_ns: newest_ns,
            reason: "cut here by damon-report slice; the recording goes on".to_owned(),
            recorder_cpu_us: 0,
        }))?;
    }
    Ok(sink.finish()?)
}

/// What is wanted.
struct Cut<'a> {
    selection: &'a Selection,
    /// From which moment on, and up to which.
    time: Range<u64>,
}

impl<'a> Cut<'a> {
    /// The start of the recording includes what was recorded before its first snapshot, and its end what comes after
    /// the last.
    fn new(selection: &'a Selection, span: &Range<u64>) -> Self {
        let start = if selection.time.start <= span.start { 0 } else { selection.time.start };
        let end = if selection.time.end >= span.end { u64::MAX } else { selection.time.end };
        Self { selection, time: start..end }
    }

    /// Snapshots that may be wanted.
    fn snapshots(&self) -> Selection {
        Selection { time: self.time.clone(), ..self.selection.clone() }
    }

    fn begins_in(&self, start_ns: u64) -> bool {
        self.time.contains(&start_ns) || start_ns == u64::MAX && self.time.end == u64::MAX
    }

    fn has(&self, record: &Record) -> bool {
        self.begins_in(record.time_ns())
            && record.target().is_none_or(|target| self.selection.has_target(target))
    }

    /// Regions inside a record are cut like others.
    fn record(&self, mut record: Record) -> Record {
        if let Record::SchemeApplied(applied) = &mut record {
            let (addresses, target) = (&self.selection.address, applied.target);
            let parts = applied.regions.iter().flat_map(|region| {
                let pieces = addresses.pieces(target, region.start, region.end);
                pieces.map(|part| Region { start: part.start, end: part.end, ..*region })
            });
            applied.regions = parts.collect();
        }
        record
    }
}

/// Counts the records at the start of a part that repeat what earlier parts have said.
#[derive(Debug, Default)]
pub(super) struct Repetitions {
    left: u32,
}

impl Repetitions {
    /// Whether this record says nothing of its own: the one that begins a part, or a repetition.
    pub(super) fn is_one(&mut self, record: &Record) -> bool {
        if let Record::Part(part) = record {
            self.left = part.repeated;
            return true;
        }
        let is_one = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_one
    }
}

/// What there is before the part.
struct Before {
    state: State,
    /// Selected snapshots.
    snapshots: u64,
    /// What the trace itself is a part of.
    part: Option<Part>,
    /// There is more to know than can be held.
    is_crowded: bool,
}

impl Before {
    fn read(trace: &Trace, cut: &Cut<'_>) -> Self {
        let (state, is_crowded) = (State::default(), false);
        let mut before = Self { state, snapshots: 0, part: None, is_crowded };
        let room = trace.room_for_records();
        let mut repetitions = Repetitions::default();
        let selection = Selection {
            time: 0..cut.time.start.max(1),
            address: Addresses::all(),
            targets: cut.selection.targets.clone(),
        };
        let Ok(()) = trace.walk_all_records::<Infallible>(&selection, |event| {
            match event {
                Event::Snapshot(snapshot) if snapshot.start_ns < cut.time.start => {
                    before.state.has_snapshot();
                    before.snapshots += 1;
                }
                Event::Snapshot(_) => {}
                Event::Record(record) => {
                    if let Record::Part(part) = &record {
                        before.part = before.part.or(Some(*part));
                    }
                    let is_before =
                        repetitions.is_one(&record) || record.time_ns() < cut.time.start;
                    let is_held = record.lasting() != Lasting::Moment;
                    let held = if is_held { record.held_bytes() as u64 } else { 0 };
                    if is_before && room.take(held).is_some() {
                        before.state.apply(&record);
                    }
                }
            }
            Ok(())
        });
        before.is_crowded = room.is_exceeded();
        before
    }
}

fn description(name: &str, recording: u64, cut: &Cut<'_>, span: &Range<u64>) -> String {
    let seconds = |ns: u64| float(ns.saturating_sub(span.start)) / 1e9;
    let begin = seconds(cut.time.start.max(span.start));
    let time = match cut.time.end {
        u64::MAX => format!("from {begin:.3} s on"),
        end => format!("from {begin:.3} s to {:.3} s", seconds(end)),
    };
    let address = match &cut.selection.address {
        all if all.is_all() => String::new(),
        some => format!(", addresses {some}"),
    };
    let target = cut.selection.targets.as_ref().map_or(String::new(), |targets| {
        let list: Vec<String> = targets.iter().map(ToString::to_string).collect();
        format!(", target {}", list.join(", "))
    });
    format!("cut out of {name} (recording {recording:016x}): {time}{address}{target}")
}
