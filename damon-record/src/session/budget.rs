//! Keeps the recorder's own CPU use below a ceiling by stretching the intervals.

use crate::plan::Intervals;
use nix::sys::resource::{UsageWho, getrusage};
use std::collections::VecDeque;
use std::time::Duration;

/// CPU time that recording has cost: this process and its helpers.
#[derive(Debug, Default)]
pub(super) struct OwnCpu {
    /// Known once and for all before the command, which is a child too, is waited for.
    helpers: Option<Duration>,
}

impl OwnCpu {
    /// Used so far.
    pub(super) fn used(&self) -> Duration {
        let helpers = self.helpers.unwrap_or_else(|| cpu_of(UsageWho::RUSAGE_CHILDREN));
        cpu_of(UsageWho::RUSAGE_SELF) + helpers
    }

    /// The command is about to be waited for: what children use is no longer the recorder's.
    pub(super) fn leave_children_out(&mut self) {
        self.helpers.get_or_insert_with(|| cpu_of(UsageWho::RUSAGE_CHILDREN));
    }
}

fn cpu_of(who: UsageWho) -> Duration {
    let Ok(usage) = getrusage(who) else {
        return Duration::ZERO;
    };
    let micros = |time: nix::sys::time::TimeVal| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let rest = u64::try_from(time.tv_usec()).unwrap_or(0);
        Duration::from_micros(seconds.saturating_mul(1_000_000).saturating_add(rest))
    };
    micros(usage.user_time()) + micros(usage.system_time())
}

/// Over which the CPU use is averaged, or over this many samples if that is longer.
const WINDOW: Duration = Duration::from_secs(3);
const WINDOW_SAMPLES: u32 = 6;
/// No judgement before this much of a window is filled, and this many samples.
const LEAST_WINDOW: Duration = Duration::from_millis(900);
const LEAST_SAMPLES: u32 = 3;
/// Where the use is this many times the ceiling, judgement waits only for this long: what the first
/// second spends too much would take many to make up for.
const MUCH: f64 = 2.0;
const LEAST_WINDOW_OF_MUCH: Duration = Duration::from_millis(240);
/// Below this part of the ceiling, for [`CALM`], intervals shrink again.
const IDLE_PART: f64 = 0.4;
const CALM: Duration = Duration::from_secs(10);
/// How much they shrink at once: from below 0.4 of the ceiling to below 0.6.
const SHRINK: f64 = 1.5;
/// Stretching aims this much below the ceiling.
const MARGIN: f64 = 1.4;
/// Sampling is never stretched beyond this.
const LONGEST_SAMPLE: Duration = Duration::from_secs(60);

/// A decision of [`Budget::judge`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Change {
    /// The new intervals; the number of samples per aggregation stays.
    pub(super) intervals: Intervals,
    /// The CPU use that led to it, per cent of one core.
    pub(super) percent: f64,
}

/// The controller. Pure: time and CPU use are given to it.
#[derive(Debug)]
pub(super) struct Budget {
    ceiling_percent: f64,
    asked: Intervals,
    current: Intervals,
    history: VecDeque<(Duration, Duration)>,
    calm_since: Option<Duration>,
}

impl Budget {
    /// Holds `ceiling_percent` of one core and never samples more often than `asked`.
    pub(super) fn new(ceiling_percent: f64, asked: Intervals) -> Self {
        Self {
            ceiling_percent,
            asked,
            current: asked,
            history: VecDeque::with_capacity(16),
            calm_since: None,
        }
    }

    /// Notes that `cpu` has been used by the time `now`.
    pub(super) fn observe(&mut self, now: Duration, cpu: Duration) {
        let window = WINDOW.max(self.current.sample.saturating_mul(WINDOW_SAMPLES));
        while self.history.len() > 2
            && self.history.get(1).is_some_and(|(time, _)| now.saturating_sub(*time) >= window)
        {
            self.history.pop_front();
        }
        self.history.push_back((now, cpu));
    }

    /// CPU use over the window, per cent of one core.
    pub(super) fn percent(&self) -> Option<f64> {
        self.percent_after(LEAST_WINDOW)
    }

    fn percent_after(&self, least: Duration) -> Option<f64> {
        let ((from, used), (to, now_used)) = (self.history.front()?, self.history.back()?);
        let span = to.saturating_sub(*from);
        let least = least.max(self.current.sample.saturating_mul(LEAST_SAMPLES));
        (span >= least)
            .then(|| now_used.saturating_sub(*used).as_secs_f64() / span.as_secs_f64() * 100.0)
    }

    /// The intervals that one look of this `cost` in each sampling interval can be afforded at, if
    /// those in force are too short.
    pub(super) fn foresee(&self, cost: Duration) -> Option<Change> {
        let share = cost.as_secs_f64() / self.current.sample.as_secs_f64() * 100.0;
        (share > self.ceiling_percent).then(|| Change {
            intervals: scale(self.current, share / self.ceiling_percent * MARGIN),
            percent: share,
        })
    }

    /// From the time `now` on, when `cpu` has been used, `intervals` are in force; averaging begins
    /// anew.
    pub(super) fn restart(&mut self, intervals: Intervals, now: Duration, cpu: Duration) {
        self.current = intervals;
        self.calm_since = None;
        self.history.clear();
        self.history.push_back((now, cpu));
    }

    /// Whether the intervals should change.
    pub(super) fn judge(&mut self) -> Option<Change> {
        let current = self.current;
        let early = self.percent_after(LEAST_WINDOW_OF_MUCH);
        let much = early.filter(|percent| *percent > self.ceiling_percent * MUCH);
        let percent = self.percent().or(much)?;
        let (now, _) = *self.history.back()?;
        let intervals = if percent > self.ceiling_percent {
            self.calm_since = None;
            scale(current, percent / self.ceiling_percent * MARGIN)
        } else if percent < self.ceiling_percent * IDLE_PART && current.sample > self.asked.sample {
            if now.saturating_sub(*self.calm_since.get_or_insert(now)) < CALM {
                return None;
            }
            self.calm_since = None;
            let shorter = scale(current, 1.0 / SHRINK);
            if shorter.sample <= self.asked.sample { self.asked } else { shorter }
        } else {
            self.calm_since = None;
            return None;
        };
        (intervals != current).then_some(Change { intervals, percent })
    }
}

/// Scales both intervals; the sampling interval is rounded to two digits, and the aggregation interval
/// keeps its number of samples.
fn scale(current: Intervals, factor: f64) -> Intervals {
    let samples = current.aggr.as_nanos() / current.sample.as_nanos().max(1);
    let samples = u32::try_from(samples).unwrap_or(u32::MAX).max(1);
    let sample = round_up(current.sample.mul_f64(factor.clamp(0.01, 1000.0)));
    let sample = sample.min(LONGEST_SAMPLE.max(current.sample));
    Intervals { sample, aggr: sample.saturating_mul(samples) }
}

/// Up to the next number of microseconds with two significant digits.
fn round_up(duration: Duration) -> Duration {
    let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 2).max(1);
    let unit = 10_u64.pow(us.ilog10().saturating_sub(1));
    Duration::from_micros(us.div_ceil(unit).saturating_mul(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn asked() -> Intervals {
        Intervals { sample: 5 * MS, aggr: 100 * MS }
    }

    #[test]
    fn a_command_that_was_waited_for_does_not_count() {
        let mut own = OwnCpu::default();
        own.leave_children_out();
        let before = own.used() + cpu_of(UsageWho::RUSAGE_CHILDREN);
        let busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        std::process::Command::new("sh").args(["-c", busy]).status().unwrap();
        let after = own.used() + cpu_of(UsageWho::RUSAGE_CHILDREN);
        let counted_without = OwnCpu::default().used();
        assert!(after > before, "the command used some");
        assert!(own.used() < counted_without, "and it is left out");
    }

    fn cpu(second: u32, percent: u32) -> Duration {
        Duration::from_millis(u64::from(second) * u64::from(percent) * 10)
    }

    /// Feeds `seconds` of steady use and applies what the budget decides.
    fn feed(budget: &mut Budget, from: u32, seconds: u32, percent: u32) -> Vec<Intervals> {
        (from..=from + seconds)
            .filter_map(|second| {
                let now = Duration::from_secs(u64::from(second));
                budget.observe(now, cpu(second, percent));
                let change = budget.judge()?;
                budget.restart(change.intervals, now, cpu(second, percent));
                Some(change.intervals)
            })
            .collect()
    }

    #[test]
    fn within_the_budget_nothing_changes() {
        let mut budget = Budget::new(2.0, asked());
        assert_eq!(feed(&mut budget, 0, 60, 2), []);
        let mut idle = Budget::new(2.0, asked());
        assert_eq!(feed(&mut idle, 0, 60, 0), [], "never below what was asked for");
    }

    #[test]
    fn above_it_both_intervals_stretch_by_the_excess() {
        let mut budget = Budget::new(2.0, asked());
        let changes = feed(&mut budget, 0, 1, 8);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].sample, 28 * MS, "four times the budget, and a margin");
        assert_eq!(changes[0].aggr, 560 * MS, "20 samples as before");
    }

    #[test]
    fn far_above_it_the_first_quarter_of_a_second_is_enough() {
        let after_a_quarter = |percent: u32| {
            let mut budget = Budget::new(2.0, asked());
            budget.observe(Duration::ZERO, Duration::ZERO);
            budget.observe(250 * MS, percent * 250 * MS / 100);
            budget.judge().map(|change| change.intervals.sample)
        };
        assert_eq!(after_a_quarter(8), Some(28 * MS));
        assert_eq!(after_a_quarter(4), None, "a burst at the start is no reason yet");
    }

    #[test]
    fn after_a_change_the_old_use_is_forgotten() {
        let mut budget = Budget::new(2.0, asked());
        feed(&mut budget, 0, 1, 8);
        assert_eq!(budget.percent(), None);
    }

    #[test]
    fn a_judgement_waits_for_several_samples() {
        let slow = Intervals { sample: Duration::from_secs(4), aggr: Duration::from_secs(20) };
        let mut budget = Budget::new(2.0, slow);
        assert_eq!(feed(&mut budget, 0, 11, 50), []);
        assert_eq!(feed(&mut budget, 12, 0, 50).len(), 1);
    }

    #[test]
    fn an_expensive_look_is_foreseen() {
        let budget = Budget::new(2.0, asked());
        assert_eq!(budget.foresee(Duration::from_micros(99)), None);
        let change = budget.foresee(Duration::from_millis(1)).unwrap();
        assert_eq!(change.intervals.sample, 70 * MS);
    }

    #[test]
    fn long_calm_shrinks_them_back_to_what_was_asked_for_and_no_further() {
        let mut budget = Budget::new(2.0, asked());
        let stretched = Intervals { sample: 12 * MS, aggr: 240 * MS };
        budget.restart(stretched, Duration::ZERO, Duration::ZERO);
        let seen = feed(&mut budget, 1, 60, 0);
        let samples: Vec<Duration> = seen.iter().map(|i| i.sample).collect();
        assert_eq!(samples, [8 * MS, Duration::from_micros(5400), 5 * MS]);
        assert_eq!(seen.last(), Some(&asked()));
    }
}
