//! Hands the pieces of a recording to its sink, and holds the first ones until what events do not tell has been guessed.

use super::assemble::Assembled;
use super::guess;
use crate::import::guess::{
    Guess, LOOKED_AT, TARGET_KIND, check_nanoseconds, intervals, target_kind,
};
use crate::import::{ImportError, ImportOptions, Position, Sink};
use damon_format::{
    AccessKind, Attrs, Backend, ClockAnchor, Granularity, IntervalsChanged, Note, Record,
    RecordingInfo, Sampling, SchemeApplied, Snapshot, TargetId, TargetKind, TargetStarted,
};

/// Regions of snapshots that are held, all targets together, 24 bytes each.
const MAX_HELD_ROWS: usize = 1 << 19;
/// Records that are held.
const MAX_HELD_RECORDS: usize = 4096;

/// What a source tells about itself.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Host name; empty if unknown.
    pub host: String,
    /// Kernel release; empty if unknown.
    pub kernel: String,
    /// Machine architecture; empty if unknown.
    pub arch: String,
    /// Page size in bytes; 0 if unknown.
    pub page_size: u32,
    /// Command line of the recorder; empty if unknown.
    pub command_line: Vec<String>,
    /// Two clocks at one moment, where the source has them.
    pub clock: Option<ClockAnchor>,
    /// Which clock its times are of; one sentence.
    pub clock_note: String,
    /// Whether its times are nanoseconds is not told: it is refused if aggregations do not last as long as they should.
    pub is_doubtful: bool,
    /// What it is, as in "imported from X".
    pub format: &'static str,
}

#[derive(Debug)]
struct Target {
    /// As the source calls it.
    raw: u64,
    kdamond: Vec<u8>,
    /// Whether its first snapshots have been told.
    is_released: bool,
    is_started: bool,
    held: Vec<Assembled>,
    last_end_ns: u64,
    /// End of the last snapshot that was told.
    told_ns: u64,
}

pub(super) struct Tell<'a> {
    pub(super) options: ImportOptions,
    pub(super) source: Source,
    sink: &'a mut dyn Sink,
    intervals: Option<Guess>,
    targets: Vec<Target>,
    held_rows: usize,
    /// What came before the description.
    records: Vec<Record>,
    /// `(time, sampling interval)` of what came before it.
    tuned: Vec<(u64, u64)>,
}

impl<'a> Tell<'a> {
    pub(super) fn new(options: &ImportOptions, sink: &'a mut dyn Sink) -> Self {
        // An interval of nothing is none.
        let sample_us = options.sample_us.filter(|us| *us > 0);
        let aggr_us = options.aggr_us.filter(|us| *us > 0);
        Self {
            options: ImportOptions { sample_us, aggr_us },
            source: Source::default(),
            sink,
            intervals: None,
            targets: Vec::new(),
            held_rows: 0,
            records: Vec::new(),
            tuned: Vec::new(),
        }
    }

    /// The next target; they are numbered in this order.
    pub(super) fn target(&mut self, _id: TargetId, raw: u64, kdamond: &[u8]) {
        self.targets.push(Target {
            raw,
            kdamond: kdamond.to_vec(),
            is_released: false,
            is_started: false,
            held: Vec::new(),
            last_end_ns: 0,
            told_ns: 0,
        });
    }

    pub(super) fn record(&mut self, record: Record) -> Result<(), ImportError> {
        if self.intervals.is_some() {
            return self.sink.record(record);
        }
        self.records.push(record);
        if self.records.len() >= MAX_HELD_RECORDS { self.begin() } else { Ok(()) }
    }

    pub(super) fn applied(&mut self, applied: SchemeApplied) -> Result<(), ImportError> {
        let top = applied.regions.iter().map(|region| region.end).max().unwrap_or(0);
        self.start(applied.target, applied.time_ns, top)?;
        self.record(Record::SchemeApplied(applied))
    }

    /// The intervals that were guessed without knowing how many samples an aggregation has.
    pub(super) fn doubtful(&self) -> Option<Sampling> {
        self.intervals.as_ref().filter(|found| found.is_bold).map(|found| found.sampling)
    }

    /// The kernel has tuned the intervals. `better`: so many samples per aggregation instead of those guessed.
    pub(super) fn tuned(
        &mut self,
        time_ns: u64,
        sample_us: u64,
        better: Option<u32>,
    ) -> Result<(), ImportError> {
        let Some(intervals) = &mut self.intervals else {
            self.tuned.push((time_ns, sample_us));
            return if self.tuned.len() >= MAX_HELD_RECORDS { self.begin() } else { Ok(()) };
        };
        intervals.is_bold = false;
        if let Some(better) = better {
            intervals.sampling.max_nr_accesses = better;
            let text = format!(
                "the kernel's tuning shows that the intervals that were taken before were wrong: from here on an aggregation \
                 is taken to have {better} samples"
            );
            self.sink.record(Record::Note(Note { time_ns, text }))?;
        }
        self.intervals_changed(time_ns, sample_us)
    }

    fn intervals_changed(&mut self, time_ns: u64, sample_us: u64) -> Result<(), ImportError> {
        let attrs = attrs(self.sampling(Some(sample_us)));
        let reason = "the kernel has tuned the intervals to its goal".to_owned();
        self.sink.record(Record::IntervalsChanged(IntervalsChanged { time_ns, attrs, reason }))
    }

    /// A complete snapshot, or the end of an aggregation that has none. Its vectors may be exchanged for others.
    pub(super) fn assembled(
        &mut self,
        assembled: &mut Assembled,
        at: Position,
    ) -> Result<(), ImportError> {
        let id = assembled.target;
        let Some(target) = usize::try_from(id.0).ok().and_then(|i| self.targets.get_mut(i)) else {
            return Ok(());
        };
        if assembled.end_ns <= target.last_end_ns {
            return Err(ImportError::Unexpected {
                position: at,
                expected: format!(
                    "snapshots of target {} in the order of time, after {} ns",
                    target.raw, target.last_end_ns
                ),
                found: format!("one that ends at {} ns", assembled.end_ns),
            });
        }
        target.last_end_ns = assembled.end_ns;
        if target.is_released && self.intervals.is_some() {
            return self.snapshot(assembled, None);
        }
        self.held_rows = self.held_rows.saturating_add(assembled.regions.len());
        target.held.push(std::mem::take(assembled));
        let is_enough = target.held.len() > LOOKED_AT;
        let is_too_much = self.held_rows > MAX_HELD_ROWS;
        if is_enough || is_too_much {
            self.begin()?;
        }
        if is_too_much {
            self.release_all()
        } else if is_enough {
            self.release(id)
        } else {
            Ok(())
        }
    }

    pub(super) fn finish(&mut self) -> Result<(), ImportError> {
        self.begin()?;
        self.release_all()
    }

    fn release_all(&mut self) -> Result<(), ImportError> {
        for id in 0..u32::try_from(self.targets.len()).unwrap_or(u32::MAX) {
            self.release(TargetId(id))?;
        }
        Ok(())
    }

    /// Tells the first snapshots of a target.
    fn release(&mut self, id: TargetId) -> Result<(), ImportError> {
        let Some(target) = usize::try_from(id.0).ok().and_then(|i| self.targets.get_mut(i)) else {
            return Ok(());
        };
        let mut held = std::mem::take(&mut target.held);
        target.is_released |= !held.is_empty();
        let mean = guess::mean_duration(&held);
        for assembled in &mut held {
            self.held_rows = self.held_rows.saturating_sub(assembled.regions.len());
            self.snapshot(assembled, mean)?;
        }
        Ok(())
    }

    /// Tells a snapshot. `mean`: duration of those that follow, and their number, for one whose start is unknown.
    fn snapshot(
        &mut self,
        assembled: &mut Assembled,
        mean: Option<(u64, u64)>,
    ) -> Result<(), ImportError> {
        if assembled.is_filler {
            return Ok(());
        }
        let (target, end_ns) = (assembled.target, assembled.end_ns);
        let sampling = self.sampling(assembled.tuned_us);
        let nominal_ns = sampling.aggr_us.saturating_mul(1_000);
        let lasted_ns = mean.map_or(nominal_ns, |(lasted_ns, _)| lasted_ns);
        let start_ns = assembled.start_ns.unwrap_or(end_ns.saturating_sub(lasted_ns));
        let top = assembled.regions.last().map_or(0, |region| region.end);
        let start_ns = self.after(target, start_ns, end_ns);
        self.start(target, start_ns, top)?;
        if assembled.start_ns.is_none() {
            let how = match mean {
                Some((_, count)) => format!("mean of the next snapshots, {count} of them"),
                None => "aggregation interval".to_owned(),
            };
            let text = format!(
                "target {target}: when its first snapshot began is not in the source; taken as {} us before its end ({how})",
                lasted_ns / 1_000
            );
            self.record(Record::Note(Note { time_ns: start_ns, text }))?;
        }
        let mut snapshot = Snapshot {
            has_ages: assembled.has_ages,
            probes: std::mem::take(&mut assembled.probes),
            ..Snapshot::new(
                target,
                start_ns,
                end_ns,
                sampling,
                std::mem::take(&mut assembled.regions),
            )
        };
        self.sink.snapshot(&snapshot)?;
        snapshot.regions.clear();
        assembled.regions = snapshot.regions;
        Ok(())
    }

    /// The start of a snapshot, not before the end of the target's last one.
    fn after(&mut self, id: TargetId, start_ns: u64, end_ns: u64) -> u64 {
        let target = usize::try_from(id.0).ok().and_then(|i| self.targets.get_mut(i));
        target
            .map_or(start_ns, |target| start_ns.max(std::mem::replace(&mut target.told_ns, end_ns)))
    }

    /// Introduces a target, once.
    fn start(&mut self, id: TargetId, time_ns: u64, top: u64) -> Result<(), ImportError> {
        let Some(target) = usize::try_from(id.0).ok().and_then(|i| self.targets.get_mut(i)) else {
            return Ok(());
        };
        if std::mem::replace(&mut target.is_started, true) {
            return Ok(());
        }
        let kind = target_kind(top);
        let raw = target.raw;
        let name = String::from_utf8_lossy(&target.kdamond);
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        let pointer = (raw > u64::from(u32::MAX)).then(|| {
            format!(
                "target {id} is called {raw} in the source, which old kernels make of a pointer"
            )
        });
        let comm = match kind {
            TargetKind::Process => format!("target {id} of {name}"),
            TargetKind::Physical => String::new(),
        };
        self.record(Record::TargetStarted(TargetStarted {
            target: id,
            time_ns,
            kind,
            pid: 0,
            start_ticks: 0,
            parent: None,
            comm,
            exe: String::new(),
        }))?;
        pointer.map_or(Ok(()), |text| self.record(Record::Note(Note { time_ns, text })))
    }

    /// The scale at this sampling interval: tuning keeps the number of samples per aggregation.
    fn sampling(&self, tuned_us: Option<u64>) -> Sampling {
        let guessed = self.intervals.as_ref().map(|found| found.sampling);
        let guessed = guessed.unwrap_or_else(|| Sampling::from_intervals(5_000, 100_000));
        let Some(sample_us) = tuned_us else { return guessed };
        let max_nr_accesses = guessed.max_nr_accesses;
        let aggr_us = sample_us.saturating_mul(u64::from(max_nr_accesses));
        Sampling { sample_us, aggr_us, max_nr_accesses }
    }

    /// Tells the description, and what waited for it. Once.
    fn begin(&mut self) -> Result<(), ImportError> {
        if self.intervals.is_some() {
            return Ok(());
        }
        let held: Vec<_> = self.targets.iter().map(|target| target.held.as_slice()).collect();
        let mut shown = guess::shown(&held);
        if self.source.is_doubtful {
            check_nanoseconds(&mut shown, &self.options).map_err(ImportError::Useless)?;
        }
        let intervals = intervals(&mut shown, &self.options);
        let ends = self.targets.iter().filter_map(|t| t.held.first().map(|first| first.end_ns));
        let records = self.records.iter().map(Record::time_ns);
        let began_ns = ends.chain(records).min().unwrap_or(0);
        let sampling = intervals.sampling;
        let guess = intervals.said.clone();
        self.intervals = Some(intervals);
        let source = std::mem::take(&mut self.source);
        let no_clock = ClockAnchor { monotonic_ns: began_ns, realtime_ns: 0 };
        self.sink.begin(RecordingInfo {
            tool: "damon-report".to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            host: source.host,
            kernel: source.kernel,
            arch: source.arch,
            page_size: if source.page_size.is_power_of_two() { source.page_size } else { 4096 },
            clock: source.clock.unwrap_or(no_clock),
            command_line: source.command_line,
            backend: Backend {
                name: "damon".to_owned(),
                access: AccessKind::ReadWrite,
                granularity: Granularity::Region,
                exact: false,
                reason: format!("imported from {}", source.format),
            },
            attrs: attrs(sampling),
        })?;
        let kinds = TARGET_KIND.to_owned();
        for text in [Some(source.clock_note), guess, Some(kinds)].into_iter().flatten() {
            self.record(Record::Note(Note { time_ns: began_ns, text }))?;
        }
        for (time_ns, sample_us) in std::mem::take(&mut self.tuned) {
            self.intervals_changed(time_ns, sample_us)?;
        }
        for record in std::mem::take(&mut self.records) {
            self.record(record)?;
        }
        Ok(())
    }
}

/// What events do not tell (the update interval, the limits of the number of regions) is 0.
fn attrs(sampling: Sampling) -> Attrs {
    let Sampling { sample_us, aggr_us, .. } = sampling;
    Attrs { sample_us, aggr_us, update_us: 0, min_nr_regions: 0, max_nr_regions: 0 }
}
