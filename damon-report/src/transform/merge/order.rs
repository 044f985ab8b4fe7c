//! Which inputs belong together, and in which order.

use super::{TransformError, counts_like};
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::analysis::overview::Overview;
use crate::analysis::select::Selection;
use damon_format::{Damage, Part, Record, RecordingInfo, TargetKind};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Whether traces of different machines, or of one that was restarted, may be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// Only what was recorded by one clock, as far as the traces tell.
    Compared,
    /// The user knows that it was one clock.
    Trusted,
}

/// A process, told apart from those that had its pid before: pid and start time.
pub(super) type Process = (u32, u64);

/// A trace that is to be merged.
#[derive(Debug)]
pub struct Input {
    pub(super) trace: Trace,
    /// What it is a part of.
    pub(super) part: Option<Part>,
    /// Its own snapshots.
    pub(super) snapshots: u64,
    /// The time of these.
    pub(super) span: Range<u64>,
    /// What could not be read.
    pub(super) damage: Vec<Damage>,
    /// Who was recorded.
    processes: BTreeSet<Process>,
}

impl Input {
    /// Looks at a trace once.
    ///
    /// # Errors
    /// When it holds no snapshots.
    pub fn new(trace: Trace) -> Result<Self, TransformError> {
        let all = Overview::read(&trace, &Selection::everything());
        if all.snapshots() == 0 {
            return Err(TransformError::Mismatch(format!(
                "{}: the trace holds no snapshots: leave it out",
                trace.name()
            )));
        }
        let part = all.records.iter().find_map(|record| match record {
            Record::Part(part) => Some(*part),
            _ => None,
        });
        let processes = all.records.iter().filter_map(|record| match record {
            Record::TargetStarted(started) if started.kind == TargetKind::Process => {
                Some((started.pid, started.start_ticks))
            }
            _ => None,
        });
        let processes = processes.filter(|(pid, ticks)| *pid != 0 && *ticks != 0).collect();
        let (snapshots, span) = (all.snapshots(), all.span());
        Ok(Self { trace, part, snapshots, span, damage: all.damage, processes })
    }

    /// The trace.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What could not be read.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }
}

/// The recordings in the order of time, each with its parts in order.
pub(super) fn recordings(
    inputs: &[Input],
    clocks: Clocks,
) -> Result<Vec<Vec<&Input>>, TransformError> {
    let mut parts: BTreeMap<u64, Vec<&Input>> = BTreeMap::new();
    let mut recordings: Vec<Vec<&Input>> = Vec::new();
    for input in inputs {
        match &input.part {
            Some(part) => parts.entry(part.recording).or_default().push(input),
            None => recordings.push(vec![input]),
        }
    }
    recordings.extend(parts.into_values());
    for recording in &mut recordings {
        recording.sort_by_key(|input| {
            input.part.map(|part| (part.number, part.first_snapshot, part.time_ns))
        });
        for pair in recording.windows(2) {
            if let [a, b] = pair {
                fits_behind(a, b)?;
            }
        }
    }
    recordings.sort_by_key(|recording| recording.first().map(|input| input.span.start));
    for pair in recordings.windows(2) {
        let [a, b] = pair else { continue };
        let (Some(a), Some(b)) = (a.last(), b.first()) else { continue };
        let mismatch = |why: String| {
            TransformError::Mismatch(format!("{} and {}: {why}", a.trace.name(), b.trace.name()))
        };
        if clocks == Clocks::Compared {
            one_clock(a, b).map_err(mismatch)?;
        }
        counts_like(a.trace.info(), b.trace.info()).map_err(mismatch)?;
        if b.span.start < a.span.end {
            let overlap = a.span.end.min(b.span.end) - b.span.start;
            return Err(mismatch(format!(
                "both recorded {:.3} s of the same time; one trace cannot hold both: cut one of them with \
                 `damon-report slice --time`",
                float(overlap) / 1e9
            )));
        }
    }
    Ok(recordings)
}

/// Of one recording: no part twice, no slices that share a snapshot.
fn fits_behind(a: &Input, b: &Input) -> Result<(), TransformError> {
    let (Some(one), Some(two)) = (&a.part, &b.part) else { return Ok(()) };
    let own_end = one.first_snapshot.saturating_add(a.snapshots);
    if two.first_snapshot >= own_end {
        return Ok(());
    }
    Err(TransformError::Mismatch(format!(
        "{} and {} hold the same part of a recording, or parts that overlap: leave one of them out",
        a.trace.name(),
        b.trace.name()
    )))
}

/// By how much the distance of wall clock and monotonic clock may differ: the wall clock is corrected now and then.
const DRIFT_NS: u64 = 10_000_000_000;

/// Whether two recordings count time from the same start of the same machine.
fn one_clock(a: &Input, b: &Input) -> Result<(), String> {
    let (one, two) = (a.trace.info(), b.trace.info());
    let machine =
        |info: &RecordingInfo| format!("{} (Linux {}, {})", info.host, info.kernel, info.arch);
    let force = "times cannot be compared; if you know that the clock was one, say --same-clock";
    if machine(one) != machine(two) {
        return Err(format!("recorded on {} and on {}: {force}", machine(one), machine(two)));
    }
    // A process that lived in both is better evidence than the wall clock, which may have been set, and than
    // a monotonic clock, which stands still while the machine sleeps.
    if !a.processes.is_disjoint(&b.processes) {
        return Ok(());
    }
    let started =
        |info: &RecordingInfo| info.clock.realtime_ns.saturating_sub(info.clock.monotonic_ns);
    let apart = started(one).abs_diff(started(two));
    if apart > DRIFT_NS {
        return Err(format!(
            "their clocks began {:.0} s apart (the machine was started again, was asleep, or its clock was \
             set), and no process is in both: {force}",
            float(apart) / 1e9
        ));
    }
    Ok(())
}
