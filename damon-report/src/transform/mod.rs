//! Traces out of traces: a part, the parts together, a longer aggregation.

mod adjust;
mod joint;
mod merge;
mod slice;

pub use adjust::adjust;
pub use merge::{Clocks, Input, merge};
pub use slice::slice;

use damon_format::{Damage, Lost, Record, Snapshot, TraceWriter, WriteError};
use std::io::Write;

/// Why a trace cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// What was asked for cannot be; one sentence.
    #[error("{0}")]
    Unsuitable(String),
    /// The inputs do not fit together; one sentence.
    #[error("{0}")]
    Mismatch(String),
    /// The output failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Snapshots.
    pub snapshots: u64,
    /// Region rows in them.
    pub rows: u64,
    /// What else there is to say, in sentences.
    pub remarks: Vec<String>,
}

/// A trace that is being made, and what is in it.
struct Sink<W: Write> {
    writer: TraceWriter<W>,
    written: Written,
}

impl<W: Write> Sink<W> {
    fn new(writer: TraceWriter<W>) -> Self {
        Self { writer, written: Written::default() }
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), WriteError> {
        self.writer.snapshot(snapshot)?;
        self.written.snapshots += 1;
        self.written.rows += snapshot.regions.len() as u64;
        Ok(())
    }

    fn record(&mut self, record: &Record) -> Result<(), WriteError> {
        self.writer.record(record)
    }

    /// What could not be read of `name` is missing here for good.
    fn damage(&mut self, name: &str, damage: &[Damage], time_ns: u64) -> Result<(), WriteError> {
        let Some(first) = damage.first() else { return Ok(()) };
        let count = damage.len() as u64;
        let more =
            if count > 1 { format!(", and {} more places", count - 1) } else { String::new() };
        let what = format!("{name} is damaged: {first}{more}");
        self.record(&Record::Lost(Lost { target: None, time_ns, count, what }))
    }

    fn finish(self) -> Result<(Written, W), WriteError> {
        Ok((self.written, self.writer.finish()?))
    }
}
