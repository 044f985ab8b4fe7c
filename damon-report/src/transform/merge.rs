//! Several traces as one.

mod joining;
mod order;

pub use order::{Clocks, Input};

use super::{Sink, TransformError, Written};
use crate::analysis::num::float;
use damon_format::{
    Lost, Note, PartChain, PartGap, Record, RecordingInfo, TraceWriter, WriterOptions,
};
use joining::{Begin, Joining};
use order::recordings;
use std::io::Write;

/// Writes one trace that holds all of several: the parts of a rotated recording, in which case it is what a recording
/// without rotation would have been; slices of one; and recordings that followed one another on one machine.
///
/// What is missing between the parts of a recording is recorded as [`Lost`]. Of several recordings, a process that is in more than
/// one of them (same pid, same start time) becomes one target, and notes say when nothing was recorded.
///
/// # Errors
/// When inputs overlap, were recorded by different clocks or count in different ways, and when the output fails.
pub fn merge<W: Write>(
    inputs: &[Input],
    clocks: Clocks,
    out: W,
) -> Result<(Written, W), TransformError> {
    let recordings = recordings(inputs, clocks)?;
    let Some(first) = recordings.first().and_then(|r| r.first()) else {
        return Err(TransformError::Mismatch("there is nothing to merge".to_owned()));
    };
    let info = first.trace.info();
    let mut sink = Sink::new(TraceWriter::create(out, info, WriterOptions::default())?);
    let mut joining = Joining::new(info.attrs);
    let mut remarks = Vec::new();
    let mut before: Option<&Input> = None;
    for recording in &recordings {
        let mut chain = PartChain::default();
        let mut first_of_it = true;
        for &input in recording {
            let gap = match &input.part {
                Some(part) => chain.follow(part, input.snapshots).err(),
                None => None,
            };
            let begin = match (before, first_of_it, gap) {
                (None, ..) => Begin::First,
                (_, false, None) => Begin::Continued,
                (_, false, Some(_)) => Begin::Gap,
                (Some(_), true, _) => Begin::Another,
            };
            if let Some(gap) = gap {
                let lost = lost(input, &gap);
                remarks.push(lost.what.clone());
                sink.record(&Record::Lost(lost))?;
            }
            if let (Begin::Another, Some(before)) = (begin, before) {
                let note = pause(before, input, &joining);
                remarks.push(note.text.clone());
                sink.record(&Record::Note(note))?;
            }
            sink.damage(input.trace.name(), &input.damage, input.span.start)?;
            joining.add(input, begin, &mut sink)?;
            before = Some(input);
            first_of_it = false;
        }
    }
    joining.finish(&mut sink)?;
    let (mut written, out) = sink.finish()?;
    written.remarks = remarks;
    Ok((written, out))
}

fn lost(input: &Input, gap: &PartGap) -> Lost {
    let count = match gap {
        PartGap::Missing { snapshots, .. } => *snapshots,
        _ => 0,
    };
    let time_ns = input.part.map_or(input.span.start, |part| part.time_ns);
    let what = format!("{} does not follow the part before it: {gap}", input.trace.name());
    Lost { target: None, time_ns, count, what }
}

/// What happened between two recordings.
fn pause(before: &Input, input: &Input, joining: &Joining) -> Note {
    let ns = input.span.start.saturating_sub(before.span.end);
    let why = joining.ended().map(|why| format!(" ({why})")).unwrap_or_default();
    let text = format!(
        "{} ends here{why} and {} begins; {:.3} s between them were not recorded",
        before.trace.name(),
        input.trace.name(),
        float(ns) / 1e9
    );
    Note { time_ns: input.span.start, text }
}

/// What makes counters of two recordings comparable.
fn counts_like(a: &RecordingInfo, b: &RecordingInfo) -> Result<(), String> {
    let of = |info: &RecordingInfo| {
        let backend = &info.backend;
        let how = if backend.exact { "exact" } else { "sampled" };
        format!("{} by {}, {how}", backend.access.as_str(), backend.granularity.as_str())
    };
    let (one, other) = (of(a), of(b));
    if one != other {
        return Err(format!("one has {one}, the other {other}, and a trace has one way of seeing"));
    }
    if a.page_size != b.page_size {
        return Err(format!("pages of {} and of {} bytes", a.page_size, b.page_size));
    }
    Ok(())
}
