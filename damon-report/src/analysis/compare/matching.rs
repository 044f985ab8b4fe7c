//! Which mapping of one run is which of another. Most are told by their [identity](MappingId) alone; here is what is done
//! about the rest: programs that were built into another folder, or anew, and memory whose size passed a power of two.

use crate::analysis::groups::{MappingId, MemoryKind};
use std::collections::{BTreeMap, BTreeSet};

/// The mappings of several runs under common names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Matching {
    /// Each by its identity in the first run that has it.
    pub mappings: Vec<MappingId>,
    /// Of each run: its mappings, and their index in [`mappings`](Self::mappings).
    pub of: Vec<BTreeMap<MappingId, usize>>,
}

impl Matching {
    /// Matches the mappings of runs with those of the runs before.
    pub(super) fn new(runs: &[BTreeSet<MappingId>]) -> Self {
        let mut all = Self::default();
        for run in runs {
            let found = all.take(run);
            all.of.push(found);
        }
        all
    }

    fn take(&mut self, run: &BTreeSet<MappingId>) -> BTreeMap<MappingId, usize> {
        let mut found: BTreeMap<MappingId, usize> = BTreeMap::new();
        let mut free: Vec<usize> = (0..self.mappings.len()).collect();
        let mut pair = |id: &MappingId, index: usize, free: &mut Vec<usize>| {
            free.retain(|other| *other != index);
            found.insert(id.clone(), index);
        };
        let mut left: Vec<&MappingId> = Vec::new();
        for id in run {
            match self.mappings.iter().position(|known| known == id) {
                Some(index) => pair(id, index, &mut free),
                None => left.push(id),
            }
        }
        for likeness in [same_file_part, same_file, same_place_near_size, near_size] {
            let mut rest = Vec::new();
            for id in left {
                let like = free.iter().copied().find(|index| {
                    self.mappings.get(*index).is_some_and(|known| likeness(known, id))
                });
                match like {
                    Some(index) => pair(id, index, &mut free),
                    None => rest.push(id),
                }
            }
            left = rest;
        }
        for id in left {
            found.insert(id.clone(), self.mappings.len());
            self.mappings.push(id.clone());
        }
        found
    }
}

fn base_name(id: &MappingId) -> &str {
    id.name.rsplit('/').next().unwrap_or_default()
}

/// In whatever folder, with the same part of it mapped.
fn same_file_part(a: &MappingId, b: &MappingId) -> bool {
    same_file(a, b)
        && a.file_range.map(|range| range.start) == b.file_range.map(|range| range.start)
}

/// In whatever folder; both are in the order of their parts.
fn same_file(a: &MappingId, b: &MappingId) -> bool {
    let has_file = matches!(a.kind, MemoryKind::File | MemoryKind::Bss | MemoryKind::Shared);
    has_file && a.kind == b.kind && !base_name(a).is_empty() && base_name(a) == base_name(b)
}

fn same_place_near_size(a: &MappingId, b: &MappingId) -> bool {
    near_size(a, b) && a.order == b.order
}

/// Half to four times as large.
fn near_size(a: &MappingId, b: &MappingId) -> bool {
    let near = a.size_class.zip(b.size_class).is_some_and(|(a, b)| a.abs_diff(b) <= 1);
    a.kind == b.kind && a.name == b.name && near
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::groups::FileRange;

    fn file(name: &str, start: u64, end: u64) -> MappingId {
        MappingId {
            name: name.to_owned(),
            file_range: Some(FileRange { start, end }),
            ..MappingId::kind(MemoryKind::File)
        }
    }

    fn run(ids: &[MappingId]) -> BTreeSet<MappingId> {
        ids.iter().cloned().collect()
    }

    #[test]
    fn a_program_that_was_built_elsewhere_is_the_same() {
        let a = run(&[
            file("/a/prog", 0, 0x1000),
            file("/a/prog", 0x1000, 0x5000),
            file("/lib/c", 0, 9),
        ]);
        let b = run(&[
            file("/b/prog", 0, 0x1000),
            file("/b/prog", 0x2000, 0x9000),
            file("/lib/d", 0, 9),
        ]);
        let found = Matching::new(&[a, b]);
        assert_eq!(found.mappings.len(), 4);
        assert_eq!(found.of[1][&file("/b/prog", 0, 0x1000)], 0);
        assert_eq!(found.of[1][&file("/b/prog", 0x2000, 0x9000)], 1);
        assert_eq!(found.of[1][&file("/lib/d", 0, 9)], 3, "not the other library");
    }

    #[test]
    fn memory_that_grew_past_a_power_of_two_is_the_same() {
        let anonymous = MappingId::anonymous;
        let a = run(&[anonymous(60 << 20, 0), anonymous(1 << 30, 0)]);
        let b = run(&[anonymous(70 << 20, 0), anonymous(1 << 30, 0), anonymous(1 << 12, 0)]);
        let found = Matching::new(&[a, b]);
        assert_eq!(found.of[1][&anonymous(70 << 20, 0)], 0);
        assert_eq!(found.of[1][&anonymous(1 << 30, 0)], 1);
        assert_eq!(found.of[1][&anonymous(1 << 12, 0)], 2, "nothing of its size before");
    }

    #[test]
    fn every_mapping_has_one_place() {
        let a = run(&[MappingId::anonymous(1 << 20, 0)]);
        let b = run(&[MappingId::anonymous(1 << 21, 0), MappingId::anonymous(1 << 21, 1)]);
        let found = Matching::new(&[a, b]);
        let places: BTreeSet<usize> = found.of[1].values().copied().collect();
        assert_eq!(places.len(), 2);
    }
}
