//! Fast and slow memory: where `migrate_hot` and `migrate_cold` would have put what, and which accesses it served.

use super::tier_curve::{CurvePoint, HotBytes};
use crate::analysis::num::{float, round};
use crate::analysis::spans::SpanSet;
use damon_format::damos::Schemes;
use damon_format::damos::kernel::{Action, Goal, GoalMetric};
use damon_format::{Region, TargetId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// Pieces of a target beyond which neighbours are put together; the bytes stay the same.
const MOST_PIECES: usize = 1 << 14;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TierOutcome {
    /// NUMA node that is the fast tier: where the first `migrate_hot` moves to; all others are slow.
    pub fast_node: i32,
    /// Its size in bytes; none without limit.
    pub fast_size: Option<u64>,
    /// Bytes in the fast tier.
    pub fast: Level,
    /// Bytes in slow ones.
    pub slow: Level,
    /// Share of the accesses that the fast tier served, 0..1; none without accesses. Accesses are rate × bytes × time.
    pub served_fast: Option<f64>,
    /// The same if the hottest memory of each aggregation had been in the fast tier; none without its size.
    pub served_at_best: Option<f64>,
    /// Bytes moved to the fast tier.
    pub promoted: f64,
    /// Bytes moved to slow ones.
    pub demoted: f64,
    /// [`promoted`](Self::promoted) per second.
    pub promoted_per_second: f64,
    /// [`demoted`](Self::demoted) per second.
    pub demoted_per_second: f64,
    /// How much memory serves which share of the accesses, whatever the schemes are.
    pub curve: Vec<CurvePoint>,
}

/// Bytes over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Level {
    /// Mean over time.
    pub mean: f64,
    /// Most at the end of an aggregation.
    pub most: f64,
}

/// Accesses of a stretch of time, rate × bytes × ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Served {
    /// By the fast tier.
    pub fast: f64,
    /// By all memory.
    pub all: f64,
}

impl Served {
    pub(super) fn add(&mut self, other: Self) {
        self.fast += other.fast;
        self.all += other.all;
    }

    /// By the fast tier, 0..1; none without accesses.
    pub fn share(&self) -> Option<f64> {
        (self.all > 0.0).then(|| self.fast / self.all)
    }
}

/// Which node is fast.
pub(super) fn fast_node(schemes: &Schemes) -> i32 {
    let hot = schemes.as_slice().iter().find(|scheme| scheme.action == Action::MigrateHot);
    hot.map(|scheme| scheme.target_nid).filter(|nid| *nid >= 0).unwrap_or(0)
}

/// Whether a goal is about how full a node is.
pub(super) fn is_about(goal: &Goal, node: i32) -> bool {
    let fills = matches!(goal.metric, GoalMetric::NodeMemUsedBp | GoalMetric::NodeMemFreeBp);
    fills && i64::from(goal.nid) == i64::from(node)
}

/// The tiers as they are now.
#[derive(Clone, Debug)]
pub(super) struct Tiers {
    fast_node: i32,
    fast_size: Option<u64>,
    /// By scheme: the share of what it moves that goes to the fast tier; none where it moves nothing.
    wanted: Vec<Option<f64>>,
    targets: BTreeMap<TargetId, Placed>,
    fast_now: f64,
    all_now: f64,
    time: f64,
    fast: Level,
    slow: Level,
    served: Served,
    at_best: f64,
    promoted: f64,
    demoted: f64,
    hot: HotBytes,
}

impl Tiers {
    pub(super) fn new(schemes: &Schemes, fast_size: Option<u64>) -> Self {
        let node = fast_node(schemes);
        let wanted = schemes.as_slice().iter().map(|scheme| {
            let is_fast = |nid: i64| f64::from(u8::from(nid == i64::from(node)));
            let weights: f64 = scheme.dests.iter().map(|dest| f64::from(dest.weight)).sum();
            scheme.action.migrates().then(|| {
                if weights > 0.0 {
                    let to = |d: &damon_format::damos::kernel::Dest| {
                        is_fast(i64::from(d.id)) * f64::from(d.weight)
                    };
                    scheme.dests.iter().map(to).sum::<f64>() / weights
                } else {
                    is_fast(i64::from(scheme.target_nid))
                }
            })
        });
        Self {
            fast_node: node,
            fast_size,
            wanted: wanted.collect(),
            targets: BTreeMap::new(),
            fast_now: 0.0,
            all_now: 0.0,
            time: 0.0,
            fast: Level::default(),
            slow: Level::default(),
            served: Served::default(),
            at_best: 0.0,
            promoted: 0.0,
            demoted: 0.0,
            hot: HotBytes::default(),
        }
    }

    fn free(&self) -> f64 {
        self.fast_size.map_or(f64::INFINITY, |size| (float(size) - self.fast_now).max(0.0))
    }

    /// A moment of `length_ns`, before schemes act: what is new gets its place, what is gone loses it, and accesses are
    /// served from where memory was. `most` samples in an aggregation.
    pub(super) fn begin(
        &mut self,
        moment: &[(TargetId, impl AsRef<[Region]>)],
        mapped: &BTreeMap<TargetId, SpanSet>,
        most: u32,
        length_ns: u64,
    ) -> Served {
        let mut new: Vec<(TargetId, Range<u64>)> = Vec::new();
        for (target, regions) in moment {
            let placed = self.targets.entry(*target).or_default();
            let mut at = 0;
            for region in regions.as_ref() {
                let (fast, all) = placed.remove(&(at..region.start));
                self.fast_now -= fast;
                self.all_now -= all;
                at = region.end;
                for part in parts(mapped.get(target), &(region.start..region.end)) {
                    new.extend(placed.unknown(&part).into_iter().map(|part| (*target, part)));
                }
            }
            let (fast, all) = placed.remove(&(at..u64::MAX));
            self.fast_now -= fast;
            self.all_now -= all;
        }
        let bytes: f64 = new.iter().map(|(_, range)| size(range)).sum();
        let share = if bytes > 0.0 { (self.free() / bytes).min(1.0) } else { 1.0 };
        for (target, range) in new {
            self.fast_now += size(&range) * share;
            self.all_now += size(&range);
            self.targets.entry(target).or_default().insert(range, share);
        }
        self.serve(moment, most, float(length_ns))
    }

    fn serve(
        &mut self,
        moment: &[(TargetId, impl AsRef<[Region]>)],
        most: u32,
        time: f64,
    ) -> Served {
        let mut served = Served::default();
        for (target, regions) in moment {
            let Some(placed) = self.targets.get(target) else { continue };
            for region in regions.as_ref().iter().filter(|region| region.nr_accesses > 0) {
                let rate = (f64::from(region.nr_accesses) / f64::from(most.max(1))).min(1.0);
                for (range, share) in placed.within(&(region.start..region.end)) {
                    let bytes = size(&range);
                    served.fast += bytes * share * rate * time;
                    served.all += bytes * rate * time;
                    self.hot.add(region.nr_accesses, most, bytes);
                }
            }
        }
        self.served.add(served);
        let best = self.hot.moment(time, most, self.fast_size.map(float));
        self.at_best += best * time;
        served
    }

    /// A scheme moves memory; returns the bytes that were elsewhere before and are moved.
    pub(super) fn migrate(&mut self, scheme: usize, target: TargetId, range: &Range<u64>) -> u64 {
        let Some(wanted) = self.wanted.get(scheme).copied().flatten() else { return 0 };
        let free = self.free();
        let Some(placed) = self.targets.get_mut(&target) else { return 0 };
        let found = placed.within(range);
        let up = |share: f64| (wanted - share).max(0.0);
        let asked: f64 = found.iter().map(|(range, share)| size(range) * up(*share)).sum();
        let allowed = if asked > free { free / asked } else { 1.0 };
        let (mut promoted, mut demoted) = (0.0, 0.0);
        for (range, share) in found {
            let rise = up(share) * allowed;
            let fall = (share - wanted).max(0.0);
            promoted += size(&range) * rise;
            demoted += size(&range) * fall;
            if rise > 0.0 || fall > 0.0 {
                placed.remove(&range);
                placed.insert(range, (share + rise - fall).clamp(0.0, 1.0));
            }
        }
        placed.limit();
        self.fast_now += promoted - demoted;
        self.promoted += promoted;
        self.demoted += demoted;
        round(promoted + demoted)
    }

    /// After schemes have acted in a moment of this length.
    pub(super) fn end(&mut self, length_ns: u64) {
        let time = float(length_ns);
        let fast = self.fast_now.max(0.0);
        let slow = (self.all_now - self.fast_now).max(0.0);
        self.time += time;
        for (level, now) in [(&mut self.fast, fast), (&mut self.slow, slow)] {
            level.mean += now * time;
            level.most = level.most.max(now);
        }
    }

    pub(super) fn forget(&mut self, target: TargetId) {
        if let Some(mut placed) = self.targets.remove(&target) {
            let (fast, all) = placed.remove(&(0..u64::MAX));
            self.fast_now -= fast;
            self.all_now -= all;
        }
    }

    /// How full the fast tier is, for a goal that is about that.
    pub(super) fn goal(&self, goal: &Goal) -> Option<u64> {
        let size = self.fast_size.filter(|_| is_about(goal, self.fast_node))?;
        let used = round(self.fast_now).min(size);
        let part = if goal.metric == GoalMetric::NodeMemUsedBp { used } else { size - used };
        u64::try_from(u128::from(part) * 10_000 / u128::from(size.max(1))).ok()
    }

    pub(super) fn finish(self) -> TierOutcome {
        let time = if self.time > 0.0 { self.time } else { 1.0 };
        let over = |level: Level| Level { mean: level.mean / time, ..level };
        let all = self.served.all;
        TierOutcome {
            fast_node: self.fast_node,
            fast_size: self.fast_size,
            fast: over(self.fast),
            slow: over(self.slow),
            served_fast: self.served.share(),
            served_at_best: self.fast_size.filter(|_| all > 0.0).map(|_| self.at_best / all),
            promoted: self.promoted,
            demoted: self.demoted,
            promoted_per_second: self.promoted * 1e9 / time,
            demoted_per_second: self.demoted * 1e9 / time,
            curve: self.hot.finish(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a relative error of 2^-53")]
fn size(range: &Range<u64>) -> f64 {
    range.end.saturating_sub(range.start) as f64
}

/// What of a range is mapped, as far as that is known.
fn parts(mapped: Option<&SpanSet>, range: &Range<u64>) -> Vec<Range<u64>> {
    mapped.map_or_else(|| vec![range.clone()], |mapped| mapped.within(range).collect())
}

/// Where the memory of a target is: by start, the end and the share in the fast tier, 0..1.
#[derive(Clone, Debug, Default)]
struct Placed {
    pieces: BTreeMap<u64, (u64, f64)>,
}

impl Placed {
    /// Pieces inside a range, cut to it.
    fn within(&self, range: &Range<u64>) -> Vec<(Range<u64>, f64)> {
        if range.is_empty() {
            return Vec::new();
        }
        let before = self.pieces.range(..range.start).next_back();
        let all = before.into_iter().chain(self.pieces.range(range.clone()));
        all.map(|(start, (end, share))| ((*start).max(range.start)..(*end).min(range.end), *share))
            .filter(|(part, _)| !part.is_empty())
            .collect()
    }

    /// What of a range has no place yet.
    fn unknown(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let (mut at, mut unknown) = (range.start, Vec::new());
        for (part, _) in self.within(range) {
            if at < part.start {
                unknown.push(at..part.start);
            }
            at = part.end;
        }
        if at < range.end {
            unknown.push(at..range.end);
        }
        unknown
    }

    /// Takes out a range; returns its bytes in the fast tier and in all.
    fn remove(&mut self, range: &Range<u64>) -> (f64, f64) {
        let (mut fast, mut all) = (0.0, 0.0);
        for (part, share) in self.within(range) {
            fast += size(&part) * share;
            all += size(&part);
            let first =
                self.pieces.range(..=part.start).next_back().map(|(start, piece)| (*start, *piece));
            let Some((start, (end, share))) = first else { continue };
            self.pieces.remove(&start);
            if start < part.start {
                self.pieces.insert(start, (part.start, share));
            }
            if part.end < end {
                self.pieces.insert(part.end, (end, share));
            }
        }
        (fast, all)
    }

    /// Puts a range in that is not there; it becomes one with neighbours of the same share.
    fn insert(&mut self, range: Range<u64>, share: f64) {
        let same = |other: f64| (other - share).abs() < 1e-9;
        let (mut start, mut end) = (range.start, range.end);
        if let Some((&before, &(until, of))) = self.pieces.range(..start).next_back()
            && until == start
            && same(of)
        {
            self.pieces.remove(&before);
            start = before;
        }
        if let Some(&(until, of)) = self.pieces.get(&end)
            && same(of)
        {
            self.pieces.remove(&end);
            end = until;
        }
        self.pieces.insert(start, (end, share));
    }

    /// Puts touching neighbours together in pairs where there are too many.
    fn limit(&mut self) {
        if self.pieces.len() <= MOST_PIECES {
            return;
        }
        let mut coarse = BTreeMap::new();
        let mut open: Option<(u64, (u64, f64))> = None;
        for (start, (end, share)) in std::mem::take(&mut self.pieces) {
            open = match open {
                Some((first, (until, of))) if until == start => {
                    let (a, b) = (size(&(first..until)), size(&(start..end)));
                    coarse.insert(first, (end, (of * a + share * b) / (a + b)));
                    None
                }
                Some((first, piece)) => {
                    coarse.insert(first, piece);
                    Some((start, (end, share)))
                }
                None => Some((start, (end, share))),
            };
        }
        coarse.extend(open);
        self.pieces = coarse;
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact in binary")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: TargetId = TargetId(0);

    fn tiers(size: Option<u64>) -> Tiers {
        let schemes = r#"[{"action": "migrate_hot", "target_nid": 0}, {"action": "migrate_cold", "target_nid": 1},
            {"action": "stat"}]"#;
        Tiers::new(&Schemes::from_json(schemes).unwrap(), size)
    }

    fn moment(regions: &[(u64, u64, u32)]) -> Vec<(TargetId, Vec<Region>)> {
        let region = |&(start, end, nr_accesses)| Region { start, end, nr_accesses, age: 0 };
        vec![(T, regions.iter().map(region).collect())]
    }

    #[test]
    fn memory_begins_where_there_is_room_and_moves_as_there_is_room() {
        let mut tiers = tiers(Some(50));
        let none = BTreeMap::new();
        // 100 bytes and room for half of them; two thirds of the accesses are to the first 20.
        let served = tiers.begin(&moment(&[(0, 20, 20), (20, 30, 20), (30, 100, 0)]), &none, 20, 2);
        assert_eq!((served.fast, served.all), (30.0, 60.0));
        tiers.end(2);
        assert_eq!(tiers.migrate(2, T, &(0..100)), 0, "it moves nothing");
        assert_eq!(tiers.migrate(0, T, &(0..20)), 0, "the fast tier is full");
        assert_eq!(tiers.migrate(1, T, &(30..100)), 35);
        assert_eq!(tiers.migrate(1, T, &(30..100)), 0, "it is there");
        assert_eq!(tiers.migrate(0, T, &(0..30)), 15);
        assert_eq!((tiers.fast_now, tiers.all_now), (30.0, 100.0));
        let served = tiers.begin(&moment(&[(0, 30, 10), (30, 100, 0)]), &none, 20, 2);
        assert_eq!(served.share(), Some(1.0));
        tiers.end(2);
        // What goes makes room, what comes takes it.
        tiers.begin(&moment(&[(0, 10, 0), (200, 300, 0)]), &none, 20, 4);
        tiers.end(4);
        assert_eq!((tiers.fast_now, tiers.all_now), (50.0, 110.0));
        let found = tiers.finish();
        assert_eq!((found.fast.mean, found.fast.most, found.slow.most), (45.0, 50.0, 70.0));
        assert_eq!((found.promoted, found.demoted), (15.0, 35.0));
        assert_eq!((found.served_fast, found.served_at_best), (Some(60.0 / 90.0), Some(1.0)));
    }

    #[test]
    fn goals_see_how_full_the_fast_tier_is() {
        let mut tiers = tiers(Some(200));
        tiers.begin(&moment(&[(0, 50, 0)]), &BTreeMap::new(), 20, 1);
        let goal = |metric, nid| Goal {
            metric,
            target_value: 1,
            current_value: 0,
            nid,
            path: String::new(),
        };
        assert_eq!(tiers.goal(&goal(GoalMetric::NodeMemUsedBp, 0)), Some(2_500));
        assert_eq!(tiers.goal(&goal(GoalMetric::NodeMemFreeBp, 0)), Some(7_500));
        assert_eq!(tiers.goal(&goal(GoalMetric::NodeMemFreeBp, 1)), None);
        tiers.forget(T);
        assert_eq!(tiers.goal(&goal(GoalMetric::NodeMemUsedBp, 0)), Some(0));
    }

    #[test]
    fn weighted_destinations_are_shares() {
        let schemes = r#"[{"action": "migrate_hot", "target_nid": 0, "dests": [{"id": 0, "weight": 3}, {"id": 1, "weight": 1}]}]"#;
        let mut tiers = Tiers::new(&Schemes::from_json(schemes).unwrap(), None);
        tiers.begin(&moment(&[(0, 100, 0)]), &BTreeMap::new(), 20, 1);
        assert_eq!(tiers.migrate(0, T, &(0..100)), 25);
        assert_eq!(tiers.fast_now, 75.0);
    }

    proptest! {
        #[test]
        fn follows_each_byte(steps in prop::collection::vec((0_u64..90, 1_u64..30, 0_usize..2), 0..40)) {
            let mut tiers = tiers(None);
            tiers.begin(&moment(&[(0, 128, 0)]), &BTreeMap::new(), 20, 1);
            let mut fast = [true; 128];
            for (start, length, scheme) in steps {
                let moved = tiers.migrate(scheme, T, &(start..start + length));
                let of = &mut fast[usize::try_from(start).unwrap()..][..usize::try_from(length).unwrap()];
                let naive = of.iter().filter(|byte| **byte != (scheme == 0)).count();
                prop_assert_eq!(moved, naive as u64);
                of.fill(scheme == 0);
            }
            prop_assert_eq!(round(tiers.fast_now), fast.iter().filter(|byte| **byte).count() as u64);
        }
    }
}
