//! Takes events in the order of time and tells snapshots and records of them.

use super::assemble::{Assembled, Kdamond, Row};
use super::event::Event;
use super::guess::samples_after_tuning;
use super::tell::{Source, Tell};
use crate::import::guess::LOOKED_AT;
use crate::import::{ImportError, ImportOptions, Position, Sink};
use damon_format::layout::MAX_REGIONS;
use damon_format::{EffectiveQuota, Lost, Note, Record, SchemeApplied, TargetId};

/// Kdamonds whose events are put together at the same time; one that has been silent for long makes room.
const MAX_KDAMONDS: usize = 64;
/// More targets than anybody has, so that a hostile input does not fill the memory.
const MAX_TARGETS: usize = 4096;
/// Regions in one [`SchemeApplied`]; more become several.
const MAX_APPLIED: usize = 1 << 16;
/// Regions that schemes were applied to within so much time may be told as one.
const APPLIED_TOGETHER_NS: u64 = 20_000_000;

/// Makes a recording of events.
///
/// A snapshot with fewer regions than its events announce is left out and told as [`Lost`]: kept, it would show memory as
/// not monitored that was. Those before and after it lose nothing.
pub struct Telling<'a> {
    tell: Tell<'a>,
    kdamonds: Vec<Kdamond>,
    /// The kdamond of the last event.
    last: usize,
    closed: Assembled,
    applied: Vec<SchemeApplied>,
    targets: usize,
    incomplete: u64,
    complete: u64,
    time_ns: u64,
}

impl std::fmt::Debug for Telling<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telling").field("time_ns", &self.time_ns).finish_non_exhaustive()
    }
}

impl<'a> Telling<'a> {
    /// Tells `sink`.
    pub fn new(options: &ImportOptions, sink: &'a mut dyn Sink) -> Self {
        Self {
            tell: Tell::new(options, sink),
            kdamonds: Vec::new(),
            last: 0,
            closed: Assembled::default(),
            applied: Vec::new(),
            targets: 0,
            incomplete: 0,
            complete: 0,
            time_ns: 0,
        }
    }

    /// What is known of the source; may be completed until the first event.
    pub fn source(&mut self) -> &mut Source {
        &mut self.tell.source
    }

    /// Takes the next event, told at `time_ns` by the kdamond of this name. `at` is its place, for errors.
    ///
    /// # Errors
    /// [`ImportError::Unexpected`] where the times of a target go back, [`ImportError::Useless`] for too many targets,
    /// and whatever the sink returns.
    #[inline]
    pub fn event(
        &mut self,
        time_ns: u64,
        kdamond: &[u8],
        event: &Event,
        at: Position,
    ) -> Result<(), ImportError> {
        self.time_ns = self.time_ns.max(time_ns);
        let known = self.kdamonds.get_mut(self.last).filter(|known| known.name == kdamond);
        if let Event::Region { target, nr_regions, region, has_age, hits } = *event {
            let row = Row { time_ns, target, nr_regions, region, has_age, hits };
            if known.is_some_and(|known| known.goes_on(&row)) {
                return Ok(());
            }
            self.find(kdamond, at)?;
            return self.region(&row, false, at);
        }
        self.find(kdamond, at)?;
        self.rare(time_ns, event, at)
    }

    fn rare(&mut self, time_ns: u64, event: &Event, at: Position) -> Result<(), ImportError> {
        match *event {
            Event::Region { .. } => Ok(()),
            Event::Filler { target } => {
                let region = damon_format::Region { start: 0, end: 0, nr_accesses: 0, age: 0 };
                let (has_age, hits) = (true, super::Hits::default());
                let row = Row { time_ns, target, nr_regions: 1, region, has_age, hits };
                self.region(&row, true, at)
            }
            Event::Apply { scheme, target, region } => {
                if region.start >= region.end {
                    return Ok(());
                }
                let target = self.target(target)?;
                self.apply(time_ns, scheme, target, region)
            }
            Event::Tuned { sample_us } => self.tuned(time_ns, sample_us.max(1), at),
            Event::Quota { scheme, bytes } => {
                let quota = EffectiveQuota { time_ns, scheme, bytes };
                self.tell.record(Record::EffectiveQuota(quota))
            }
            Event::Stats { scheme, stats } => {
                self.tell.record(Record::SchemeStats(stats.record(time_ns, scheme)))
            }
        }
    }

    /// The source has lost so many events about here; 0 if it does not tell how many.
    pub fn lost(
        &mut self,
        time_ns: Option<u64>,
        count: u64,
        what: &str,
    ) -> Result<(), ImportError> {
        self.kdamonds.iter_mut().for_each(Kdamond::lost);
        let time_ns = time_ns.unwrap_or(self.time_ns);
        let how_many = if count == 0 { "; how many is not known" } else { "" };
        let (target, count, what) = (None, count.max(1), format!("{what}{how_many}"));
        self.tell.record(Record::Lost(Lost { target, time_ns, count, what }))
    }

    /// Something a reader of the results should know.
    pub fn note(&mut self, text: String) -> Result<(), ImportError> {
        let time_ns = self.time_ns;
        self.tell.record(Record::Note(Note { time_ns, text }))
    }

    /// The input has ended.
    ///
    /// # Errors
    /// [`ImportError::Useless`] if there was nothing of DAMON, and whatever the sink returns.
    pub fn finish(mut self, at: Position) -> Result<(), ImportError> {
        for index in 0..self.kdamonds.len() {
            self.last = index;
            self.close(at)?;
        }
        for applied in std::mem::take(&mut self.applied) {
            self.complete += 1;
            self.tell.applied(applied)?;
        }
        if self.complete == 0 {
            return Err(ImportError::Useless(match self.incomplete {
                0 => "it holds no region that DAMON has told (event damon_aggregated)".to_owned(),
                n => format!(
                    "none of its {n} snapshots has all the regions that its events announce; were events filtered when it \
                     was recorded?"
                ),
            }));
        }
        let pauses: u64 = self.kdamonds.iter().map(|kdamond| kdamond.pauses).sum();
        if pauses > 0 {
            self.note(format!(
                "DAMON or the recording paused: snapshots that came later than four aggregations after the one before: {pauses}"
            ))?;
        }
        self.tell.finish()
    }

    /// Makes the kdamond of this name the last one.
    fn find(&mut self, name: &[u8], at: Position) -> Result<(), ImportError> {
        if self.kdamonds.get(self.last).is_some_and(|known| known.name == name) {
            return Ok(());
        }
        if let Some(index) = self.kdamonds.iter().position(|known| known.name == name) {
            self.last = index;
            return Ok(());
        }
        let new = Kdamond::new(name, self.tell.options.aggr_us);
        if self.kdamonds.len() < MAX_KDAMONDS {
            self.last = self.kdamonds.len();
            self.kdamonds.push(new);
            return Ok(());
        }
        let oldest = self.kdamonds.iter().enumerate().min_by_key(|(_, known)| known.last_ns);
        self.last = oldest.map_or(0, |(index, _)| index);
        self.close(at)?;
        if let Some(slot) = self.kdamonds.get_mut(self.last) {
            *slot = new;
        }
        Ok(())
    }

    /// The number of a target of the last kdamond, given where it has none.
    fn target(&mut self, raw: u64) -> Result<TargetId, ImportError> {
        let Some(kdamond) = self.kdamonds.get_mut(self.last) else { return Ok(TargetId(0)) };
        if let Some(id) = kdamond.id(raw) {
            return Ok(id);
        }
        if self.targets >= MAX_TARGETS {
            return Err(ImportError::Useless(format!("it has more than {MAX_TARGETS} targets")));
        }
        let id = TargetId(u32::try_from(self.targets).unwrap_or(u32::MAX));
        self.targets += 1;
        kdamond.add(raw, id);
        self.tell.target(id, raw, &kdamond.name);
        Ok(id)
    }

    /// A region that does not simply go on with the snapshot being filled.
    fn region(&mut self, row: &Row, is_filler: bool, at: Position) -> Result<(), ImportError> {
        // The last event was perhaps another kdamond's.
        let goes_on =
            |known: &mut Kdamond| !is_filler && (known.goes_on(row) || known.goes_on_later(row));
        if self.kdamonds.get_mut(self.last).is_some_and(goes_on) {
            return Ok(());
        }
        let no_region = row.region.start >= row.region.end && !is_filler;
        if no_region || row.nr_regions == 0 || row.nr_regions as usize > MAX_REGIONS {
            let (expected, found) = (
                "a region that is not empty, and a sensible number of regions".to_owned(),
                format!("{}-{} of {}", row.region.start, row.region.end, row.nr_regions),
            );
            return Err(ImportError::Unexpected { position: at, expected, found });
        }
        let repeated = |known: &mut Kdamond| !is_filler && known.is_repeated(row);
        if self.kdamonds.get_mut(self.last).is_some_and(repeated) {
            return Ok(());
        }
        self.close(at)?;
        self.target(row.target)?;
        if let Some(kdamond) = self.kdamonds.get_mut(self.last) {
            if is_filler { kdamond.begin_filler(row) } else { kdamond.begin(row) }
        }
        Ok(())
    }

    /// Tells what the last kdamond has been filling.
    fn close(&mut self, at: Position) -> Result<(), ImportError> {
        let Some(kdamond) = self.kdamonds.get_mut(self.last) else { return Ok(()) };
        if !kdamond.close(&mut self.closed) {
            return Ok(());
        }
        let (target, time_ns) = (self.closed.target, self.closed.end_ns);
        for applied in self.applied.extract_if(.., |applied| applied.target == target) {
            self.tell.applied(applied)?;
        }
        let missing = self.closed.missing();
        if missing == 0 {
            self.complete += 1;
            return self.tell.assembled(&mut self.closed, at);
        }
        self.incomplete += 1;
        let (target, count, here) = (Some(target), 1, self.closed.regions.len());
        let what = format!(
            "a snapshot is left out, because {missing} of its regions are not in the source and only {here} are"
        );
        self.tell.record(Record::Lost(Lost { target, time_ns, count, what }))
    }

    fn apply(
        &mut self,
        time_ns: u64,
        scheme: u32,
        target: TargetId,
        region: damon_format::Region,
    ) -> Result<(), ImportError> {
        let mine =
            |applied: &&mut SchemeApplied| (applied.scheme, applied.target) == (scheme, target);
        if let Some(applied) = self.applied.iter_mut().find(mine) {
            let together = time_ns.abs_diff(applied.time_ns) < APPLIED_TOGETHER_NS;
            if together && applied.regions.len() < MAX_APPLIED {
                applied.regions.push(region);
                return Ok(());
            }
            let regions = vec![region];
            let next = SchemeApplied { time_ns, scheme, target, regions };
            let full = std::mem::replace(applied, next);
            self.complete += 1;
            return self.tell.applied(full);
        }
        if self.applied.len() >= LOOKED_AT * MAX_KDAMONDS {
            for applied in std::mem::take(&mut self.applied) {
                self.tell.applied(applied)?;
            }
        }
        self.applied.push(SchemeApplied { time_ns, scheme, target, regions: vec![region] });
        Ok(())
    }

    fn tuned(&mut self, time_ns: u64, sample_us: u64, at: Position) -> Result<(), ImportError> {
        self.close(at)?;
        let Some(kdamond) = self.kdamonds.get_mut(self.last) else { return Ok(()) };
        kdamond.tune(time_ns, sample_us);
        let usual_ns = kdamond.usual_ns;
        let better =
            self.tell.doubtful().and_then(|s| samples_after_tuning(s, sample_us, usual_ns));
        self.tell.tuned(time_ns, sample_us, better)
    }
}
