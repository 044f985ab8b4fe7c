//! Writes a trace as it is recorded.

use crate::block::Counts;
use crate::columns::{TargetEncoder, check};
use crate::layout::{BlockKind, FileHeader, MAJOR, MAX_FRAME_RAW, MAX_RECORD, MAX_REGIONS, MINOR};
use crate::section::{put_record, put_snapshots};
use crate::store::Store;
use crate::stream_codec::Compressor;
use crate::{MappingsChanged, Record, RecordingInfo, Snapshot, WriteError, wire};
use std::collections::BTreeMap;
use std::io::Write;

/// How a trace is cut into frames and blocks. The defaults suit recorders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriterOptions {
    /// A frame is written when data of this much time are pending, nanoseconds.
    pub flush_interval_ns: u64,
    /// A frame is written when about this many bytes are pending, before compression.
    pub frame_bytes: usize,
    /// A block ends when it holds this many region rows …
    pub block_rows: u64,
    /// … or covers this much time, nanoseconds.
    pub block_span_ns: u64,
    /// zstd compression level.
    pub level: i32,
    /// zstd window as a power of two; what an encoder and each decoder keep in memory.
    pub window_log: u32,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            flush_interval_ns: 1_000_000_000,
            frame_bytes: 1 << 18,
            block_rows: 1 << 18,
            block_span_ns: 600_000_000_000,
            level: 3,
            window_log: 17,
        }
    }
}

/// What a writer sets up and the next one can use: about a megabyte, that is allocated once for any number of
/// traces in a row.
#[derive(Debug)]
pub struct Workspace {
    compressor: Compressor,
    /// Compression level and window it was made for.
    made_for: (i32, u32),
}

/// Writes a trace to a sink that is only ever appended to.
///
/// Snapshots and records are collected and written as a frame once they cover
/// [`WriterOptions::flush_interval_ns`]; the clock is that of the data. Whatever happens, all frames
/// written before are readable.
#[derive(Debug)]
pub struct TraceWriter<W: Write> {
    store: Store<W>,
    options: WriterOptions,
    granule_shift: u32,
    compressor: Compressor,
    targets: BTreeMap<u32, TargetEncoder>,
    records: Vec<u8>,
    sections: Vec<u8>,
    section: Vec<u8>,
    stored: Vec<u8>,
    pending: Counts,
    in_block: bool,
    block_start_ns: u64,
    clock_ns: u64,
    limit: Option<u64>,
    frames: u64,
}

impl<W: Write> TraceWriter<W> {
    /// Writes the file header and the description of the recording, and flushes both.
    pub fn create(
        sink: W,
        info: &RecordingInfo,
        options: WriterOptions,
    ) -> Result<Self, WriteError> {
        Self::create_with(sink, info, options, None)
    }

    /// [`create`](Self::create) with what [`finish_and_reuse`](Self::finish_and_reuse) of an earlier trace has left.
    pub fn create_with(
        sink: W,
        info: &RecordingInfo,
        options: WriterOptions,
        left: Option<Workspace>,
    ) -> Result<Self, WriteError> {
        let made_for = (options.level, options.window_log);
        let mut compressor = match left.filter(|left| left.made_for == made_for) {
            Some(left) => left.compressor,
            None => Compressor::new(options.level, options.window_log)?,
        };
        compressor.begin_block()?;
        let header = FileHeader { major: MAJOR, minor: MINOR, identity: info.clock.realtime_ns };
        let mut store = Store::create(sink, &header)?;
        let mut bytes = Vec::new();
        wire::put_info(info, &mut bytes).map_err(WriteError::Record)?;
        store.begin_block(BlockKind::INFO, info.clock.monotonic_ns);
        store.frame(&bytes, &Counts::default())?;
        store.flush()?;
        Ok(Self {
            store,
            options,
            granule_shift: info.page_size.max(1).ilog2(),
            compressor,
            targets: BTreeMap::new(),
            records: Vec::new(),
            sections: Vec::new(),
            section: Vec::new(),
            stored: Vec::new(),
            pending: Counts::default(),
            in_block: false,
            block_start_ns: 0,
            clock_ns: 0,
            limit: None,
            frames: 0,
        })
    }

    /// Adds a snapshot; the snapshots of one target must come in the order of time.
    ///
    /// # Errors
    /// A snapshot that breaks a rule of the format is refused and leaves the trace as it was; I/O errors end the
    /// trace.
    pub fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), WriteError> {
        check(snapshot)?;
        self.make_room(snapshot)?;
        self.begin(snapshot.start_ns);
        let (block_start, shift) = (self.block_start_ns, self.granule_shift);
        let target = snapshot.target.0;
        let encoder =
            self.targets.entry(target).or_insert_with(|| TargetEncoder::new(block_start, shift));
        if encoder.needs_new_section(snapshot) {
            Self::emit(encoder, target, &mut self.section, &mut self.sections);
        }
        encoder.add(snapshot);
        self.pending.snapshots = self.pending.snapshots.saturating_add(1);
        self.pending.rows += snapshot.regions.len() as u64;
        self.pending.cover(snapshot.start_ns, snapshot.end_ns);
        self.flush_when_due()
    }

    /// Adds a piece of metadata. Inside a frame records come before snapshots, whatever the order of the
    /// calls; their times tell. Very many mappings become several [`MappingsChanged`] of the same time,
    /// since a record may not exceed [`MAX_RECORD`].
    pub fn record(&mut self, record: &Record) -> Result<(), WriteError> {
        match record {
            Record::MappingsChanged(all) if all.added.len() > MAPPINGS_AT_ONCE => {
                let mut removed = all.removed.clone();
                for added in all.added.chunks(MAPPINGS_AT_ONCE) {
                    let removed = std::mem::take(&mut removed);
                    let part = MappingsChanged { removed, added: added.to_vec(), ..*all };
                    self.one_record(&Record::MappingsChanged(part))?;
                }
                Ok(())
            }
            _ => self.one_record(record),
        }
    }

    fn one_record(&mut self, record: &Record) -> Result<(), WriteError> {
        self.section.clear();
        wire::put_record(record, &mut self.section).map_err(WriteError::Record)?;
        if self.section.len() > MAX_RECORD {
            return Err(WriteError::Record("it is larger than the format's limit".into()));
        }
        if self.pending_len() + self.section.len() + 16 > MAX_FRAME_RAW {
            let body = std::mem::take(&mut self.section);
            self.flush()?;
            self.section = body;
        }
        self.begin(record.time_ns());
        put_record(&self.section, &mut self.records);
        self.pending.record(record);
        self.flush_when_due()
    }

    /// Writes what is pending as a frame.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        if self.pending != Counts::default() {
            for (&target, encoder) in &mut self.targets {
                Self::emit(encoder, target, &mut self.section, &mut self.sections);
            }
            self.records.append(&mut self.sections);
            self.compressor.frame(&self.records, &mut self.stored)?;
            self.records.clear();
            let pending = std::mem::take(&mut self.pending);
            if self
                .limit
                .is_some_and(|most| self.store.len_with(self.stored.len()) + CLOSING > most)
            {
                self.limit = None;
                // Encoders and compressor are ahead of the file: nothing can continue this block.
                self.end_block()?;
                return Err(WriteError::Full);
            }
            self.store.frame(&self.stored, &pending)?;
            self.frames += 1;
            self.end_block_when_due()?;
        }
        self.store.flush()
    }

    /// Bytes written so far; what is pending is not counted.
    pub fn bytes_written(&self) -> u64 {
        self.store.offset()
    }

    /// Frames of data written so far. Each holds all that was pending, in the order of the calls.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Whether something was added that is not written yet.
    pub fn has_pending(&self) -> bool {
        self.pending != Counts::default()
    }

    /// From now on a frame is written only if the whole trace, its index and 512 bytes for a closing
    /// record included, stays within `bytes`.
    ///
    /// Whatever call meets a frame that does not fit ends with [`WriteError::Full`]. Then nothing of what was pending, nor
    /// of what the call was to add, is in the trace; the limit is lifted, and the trace goes on as usual: a
    /// closing record can be added, and [`finish`](Self::finish) called.
    pub fn limit(&mut self, bytes: Option<u64>) {
        self.limit = bytes;
    }

    /// Flushes, adds the index and the footer, and gives the sink back.
    pub fn finish(self) -> Result<W, WriteError> {
        self.finish_and_reuse().map(|(sink, _)| sink)
    }

    /// [`finish`](Self::finish) that leaves something for the next trace.
    pub fn finish_and_reuse(mut self) -> Result<(W, Workspace), WriteError> {
        self.flush()?;
        let made_for = (self.options.level, self.options.window_log);
        let workspace = Workspace { compressor: self.compressor, made_for };
        Ok((self.store.finish()?, workspace))
    }

    fn emit(encoder: &mut TargetEncoder, target: u32, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        scratch.clear();
        if encoder.emit(target, scratch) {
            put_snapshots(scratch, out);
        }
    }

    /// Begins a block if none is open.
    fn begin(&mut self, time_ns: u64) {
        if !self.in_block {
            // Whole microseconds, so that microsecond times stay whole when taken relative to it.
            self.block_start_ns = time_ns - time_ns % 1000;
            self.store.begin_block(BlockKind::DATA, self.block_start_ns);
            self.in_block = true;
        }
        if self.pending == Counts::default() {
            self.clock_ns = time_ns;
        }
    }

    /// A decoder keeps the last snapshot of each target of a block, and a frame has a largest size: both
    /// are bounded by ending the one or the other before the snapshot is added.
    fn make_room(&mut self, snapshot: &Snapshot) -> Result<(), WriteError> {
        let others: usize = self
            .targets
            .iter()
            .filter(|(id, _)| **id != snapshot.target.0)
            .map(|(_, encoder)| encoder.kept())
            .sum();
        let rows = snapshot.regions.len();
        let columns = snapshot.probes.len() + 1;
        let too_many_targets =
            self.targets.len() >= MAX_TARGETS && !self.targets.contains_key(&snapshot.target.0);
        if others.saturating_add(rows.saturating_mul(columns)) > MAX_REGIONS || too_many_targets {
            self.flush()?;
            self.end_block()?;
        } else if self.pending_len() + rows * (ROW_MAX + PROBE_MAX * columns) + 256 > MAX_FRAME_RAW
        {
            self.flush()?;
        }
        Ok(())
    }

    fn pending_len(&self) -> usize {
        self.records.len()
            + self.sections.len()
            + self.targets.values().map(TargetEncoder::pending_len).sum::<usize>()
    }

    fn flush_when_due(&mut self) -> Result<(), WriteError> {
        let newest = self.pending.span.map_or(self.clock_ns, |(_, to)| to);
        let due = newest.saturating_sub(self.clock_ns) >= self.options.flush_interval_ns;
        if due || self.pending_len() >= self.options.frame_bytes.min(MAX_FRAME_RAW / 4) {
            self.flush()?;
        }
        Ok(())
    }

    fn end_block_when_due(&mut self) -> Result<(), WriteError> {
        let Some(counts) = self.store.block_counts() else {
            return Ok(());
        };
        let span = counts.span.map_or(0, |(from, to)| to - from);
        if counts.rows >= self.options.block_rows || span >= self.options.block_span_ns {
            self.end_block()?;
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), WriteError> {
        self.store.end_block();
        self.targets.clear();
        self.in_block = false;
        Ok(self.compressor.begin_block()?)
    }
}

/// Most bytes a row can take before compression, probe columns aside: 9 bits of operation, distance and
/// size of at most 117 bits each, differences of the counter and the age of at most 67 bits each.
const ROW_MAX: usize = (9 + 2 * 117 + 2 * 67_usize).div_ceil(8);
/// Most bytes a probe's counter can take: 63 bits.
const PROBE_MAX: usize = 8;
/// Room below a limit that is kept for one short record in a block of its own.
const CLOSING: u64 = 512;
/// Mappings in one record.
const MAPPINGS_AT_ONCE: usize = 4096;
/// Targets per block; each costs a decoder a little even when it has no regions.
const MAX_TARGETS: usize = MAX_REGIONS >> 5;
