//! Who goes first when the quota does not suffice: `damon_hot_score`, `damon_cold_score`
//! (`mm/damon/ops-common.c`) and the choice of a least score (`damos_adjust_quota`, `mm/damon/core.c`).

use super::{Addresses, KernelRules, Scale};
use crate::Region;
use crate::damos::kernel::{Action, Weights};

/// The greatest score.
pub const MAX_SCORE: u8 = 99;

/// Which memory an action prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Often and lastingly accessed first.
    HottestFirst,
    /// Long unaccessed first.
    ColdestFirst,
    /// By address.
    None,
}

impl Order {
    /// `damon_va_scheme_score` and `damon_pa_scheme_score`.
    pub const fn of(action: Action, addresses: Addresses, rules: &KernelRules) -> Self {
        match (addresses, action) {
            (_, Action::Pageout)
            | (Addresses::Physical, Action::LruDeprio | Action::MigrateCold) => Self::ColdestFirst,
            (Addresses::Physical, Action::LruPrio | Action::MigrateHot) => Self::HottestFirst,
            (Addresses::Virtual, Action::MigrateCold) if rules.virtual_migration_ordered => {
                Self::ColdestFirst
            }
            (Addresses::Virtual, Action::MigrateHot) if rules.virtual_migration_ordered => {
                Self::HottestFirst
            }
            _ => Self::None,
        }
    }

    /// How urgent `region` is, 0 ..= [`MAX_SCORE`].
    pub fn score(self, region: &Region, scale: &Scale, weights: &Weights) -> u8 {
        match self {
            Self::HottestFirst => hot_score(region, scale, weights),
            Self::ColdestFirst => MAX_SCORE - hot_score(region, scale, weights),
            Self::None => MAX_SCORE,
        }
    }
}

/// 0 (idle for ages) to [`MAX_SCORE`] (always accessed, for ages).
///
/// `f` is the access frequency in per cent. `s` is the age in seconds, `L` the number of its binary
/// digits (at most 32), negative where `f` is 0, and `a = (L + 32) * 100 / 64`. The score is the mean
/// of `f` and `a` by the weights, scaled to 99. Every division drops its fraction; ages below a second
/// are all the same. The weight of the size is not used.
///
/// The kernel adds weighted scores in 32 bits. Weights above some 20 million, where that overflows, are
/// not imitated.
pub fn hot_score(region: &Region, scale: &Scale, weights: &Weights) -> u8 {
    let frequency = u64::from(region.nr_accesses) * 100 / u64::from(scale.max_nr_accesses.max(1));
    let seconds = u128::from(region.age) * u128::from(scale.aggr_us) / 1_000_000;
    // The kernel's `unsigned int age_in_sec`.
    let seconds = u32::try_from(seconds & u128::from(u32::MAX)).unwrap_or(0);
    let digits = u64::from(32 - seconds.leading_zeros());
    let age = if frequency == 0 { 32 - digits } else { 32 + digits } * 100 / 64;
    let (of_frequency, of_age) = (u64::from(weights.nr_accesses), u64::from(weights.age));
    let sum = u128::from(of_frequency) * u128::from(frequency) + u128::from(of_age * age);
    let mean = sum.checked_div(u128::from(of_frequency + of_age)).unwrap_or(0);
    let score = mean * u128::from(MAX_SCORE) / 100;
    u8::try_from(score.min(u128::from(MAX_SCORE))).unwrap_or(MAX_SCORE)
}

/// Bytes for each score.
#[derive(Clone, Debug)]
pub struct Histogram {
    bytes: [u64; MAX_SCORE as usize + 1],
    most: u8,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { bytes: [0; MAX_SCORE as usize + 1], most: 0 }
    }
}

impl Histogram {
    /// Counts a region; scores above [`MAX_SCORE`] count as that.
    pub fn add(&mut self, score: u8, bytes: u64) {
        let score = score.min(MAX_SCORE);
        if let Some(sum) = self.bytes.get_mut(usize::from(score)) {
            *sum = sum.saturating_add(bytes);
        }
        self.most = self.most.max(score);
    }

    /// The greatest score from which on at least `quota` bytes lie, or 0.
    ///
    /// What lies above it fits into the quota; the bucket of this score is served in address order.
    pub fn min_score(&self, quota: u64) -> u8 {
        let mut sum = 0_u64;
        for score in (1..=self.most).rev() {
            let bytes = self.bytes.get(usize::from(score)).copied().unwrap_or(0);
            sum = sum.saturating_add(bytes);
            if sum >= quota {
                return score;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCALE: Scale = Scale {
        sample_us: 5_000,
        aggr_us: 100_000,
        max_nr_accesses: 20,
        granule: 4096,
        page_size: 4096,
    };

    fn weights(nr_accesses: u32, age: u32) -> Weights {
        Weights { sz: 7, nr_accesses, age }
    }

    fn region(nr_accesses: u32, age: u32) -> Region {
        Region { start: 0, end: 4096, nr_accesses, age }
    }

    #[test]
    fn known_scores() {
        let two_minutes = 1_200;
        let hot = |nr, age, w: (u32, u32)| hot_score(&region(nr, age), &SCALE, &weights(w.0, w.1));
        assert_eq!(hot(0, two_minutes, (0, 1)), 38, "L = -7, a = 39");
        assert_eq!(hot(20, two_minutes, (0, 1)), 59, "L = 7, a = 60");
        assert_eq!(hot(20, two_minutes, (1, 1)), 79, "(100 + 60) / 2 = 80");
        assert_eq!(hot(20, two_minutes, (1, 0)), 99);
        assert_eq!(hot(0, two_minutes, (1, 0)), 0);
        assert_eq!(hot(20, two_minutes, (0, 0)), 0, "without weights all are the same");
        assert_eq!(hot(1, 9, (0, 1)), hot(1, 0, (0, 1)), "below a second");
        assert_ne!(hot(1, 10, (0, 1)), hot(1, 9, (0, 1)));
        assert_eq!(hot(21, 0, (1, 0)), 99, "a sample more than there should be");
    }

    #[test]
    fn actions_and_their_order() {
        let (new, old) = (KernelRules::default(), KernelRules::of(6, 12));
        let of = |action, addresses| Order::of(action, addresses, &new);
        assert_eq!(of(Action::Pageout, Addresses::Virtual), Order::ColdestFirst);
        assert_eq!(of(Action::MigrateHot, Addresses::Virtual), Order::HottestFirst);
        assert_eq!(of(Action::LruPrio, Addresses::Virtual), Order::None);
        assert_eq!(of(Action::LruPrio, Addresses::Physical), Order::HottestFirst);
        assert_eq!(of(Action::LruDeprio, Addresses::Physical), Order::ColdestFirst);
        for action in [Action::Willneed, Action::Cold, Action::Hugepage, Action::Stat] {
            assert_eq!(of(action, Addresses::Virtual), Order::None);
            assert_eq!(Order::None.score(&region(3, 3), &SCALE, &weights(1, 1)), MAX_SCORE);
        }
        assert_eq!(Order::of(Action::MigrateHot, Addresses::Virtual, &old), Order::None);
        assert_eq!(Order::of(Action::MigrateHot, Addresses::Physical, &old), Order::HottestFirst);
    }

    proptest! {
        #[test]
        fn scores_are_bounded_and_complementary(
            nr in 0..=25_u32, age: u32, w in (any::<u32>(), any::<u32>()), aggr_us in 1..u64::MAX,
        ) {
            let scale = Scale { aggr_us, ..SCALE };
            let (region, weights) = (region(nr, age), weights(w.0, w.1));
            let hot = Order::HottestFirst.score(&region, &scale, &weights);
            prop_assert!(hot <= MAX_SCORE);
            prop_assert_eq!(Order::ColdestFirst.score(&region, &scale, &weights), MAX_SCORE - hot);
        }

        #[test]
        fn more_often_is_hotter_and_age_confirms(
            nr in 0..20_u32, age in 0..u32::MAX / 2, w in (0..1000_u32, 0..1000_u32),
        ) {
            let hot = |nr, age| hot_score(&region(nr, age), &SCALE, &weights(w.0, w.1));
            prop_assert!(hot(nr, age) <= hot(nr + 1, age));
            // The older, the surer: idle memory gets colder, accessed memory hotter.
            prop_assert!(hot(0, age) >= hot(0, age + 1));
            prop_assert!(hot(nr + 1, age) <= hot(nr + 1, age + 1));
        }

        #[test]
        fn the_least_score_is_the_tightest_that_fills_the_quota(
            regions in prop::collection::vec((0..=MAX_SCORE, 0..1_u64 << 40), 0..20),
            quota in 0..1_u64 << 44,
        ) {
            let mut histogram = Histogram::default();
            for (score, bytes) in &regions {
                histogram.add(*score, *bytes);
            }
            let from = |least: u8| -> u64 {
                regions.iter().filter(|(score, _)| *score >= least).map(|(_, bytes)| bytes).sum()
            };
            let chosen = histogram.min_score(quota);
            prop_assert!(from(chosen) >= quota.min(from(0)));
            if chosen > 0 {
                let above = if chosen == MAX_SCORE { 0 } else { from(chosen + 1) };
                prop_assert!(above < quota || quota == 0);
            }
        }
    }
}
