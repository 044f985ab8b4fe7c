//! What damo writes beside a recording: parameters, memory, mappings, statistics of processes.
//!
//! Their times are those of the wall clock. Where nothing relates the recording's clock to it, which is so for what damo
//! makes of traces, both are taken to end together. That is said in a note.

mod files;

pub use files::{SUFFIXES, SideFiles};

use super::{ImportError, Sink, SourceTarget};
use damon_format::{
    ClockAnchor, KdamondCpu, Mapping, MappingsChanged, MemorySample, Note, Record, RecordingInfo,
    SchemeInstalled, Snapshot, SystemMemory, TargetId, TargetKind, TargetStarted,
};
use files::{Look, ProcessStat, Sample};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Passes a recording on and adds what the files beside it know.
pub struct Beside<'a> {
    to: &'a mut dyn Sink,
    files: SideFiles,
    /// Which targets are which process.
    targets: BTreeMap<u64, TargetId>,
    clock: Option<ClockAnchor>,
    end_ns: u64,
}

impl std::fmt::Debug for Beside<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Beside").field("targets", &self.targets).finish_non_exhaustive()
    }
}

impl Sink for Beside<'_> {
    fn begin(&mut self, mut info: RecordingInfo) -> Result<(), ImportError> {
        let time_ns = info.clock.monotonic_ns;
        self.clock = Some(info.clock).filter(|clock| clock.realtime_ns != 0);
        self.end_ns = time_ns;
        if let Some(attrs) = self.files.attrs {
            info.attrs.update_us = attrs.update_us;
            info.attrs.min_nr_regions = attrs.min_nr_regions;
            info.attrs.max_nr_regions = attrs.max_nr_regions;
        }
        self.to.begin(info)?;
        for (scheme, json) in (0..).zip(std::mem::take(&mut self.files.schemes)) {
            let by = "kernel".to_owned();
            let installed = SchemeInstalled { time_ns, scheme, json, by };
            self.to.record(Record::SchemeInstalled(installed))?;
        }
        for text in std::mem::take(&mut self.files.notes) {
            self.to.record(Record::Note(Note { time_ns, text }))?;
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), ImportError> {
        self.end_ns = self.end_ns.max(snapshot.end_ns);
        self.to.snapshot(snapshot)
    }

    fn record(&mut self, record: Record) -> Result<(), ImportError> {
        match record {
            // Of a source that does not number its targets.
            Record::TargetStarted(started) => {
                self.target(&SourceTarget::default(), started).map(|_is_known| ())
            }
            record => self.to.record(record),
        }
    }

    fn target(
        &mut self,
        named: &SourceTarget,
        mut started: TargetStarted,
    ) -> Result<bool, ImportError> {
        let known = self.files.target(named);
        if let Some(known) = known {
            started.kind = known.kind;
            match known.kind {
                TargetKind::Process if started.comm.is_empty() => started.comm = named.name(),
                TargetKind::Physical if named.is_usual() => started.comm.clear(),
                _ => {}
            }
            if let Some(pid) = known.pid.filter(|_| known.kind == TargetKind::Process) {
                started.pid = u32::try_from(pid).unwrap_or(0);
                self.targets.entry(pid).or_insert(started.target);
            }
        }
        let is_known = known.is_some();
        Ok(self.to.target(named, started)? || is_known)
    }
}

impl<'a> Beside<'a> {
    /// A sink that passes on to another.
    pub fn new(files: SideFiles, to: &'a mut dyn Sink) -> Self {
        Self { to, files, targets: BTreeMap::new(), clock: None, end_ns: 0 }
    }

    /// Hands over what was sampled beside the recording; nothing may follow.
    pub fn finish(mut self) -> Result<(), ImportError> {
        let Some(last_ns) = self.files.last_ns() else {
            return Ok(());
        };
        let together = ClockAnchor { monotonic_ns: self.end_ns, realtime_ns: last_ns };
        let clock = Clock(self.clock.unwrap_or(together));
        if self.clock.is_none() {
            let text = "memory, mappings and statistics of processes were sampled by another clock than the \
                        accesses: both are taken to end at the same moment";
            let note = Note { time_ns: self.end_ns, text: text.to_owned() };
            self.to.record(Record::Note(note))?;
        }
        self.memory(clock)?;
        self.mappings(clock)?;
        for (time_ns, stat) in std::mem::take(&mut self.files.stats) {
            let thread = stat.pid;
            if self.files.kdamonds.contains(&thread) {
                let thread = u32::try_from(thread).unwrap_or(0);
                let sample = KdamondCpu { time_ns: clock.of(time_ns), thread, cpu_us: stat.cpu_us };
                self.to.record(Record::KdamondCpu(sample))?;
            }
        }
        Ok(())
    }

    fn memory(&mut self, clock: Clock) -> Result<(), ImportError> {
        for (time_ns, sample) in std::mem::take(&mut self.files.footprints) {
            match sample {
                Sample::Process { pid, size, resident } => {
                    // Of a process that has ended damo writes zeros.
                    let Some(&target) = self.targets.get(&pid).filter(|_| size > 0) else {
                        continue;
                    };
                    let stat = latest(&self.files.stats, pid, time_ns);
                    let sample = MemorySample {
                        target,
                        time_ns: clock.of(time_ns),
                        rss: resident,
                        swap: 0,
                        virtual_size: size,
                        minor_faults: stat.map_or(0, |stat| stat.minor_faults),
                        major_faults: stat.map_or(0, |stat| stat.major_faults),
                    };
                    self.to.record(Record::Memory(sample))?;
                }
                Sample::Machine { total, free, available } => {
                    let time_ns = clock.of(time_ns);
                    let (swap_total, swap_free) = (0, 0);
                    let sample =
                        SystemMemory { time_ns, total, free, available, swap_total, swap_free };
                    self.to.record(Record::SystemMemory(sample))?;
                }
            }
        }
        Ok(())
    }

    fn mappings(&mut self, clock: Clock) -> Result<(), ImportError> {
        let mut known: BTreeMap<u64, Arc<[Mapping]>> = BTreeMap::new();
        for Look { time_ns, pid, all } in std::mem::take(&mut self.files.mappings) {
            let Some(&target) = self.targets.get(&pid) else {
                continue;
            };
            let before = known.insert(pid, Arc::clone(&all)).unwrap_or_default();
            if Arc::ptr_eq(&before, &all) {
                continue;
            }
            let [old, new] = [before.as_ref(), all.as_ref()].map(by_start);
            let differs = |(start, mapping): &(&u64, &&Mapping)| new.get(*start) != Some(*mapping);
            let removed: Vec<u64> = old.iter().filter(differs).map(|(start, _)| *start).collect();
            let is_new = |(start, mapping): &(&u64, &&Mapping)| old.get(*start) != Some(*mapping);
            let added: Vec<Mapping> = new.iter().filter(is_new).map(|(_, &m)| m.clone()).collect();
            if !(removed.is_empty() && added.is_empty()) {
                let time_ns = clock.of(time_ns);
                let change = MappingsChanged { target, time_ns, removed, added };
                self.to.record(Record::MappingsChanged(change))?;
            }
        }
        Ok(())
    }
}

/// Of several that begin at one address, the last one.
fn by_start(mappings: &[Mapping]) -> BTreeMap<u64, &Mapping> {
    mappings.iter().map(|mapping| (mapping.start, mapping)).collect()
}

/// From the wall clock to that of the recording.
#[derive(Clone, Copy)]
struct Clock(ClockAnchor);

impl Clock {
    fn of(self, time_ns: u64) -> u64 {
        let ClockAnchor { monotonic_ns, realtime_ns } = self.0;
        let time = i128::from(time_ns) - i128::from(realtime_ns) + i128::from(monotonic_ns);
        u64::try_from(time.max(0)).unwrap_or(u64::MAX)
    }
}

/// The statistics of a process that were read last before `time_ns`, or within a second after it: one turn of
/// damo's loop reads one file after the other.
fn latest(stats: &[(u64, ProcessStat)], pid: u64, time_ns: u64) -> Option<&ProcessStat> {
    let end = stats.partition_point(|(time, _)| *time <= time_ns.saturating_add(1_000_000_000));
    let before = stats.get(..end)?.iter().rev().map(|(_, stat)| stat);
    // Loops sample a few processes at a time; a process that is not among them has ended.
    before.take(1024).find(|stat| stat.pid == pid)
}
