//! The records of a recording as they are kept: [mappings](MappingHistory) apart from the others, and what is equal once.

use super::mapping_history::{Change, Event, Mapped, MappingHistory, What};
use super::room::Room;
use damon_format::{Mapping, MappingsChanged, Record};
use std::collections::HashSet;
use std::mem::size_of;
use std::sync::{Arc, Mutex, PoisonError};

/// Records that are kept, in file order.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// All but those of mappings.
    pub(super) records: Vec<Record>,
    pub(super) mappings: MappingHistory,
}

impl Records {
    /// Adds what follows in the file.
    pub(super) fn extend(&mut self, later: Self) {
        self.records.extend(later.records);
        self.mappings.extend(later.mappings);
    }
}

/// Keeps the records of one recording as long as there is room; clones share the room, and what is equal.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    room: Room,
    known: Arc<Mutex<Known>>,
}

/// What can be shared.
#[derive(Debug, Default)]
struct Known {
    whats: HashSet<Arc<What>>,
    lists: HashSet<Arc<[Mapped]>>,
}

impl Keeper {
    /// For so many bytes.
    pub(super) fn new(room: Room) -> Self {
        Self { room, known: Arc::default() }
    }

    /// Whether there was more than there is room for.
    pub(super) fn is_exceeded(&self) -> bool {
        self.room.is_exceeded()
    }

    /// Keeps a record if there is room.
    pub(super) fn keep(&self, record: Record, to: &mut Records) {
        if let Record::MappingsChanged(change) = record {
            return self.keep_mappings(change, &mut to.mappings);
        }
        if self.room.take(record.held_bytes() as u64).is_none() {
            return;
        }
        if let Some((target, event)) = Event::of(&record) {
            to.mappings.push(target, event);
        }
        to.records.push(record);
    }

    /// Keeps what a record says of mappings, if it says something of them and there is room.
    pub(super) fn keep_mappings_of(&self, record: Record, to: &mut MappingHistory) {
        if let Record::MappingsChanged(change) = record {
            self.keep_mappings(change, to);
        } else if let Some((target, event)) = Event::of(&record)
            && self.room.take(record.held_bytes() as u64).is_some()
        {
            to.push(target, event);
        }
    }

    fn keep_mappings(&self, change: MappingsChanged, to: &mut MappingHistory) {
        let MappingsChanged { target, time_ns, removed, added } = change;
        let own = size_of::<Event>().saturating_add(removed.len().saturating_mul(size_of::<u64>()));
        if self.room.take(own as u64).is_none() {
            return;
        }
        let Some(added) = self.shared(added) else { return };
        to.push(target, Event::Changed(Change { time_ns, removed: removed.into(), added }));
    }

    fn shared(&self, list: Vec<Mapping>) -> Option<Arc<[Mapped]>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let share = |mapping| self.mapped(mapping, &mut known.whats);
        let list = list.into_iter().map(share).collect::<Option<Vec<Mapped>>>()?;
        if let Some(same) = known.lists.get(list.as_slice()) {
            return Some(Arc::clone(same));
        }
        self.room.take(list.len().saturating_mul(size_of::<Mapped>()) as u64)?;
        let list: Arc<[Mapped]> = list.into();
        known.lists.insert(Arc::clone(&list));
        Some(list)
    }

    fn mapped(&self, mapping: Mapping, known: &mut HashSet<Arc<What>>) -> Option<Mapped> {
        let mut is_crowded = false;
        let mapped = Mapped::of(mapping, |what| {
            if let Some(same) = known.get(&what) {
                return Arc::clone(same);
            }
            let size = size_of::<What>().saturating_add(what.name.len());
            let what = Arc::new(what);
            is_crowded = self.room.take(size as u64).is_none();
            if !is_crowded {
                known.insert(Arc::clone(&what));
            }
            what
        });
        (!is_crowded).then_some(mapped)
    }
}

#[cfg(test)]
impl MappingHistory {
    /// Of all records, in file order.
    pub(crate) fn of(records: &[Record]) -> Self {
        let (mut kept, keeper) = (Records::default(), Keeper::new(Room::new(u64::MAX)));
        for record in records {
            keeper.keep(record.clone(), &mut kept);
        }
        kept.mappings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::{Permissions, TargetId};

    fn change(target: u32, added: &[(u64, &str)]) -> Record {
        let mapping = |&(start, name): &(u64, &str)| Mapping {
            start,
            end: start + 10,
            permissions: Permissions { read: true, ..Permissions::default() },
            offset: 0,
            inode: start,
            name: name.to_owned(),
        };
        Record::MappingsChanged(MappingsChanged {
            target: TargetId(target),
            time_ns: 5,
            removed: Vec::new(),
            added: added.iter().map(mapping).collect(),
        })
    }

    fn added(history: &MappingHistory, target: u32) -> Arc<[Mapped]> {
        match history.of_target(TargetId(target)) {
            [Event::Changed(change)] => Arc::clone(&change.added),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn equal_names_and_equal_lists_are_held_once() {
        let history = MappingHistory::of(&[
            change(0, &[(10, "/lib/a"), (20, "/lib/a"), (30, "")]),
            change(1, &[(10, "/lib/a"), (20, "/lib/a"), (30, "")]),
            change(2, &[(10, "/lib/a"), (20, "/lib/b"), (30, "")]),
        ]);
        let [first, same, other] = [0, 1, 2].map(|target| added(&history, target));
        assert!(Arc::ptr_eq(&first, &same) && !Arc::ptr_eq(&first, &other));
        let names: Vec<&str> = other.iter().map(Mapped::name).collect();
        assert_eq!(names, ["/lib/a", "/lib/b", ""]);
        for (one, another) in [(&first[0], &first[1]), (&first[0], &other[0])] {
            assert!(Arc::ptr_eq(&one.what, &another.what));
        }
    }

    #[test]
    fn room_is_taken_for_what_is_new() {
        let long = "x".repeat(1000);
        let taken = |records: &[Record]| {
            let fits = |room: &u64| {
                let (mut kept, keeper) = (Records::default(), Keeper::new(Room::new(*room)));
                for record in records {
                    keeper.keep(record.clone(), &mut kept);
                }
                !keeper.is_exceeded()
            };
            (0..10_000).find(fits).unwrap()
        };
        let first = taken(&[change(0, &[(10, &long)])]);
        assert!(first > 1000, "{first}");
        let event = size_of::<Event>() as u64;
        let again = taken(&[change(0, &[(10, &long)]), change(1, &[(10, &long)])]);
        assert_eq!(again, first + event);
        let moved = taken(&[change(0, &[(10, &long)]), change(1, &[(20, &long)])]);
        assert_eq!(moved, first + event + size_of::<Mapped>() as u64);
    }
}
