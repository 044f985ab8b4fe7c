//! What one trace says when it goes on where another one ends.

use super::super::slice::Repetitions;
use super::super::{Sink, TransformError};
use super::order::{Input, Process};
use crate::analysis::select::Selection;
use crate::analysis::walk::Event;
use damon_format::{
    Attrs, Finished, IntervalsChanged, MappingsChanged, Part, Record, TargetId, TargetKind,
    TargetStarted,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// How an input begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// It is the first of all.
    First,
    /// It goes on where the one before it ends; what it repeats was said.
    Continued,
    /// It goes on after something that is missing; what it repeats may be news.
    Gap,
    /// It is another recording.
    Another,
}

/// A target of the trace that is being made.
#[derive(Debug)]
struct Known {
    process: Option<Process>,
    kind: TargetKind,
    alive: bool,
    /// Where its mappings begin.
    mapped: BTreeSet<u64>,
    /// Its mappings are those from before a pause: the next thing said of them says all.
    outdated: bool,
}

/// What has been said so far.
#[derive(Debug)]
pub(super) struct Joining {
    targets: BTreeMap<TargetId, Known>,
    /// From the targets of the present recording.
    names: BTreeMap<TargetId, TargetId>,
    /// Whether these have other numbers there, since it is not the first recording.
    renumbered: bool,
    /// The smallest number that no target has had.
    free: u32,
    attrs: Attrs,
    notes: BTreeSet<String>,
    /// Of the input before.
    finished: Option<Finished>,
    cpu_us: u64,
}

/// Notes that are remembered, lest they are said again after a gap.
const NOTES: usize = 1000;

impl Joining {
    pub(super) fn new(attrs: Attrs) -> Self {
        Self {
            targets: BTreeMap::new(),
            names: BTreeMap::new(),
            renumbered: false,
            free: 0,
            attrs,
            notes: BTreeSet::new(),
            finished: None,
            cpu_us: 0,
        }
    }

    /// Why the last input ended.
    pub(super) fn ended(&self) -> Option<&str> {
        self.finished.as_ref().map(|finished| finished.reason.as_str())
    }

    /// Adds all of an input.
    pub(super) fn add<W: Write>(
        &mut self,
        input: &Input,
        begin: Begin,
        sink: &mut Sink<W>,
    ) -> Result<(), TransformError> {
        self.finished = None;
        if begin == Begin::Another {
            self.names.clear();
            self.renumbered = true;
        }
        if matches!(begin, Begin::Gap | Begin::Another) {
            self.targets.values_mut().for_each(|known| known.outdated = true);
            let attrs = input.trace.info().attrs;
            if attrs != self.attrs {
                let reason = format!("{} was recorded with these", input.trace.name());
                let time_ns = input.part.map_or(input.span.start, |part| part.time_ns);
                self.attrs = attrs;
                sink.record(&Record::IntervalsChanged(IntervalsChanged {
                    time_ns,
                    attrs,
                    reason,
                }))?;
            }
        }
        let mut repetitions = Repetitions::default();
        input.trace.walk(&Selection::everything(), |event| match event {
            Event::Snapshot(snapshot) => {
                let mut snapshot = snapshot.to_snapshot();
                snapshot.target = self.name(snapshot.target);
                Ok(sink.snapshot(&snapshot)?)
            }
            Event::Record(Record::Part(part)) => {
                repetitions.is_one(&Record::Part(part));
                if begin == Begin::First && !is_whole(&part) {
                    sink.record(&Record::Part(part))?;
                }
                Ok(())
            }
            Event::Record(record) => {
                if repetitions.is_one(&record) && begin == Begin::Continued {
                    return Ok(());
                }
                match self.translate(record, begin) {
                    Some(record) => Ok(sink.record(&record)?),
                    None => Ok(()),
                }
            }
        })
    }

    /// Says how it ended, if the last input did.
    pub(super) fn finish<W: Write>(self, sink: &mut Sink<W>) -> Result<(), TransformError> {
        let Some(mut finished) = self.finished else { return Ok(()) };
        finished.recorder_cpu_us = self.cpu_us;
        Ok(sink.record(&Record::Finished(finished))?)
    }

    /// The number of a target of the present input.
    fn name(&mut self, target: TargetId) -> TargetId {
        if let Some(name) = self.names.get(&target) {
            return *name;
        }
        let name = if self.renumbered { TargetId(self.free) } else { target };
        self.free = self.free.max(name.0.saturating_add(1));
        self.names.insert(target, name);
        name
    }

    /// A record in the numbers of the new trace; nothing if it was said.
    fn translate(&mut self, record: Record, begin: Begin) -> Option<Record> {
        let mut record = record;
        match &mut record {
            Record::TargetStarted(started) => return self.started(started, begin),
            Record::TargetExecuted(body) => {
                body.target = self.name(body.target);
                if let Some(known) = self.targets.get_mut(&body.target) {
                    known.mapped.clear();
                    known.outdated = false;
                }
            }
            Record::TargetExited(body) => {
                body.target = self.name(body.target);
                if let Some(known) = self.targets.get_mut(&body.target) {
                    known.alive = false;
                    known.mapped.clear();
                }
            }
            Record::MappingsChanged(body) => {
                body.target = self.name(body.target);
                self.mapped(body);
            }
            Record::IntervalsChanged(body) => {
                if begin == Begin::Gap && body.attrs == self.attrs {
                    return None;
                }
                self.attrs = body.attrs;
            }
            Record::Note(note) => {
                let known = !self.notes.insert(note.text.clone());
                while self.notes.len() > NOTES {
                    self.notes.pop_first();
                }
                if known && begin == Begin::Gap {
                    return None;
                }
            }
            Record::Finished(finished) => {
                self.cpu_us = self.cpu_us.saturating_add(finished.recorder_cpu_us);
                self.finished = Some(finished.clone());
                return None;
            }
            Record::Memory(body) => body.target = self.name(body.target),
            Record::ProportionalMemory(body) => body.target = self.name(body.target),
            Record::SchemeApplied(body) => body.target = self.name(body.target),
            Record::ProbeColumns(body) => body.target = self.name(body.target),
            Record::Lost(body) => {
                body.target = body.target.map(|target| self.name(target));
            }
            Record::Pressure(_)
            | Record::SchemeStats(_)
            | Record::Mark(_)
            | Record::SystemMemory(_)
            | Record::KdamondCpu(_)
            | Record::SchemeInstalled(_)
            | Record::Part(_)
            | Record::EffectiveQuota(_) => {}
        }
        Some(record)
    }

    fn started(&mut self, started: &TargetStarted, begin: Begin) -> Option<Record> {
        let process = (started.pid, started.start_ticks);
        let process = (started.pid != 0 && started.start_ticks != 0).then_some(process);
        let same = self.targets.iter().find(|(id, known)| {
            let is_it = match begin {
                Begin::First | Begin::Continued => false,
                // In one recording a number means one target.
                Begin::Gap => self.names.get(&started.target) == Some(*id),
                Begin::Another if started.kind == TargetKind::Physical => {
                    known.kind == TargetKind::Physical
                }
                Begin::Another => process.is_some() && known.process == process,
            };
            is_it && known.alive
        });
        if let Some((id, _)) = same {
            self.names.insert(started.target, *id);
            return None;
        }
        let target = self.name(started.target);
        let parent = started.parent.map(|parent| self.name(parent));
        let known = Known {
            process,
            kind: started.kind,
            alive: true,
            mapped: BTreeSet::new(),
            outdated: false,
        };
        self.targets.insert(target, known);
        Some(Record::TargetStarted(TargetStarted { target, parent, ..started.clone() }))
    }

    /// The first record of a target's mappings after a pause has all of them: what it does not name is gone.
    fn mapped(&mut self, changed: &mut MappingsChanged) {
        let Some(known) = self.targets.get_mut(&changed.target) else { return };
        if std::mem::take(&mut known.outdated) {
            changed.removed = std::mem::take(&mut known.mapped).into_iter().collect();
        }
        for start in &changed.removed {
            known.mapped.remove(start);
        }
        known.mapped.extend(changed.added.iter().map(|mapping| mapping.start));
    }
}

/// Whether nothing comes before this part.
fn is_whole(part: &Part) -> bool {
    (part.number, part.first_snapshot) == (1, 0)
}
