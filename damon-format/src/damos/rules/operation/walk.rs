//! The order in which regions are visited, and what happens to those that are cut meanwhile.

use super::state::Pattern;
use crate::Region;

/// One region's turn in a walk.
pub(super) struct WalkTurn {
    pub(super) region: Region,
    /// What was cut off, the last one first in the address space.
    pub(super) remainders: Vec<Region>,
    /// What will not be visited again.
    done: Vec<Region>,
    /// Others come after.
    has_next: bool,
}

impl WalkTurn {
    pub(super) fn is_last(&self) -> bool {
        !self.has_next && self.remainders.is_empty()
    }

    /// Gives up the part below `address`.
    pub(super) fn skip_until(&mut self, address: u64) {
        let left = Region { end: address, ..self.region };
        self.region.start = address;
        self.done.push(left);
    }
}

/// Visits regions one by one, and what is cut off them after them, in this walk if `visits_remainders`.
pub(super) fn walk(
    regions: &mut Vec<Region>,
    room: &mut Vec<Region>,
    visits_remainders: bool,
    mut visit: impl FnMut(&mut WalkTurn),
) {
    let input = std::mem::replace(regions, std::mem::take(room));
    let mut rest = input.iter().copied();
    let mut waiting: Vec<Region> = Vec::new();
    let mut turn = WalkTurn {
        region: Region { start: 0, end: 0, nr_accesses: 0, age: 0 },
        remainders: Vec::new(),
        done: std::mem::take(regions),
        has_next: false,
    };
    turn.done.clear();
    while let Some(region) = waiting.pop().or_else(|| rest.next()) {
        turn.region = region;
        turn.has_next = !waiting.is_empty() || rest.len() > 0;
        visit(&mut turn);
        turn.done.push(turn.region);
        if visits_remainders {
            waiting.append(&mut turn.remainders);
        } else {
            turn.done.extend(turn.remainders.drain(..).rev());
        }
    }
    *regions = turn.done;
    *room = input;
}

/// Visits the regions that match one of some patterns, and the last one; none may be cut.
pub(super) fn visit_matching(
    regions: &mut [Region],
    patterns: &[Pattern],
    mut visit: impl FnMut(&mut WalkTurn),
) {
    let mut rest = regions.iter_mut();
    while let Some(region) = rest.next() {
        let has_next = rest.len() > 0;
        if has_next && !patterns.iter().any(|pattern| pattern.matches(region)) {
            continue;
        }
        let (remainders, done) = (Vec::new(), Vec::new());
        let mut turn = WalkTurn { region: *region, remainders, done, has_next };
        visit(&mut turn);
        *region = turn.region;
    }
}
