//! Targets come, execute other programs, fail, and go.

use super::budget::own;
use super::console::Console;
use super::events::Events;
use super::mode::Mode;
use super::run::Session;
use super::tracked::Tracked;
use crate::backend::WatchError;
use crate::backend::kind::AttachError;
use crate::exit::Failure;
use crate::host::monotonic_ns;
use crate::monitor::AddressRange;
use crate::plan::Plan;
use crate::sys::pidfd;
use crate::target::Command;
use crate::units::show_duration;
use damon_format::{
    AccessKind, Attrs, Granularity, Lost, MappingsChanged, Note, Record, TargetExecuted,
    TargetExited, TargetId,
};
use std::os::fd::AsFd as _;
use std::time::Duration;

/// After this many failures of its watch a target is given up.
const FAILURES: u32 = 5;
/// The ranges asked for; none when everything mapped is to be monitored.
pub(super) fn limits(plan: &Plan) -> Vec<AddressRange> {
    plan.ranges.iter().map(|&(start, end)| AddressRange { start, end }).collect()
}

impl Session<'_> {
    /// Says how the recording is done: where to and by what, how it looks, and what is `news` of the choice, or
    /// the whole `reason`.
    pub(super) fn begin(
        &mut self,
        news: &[String],
        reason: &str,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let kind = self.kind;
        console.say(&format!(
            "recording to {}: backend {}, which sees {} of {}",
            self.trace.name(),
            kind.name,
            match kind.access {
                AccessKind::ReadWrite => "reads and writes",
                AccessKind::Write => "writes only,",
            },
            match kind.granularity {
                Granularity::Page => "single pages",
                Granularity::Region => "regions",
                Granularity::Mapping => "whole mappings",
            },
        ));
        console.say(&self.how());
        console.say_or(news, &format!("why {}: {reason}", kind.name));
        let text = format!("side effect of the backend {}: {}", kind.name, kind.side_effect);
        console.detail(&text);
        self.trace.record(&Record::Note(Note { time_ns: monotonic_ns(), text }))
    }

    /// How it looks, in one line.
    fn how(&self) -> String {
        let Attrs { sample_us, aggr_us, max_nr_regions, .. } = self.attrs;
        let show = |us| show_duration(Duration::from_micros(us));
        let what = match (&self.mode, self.kind.granularity) {
            (Mode::Exact(_), Granularity::Mapping) => "each mapping".to_owned(),
            (Mode::Exact(_), _) => "every page".to_owned(),
            _ => format!("one page of each of at most {max_nr_regions} regions"),
        };
        format!("looks every {} at {what}; a snapshot every {}", show(sample_us), show(aggr_us))
    }

    /// Begins to monitor `target`; the inner result tells whether its watch agreed.
    pub(super) fn take_up(
        &mut self,
        events: &Events,
        mut target: Tracked,
        parent: Option<TargetId>,
    ) -> Result<Result<(), WatchError>, Failure> {
        if let Mode::Kernel(kernel) = &mut self.mode {
            // When the present aggregation began. That no more will come is said at the next turn.
            let _said_later = kernel.drain(&mut self.trace)?;
        }
        match target.arm(&mut self.mode, &self.limits) {
            Ok(()) => self.adopt(events, target, parent),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Records the appearance of a target that is monitored already.
    pub(super) fn adopt(
        &mut self,
        events: &Events,
        target: Tracked,
        parent: Option<TargetId>,
    ) -> Result<Result<(), WatchError>, Failure> {
        if let Err(errno) = events.watch(target.id, target.pidfd.as_fd()) {
            let why = format!("cannot wait for its end: {errno}");
            return Ok(Err(WatchError::Failed(why)));
        }
        self.trace.record(&Record::TargetStarted(target.started(parent)))?;
        self.record_all_mappings(&target, Vec::new())?;
        self.next_id = self.next_id.max(target.id.0 + 1);
        self.newcomers.settle(target.identity.pid);
        self.targets.push(target);
        self.attachments += 1;
        Ok(Ok(()))
    }

    fn record_all_mappings(&mut self, target: &Tracked, removed: Vec<u64>) -> Result<(), Failure> {
        self.trace.record(&Record::MappingsChanged(MappingsChanged {
            target: target.id,
            time_ns: monotonic_ns(),
            removed,
            added: target.mappings.clone(),
        }))
    }

    /// A target's pidfd says that it is gone.
    pub(super) fn exited(
        &mut self,
        id: TargetId,
        events: &Events,
        command: Option<&mut Command>,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Ok(index) = self.targets.binary_search_by_key(&id, |t| t.id) else {
            return Ok(());
        };
        let before = own();
        let done = self.leave(index, events, command, console);
        // No other interval would make it cheaper: where many come and go that counted as what rounds cost, sampling
        // would become so rare that none is seen.
        self.meter.one_off(own().saturating_sub(before));
        done
    }

    fn leave(
        &mut self,
        index: usize,
        events: &Events,
        command: Option<&mut Command>,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Some(id) = self.targets.get(index).map(|target| target.id) else {
            return Ok(());
        };
        // What it has marked in its last moment is a part of its time.
        self.take_marks(events, console)?;
        self.take_proportional(console)?;
        self.retire(id)?;
        let target = self.targets.remove(index);
        self.unseen = self.unseen.saturating_add(u64::from(!target.seen));
        events.forget(target.pidfd.as_fd());
        let wait_status = command
            .filter(|command| command.pid() == target.identity.pid)
            .and_then(|command| {
                self.cpu.leave_children_out();
                command.try_wait()
            })
            .map(|ended| ended.0);
        let time_ns = monotonic_ns();
        self.proportional_goes_on(time_ns);
        self.trace.record(&Record::TargetExited(TargetExited { target: id, time_ns, wait_status }))
    }

    /// Deals with the failures of the last round.
    pub(super) fn settle_troubles(
        &mut self,
        events: &Events,
        mut command: Option<&mut Command>,
        console: &mut Console,
    ) -> Result<(), Failure> {
        while let Some((id, error)) = self.troubles.pop() {
            let Ok(index) = self.targets.binary_search_by_key(&id, |t| t.id) else {
                continue;
            };
            let Some(target) = self.targets.get_mut(index) else {
                continue;
            };
            if pidfd::has_exited(target.pidfd.as_fd()) {
                self.exited(id, events, command.as_deref_mut(), console)?;
                continue;
            }
            if let WatchError::Failed(what) = &error {
                target.failures += 1;
                if target.failures > FAILURES {
                    self.give_up(index, what, events, console)?;
                    continue;
                }
                let what = format!("looking at process {} failed: {what}", target.identity.pid);
                console.say(&what);
                self.trace.record(&Record::Lost(Lost {
                    target: Some(id),
                    time_ns: monotonic_ns(),
                    count: 1,
                    what,
                }))?;
            }
            self.attach_again(index, events, console)?;
        }
        Ok(())
    }

    /// Attaches anew to a target that has another program, or whose watch has failed.
    fn attach_again(
        &mut self,
        index: usize,
        events: &Events,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Some(old) = self.targets.get(index) else {
            return Ok(());
        };
        let (id, pid, identity) = (old.id, old.identity.pid, old.identity);
        let (failures, seen) = (old.failures, old.seen);
        let removed: Vec<u64> = old.mappings.iter().map(|m| m.start).collect();
        let mut new = match Tracked::attach(self.proc, self.kind, pid, id, None) {
            Ok(new) if new.identity == identity => new,
            Ok(_) | Err(AttachError::Gone) => {
                if let Some(target) = self.targets.get_mut(index) {
                    target.rest();
                }
                return Ok(());
            }
            Err(AttachError::Refused(why)) => return self.give_up(index, &why, events, console),
        };
        (new.failures, new.seen) = (failures, seen);
        self.attachments += 1;
        if let Err(error) = new.arm(&mut self.mode, &self.limits) {
            self.troubles.push((id, error));
            return Ok(());
        }
        let executed = TargetExecuted {
            target: id,
            time_ns: monotonic_ns(),
            comm: new.comm.clone(),
            exe: self.proc.exe(pid),
        };
        if let Some(slot) = self.targets.get_mut(index) {
            let changed = slot.exe != new.exe || slot.mappings != new.mappings;
            events.forget(slot.pidfd.as_fd());
            if events.watch(id, new.pidfd.as_fd()).is_err() {
                return self.give_up(index, "cannot wait for its end", events, console);
            }
            std::mem::swap(slot, &mut new);
            let old = new;
            if changed {
                console.detail(&format!("process {pid} executes {}", executed.exe));
                self.trace.record(&Record::TargetExecuted(executed))?;
                let added = self.targets.get(index).map(|t| t.mappings.clone()).unwrap_or_default();
                self.trace.record(&Record::MappingsChanged(MappingsChanged {
                    target: id,
                    time_ns: monotonic_ns(),
                    removed,
                    added,
                }))?;
            }
            drop(old);
        }
        Ok(())
    }

    /// Goes on without a target that lives and cannot be watched.
    fn give_up(
        &mut self,
        index: usize,
        why: &str,
        events: &Events,
        console: &mut Console,
    ) -> Result<(), Failure> {
        if let Some(id) = self.targets.get(index).map(|t| t.id) {
            self.retire(id)?;
        }
        let target = self.targets.remove(index);
        self.newcomers.refuse(target.identity);
        events.forget(target.pidfd.as_fd());
        let what = format!(
            "process {} ({}) cannot be watched any longer: {why}",
            target.identity.pid, target.comm
        );
        console.error(&what);
        self.trace.record(&Record::Lost(Lost {
            target: Some(target.id),
            time_ns: monotonic_ns(),
            count: 1,
            what,
        }))?;
        self.trace.forget(target.id)
    }
}
