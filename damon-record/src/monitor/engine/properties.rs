//! Whatever happens to an engine, its regions stay a partition of the monitored ranges.

use super::*;
use crate::monitor::merge;
use crate::monitor::rng::Rng;
use crate::monitor::synthetic::run_aggregation;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// Aggregations over blocks of addresses that each have an access rate of their own.
    Run {
        count: u8,
        block: u64,
        seed: u64,
    },
    /// Rounds that end before the aggregation does.
    Rounds(u8),
    Ranges {
        target: u32,
        ranges: Vec<AddressRange>,
    },
    Add(u32),
    Remove(u32),
    Attrs(Attrs),
}

fn attrs() -> impl Strategy<Value = Attrs> {
    (1_u64..50, 1_u64..30, 3_u32..40, 0_u32..200).prop_map(|(sample_us, rounds, min, more)| Attrs {
        sample_us,
        aggr_us: sample_us * rounds,
        update_us: sample_us * 7,
        min_nr_regions: min,
        max_nr_regions: min + more,
    })
}

/// Ascending ranges with gaps anywhere in the address space, up to its very end.
fn ranges() -> impl Strategy<Value = Vec<AddressRange>> {
    let address = prop_oneof![0_u64..1_000_000, any::<u64>(), (u64::MAX - 100_000)..=u64::MAX];
    proptest::collection::btree_set(address, 0..10).prop_map(|bounds| {
        let bounds: Vec<u64> = bounds.into_iter().collect();
        let pairs = bounds.chunks_exact(2);
        pairs.map(|pair| AddressRange { start: pair[0], end: pair[1] }).collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_u8..6, 1_u64..u64::MAX, any::<u64>())
            .prop_map(|(count, block, seed)| Step::Run { count, block, seed }),
        1 => (1_u8..20).prop_map(Step::Rounds),
        2 => (0_u32..3, ranges()).prop_map(|(target, ranges)| Step::Ranges { target, ranges }),
        1 => (0_u32..3).prop_map(Step::Add),
        1 => (0_u32..3).prop_map(Step::Remove),
        1 => attrs().prop_map(Step::Attrs),
    ]
}

/// Address blocks, each with its own access rate.
fn pattern(block: u64, seed: u64) -> impl FnMut(TargetId, u64) -> bool {
    let mut rng = Rng::new(seed);
    move |target, address| {
        let rate = Rng::new(seed ^ (address / block) ^ u64::from(target.0)).below(4);
        rng.below(3) < rate
    }
}

/// Touching regions joined: what is covered.
fn covered(regions: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, end) in regions {
        match joined.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => joined.push((start, end)),
        }
    }
    joined
}

struct World {
    engine: Engine,
    granule: u64,
    /// What each target should cover.
    expected: std::collections::BTreeMap<u32, Vec<(u64, u64)>>,
    /// True while no range has changed since an aggregation.
    settled: bool,
}

impl World {
    fn apply(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let engine = &mut self.engine;
        match step {
            Step::Run { count, block, seed } => {
                let mut accessed = pattern(*block, *seed);
                for _ in 0..*count {
                    let result = run_aggregation(engine, &mut accessed);
                    let largest = result.engine.size_limit();
                    for target in result.targets() {
                        for region in target.regions() {
                            prop_assert!(region.nr_accesses <= target.sampling.max_nr_accesses);
                            prop_assert!(region.size() <= largest);
                        }
                    }
                    let attrs = *result.engine.attrs();
                    let blocks: usize = self.expected.values().map(Vec::len).sum();
                    // Neighbours that the size limit keeps apart are larger than it together.
                    let unavoidable = 2 * attrs.min_nr_regions as usize + blocks;
                    let most = unavoidable.max(attrs.max_nr_regions as usize);
                    if self.settled {
                        prop_assert!(result.nr_regions() <= most);
                    }
                    self.settled = true;
                }
            }
            Step::Rounds(count) => {
                for _ in 0..*count {
                    engine.begin_round();
                    let _due = engine.end_round();
                }
            }
            Step::Ranges { target, ranges } => {
                let set = engine.set_ranges(TargetId(*target), ranges);
                if let Some(expected) = self.expected.get_mut(target) {
                    if let Ok(aligned) = ranges::aligned(ranges, self.granule) {
                        prop_assert_eq!(set, Ok(()));
                        *expected = covered(aligned.iter().map(|r| (r.start, r.end)));
                        self.settled = false;
                    } else {
                        prop_assert!(set.is_err());
                    }
                } else {
                    prop_assert_eq!(set, Err(EngineError::Unknown(TargetId(*target))));
                }
            }
            Step::Add(target) => {
                let new = engine.add_target(TargetId(*target)).is_ok();
                prop_assert_eq!(new, !self.expected.contains_key(target));
                self.expected.entry(*target).or_default();
            }
            Step::Remove(target) => {
                let gone = engine.remove_target(TargetId(*target)).is_ok();
                prop_assert_eq!(gone, self.expected.remove(target).is_some());
                self.settled = false;
            }
            Step::Attrs(attrs) => {
                engine.change_attrs(*attrs).unwrap();
                self.settled = false;
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (target, expected) in &self.expected {
            let regions = self.engine.regions(TargetId(*target));
            for region in regions {
                prop_assert!(region.start < region.end);
                prop_assert_eq!(region.start % self.granule, 0);
                prop_assert_eq!(region.end % self.granule, 0);
            }
            prop_assert!(regions.windows(2).all(|pair| pair[0].end <= pair[1].start));
            prop_assert_eq!(&covered(regions.iter().map(|r| (r.start, r.end))), expected);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn regions_always_cover_exactly_what_is_monitored(
        first in attrs(),
        granule in prop_oneof![Just(1_u64), Just(48), Just(4096), Just(1 << 40)],
        seed in any::<u64>(),
        around in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..20),
    ) {
        let mut engine = Engine::new(first, granule, seed).unwrap();
        if around {
            engine = engine.cutting_around_accesses();
        }
        engine.add_target(TargetId(0)).unwrap();
        let expected = [(0, Vec::new())].into();
        let mut world = World { engine, granule, expected, settled: false };
        for step in &steps {
            world.apply(step)?;
            world.check()?;
        }
    }

    #[test]
    fn a_seed_decides_everything(
        attrs in attrs(), seed in any::<u64>(), ranges in ranges(), block in 1_u64..u64::MAX,
    ) {
        let regions = || {
            let mut engine = Engine::new(attrs, 1, seed).unwrap().cutting_around_accesses();
            engine.add_target(TargetId(0)).unwrap();
            engine.set_ranges(TargetId(0), &ranges).unwrap();
            let mut accessed = pattern(block, seed);
            for _ in 0..5 {
                drop(run_aggregation(&mut engine, &mut accessed));
            }
            engine.regions(TargetId(0)).to_vec()
        };
        prop_assert_eq!(regions(), regions());
    }

    #[test]
    fn a_merge_pass_keeps_the_coverage_and_its_own_rules(
        sizes in proptest::collection::vec((1_u64..1000, 0_u32..30, any::<bool>()), 1..100),
        threshold in 0_u32..30,
        size_limit in 1_u64..5000,
    ) {
        let mut address = 0;
        let mut regions: Vec<MonitoredRegion> = sizes
            .iter()
            .map(|&(size, nr_accesses, gap)| {
                let start = address + u64::from(gap);
                address = start + size;
                MonitoredRegion { nr_accesses, ..MonitoredRegion::fresh(start, address) }
            })
            .collect();
        let before = regions.clone();
        merge::merge(&mut regions, threshold, size_limit, Rounding::Once);
        let bounds = |regions: &[MonitoredRegion]| {
            covered(regions.iter().map(|r| (r.start, r.end)))
        };
        prop_assert_eq!(bounds(&regions), bounds(&before));
        for region in &regions {
            prop_assert!(region.size() <= size_limit || before.contains(region));
            let inside = before.iter().filter(|r| region.start <= r.start && r.end <= region.end);
            let counts: Vec<u32> = inside.map(|r| r.nr_accesses).collect();
            prop_assert!(counts.iter().min() <= Some(&region.nr_accesses));
            prop_assert!(Some(&region.nr_accesses) <= counts.iter().max());
        }
    }

    #[test]
    fn fitting_to_ranges_covers_them_exactly(old in ranges(), new in ranges()) {
        let mut regions: Vec<MonitoredRegion> =
            old.iter().map(|r| MonitoredRegion::fresh(r.start, r.end)).collect();
        ranges::fit(&mut regions, &new);
        prop_assert!(regions.iter().all(|r| r.start < r.end));
        prop_assert_eq!(
            covered(regions.iter().map(|r| (r.start, r.end))),
            covered(new.iter().map(|r| (r.start, r.end)))
        );
    }
}
