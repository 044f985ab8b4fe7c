//! What parts repeat says everything that still holds.

use super::testing::{Reader, histories, mapping, started};
use damon_format::{MappingsChanged, Note, Record, State, TargetExited, TargetId};
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
