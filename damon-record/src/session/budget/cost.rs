//! What observing costs, learnt while it goes on. All costs are seconds of CPU time.

use std::time::Duration;

/// The cost of one sampled round as a line over the number of regions sampled in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::session) struct RoundCost {
    /// Of waking up, and everything else that does not depend on the regions.
    pub(in crate::session) fixed: f64,
    /// Of each region's sample.
    pub(in crate::session) per_region: f64,
}

impl RoundCost {
    /// Of one round over so many regions.
    pub(super) fn at(self, regions: f64) -> f64 {
        self.fixed + self.per_region * regions
    }

    /// The line through two measured rounds, which both keep a part in it.
    pub(in crate::session) fn through(few: (f64, f64), many: (f64, f64)) -> Self {
        let slope = (many.1 - few.1) / (many.0 - few.0).max(1.0);
        let per_region = slope.max(0.1 * many.1 / many.0.max(1.0)).max(1e-9);
        Self { fixed: (few.1 - per_region * few.0).max(1e-6), per_region }
    }
}

/// How much of the past is in a mean: seconds, or these many rounds if they last longer.
const MEMORY: f64 = 1.5;
const MEMORY_ROUNDS: f64 = 6.0;
/// What is known beforehand weighs as much as this many seconds of observation.
const PRIOR: f64 = 0.25;
/// Numbers of regions that differ by less than this part say little about the slope: what is known
/// beforehand decides then.
const SPREAD: f64 = 0.3;

/// Fits a [`RoundCost`] to what is observed, with exponentially fading memory.
///
/// The line always goes through the mean of what was observed. Its slope is that of the least squares as far as the
/// number of regions varied; as far as it did not, the proportion of the two parts stays what it was beforehand.
#[derive(Debug)]
pub(super) struct RoundFit {
    /// `fixed / per_region` beforehand, in regions.
    ratio: f64,
    seen: f64,
    regions: f64,
    cost: f64,
    variance: f64,
    covariance: f64,
}

impl RoundFit {
    /// `regions` is where `prior` is surest.
    pub(super) fn new(prior: RoundCost, regions: f64) -> Self {
        Self {
            ratio: prior.fixed / prior.per_region.max(1e-9),
            seen: 0.0,
            regions,
            cost: prior.at(regions),
            variance: 0.0,
            covariance: 0.0,
        }
    }

    /// Rounds over so many `regions` took `cost` each, for `elapsed` seconds; they lie `period` seconds apart.
    pub(super) fn learn(&mut self, regions: f64, cost: f64, elapsed: f64, period: f64) {
        let share = share_of(self.seen, elapsed, period);
        self.seen += elapsed;
        let (by_regions, by_cost) = (regions - self.regions, cost - self.cost);
        self.regions += share * by_regions;
        self.cost += share * by_cost;
        self.variance = (1.0 - share) * (self.variance + share * by_regions * by_regions);
        self.covariance = (1.0 - share) * (self.covariance + share * by_regions * by_cost);
    }

    /// What was learnt is out of date: the next observation counts for nearly all.
    pub(super) fn doubt(&mut self) {
        self.seen = 0.0;
        (self.variance, self.covariance) = (0.0, 0.0);
    }

    pub(super) fn line(&self) -> RoundCost {
        let before = self.cost / (self.regions + self.ratio).max(1.0);
        let known = (SPREAD * self.regions).powi(2) + 1.0;
        let slope = (self.covariance + known * before) / (self.variance + known);
        let most = self.cost / self.regions.max(1.0);
        let per_region = slope.clamp(0.2 * before, most.max(0.2 * before)).max(1e-9);
        RoundCost { fixed: (self.cost - per_region * self.regions).max(0.0), per_region }
    }
}

fn share_of(seen: f64, elapsed: f64, period: f64) -> f64 {
    let memory = MEMORY.max(period * MEMORY_ROUNDS);
    let faded = 1.0 - (-elapsed / memory).exp();
    faded.max(elapsed / (seen + elapsed + PRIOR)).clamp(0.0, 1.0)
}

/// The cost of one exact look: mean, and mean deviation from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookFit {
    mean: f64,
    deviation: f64,
}

/// The part that the last look has in the mean.
const LOOK_PART: f64 = 0.3;

impl LookFit {
    pub(super) fn new(prior: f64) -> Self {
        Self { mean: prior, deviation: 0.0 }
    }

    pub(super) fn learn(&mut self, looks: f64, cost: f64) {
        let part = 1.0 - (1.0 - LOOK_PART).powf(looks);
        let by = cost - self.mean;
        self.mean += part * by;
        self.deviation += part * (by.abs() - self.deviation);
    }

    /// What a look may well cost.
    pub(super) fn expected(&self) -> f64 {
        self.mean + 0.5 * self.deviation
    }
}

/// A rate of spending with fading memory: CPU seconds per second.
#[derive(Debug, Default)]
pub(super) struct Rate {
    seen: f64,
    rate: f64,
}

/// Chores come once a second and seldomer.
const RATE_MEMORY: f64 = 5.0;

impl Rate {
    pub(super) fn learn(&mut self, spent: Duration, elapsed: f64) {
        let faded = 1.0 - (-elapsed / RATE_MEMORY).exp();
        let share = faded.max(elapsed / (self.seen + elapsed + 1.0)).clamp(0.0, 1.0);
        self.seen += elapsed;
        self.rate += share * (spent.as_secs_f64() / elapsed.max(1e-9) - self.rate);
    }

    pub(super) fn get(&self) -> f64 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIOR_COST: RoundCost = RoundCost { fixed: 20e-6, per_region: 1e-6 };

    fn near(got: f64, expected: f64, part: f64) -> bool {
        (got - expected).abs() <= expected * part
    }

    #[test]
    fn both_parts_are_learnt_where_the_number_of_regions_varies() {
        let mut fit = RoundFit::new(PRIOR_COST, 50.0);
        for block in 0..40 {
            let regions = if block % 2 == 0 { 40.0 } else { 120.0 };
            fit.learn(regions, 50e-6 + 3e-6 * regions, 0.25, 0.005);
        }
        let line = fit.line();
        assert!(near(line.per_region, 3e-6, 0.15), "{line:?}");
        assert!(near(line.at(80.0), 290e-6, 0.05), "{line:?}");
    }

    #[test]
    fn where_it_does_not_vary_the_proportion_known_beforehand_stays() {
        let mut fit = RoundFit::new(PRIOR_COST, 50.0);
        for _ in 0..40 {
            fit.learn(20.0, 400e-6, 0.25, 0.005);
        }
        let line = fit.line();
        assert!(near(line.at(20.0), 400e-6, 0.02), "{line:?}");
        assert!(near(line.fixed / line.per_region, 20.0, 0.3), "{line:?}");
    }

    #[test]
    fn noise_never_makes_a_region_free_or_a_round_negative() {
        let mut fit = RoundFit::new(PRIOR_COST, 50.0);
        for block in 0..40 {
            let (regions, cost) = if block % 2 == 0 { (40.0, 300e-6) } else { (60.0, 100e-6) };
            fit.learn(regions, cost, 0.25, 0.005);
            let line = fit.line();
            assert!(line.per_region > 0.0 && line.fixed >= 0.0, "{line:?}");
        }
    }

    #[test]
    fn what_is_doubted_is_learnt_anew_at_once() {
        let mut fit = RoundFit::new(PRIOR_COST, 50.0);
        for _ in 0..40 {
            fit.learn(50.0, 70e-6, 0.25, 0.005);
        }
        fit.doubt();
        fit.learn(50.0, 700e-6, 0.25, 0.005);
        assert!(fit.line().at(50.0) > 350e-6, "{:?}", fit.line());
    }

    #[test]
    fn two_measured_rounds_give_a_line_with_two_positive_parts() {
        let line = RoundCost::through((1.0, 21e-6), (65.0, 85e-6));
        assert!(near(line.fixed, 20e-6, 0.01) && near(line.per_region, 1e-6, 0.01), "{line:?}");
        let strange = RoundCost::through((1.0, 50e-6), (65.0, 20e-6));
        assert!(strange.fixed > 0.0 && strange.per_region > 0.0, "{strange:?}");
    }

    #[test]
    fn a_rate_follows_what_is_spent() {
        let mut rate = Rate::default();
        for second in 0..30 {
            rate.learn(Duration::from_millis(2 * u64::from(second % 2 == 0)), 1.0);
        }
        assert!(near(rate.get(), 0.001, 0.3), "{}", rate.get());
    }
}
