//! A longer aggregation interval, as if the counters had been read less often.

use super::joint::{Group, TooManyPieces};
use super::slice::Repetitions;
use super::{Sink, TransformError, Written};
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::overview::Overview;
use crate::analysis::select::Selection;
use crate::analysis::walk::Event;
use damon_format::{
    Attrs, IntervalsChanged, Note, Record, SnapshotView, TargetId, TraceWriter, WriterOptions,
};
use std::collections::BTreeMap;
use std::io::Write;

/// Writes a trace whose aggregations are at least `aggr_us` long, by adding up those of the input.
///
/// So many snapshots become one that their nominal intervals reach the one asked for. A group ends sooner at a change of the
/// intervals, at a pause of more than half an interval, when the target is gone and at the end: nothing is dropped, and each
/// snapshot says its own interval and its own largest count.
///
/// Regions of the new snapshot are bounded by every border of the old ones, and their counts are the sums of the old
/// counts, so that Σ size · `nr_accesses` is the same before and after. Neighbours that agree in all their numbers become
/// one. Ages are told in the new unit: whole intervals of the new length that the pattern had lasted at the end.
///
/// # Errors
/// When all aggregations are as long already, when there are more borders in one interval than a snapshot may have,
/// and when the output fails.
pub fn adjust<W: Write>(
    trace: &Trace,
    all: &Overview,
    aggr_us: u64,
    out: W,
) -> Result<(Written, W), TransformError> {
    let shortest = all.samplings.iter().map(|s| s.aggr_us).min().unwrap_or(0);
    if shortest >= aggr_us {
        return Err(TransformError::Unsuitable(format!(
            "the recording aggregates over {} ms already: counts can be added up to a longer interval, and \
             not be divided",
            float(shortest) / 1000.0
        )));
    }
    let mut info = trace.info().clone();
    info.attrs = longer(info.attrs, aggr_us);
    let mut sink = Sink::new(TraceWriter::create(out, &info, WriterOptions::default())?);
    let time_ns = all.span().start;
    sink.damage(trace.name(), &all.damage, time_ns)?;
    let applied = all_applied(trace);
    sink.record(&Record::Note(Note { time_ns, text: description(aggr_us, applied) }))?;
    let mut adjust = Adjust { sink, aggr_us, groups: BTreeMap::new(), last: Vec::new() };
    let mut repetitions = Repetitions::default();
    trace.walk(&Selection::everything(), |event| match event {
        Event::Snapshot(snapshot) => adjust.snapshot(snapshot),
        Event::Record(record) => {
            // What the part repeats is needed; that it was one cannot be said of sums.
            repetitions.is_one(&record);
            adjust.record(record)
        }
    })?;
    let targets: Vec<TargetId> = adjust.groups.keys().copied().collect();
    for target in targets {
        adjust.end(target)?;
    }
    for record in std::mem::take(&mut adjust.last) {
        adjust.sink.record(&record)?;
    }
    Ok(adjust.sink.finish()?)
}

struct Adjust<W: Write> {
    sink: Sink<W>,
    aggr_us: u64,
    /// What is being added up.
    groups: BTreeMap<TargetId, Group>,
    /// What comes after all snapshots.
    last: Vec<Record>,
}

impl<W: Write> Adjust<W> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) -> Result<(), TransformError> {
        let target = snapshot.target;
        if self.groups.get(&target).is_some_and(|group| !group.is_continued_by(snapshot)) {
            self.end(target)?;
        }
        let group = self.groups.entry(target).or_insert_with(|| Group::new(snapshot));
        group.add(snapshot).map_err(|TooManyPieces| {
            TransformError::Unsuitable(
                "there are more different borders of regions in one interval than a snapshot may have \
                 regions: choose a shorter --aggr"
                    .to_owned(),
            )
        })?;
        if group.aggr_us() >= self.aggr_us { self.end(target) } else { Ok(()) }
    }

    fn end(&mut self, target: TargetId) -> Result<(), TransformError> {
        match self.groups.remove(&target) {
            Some(group) => Ok(self.sink.snapshot(&group.finish())?),
            None => Ok(()),
        }
    }

    fn record(&mut self, record: Record) -> Result<(), TransformError> {
        match record {
            Record::Part(_) | Record::SchemeApplied(_) => Ok(()),
            Record::Finished(_) => {
                self.last.push(record);
                Ok(())
            }
            Record::TargetExited(exited) => {
                self.end(exited.target)?;
                Ok(self.sink.record(&record)?)
            }
            Record::IntervalsChanged(changed) => {
                let attrs = longer(changed.attrs, self.aggr_us);
                let changed = IntervalsChanged { attrs, ..changed };
                Ok(self.sink.record(&Record::IntervalsChanged(changed))?)
            }
            record => Ok(self.sink.record(&record)?),
        }
    }
}

/// The attributes whose aggregation interval is the first multiple that is long enough.
fn longer(attrs: Attrs, aggr_us: u64) -> Attrs {
    let unit = attrs.aggr_us.max(1);
    let longer = unit.saturating_mul(aggr_us.div_ceil(unit)).max(attrs.aggr_us);
    Attrs { aggr_us: longer, update_us: attrs.update_us.max(longer), ..attrs }
}

/// Records of what schemes were applied to.
fn all_applied(trace: &Trace) -> u64 {
    let mut count = 0;
    let Ok(()) = trace.walk::<std::convert::Infallible>(&Selection::everything(), |event| {
        count += u64::from(matches!(event, Event::Record(Record::SchemeApplied(_))));
        Ok(())
    });
    count
}

fn description(aggr_us: u64, applied: u64) -> String {
    let left_out = match applied {
        0 => String::new(),
        n => format!(
            "; {n} records of what schemes were applied to, in units of the old one, are left out"
        ),
    };
    format!(
        "damon-report adjust has added up shorter aggregations until they were {aggr_us} µs or longer; ages \
         are whole intervals of the new length{left_out}"
    )
}
