//! The walk over a recording: moment by moment, the kernel's rules act on what was found.

use super::ages::Ages;
use super::away::Away;
use super::backing::resident_at;
use super::by_mapping::Book;
use super::comes_back::ComesBack;
use super::feed::{Moment, Shot, byte_time};
use super::field::{Field, least_since_begin};
use super::grain::Grain;
use super::huge::Huge;
use super::line::{Line, LinePoint, Minutes};
use super::plan::{Plan, attrs};
use super::populated::Populated;
use super::tiers::Tiers;
use super::{Outlook, SchemeSum};
use crate::analysis::layout::Cursor;
use crate::analysis::num::float;
use damon_format::damos::Schemes;
use damon_format::damos::kernel::Scheme;
use damon_format::damos::rules::{Operation, Scale, TargetRegions};
use damon_format::{Region, Sampling, SchemeApplied, TargetId};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// What is remembered of a target.
#[derive(Clone, Debug, Default)]
pub(super) struct TargetState {
    ages: Ages,
    pub(super) away: Away,
    pub(super) populated: Populated,
}

/// A simulation under way.
#[derive(Debug)]
pub(super) struct Engine<'p> {
    plan: &'p Plan<'p>,
    schemes: &'p Schemes,
    operation: Operation,
    scale: Scale,
    comes_back: ComesBack,
    /// Sampling intervals since the beginning.
    passed: u64,
    last_end_ns: Option<u64>,
    targets: BTreeMap<TargetId, TargetState>,
    exited: usize,
    sums: Vec<SchemeSum>,
    pub(super) totals: Totals,
    line: Line,
    minutes: Minutes,
    applied: Vec<SchemeApplied>,
    book: Book,
    grain: Grain,
    tiers: Option<Tiers>,
    huge: Option<Huge>,
    cursor: Cursor<'p>,
    /// Room for the regions of a moment, which is used again.
    room: Vec<TargetRegions>,
}

/// The recorded regions of each target of a moment, with access counts on the scale of the schemes.
pub(super) type Recorded<'m> = [(TargetId, Cow<'m, [Region]>)];

/// Sums over all moments; bytes are weighted with nanoseconds where that is said.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    pub(super) moments: u64,
    pub(super) observed_ns: u64,
    /// byte ns
    pub(super) monitored: f64,
    /// byte ns
    pub(super) touched: f64,
    /// byte ns
    pub(super) away: Outlook,
    pub(super) away_most: Outlook,
    pub(super) away_end: Outlook,
    /// ns for which a resident size is known
    pub(super) resident_ns: u64,
    /// byte ns
    pub(super) resident: f64,
    /// byte ns
    pub(super) resident_with: Outlook,
    pub(super) resident_floor: Option<Outlook>,
    pub(super) put_away: Outlook,
    pub(super) brought_back: Outlook,
    pub(super) refaulted: Outlook,
    pub(super) refaults: u64,
    pub(super) highest_age_us: u64,
}

/// All that came of it.
pub(super) struct Ended {
    pub(super) operation: Operation,
    pub(super) sums: Vec<SchemeSum>,
    pub(super) totals: Totals,
    pub(super) aggr_us: u64,
    pub(super) line: Vec<LinePoint>,
    pub(super) minutes: Minutes,
    pub(super) applied: Vec<SchemeApplied>,
    pub(super) book: Book,
    pub(super) grain: Grain,
    pub(super) tiers: Option<Tiers>,
    pub(super) huge: Option<Huge>,
}

impl<'p> Engine<'p> {
    /// Schemes in the units of the first snapshot; that they have some was [checked](Plan::new).
    pub(super) fn new(plan: &'p Plan<'p>, schemes: &'p Schemes, sampling: Sampling) -> Self {
        let (list, scale) = in_units(schemes, plan.page_size, sampling);
        let sums = list.iter().map(|_| SchemeSum::default()).collect();
        Self {
            plan,
            schemes,
            operation: Operation::new(list, plan.addresses, plan.rules, scale),
            scale,
            comes_back: ComesBack::new(scale.max_nr_accesses, plan.exact),
            passed: 0,
            last_end_ns: None,
            targets: BTreeMap::new(),
            exited: 0,
            sums,
            totals: Totals::default(),
            line: Line::new(),
            minutes: Minutes::default(),
            applied: Vec::new(),
            book: Book::default(),
            grain: Grain::new(),
            tiers: plan.tiers(),
            huge: plan.huge(),
            cursor: Cursor::new(&plan.layouts),
            room: Vec::new(),
        }
    }

    /// The same without a time line.
    pub(super) fn brief(mut self) -> Self {
        self.line = Line::none();
        self
    }

    pub(super) fn end(mut self) -> Ended {
        self.book.at(self.totals.observed_ns);
        Ended {
            operation: self.operation,
            sums: self.sums,
            totals: self.totals,
            aggr_us: self.scale.aggr_us,
            line: self.line.finish(),
            minutes: self.minutes,
            applied: self.applied,
            book: self.book,
            grain: self.grain,
            tiers: self.tiers,
            huge: self.huge,
        }
    }

    /// One moment: a snapshot of each of some targets.
    pub(super) fn step(&mut self, moment: &Moment<'_>) {
        let Range { start: start_ns, end: end_ns } = moment.time();
        self.book.at(self.totals.observed_ns);
        self.forget_exited(start_ns);
        self.pass(moment.sampling(), start_ns);
        self.last_end_ns = self.last_end_ns.max(Some(end_ns));
        if let Some(free) = self.plan.series.free_permil(end_ns)
            && self.operation.has_watermarks()
        {
            let _nobody_sleeps = self.operation.watch(free);
        }
        let recorded: Vec<(TargetId, Cow<'_, [Region]>)> =
            moment.shots().map(|shot| (shot.target, scaled(&shot, &self.scale))).collect();
        let mut now = std::mem::take(&mut self.room);
        now.resize_with(recorded.len(), || TargetRegions { target: 0, regions: Vec::new() });
        let (mut refaulted, mut refaults) = (Outlook::default(), 0);
        for ((shot, (target, regions)), now) in moment.shots().zip(&recorded).zip(&mut now) {
            let state = self.targets.entry(*target).or_default();
            let (bytes, events) =
                refault(&mut state.away, &mut self.book, regions, &self.scale, &self.comes_back);
            let course = self.plan.backing.target(*target);
            for freed in state.populated.learn(course, end_ns, shot.accessed()) {
                let _has_no_pages = state.away.take(&freed, &mut self.book);
            }
            refaulted.add(bytes);
            refaults += events;
            now.target = target.0;
            now.regions.clear();
            now.regions.extend_from_slice(regions);
            if !self.plan.options.replay {
                state.ages.apply(&mut now.regions);
            }
        }
        let length_ns = moment.observed_ns();
        let resident = resident_at(&self.plan.resident, end_ns);
        let before = self.before(&now, length_ns, end_ns);
        let most = self.scale.max_nr_accesses;
        let mapped = &self.plan.mapped;
        let served =
            self.tiers.as_mut().map(|tiers| tiers.begin(&recorded, mapped, most, length_ns));
        let mut field = Field {
            plan: self.plan,
            targets: &mut self.targets,
            sums: &mut self.sums,
            applied: &mut self.applied,
            now_ns: end_ns,
            begun_us: end_ns.saturating_sub(self.plan.origin_ns) / 1000,
            aggr_us: self.scale.aggr_us,
            recorded: &recorded,
            put: Outlook::default(),
            back: Outlook::default(),
            book: &mut self.book,
            grain: &mut self.grain,
            tiers: self.tiers.as_mut(),
            huge: self.huge.as_mut(),
            samples: self.scale.max_nr_accesses,
            cursor: &mut self.cursor,
        };
        self.operation.run(self.passed, end_ns, &mut now, &mut field);
        let (put, back) = (field.put, field.back);
        for (state, regions) in recorded.iter().zip(&now) {
            self.targets.entry(state.0).or_default().ages.learn(&state.1, &regions.regions);
        }
        self.room = now;
        let tried = self.after(&before);
        if let Some(tiers) = &mut self.tiers {
            tiers.end(length_ns);
        }
        let huge = self.huge.as_mut().map(|huge| huge.moment(&recorded, most, length_ns));
        let point = LinePoint {
            start_ns,
            end_ns,
            observed_ns: length_ns,
            away: self.away(),
            put_away: put,
            refaulted,
            refaults,
            tried,
            resident,
            huge,
            served,
        };
        self.minutes.add(start_ns.saturating_sub(self.plan.origin_ns), length_ns, refaulted);
        let lengths = moment.shots().map(|shot| shot.length_ns);
        self.sum_up(&point, &recorded, lengths, back);
        self.line.push(point);
    }

    /// Time passes: this aggregation, and those of which nothing was recorded.
    fn pass(&mut self, sampling: Sampling, start_ns: u64) {
        if (sampling.sample_us, sampling.aggr_us) != (self.scale.sample_us, self.scale.aggr_us) {
            let (schemes, scale) = in_units(self.schemes, self.plan.page_size, sampling);
            self.scale = scale;
            self.comes_back = ComesBack::new(scale.max_nr_accesses, self.plan.exact);
            self.operation.change_scale(schemes, scale, self.passed);
        }
        let aggr_ns = self.scale.aggr_us.saturating_mul(1000).max(1);
        let gap_ns = self.last_end_ns.map_or(0, |last| start_ns.saturating_sub(last));
        let missed = gap_ns.saturating_add(aggr_ns / 2) / aggr_ns;
        let steps = self.scale.steps(self.scale.aggr_us);
        self.passed = self.passed.saturating_add(missed.saturating_add(1).saturating_mul(steps));
    }

    fn forget_exited(&mut self, now_ns: u64) {
        while let Some((_, target)) =
            self.plan.exits.get(self.exited).filter(|(time_ns, _)| *time_ns <= now_ns)
        {
            if let Some(mut state) = self.targets.remove(target) {
                let _gone = state.away.take(&(0..u64::MAX), &mut self.book);
            }
            if let Some(tiers) = &mut self.tiers {
                tiers.forget(*target);
            }
            if let Some(huge) = &mut self.huge {
                huge.forget(*target);
            }
            self.operation.forget_target(target.0);
            self.exited += 1;
        }
    }

    /// What matches before anything is done, by scheme; none where the scheme is not due.
    fn before(&mut self, now: &[TargetRegions], length_ns: u64, end_ns: u64) -> Vec<Before> {
        let begun_us = end_ns.saturating_sub(self.plan.origin_ns) / 1000;
        let since_begin = least_since_begin(self.scale.aggr_us, begun_us);
        let states = self.operation.schemes().iter().zip(&mut self.sums);
        states
            .map(|(state, sum)| {
                let scheme = state.scheme();
                let (mut eligible, mut unknown) = (0_u64, 0_u64);
                for region in now.iter().flat_map(|target| &target.regions) {
                    let size = region.size();
                    if !scheme.nr_accesses.contains(&region.nr_accesses)
                        || !scheme.sz.contains(&size)
                    {
                        continue;
                    }
                    if region.age >= scheme.age.min {
                        let matches = region.age <= scheme.age.max;
                        eligible = eligible.saturating_add(if matches { size } else { 0 });
                    } else if u64::from(region.age) >= since_begin {
                        unknown = unknown.saturating_add(size);
                    }
                }
                sum.unknown += float(unknown) * float(length_ns);
                if !state.is_on() {
                    sum.off_ns = sum.off_ns.saturating_add(length_ns);
                }
                let due = state.is_due(self.passed);
                let tried = state.stats().sz_tried;
                Before { eligible: due.then_some(eligible), tried }
            })
            .collect()
    }

    /// What was left out of it; returns the bytes that all schemes tried.
    fn after(&mut self, before: &[Before]) -> u64 {
        let mut all = 0_u64;
        for ((state, sum), before) in
            self.operation.schemes().iter().zip(&mut self.sums).zip(before)
        {
            let tried = state.stats().sz_tried.saturating_sub(before.tried);
            all = all.saturating_add(tried);
            if let Some(eligible) = before.eligible {
                let skipped = eligible.saturating_sub(tried);
                sum.passes += 1;
                sum.passes_full += u64::from(state.account().is_full());
                sum.eligible += float(eligible);
                sum.skipped += float(skipped);
                sum.skipped_most = sum.skipped_most.max(skipped);
            }
        }
        all
    }

    fn away(&self) -> Outlook {
        self.targets.values().fold(Outlook::default(), |mut sum, state| {
            sum.add(state.away.bytes());
            sum
        })
    }

    /// `lengths` are those of the snapshots, nanoseconds.
    fn sum_up(
        &mut self,
        point: &LinePoint,
        recorded: &Recorded<'_>,
        lengths: impl Iterator<Item = u64> + Clone,
        back: Outlook,
    ) {
        let time = float(point.observed_ns);
        let totals = &mut self.totals;
        let all = || recorded.iter().map(|(_, regions)| regions.iter());
        let oldest = all().flatten().map(|region| region.age).max().unwrap_or(0);
        let size = |sum: u64, region: &Region| sum.saturating_add(region.size());
        let monitored = all().map(|regions| regions.fold(0, size));
        let is_touched = |region: &&Region| region.nr_accesses > 0;
        let touched = all().map(|regions| regions.filter(is_touched).fold(0, size));
        let age_us = u64::from(oldest).saturating_mul(self.scale.aggr_us);
        totals.highest_age_us = totals.highest_age_us.max(age_us);
        totals.moments += 1;
        totals.observed_ns = totals.observed_ns.saturating_add(point.observed_ns);
        totals.monitored += byte_time(monitored.zip(lengths.clone()));
        totals.touched += byte_time(touched.zip(lengths));
        totals.away.add(point.away.map(|bytes| bytes * time));
        totals.away_most = totals.away_most.with(point.away, f64::max);
        totals.away_end = point.away;
        totals.put_away.add(point.put_away);
        totals.brought_back.add(back);
        totals.refaulted.add(point.refaulted);
        totals.refaults = totals.refaults.saturating_add(point.refaults);
        if let Some(resident) = point.resident {
            // More than what is there cannot be put away: the rest never had pages.
            let with = point.away.map(|away| (resident - away).max(0.0));
            totals.resident_ns = totals.resident_ns.saturating_add(point.observed_ns);
            totals.resident += resident * time;
            totals.resident_with.add(with.map(|bytes| bytes * time));
            let floor = totals.resident_floor.unwrap_or(with);
            totals.resident_floor = Some(floor.with(with, f64::min));
        }
    }
}

struct Before {
    eligible: Option<u64>,
    tried: u64,
}

/// Schemes in the units of a moment.
pub(super) fn in_units(
    schemes: &Schemes,
    page_size: u64,
    sampling: Sampling,
) -> (Vec<Scheme>, Scale) {
    let attrs = attrs(sampling.sample_us, sampling.aggr_us);
    // Each scale of the recording was tried before the simulation began.
    let schemes = schemes.to_kernel(&attrs).unwrap_or_default();
    (schemes, Scale::new(&attrs, page_size))
}

/// A snapshot's regions with access frequencies on the scale of the schemes; the snapshot's own tells how many
/// looks there really were. Rounded to nearest, but never to "not accessed".
pub(super) fn scaled<'b>(shot: &Shot<'b>, scale: &Scale) -> Cow<'b, [Region]> {
    let (most, own) = (scale.max_nr_accesses, shot.sampling.max_nr_accesses.max(1));
    if own == most {
        return Cow::Borrowed(shot.regions);
    }
    let scaled = |nr_accesses: u32| {
        if nr_accesses == 0 {
            return nr_accesses;
        }
        let product = u64::from(nr_accesses) * u64::from(most) + u64::from(own / 2);
        u32::try_from(product / u64::from(own)).unwrap_or(u32::MAX).max(1)
    };
    let regions = shot.regions.iter();
    regions.map(|r| Region { nr_accesses: scaled(r.nr_accesses), ..*r }).collect()
}

/// Lets what is away come back where it was accessed, and forgets what is not monitored any more.
fn refault(
    away: &mut Away,
    book: &mut Book,
    regions: &[Region],
    scale: &Scale,
    comes_back: &ComesBack,
) -> (Outlook, u64) {
    let (mut bytes, mut events) = (Outlook::default(), 0);
    let mut at = 0;
    for region in regions {
        if at < region.start {
            let _unmapped = away.take(&(at..region.start), book);
        }
        at = region.end;
        if region.nr_accesses == 0 {
            continue;
        }
        let back = comes_back.of(region.nr_accesses);
        let range = region.start..region.end;
        let (some, pieces) = away.access(&range, back, float(scale.page_size), book);
        bytes.add(some);
        events += pieces;
    }
    let _unmapped = away.take(&(at..u64::MAX), book);
    (bytes, events)
}
