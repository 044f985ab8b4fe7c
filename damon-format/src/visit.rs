//! How readers hand out what they decode.

use crate::{Record, SnapshotView};

/// Receives the content of a trace in file order.
pub trait Visitor {
    /// One snapshot; the view borrows the decoder's buffers and is gone after the call.
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>);

    /// Whether it looks at ages; the answer must not change from snapshot to snapshot. For one that does not, ages are not
    /// decoded, which takes a tenth of the time: where there are any, all of them are shown as 0.
    fn wants_ages(&self) -> bool {
        true
    }

    /// One piece of metadata.
    fn record(&mut self, record: Record) {
        drop(record);
    }
}
