//! What happens to ages when something was done to memory.

use super::Engine;
use crate::monitor::region::{AddressRange, MonitoredRegion, align_down, align_up};
use damon_format::TargetId;

impl Engine {
    /// An action was applied to `range` of a target, which gives that memory a new life: its age is 0, like
    /// the kernel's after `damos_apply_scheme`.
    ///
    /// Regions that lie across an end of the range (rounded outwards to granules) are cut there. There may be more
    /// regions than the maximum until the next aggregation merges some; a target that gets other
    /// regions during a round sits that round out. Nothing happens to an unknown target.
    pub fn reset_age(&mut self, id: TargetId, range: AddressRange) {
        let granule = self.granule;
        let range = AddressRange {
            start: align_down(range.start, granule),
            end: align_up(range.end, granule).unwrap_or(u64::MAX),
        };
        let position = self.position(id);
        let Some(target) = position.ok().and_then(|position| self.targets.get_mut(position)) else {
            return;
        };
        if range.size() == 0 {
            return;
        }
        let cuts = cut(&mut target.regions, range.start) | cut(&mut target.regions, range.end);
        if cuts {
            target.points.clear();
        }
        let first = target.regions.partition_point(|region| region.start < range.start);
        let inside = target.regions.get_mut(first..).unwrap_or(&mut []);
        for region in inside.iter_mut().take_while(|region| region.end <= range.end) {
            region.age = 0;
        }
    }
}

/// Cuts the region that `address` lies strictly inside of, if there is one.
fn cut(regions: &mut Vec<MonitoredRegion>, address: u64) -> bool {
    let behind = regions.partition_point(|region| region.start < address);
    let left = behind.checked_sub(1).and_then(|index| regions.get_mut(index));
    match left.and_then(|region| region.split_off(address)) {
        Some(right) => {
            regions.insert(behind, right);
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::Attrs;
    use proptest::prelude::*;

    const ID: TargetId = TargetId(3);
    const GRANULE: u64 = 4096;

    fn engine(ranges: &[(u64, u64)]) -> Engine {
        let attrs = Attrs {
            sample_us: 5_000,
            aggr_us: 10_000,
            update_us: 1_000_000,
            min_nr_regions: 3,
            max_nr_regions: 40,
        };
        let mut engine = Engine::new(attrs, GRANULE, 1).unwrap();
        engine.add_target(ID).unwrap();
        let ranges: Vec<AddressRange> = ranges
            .iter()
            .map(|(start, end)| AddressRange { start: start * GRANULE, end: end * GRANULE })
            .collect();
        engine.set_ranges(ID, &ranges).unwrap();
        engine
    }

    /// Two rounds and an aggregation in which nothing is accessed.
    fn idle(engine: &mut Engine) {
        let mut due = false;
        while !due {
            engine.begin_round();
            let Ok(()) = engine.record(ID, |_, _| Ok::<(), std::convert::Infallible>(()));
            due = engine.end_round().aggregation;
        }
        drop(engine.aggregate());
    }

    fn range(start: u64, end: u64) -> AddressRange {
        AddressRange { start, end }
    }

    /// The age of each granule.
    fn ages(engine: &Engine) -> Vec<(u64, u32)> {
        let regions = engine.regions(ID).iter();
        regions
            .flat_map(|r| (r.start / GRANULE..r.end / GRANULE).map(|page| (page, r.age)))
            .collect()
    }

    #[test]
    fn only_the_range_gets_a_new_age() {
        let mut engine = engine(&[(0, 30), (50, 60)]);
        for _ in 0..4 {
            idle(&mut engine);
        }
        assert!(ages(&engine).iter().all(|(_, age)| *age == 4));
        // Not at granules, across a gap.
        engine.reset_age(ID, range(9 * GRANULE + 1, 52 * GRANULE - 1));
        for (page, age) in ages(&engine) {
            assert_eq!(age, if (9..52).contains(&page) { 0 } else { 4 }, "{page}");
        }
        assert_eq!(ages(&engine).len(), 40, "nothing is lost");
    }

    #[test]
    fn what_was_reset_ages_from_0() {
        let mut engine = engine(&[(0, 30)]);
        for _ in 0..9 {
            idle(&mut engine);
        }
        engine.reset_age(ID, range(0, 30 * GRANULE));
        idle(&mut engine);
        idle(&mut engine);
        assert!(ages(&engine).iter().all(|(_, age)| *age == 2), "{:?}", ages(&engine));
    }

    #[test]
    fn a_round_with_other_regions_is_sat_out() {
        let mut engine = engine(&[(0, 30)]);
        let border = engine.regions(ID)[0].end;
        engine.begin_round();
        engine.reset_age(ID, range(0, border));
        assert_eq!(engine.points().count(), 1, "no region was cut");
        engine.reset_age(ID, range(GRANULE, 2 * GRANULE));
        assert_eq!(engine.points().count(), 0);
    }

    #[test]
    fn unknown_targets_and_empty_ranges_do_no_harm() {
        let mut engine = engine(&[(1, 30)]);
        idle(&mut engine);
        let before = engine.regions(ID).to_vec();
        engine.reset_age(TargetId(9), range(0, u64::MAX));
        engine.reset_age(ID, range(0, 0));
        engine.reset_age(ID, range(100 * GRANULE, 200 * GRANULE));
        engine.reset_age(ID, range(9 * GRANULE, 3 * GRANULE));
        let covered = |regions: &[MonitoredRegion]| -> Vec<(u64, u32)> {
            let pages =
                regions.iter().flat_map(|r| (r.start..r.end).step_by(4096).zip([r.age; 999]));
            pages.collect()
        };
        assert_eq!(covered(engine.regions(ID)), covered(&before));
        engine.reset_age(ID, range(0, u64::MAX));
        assert!(ages(&engine).iter().all(|(_, age)| *age == 0));
    }

    proptest! {
        #[test]
        fn coverage_stays_and_ages_are_0_exactly_inside(
            start in 0..40_u64, size in 0..40_u64, rounds in 1..4,
        ) {
            let mut engine = engine(&[(0, 20), (25, 45)]);
            for _ in 0..rounds {
                idle(&mut engine);
            }
            engine.reset_age(ID, range(start * GRANULE, (start + size) * GRANULE));
            let regions = engine.regions(ID);
            prop_assert!(regions.windows(2).all(|w| w[0].end <= w[1].start));
            prop_assert!(regions.iter().all(|r| r.start < r.end));
            let all = ages(&engine);
            prop_assert_eq!(all.len(), 40);
            for (page, age) in all {
                prop_assert_eq!(age == 0, (start..start + size).contains(&page), "{}", page);
            }
        }
    }
}
