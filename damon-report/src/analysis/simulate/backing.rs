//! Which addresses of a target could be accessed when, and how much of it was resident: what tells how much of its memory
//! has pages.

use crate::analysis::mapping_history::{Event, Mapped, MappingHistory};
use crate::analysis::num::float;
use crate::analysis::spans::SpanSet;
use crate::analysis::wss::ResidentSample;
use damon_format::{Record, TargetId};
use std::collections::BTreeMap;
use std::ops::Range;

/// That of all targets.
#[derive(Debug, Default)]
pub(super) struct Backing {
    targets: BTreeMap<TargetId, Course>,
}

impl Backing {
    /// Of the sizes among records, and of mappings.
    pub(super) fn of(records: &[Record], history: &MappingHistory) -> Self {
        let mut targets: BTreeMap<TargetId, Course> = BTreeMap::new();
        for (target, events) in history.targets() {
            let changes = Maker::of(events).finish();
            if !changes.is_empty() {
                targets.entry(target).or_default().changes = changes;
            }
        }
        for record in records {
            if let Record::Memory(sample) = record {
                let sized = ResidentSample { time_ns: sample.time_ns, rss: sample.rss };
                targets.entry(sample.target).or_default().resident.push(sized);
            }
        }
        Self { targets }
    }

    pub(super) fn target(&self, target: TargetId) -> Option<&Course> {
        self.targets.get(&target)
    }
}

/// That of one target over time.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// Ascending; empty where mappings were not recorded.
    changes: Vec<Change>,
    /// Ascending.
    resident: Vec<ResidentSample>,
}

/// Addresses that cannot be accessed any more, and others that can be from now on.
#[derive(Debug)]
pub(super) struct Change {
    time_ns: u64,
    pub(super) gone: Vec<Range<u64>>,
    pub(super) come: Vec<Range<u64>>,
}

impl Course {
    /// Whether it is known at all what could be accessed.
    pub(super) fn has_mappings(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The changes up to a moment that are not among the first `known`.
    pub(super) fn changes(&self, known: usize, until_ns: u64) -> impl Iterator<Item = &Change> {
        let rest = self.changes.get(known..).unwrap_or_default();
        rest.iter().take_while(move |change| change.time_ns <= until_ns)
    }

    /// Bytes resident at a moment; before the first sample, those of the first one.
    pub(super) fn resident_at(&self, time_ns: u64) -> Option<f64> {
        resident_at(&self.resident, time_ns)
    }
}

/// The resident size that holds at a moment; before the first sample, that of the first one.
pub(super) fn resident_at(series: &[ResidentSample], time_ns: u64) -> Option<f64> {
    let behind = series.partition_point(|sample| sample.time_ns <= time_ns);
    series.get(behind.saturating_sub(1)).map(|sample| float(sample.rss))
}

#[derive(Clone, Copy, Debug)]
struct Alive {
    end: u64,
    has_rights: bool,
}

/// A course under way. Many mappings come as several records of one time, which are one change.
#[derive(Debug, Default)]
struct Maker {
    alive: BTreeMap<u64, Alive>,
    /// Of each time, what was taken away and what was added: with any right to access it, and without.
    steps: Vec<(u64, [Step; 2])>,
}

#[derive(Debug, Default)]
struct Step {
    removed: SpanSet,
    added: SpanSet,
}

impl Maker {
    fn of(events: &[Event]) -> Self {
        let mut maker = Self::default();
        for event in events {
            match event {
                Event::Changed(change) => {
                    maker.change(change.time_ns, &change.removed, &change.added);
                }
                // Another program has mappings of its own, which are told when they are seen.
                Event::Executed { time_ns, .. } if !maker.steps.is_empty() => {
                    let all: Vec<u64> = maker.alive.keys().copied().collect();
                    maker.change(*time_ns, &all, &[]);
                }
                Event::Executed { .. } | Event::Started { .. } | Event::Exited { .. } => {}
            }
        }
        maker
    }

    fn change(&mut self, time_ns: u64, removed: &[u64], added: &[Mapped]) {
        // Time does not go back.
        let last_ns = self.steps.last().map(|step| step.0);
        if last_ns.is_none_or(|last_ns| last_ns < time_ns) {
            self.steps.push((time_ns, Default::default()));
        }
        let Some((_, steps)) = self.steps.last_mut() else { return };
        let mut take = |start: u64, alive: Alive| {
            let Step { removed, added } = of(steps, alive);
            added.remove(&(start..alive.end));
            removed.insert(start..alive.end);
        };
        for start in removed {
            if let Some(gone) = self.alive.remove(start) {
                take(*start, gone);
            }
        }
        for mapping in added.iter().filter(|mapping| mapping.start < mapping.end) {
            let new = Alive { end: mapping.end, has_rights: mapping.has_rights() };
            if let Some(replaced) = self.alive.insert(mapping.start, new) {
                take(mapping.start, replaced);
            }
        }
        for mapping in added {
            if let Some(new) = self.alive.get(&mapping.start) {
                of(steps, *new).added.insert(mapping.start..new.end);
            }
        }
    }

    fn finish(self) -> Vec<Change> {
        let any_rights = self.steps.iter().any(|(_, [with, _])| !with.added.is_empty());
        let mut changes: Vec<Change> = Vec::new();
        for (time_ns, [with, without]) in self.steps {
            // Where no mapping has any right, rights were not recorded.
            let Step { removed, added } = if any_rights { with } else { without };
            let gone: Vec<Range<u64>> = removed.difference(&added).ranges().collect();
            let come: Vec<Range<u64>> = added.difference(&removed).ranges().collect();
            // What is found first was there before.
            let time_ns = if changes.is_empty() { 0 } else { time_ns };
            changes.push(Change { time_ns, gone, come });
        }
        changes.retain(|change| {
            change.time_ns == 0 || !(change.gone.is_empty() && change.come.is_empty())
        });
        changes
    }
}

fn of(steps: &mut [Step; 2], alive: Alive) -> &mut Step {
    let [with, without] = steps;
    if alive.has_rights { with } else { without }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::{Mapping, MappingsChanged, Permissions, TargetExecuted};

    const T: TargetId = TargetId(0);

    fn mapping(start: u64, end: u64, read: bool) -> Mapping {
        Mapping {
            start,
            end,
            permissions: Permissions { read, ..Permissions::default() },
            offset: 0,
            inode: 0,
            name: String::new(),
        }
    }

    fn change(time_ns: u64, removed: &[u64], added: Vec<Mapping>) -> Record {
        let removed = removed.to_vec();
        Record::MappingsChanged(MappingsChanged { target: T, time_ns, removed, added })
    }

    /// Time, what is gone and what has come.
    type Listed = (u64, Vec<(u64, u64)>, Vec<(u64, u64)>);

    fn list(records: &[Record]) -> Vec<Listed> {
        let backing = Backing::of(&[], &MappingHistory::of(records));
        let pairs = |ranges: &[Range<u64>]| ranges.iter().map(|r| (r.start, r.end)).collect();
        let changes = backing.target(T).unwrap().changes(0, u64::MAX);
        changes.map(|c| (c.time_ns, pairs(&c.gone), pairs(&c.come))).collect()
    }

    #[test]
    fn a_mapping_that_grows_or_is_split_does_not_go() {
        let records = [
            change(5, &[], vec![mapping(10, 20, true), mapping(30, 50, true)]),
            // Grows; its other half loses its rights, told in two records of one time.
            change(7, &[10, 30], vec![mapping(10, 25, true), mapping(30, 40, true)]),
            change(7, &[], vec![mapping(40, 50, false)]),
            // The same again changes nothing.
            change(8, &[10], vec![mapping(10, 25, true)]),
            change(9, &[30], vec![]),
        ];
        let right = [
            (0, vec![], vec![(10, 20), (30, 50)]),
            (7, vec![(40, 50)], vec![(20, 25)]),
            (9, vec![(30, 40)], vec![]),
        ];
        assert_eq!(list(&records), right);
    }

    #[test]
    fn another_program_has_nothing_of_the_one_before() {
        let executed =
            TargetExecuted { target: T, time_ns: 6, comm: String::new(), exe: String::new() };
        let records = [
            change(5, &[], vec![mapping(10, 20, true)]),
            Record::TargetExecuted(executed),
            change(8, &[], vec![mapping(15, 20, true)]),
        ];
        let right =
            [(0, vec![], vec![(10, 20)]), (6, vec![(10, 20)], vec![]), (8, vec![], vec![(15, 20)])];
        assert_eq!(list(&records), right);
    }

    #[test]
    fn without_any_rights_all_counts() {
        let records = [
            change(5, &[], vec![mapping(10, 20, false)]),
            change(6, &[10], vec![mapping(10, 15, false)]),
        ];
        let right = [(0, vec![], vec![(10, 20)]), (6, vec![(15, 20)], vec![])];
        assert_eq!(list(&records), right);
    }
}
