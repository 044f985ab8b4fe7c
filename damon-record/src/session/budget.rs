//! Keeps the recorder's own CPU use below a ceiling by stretching the intervals.

use crate::plan::Intervals;
use nix::sys::resource::{UsageWho, getrusage};
use std::collections::VecDeque;
use std::time::Duration;

/// CPU time used by this process so far, and by its helpers while `with_children` (a command that has
/// been waited for counts among the children).
pub fn cpu_used(with_children: bool) -> Duration {
    let of = |who| {
        let Ok(usage) = getrusage(who) else {
            return Duration::ZERO;
        };
        let micros = |time: nix::sys::time::TimeVal| {
            let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
            let rest = u64::try_from(time.tv_usec()).unwrap_or(0);
            Duration::from_micros(seconds.saturating_mul(1_000_000).saturating_add(rest))
        };
        micros(usage.user_time()) + micros(usage.system_time())
    };
    let own = of(UsageWho::RUSAGE_SELF);
    if with_children {
        own + of(UsageWho::RUSAGE_CHILDREN)
    } else {
        own
    }
}

/// Over which the CPU use is averaged.
const WINDOW: Duration = Duration::from_secs(3);
/// No judgement before this much of a window is filled.
const LEAST_WINDOW: Duration = Duration::from_millis(900);
/// Below this part of the ceiling, for [`CALM`], intervals shrink again.
const IDLE_PART: f64 = 0.4;
const CALM: Duration = Duration::from_secs(10);
/// How much they shrink at once: from below 0.4 of the ceiling to below 0.6.
const SHRINK: f64 = 1.5;
/// Aim a little below the ceiling when stretching.
const MARGIN: f64 = 1.15;
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
    history: VecDeque<(Duration, Duration)>,
    calm_since: Option<Duration>,
}

impl Budget {
    /// Holds `ceiling_percent` of one core and never samples more often than `asked`.
    pub(super) fn new(ceiling_percent: f64, asked: Intervals) -> Self {
        Self {
            ceiling_percent,
            asked,
            history: VecDeque::with_capacity(16),
            calm_since: None,
        }
    }

    /// Notes that `cpu` has been used by the time `now`.
    pub(super) fn observe(&mut self, now: Duration, cpu: Duration) {
        while self.history.len() > 2
            && self
                .history
                .get(1)
                .is_some_and(|(time, _)| now.saturating_sub(*time) >= WINDOW)
        {
            self.history.pop_front();
        }
        self.history.push_back((now, cpu));
    }

    /// CPU use over the window, per cent of one core.
    pub(super) fn percent(&self) -> Option<f64> {
        let ((from, used), (to, now_used)) = (self.history.front()?, self.history.back()?);
        let span = to.saturating_sub(*from);
        (span >= LEAST_WINDOW)
            .then(|| now_used.saturating_sub(*used).as_secs_f64() / span.as_secs_f64() * 100.0)
    }

    /// Whether the intervals should change; when they do, averaging begins anew.
    pub(super) fn judge(&mut self, current: Intervals) -> Option<Change> {
        let percent = self.percent()?;
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
            if shorter.sample <= self.asked.sample {
                self.asked
            } else {
                shorter
            }
        } else {
            self.calm_since = None;
            return None;
        };
        if intervals == current {
            return None;
        }
        let last = self.history.pop_back();
        self.history.clear();
        self.history.extend(last);
        Some(Change { intervals, percent })
    }
}

/// Scales both intervals; the sampling interval is rounded to two digits, and the aggregation interval
/// keeps its number of samples.
fn scale(current: Intervals, factor: f64) -> Intervals {
    let samples = current.aggr.as_nanos() / current.sample.as_nanos().max(1);
    let samples = u32::try_from(samples).unwrap_or(u32::MAX).max(1);
    let sample = round_up(current.sample.mul_f64(factor.clamp(0.01, 1000.0)));
    let sample = sample.min(LONGEST_SAMPLE.max(current.sample));
    Intervals {
        sample,
        aggr: sample.saturating_mul(samples),
    }
}

/// Up to the next number of microseconds with two significant digits.
fn round_up(duration: Duration) -> Duration {
    let us = u64::try_from(duration.as_micros())
        .unwrap_or(u64::MAX / 2)
        .max(1);
    let unit = 10_u64.pow(us.ilog10().saturating_sub(1));
    Duration::from_micros(us.div_ceil(unit).saturating_mul(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn asked() -> Intervals {
        Intervals {
            sample: 5 * MS,
            aggr: 100 * MS,
        }
    }

    /// Feeds `seconds` of steady use.
    fn feed(
        budget: &mut Budget,
        from: u32,
        seconds: u32,
        percent: u32,
        current: Intervals,
    ) -> Vec<Change> {
        (from..=from + seconds)
            .filter_map(|second| {
                let cpu = Duration::from_millis(u64::from(second) * u64::from(percent) * 10);
                budget.observe(Duration::from_secs(u64::from(second)), cpu);
                budget.judge(current)
            })
            .collect()
    }

    #[test]
    fn within_the_budget_nothing_changes() {
        let mut budget = Budget::new(2.0, asked());
        assert_eq!(feed(&mut budget, 0, 60, 2, asked()), []);
        assert_eq!(
            feed(&mut budget, 100, 60, 0, asked()),
            [],
            "never below what was asked for"
        );
    }

    #[test]
    fn above_it_both_intervals_stretch_by_the_excess() {
        let mut budget = Budget::new(2.0, asked());
        let changes = feed(&mut budget, 0, 1, 8, asked());
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].intervals.sample, 23 * MS);
        assert_eq!(changes[0].intervals.aggr, 460 * MS, "20 samples as before");
    }

    #[test]
    fn after_a_change_the_old_use_is_forgotten() {
        let mut budget = Budget::new(2.0, asked());
        let stretched = feed(&mut budget, 0, 1, 8, asked())[0].intervals;
        assert_eq!(budget.percent(), None);
        assert_eq!(feed(&mut budget, 2, 5, 1, stretched), []);
    }

    #[test]
    fn long_calm_shrinks_them_back_to_what_was_asked_for_and_no_further() {
        let mut budget = Budget::new(2.0, asked());
        let mut current = Intervals {
            sample: 12 * MS,
            aggr: 240 * MS,
        };
        let mut seen = Vec::new();
        for second in 0..60_u32 {
            budget.observe(Duration::from_secs(second.into()), Duration::ZERO);
            if let Some(change) = budget.judge(current) {
                current = change.intervals;
                seen.push(current.sample);
            }
        }
        assert_eq!(seen, [8 * MS, Duration::from_micros(5400), 5 * MS]);
        assert_eq!(current, asked());
    }
}
