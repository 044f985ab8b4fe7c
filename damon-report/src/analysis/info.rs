//! What was recorded, how, and how complete.

use super::kernel::KernelInfo;
use super::load::Trace;
use super::num::float;
use super::overview::{Overview, TargetExtent};
use crate::import::Kind;
use damon_format::{
    Attrs, Completeness, Damage, Finished, IntervalsChanged, Lost, Mark, Note, Part, Record,
    RecordingInfo, Sampling, TargetExecuted, TargetId, TargetKind,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything worth knowing about a recording but its measurements.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Info {
    /// Size of the trace, bytes.
    pub bytes: u64,
    /// The kind of recording that was imported into memory; absent for a trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported_from: Option<Kind>,
    /// Bytes per region row, all framing included; absent without rows.
    pub bytes_per_row: Option<f64>,
    /// Whether the trace ends as it should.
    pub completeness: Completeness,
    /// What cannot be read.
    pub damage: Vec<Damage>,
    /// Which part of a recording it is, when that fills several files.
    pub part: Option<Part>,
    /// The recording's own description.
    pub recording: RecordingInfo,
    /// Begin of the first snapshot, wall clock, nanoseconds since the epoch; absent without snapshots, and where the
    /// recording does not relate its clock to the wall clock.
    pub began_realtime_ns: Option<u64>,
    /// Begin of the first snapshot, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// End of the last snapshot.
    pub end_ns: u64,
    /// Number of snapshots.
    pub snapshots: u64,
    /// Number of region rows.
    pub rows: u64,
    /// Whether ages were observed.
    pub has_ages: bool,
    /// What was monitored.
    pub targets: Vec<TargetInfo>,
    /// The attributes and all their changes.
    pub attributes: Vec<AttributesSince>,
    /// All scales that the snapshots' counters have.
    pub samplings: Vec<Sampling>,
    /// Length of the aggregations; absent without snapshots.
    pub aggregation: Option<Aggregation>,
    /// What is missing, by the recorder's own account.
    pub lost: Vec<Lost>,
    /// Moments named by the user.
    pub marks: Vec<Mark>,
    /// What a reader should know.
    pub notes: Vec<Note>,
    /// How the recording ended; absent when it was interrupted.
    pub finished: Option<Finished>,
    /// Share of one CPU that the recorder used; absent when it was interrupted.
    pub recorder_cpu_share: Option<f64>,
    /// Schemes, the monitoring thread, and the machine's memory.
    pub kernel: KernelInfo,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetInfo {
    /// Its number in the trace.
    pub target: TargetId,
    /// Process or physical memory; absent when it was never announced (its record is damaged).
    pub kind: Option<TargetKind>,
    /// Process id.
    pub pid: u32,
    /// The target it was forked from.
    pub parent: Option<TargetId>,
    /// Command name at the beginning.
    pub comm: String,
    /// Executable at the beginning.
    pub exe: String,
    /// When monitoring of it began.
    pub started_ns: Option<u64>,
    /// When it was seen to be gone.
    pub exited_ns: Option<u64>,
    /// Its wait status.
    pub wait_status: Option<i32>,
    /// Programs it executed later.
    pub executed: Vec<TargetExecuted>,
    /// Number of snapshots.
    pub snapshots: u64,
    /// Number of region rows.
    pub rows: u64,
    /// Fewest and most regions of a snapshot; absent without snapshots.
    pub regions: Option<(usize, usize)>,
    /// Bytes that were monitored at some time.
    pub monitored: u64,
}

/// Attributes from some moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttributesSince {
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time_ns: u64,
    /// The attributes.
    pub attrs: Attrs,
    /// Why they changed; empty for the first ones.
    pub reason: String,
}

/// Real against nominal length of the aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Aggregation {
    /// Mean of the nominal intervals, nanoseconds.
    pub nominal_mean_ns: f64,
    /// Mean of the real lengths.
    pub real_mean_ns: f64,
    /// Shortest real length.
    pub shortest_ns: u64,
    /// Longest real length.
    pub longest_ns: u64,
    /// Part of each target's time, from its first to its last snapshot, that snapshots cover.
    pub coverage: f64,
}

impl Info {
    /// Collects what a trace and its overview know.
    pub fn new(trace: &Trace, overview: &Overview) -> Self {
        let recording = trace.info().clone();
        let span = overview.span();
        let rows = overview.rows();
        let snapshots = overview.snapshots();
        let mut info = Self {
            bytes: trace.bytes(),
            imported_from: trace.imported_from(),
            bytes_per_row: (rows > 0).then(|| float(trace.bytes()) / float(rows)),
            completeness: completeness(trace, overview),
            damage: overview.damage.clone(),
            began_realtime_ns: realtime(&recording, span.start).filter(|_| snapshots > 0),
            start_ns: span.start,
            end_ns: span.end,
            snapshots,
            rows,
            has_ages: overview.has_ages,
            targets: targets(overview),
            attributes: vec![AttributesSince {
                time_ns: recording.clock.monotonic_ns,
                attrs: recording.attrs,
                reason: String::new(),
            }],
            samplings: overview.samplings.clone(),
            aggregation: aggregation(&overview.targets),
            part: None,
            lost: Vec::new(),
            marks: Vec::new(),
            notes: Vec::new(),
            finished: None,
            recorder_cpu_share: None,
            kernel: KernelInfo::new(&overview.records),
            recording,
        };
        for record in &overview.records {
            match record {
                Record::IntervalsChanged(IntervalsChanged { time_ns, attrs, reason }) => {
                    info.attributes.push(AttributesSince {
                        time_ns: *time_ns,
                        attrs: *attrs,
                        reason: reason.clone(),
                    });
                }
                Record::Lost(lost) => info.lost.push(lost.clone()),
                Record::Mark(mark) => info.marks.push(mark.clone()),
                Record::Note(note) => info.notes.push(note.clone()),
                Record::Part(part) => info.part = Some(*part),
                Record::Finished(finished) => info.finished = Some(finished.clone()),
                _ => {}
            }
        }
        let began = info.recording.clock.monotonic_ns;
        info.recorder_cpu_share = info.finished.as_ref().and_then(|finished| {
            let wall = finished.time_ns.checked_sub(began).filter(|ns| *ns > 0)?;
            Some(float(finished.recorder_cpu_us) * 1000.0 / float(wall))
        });
        info
    }

    /// Snapshots or events that the recorder knows to have lost.
    pub fn lost_count(&self) -> u64 {
        self.lost.iter().fold(0, |sum, lost| sum.saturating_add(lost.count))
    }
}

/// Damage that only reading all blocks reveals counts too.
fn completeness(trace: &Trace, overview: &Overview) -> Completeness {
    if overview.damage.len() > trace.damage().len() {
        return Completeness::Damaged;
    }
    trace.completeness()
}

/// Wall-clock time of a monotonic one; `None` where the recording does not know the wall clock (an anchor of 0) or
/// the time lies before 1970.
pub fn realtime(recording: &RecordingInfo, time_ns: u64) -> Option<u64> {
    let clock = recording.clock;
    let offset = i128::from(time_ns) - i128::from(clock.monotonic_ns);
    let known = Some(clock.realtime_ns).filter(|ns| *ns != 0)?;
    u64::try_from(i128::from(known) + offset).ok()
}

/// How long aggregations really were; `None` without snapshots.
pub fn aggregation(targets: &[TargetExtent]) -> Option<Aggregation> {
    let snapshots: u64 = targets.iter().map(|t| t.snapshots).sum();
    if snapshots == 0 {
        return None;
    }
    let sum =
        |value: fn(&TargetExtent) -> u64| -> f64 { targets.iter().map(|t| float(value(t))).sum() };
    let observed = sum(|t| t.observed_ns);
    let lifetime = sum(|t| t.end_ns.saturating_sub(t.start_ns));
    Some(Aggregation {
        nominal_mean_ns: sum(|t| t.nominal_ns) / float(snapshots),
        real_mean_ns: observed / float(snapshots),
        shortest_ns: targets.iter().map(|t| t.shortest_ns).min().unwrap_or(0),
        longest_ns: targets.iter().map(|t| t.longest_ns).max().unwrap_or(0),
        coverage: if lifetime > 0.0 { observed / lifetime } else { 1.0 },
    })
}

fn targets(overview: &Overview) -> Vec<TargetInfo> {
    let mut found: BTreeMap<TargetId, TargetInfo> = BTreeMap::new();
    for extent in &overview.targets {
        let target = known(&mut found, extent.target);
        target.snapshots = extent.snapshots;
        target.rows = extent.rows;
        target.regions = Some((extent.min_regions, extent.max_regions));
        target.monitored = extent.spans.bytes();
    }
    for record in &overview.records {
        match record {
            Record::TargetStarted(started) => {
                let target = known(&mut found, started.target);
                target.kind = Some(started.kind);
                target.pid = started.pid;
                target.parent = started.parent;
                target.comm.clone_from(&started.comm);
                target.exe.clone_from(&started.exe);
                target.started_ns = Some(started.time_ns);
            }
            Record::TargetExecuted(executed) => {
                let target = known(&mut found, executed.target);
                target.executed.push(executed.clone());
            }
            Record::TargetExited(exited) => {
                let target = known(&mut found, exited.target);
                target.exited_ns = Some(exited.time_ns);
                target.wait_status = exited.wait_status;
            }
            _ => {}
        }
    }
    found.into_values().collect()
}

fn known(found: &mut BTreeMap<TargetId, TargetInfo>, target: TargetId) -> &mut TargetInfo {
    found.entry(target).or_insert_with(|| TargetInfo {
        target,
        kind: None,
        pid: 0,
        parent: None,
        comm: String::new(),
        exe: String::new(),
        started_ns: None,
        exited_ns: None,
        wait_status: None,
        executed: Vec::new(),
        snapshots: 0,
        rows: 0,
        regions: None,
        monitored: 0,
    })
}

/// A wait status, as `waitpid` returns it on Linux, in words: `exit status 3`, `killed by signal 9`.
pub(crate) fn ending(wait_status: i32) -> String {
    match wait_status & 0x7f {
        0 => format!("exit status {}", wait_status >> 8 & 0xff),
        signal => format!("killed by signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_are_told_apart() {
        assert_eq!(ending(0x0300), "exit status 3");
        assert_eq!(ending(9), "killed by signal 9");
        assert_eq!(ending(0x8b), "killed by signal 11", "with its memory dumped");
    }
}
