//! What a reader hands over.

use super::ImportError;
use damon_format::{Record, RecordingInfo, Snapshot};

/// What the user knows better than the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Sampling interval, microseconds, where the input does not have it.
    pub sample_us: Option<u64>,
    /// Aggregation interval, microseconds, where the input does not have it.
    pub aggr_us: Option<u64>,
}

/// Takes a recording piece by piece.
pub trait Sink {
    /// The description of the recording: once, before anything else.
    fn begin(&mut self, info: RecordingInfo) -> Result<(), ImportError>;

    /// A snapshot; those of one target come in the order of time.
    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), ImportError>;

    /// A record.
    fn record(&mut self, record: Record) -> Result<(), ImportError>;
}
