//! The trace as the session writes it: failures become sentences, refusals are counted.

use super::output::{Output, write_failure};
use super::place::{Draft, Opened, Place};
use crate::exit::Failure;
use damon_format::{Record, RecordingInfo, Snapshot, TraceWriter, WriteError, WriterOptions};

/// A trace being written.
#[derive(Debug)]
pub(crate) struct Trace {
    writer: TraceWriter<Output>,
    name: String,
    snapshots: u64,
    lost: u64,
}

impl Trace {
    /// Writes the head of a trace to `place`. A file appears under its name when it has this head.
    pub(crate) fn create(place: &Place, info: &RecordingInfo) -> Result<Self, Failure> {
        let Opened { output, draft } = place.open()?;
        let name = output.name();
        let writer = TraceWriter::create(output, info, WriterOptions::default())
            .map_err(|error| write_failure(&name, false, &error))?;
        draft.map_or(Ok(()), Draft::publish)?;
        Ok(Self { writer, name, snapshots: 0, lost: 0 })
    }

    /// How people call the place it is written to.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Snapshots stored.
    pub(super) fn snapshots(&self) -> u64 {
        self.snapshots
    }

    /// Snapshots and events that should be in the trace and are not.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Bytes written.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.bytes_written()
    }

    /// Stores a snapshot; one that the format refuses is counted as lost.
    pub(crate) fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), Failure> {
        match self.writer.snapshot(snapshot) {
            Ok(()) => self.snapshots += 1,
            Err(WriteError::Snapshot(_)) => self.lost += 1,
            Err(error) => return Err(write_failure(&self.name, true, &error)),
        }
        Ok(())
    }

    /// Stores a record; one that the format refuses is counted as lost.
    pub(crate) fn record(&mut self, record: &Record) -> Result<(), Failure> {
        if let Record::Lost(lost) = record {
            self.lost = self.lost.saturating_add(lost.count);
        }
        match self.writer.record(record) {
            Ok(()) => {}
            Err(WriteError::Record(_)) => self.lost += 1,
            Err(error) => return Err(write_failure(&self.name, true, &error)),
        }
        Ok(())
    }

    /// Ends the trace in good order; returns its size.
    pub(crate) fn finish(self) -> Result<u64, Failure> {
        let Self { writer, name, .. } = self;
        let before = writer.bytes_written();
        let output = writer.finish().map_err(|error| write_failure(&name, true, &error))?;
        Ok(match &output {
            Output::File { file, .. } => file.metadata().map_or(before, |meta| meta.len()),
            Output::Stdout(_) => before,
        })
    }
}
