//! What a reader hands over.

use super::ImportError;
use damon_format::{Record, RecordingInfo, Snapshot, TargetStarted};

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

    /// A target, before its first snapshot. Who knows more of what the source calls by these numbers adds that; true if what
    /// kind of target it is was known.
    fn target(
        &mut self,
        _named: &SourceTarget,
        started: TargetStarted,
    ) -> Result<bool, ImportError> {
        self.record(Record::TargetStarted(started)).map(|()| false)
    }
}

/// What a source calls a target: damo's numbers of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceTarget {
    /// Index of the monitoring thread.
    pub kdamond: u64,
    /// Index of its context.
    pub context: u64,
    /// Index of the scheme whose regions were looked at, in recordings that are made so.
    pub scheme: Option<u64>,
    /// Index of the target; in old recordings a pid or an address in the kernel.
    pub target: Option<u64>,
}

impl SourceTarget {
    /// True of the only target of most recordings, whose name tells nothing.
    pub fn is_usual(&self) -> bool {
        *self == Self { target: self.target.filter(|target| *target == 0), ..Self::default() }
    }

    /// For people; what is not told or 0 is left out.
    pub fn name(&self) -> String {
        let mut words = Vec::new();
        if (self.kdamond, self.context) != (0, 0) {
            words.push(format!("kdamond {} context {}", self.kdamond, self.context));
        }
        words.extend(self.scheme.map(|scheme| format!("scheme {scheme}")));
        words.extend(self.target.map(|target| format!("target {target}")));
        if words.is_empty() { "all targets".to_owned() } else { words.join(" ") }
    }
}
