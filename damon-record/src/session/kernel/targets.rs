//! Whom a kdamond monitors: processes come and go.

use super::listen::{Events, ONE_ONLY};
use super::source::{Added, Source, Started};
use super::{Kernel, Slot};
use crate::damon::Turn;
use crate::host::monotonic_ns;
use crate::monitor::AddressRange;
use damon_format::{Mapping, TargetId};
use std::time::Duration;

/// A kdamond that stops by itself so soon after a change of ours has stopped because of it: one of its targets exited
/// while the kernel took the change over, which it does at the end of an aggregation.
const REVIVAL_NS: u64 = 5_000_000_000;
/// How long before the end of an aggregation a change is made, at most.
const CHANGE_NS: u64 = 10_000_000;
/// Nobody waits longer than this to make one at the right moment.
const MOST_WAIT_NS: u64 = 1_000_000_000;

impl Kernel {
    /// Monitors the process `pid` as `id` from now on: starts the kdamond with it, or adds it to those that
    /// it monitors. The error says what is in the way.
    pub(in crate::session) fn add(
        &mut self,
        id: TargetId,
        pid: u32,
        mappings: &[Mapping],
        limits: &[AddressRange],
    ) -> Result<(), String> {
        if self.slots.iter().any(|slot| slot.id == Some(id)) {
            // It executes another program: the kernel follows by itself.
            return Ok(());
        }
        let living = self.living();
        match &mut self.source {
            Source::Foreign(foreign) => {
                let free = |slot: &&mut Slot| slot.id.is_none() && slot.pid == Some(pid);
                let slot = self.slots.iter_mut().find(free).ok_or_else(|| {
                    format!("kdamond {} does not monitor process {pid}", foreign.name)
                })?;
                slot.id = Some(id);
                let tid = foreign.tid;
                if self.events.is_none() {
                    self.listen(tid)?;
                }
            }
            Source::Own(own) => {
                if own.lists_regions() && !living.is_empty() {
                    return Err(ONE_ONLY.to_owned());
                }
                let since_ns = monotonic_ns();
                let slots = &self.slots;
                let free = |index: usize| slots.get(index).is_some_and(|slot| slot.id.is_none());
                let moment = || await_end_of_aggregation(self.events.as_ref(), self.attrs.aggr_us);
                match own.add(
                    pid,
                    mappings,
                    limits,
                    &living,
                    &Turn { free: &free, moment: &moment },
                )? {
                    Added::ToOthers(index) => {
                        if let Some(events) = &mut self.events {
                            events.committed(since_ns);
                        }
                        self.committed_ns = Some(since_ns);
                        let since_ns = Some(since_ns);
                        let new = Slot { since_ns, ..Slot::new(Some(pid), Some(id)) };
                        match self.slots.get_mut(index) {
                            Some(slot) => *slot = new,
                            None => self.slots.push(new),
                        }
                    }
                    Added::ByStart(Started { tid, kept, without_new }) => {
                        self.started_anew(&kept);
                        if without_new.is_none() {
                            self.slots.push(Slot::new(Some(pid), Some(id)));
                        }
                        self.listen(tid)?;
                        return without_new.map_or(Ok(()), Err);
                    }
                }
            }
        }
        Ok(())
    }

    /// Snapshots of `id` are no longer wanted.
    pub(in crate::session) fn remove(&mut self, id: TargetId) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == Some(id)) {
            slot.id = None;
        }
    }

    /// Starts the kdamond, which has ended, anew if a change of ours was the reason. The error says why not.
    pub(in crate::session) fn revive(&mut self) -> Result<(), String> {
        let changed_ns = self.committed_ns.take();
        let ours = changed_ns.is_some_and(|at| monotonic_ns().saturating_sub(at) < REVIVAL_NS);
        let living = self.living();
        let Source::Own(own) = &mut self.source else { return Err("it is not ours".to_owned()) };
        if !ours {
            return Err("nothing was changed before that".to_owned());
        }
        let Started { tid, kept, .. } = own.restart(&living, None)?;
        self.started_anew(&kept);
        self.listen(tid)
    }

    /// Processes whose snapshots are wanted, in the order of the kdamond's targets.
    fn living(&self) -> Vec<u32> {
        self.slots.iter().filter(|slot| slot.id.is_some()).filter_map(|slot| slot.pid).collect()
    }

    /// The kdamond has been started anew with the targets `kept` of those it had.
    fn started_anew(&mut self, kept: &[u32]) {
        self.committed_ns = None;
        self.series.accounts.begin_anew();
        let old = std::mem::take(&mut self.slots);
        let wanted =
            |slot: &&Slot| slot.id.is_some() && slot.pid.is_some_and(|pid| kept.contains(&pid));
        self.slots =
            old.iter().filter(wanted).map(|slot| Slot { since_ns: None, ..*slot }).collect();
        if !kept.is_empty() {
            self.tell(format!(
                "the kdamond was started anew with {} of its targets, because one has exited while another was \
                 added: their regions and ages begin again",
                kept.len()
            ));
        }
        self.stop_listening(old);
    }
}

/// Waits until shortly before the end of an aggregation. The kernel takes a change over then and not sooner, and before
/// 6.15 it ends the kdamond when a target has exited in between: so there is little in between.
fn await_end_of_aggregation(events: Option<&Events>, aggr_us: u64) {
    let before_ns = CHANGE_NS.min(aggr_us.saturating_mul(1_000) / 4);
    let now = monotonic_ns();
    let end = events.and_then(|events| events.next_end_ns(now.saturating_add(before_ns)));
    let wait_ns = end.map_or(0, |end| end.saturating_sub(before_ns).saturating_sub(now));
    if wait_ns <= MOST_WAIT_NS {
        std::thread::sleep(Duration::from_nanos(wait_ns));
    }
}
