//! A sink for tests: keeps everything, and holds readers to what a [`Sink`] may expect.

use super::{ImportError, ImportOptions, Sink};
use damon_format::{Note, Record, RecordingInfo, Snapshot, TargetId, TraceWriter, WriterOptions};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Collected {
    pub(super) info: Option<RecordingInfo>,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) records: Vec<Record>,
    /// Whether a trace of it can be written.
    writer: Option<TraceWriter<Vec<u8>>>,
    ends: BTreeMap<TargetId, u64>,
}

impl Collected {
    pub(super) fn new() -> Self {
        Self {
            info: None,
            snapshots: Vec::new(),
            records: Vec::new(),
            writer: None,
            ends: BTreeMap::new(),
        }
    }

    /// What a reader tells of an input.
    pub(super) fn of(
        read: impl FnOnce(&ImportOptions, &mut dyn Sink) -> Result<(), ImportError>,
    ) -> Result<Self, ImportError> {
        Self::of_with(ImportOptions::default(), read)
    }

    /// The same with what a user says.
    pub(super) fn of_with(
        options: ImportOptions,
        read: impl FnOnce(&ImportOptions, &mut dyn Sink) -> Result<(), ImportError>,
    ) -> Result<Self, ImportError> {
        let mut collected = Self::new();
        read(&options, &mut collected)?;
        assert!(collected.info.is_some(), "an import that succeeds has a description");
        Ok(collected)
    }

    /// `(what, count)` of what is lost.
    pub(super) fn lost(&self) -> Vec<(&str, u64)> {
        self.records
            .iter()
            .filter_map(|record| match record {
                Record::Lost(lost) => Some((lost.what.as_str(), lost.count)),
                _ => None,
            })
            .collect()
    }

    /// All notes, a line each.
    pub(super) fn notes(&self) -> String {
        let notes = self.records.iter().filter_map(|record| match record {
            Record::Note(Note { text, .. }) => Some(text.as_str()),
            _ => None,
        });
        notes.collect::<Vec<_>>().join("\n")
    }
}

impl Sink for Collected {
    fn begin(&mut self, info: RecordingInfo) -> Result<(), ImportError> {
        assert!(self.info.is_none(), "begun once");
        self.writer = Some(TraceWriter::create(Vec::new(), &info, WriterOptions::default())?);
        self.info = Some(info);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), ImportError> {
        let end = self.ends.insert(snapshot.target, snapshot.end_ns).unwrap_or(0);
        assert!(end <= snapshot.start_ns, "{snapshot:?} after one that ends at {end}");
        self.writer.as_mut().expect("begun").snapshot(snapshot)?;
        self.snapshots.push(snapshot.clone());
        Ok(())
    }

    fn record(&mut self, record: Record) -> Result<(), ImportError> {
        self.writer.as_mut().expect("begun").record(&record)?;
        self.records.push(record);
        Ok(())
    }
}
