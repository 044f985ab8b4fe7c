//! Where the snapshots of a recording begin and end, without going over all of them.

use super::load::Trace;
use damon_format::{BlockEntry, Record, SnapshotView, Visitor};
use std::ops::Range;

/// The times that snapshots cover.
#[derive(Debug, Default)]
pub(super) struct Ends(Option<Range<u64>>);

impl Ends {
    /// From the start of the first to the end of the last snapshot; `None` where there is none, or where what tells is
    /// damaged.
    ///
    /// The index has the earliest and the latest time of each block, but of its records, too. So the block whose
    /// earliest time is the least is looked at, and further ones as long as theirs are before the earliest snapshot that
    /// was found; and the same from the end.
    pub(super) fn find(trace: &Trace) -> Option<Range<u64>> {
        let mut blocks: Vec<&BlockEntry> =
            trace.blocks().iter().filter(|block| block.snapshots > 0).collect();
        let mut ends = Self::default();
        blocks.sort_by_key(|block| block.start_ns);
        for block in &blocks {
            if ends.0.as_ref().is_some_and(|found| found.start <= block.start_ns) {
                break;
            }
            trace.visit_block(block, &mut ends).ok()?;
        }
        blocks.sort_by_key(|block| std::cmp::Reverse(block.end_ns));
        for block in &blocks {
            if ends.0.as_ref().is_some_and(|found| found.end >= block.end_ns) {
                break;
            }
            trace.visit_block(block, &mut ends).ok()?;
        }
        ends.0
    }
}

impl Visitor for Ends {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        let found = self.0.get_or_insert(snapshot.start_ns..snapshot.end_ns);
        found.start = found.start.min(snapshot.start_ns);
        found.end = found.end.max(snapshot.end_ns);
    }

    fn record(&mut self, _record: Record) {}
}
