//! What a session does besides sampling: status line, memory series, budget, mappings, children.

use super::budget::Change;
use super::console::Console;
use super::events::Events;
use super::mode::Mode;
use super::run::Session;
use super::series;
use super::status::{Figures, render};
use super::tracked::Refresh;
use crate::backend::WatchError;
use crate::exit::Failure;
use crate::host::monotonic_ns;
use crate::proc::ProcError;
use crate::sys::tty::stderr_columns;
use crate::target::Command;
use crate::units::show_duration;
use damon_format::Record;
use std::time::Duration;

/// Between two redraws of the status line.
const STATUS_NS: u64 = 250_000_000;
/// Between two judgements of the budget.
const BUDGET_NS: u64 = 250_000_000;
/// Moments at which something is due, nanoseconds of the monotonic clock.
#[derive(Debug)]
pub(super) struct Due {
    status: u64,
    memory: u64,
    budget: u64,
    children: u64,
    end: Option<u64>,
}

fn is_due(moment: &mut u64, now: u64, period: u64) -> bool {
    let due = now >= *moment;
    if due {
        *moment = now.saturating_add(period);
    }
    due
}

impl Due {
    pub(super) fn new(now: u64, duration: Option<Duration>) -> Self {
        let after =
            |d: Duration| now.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        Self { status: now, memory: now, budget: now, children: now, end: duration.map(after) }
    }

    /// When the recording is to end; far away when it is not.
    pub(super) fn end_ns(&self) -> u64 {
        self.end.unwrap_or(u64::MAX)
    }

    pub(super) fn is_over(&self, now: u64) -> bool {
        self.end.is_some_and(|end| now >= end)
    }
}

impl Session<'_> {
    /// Does what is due. Changing what is monitored would spoil a sampled round, so that waits for the
    /// `boundary` between two; exact looks do not mind.
    pub(super) fn chores(
        &mut self,
        boundary: bool,
        events: &mut Events,
        mut command: Option<&mut Command>,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let now = monotonic_ns();
        if is_due(&mut self.due.memory, now, series::PERIOD_NS) {
            self.sample_memory()?;
        }
        if boundary || matches!(self.mode, Mode::Exact(_)) {
            if is_due(&mut self.due.budget, now, BUDGET_NS) {
                self.judge_budget(now, console)?;
            }
            self.settle_troubles(events, command.as_deref_mut(), console)?;
            self.refresh_mappings(now)?;
            self.settle_troubles(events, command, console)?;
            if self.seeks_newcomers() && now >= self.due.children {
                self.due.children = self.find_newcomers(events, console)?;
            }
        }
        if console.is_live() && is_due(&mut self.due.status, now, STATUS_NS) {
            self.draw_status(now, console);
        }
        Ok(())
    }

    fn sample_memory(&mut self) -> Result<(), Failure> {
        for target in &self.targets {
            if let Some(sample) = series::memory(self.proc, target.id, target.identity.pid) {
                self.trace.record(&Record::Memory(sample))?;
            }
        }
        match series::pressure(self.proc) {
            Some(sample) => self.trace.record(&Record::Pressure(sample)),
            None => Ok(()),
        }
    }

    fn judge_budget(&mut self, now: u64, console: &mut Console) -> Result<(), Failure> {
        self.budget.observe(Duration::from_nanos(now), self.cpu.used());
        match self.budget.judge() {
            Some(change) => self.change_intervals(change, "recording takes", console),
            None => Ok(()),
        }
    }

    /// Ends the running aggregation and goes on with other intervals.
    pub(super) fn change_intervals(
        &mut self,
        change: Change,
        what: &str,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Change { intervals, percent } = change;
        let budget = self.plan.budget_percent;
        let relation = if percent > budget { "above" } else { "well below" };
        let reason = format!(
            "{what} {percent:.1}% of a core, {relation} the budget of {budget}%: from here on sampling \
             every {}, aggregating over {}",
            show_duration(intervals.sample),
            show_duration(intervals.aggr)
        );
        self.aggregate()?;
        let attrs = self.plan.attrs(intervals);
        self.change_attrs(attrs, reason, console)?;
        let now = Duration::from_nanos(monotonic_ns());
        self.budget.restart(intervals, now, self.cpu.used());
        Ok(())
    }

    fn refresh_mappings(&mut self, now: u64) -> Result<(), Failure> {
        let update_ns = self.attrs.update_us.saturating_mul(1000);
        for index in 0..self.targets.len() {
            let Some(target) = self.targets.get_mut(index) else {
                break;
            };
            if now < target.refresh_at_ns {
                continue;
            }
            let changes = match target.refresh(update_ns) {
                Ok(Refresh::Same) => continue,
                Ok(Refresh::Changed(changes)) => changes,
                Ok(Refresh::Ended) => {
                    self.troubles.push((target.id, WatchError::Replaced));
                    continue;
                }
                Err(ProcError::Gone { .. }) => {
                    self.troubles.push((target.id, WatchError::Gone));
                    continue;
                }
                Err(error) => {
                    let failed = WatchError::Failed(error.to_string());
                    self.troubles.push((target.id, failed));
                    continue;
                }
            };
            if let Err(error) = target.watch.mappings_changed(&target.mappings) {
                self.troubles.push((target.id, error));
            }
            self.mode.follow(target.id, &target.mappings, &self.limits);
            self.trace.record(&Record::MappingsChanged(changes))?;
        }
        Ok(())
    }

    fn draw_status(&mut self, now: u64, console: &mut Console) {
        let figures = Figures {
            elapsed: Duration::from_nanos(now.saturating_sub(self.started_ns)),
            snapshots: self.trace.snapshots(),
            regions: self.mode.nr_regions(),
            working_set: self.working_set,
            written: self.trace.bytes(),
            cpu_percent: self.budget.percent(),
            lost: self.trace.lost(),
        };
        // The last column stays empty: some terminals wrap when it is filled.
        let width = stderr_columns().saturating_sub(1);
        render(&figures, width, &mut self.line);
        console.status(&self.line);
    }
}
