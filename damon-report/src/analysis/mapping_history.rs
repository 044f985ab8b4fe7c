//! The mappings of all targets over time, in little memory.
//!
//! Thousands of processes have the same libraries, and forked children the same mappings at the same addresses. So
//! a name is held once for a recording, and so is a list of mappings that several records tell: who
//! keeps records (`records::Keeper`) sees to that.

use damon_format::{Mapping, Permissions, Record, TargetId};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What concerns the mappings of each target, in file order.
#[derive(Clone, Debug, Default)]
pub struct MappingHistory {
    targets: BTreeMap<TargetId, Vec<Event>>,
}

/// Something that changes, or explains, the mappings of a target.
#[derive(Clone, Debug)]
pub enum Event {
    /// Some are gone, others are new.
    Changed(Change),
    /// It appeared.
    Started {
        /// Its executable.
        exe: Box<str>,
    },
    /// It has another program, and nothing of the one before.
    Executed {
        /// When that was noticed.
        time_ns: u64,
        /// The new executable.
        exe: Box<str>,
    },
    /// It is gone.
    Exited {
        /// When that was noticed.
        time_ns: u64,
    },
}

/// How a target's mappings differ from those before: what a [`MappingsChanged`](damon_format::MappingsChanged) says.
#[derive(Clone, Debug)]
pub struct Change {
    /// When the mappings were read.
    pub time_ns: u64,
    /// Start addresses of those that are gone or have changed.
    pub removed: Box<[u64]>,
    /// Those that are new or have changed.
    pub added: Arc<[Mapped]>,
}

/// A [`Mapping`] that shares its name with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Offset into the file.
    pub offset: u64,
    pub(super) what: Arc<What>,
}

/// What mappings of one name and with the same rights have in common: behind one thin pointer, since there are millions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct What {
    permissions: Permissions,
    pub(super) name: Box<str>,
}

impl Hash for Mapped {
    /// Addresses tell mappings apart well enough.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.start, self.end, self.offset).hash(state);
    }
}

impl Event {
    /// What a record says of mappings that is about something else.
    pub(super) fn of(record: &Record) -> Option<(TargetId, Self)> {
        let exe = |exe: &str| exe.into();
        Some(match record {
            Record::TargetStarted(body) => (body.target, Self::Started { exe: exe(&body.exe) }),
            Record::TargetExecuted(body) => {
                (body.target, Self::Executed { time_ns: body.time_ns, exe: exe(&body.exe) })
            }
            Record::TargetExited(body) => (body.target, Self::Exited { time_ns: body.time_ns }),
            _ => return None,
        })
    }
}

impl Mapped {
    /// Path or `[heap]`, `[stack]`, `[anon:NAME]`…; empty for plain anonymous memory.
    pub fn name(&self) -> &str {
        &self.what.name
    }

    /// Access rights.
    pub fn permissions(&self) -> Permissions {
        self.what.permissions
    }

    /// Whether there is any right to access it.
    pub fn has_rights(&self) -> bool {
        let Permissions { read, write, execute, shared: _ } = self.permissions();
        read || write || execute
    }

    pub(super) fn of(mapping: Mapping, share: impl FnOnce(What) -> Arc<What>) -> Self {
        let Mapping { start, end, permissions, offset, inode: _, name } = mapping;
        Self { start, end, offset, what: share(What { permissions, name: name.into() }) }
    }
}

impl From<Mapping> for Mapped {
    fn from(mapping: Mapping) -> Self {
        Self::of(mapping, Arc::new)
    }
}

impl MappingHistory {
    /// All targets, ascending, with what concerns their mappings.
    pub fn targets(&self) -> impl Iterator<Item = (TargetId, &[Event])> {
        self.targets.iter().map(|(target, events)| (*target, events.as_slice()))
    }

    /// What concerns the mappings of a target, in file order.
    pub fn of_target(&self, target: TargetId) -> &[Event] {
        self.targets.get(&target).map_or(&[], Vec::as_slice)
    }

    /// Adds what follows in the file.
    pub(super) fn extend(&mut self, later: Self) {
        for (target, events) in later.targets {
            self.targets.entry(target).or_default().extend(events);
        }
    }

    pub(super) fn push(&mut self, target: TargetId, event: Event) {
        self.targets.entry(target).or_default().push(event);
    }
}
