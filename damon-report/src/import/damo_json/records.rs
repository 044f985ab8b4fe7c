//! The schema: records, snapshots, regions.

use super::fast;
use super::lexer::Lexer;
use crate::import::assemble::{Assembler, Intervals, StreamId};
use crate::import::draft::Draft;
use crate::import::number::Quantity;
use crate::import::{ImportError, SourceTarget};
use damon_format::SchemeStats;
use damon_format::layout::MAX_PROBES;

/// Bytes of a description that a note quotes.
const QUOTED: usize = 1000;
/// Rows in another layout after which no more of a list are expected to be in damo's.
const PATIENCE: u32 = 4;

/// Reads the whole text.
pub(super) struct Records<'a> {
    json: Lexer,
    to: Assembler<'a>,
    fast: bool,
    draft: Draft,
    record: Head,
}

/// What a record says beside its snapshots.
#[derive(Debug, Default)]
struct Head {
    named: SourceTarget,
    intervals: Option<Intervals>,
}

/// What a region says, as far as it was said.
#[derive(Debug, Default)]
struct Row {
    start: Option<u64>,
    end: Option<u64>,
    samples: Option<u64>,
    percent: Option<u64>,
    aggregations: Option<u64>,
    age_us: Option<u64>,
    passed: u64,
    hits: Vec<u64>,
}

impl<'a> Records<'a> {
    pub(super) fn new(json: Lexer, to: Assembler<'a>, fast: bool) -> Self {
        Self { json, to, fast, draft: Draft::default(), record: Head::default() }
    }

    pub(super) fn read(mut self) -> Result<(), ImportError> {
        self.json.expect(b'[', "[, the start of a list of records")?;
        let mut first = true;
        while self.json.element(&mut first)? {
            self.record()?;
        }
        if self.json.peek()?.is_some() {
            return Err(self.json.unexpected("the end of the text"));
        }
        self.to.finish()
    }

    fn record(&mut self) -> Result<(), ImportError> {
        self.json.expect(b'{', "{, the start of a record")?;
        self.record = Head::default();
        let id = self.to.open(SourceTarget::default())?;
        let mut first = true;
        while self.json.key(&mut first)? {
            match self.json.token() {
                b"kdamond_idx" => {
                    self.record.named.kdamond = self.json.number(Quantity::Count)?.unwrap_or(0);
                }
                b"context_idx" => {
                    self.record.named.context = self.json.number(Quantity::Count)?.unwrap_or(0);
                }
                b"scheme_idx" => {
                    self.record.named.scheme = self.json.number(Quantity::Count)?;
                }
                b"target_id" => {
                    self.record.named.target = self.json.number(Quantity::Count)?;
                }
                b"intervals" => {
                    if let Some(intervals) = self.intervals()? {
                        self.record.intervals = Some(intervals);
                        self.to.intervals(id, intervals);
                    }
                }
                b"scheme_filters" => {
                    let filters = self.json.keep(QUOTED)?;
                    if !matches!(filters.as_str(), "[]" | "null") {
                        self.to.note(
                            id,
                            format!("the scheme that found these regions has filters: {filters}"),
                        );
                    }
                }
                b"data_source" => {
                    let source = self.json.word_or_nothing()?;
                    if let Some(source) = source.filter(|source| source != "unknown") {
                        self.to.note(id, format!("damo names as the source of the data: {source}"));
                    }
                }
                b"snapshots" => {
                    self.to.rename(id, self.record.named);
                    self.snapshots(id)?;
                }
                _ => self.json.skip()?,
            }
        }
        self.to.rename(id, self.record.named);
        self.to.end(id)
    }

    fn intervals(&mut self) -> Result<Option<Intervals>, ImportError> {
        if self.json.null()? {
            return Ok(None);
        }
        self.json.expect(b'{', "{, the start of intervals, or null")?;
        let (mut sample, mut aggr, mut update, mut tuned) = (None, None, None, false);
        let mut first = true;
        while self.json.key(&mut first)? {
            match self.json.token() {
                b"sample_us" => sample = self.json.number(Quantity::Microseconds)?,
                b"aggr_us" => aggr = self.json.number(Quantity::Microseconds)?,
                b"ops_update_us" => update = self.json.number(Quantity::Microseconds)?,
                b"intervals_goal" => tuned = self.goal()?,
                _ => self.json.skip()?,
            }
        }
        let positive = |us: Option<u64>| us.filter(|us| *us > 0);
        Ok(positive(sample).zip(positive(aggr)).map(|(sample_us, aggr_us)| Intervals {
            sample_us,
            aggr_us,
            update_us: update.unwrap_or(0),
            tuned,
        }))
    }

    /// Whether the kernel tunes the intervals.
    fn goal(&mut self) -> Result<bool, ImportError> {
        if self.json.null()? {
            return Ok(false);
        }
        self.json.expect(b'{', "{, the start of a goal, or null")?;
        let (mut tuned, mut first) = (false, true);
        while self.json.key(&mut first)? {
            match self.json.token() {
                b"aggrs" => tuned = self.json.number(Quantity::Count)?.unwrap_or(0) > 0,
                _ => self.json.skip()?,
            }
        }
        Ok(tuned)
    }

    fn snapshots(&mut self, id: StreamId) -> Result<(), ImportError> {
        self.json.expect(b'[', "[, the start of a list of snapshots")?;
        let mut first = true;
        while self.json.element(&mut first)? {
            self.draft.clear();
            self.snapshot()?;
            self.to.snapshot(id, &mut self.draft)?;
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<(), ImportError> {
        self.json.expect(b'{', "{, the start of a snapshot")?;
        let (mut first, mut end_ns) = (true, None);
        while self.json.key(&mut first)? {
            match self.json.token() {
                b"start_time" => self.draft.start_ns = self.json.number(Quantity::Nanoseconds)?,
                b"end_time" => end_ns = self.json.number(Quantity::Nanoseconds)?,
                b"regions" => self.regions()?,
                b"damos_stats" => self.stats()?,
                b"sample_interval_us" => {
                    self.draft.sample_us = self.json.number(Quantity::Microseconds)?;
                }
                _ => self.json.skip()?,
            }
        }
        match end_ns {
            Some(end_ns) => self.draft.end_ns = end_ns,
            None => return Err(self.json.unexpected("end_time in the snapshot before this place")),
        }
        Ok(())
    }

    fn regions(&mut self) -> Result<(), ImportError> {
        self.json.expect(b'[', "[, the start of a list of regions")?;
        let (mut first, mut misses) = (true, 0);
        loop {
            if self.fast && misses < PATIENCE {
                if fast::rows(&mut self.json.text, &mut first, &mut self.draft)? {
                    return Ok(());
                }
                misses = misses.saturating_add(1);
            }
            if !self.json.element(&mut first)? {
                return Ok(());
            }
            self.region()?;
        }
    }

    fn region(&mut self) -> Result<(), ImportError> {
        self.json.expect(b'{', "{, the start of a region")?;
        let mut row = Row::default();
        let mut first = true;
        while self.json.key(&mut first)? {
            match self.json.token() {
                b"start" => row.start = self.json.number(Quantity::Size)?,
                b"end" => row.end = self.json.number(Quantity::Size)?,
                b"nr_accesses" => {
                    let (samples, percent) =
                        self.pair(b"samples", (b"percent", Quantity::Count))?;
                    (row.samples, row.percent) = (samples, percent);
                }
                b"age" => {
                    let age = self.pair(b"aggr_intervals", (b"usec", Quantity::Microseconds))?;
                    (row.aggregations, row.age_us) = age;
                }
                b"probe_hits" => self.probe_hits(&mut row.hits)?,
                b"sz_filter_passed" => {
                    row.passed = self.json.number(Quantity::Size)?.unwrap_or(0);
                }
                _ => self.json.skip()?,
            }
        }
        self.add(&row)
    }

    /// A counter that may be told in two units, or be a bare number of the first.
    fn pair(
        &mut self,
        plain: &[u8],
        other: (&[u8], Quantity),
    ) -> Result<(Option<u64>, Option<u64>), ImportError> {
        if !self.json.take(b'{')? {
            return Ok((self.json.number(Quantity::Count)?, None));
        }
        let (mut found, mut first) = ((None, None), true);
        while self.json.key(&mut first)? {
            match self.json.token() {
                key if key == plain => found.0 = self.json.number(Quantity::Count)?,
                key if key == other.0 => found.1 = self.json.loose_number(other.1)?,
                _ => self.json.skip()?,
            }
        }
        Ok(found)
    }

    fn probe_hits(&mut self, hits: &mut Vec<u64>) -> Result<(), ImportError> {
        if self.json.null()? {
            return Ok(());
        }
        self.json.expect(b'[', "[, the start of a list of hits, or null")?;
        let mut first = true;
        while self.json.element(&mut first)? {
            let one = self.json.number(Quantity::Count)?.unwrap_or(0);
            // One column is for what passed filters.
            if hits.len() < MAX_PROBES.saturating_sub(1) {
                hits.push(one);
            }
        }
        Ok(())
    }

    fn add(&mut self, row: &Row) -> Result<(), ImportError> {
        let Some((start, end)) = row.start.zip(row.end) else {
            return Err(self.json.unexpected("start and end in the region before this place"));
        };
        let intervals = self.record.intervals;
        // Per cent are cut to whole ones; half a per cent more is the better guess, and 0 stays 0.
        let of_percent = || {
            let samples = intervals.map(|i| i.aggr_us / i.sample_us.max(1))?;
            let percent = row.percent?;
            let more = if percent == 0 { 0 } else { 50 };
            Some(percent.saturating_mul(samples).saturating_add(more) / 100)
        };
        let Some(nr_accesses) = row.samples.or_else(of_percent) else {
            self.draft.refused.uncounted = self.draft.refused.uncounted.saturating_add(1);
            return Ok(());
        };
        let of_time = || row.age_us?.checked_div(intervals?.aggr_us);
        let age = row.aggregations.or_else(of_time);
        self.draft.ageless |= age.is_none();
        if self.draft.region(start, end, nr_accesses, age.unwrap_or(0)) {
            self.draft.passed(row.passed);
            for (probe, hits) in row.hits.iter().enumerate() {
                self.draft.hits(probe, *hits);
            }
        }
        Ok(())
    }

    fn stats(&mut self) -> Result<(), ImportError> {
        if self.json.null()? {
            return Ok(());
        }
        self.json.expect(b'{', "{, the start of statistics, or null")?;
        let scheme = self.record.named.scheme.unwrap_or(0);
        let mut stats = SchemeStats {
            time_ns: 0,
            scheme: u32::try_from(scheme).unwrap_or(u32::MAX),
            nr_tried: 0,
            sz_tried: 0,
            nr_applied: 0,
            sz_applied: 0,
            qt_exceeds: 0,
            sz_ops_filter_passed: None,
            nr_snapshots: None,
        };
        let mut first = true;
        while self.json.key(&mut first)? {
            let quantity = match self.json.token() {
                b"sz_tried" | b"sz_applied" | b"sz_ops_filter_passed" => Quantity::Size,
                _ => Quantity::Count,
            };
            let field = match self.json.token() {
                b"nr_tried" => &mut stats.nr_tried,
                b"sz_tried" => &mut stats.sz_tried,
                b"nr_applied" => &mut stats.nr_applied,
                b"sz_applied" => &mut stats.sz_applied,
                b"qt_exceeds" => &mut stats.qt_exceeds,
                b"sz_ops_filter_passed" => {
                    stats.sz_ops_filter_passed = self.json.number(quantity)?;
                    continue;
                }
                b"nr_snapshots" => {
                    stats.nr_snapshots = self.json.number(quantity)?;
                    continue;
                }
                _ => {
                    self.json.skip()?;
                    continue;
                }
            };
            *field = self.json.number(quantity)?.unwrap_or(0);
        }
        self.draft.stats = Some(stats);
        Ok(())
    }
}
