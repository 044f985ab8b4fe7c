//! Which mapping of one run is which of another. Most are told by their [identity](MappingId) alone; here is what is done
//! about the rest: programs that were built into another folder, or anew, and memory whose size passed a power of two.

use crate::analysis::groups::{MappingId, MemoryKind};
use crate::analysis::num::float;
use std::collections::{BTreeMap, HashMap};

/// The mappings of several runs under common names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Matching {
    /// Each by its identity in the first run that has it.
    pub(super) mappings: Vec<MappingId>,
    /// Their sizes there, bytes.
    sizes: Vec<u64>,
    /// Of each run: its mappings, and their index in [`mappings`](Self::mappings).
    pub(super) of: Vec<BTreeMap<MappingId, usize>>,
}

/// Pairs of memory without a name that are looked at; beyond that, identities must do.
const MOST_PAIRS: usize = 1 << 22;

/// A place further in the order of appearance is as unlike as such a part of a power of two in size.
const OF_ORDER: f64 = 0.01;

impl Matching {
    /// Matches the mappings of runs, given with their greatest sizes, with those of the runs before.
    pub(super) fn new(runs: &[BTreeMap<MappingId, u64>]) -> Self {
        let mut all = Self::default();
        for run in runs {
            let found = all.take(run);
            all.of.push(found);
        }
        all
    }

    fn take(&mut self, run: &BTreeMap<MappingId, u64>) -> BTreeMap<MappingId, usize> {
        let mut pairs = Pairs { found: BTreeMap::new(), free: vec![true; self.mappings.len()] };
        let known: HashMap<&MappingId, usize> = self.mappings.iter().zip(0..).collect();
        let nameless = run.keys().filter(|id| is_nameless(id)).count();
        let by_size = nameless.saturating_mul(self.mappings.len()) <= MOST_PAIRS;
        for id in run.keys().filter(|id| !(by_size && is_nameless(id))) {
            if let Some(index) = known.get(id) {
                pairs.join(id, *index);
            }
        }
        self.files(run, &mut pairs);
        if by_size {
            self.nameless(run, &mut pairs);
        }
        let Pairs { mut found, .. } = pairs;
        for (id, size) in run {
            if !found.contains_key(id) {
                found.insert(id.clone(), self.mappings.len());
                self.mappings.push(self.unused(id));
                self.sizes.push(*size);
            }
        }
        found
    }

    /// The identity, with the next number that is free where something else is called so already.
    fn unused(&self, id: &MappingId) -> MappingId {
        let mut id = id.clone();
        while self.mappings.contains(&id) {
            id.order = Some(id.order.map_or(1, |order| order.saturating_add(1)));
        }
        id
    }

    /// Files of the same name in whatever folder: first the same part of them, then in the order of their parts.
    fn files(&self, run: &BTreeMap<MappingId, u64>, pairs: &mut Pairs) {
        let mut free: HashMap<(MemoryKind, &str), Vec<usize>> = HashMap::new();
        for (index, id) in self.mappings.iter().enumerate() {
            if has_file(id) && pairs.is_free(index) {
                free.entry((id.kind, base_name(id))).or_default().push(index);
            }
        }
        for same_part in [true, false] {
            for id in run.keys().filter(|id| has_file(id)) {
                let Some(like) = free.get_mut(&(id.kind, base_name(id))) else { continue };
                let start = |id: &MappingId| id.file_range.map(|range| range.start);
                let fits = |index: &usize| {
                    self.mappings.get(*index).is_some_and(|k| !same_part || start(k) == start(id))
                };
                if pairs.found.contains_key(id) {
                    continue;
                }
                if let Some(at) = like.iter().position(fits) {
                    pairs.join(id, like.remove(at));
                }
            }
        }
    }

    /// Memory without a name: those go together whose sizes are nearest, at most twice or half of the next power of two; among
    /// equals the order in which they appeared decides.
    fn nameless(&self, run: &BTreeMap<MappingId, u64>, pairs: &mut Pairs) {
        let mut near: Vec<(f64, &MappingId, usize)> = Vec::new();
        for (id, size) in run.iter().filter(|(id, _)| is_nameless(id)) {
            for (index, known) in self.mappings.iter().enumerate() {
                let classes = known.size_class.zip(id.size_class);
                if known.kind != id.kind || classes.is_none_or(|(a, b)| a.abs_diff(b) > 1) {
                    continue;
                }
                let size_of_known = self.sizes.get(index).copied().unwrap_or(0);
                let ratio = float((*size).max(1)) / float(size_of_known.max(1));
                let order = known.order.zip(id.order).map_or(0, |(a, b)| a.abs_diff(b));
                near.push((ratio.log2().abs() + f64::from(order) * OF_ORDER, id, index));
            }
        }
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
        for (_, id, index) in near {
            if pairs.is_free(index) && !pairs.found.contains_key(id) {
                pairs.join(id, index);
            }
        }
    }
}

/// What was matched, and what is still free.
struct Pairs {
    found: BTreeMap<MappingId, usize>,
    free: Vec<bool>,
}

impl Pairs {
    fn is_free(&self, index: usize) -> bool {
        self.free.get(index).copied().unwrap_or(false)
    }

    fn join(&mut self, id: &MappingId, index: usize) {
        if let Some(free) = self.free.get_mut(index) {
            *free = false;
        }
        self.found.insert(id.clone(), index);
    }
}

fn has_file(id: &MappingId) -> bool {
    let kind = matches!(id.kind, MemoryKind::File | MemoryKind::Bss | MemoryKind::Shared);
    kind && !base_name(id).is_empty()
}

fn is_nameless(id: &MappingId) -> bool {
    id.size_class.is_some()
}

fn base_name(id: &MappingId) -> &str {
    id.name.rsplit('/').next().unwrap_or_default()
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

    fn run(ids: &[MappingId]) -> BTreeMap<MappingId, u64> {
        ids.iter().map(|id| (id.clone(), id.size_class.map_or(0, |class| 1 << class))).collect()
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
    fn sizes_tell_memory_without_a_name_apart() {
        let anonymous = MappingId::anonymous;
        let a = BTreeMap::from([(anonymous(24 << 20, 0), 24 << 20)]);
        // Something new of the same class came first.
        let b = BTreeMap::from([
            (anonymous(16 << 20, 0), 16 << 20),
            (anonymous(24 << 20, 1), 24 << 20),
        ]);
        let found = Matching::new(&[a, b]);
        assert_eq!(found.of[1][&anonymous(24 << 20, 1)], 0);
        assert_eq!(found.of[1][&anonymous(16 << 20, 0)], 1);
        assert_eq!(found.mappings[1], anonymous(16 << 20, 1), "no two with one name");
        // Among equals, the order.
        let many = |n: u32| (0..n).map(|i| (anonymous(64 << 20, i), 64 << 20)).collect();
        let found = Matching::new(&[many(5), many(7)]);
        assert!(found.of[1].iter().all(|(id, index)| id.order.map(|o| o as usize) == Some(*index)));
    }

    #[test]
    fn every_mapping_has_one_place() {
        let a = run(&[MappingId::anonymous(1 << 20, 0)]);
        let b = run(&[MappingId::anonymous(1 << 21, 0), MappingId::anonymous(1 << 21, 1)]);
        let found = Matching::new(&[a, b]);
        let places: std::collections::BTreeSet<usize> = found.of[1].values().copied().collect();
        assert_eq!(places.len(), 2);
    }
}
