//! The controller against simulated targets.

use super::num::count;
use super::*;

const MS: Duration = Duration::from_millis(1);

fn asked() -> Setting {
    Setting { intervals: Intervals { sample: 5 * MS, aggr: 100 * MS }, max_regions: 1000 }
}

const PRIOR: RoundCost = RoundCost { fixed: 20e-6, per_region: 1e-6 };

/// What a target costs and needs.
#[derive(Clone, Copy)]
struct World {
    fixed: f64,
    per_region: f64,
    /// Of it, in the target.
    target_part: f64,
    background: f64,
    /// Regions that describe it.
    distinct: u32,
    /// Costs vary by this part, up and down, from block to block.
    noise: f64,
}

const BUSY: World = World {
    fixed: 30e-6,
    per_region: 3e-6,
    target_part: 0.3,
    background: 0.0004,
    distinct: 30,
    noise: 0.0,
};

/// A simulated session.
struct Simulation {
    budget: Budget,
    setting: Setting,
    regions: f64,
    seconds: f64,
    /// End of each block, and its cost per second.
    shares: Vec<(f64, f64)>,
    changes: Vec<(f64, Setting, Why)>,
    random: crate::monitor::rng::Rng,
}

impl Simulation {
    fn new(percent: f64, asked: Setting, prior: Prior) -> Self {
        let mut budget = Budget::new(percent, asked, 10, prior);
        let setting = budget.begin();
        Self {
            budget,
            setting,
            regions: 10.0,
            seconds: 0.0,
            shares: Vec::new(),
            changes: Vec::new(),
            random: crate::monitor::rng::Rng::new(7),
        }
    }

    fn sampled(percent: f64) -> Self {
        Self::new(percent, asked(), Prior::Sampled(PRIOR))
    }

    fn run(&mut self, world: World, seconds: f64) -> &mut Self {
        let until = self.seconds + seconds;
        let mut in_aggregation = 0;
        while self.seconds < until {
            let (mut spent, mut cost) = (Spent::default(), 0.0);
            let (mut rounds, mut samples) = (0, 0.0);
            let noise = 1.0 + world.noise * (float(self.random.below(2001)) / 1000.0 - 1.0);
            while spent.elapsed < 250 * MS {
                let intervals = self.setting.intervals;
                cost += (world.fixed + world.per_region * self.regions) * noise;
                samples += self.regions;
                rounds += 1;
                spent.elapsed += intervals.sample;
                in_aggregation += 1;
                if in_aggregation >= intervals.aggr.as_micros() / intervals.sample.as_micros() {
                    in_aggregation = 0;
                    self.aggregate(world);
                }
            }
            spent.rounds = rounds;
            spent.samples = count(samples);
            spent.target = Duration::from_secs_f64(cost * world.target_part);
            spent.rounds_recorder = Duration::from_secs_f64(cost * (1.0 - world.target_part));
            spent.background = spent.elapsed.mul_f64(world.background);
            self.step(&spent);
        }
        self
    }

    fn aggregate(&mut self, world: World) {
        let most = self.setting.max_regions;
        let merged = world.distinct.min(most).max(10.min(most));
        self.budget.aggregated(merged as usize);
        let wanted = f64::from(merged).min(self.regions);
        self.regions = if wanted * 2.0 <= f64::from(most) { wanted * 2.0 } else { wanted };
    }

    fn step(&mut self, spent: &Spent) {
        let all = (spent.rounds_recorder + spent.target + spent.background).as_secs_f64();
        self.seconds += spent.elapsed.as_secs_f64();
        self.shares.push((self.seconds, all / spent.elapsed.as_secs_f64()));
        self.budget.observe(spent);
        if let Some(change) = self.budget.judge() {
            assert_ne!(change.setting, self.setting, "a change changes something");
            self.setting = change.setting;
            self.regions = self.regions.min(f64::from(change.setting.max_regions));
            self.budget.restart(change.setting);
            self.changes.push((self.seconds, change.setting, change.why));
        }
    }

    /// Exact looks that cost `look` seconds each, a part of it in the target.
    fn look(&mut self, look: f64, seconds: f64) -> &mut Self {
        let until = self.seconds + seconds;
        while self.seconds < until {
            let sample = self.setting.intervals.sample;
            let looks = (250.0 / sample.as_secs_f64() / 1000.0).ceil().max(1.0);
            self.step(&Spent {
                elapsed: sample.mul_f64(looks),
                rounds: small_count(looks),
                samples: 0,
                rounds_recorder: Duration::from_secs_f64(look * looks * 0.7),
                target: Duration::from_secs_f64(look * looks * 0.3),
                background: Duration::ZERO,
            });
        }
        self
    }

    /// The dearest second that ends after `from`.
    fn worst_second(&self, from: f64) -> f64 {
        let windows = self.shares.windows(4).filter(|w| w[3].0 >= from + 1.0);
        windows.map(|w| w.iter().map(|(_, share)| share).sum::<f64>() / 4.0).fold(0.0, f64::max)
    }

    fn mean(&self, from: f64) -> f64 {
        let shares: Vec<f64> =
            self.shares.iter().filter(|(end, _)| *end > from).map(|(_, share)| *share).collect();
        shares.iter().sum::<f64>() / float(shares.len() as u64)
    }
}

fn samples_per_aggregation(setting: Setting) -> u128 {
    setting.intervals.aggr.as_micros() / setting.intervals.sample.as_micros()
}

#[test]
fn no_second_is_dearer_than_the_budget_by_a_fifth_whatever_the_target_costs() {
    for distinct in [3, 20, 60, 400] {
        for per_region in [0.4e-6, 1e-6, 4e-6, 12e-6] {
            for noise in [0.0, 0.15] {
                let world = World { per_region, distinct, noise, ..BUSY };
                let mut simulation = Simulation::sampled(1.0);
                simulation.run(world, 60.0);
                let worst = simulation.worst_second(3.0);
                let case = format!("{distinct} regions at {per_region} s, noise {noise}");
                assert!(worst <= 0.012, "{case}: {worst} {:?}", simulation.changes);
                assert!(simulation.mean(3.0) <= 0.0101, "{case}: {}", simulation.mean(3.0));
                assert!(simulation.changes.len() <= 5, "{case}: {:?}", simulation.changes);
                assert_eq!(samples_per_aggregation(simulation.setting), 20);
            }
        }
    }
}

#[test]
fn a_burst_at_the_start_is_no_reason_to_stretch() {
    let cheap = World { per_region: 0.5e-6, ..BUSY };
    let mut simulation = Simulation::sampled(1.0);
    let before = simulation.setting;
    simulation.run(World { per_region: 60e-6, ..BUSY }, 0.25);
    simulation.run(cheap, 2.0);
    assert_eq!((simulation.setting, simulation.changes.len()), (before, 0));
}

#[test]
fn the_budget_is_made_use_of() {
    for distinct in [20, 60, 400] {
        let world = World { distinct, per_region: 4e-6, ..BUSY };
        let mut simulation = Simulation::sampled(1.0);
        simulation.run(world, 60.0);
        assert!(simulation.mean(30.0) > 0.005, "{distinct}: {}", simulation.mean(30.0));
    }
}

#[test]
fn a_cheap_target_gets_what_was_asked_for_and_nothing_ever_changes() {
    let cheap = World { fixed: 5e-6, per_region: 0.03e-6, ..BUSY };
    let prior = Prior::Sampled(RoundCost { fixed: 5e-6, per_region: 0.03e-6 });
    let mut simulation = Simulation::new(1.0, asked(), prior);
    simulation.run(cheap, 60.0);
    assert_eq!(simulation.setting, asked());
    assert_eq!(simulation.changes, []);
}

#[test]
fn regions_are_given_up_before_the_interval_and_never_below_the_floor() {
    let cost = |per_region| Prior::Sampled(RoundCost { fixed: 5e-6, per_region });
    let cheap = Simulation::new(1.0, asked(), cost(0.2e-6)).setting;
    assert_eq!(cheap.intervals, asked().intervals);
    assert!((FLOOR..300).contains(&cheap.max_regions), "{cheap:?}");
    let dear = Simulation::new(1.0, asked(), cost(4e-6)).setting;
    assert_eq!(dear.max_regions, FLOOR);
    assert!(dear.intervals.sample > 40 * MS, "{dear:?}");
    assert_eq!(samples_per_aggregation(dear), 20);
}

#[test]
fn fewer_regions_than_the_floor_are_kept_where_they_were_asked_for() {
    let few = Setting { max_regions: 40, ..asked() };
    let prior = Prior::Sampled(RoundCost { fixed: 5e-6, per_region: 4e-6 });
    assert_eq!(Simulation::new(1.0, few, prior).setting.max_regions, 40);
    let budget = Budget::new(1.0, asked(), 300, prior);
    assert_eq!(budget.floor(), 300, "never below the minimum");
}

#[test]
fn a_target_that_needs_few_regions_gets_its_interval_back() {
    let needs = |distinct| {
        let prior = Prior::Sampled(RoundCost { fixed: 20e-6, per_region: 3e-6 });
        let mut simulation = Simulation::new(1.0, asked(), prior);
        simulation.run(World { distinct, ..BUSY }, 30.0);
        simulation
    };
    let (few, many) = (needs(12), needs(200));
    assert!(few.setting.intervals.sample * 2 < many.setting.intervals.sample);
    assert!(many.setting.max_regions >= FLOOR);
    assert!(few.changes.iter().all(|(_, _, why)| *why == Why::Room), "{:?}", few.changes);
}

#[test]
fn a_target_that_wakes_up_is_answered_within_a_second_and_a_half() {
    let idle = World { per_region: 0.4e-6, ..BUSY };
    let mut simulation = Simulation::sampled(1.0);
    simulation.run(idle, 30.0).run(BUSY, 20.0);
    let late: Vec<_> = simulation.shares.iter().filter(|(end, _)| *end > 31.6).collect();
    assert!(late.iter().all(|(_, share)| *share <= 0.012), "{late:?}");
}

#[test]
fn a_target_that_calms_down_gets_more_again_but_not_back_and_forth() {
    let mut simulation = Simulation::sampled(1.0);
    simulation.run(World { per_region: 6e-6, ..BUSY }, 20.0);
    let stretched = simulation.setting.intervals.sample;
    simulation.run(World { per_region: 0.4e-6, ..BUSY }, 20.0);
    assert!(simulation.setting.intervals.sample < stretched / 3, "{:?}", simulation.changes);

    let mut restless = Simulation::sampled(1.0);
    for _ in 0..30 {
        restless.run(World { per_region: 6e-6, ..BUSY }, 5.0);
        restless.run(World { per_region: 0.4e-6, ..BUSY }, 5.0);
    }
    assert!(restless.changes.len() < 25, "{} in 300 s", restless.changes.len());
}

#[test]
fn exact_looks_stretch_with_the_target_and_come_back() {
    let looks =
        Setting { intervals: Intervals { sample: 100 * MS, aggr: 1000 * MS }, max_regions: 1000 };
    let mut simulation = Simulation::new(1.0, looks, Prior::Exact(0.0005));
    assert_eq!(simulation.look(0.0005, 20.0).changes, []);
    simulation.look(0.005, 20.0);
    let sample = simulation.setting.intervals.sample;
    assert!((500 * MS..=900 * MS).contains(&sample), "{sample:?}");
    assert_eq!(samples_per_aggregation(simulation.setting), 10);
    simulation.look(0.0005, 60.0);
    assert_eq!(simulation.setting, looks);
}

#[test]
fn an_expensive_look_is_foreseen() {
    let mut budget = Budget::new(1.0, asked(), 10, Prior::Exact(0.1));
    let setting = budget.begin();
    assert!((10_000 * MS..=13_000 * MS).contains(&setting.intervals.sample), "{setting:?}");
    assert_eq!(setting.intervals.aggr, setting.intervals.sample * 20);
}

#[test]
fn without_a_ceiling_hands_are_kept_off() {
    let mut simulation = Simulation::sampled(100.0);
    simulation.run(World { per_region: 100e-6, distinct: 400, ..BUSY }, 20.0);
    assert_eq!((simulation.setting, simulation.changes.len()), (asked(), 0));
}

#[test]
fn a_tiny_budget_goes_on_with_the_least() {
    let mut simulation = Simulation::sampled(0.01);
    simulation.run(World { background: 0.0005, ..BUSY }, 600.0);
    let sample = simulation.setting.intervals.sample;
    assert!(sample > 2000 * MS && sample <= LONGEST_SAMPLE, "{sample:?}");
}

#[test]
fn what_the_recorder_does_beside_sampling_leaves_sampling_the_less() {
    let settled = |background| {
        let mut simulation = Simulation::sampled(1.0);
        simulation.run(World { background, distinct: 200, ..BUSY }, 30.0);
        (simulation.setting.intervals.sample, simulation.worst_second(3.0), simulation.mean(3.0))
    };
    let (quiet, ..) = settled(0.0);
    let (busy, worst, mean) = settled(0.004);
    assert!(busy > quiet, "{quiet:?} {busy:?}");
    assert!(worst <= 0.012 && mean <= 0.0101, "{worst} {mean}");
}
