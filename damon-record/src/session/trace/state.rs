//! What a recording's records say that still holds: what a new part of it repeats, so that it can be read
//! alone.

use super::item::mappings_changed;
use damon_format::{
    Attrs, EffectiveQuota, IntervalsChanged, Mapping, Note, Record, SchemeInstalled,
    TargetExecuted, TargetId, TargetStarted,
};
use std::collections::{BTreeMap, VecDeque};

/// Notes from before the first snapshot describe the recording as a whole; more than this many are not repeated.
const BEGINNING: usize = 32;
/// Of later notes, the newest so many are repeated.
const LATER: usize = 16;

/// As much as the live targets' mappings take, whatever was recorded before.
#[derive(Debug, Default)]
pub(super) struct State {
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
}

impl State {
    /// Learns from a record.
    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::TargetStarted(started) => {
                let target = Target {
                    started: started.clone(),
                    executed: None,
                    mapped_ns: None,
                    mappings: BTreeMap::new(),
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
            Record::SchemeInstalled(installed) => {
                self.schemes.insert(installed.scheme, installed.clone());
            }
            Record::EffectiveQuota(quota) => {
                self.quotas.insert(quota.scheme, *quota);
            }
            Record::Note(note) => self.note(note),
            // Moments, and sums that the next one says again.
            Record::Memory(_)
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
    pub(super) fn has_snapshot(&mut self) {
        self.has_snapshots = true;
    }

    /// A target is not recorded any longer, whether it lives or not.
    pub(super) fn forget(&mut self, target: TargetId) {
        self.targets.remove(&target);
    }

    /// The attributes, if they have changed.
    pub(super) fn attrs(&self) -> Option<Attrs> {
        self.changed.as_ref().map(|changed| changed.attrs)
    }

    /// What says the same to a reader who has read nothing before.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> {
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
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Reader, histories, mapping, started};
    use super::*;
    use damon_format::{MappingsChanged, TargetExited};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whoever_reads_what_is_repeated_knows_what_whoever_read_everything_knows(
            history in histories(300)
        ) {
            let mut state = State::default();
            for record in &history {
                state.apply(record);
            }
            prop_assert_eq!(Reader::of(state.records()), Reader::of(history));
        }
    }

    #[test]
    fn many_mappings_are_several_records_and_none_is_one() {
        let mut state = State::default();
        state.apply(&started(0, 1));
        let mut changed = MappingsChanged {
            target: TargetId(0),
            time_ns: 2,
            removed: Vec::new(),
            added: (0..1000).map(|i| mapping(i * 2, 1)).collect(),
        };
        state.apply(&Record::MappingsChanged(changed.clone()));
        assert_eq!(state.records().count(), 1 + 4);
        changed.removed = changed.added.drain(..).map(|m| m.start).collect();
        state.apply(&Record::MappingsChanged(changed));
        assert_eq!(state.records().count(), 1 + 1, "nothing is mapped, and that is known");
    }

    #[test]
    fn notes_of_the_beginning_stay_and_later_ones_make_room_for_later_ones() {
        let mut state = State::default();
        let note = |number: u64| Record::Note(Note { time_ns: number, text: format!("{number}") });
        (0..3).for_each(|number| state.apply(&note(number)));
        state.has_snapshot();
        (2..40).for_each(|number| state.apply(&note(number)));
        let told: Vec<u64> = state.records().map(|record| record.time_ns()).collect();
        let expected: Vec<u64> = (0..3).chain(24..40).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn who_is_not_recorded_any_longer_takes_no_room() {
        let mut state = State::default();
        (0..3).for_each(|target| state.apply(&started(target, 1)));
        state.forget(TargetId(1));
        let exited = TargetExited { target: TargetId(2), time_ns: 9, wait_status: None };
        state.apply(&Record::TargetExited(exited));
        let left: Vec<Record> = state.records().collect();
        assert_eq!(left, [started(0, 1)]);
    }
}
