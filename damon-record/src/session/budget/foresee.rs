//! The decision before the first snapshot: what one round and one look cost is measured on the target,
//! so that nothing has to be spent first in order to find out.
//!
//! Backends that can do both begin with exact looks where these are cheap at a useful interval: they
//! see every page, need no search for regions, and their counts have no sampling error. The mode stays as
//! it is then (the head of the recording names it); a target that grows is looked at seldomer. A command
//! that has not begun yet tells nothing about its later size, so commands are sampled; and so is a target
//! whose children are followed, each of which would have to be looked at in full.

use super::cpu::own;
use super::num::float;
use super::{Budget, Prior, RoundCost, Setting, is_limited};
use crate::backend::kind::{Kind, Looks};
use crate::backend::{Watch, WatchError};
use crate::monitor::rng::Rng;
use crate::monitor::{AddressRange, mapped_ranges};
use crate::plan::{Intervals, Plan};
use crate::proc::{MapsFile, ProcRoot, page_size};
use std::time::Duration;

/// How a recording begins.
#[derive(Debug)]
pub(in crate::session) struct Beginning {
    pub(in crate::session) budget: Budget,
    pub(in crate::session) setting: Setting,
    /// Everything at each look, or one page per region.
    pub(in crate::session) exact: bool,
}

/// Assumed where nothing can be measured: a busy target, whose processor caches are cold for us.
const USUAL: RoundCost = RoundCost { fixed: 25e-6, per_region: 3e-6 };
const USUAL_LOOK: f64 = 1e-3;

/// Rounds of each size that are measured, after one that warms up.
const ROUNDS: u32 = 4;
const FEW: usize = 1;
const MANY: usize = 64;
/// Between preparing and checking them.
const WAIT: Duration = Duration::from_millis(2);
/// What a session does per round beside watching, compared with the probe, which only sleeps.
const SESSION: f64 = 1.5;
/// Between arming and the look that is measured.
const LOOK_WAIT: Duration = Duration::from_millis(50);

/// A trial look may cost this much, which happens once.
const MOST_TRIAL: f64 = 0.1;
/// Of a look, per resident page, and per page that was touched, at most.
const PER_PAGE: f64 = 25e-9;
const PER_TOUCHED_PAGE: f64 = 1.2e-6;
/// What the recorder itself spends on one more touched page of a look.
const PER_TOUCHED_PAGE_HERE: f64 = 0.1e-6;
/// Exact looks must leave this part of the budget for the target to grow.
const PART_FOR_LOOKS: f64 = 0.6;

/// Useful intervals of exact looks, with the number of them in an aggregation.
const LADDER: [(u64, u32); 7] =
    [(10, 10), (20, 10), (50, 10), (100, 10), (200, 5), (500, 4), (1000, 4)];
/// A recording of limited duration should have so many aggregations.
const AGGREGATIONS: u32 = 4;

/// What the first target is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Company {
    /// It runs, and nobody joins it.
    Alone,
    /// It runs; others may join it.
    Growing,
    /// It has not begun to run yet.
    Waiting,
}

/// Measures what watching process `pid` with `watch` costs, and chooses what to begin with. Failures of
/// the watch are left to those who take the target up.
pub(in crate::session) fn foresee(
    plan: &Plan,
    kind: &Kind,
    watch: &mut dyn Watch,
    (proc, pid): (&ProcRoot, u32),
    company: Company,
) -> Beginning {
    let intervals = plan.intervals(kind.intervals);
    let mut asked = Setting { intervals, max_regions: plan.max_regions };
    if kind.looks == Looks::Kernel {
        return unlimited(plan, asked);
    }
    let mut exact = kind.is_exact_at(intervals.sample);
    let mut prior = if exact { Prior::Exact(USUAL_LOOK) } else { Prior::Sampled(USUAL) };
    if is_limited(plan.budget_percent) {
        let mut probe = Probe::new(watch, (proc, pid), company, plan);
        let free = plan.sample.is_none() && plan.aggr.is_none();
        let either = matches!(kind.looks, Looks::Either { .. });
        // Failures show again, and are dealt with, when the target is taken up.
        if exact {
            if let Ok(look) = probe.look() {
                prior = Prior::Exact(look.recorder + look.target);
            }
        } else if let Ok(rounds) = probe.rounds() {
            prior = Prior::Sampled(rounds.cost);
            if free
                && either
                && company == Company::Alone
                && let Some((intervals, cost)) = probe.exact(&rounds, plan)
            {
                exact = true;
                asked.intervals = intervals;
                prior = Prior::Exact(cost);
            }
        }
    }
    let mut budget = Budget::new(plan.budget_percent, asked, plan.min_regions, prior);
    let setting = budget.begin();
    Beginning { budget, setting, exact }
}

/// Somebody else looks: what that costs is bounded by the number of regions, and not ours to change.
pub(in crate::session) fn unlimited(plan: &Plan, asked: Setting) -> Beginning {
    let mut budget =
        Budget::new(super::UNLIMITED_PERCENT, asked, plan.min_regions, Prior::Sampled(USUAL));
    let setting = budget.begin();
    Beginning { budget, setting, exact: false }
}

/// What sampled rounds were like.
#[derive(Clone, Copy, Debug)]
struct Rounds {
    cost: RoundCost,
    /// Part of the pages found accessed.
    accessed: f64,
}

/// What one look was like.
#[derive(Clone, Copy, Debug)]
struct Look {
    recorder: f64,
    target: f64,
    touched: u64,
}

struct Probe<'a> {
    watch: &'a mut dyn Watch,
    ranges: Vec<AddressRange>,
    resident: u64,
    waiting: bool,
}

impl<'a> Probe<'a> {
    fn new(
        watch: &'a mut dyn Watch,
        (proc, pid): (&ProcRoot, u32),
        company: Company,
        plan: &Plan,
    ) -> Self {
        let mut mappings = Vec::new();
        let mut ranges = Vec::new();
        if let Ok(mut maps) = MapsFile::open(proc, pid)
            && maps.read(&mut mappings).is_ok()
            && watch.mappings_changed(&mappings).is_ok()
        {
            ranges = mapped_ranges(&mappings).filter(|range| range.start < range.end).collect();
        }
        if !plan.ranges.is_empty() {
            ranges = plan.ranges.iter().map(|&(start, end)| AddressRange { start, end }).collect();
        }
        Self {
            watch,
            ranges,
            resident: proc.status(pid).map_or(0, |status| status.rss),
            waiting: company == Company::Waiting,
        }
    }

    fn mapped(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// Evenly random addresses, ascending.
    fn points(&self, count: usize, rng: &mut Rng) -> Vec<u64> {
        let mapped = self.mapped();
        let mut offsets: Vec<u64> = (0..count).map(|_| rng.below(mapped)).collect();
        offsets.sort_unstable();
        let mut points = Vec::with_capacity(count);
        let mut ranges = self.ranges.iter();
        let mut current = ranges.next();
        let mut before = 0;
        for offset in offsets {
            while let Some(range) = current {
                let size = range.end - range.start;
                if offset < before + size {
                    points.push(range.start + (offset - before));
                    break;
                }
                before += size;
                current = ranges.next();
            }
        }
        points
    }

    /// Cost and hits of one round over `count` pages.
    fn round(&mut self, count: usize, rng: &mut Rng) -> Result<(f64, u64), WatchError> {
        let points = self.points(count, rng);
        let mut accessed = vec![false; points.len()];
        let _earlier = self.watch.toll();
        let before = own();
        self.watch.prepare(&points)?;
        if !self.waiting {
            std::thread::sleep(WAIT);
        }
        self.watch.check(&points, &mut accessed)?;
        let spent = own().saturating_sub(before) + self.watch.toll().target;
        Ok((spent.as_secs_f64(), accessed.iter().map(|hit| u64::from(*hit)).sum()))
    }

    fn rounds(&mut self) -> Result<Rounds, WatchError> {
        let mut rng = Rng::new(self.mapped());
        self.round(MANY, &mut rng)?;
        let (mut few, mut many, mut hits) = (0.0, 0.0, 0);
        for _ in 0..ROUNDS {
            few += self.round(FEW, &mut rng)?.0;
            let (cost, found) = self.round(MANY, &mut rng)?;
            many += cost;
            hits += found;
        }
        let rounds = f64::from(ROUNDS);
        let measured = RoundCost::through(
            (float(FEW as u64), few / rounds),
            (float(MANY as u64), many / rounds),
        );
        let mut cost = RoundCost { fixed: measured.fixed * SESSION, ..measured };
        if self.waiting {
            // A target that does not run shares no cache line and no TLB entry with us yet.
            // By the page tables, a region of a stopped one costs a tenth of what it does once it runs (0.23 us
            // against 2 to 3.4 us), so that what was measured here says nothing. Recording some rounds first in order to
            // learn would give each run another interval, and runs with different ones cannot be compared.
            cost.fixed = cost.fixed.max(USUAL.fixed);
            cost.per_region = cost.per_region.max(USUAL.per_region);
        }
        Ok(Rounds { cost, accessed: float(hits) / (rounds * float(MANY as u64)) })
    }

    fn look(&mut self) -> Result<Look, WatchError> {
        let mut touched = Vec::new();
        self.watch.look(&mut touched)?;
        touched.clear();
        if !self.waiting {
            std::thread::sleep(LOOK_WAIT);
        }
        let _earlier = self.watch.toll();
        let before = own();
        self.watch.look(&mut touched)?;
        Ok(Look {
            recorder: own().saturating_sub(before).as_secs_f64(),
            target: self.watch.toll().target.as_secs_f64(),
            touched: touched.iter().map(|range| range.bytes).sum(),
        })
    }

    /// Intervals of exact looks that fit the budget, and what one look costs then.
    fn exact(&mut self, rounds: &Rounds, plan: &Plan) -> Option<(Intervals, f64)> {
        let page = page_size();
        let pages = self.resident / page;
        let touched = (rounds.accessed * float(self.mapped()) / float(page)).min(float(pages));
        if float(pages) * PER_PAGE + touched * PER_TOUCHED_PAGE > MOST_TRIAL {
            return None;
        }
        let look = self.look().ok()?;
        let measured = Measured {
            look,
            touched_pages: look.touched / page,
            resident_pages: pages,
            after: LOOK_WAIT,
        };
        measured.intervals(plan.budget_percent / 100.0 * PART_FOR_LOOKS, plan.duration)
    }
}

/// A look that was measured some time `after` the one before.
#[derive(Clone, Copy, Debug)]
struct Measured {
    look: Look,
    touched_pages: u64,
    resident_pages: u64,
    after: Duration,
}

impl Measured {
    /// What a look every `interval` costs at most: until then more pages may be touched, in proportion
    /// to the time if all of them are different ones, but never more than there are.
    fn cost(&self, interval: Duration) -> f64 {
        let now = float(self.touched_pages.max(1));
        let most = (float(self.resident_pages) / now).max(1.0);
        let growth = (interval.as_secs_f64() / self.after.as_secs_f64()).clamp(1.0, most);
        let more_pages = now * (growth - 1.0);
        self.look.recorder + self.look.target * growth + more_pages * PER_TOUCHED_PAGE_HERE
    }

    /// The shortest useful intervals at which looks take no more than `room` of a core.
    fn intervals(&self, room: f64, duration: Option<Duration>) -> Option<(Intervals, f64)> {
        LADDER.iter().find_map(|&(ms, samples)| {
            let sample = Duration::from_millis(ms);
            let cost = self.cost(sample);
            let longest = duration.map_or(Duration::MAX, |duration| duration / AGGREGATIONS);
            let fitting = longest.as_nanos() / sample.as_nanos().max(1);
            let samples = samples.min(u32::try_from(fitting).unwrap_or(u32::MAX));
            (cost <= room * sample.as_secs_f64() && samples >= 2)
                .then(|| (Intervals { sample, aggr: sample.saturating_mul(samples) }, cost))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const PAGES_PER_MIB: u64 = 256;

    fn measured(us: u64, target_us: u64, touched_pages: u64, resident_mib: u64) -> Measured {
        let resident_pages = resident_mib * PAGES_PER_MIB;
        let look = Look {
            recorder: float(us) * 1e-6,
            target: float(target_us) * 1e-6,
            touched: touched_pages * 4096,
        };
        Measured { look, touched_pages, resident_pages, after: LOOK_WAIT }
    }

    fn sample_ms(measured: Measured) -> Option<u128> {
        let (intervals, cost) = measured.intervals(0.006, None)?;
        assert!(cost > 0.0 && intervals.aggr >= 2 * intervals.sample);
        Some(intervals.sample.as_millis())
    }

    #[test]
    fn small_and_idle_targets_are_looked_at_often() {
        assert_eq!(sample_ms(measured(30, 0, 0, 2)), Some(10), "a sleeping process");
        assert_eq!(sample_ms(measured(400, 0, 1, 16)), Some(100));
        assert_eq!(sample_ms(measured(2000, 0, 1, 4096)), Some(500), "large and idle");
    }

    #[test]
    fn a_target_that_would_pay_more_than_the_budget_is_sampled() {
        let sweeping = measured(3_000, 65_000, 65_536, 256);
        assert_eq!(sample_ms(sweeping), None);
        let large = measured(25_000, 0, 0, 4096);
        assert_eq!(sample_ms(large), None);
    }

    #[test]
    fn what_was_touched_in_a_short_time_is_expected_to_grow() {
        // 200 pages in 50 ms may become 4000 in a second, each of which costs a fault.
        let wandering = measured(300, 240, 200, 1024);
        assert!(wandering.cost(1000 * MS) > 4.8e-3);
        // All there is has been touched already.
        let steady = measured(300, 1024, 1024, 4);
        assert!(wandering.cost(1000 * MS) > 3.0 * steady.cost(1000 * MS));
    }

    #[test]
    fn a_short_recording_still_has_several_aggregations() {
        let idle = measured(30, 0, 0, 2);
        let (intervals, _) = idle.intervals(0.006, Some(400 * MS)).unwrap();
        assert_eq!(intervals, Intervals { sample: 10 * MS, aggr: 100 * MS });
        let costly = measured(4_000, 0, 0, 1024);
        assert_eq!(costly.intervals(0.006, Some(2_000 * MS)), None, "one look per aggregation");
        assert!(costly.intervals(0.006, None).is_some());
    }

    /// A target of whose pages every second one is accessed, and which costs nothing.
    #[derive(Default)]
    struct Fake {
        prepared: Vec<u64>,
    }

    impl Watch for Fake {
        fn prepare(&mut self, addresses: &[u64]) -> Result<(), WatchError> {
            self.prepared = addresses.to_vec();
            Ok(())
        }

        fn check(&mut self, addresses: &[u64], accessed: &mut [bool]) -> Result<(), WatchError> {
            assert_eq!(self.prepared, addresses);
            for (hit, address) in accessed.iter_mut().zip(addresses) {
                *hit = address / 4096 % 2 == 0;
            }
            Ok(())
        }

        fn look(&mut self, _: &mut Vec<crate::backend::Touched>) -> Result<(), WatchError> {
            Err(WatchError::Gone)
        }

        fn mappings_changed(&mut self, _: &[damon_format::Mapping]) -> Result<(), WatchError> {
            Ok(())
        }
    }

    #[test]
    fn probing_draws_pages_all_over_what_is_mapped() {
        let proc = ProcRoot::default();
        let mut plan = Plan::new(crate::plan::Subject::pid(1));
        plan.ranges = vec![(0x10000, 0x14000), (0x100_0000, 0x200_0000)];
        let mut fake = Fake::default();
        let me = std::process::id();
        let mut probe = Probe::new(&mut fake, (&proc, me), Company::Waiting, &plan);
        let points = probe.points(1000, &mut Rng::new(1));
        assert_eq!(points.len(), 1000);
        assert!(points.is_sorted());
        let inside = |p: &u64| plan.ranges.iter().any(|(start, end)| (start..end).contains(&p));
        assert!(points.iter().all(inside));
        let rounds = probe.rounds().unwrap();
        assert!((0.3..0.7).contains(&rounds.accessed), "{}", rounds.accessed);
        assert!(rounds.cost.per_region >= USUAL.per_region, "it does not run yet");
        assert!(probe.look().is_err());
    }

    #[test]
    fn without_a_limit_nothing_is_probed_or_changed() {
        let mut plan = Plan::new(crate::plan::Subject::pid(1));
        plan.budget_percent = 100.0;
        let mut fake = Fake::default();
        let proc = ProcRoot::default();
        let kind = &crate::backend::writes::KIND;
        let begun = foresee(&plan, kind, &mut fake, (&proc, 1), Company::Alone);
        assert!(fake.prepared.is_empty());
        assert_eq!(begun.setting.intervals, kind.intervals);
        assert_eq!((begun.setting.max_regions, begun.exact), (1000, false));
    }
}
