//! What a recording's records say that still holds: what a new part of it repeats, so that it can be read
//! alone.

use crate::{
    Attrs, EffectiveQuota, IntervalsChanged, Mapping, MappingsChanged, Note, ProbeColumns, Record,
    SchemeInstalled, TargetExecuted, TargetId, TargetStarted,
};
use std::collections::{BTreeMap, VecDeque};

/// Notes from before the first snapshot describe the recording as a whole; more than this many are not repeated.
const BEGINNING: usize = 32;
/// Of later notes, the newest so many are repeated.
const LATER: usize = 16;
/// Mappings in one record: so few that the format never refuses it.
const MAPPINGS_AT_ONCE: usize = 256;

/// What still holds after the records that it was [taught](Self::apply); takes as much room as the live targets' mappings,
/// whatever was recorded before.
#[derive(Debug, Default)]
pub struct State {
    targets: BTreeMap<TargetId, Target>,
    changed: Option<IntervalsChanged>,
    /// By index of the scheme.
    schemes: BTreeMap<u32, SchemeInstalled>,
    quotas: BTreeMap<u32, EffectiveQuota>,
    has_snapshots: bool,
    beginning: Vec<Note>,
    later: VecDeque<Note>,
}

#[derive(Debug)]
struct Target {
    started: TargetStarted,
    executed: Option<TargetExecuted>,
    /// When its mappings were read last; nothing before the first time.
    mapped_ns: Option<u64>,
    /// By first byte.
    mappings: BTreeMap<u64, Mapping>,
    probes: Option<ProbeColumns>,
}

impl State {
    /// Learns from a record.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::TargetStarted(started) => {
                let target = Target {
                    started: started.clone(),
                    executed: None,
                    mapped_ns: None,
                    mappings: BTreeMap::new(),
                    probes: None,
                };
                self.targets.insert(started.target, target);
            }
            Record::TargetExecuted(executed) => {
                if let Some(target) = self.targets.get_mut(&executed.target) {
                    target.executed = Some(executed.clone());
                    target.mappings.clear();
                }
            }
            Record::TargetExited(exited) => self.forget(exited.target),
            Record::IntervalsChanged(changed) => self.changed = Some(changed.clone()),
            Record::MappingsChanged(changed) => {
                if let Some(target) = self.targets.get_mut(&changed.target) {
                    target.mapped_ns = Some(changed.time_ns);
                    for start in &changed.removed {
                        target.mappings.remove(start);
                    }
                    let added = changed.added.iter().map(|m| (m.start, m.clone()));
                    target.mappings.extend(added);
                }
            }
            Record::ProbeColumns(columns) => {
                if let Some(target) = self.targets.get_mut(&columns.target) {
                    target.probes = Some(columns.clone());
                }
            }
            Record::SchemeInstalled(installed) => {
                self.schemes.insert(installed.scheme, installed.clone());
            }
            Record::EffectiveQuota(quota) => {
                self.quotas.insert(quota.scheme, *quota);
            }
            Record::Note(note) => self.note(note),
            // Moments, and sums that the next one says again.
            Record::Memory(_)
            | Record::ProportionalMemory(_)
            | Record::Pressure(_)
            | Record::Lost(_)
            | Record::SchemeStats(_)
            | Record::SchemeApplied(_)
            | Record::SystemMemory(_)
            | Record::KdamondCpu(_)
            | Record::Mark(_)
            | Record::Finished(_)
            | Record::Part(_) => {}
        }
    }

    /// Learns that there are snapshots: notes are about moments from now on.
    pub fn has_snapshot(&mut self) {
        self.has_snapshots = true;
    }

    /// A target is not recorded any longer, whether it lives or not.
    pub fn forget(&mut self, target: TargetId) {
        self.targets.remove(&target);
    }

    /// The attributes, if they have changed.
    pub fn attrs(&self) -> Option<Attrs> {
        self.changed.as_ref().map(|changed| changed.attrs)
    }

    /// What says the same to a reader who has read nothing before.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let targets = self.targets.values().flat_map(Target::records);
        let changed = self.changed.iter().cloned().map(Record::IntervalsChanged);
        let schemes = self.schemes.values().cloned().map(Record::SchemeInstalled);
        let quotas = self.quotas.values().copied().map(Record::EffectiveQuota);
        let beginning = self.beginning.iter().cloned().map(Record::Note);
        let later = self.later.iter().cloned().map(Record::Note);
        beginning.chain(targets).chain(changed).chain(schemes).chain(quotas).chain(later)
    }

    fn note(&mut self, note: &Note) {
        if self.beginning.iter().chain(&self.later).any(|known| known.text == note.text) {
            return;
        }
        if !self.has_snapshots && self.beginning.len() < BEGINNING {
            self.beginning.push(note.clone());
            return;
        }
        if self.later.len() >= LATER {
            self.later.pop_front();
        }
        self.later.push_back(note.clone());
    }
}

impl Target {
    fn records(&self) -> impl Iterator<Item = Record> {
        let id = self.started.target;
        let mappings = self
            .mapped_ns
            .map(|time_ns| mappings_changed((id, time_ns), &[], self.mappings.values()));
        std::iter::once(Record::TargetStarted(self.started.clone()))
            .chain(self.executed.iter().cloned().map(Record::TargetExecuted))
            .chain(mappings.into_iter().flatten())
            .chain(self.probes.iter().cloned().map(Record::ProbeColumns))
    }
}

/// The records that say of a target, at some time, that these are gone and those there are.
pub fn mappings_changed<'a>(
    (target, time_ns): (TargetId, u64),
    removed: &'a [u64],
    mut added: impl ExactSizeIterator<Item = &'a Mapping>,
) -> impl Iterator<Item = Record> {
    // Nothing is worth a record, too.
    let count = added.len().div_ceil(MAPPINGS_AT_ONCE).max(1);
    (0..count).map(move |chunk| {
        let removed = if chunk == 0 { removed.to_vec() } else { Vec::new() };
        let added = added.by_ref().take(MAPPINGS_AT_ONCE).cloned().collect();
        Record::MappingsChanged(MappingsChanged { target, time_ns, removed, added })
    })
}
