//! Goals and how a quota is tuned for them: `damos_quota_score`, `damon_feed_loop_next_input` and the
//! tuners of `mm/damon/core.c`.

use crate::damos::kernel::{Goal, GoalMetric, GoalTuner, Quota};

/// The score of a goal that is reached.
pub const REACHED: u64 = 10_000;

/// Least value of a tuned quota, in ten-thousandths of a byte: one byte.
const LEAST: u64 = 10_000;

/// `value * numerator / denominator` without overflow in between; saturates.
pub(super) fn fraction(value: u64, numerator: u64, denominator: u64) -> u64 {
    let product = u128::from(value) * u128::from(numerator);
    let quotient = product.checked_div(u128::from(denominator)).unwrap_or(u128::MAX);
    u64::try_from(quotient).unwrap_or(u64::MAX)
}

/// The next input of a feedback loop whose `last` input led to `score` (10000: as wanted).
///
/// Below the goal `last + last * (10000 - score) / 10000`, above it
/// `last - last * (score - 10000) / 10000`; from twice the goal on the least input. Never below 10000,
/// and saturating above.
pub fn next_input(last: u64, score: u64) -> u64 {
    if score == REACHED {
        return last;
    }
    if score >= 2 * REACHED {
        return LEAST;
    }
    let difference = score.abs_diff(REACHED);
    // Large inputs are divided first, which costs the last digits; the kernel does that, too.
    let change = if last < u64::MAX / difference {
        last * difference / REACHED
    } else {
        (last / REACHED).saturating_mul(difference)
    };
    if score > REACHED {
        last.saturating_sub(change).max(LEAST)
    } else {
        last.saturating_add(change)
    }
}

/// Where current values of goals come from.
pub trait Readings {
    /// The value of the goal's metric now: a share in ten-thousandths, or for
    /// [`GoalMetric::SomeMemPsiUs`] the *total* in microseconds, of which the quota takes differences.
    /// `None` where it is not known; the goal has no say then.
    ///
    /// [`GoalMetric::UserInput`] is not asked for: it stands in the goal.
    fn read(&mut self, goal: &Goal) -> Option<u64>;
}

/// Nothing is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReadings;

impl Readings for NoReadings {
    fn read(&mut self, _goal: &Goal) -> Option<u64> {
        None
    }
}

/// What tuning remembers from window to window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tuning {
    /// The tuned quota in ten-thousandths of a byte.
    bp: u64,
    /// Totals of the last reading, by the goal's index.
    totals: Vec<u64>,
}

impl Tuning {
    /// The tuned quota for the next window, bytes.
    pub(super) fn next(&mut self, quota: &Quota, readings: &mut dyn Readings) -> u64 {
        let score = self.score(quota, readings);
        self.bp = match quota.goal_tuner {
            GoalTuner::Consist => next_input(self.bp.max(LEAST), score),
            GoalTuner::Temporal if score >= REACHED => 0,
            GoalTuner::Temporal if quota.bytes > 0 => quota.bytes.saturating_mul(REACHED),
            GoalTuner::Temporal => u64::MAX,
        };
        self.bp / REACHED
    }

    /// The highest score of all goals, because that makes the scheme least aggressive.
    fn score(&mut self, quota: &Quota, readings: &mut dyn Readings) -> u64 {
        self.totals.resize(quota.goals.len(), 0);
        let mut highest = None;
        for (goal, total) in quota.goals.iter().zip(&mut self.totals) {
            let current = match goal.metric {
                GoalMetric::UserInput => Some(goal.current_value),
                GoalMetric::SomeMemPsiUs => readings.read(goal).map(|new| {
                    let since = new.saturating_sub(*total);
                    *total = new;
                    since
                }),
                _ => readings.read(goal),
            };
            if let Some(current) = current {
                highest = highest.max(Some(fraction(current, REACHED, goal.target_value)));
            }
        }
        highest.unwrap_or(REACHED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(target_value: u64, current_value: u64) -> Goal {
        Goal {
            metric: GoalMetric::UserInput,
            target_value,
            current_value,
            nid: 0,
            path: String::new(),
        }
    }

    #[test]
    fn the_loop_doubles_at_most_and_stops_at_the_goal() {
        assert_eq!(next_input(1_000_000, 0), 2_000_000);
        assert_eq!(next_input(1_000_000, 5_000), 1_500_000);
        assert_eq!(next_input(1_000_000, 10_000), 1_000_000);
        assert_eq!(next_input(1_000_000, 15_000), 500_000);
        assert_eq!(next_input(1_000_000, 20_000), LEAST);
        assert_eq!(next_input(LEAST, 19_999), LEAST);
        assert_eq!(next_input(u64::MAX, 0), u64::MAX);
        assert_eq!(next_input(0, 5_000), 0, "callers start from one byte");
    }

    #[test]
    fn a_mebibyte_takes_twenty_windows() {
        let quota = Quota { goals: vec![user(100, 0)], ..Quota::NONE };
        let mut tuning = Tuning::default();
        let windows = (1..100).find(|_| tuning.next(&quota, &mut NoReadings) >= 1 << 20);
        assert_eq!(windows, Some(20));
    }

    #[test]
    fn the_goal_nearest_to_its_target_decides() {
        let quota = Quota { goals: vec![user(100, 10), user(100, 90)], ..Quota::NONE };
        let mut tuning = Tuning { bp: 100_000_000, ..Tuning::default() };
        assert_eq!(tuning.next(&quota, &mut NoReadings), 11_000, "10 % more, not 90 %");
    }

    #[test]
    fn unknown_values_change_nothing() {
        let goal = Goal { metric: GoalMetric::NodeMemFreeBp, ..user(100, 0) };
        let quota = Quota { goals: vec![goal], ..Quota::NONE };
        let mut tuning = Tuning { bp: 50_000, ..Tuning::default() };
        assert_eq!(tuning.next(&quota, &mut NoReadings), 5);
    }

    struct Totals(std::vec::IntoIter<u64>);

    impl Readings for Totals {
        fn read(&mut self, _goal: &Goal) -> Option<u64> {
            self.0.next()
        }
    }

    #[test]
    fn stalls_count_by_the_window() {
        let goal = Goal { metric: GoalMetric::SomeMemPsiUs, ..user(1_000, 0) };
        let quota = Quota { goals: vec![goal], ..Quota::NONE };
        let mut tuning = Tuning::default();
        let mut readings = Totals(vec![5_000_000, 5_000_000, 5_000_500, 5_001_500].into_iter());
        let mut next = || tuning.next(&quota, &mut readings);
        // The first total is since boot: far above the goal.
        assert_eq!([next(), next(), next(), next()], [1, 2, 3, 3]);
    }

    #[test]
    fn all_or_nothing() {
        let mut quota =
            Quota { goals: vec![user(100, 99)], goal_tuner: GoalTuner::Temporal, ..Quota::NONE };
        let mut tuning = Tuning::default();
        assert_eq!(tuning.next(&quota, &mut NoReadings), u64::MAX / 10_000);
        quota.bytes = 4096;
        assert_eq!(tuning.next(&quota, &mut NoReadings), 4096);
        quota.goals = vec![user(100, 100)];
        assert_eq!(tuning.next(&quota, &mut NoReadings), 0);
    }

    proptest! {
        #[test]
        fn further_from_the_goal_changes_more(last in LEAST.., a in 0..20_000_u64, b in 0..20_000_u64) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(next_input(last, low) >= next_input(last, high));
            prop_assert!(next_input(last, high) >= LEAST);
            prop_assert!(a >= REACHED || next_input(last, a) >= last);
            prop_assert!(a <= REACHED || next_input(last, a) <= last);
        }

        #[test]
        fn fractions_do_not_overflow(value: u64, numerator: u64, denominator: u64) {
            let exact = (u128::from(value) * u128::from(numerator)).checked_div(denominator.into());
            prop_assert_eq!(
                u128::from(fraction(value, numerator, denominator)),
                exact.unwrap_or(u128::MAX).min(u64::MAX.into())
            );
        }
    }
}
