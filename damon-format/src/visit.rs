//! How readers hand out what they decode.

use crate::{Record, SnapshotView};

/// Receives the content of a trace in file order.
pub trait Visitor {
    /// One snapshot; the view borrows the decoder's buffers and is gone after the call.
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>);

    /// One piece of metadata.
    fn record(&mut self, record: Record) {
        drop(record);
    }
}
