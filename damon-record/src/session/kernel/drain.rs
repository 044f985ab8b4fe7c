//! From the kernel's events to snapshots and records of the trace.

use super::{Events, Kernel, Slot};
use crate::damon::collect::{self, Collected};
use crate::damon::events::{Assembled, Assembler, Event, EventKind};
use crate::exit::Failure;
use crate::session::accounts::Accounts;
use crate::session::trace::Trace;
use damon_format::{
    Attrs, EffectiveQuota, IntervalsChanged, Lost, Record, Region, Sampling, SchemeApplied,
    SchemeStats, Snapshot, TargetId,
};

impl Events {
    /// Begins to listen to the kdamond with the thread `tid`.
    pub(super) fn open(tid: u32, attrs: &Attrs) -> Result<Self, String> {
        let thread =
            i32::try_from(tid).map_err(|_too_large| format!("thread {tid} cannot exist"))?;
        let mut chosen =
            collect::choose(&[thread], &EventKind::ALL, collect::Wanted::DEFAULT_BYTES);
        if chosen.collector().is_none() {
            return Err(chosen.describe());
        }
        let mut assembler = Assembler::default();
        assembler.watch(thread, Sampling::from_intervals(attrs.sample_us, attrs.aggr_us));
        Ok(Self { chosen, assembler })
    }
}

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
        let Some(Events { chosen, assembler }) = &mut self.events else {
            return Ok(Ok(()));
        };
        let Some(collect) = chosen.collector() else {
            return Ok(Ok(()));
        };
        let mut sink = Sink {
            slots: &mut self.slots,
            applied: &mut self.applied,
            accounts: &mut self.series.accounts,
            attrs: &mut self.attrs,
            unit: self.unit,
            trace,
            failure: None,
        };
        let mut each = |collected| match collected {
            Collected::Event { time_ns, thread, event } => {
                sink.event(time_ns, &event);
                assembler.push(time_ns, thread, &event, &mut |assembled| sink.assembled(assembled));
            }
            Collected::Lost { time_ns, count } => {
                assembler.lost();
                sink.lost(time_ns, count);
            }
        };
        let fetched = if last { collect.settle(&mut each) } else { collect.drain(&mut each) };
        if last {
            assembler.finish(&mut |assembled| sink.assembled(assembled));
        }
        match sink.failure {
            Some(failure) => Err(failure),
            None => Ok(fetched.map_err(|error| error.to_string())),
        }
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
struct Sink<'a> {
    slots: &'a mut [Slot],
    applied: &'a mut Vec<SchemeApplied>,
    accounts: &'a mut Accounts,
    attrs: &'a mut Attrs,
    unit: u64,
    trace: &'a mut Trace,
    failure: Option<Failure>,
}

impl Sink<'_> {
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

    fn id(&self, target: u64) -> Option<TargetId> {
        let slot = usize::try_from(target).ok().and_then(|index| self.slots.get(index));
        slot.and_then(|slot| slot.id)
    }

    fn bytes(&self, region: Region) -> Region {
        let unit = self.unit;
        let (start, end) = (region.start.saturating_mul(unit), region.end.saturating_mul(unit));
        Region { start, end, ..region }
    }

    fn event(&mut self, time_ns: u64, event: &Event) {
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
            Event::EffectiveQuota { scheme, bytes } => {
                let news = self.accounts.quota(EffectiveQuota { time_ns, scheme, bytes });
                self.records(news.as_slice());
            }
            Event::SchemeStat {
                scheme,
                nr_tried,
                sz_tried,
                nr_applied,
                sz_applied,
                sz_ops_filter_passed,
                qt_exceeds,
                nr_snapshots,
            } => {
                let stats = SchemeStats {
                    time_ns,
                    scheme,
                    nr_tried,
                    sz_tried,
                    nr_applied,
                    sz_applied,
                    qt_exceeds,
                    sz_ops_filter_passed: Some(sz_ops_filter_passed),
                    nr_snapshots: Some(nr_snapshots),
                };
                let news = self.accounts.stats(stats);
                self.records(news.as_slice());
            }
        }
    }

    fn assembled(&mut self, assembled: &Assembled) {
        let Some(id) = self.id(assembled.target_index) else { return };
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
        let snapshot = Snapshot {
            has_ages: assembled.has_ages,
            ..Snapshot::new(
                id,
                assembled.start_ns,
                assembled.end_ns,
                assembled.sampling,
                assembled.regions.iter().map(|region| self.bytes(*region)).collect(),
            )
        };
        self.note(assembled.target_index, &snapshot.regions);
        self.store(|trace| trace.snapshot(&snapshot));
    }

    /// Keeps what the status line shows.
    fn note(&mut self, target: u64, regions: &[Region]) {
        let slot = usize::try_from(target).ok().and_then(|index| self.slots.get_mut(index));
        if let Some(slot) = slot {
            slot.regions = regions.len();
            slot.touched = regions.iter().filter(|r| r.nr_accesses > 0).map(Region::size).sum();
        }
    }

    fn lost(&mut self, time_ns: Option<u64>, count: u64) {
        self.record(&Record::Lost(Lost {
            target: None,
            time_ns: time_ns.unwrap_or_else(crate::host::monotonic_ns),
            count,
            what: "events of the kernel's DAMON came faster than they were read".into(),
        }));
    }
}
