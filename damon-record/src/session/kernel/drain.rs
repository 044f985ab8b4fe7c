//! From the kernel's events to snapshots and records of the trace.

use super::source::Source;
use super::{Kernel, Slot};
use crate::damon::events::{Assembled, Event};
use crate::exit::Failure;
use crate::host::monotonic_ns;
use crate::session::accounts::Accounts;
use crate::session::trace::Trace;
use damon_format::{
    Attrs, EffectiveQuota, IntervalsChanged, Lost, Record, Region, Sampling, SchemeApplied,
    Snapshot, TargetId,
};

impl Kernel {
    /// Stores everything that the kernel has told since the last call. The outer error is one of the
    /// trace, the inner one of the events.
    pub(in crate::session) fn drain(
        &mut self,
        trace: &mut Trace,
    ) -> Result<Result<(), String>, Failure> {
        self.fetch(trace, false)
    }

    fn fetch(&mut self, trace: &mut Trace, last: bool) -> Result<Result<(), String>, Failure> {
        let Self { source, attrs, unit, slots, events, past, applied, series, .. } = self;
        let mut sink = Sink {
            slots,
            applied,
            accounts: &mut series.accounts,
            attrs,
            unit: *unit,
            trace,
            past: true,
            failure: None,
        };
        for (mut events, mut slots) in past.drain(..) {
            std::mem::swap(sink.slots, &mut slots);
            let _unreadable_is_lost = events.fetch(&mut sink, true);
            std::mem::swap(sink.slots, &mut slots);
        }
        sink.past = false;
        let mut fetched = Ok(());
        if let Some(events) = events {
            fetched = events.fetch(&mut sink, last);
            if let Source::Own(own) = source
                && let Some(running) = &own.running
            {
                events.tuned(&mut sink, running);
            }
        }
        sink.failure.map_or(Ok(fetched), Err)
    }

    /// Stores what is left when nothing more will come.
    pub(in crate::session) fn finish(&mut self, trace: &mut Trace) -> Result<(), Failure> {
        let _unreadable_is_lost = self.fetch(trace, true)?;
        for applied in std::mem::take(&mut self.applied) {
            trace.record(&Record::SchemeApplied(applied))?;
        }
        Ok(())
    }
}

/// Where events become items of the trace. The first failure of the trace is kept, and ends it.
pub(super) struct Sink<'a> {
    slots: &'a mut Vec<Slot>,
    applied: &'a mut Vec<SchemeApplied>,
    accounts: &'a mut Accounts,
    attrs: &'a mut Attrs,
    unit: u64,
    trace: &'a mut Trace,
    /// Events of a kdamond that has ended: the accounts of its schemes are closed.
    past: bool,
    failure: Option<Failure>,
}

impl Sink<'_> {
    /// Attributes in force.
    pub(super) fn attrs(&self) -> Attrs {
        *self.attrs
    }

    fn store(&mut self, store: impl FnOnce(&mut Trace) -> Result<(), Failure>) {
        if self.failure.is_none() {
            self.failure = store(self.trace).err();
        }
    }

    fn record(&mut self, record: &Record) {
        self.store(|trace| trace.record(record));
    }

    fn records(&mut self, records: &[Record]) {
        for record in records {
            self.record(record);
        }
    }

    fn slot(&mut self, target: u64) -> Option<&mut Slot> {
        usize::try_from(target).ok().and_then(|index| self.slots.get_mut(index))
    }

    fn id(&self, target: u64) -> Option<TargetId> {
        let slot = usize::try_from(target).ok().and_then(|index| self.slots.get(index));
        slot.and_then(|slot| slot.id)
    }

    fn bytes(&self, region: Region) -> Region {
        let unit = self.unit;
        let (start, end) = (region.start.saturating_mul(unit), region.end.saturating_mul(unit));
        Region { start, end, ..region }
    }

    pub(super) fn event(&mut self, time_ns: u64, event: &Event) {
        match *event {
            Event::Aggregated { .. } => {}
            Event::BeforeApply { scheme, target, region, .. } => {
                let Some(target) = self.id(target) else { return };
                let region = self.bytes(region);
                let known =
                    self.applied.iter_mut().find(|a| (a.scheme, a.target) == (scheme, target));
                if let Some(applied) = known {
                    applied.regions.push(region);
                } else {
                    let regions = vec![region];
                    self.applied.push(SchemeApplied { time_ns, scheme, target, regions });
                }
            }
            Event::IntervalsTuned { sample_us } => {
                let samples = self.attrs.aggr_us / self.attrs.sample_us.max(1);
                let aggr_us = sample_us.saturating_mul(samples.max(1));
                *self.attrs = Attrs { sample_us, aggr_us, ..*self.attrs };
                let reason = "the kernel has tuned the intervals to its goal".to_owned();
                let (time_ns, attrs) = (time_ns, *self.attrs);
                self.record(&Record::IntervalsChanged(IntervalsChanged { time_ns, attrs, reason }));
            }
            Event::EffectiveQuota { .. } | Event::SchemeStat { .. } if self.past => {}
            Event::EffectiveQuota { scheme, bytes } => {
                let news = self.accounts.quota(EffectiveQuota { time_ns, scheme, bytes });
                self.records(news.as_slice());
            }
            Event::SchemeStat { scheme, stats } => {
                let news = self.accounts.stats(stats.record(time_ns, scheme));
                self.records(news.as_slice());
            }
        }
    }

    pub(super) fn assembled(&mut self, assembled: &Assembled) {
        let Some(id) = self.id(assembled.target_index) else { return };
        let Some(slot) = self.slot(assembled.target_index) else { return };
        // Of a target whose place this one has taken.
        if slot.since_ns.is_some_and(|since_ns| assembled.end_ns <= since_ns) {
            return;
        }
        let since_ns = slot.since_ns.take();
        if since_ns.is_some() && is_untouched(assembled) {
            return;
        }
        let mine = |applied: &mut SchemeApplied| applied.target == id;
        for applied in self.applied.extract_if(.., mine).collect::<Vec<_>>() {
            self.record(&Record::SchemeApplied(applied));
        }
        if !assembled.is_complete() {
            let (here, missing) = (assembled.regions.len(), assembled.missing);
            self.record(&Record::Lost(Lost {
                target: Some(id),
                time_ns: assembled.end_ns,
                count: 1,
                what: format!(
                    "a snapshot is left out, because {missing} of its regions did not come and only {here} did"
                ),
            }));
            return;
        }
        let (start_ns, sampling) = counted(assembled, since_ns.unwrap_or(0));
        let snapshot = Snapshot {
            has_ages: assembled.has_ages,
            ..Snapshot::new(
                id,
                start_ns,
                assembled.end_ns,
                sampling,
                assembled.regions.iter().map(|region| self.bytes(*region)).collect(),
            )
        };
        self.note(assembled.target_index, &snapshot.regions);
        self.store(|trace| trace.snapshot(&snapshot));
    }

    /// Keeps what the status line shows.
    fn note(&mut self, target: u64, regions: &[Region]) {
        if let Some(slot) = self.slot(target) {
            slot.regions = regions.len();
            slot.touched = regions.iter().filter(|r| r.nr_accesses > 0).map(Region::size).sum();
        }
    }

    pub(super) fn lost(&mut self, time_ns: Option<u64>, count: u64) {
        self.record(&Record::Lost(Lost {
            target: None,
            time_ns: time_ns.unwrap_or_else(monotonic_ns),
            count,
            what: "events of the kernel's DAMON came faster than they were read".into(),
        }));
    }

    /// A look at the regions brought nothing.
    pub(super) fn failed_look(&mut self, why: &str) {
        let what = format!("a snapshot could not be read: {why}");
        let time_ns = monotonic_ns();
        self.record(&Record::Lost(Lost { target: None, time_ns, count: 1, what }));
    }
}

/// Whether nobody has looked at these regions yet: kernels that take a change over at the end of an aggregation (up
/// to 6.13) tell a new target's regions at once. Regions that were looked at and not accessed have an age by then.
fn is_untouched(assembled: &Assembled) -> bool {
    assembled.has_ages && assembled.regions.iter().all(|r| (r.nr_accesses, r.age) == (0, 0))
}

/// Begin and scale of a snapshot whose target is monitored since `since_ns` only: so many fewer samples were taken.
fn counted(assembled: &Assembled, since_ns: u64) -> (u64, Sampling) {
    let Assembled { start_ns, end_ns, sampling, regions, .. } = assembled;
    let (whole, part) = (end_ns.saturating_sub(*start_ns), end_ns.saturating_sub(since_ns));
    if part >= whole {
        return (*start_ns, *sampling);
    }
    let scaled = u128::from(sampling.max_nr_accesses) * u128::from(part);
    let samples = u32::try_from(scaled.div_ceil(u128::from(whole.max(1)))).unwrap_or(u32::MAX);
    let seen = regions.iter().map(|region| region.nr_accesses).max().unwrap_or(0);
    let most = sampling.max_nr_accesses.max(1);
    let max_nr_accesses = samples.max(seen).clamp(1, most);
    (end_ns - part, Sampling { max_nr_accesses, ..*sampling })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_late_was_looked_at_less_often() {
        let assembled = |nr_accesses| Assembled {
            thread: 7,
            target_index: 1,
            start_ns: 1_000,
            end_ns: 2_000,
            sampling: Sampling::from_intervals(5_000, 100_000),
            tuned_from: None,
            regions: vec![Region { start: 0, end: 4096, nr_accesses, age: 0 }],
            has_ages: true,
            missing: 0,
        };
        let counted = |nr_accesses, since_ns| {
            let (start_ns, sampling) = counted(&assembled(nr_accesses), since_ns);
            (start_ns, sampling.max_nr_accesses)
        };
        assert_eq!(counted(3, 0), (1_000, 20));
        assert_eq!(counted(3, 900), (1_000, 20));
        assert_eq!(counted(3, 1_750), (1_750, 5));
        assert_eq!(counted(6, 1_750), (1_750, 6), "never more hits than looks");
        assert_eq!(counted(0, 2_500), (2_000, 1));
        assert!(is_untouched(&assembled(0)) && !is_untouched(&assembled(1)));
    }
}
