//! A sink that writes a trace.

use super::{ImportError, Sink};
use damon_format::{Record, RecordingInfo, Snapshot, TraceWriter, WriteError, WriterOptions};
use std::io::Write;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Snapshots.
    pub snapshots: u64,
    /// Regions of all snapshots.
    pub rows: u64,
    /// Records.
    pub records: u64,
    /// What the records call lost: by the source, or because it could not be used.
    pub lost: u64,
}

/// Writes whatever it is handed as a trace.
#[derive(Debug)]
pub struct Encoder<W: Write> {
    to: Option<W>,
    writer: Option<TraceWriter<W>>,
    options: WriterOptions,
    counts: Counts,
}

impl<W: Write> Encoder<W> {
    /// Nothing is written before the recording begins.
    pub fn new(to: W, options: WriterOptions) -> Self {
        Self { to: Some(to), writer: None, options, counts: Counts::default() }
    }

    /// Ends the trace in good order; the encoder has none any more.
    pub fn finish(&mut self) -> Result<(W, Counts), ImportError> {
        let writer = self.writer.take().ok_or_else(no_recording)?;
        Ok((writer.finish()?, self.counts))
    }

    fn writer(&mut self) -> Result<&mut TraceWriter<W>, ImportError> {
        self.writer.as_mut().ok_or_else(no_recording)
    }
}

/// No reader ends well without a recording, or says anything before it begins.
fn no_recording() -> ImportError {
    ImportError::Useless("there is no recording in it".to_owned())
}

impl<W: Write> Sink for Encoder<W> {
    fn begin(&mut self, info: RecordingInfo) -> Result<(), ImportError> {
        if let Some(to) = self.to.take() {
            self.writer = Some(TraceWriter::create(to, &info, self.options)?);
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), ImportError> {
        self.writer()?.snapshot(snapshot)?;
        self.counts.snapshots = self.counts.snapshots.saturating_add(1);
        self.counts.rows = self.counts.rows.saturating_add(snapshot.regions.len() as u64);
        Ok(())
    }

    fn record(&mut self, record: Record) -> Result<(), ImportError> {
        if let Record::Lost(lost) = &record {
            self.counts.lost = self.counts.lost.saturating_add(lost.count);
        }
        match self.writer()?.record(&record) {
            // What is too large for a record would be too large in any trace; the rest is worth having.
            Err(WriteError::Record(_)) => return Ok(()),
            result => result?,
        }
        self.counts.records = self.counts.records.saturating_add(1);
        Ok(())
    }
}
