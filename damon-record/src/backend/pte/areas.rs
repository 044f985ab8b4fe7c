//! What is known of each mapping of the target: whether clearing single pages works there.

use super::clear::Barrier;
use damon_format::Mapping;

/// After this many pages in a row of one mapping that could not be cleared singly …
const STREAK: u8 = 8;
/// … it is not tried for this many rounds: one second at the usual 5 ms. What bars the kernel may end
/// (munlock, the exit of a forked process) without a change of the mappings.
const REST: u16 = 200;

/// One mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    /// First byte.
    pub(super) start: u64,
    /// One past the last byte.
    pub(super) end: u64,
    /// Whether its pages are a file's or shared memory's: these come in large folios on many file
    /// systems.
    pub(super) backed: bool,
    /// Why clearing single pages is not tried, and for how many more rounds.
    resting: Option<(Barrier, u16)>,
    streak: u8,
    /// Whether `clear_refs` clears what is mapped here, once it is known.
    pub(super) cleared_by_clear_refs: Option<bool>,
}

impl Area {
    fn new(mapping: &Mapping) -> Self {
        Self {
            start: mapping.start,
            end: mapping.end,
            backed: mapping.inode != 0 || mapping.permissions.shared,
            resting: None,
            streak: 0,
            cleared_by_clear_refs: None,
        }
    }

    /// Why it is pointless to try now.
    pub(super) fn barrier(&self) -> Option<Barrier> {
        self.resting.map(|(barrier, _)| barrier)
    }

    /// The kernel refuses the whole mapping.
    pub(super) fn rest(&mut self, barrier: Barrier) {
        self.resting = Some((barrier, REST));
    }

    /// One page could not be cleared.
    pub(super) fn failed(&mut self, barrier: Barrier) {
        self.streak = self.streak.saturating_add(1);
        if self.streak >= STREAK {
            self.rest(barrier);
        }
    }

    /// One page was cleared.
    pub(super) fn succeeded(&mut self) {
        self.streak = 0;
    }
}

/// All mappings, ascending.
#[derive(Debug, Default)]
pub(super) struct Areas {
    areas: Vec<Area>,
    /// Where the last search ended: most come in ascending order.
    cursor: usize,
}

impl Areas {
    /// The mappings as they are now; what is known of those that stay is kept.
    pub(super) fn replace(&mut self, mappings: &[Mapping]) {
        let mut new: Vec<Area> =
            mappings.iter().filter(|m| m.start < m.end).map(Area::new).collect();
        new.sort_unstable_by_key(|area| area.start);
        for area in &mut new {
            let same = self.areas.binary_search_by_key(&area.start, |old| old.start);
            let same = same.ok().and_then(|index| self.areas.get(index));
            if let Some(old) = same.filter(|old| old.end == area.end && old.backed == area.backed) {
                *area = *old;
            }
        }
        self.areas = new;
        self.cursor = 0;
    }

    /// A round begins: resting mappings have one round less to rest.
    pub(super) fn begin_round(&mut self) {
        for area in &mut self.areas {
            if let Some((_, rounds)) = &mut area.resting {
                *rounds -= 1;
                if *rounds == 0 {
                    area.resting = None;
                    // One more failure is enough to rest again.
                    area.streak = STREAK - 1;
                }
            }
        }
    }

    /// The mapping of `address`, if it is known.
    pub(super) fn at(&mut self, address: u64) -> Option<&mut Area> {
        let contains = |area: &Area| area.start <= address && address < area.end;
        if !self.areas.get(self.cursor).is_some_and(contains) {
            self.cursor = self.areas.partition_point(|area| area.end <= address);
        }
        self.areas.get_mut(self.cursor).filter(|area| contains(area))
    }

    /// Where the mapping of `address` ends or, between mappings, the next one begins.
    pub(super) fn border_after(&mut self, address: u64) -> u64 {
        if let Some(area) = self.at(address) {
            return area.end;
        }
        // `at` has left the cursor at the first mapping that ends after the address.
        self.areas.get(self.cursor).map_or(u64::MAX, |area| area.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::Permissions;

    fn mapping(start: u64, end: u64, inode: u64) -> Mapping {
        Mapping {
            start,
            end,
            permissions: Permissions::default(),
            offset: 0,
            inode,
            name: String::new(),
        }
    }

    #[test]
    fn addresses_are_found_in_any_order() {
        let mut areas = Areas::default();
        areas.replace(&[mapping(0x5000, 0x7000, 0), mapping(0x1000, 0x3000, 0)]);
        for (address, start) in [
            (0x6fff, Some(0x5000)),
            (0x1000, Some(0x1000)),
            (0x3000, None),
            (0x5000, Some(0x5000)),
            (0, None),
            (0x7000, None),
            (0x2fff, Some(0x1000)),
        ] {
            assert_eq!(areas.at(address).map(|area| area.start), start, "{address:x}");
        }
    }

    #[test]
    fn borders_are_ends_of_mappings_and_of_gaps() {
        let mut areas = Areas::default();
        areas.replace(&[mapping(0x1000, 0x3000, 0), mapping(0x5000, 0x7000, 0)]);
        for (address, border) in
            [(0, 0x1000), (0x1000, 0x3000), (0x3000, 0x5000), (0x6000, 0x7000), (0x7000, u64::MAX)]
        {
            assert_eq!(areas.border_after(address), border, "{address:x}");
        }
    }

    #[test]
    fn what_is_known_survives_with_the_mapping_only() {
        let mut areas = Areas::default();
        areas.replace(&[mapping(0x1000, 0x3000, 0), mapping(0x5000, 0x7000, 0)]);
        for address in [0x1000, 0x5000] {
            areas.at(address).unwrap().rest(Barrier::Locked);
        }
        areas.replace(&[mapping(0x1000, 0x3000, 0), mapping(0x5000, 0x8000, 0)]);
        assert_eq!(areas.at(0x1000).unwrap().barrier(), Some(Barrier::Locked));
        assert_eq!(areas.at(0x5000).unwrap().barrier(), None, "another mapping");
    }

    #[test]
    fn single_failures_are_forgiven_and_rows_of_them_lead_to_a_rest_that_ends() {
        let mut areas = Areas::default();
        areas.replace(&[mapping(0x1000, 0x3000, 0)]);
        let at = |areas: &mut Areas| areas.at(0x1000).unwrap().barrier();
        for _ in 0..3 * STREAK {
            areas.at(0x1000).unwrap().failed(Barrier::Shared);
            areas.at(0x1000).unwrap().succeeded();
        }
        assert_eq!(at(&mut areas), None);
        for _ in 0..STREAK {
            areas.at(0x1000).unwrap().failed(Barrier::Shared);
        }
        for _ in 0..REST {
            assert_eq!(at(&mut areas), Some(Barrier::Shared));
            areas.begin_round();
        }
        assert_eq!(at(&mut areas), None);
        areas.at(0x1000).unwrap().failed(Barrier::Shared);
        assert_eq!(at(&mut areas), Some(Barrier::Shared), "tried once, and it had not ended");
    }
}
