//! Keeps what a recording costs below a ceiling: the recorder's CPU time, and an estimate of the time
//! that observing takes from the target (faults, TLB shoot-downs, pauses). Their sum is held.
//!
//! # What is traded for what
//!
//! A budget buys so many looks at pages per second, and no cleverness makes them more. They can be
//! spent on time (short sampling intervals), on space (many regions), or on certainty (samples per
//! aggregation). This is what the controller prefers, and why:
//!
//! 1. **The sampling interval stays, the maximum of regions falls**, as long as the regions that the
//!    target needs still fit. "Accessed" means *within one sampling interval*: another interval measures
//!    another quantity, so two recordings with different intervals cannot be compared, while two with
//!    different maxima can. DAMON's maximum of 1000 is also far more than most targets need: regions
//!    that look alike merge, and a program with a handful of hot places is described by some dozens.
//! 2. **The maximum never falls below [`FLOOR`] regions because of the price**, but the interval
//!    stretches. With fewer, what users come for is no longer in the data: a hot set of 1 % of the
//!    memory has no region of its own any more and disappears in the mean of its neighbours, whereas
//!    after stretching it is still found, later. DAMON doubles the regions after each aggregation in
//!    order to search, so that a maximum of 100 leaves some 50 distinct ones.
//! 3. **A target that needs fewer gets the interval back.** What counts is what the engine really merged down
//!    to in the last seconds, doubled for its search. Never less than the minimum of regions.
//! 4. **The samples per aggregation never change.** They set the scale and the error of every
//!    access rate (with 20 samples, ± 0.22 at worst); both intervals stretch together.
//! 5. **Exact looks have no regions to save on**: their interval stretches.
//!
//! Tightening waits for a quarter of a second where the excess is large, otherwise for one second;
//! relaxing waits for seconds, and twice as long each time after it had to be taken back. The
//! decision before the first snapshot rests on a measurement ([`mod@foresee`]).
//!
//! One-off costs (attaching, loading programs into the kernel, the first reading of the mappings) are left out: no
//! interval would make them cheaper.

mod cost;
mod cpu;
mod foresee;
mod meter;
mod num;
mod setting;
#[cfg(test)]
mod tests;
mod words;

pub(super) use cost::RoundCost;
pub(super) use cpu::{OwnCpu, own, process};
pub(super) use foresee::{Beginning, Company, foresee, unlimited};
pub(super) use meter::{Meter, Spent};
pub(super) use setting::{Change, Setting, Share, Why};
pub(super) use words::show_costs;

use crate::plan::Intervals;
use cost::{LookFit, Rate, RoundFit};
use num::{float, small_count};
use setting::{LONGEST_SAMPLE, round_down, round_up};
use std::collections::VecDeque;
use std::time::Duration;

/// Regions that the price of a sample never takes away, unless fewer were asked for.
pub(super) const FLOOR: u32 = 100;
/// The part of the ceiling that is aimed at: costs vary from second to second.
const AIM: f64 = 0.85;
/// The part of the ceiling that sampling gets in any case, whatever else the recorder does.
const LEAST: f64 = 0.25;
/// Tightening needs this long an average, or this many rounds …
const WINDOW: Duration = Duration::from_millis(950);
const WINDOW_ROUNDS: u32 = 3;
/// … or less of it where the ceiling is exceeded so many times. The first rounds do not count: caches are
/// cold, and memory of our own is touched for the first time.
const MUCH: f64 = 1.4;
const WINDOW_OF_MUCH: Duration = Duration::from_millis(240);
const WARM_UP: Duration = Duration::from_millis(240);
/// Of what the excess asks for, the most that one step does.
const ONE_STEP: f64 = 1.3;
/// Averages reach back this far.
const HISTORY: Duration = Duration::from_secs(2);
/// Relaxing must win at least this factor …
const GAIN: f64 = 1.4;
/// … and be possible for this long; this doubles, up to the other, when it has to be taken back.
const CALM: Duration = Duration::from_secs(3);
const LONGEST_CALM: Duration = Duration::from_secs(60);
/// What the engine needs is the most that it merged down to in this time, or this many aggregations.
const NEED_TIME: Duration = Duration::from_secs(4);
const NEED_AGGREGATIONS: usize = 4;
/// Merged regions are cut in two to search, and may become a few more.
const SEARCH: f64 = 2.4;

/// The cost model of the session's way of looking.
#[derive(Debug)]
enum Model {
    Sampled(RoundFit),
    Exact(LookFit),
}

/// What is known before the recording begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Prior {
    Sampled(RoundCost),
    /// Seconds per look.
    Exact(f64),
}

/// The controller. Pure: time and costs are given to it.
#[derive(Debug)]
pub(super) struct Budget {
    /// Part of one core.
    ceiling: f64,
    asked: Setting,
    min_regions: u32,
    current: Setting,
    model: Model,
    background: Rate,
    /// The last seconds.
    history: VecDeque<(Duration, Share)>,
    rounds_since_change: u32,
    time_since_change: Duration,
    now: Duration,
    /// When each of the last aggregations ended, and how many regions it merged down to.
    merged: VecDeque<(Duration, u32)>,
    regions: f64,
    /// What the fit has learnt last.
    last: (f64, f64, f64, f64),
    relaxable_since: Option<Duration>,
    calm: Duration,
    relaxed_at: Option<Duration>,
}

impl Budget {
    /// Holds `ceiling_percent` of one core; never looks more often than `asked`, with never more
    /// regions. A ceiling of a whole core and more is none: the controller keeps its hands off.
    pub(super) fn new(
        ceiling_percent: f64,
        asked: Setting,
        min_regions: u32,
        prior: Prior,
    ) -> Self {
        Self {
            ceiling: ceiling_percent / 100.0,
            asked,
            min_regions,
            current: asked,
            model: match prior {
                Prior::Sampled(cost) => Model::Sampled(RoundFit::new(cost, f64::from(FLOOR) / 2.0)),
                Prior::Exact(cost) => Model::Exact(LookFit::new(cost)),
            },
            background: Rate::default(),
            history: VecDeque::with_capacity(16),
            rounds_since_change: 0,
            time_since_change: Duration::ZERO,
            now: Duration::ZERO,
            merged: VecDeque::with_capacity(16),
            regions: 0.0,
            last: (0.0, 0.0, 0.0, 1.0),
            relaxable_since: None,
            calm: CALM,
            relaxed_at: None,
        }
    }

    /// Whether there is a ceiling at all.
    pub(super) fn is_limited(&self) -> bool {
        is_limited(self.ceiling * 100.0)
    }

    /// The ceiling in per cent.
    pub(super) fn percent(&self) -> f64 {
        self.ceiling * 100.0
    }

    /// Notes what was spent since the last call; the time that it covers is not empty.
    pub(super) fn observe(&mut self, spent: &Spent) {
        let elapsed = spent.elapsed.as_secs_f64().max(1e-6);
        let begins = self.now < WARM_UP;
        self.now += spent.elapsed;
        if begins {
            return;
        }
        self.time_since_change += spent.elapsed;
        self.rounds_since_change = self.rounds_since_change.saturating_add(spent.rounds);
        self.background.learn(spent.background, elapsed);
        let rounds = f64::from(spent.rounds);
        if spent.rounds > 0 {
            let cost = (spent.rounds_recorder + spent.target).as_secs_f64() / rounds;
            match &mut self.model {
                Model::Sampled(fit) => {
                    self.regions = float(spent.samples) / rounds;
                    self.last = (self.regions, cost, elapsed, elapsed / rounds);
                    fit.learn(self.regions, cost, elapsed, elapsed / rounds);
                }
                Model::Exact(fit) => fit.learn(rounds, cost),
            }
        }
        let share = Share {
            recorder: (spent.rounds_recorder + spent.background).as_secs_f64() / elapsed,
            target: spent.target.as_secs_f64() / elapsed,
        };
        self.history.push_back((spent.elapsed, share));
        let reach = HISTORY.max(self.current.intervals.sample.saturating_mul(WINDOW_ROUNDS));
        let mut kept: Duration = self.history.iter().map(|(time, _)| *time).sum();
        while let Some((first, _)) = self.history.front()
            && kept.saturating_sub(*first) >= reach
        {
            kept -= *first;
            self.history.pop_front();
        }
    }

    /// An aggregation has ended with so many merged regions.
    pub(super) fn aggregated(&mut self, merged: usize) {
        let merged = u32::try_from(merged).unwrap_or(u32::MAX);
        self.merged.push_back((self.now, merged));
        while self.merged.len() > NEED_AGGREGATIONS
            && let Some((time, _)) = self.merged.get(1)
            && self.now.saturating_sub(*time) >= NEED_TIME
        {
            self.merged.pop_front();
        }
    }

    /// What recording has cost in the last seconds, once there is something to tell.
    pub(super) fn share(&self) -> Option<Share> {
        self.mean_share(WINDOW, HISTORY)
    }

    /// The mean over the last `most`; none before `least` of it, and some rounds, were observed.
    fn mean_share(&self, least: Duration, most: Duration) -> Option<Share> {
        let (mut sum, mut time) = (Share::default(), Duration::ZERO);
        for (elapsed, share) in self.history.iter().rev() {
            let weight = elapsed.as_secs_f64();
            sum.recorder += share.recorder * weight;
            sum.target += share.target * weight;
            time += *elapsed;
            if time >= most {
                break;
            }
        }
        let seconds = time.as_secs_f64();
        (time >= least && seconds > 0.0)
            .then(|| Share { recorder: sum.recorder / seconds, target: sum.target / seconds })
    }

    /// The setting to begin with.
    pub(super) fn begin(&mut self) -> Setting {
        if self.is_limited() {
            self.current = self.affordable(self.floor());
        }
        self.current
    }

    /// From now on `setting` is in force; averaging begins anew.
    pub(super) fn restart(&mut self, setting: Setting) {
        self.current = setting;
        self.history.clear();
        self.rounds_since_change = 0;
        self.time_since_change = Duration::ZERO;
        self.relaxable_since = None;
    }

    /// Whether the setting should change.
    pub(super) fn judge(&mut self) -> Option<Change> {
        if !self.is_limited() || self.rounds_since_change == 0 {
            return None;
        }
        self.tighten().or_else(|| self.relax())
    }

    fn tighten(&mut self) -> Option<Change> {
        let long = self.mean_share(WINDOW, HISTORY).filter(|share| {
            share.sum() > self.ceiling && self.rounds_since_change >= WINDOW_ROUNDS
        });
        let short = self
            .mean_share(WINDOW_OF_MUCH, WINDOW_OF_MUCH)
            .filter(|share| share.sum() > self.ceiling * MUCH)
            .filter(|_| self.rounds_since_change >= WINDOW_ROUNDS);
        let (share, why) = match short.or(long) {
            Some(share) => (share, Why::Above),
            None => (self.foreseen_excess()?, Why::Foreseen),
        };
        if why == Why::Above {
            self.relaxable_since = None;
            if short.is_some()
                && let Model::Sampled(fit) = &mut self.model
            {
                // What was learnt before did not tell: what was just seen counts for as much.
                fit.doubt();
                let (regions, cost, elapsed, period) = self.last;
                fit.learn(regions, cost, elapsed, period);
            }
        }
        let next = self.next_setting();
        let excess = share.sum() / self.ceiling / AIM;
        let setting = if next.is_tighter_than(self.current) && why == Why::Above {
            // What else the recorder does is not known well at first: one step is no longer than what was
            // seen asks for.
            let bound = self.current.stretched(excess * ONE_STEP).intervals;
            let longest = next.intervals.sample.min(bound.sample);
            Setting { intervals: self.with_sample(longest), ..next }
        } else if next.is_tighter_than(self.current) {
            next
        } else if why == Why::Above && self.time_since_change >= WINDOW {
            // The model sees no excess where there is one: go by the excess itself.
            self.current.stretched(excess)
        } else {
            return None;
        };
        if why == Why::Above
            && self.relaxed_at.is_some_and(|at| self.now.saturating_sub(at) < self.calm * 4)
        {
            self.calm = (self.calm * 2).min(LONGEST_CALM);
        }
        self.relaxed_at = None;
        (setting != self.current).then_some(Change { setting, why, share })
    }

    /// The share when the target makes use of all regions it may have, if that is too much and near.
    fn foreseen_excess(&self) -> Option<Share> {
        let Model::Sampled(fit) = &self.model else {
            return None;
        };
        let near = self.regions * 2.0 >= f64::from(self.current.max_regions);
        let most = f64::from(self.current.max_regions);
        let sample = self.current.intervals.sample.as_secs_f64();
        let sum = fit.line().at(most) / sample + self.background.get();
        (near && sum > self.ceiling * MUCH && self.time_since_change >= WINDOW)
            .then_some(Share { recorder: sum, target: 0.0 })
    }

    fn relax(&mut self) -> Option<Change> {
        let share = self.share().filter(|_| self.rounds_since_change >= WINDOW_ROUNDS)?;
        let next = self.next_setting();
        if !self.is_worth_it(next) {
            self.relaxable_since = None;
            return None;
        }
        let since = *self.relaxable_since.get_or_insert(self.now);
        if self.now.saturating_sub(since) < self.calm {
            return None;
        }
        self.relaxed_at = Some(self.now);
        Some(Change { setting: next, why: Why::Room, share })
    }

    fn is_worth_it(&self, next: Setting) -> bool {
        let (new, old) = (next.intervals.sample, self.current.intervals.sample);
        let cheaper = old > new
            && (old.as_secs_f64() >= new.as_secs_f64() * GAIN
                || new == self.asked.intervals.sample);
        let pressed = self.regions * 2.0 >= f64::from(self.current.max_regions);
        let wider = old == new
            && pressed
            && f64::from(next.max_regions) >= f64::from(self.current.max_regions) * GAIN;
        cheaper || wider
    }

    fn next_setting(&self) -> Setting {
        self.affordable(self.need())
    }

    /// Regions that are paid for by stretching.
    fn floor(&self) -> u32 {
        FLOOR.max(self.min_regions).min(self.asked.max_regions)
    }

    /// How many of them the target needs, as far as that is known.
    fn need(&self) -> u32 {
        let known = self.merged.len() >= NEED_AGGREGATIONS
            && self
                .merged
                .front()
                .is_some_and(|(time, _)| self.now.saturating_sub(*time) >= NEED_TIME / 2);
        let most = self.merged.iter().map(|(_, merged)| *merged).max();
        match most.filter(|_| known) {
            Some(most) => {
                let wanted = small_count(f64::from(most) * SEARCH);
                wanted.max(self.min_regions).min(self.floor())
            }
            None => self.floor(),
        }
    }

    /// The part of a core that rounds may take.
    fn room(&self) -> f64 {
        (self.ceiling * AIM - self.background.get()).max(self.ceiling * LEAST)
    }

    /// The shortest intervals, not below what was asked for, at which `need` regions can be afforded, and as many
    /// more as can be afforded then.
    fn affordable(&self, need: u32) -> Setting {
        let room = self.room();
        let asked = self.asked.intervals.sample;
        let sample_for = |cost: f64| round_up(Duration::from_secs_f64((cost / room).min(1e6)));
        match &self.model {
            Model::Exact(fit) => Setting {
                intervals: self.with_sample(sample_for(fit.expected()).max(asked)),
                max_regions: self.asked.max_regions,
            },
            Model::Sampled(fit) => {
                let line = fit.line();
                let sample = sample_for(line.at(f64::from(need))).max(asked).min(LONGEST_SAMPLE);
                let fits = (room * sample.as_secs_f64() - line.fixed) / line.per_region;
                let max_regions = round_down(small_count(fits));
                Setting {
                    intervals: self.with_sample(sample),
                    max_regions: max_regions.max(need).min(self.asked.max_regions),
                }
            }
        }
    }

    /// Intervals with this sampling interval and as many samples per aggregation as ever.
    fn with_sample(&self, sample: Duration) -> Intervals {
        let asked = self.asked.intervals;
        if sample <= asked.sample {
            return asked;
        }
        let sample = sample.min(LONGEST_SAMPLE.max(asked.sample));
        let samples = asked.aggr.as_nanos() / asked.sample.as_nanos().max(1);
        let samples = u32::try_from(samples).unwrap_or(u32::MAX).max(1);
        Intervals { sample, aggr: sample.saturating_mul(samples) }
    }
}

/// A budget that limits nothing.
const UNLIMITED_PERCENT: f64 = 100.0;

/// Whether a budget of so many per cent of one core limits anything.
pub(super) fn is_limited(percent: f64) -> bool {
    percent < UNLIMITED_PERCENT
}
