//! What is handed over to a recording, kept until it is written.

use crate::session::output::Output;
use damon_format::{
    MappingsChanged, Note, Record, Snapshot, State, TargetId, TraceWriter, WriteError,
    mappings_changed,
};

/// One thing that is handed over.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Snapshot(Snapshot),
    Record(Record),
    /// A note about the files, which does not hold for later parts.
    Remark(Note),
    /// Nothing to be written: this target is not recorded any longer.
    Forget(TargetId),
}

impl Item {
    /// `record`, in as many pieces as the format needs: each is written whole or not at all.
    pub(super) fn of(record: &Record) -> Vec<Self> {
        match record {
            Record::MappingsChanged(all) => {
                let MappingsChanged { target, time_ns, removed, added } = all;
                mappings_changed((*target, *time_ns), removed, added.iter())
                    .map(Self::Record)
                    .collect()
            }
            other => vec![Self::Record(other.clone())],
        }
    }

    /// When it happened; what has no time is early.
    pub(super) fn time_ns(&self) -> u64 {
        match self {
            Self::Snapshot(snapshot) => snapshot.end_ns,
            Self::Record(record) => record.time_ns(),
            Self::Remark(note) => note.time_ns,
            Self::Forget(_) => 0,
        }
    }

    /// Whether it is worth a part of its own.
    pub(super) fn is_data(&self) -> bool {
        matches!(self, Self::Snapshot(_) | Self::Record(_))
    }

    pub(super) fn is_snapshot(&self) -> bool {
        matches!(self, Self::Snapshot(_))
    }

    pub(super) fn write(&self, writer: &mut TraceWriter<Output>) -> Result<(), WriteError> {
        match self {
            Self::Snapshot(snapshot) => writer.snapshot(snapshot),
            Self::Record(record) => writer.record(record),
            Self::Remark(note) => writer.record(&Record::Note(note.clone())),
            Self::Forget(_) => Ok(()),
        }
    }

    pub(super) fn teach(&self, state: &mut State) {
        match self {
            Self::Snapshot(_) => state.has_snapshot(),
            Self::Record(record) => state.apply(record),
            Self::Forget(target) => state.forget(*target),
            Self::Remark(_) => {}
        }
    }
}
