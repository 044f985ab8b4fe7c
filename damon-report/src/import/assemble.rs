//! From drafts to a recording: what is missing is guessed, what cannot be kept is counted, and both are said.

use super::draft::{Draft, PASSED_UNIT, Refused};
use super::guess::{self, Shown, TARGET_KIND, target_kind};
use super::{ImportError, ImportOptions, Sink, SourceTarget};
use damon_format::{
    AccessKind, Attrs, Backend, ClockAnchor, Granularity, Lost, Note, ProbeColumn, ProbeColumns,
    Record, RecordingInfo, Sampling, SchemeStats, Snapshot, TargetId, TargetKind, TargetStarted,
};
use std::collections::BTreeMap;

/// Regions that are held back while something is guessed; more are not waited for.
const HELD_ROWS: usize = 1 << 18;
/// Targets in a recording; a source with more is no recording.
const MOST_TARGETS: usize = 1 << 16;
/// Times from here on count from 1970, times before it from the start of a machine that has run for less than 30 years.
const EPOCH_NS: u64 = 1_000_000_000_000_000_000;

/// The intervals a source tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Intervals {
    pub(super) sample_us: u64,
    pub(super) aggr_us: u64,
    pub(super) update_us: u64,
    /// True when the kernel changed them while it recorded.
    pub(super) tuned: bool,
}

impl Intervals {
    fn sampling(self) -> Sampling {
        Sampling::from_intervals(self.sample_us, self.aggr_us)
    }
}

/// Makes a recording of the drafts of several targets.
pub(super) struct Assembler<'a> {
    sink: &'a mut dyn Sink,
    options: ImportOptions,
    /// What was read, for people: `damo's json`.
    source: &'static str,
    began: bool,
    /// What the kinds of targets rest on has been said.
    kind_said: bool,
    next_target: u32,
    next_stream: u64,
    streams: BTreeMap<u64, Stream>,
    held_rows: usize,
}

/// Which of the streams of snapshots that are being taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamId(u64);

/// One target.
#[derive(Debug, Default)]
struct Stream {
    named: SourceTarget,
    target: Option<TargetId>,
    intervals: Option<Intervals>,
    /// Known or guessed.
    sampling: Option<Sampling>,
    tuned_said: bool,
    held: Vec<Draft>,
    columns: (bool, usize),
    /// Whether the recording says so already.
    columns_told: bool,
    stats: Option<SchemeStats>,
    last_end: Option<u64>,
    refused: Refused,
    /// Sentences that wait for the recording to begin.
    notes: Vec<String>,
}

impl<'a> Assembler<'a> {
    pub(super) fn new(
        sink: &'a mut dyn Sink,
        options: &ImportOptions,
        source: &'static str,
    ) -> Self {
        Self {
            sink,
            options: *options,
            source,
            began: false,
            kind_said: false,
            next_target: 0,
            next_stream: 0,
            streams: BTreeMap::new(),
            held_rows: 0,
        }
    }

    /// Begins to take the snapshots of a target.
    pub(super) fn open(&mut self, named: SourceTarget) -> Result<StreamId, ImportError> {
        if self.streams.len() >= MOST_TARGETS || self.next_target as usize >= MOST_TARGETS {
            return Err(ImportError::Useless(format!(
                "{} with more than {MOST_TARGETS} targets: that is no recording of DAMON",
                self.source
            )));
        }
        let id = self.next_stream;
        self.next_stream = id.saturating_add(1);
        self.streams.insert(id, Stream { named, ..Stream::default() });
        Ok(StreamId(id))
    }

    /// What the source calls the target, where it says so after its first snapshots.
    pub(super) fn rename(&mut self, id: StreamId, named: SourceTarget) {
        if let Some(stream) = self.streams.get_mut(&id.0).filter(|stream| stream.named != named) {
            if stream.target.is_some() {
                stream.notes.push(format!(
                    "the input says after its snapshots that {} is {}",
                    stream.named.name(),
                    named.name()
                ));
            }
            stream.named = named;
        }
    }

    /// The intervals of a target's snapshots.
    pub(super) fn intervals(&mut self, id: StreamId, intervals: Intervals) {
        let Some(stream) = self.streams.get_mut(&id.0) else {
            return;
        };
        stream.intervals = Some(intervals);
        let told = intervals.sampling();
        if stream.target.is_none() {
            stream.sampling = Some(told).filter(|_| stream.held.is_empty());
        } else if stream.sampling != Some(told) {
            stream.notes.push(format!(
                "the input tells the intervals of {} after its snapshots, too late: sampling {} µs, \
                 aggregation {} µs; import it again with --sample and --aggr",
                stream.named.name(),
                told.sample_us,
                told.aggr_us
            ));
        }
    }

    /// Something worth knowing about a target.
    pub(super) fn note(&mut self, id: StreamId, text: String) {
        if let Some(stream) = self.streams.get_mut(&id.0) {
            stream.notes.push(text);
        }
    }

    /// Takes a snapshot and leaves the draft empty.
    #[inline]
    pub(super) fn snapshot(&mut self, id: StreamId, draft: &mut Draft) -> Result<(), ImportError> {
        let Some(stream) = self.streams.get_mut(&id.0) else {
            return Ok(());
        };
        let waits = !stream.held.is_empty()
            || stream.sampling.is_none()
            || (draft.start_ns.is_none() && stream.last_end.is_none());
        if !waits {
            self.emit(id, draft)?;
            draft.clear();
            return Ok(());
        }
        self.held_rows = self.held_rows.saturating_add(draft.regions.len());
        stream.held.push(std::mem::take(draft));
        if stream.held.len() >= guess::LOOKED_AT || self.held_rows >= HELD_ROWS {
            self.release(id)?;
        }
        Ok(())
    }

    /// No more snapshots of this target.
    pub(super) fn end(&mut self, id: StreamId) -> Result<(), ImportError> {
        self.release(id)?;
        let Some(stream) = self.streams.remove(&id.0) else {
            return Ok(());
        };
        if !self.began {
            return Ok(());
        }
        let (target, time_ns) = (stream.target, stream.last_end.unwrap_or(0));
        for (count, what) in stream.refused.sentences() {
            let what = what.to_owned();
            self.sink.record(Record::Lost(Lost { target, time_ns, count, what }))?;
        }
        for text in stream.notes {
            self.sink.record(Record::Note(Note { time_ns, text }))?;
        }
        Ok(())
    }

    /// No more of anything.
    pub(super) fn finish(mut self) -> Result<(), ImportError> {
        let all: Vec<u64> = self.streams.keys().copied().collect();
        for id in all {
            self.end(StreamId(id))?;
        }
        if self.began {
            return Ok(());
        }
        Err(ImportError::Useless(format!("{} without a snapshot", self.source)))
    }

    /// Guesses what has to be guessed, and passes on what was held back.
    fn release(&mut self, id: StreamId) -> Result<(), ImportError> {
        let Some(stream) = self.streams.get_mut(&id.0).filter(|stream| !stream.held.is_empty())
        else {
            return Ok(());
        };
        let mut held = std::mem::take(&mut stream.held);
        let rows: usize = held.iter().map(|draft| draft.regions.len()).sum();
        self.held_rows = self.held_rows.saturating_sub(rows);
        let ends: Vec<u64> = held.iter().map(|draft| draft.end_ns).collect();
        let mut start = stream.last_end;
        let mut lasts = Vec::new();
        for draft in &held {
            let begin = draft.start_ns.or(start);
            lasts.extend(begin.map(|begin| draft.end_ns.saturating_sub(begin)));
            start = Some(draft.end_ns);
        }
        if stream.sampling.is_none() {
            let counters = held.iter().flat_map(|draft| &draft.regions).map(|r| r.nr_accesses);
            let (sampling, said) = if let Some(told) = stream.intervals {
                (told.sampling(), None)
            } else {
                let mut shown = Shown {
                    durations_us: lasts.iter().map(|ns| ns / 1_000).collect(),
                    largest: counters.max().unwrap_or(0),
                    tuned: None,
                };
                let guess = guess::intervals(&mut shown, &self.options);
                (guess.sampling, guess.said)
            };
            stream.sampling = Some(sampling);
            stream.notes.extend(said);
        }
        let no_start = |first: &&mut Draft| first.start_ns.is_none() && stream.last_end.is_none();
        if let Some(first) = held.first_mut().filter(no_start) {
            first.start_ns = Some(guess::first_start(&ends, stream.sampling));
            stream.notes.push(format!(
                "the input does not tell when the first snapshot of {} begins: it is taken to last as \
                 long as those after it",
                stream.named.name()
            ));
        }
        for draft in &mut held {
            self.emit(id, draft)?;
        }
        Ok(())
    }

    fn emit(&mut self, id: StreamId, draft: &mut Draft) -> Result<(), ImportError> {
        let Some(stream) = self.streams.get_mut(&id.0) else {
            return Ok(());
        };
        let of = stream.named;
        let nominal = stream.sampling.unwrap_or_else(|| Sampling::from_intervals(5_000, 100_000));
        let start_ns = draft.start_ns.or(stream.last_end).unwrap_or(draft.end_ns);
        let end_ns = draft.end_ns;
        if end_ns < start_ns || stream.last_end.is_some_and(|last| end_ns < last) {
            stream.refused.add(&Refused { disordered: 1, ..draft.refused });
            return Ok(());
        }
        stream.last_end = Some(end_ns);
        let (passed, probes) = draft.columns();
        let columns = (passed | stream.columns.0, probes.max(stream.columns.1));
        if columns != stream.columns {
            if passed && !stream.columns.0 {
                stream.notes.push(format!(
                    "the bytes of {} that passed its scheme's filters (sz_filter_passed) are rounded: damo writes \
                     three decimals, and they are kept in units of {PASSED_UNIT}",
                    of.name()
                ));
            }
            stream.columns = columns;
            stream.columns_told = false;
        }
        let tuned = stream.intervals.is_some_and(|intervals| intervals.tuned);
        let sampling = match draft.sample_us.filter(|us| *us > 0) {
            Some(sample_us) => {
                scaled(nominal, sample_us.saturating_mul(nominal.max_nr_accesses.into()))
            }
            None if tuned => of_duration(nominal, end_ns.saturating_sub(start_ns)),
            None => nominal,
        };
        if tuned && !std::mem::replace(&mut stream.tuned_said, true) {
            stream.notes.push(format!(
                "the intervals of {} were tuned while it was recorded: each snapshot's are taken from how \
                 long it lasted",
                of.name()
            ));
        }
        if !self.began {
            let attrs = Attrs {
                sample_us: nominal.sample_us,
                aggr_us: nominal.aggr_us,
                update_us: stream.intervals.map_or(0, |intervals| intervals.update_us),
                min_nr_regions: 0,
                max_nr_regions: 0,
            };
            self.began = true;
            self.sink.begin(description(self.source, start_ns, attrs))?;
            let text = clock_note(start_ns).to_owned();
            self.sink.record(Record::Note(Note { time_ns: start_ns, text }))?;
        }
        let probes = draft.settle(columns);
        stream.refused.add(&draft.refused);
        let target = if let Some(target) = stream.target {
            target
        } else {
            let target = TargetId(self.next_target);
            self.next_target = self.next_target.saturating_add(1);
            stream.target = Some(target);
            let top = draft.regions.last().map_or(0, |region| region.end);
            let is_known = self.sink.target(&of, started(&of, target, start_ns, top))?;
            if !is_known && !std::mem::replace(&mut self.kind_said, true) {
                stream.notes.push(TARGET_KIND.to_owned());
            }
            target
        };
        for text in stream.notes.drain(..) {
            self.sink.record(Record::Note(Note { time_ns: start_ns, text }))?;
        }
        if !std::mem::replace(&mut stream.columns_told, true) && columns != (false, 0) {
            let columns = named(columns);
            self.sink.record(Record::ProbeColumns(ProbeColumns {
                time_ns: start_ns,
                target,
                columns,
            }))?;
        }
        let mut snapshot = Snapshot {
            target,
            start_ns,
            end_ns,
            sampling,
            has_ages: !draft.ageless,
            regions: std::mem::take(&mut draft.regions),
            probes,
        };
        self.sink.snapshot(&snapshot)?;
        draft.regions = std::mem::take(&mut snapshot.regions);
        // Statistics count from the scheme's installation on; they are told when they have changed.
        if let Some(stats) = draft.stats {
            let stats = SchemeStats { time_ns: end_ns, ..stats };
            if stream.stats.is_none_or(|last| SchemeStats { time_ns: end_ns, ..last } != stats) {
                stream.stats = Some(stats);
                self.sink.record(Record::SchemeStats(stats))?;
            }
        }
        Ok(())
    }
}

/// The same number of samples in another aggregation interval.
fn scaled(nominal: Sampling, aggr_us: u64) -> Sampling {
    let samples = u64::from(nominal.max_nr_accesses.max(1));
    Sampling { sample_us: (aggr_us / samples).max(1), aggr_us: aggr_us.max(1), ..nominal }
}

/// Tuned intervals, where only the length of the snapshot tells them.
fn of_duration(nominal: Sampling, duration_ns: u64) -> Sampling {
    let us = duration_ns / 1_000;
    if us == 0 || guess::near(us, nominal.aggr_us) { nominal } else { scaled(nominal, us) }
}

fn named((passed, probes): (bool, usize)) -> Vec<ProbeColumn> {
    let hits = std::iter::repeat_n((ProbeColumn::HITS, 1), probes);
    let passed = passed.then_some((ProbeColumn::PASSED, PASSED_UNIT));
    hits.chain(passed).map(|(name, unit)| ProbeColumn { name: name.to_owned(), unit }).collect()
}

fn clock_note(first_ns: u64) -> &'static str {
    if first_ns >= EPOCH_NS {
        "times are of the wall clock, as damo's snapshots have them: a clock that was set while recording \
         shows as a gap or an overlap"
    } else {
        "times are of a clock that counts from the machine's start; the input does not tell the wall clock"
    }
}

fn description(source: &str, start_ns: u64, attrs: Attrs) -> RecordingInfo {
    let realtime_ns = if start_ns >= EPOCH_NS { start_ns } else { 0 };
    RecordingInfo {
        tool: "damon-report import".to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        host: String::new(),
        kernel: String::new(),
        arch: String::new(),
        page_size: 4096,
        clock: ClockAnchor { monotonic_ns: start_ns, realtime_ns },
        command_line: Vec::new(),
        backend: Backend {
            name: "damon".to_owned(),
            access: AccessKind::ReadWrite,
            granularity: Granularity::Region,
            exact: false,
            reason: format!("the kernel's DAMON recorded it; imported from {source}"),
        },
        attrs,
    }
}

fn started(of: &SourceTarget, target: TargetId, time_ns: u64, top: u64) -> TargetStarted {
    let kind = target_kind(top);
    let comm = match kind {
        TargetKind::Physical if of.is_usual() => String::new(),
        _ => of.name(),
    };
    TargetStarted {
        target,
        time_ns,
        kind,
        pid: 0,
        start_ticks: 0,
        parent: None,
        comm,
        exe: String::new(),
    }
}
