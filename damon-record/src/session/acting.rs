//! Schemes that we apply ourselves, because the backend is not the kernel's DAMON.

use super::accounts::Accounts;
use super::console::Console;
use super::run::Session;
use crate::actuate::{self, Actuator, ByPidfd, Machine, Target};
use crate::exit::Failure;
use crate::host::monotonic_ns;
use crate::proc::{ProcRoot, page_size, read_meminfo};
use crate::sys::madvise::Advice;
use damon_format::damos::Schemes;
use damon_format::{AccessKind, Attrs, Lost, Note, Record, Snapshot, TargetId};
use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, BorrowedFd};

/// Schemes at work.
pub(super) struct Acting {
    actuator: Actuator,
    machine: Machine,
    advice: Vec<Advice>,
    accounts: Accounts,
    /// Snapshots of the aggregation that is being stored.
    snapshots: Vec<Snapshot>,
    /// Targets that could not be acted on; said once.
    failed: BTreeSet<TargetId>,
    refused: Option<String>,
    /// Nothing is applied any more; the accounts are still asked for.
    retired: bool,
    /// What people have not been told yet.
    unsaid: Vec<String>,
}

impl Acting {
    /// The error says what of the schemes cannot be done from user space.
    pub(super) fn new(schemes: &Schemes, attrs: &Attrs, proc: &ProcRoot) -> Result<Self, Failure> {
        let problem = |why: String| Failure::Usage(format!("--schemes: {why}"));
        let advice = actuate::check(schemes).map_err(|problems| problem(problems.join("; ")))?;
        let actuator = Actuator::new(schemes.clone(), attrs, page_size())
            .map_err(|why| problem(why.replace('\n', "; ")))?;
        Ok(Self {
            actuator,
            machine: Machine::new(proc.clone(), "/sys"),
            advice,
            accounts: Accounts::default(),
            snapshots: Vec::new(),
            failed: BTreeSet::new(),
            refused: None,
            retired: false,
            unsaid: Vec::new(),
        })
    }

    /// Whether the process may be acted on.
    pub(super) fn permitted(&self, pidfd: BorrowedFd<'_>) -> Result<(), String> {
        actuate::permitted(pidfd, &self.advice)
    }

    /// A snapshot has been stored that the schemes are to see.
    pub(super) fn see(&mut self, snapshot: &Snapshot) {
        self.snapshots.push(snapshot.clone());
    }

    /// From now on nothing is applied.
    pub(super) fn retired(self) -> Self {
        Self { retired: true, ..self }
    }

    /// A target is gone.
    pub(super) fn forget(&mut self, id: TargetId) {
        self.actuator.forget_target(id);
        self.snapshots.retain(|snapshot| snapshot.target != id);
    }

    /// What the schemes have done so far, as far as it is news.
    pub(super) fn news(&mut self) -> Vec<Record> {
        let all: Vec<_> = self.actuator.records(monotonic_ns()).collect();
        all.into_iter().filter_map(|stats| self.accounts.stats(stats)).collect()
    }
}

/// What applying the schemes ourselves means with these intervals, and with a backend that sees `access`.
pub(super) fn explain(
    schemes: &Schemes,
    attrs: &Attrs,
    access: AccessKind,
    proc: &ProcRoot,
) -> Result<Vec<String>, Failure> {
    let swap = read_meminfo(proc).map(|memory| memory.swap_total);
    actuate::explain(schemes, attrs, actuate::Circumstances { access, swap })
        .map_err(|why| Failure::Usage(format!("--schemes: {why}")))
}

impl Session<'_> {
    /// Applies the schemes to what the aggregation that has just ended has found.
    pub(super) fn act(&mut self) -> Result<(), Failure> {
        let Some(acting) = &mut self.acting else {
            return Ok(());
        };
        let snapshots = std::mem::take(&mut acting.snapshots);
        if acting.retired {
            return Ok(());
        }
        let mut hands: Vec<ByPidfd<'_>> = Vec::with_capacity(snapshots.len());
        let mut seen = Vec::with_capacity(snapshots.len());
        for snapshot in &snapshots {
            if let Some(target) = self.targets.iter().find(|target| target.id == snapshot.target) {
                hands.push(ByPidfd(target.pidfd.as_fd()));
                seen.push((snapshot, target.mappings.as_slice()));
            }
        }
        let mut targets: Vec<Target<'_>> = seen
            .into_iter()
            .zip(&mut hands)
            .map(|((snapshot, mappings), advise)| Target { snapshot, mappings, advise })
            .collect();
        if targets.is_empty() {
            return Ok(());
        }
        let applied = acting.actuator.apply(&mut targets, &mut acting.machine);
        let mut records: Vec<Record> =
            applied.regions.into_iter().map(Record::SchemeApplied).collect();
        records.extend(applied.quotas.into_iter().filter_map(|quota| acting.accounts.quota(quota)));
        let time_ns = monotonic_ns();
        for (id, errno) in applied.failures {
            if acting.failed.insert(id) {
                let pid = self.targets.iter().find(|t| t.id == id).map_or(0, |t| t.identity.pid);
                acting
                    .unsaid
                    .push(format!("schemes could not be applied to process {pid}: {errno}"));
                let what = format!("schemes could not be applied to this target: {errno}");
                records.push(Record::Lost(Lost { target: Some(id), time_ns, count: 1, what }));
            }
        }
        if applied.refused.is_some() && applied.refused != acting.refused {
            let text =
                format!("schemes are not applied: {}", applied.refused.as_deref().unwrap_or(""));
            acting.unsaid.push(text.clone());
            records.push(Record::Note(Note { time_ns, text }));
        }
        acting.refused = applied.refused;
        for (id, range) in applied.resets {
            self.mode.reset_age(id, range);
        }
        records.iter().try_for_each(|record| self.trace.record(record))
    }

    /// Says what went wrong with applying the schemes.
    pub(super) fn tell_acting_news(&mut self, console: &mut Console) {
        let unsaid = self.acting.as_mut().map(|acting| std::mem::take(&mut acting.unsaid));
        unsaid.iter().flatten().for_each(|text| console.error(text));
    }

    /// Says what applying the schemes means here.
    pub(super) fn explain_acting(
        &mut self,
        schemes: &Schemes,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let time_ns = monotonic_ns();
        for text in explain(schemes, &self.attrs, self.kind.access, self.proc)? {
            console.say(&text);
            self.trace.record(&Record::Note(Note { time_ns, text }))?;
        }
        Ok(())
    }
}
