//! The world in which simulated schemes act: it does nothing, and keeps account.

use super::Outlook;
use super::SchemeSum;
use super::by_mapping::Book;
use super::engine::{Recorded, TargetState};
use super::grain::Grain;
use super::huge::Huge;
use super::plan::{Effect, Plan, works};
use super::tiers::Tiers;
use crate::analysis::layout::{Cursor, Slot, split};
use damon_format::damos::kernel::{Action, Goal};
use damon_format::damos::rules::{Addresses, Attempt, Outcome, Readings, World};
use damon_format::{Region, SchemeApplied, TargetId};
use std::collections::BTreeMap;
use std::ops::Range;

/// Where schemes act.
pub(super) struct Field<'a, 'p> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) targets: &'a mut BTreeMap<TargetId, TargetState>,
    pub(super) sums: &'a mut [SchemeSum],
    pub(super) applied: &'a mut Vec<SchemeApplied>,
    pub(super) now_ns: u64,
    pub(super) begun_us: u64,
    pub(super) aggr_us: u64,
    pub(super) recorded: &'a Recorded<'a>,
    pub(super) put: Outlook,
    pub(super) back: Outlook,
    pub(super) book: &'a mut Book,
    pub(super) grain: &'a mut Grain,
    pub(super) tiers: Option<&'a mut Tiers>,
    pub(super) huge: Option<&'a mut Huge>,
    /// In an aggregation.
    pub(super) samples: u32,
    pub(super) cursor: &'a mut Cursor<'p>,
}

impl Field<'_, '_> {
    fn note(&mut self, scheme: u32, target: TargetId, region: Region) {
        let same = |last: &&mut SchemeApplied| last.time_ns == self.now_ns && last.target == target;
        // Schemes take turns at each region: theirs are among the last few.
        let found = self.applied.iter_mut().rev().take_while(same).find(|a| a.scheme == scheme);
        match found {
            Some(last) => last.regions.push(region),
            None => self.applied.push(SchemeApplied {
                time_ns: self.now_ns,
                scheme,
                target,
                regions: vec![region],
            }),
        }
    }

    /// Tiers and huge pages; bytes that were moved, where that is known.
    fn account(&mut self, attempt: &Attempt, target: TargetId, range: &Range<u64>) -> Option<u64> {
        if let Some(huge) = &mut self.huge {
            match self.plan.mapped.get(&target) {
                None => huge.apply(attempt.action, target, range.clone()),
                Some(mapped) => {
                    mapped.within(range).for_each(|part| huge.apply(attempt.action, target, part));
                }
            }
        }
        let tiers = self.tiers.as_mut().filter(|_| attempt.action.migrates())?;
        Some(tiers.migrate(attempt.scheme, target, range))
    }

    /// What was recorded of that memory.
    fn recorded(&self, target: TargetId, region: &Region) -> Option<Region> {
        let (_, regions) = self.recorded.iter().find(|(t, _)| *t == target)?;
        let behind = regions.partition_point(|r| r.end <= region.start);
        regions.get(behind).copied()
    }
}

impl Readings for Field<'_, '_> {
    fn read(&mut self, goal: &Goal) -> Option<u64> {
        let of_tier = self.tiers.as_ref().and_then(|tiers| tiers.goal(goal));
        of_tier.or_else(|| self.plan.series.goal(goal, self.now_ns))
    }
}

impl World for Field<'_, '_> {
    fn apply(&mut self, attempt: &Attempt) -> Outcome {
        let target = TargetId(attempt.target);
        let region = attempt.region;
        let (range, size) = (region.start..region.end, region.size());
        if self.plan.options.keep_applied
            && let Ok(scheme) = u32::try_from(attempt.scheme)
        {
            self.note(scheme, target, region);
        }
        let recorded = self.recorded(target, &region).unwrap_or(region);
        // Its age reaches back to the start.
        let since_begin = is_since_begin(&recorded, self.aggr_us, self.begun_us);
        let is_physical = self.plan.addresses == Addresses::Physical;
        let filter_passed = if is_physical { size } else { 0 };
        let done = attempt.action != Action::Stat && works(attempt.action, self.plan.addresses);
        let mut put = Outlook::default();
        let mut back = Outlook::default();
        let mut applied = size;
        if done {
            applied = self.account(attempt, target, &range).unwrap_or(size);
            let TargetState { away, populated, .. } = self.targets.entry(target).or_default();
            match Effect::of(attempt.action) {
                Effect::None => {}
                Effect::Back => back = away.take(&range, self.book),
                Effect::Away => {
                    let slots = self.cursor.at(target, self.now_ns);
                    let mut piece = |part: Range<u64>, group| {
                        populated.split(&part, &mut |part, share| {
                            put.add(away.put(part, share, group, self.book));
                        });
                    };
                    populated.accessible(&range).for_each(|p| by_group(slots, p, &mut piece));
                }
            }
        }
        self.grain.put(&recorded, put.expected, self.samples, self.plan.page_size);
        if let Some(sum) = self.sums.get_mut(attempt.scheme) {
            if since_begin {
                sum.tried_since_begin = sum.tried_since_begin.saturating_add(size);
            }
            sum.put_away.add(put);
            sum.brought_back.add(back);
        }
        self.put.add(put);
        self.back.add(back);
        if !done {
            return Outcome { applied: 0, filter_passed, elapsed_ns: 0 };
        }
        let ns = u128::from(size) * 1_000_000 / u128::from(self.plan.options.bytes_per_ms.max(1));
        let elapsed_ns = u64::try_from(ns).unwrap_or(u64::MAX);
        Outcome { applied, filter_passed, elapsed_ns }
    }
}

/// Hands over the pieces of a range with the groups they belong to.
pub(super) fn by_group(slots: &[Slot], range: Range<u64>, give: &mut impl FnMut(Range<u64>, u32)) {
    let behind = slots.partition_point(|slot| slot.end <= range.start);
    let mut at = range.start;
    split(
        slots.get(behind..).unwrap_or_default(),
        std::iter::once((0, range)),
        |_, size, group| {
            let end = at.saturating_add(size);
            give(at..end, group);
            at = end;
        },
    );
}

/// Whether the region has been like this for as long as was recorded, so that it is not known for how long.
fn is_since_begin(region: &Region, aggr_us: u64, begun_us: u64) -> bool {
    u64::from(region.age) >= least_since_begin(aggr_us, begun_us)
}

/// The least age of regions that have been as they are since the start of a recording that began `begun_us` ago: that for which
/// `(age + 1) * aggr_us` is as long, or at most half an aggregation less.
pub(super) fn least_since_begin(aggr_us: u64, begun_us: u64) -> u64 {
    let recorded = begun_us.saturating_sub(aggr_us / 2);
    match aggr_us {
        0 if recorded > 0 => u64::MAX,
        0 => 0,
        _ => recorded.div_ceil(aggr_us).saturating_sub(1),
    }
}
