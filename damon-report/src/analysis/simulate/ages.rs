//! Ages as they would be if the simulated actions had happened: an action sets the age of its region to 0.
//!
//! What is kept is by how much the age of each address would be less than the recorded one. Where the recorded age starts
//! again, nothing of that is left. Where the monitor merges regions, the kernel gives them the mean of their ages by
//! size, fractions dropped, and so does this: what a quota or a filter has cut off is merged again in the next
//! aggregation, because merging asks for access frequencies only.

use damon_format::Region;

/// How much younger than recorded one stretch of addresses would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Younger {
    start: u64,
    end: u64,
    by: u32,
}

/// The differences of one target, ascending and disjoint; where there is none, ages are as recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ages {
    younger: Vec<Younger>,
}

impl Ages {
    /// Sets the ages of recorded regions, which ascend, to the simulated ones.
    pub(super) fn apply(&self, regions: &mut [Region]) {
        if self.younger.is_empty() {
            return;
        }
        let mut first = 0;
        for region in regions {
            while self.younger.get(first).is_some_and(|y| y.end <= region.start) {
                first += 1;
            }
            let behind = self.younger.get(first..).unwrap_or_default();
            match behind.first() {
                None => break,
                Some(next) if next.start >= region.end => continue,
                Some(one)
                    if one.start <= region.start && one.end >= region.end && region.size() > 0 =>
                {
                    region.age -= one.by.min(region.age);
                    continue;
                }
                Some(_) => {}
            }
            let inside = behind.iter().take_while(|y| y.start < region.end);
            let sum: u128 = inside
                .map(|y| {
                    let overlap = y.end.min(region.end).saturating_sub(y.start.max(region.start));
                    u128::from(overlap) * u128::from(y.by.min(region.age))
                })
                .sum();
            // The mean age drops its fraction, so that the mean difference keeps it.
            let by = sum.div_ceil(u128::from(region.size().max(1)));
            region.age = region.age.saturating_sub(u32::try_from(by).unwrap_or(u32::MAX));
        }
    }

    /// Learns from `now`, which are the `recorded` regions, possibly cut, with their simulated ages.
    pub(super) fn learn(&mut self, recorded: &[Region], now: &[Region]) {
        self.younger.clear();
        if recorded.len() == now.len() {
            // Nothing was cut.
            for (region, piece) in recorded.iter().zip(now) {
                self.add(region.age.saturating_sub(piece.age), piece);
            }
            return;
        }
        let mut recorded = recorded.iter().peekable();
        for piece in now {
            while recorded.next_if(|region| region.end <= piece.start).is_some() {}
            let Some(region) = recorded.peek() else { break };
            self.add(region.age.saturating_sub(piece.age), piece);
        }
    }

    fn add(&mut self, by: u32, piece: &Region) {
        if by == 0 {
            return;
        }
        match self.younger.last_mut() {
            Some(last) if last.end == piece.start && last.by == by => last.end = piece.end,
            _ => self.younger.push(Younger { start: piece.start, end: piece.end, by }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(start: u64, end: u64, age: u32) -> Region {
        Region { start, end, nr_accesses: 0, age }
    }

    fn ages(ages: &Ages, regions: &[(u64, u64, u32)]) -> Vec<u32> {
        let mut regions: Vec<Region> = regions.iter().map(|&(s, e, a)| region(s, e, a)).collect();
        ages.apply(&mut regions);
        regions.iter().map(|region| region.age).collect()
    }

    #[test]
    fn after_an_action_ages_grow_again_and_a_recorded_restart_ends_it() {
        let mut younger = Ages::default();
        younger
            .learn(&[region(0, 10, 7), region(10, 20, 9)], &[region(0, 10, 0), region(10, 20, 9)]);
        assert_eq!(ages(&younger, &[(0, 10, 8), (10, 20, 10)]), [1, 10]);
        assert_eq!(ages(&younger, &[(0, 10, 10), (10, 20, 0)]), [3, 0]);
        // Something has changed there: the recorded age starts again, the simulated one with it.
        younger.learn(&[region(0, 10, 0)], &[region(0, 10, 0)]);
        assert_eq!(ages(&younger, &[(0, 10, 5)]), [5]);
    }

    #[test]
    fn what_was_cut_is_merged_to_the_mean_without_fraction() {
        let mut younger = Ages::default();
        // 3 of 10 bytes have begun anew: (3 * 1 + 7 * 9) / 10 = 6.6.
        younger.learn(&[region(0, 10, 8)], &[region(0, 3, 0), region(3, 10, 8)]);
        assert_eq!(ages(&younger, &[(0, 10, 9)]), [6]);
        assert_eq!(ages(&younger, &[(0, 3, 9), (3, 10, 9)]), [1, 9], "unless it stays apart");
        assert_eq!(ages(&younger, &[(1, 3, 9), (5, 8, 2)]), [1, 2]);
    }
}
