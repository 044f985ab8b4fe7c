//! Which mapping of one run is which of another. Most are told by their [identity](MappingId) alone; here is what is done
//! about the rest: programs that were built into another folder, or anew, and memory whose size passed a power of two.

use crate::analysis::groups::{MappingId, MemoryKind};
use crate::analysis::num::float;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

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
const MOST_PAIRS: usize = 1 << 20;

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
        for id in run.keys().filter(|id| !is_nameless(id)) {
            if let Some(index) = known.get(id) {
                pairs.join(id, *index);
            }
        }
        self.files(run, &mut pairs);
        // Of the same size and in the same place of the order nothing can be nearer.
        for (id, size) in run.iter().filter(|(id, _)| is_nameless(id)) {
            let same = known.get(id).filter(|index| self.sizes.get(**index) == Some(size));
            if let Some(index) = same {
                pairs.join(id, *index);
            }
        }
        if !self.nameless(run, &mut pairs) {
            for id in run.keys().filter(|id| is_nameless(id)) {
                let index = known.get(id).filter(|index| pairs.is_free(**index)).copied();
                if let Some(index) = index.filter(|_| !pairs.found.contains_key(id)) {
                    pairs.join(id, index);
                }
            }
        }
        let Pairs { mut found, .. } = pairs;
        let mut used: HashSet<MappingId> = self.mappings.iter().cloned().collect();
        // Of each identity without its number, the one that was given last: what is below is taken.
        let mut given: HashMap<MappingId, u32> = HashMap::new();
        for (id, size) in run {
            if !found.contains_key(id) {
                found.insert(id.clone(), self.mappings.len());
                let unused = unused(id, &mut used, &mut given);
                self.mappings.push(unused);
                self.sizes.push(*size);
            }
        }
        found
    }

    /// Files of the same name in whatever folder: first the same part of them, then in the order of their parts.
    fn files(&self, run: &BTreeMap<MappingId, u64>, pairs: &mut Pairs) {
        let start = |id: &MappingId| id.file_range.map(|range| range.start);
        let mut by_part: HashMap<_, VecDeque<usize>> = HashMap::new();
        let mut by_name: HashMap<_, VecDeque<usize>> = HashMap::new();
        for (index, id) in self.mappings.iter().enumerate() {
            if has_file(id) && pairs.is_free(index) {
                let name = (id.kind, base_name(id));
                by_part.entry((name, start(id))).or_default().push_back(index);
                by_name.entry(name).or_default().push_back(index);
            }
        }
        let files = || run.keys().filter(|id| has_file(id));
        for id in files() {
            let like = by_part.get_mut(&((id.kind, base_name(id)), start(id)));
            pairs.join_first(id, like);
        }
        for id in files() {
            pairs.join_first(id, by_name.get_mut(&(id.kind, base_name(id))));
        }
    }

    /// Memory without a name: those go together whose sizes are nearest, at most twice or half of the next power of two; among
    /// equals the order in which they appeared decides. `false` if there are too many to look at.
    fn nameless(&self, run: &BTreeMap<MappingId, u64>, pairs: &mut Pairs) -> bool {
        let mut alike: HashMap<(MemoryKind, u32), Vec<(usize, &MappingId)>> = HashMap::new();
        for (index, id) in self.mappings.iter().enumerate().filter(|(i, _)| pairs.is_free(*i)) {
            if let Some(class) = id.size_class {
                alike.entry((id.kind, class)).or_default().push((index, id));
            }
        }
        let mut near: Vec<(f64, &MappingId, usize)> = Vec::new();
        for (id, size) in run.iter().filter(|(id, _)| !pairs.found.contains_key(*id)) {
            let Some(class) = id.size_class else { continue };
            let classes = class.saturating_sub(1)..=class.saturating_add(1);
            let known = classes.filter_map(|class| alike.get(&(id.kind, class))).flatten();
            for (index, known) in known {
                let size_of_known = self.sizes.get(*index).copied().unwrap_or(0);
                let ratio = float((*size).max(1)) / float(size_of_known.max(1));
                let order = known.order.zip(id.order).map_or(0, |(a, b)| a.abs_diff(b));
                near.push((ratio.log2().abs() + f64::from(order) * OF_ORDER, id, *index));
            }
            if near.len() > MOST_PAIRS {
                return false;
            }
        }
        near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
        for (_, id, index) in near {
            if pairs.is_free(index) && !pairs.found.contains_key(id) {
                pairs.join(id, index);
            }
        }
        true
    }
}

/// The identity, with the next number that is free where something else is called so already. `given` holds the last number that was
/// given to each, below which none is free.
fn unused(
    id: &MappingId,
    used: &mut HashSet<MappingId>,
    given: &mut HashMap<MappingId, u32>,
) -> MappingId {
    let mut unused = id.clone();
    if used.contains(&unused) {
        let nameless = MappingId { order: None, ..id.clone() };
        let last = given.entry(nameless).or_insert(id.order.unwrap_or(0));
        while used.contains(&unused) && *last < u32::MAX {
            *last = last.saturating_add(1).max(1);
            unused.order = Some(*last);
        }
    }
    used.insert(unused.clone());
    unused
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

    /// Joins with the first of some that is still free.
    fn join_first(&mut self, id: &MappingId, like: Option<&mut VecDeque<usize>>) {
        let Some(like) = like.filter(|_| !self.found.contains_key(id)) else { return };
        while let Some(index) = like.pop_front() {
            if self.is_free(index) {
                return self.join(id, index);
            }
        }
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
    fn thousands_of_mappings_are_matched_one_by_one() {
        // Parts of one file, and memory of one size class, all of which moved on by one.
        let parts = |from: u64| {
            (from..from + 3000).map(|i| (file("/a/data", i << 12, (i + 1) << 12), 4096))
        };
        let memory = |from: u64| {
            (0..3000_u32).map(move |i| {
                let size = (1 << 20) + (from + u64::from(i)) * 4096;
                (MappingId { order: Some(i), ..MappingId::anonymous(1 << 20, 0) }, size)
            })
        };
        let a: BTreeMap<MappingId, u64> = parts(0).chain(memory(0)).collect();
        let b: BTreeMap<MappingId, u64> = parts(1).chain(memory(1)).collect();
        let found = Matching::new(&[a.clone(), b, a]);
        // One part is new, and nothing else; the first one is found again.
        assert_eq!(found.mappings.len(), 6000);
        assert_eq!(
            found.of[1][&file("/a/data", 3000 << 12, 3001 << 12)],
            found.of[0][&file("/a/data", 0, 1 << 12)]
        );
        assert_eq!(found.of[0], found.of[2]);
        for of in &found.of {
            let places: HashSet<usize> = of.values().copied().collect();
            assert_eq!(places.len(), 6000);
        }
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
