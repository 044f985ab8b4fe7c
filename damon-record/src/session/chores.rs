//! What a session does besides sampling: status line, memory series, budget, mappings, children.

use super::acting::Acting;
use super::budget::{Change, Setting, own, show_costs};
use super::console::Console;
use super::events::Events;
use super::mode::Mode;
use super::proportional::Proportional;
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
use damon_format::{Note, Record};
use std::time::Duration;

/// Between two redraws of the status line.
const STATUS_NS: u64 = 250_000_000;
/// Between two judgements of the budget.
const BUDGET_NS: u64 = 250_000_000;
/// Between two words about the cost, for those who want to know more.
const COST_NS: u64 = 1_000_000_000;
/// The memory series waits this many times as long as it took, so that it does not eat the budget when
/// there are many targets: at most a twentieth of one per cent of a core, or what that is of another budget.
const MEMORY_COST: f64 = 2000.0;

/// Moments at which something is due, nanoseconds of the monotonic clock.
#[derive(Debug)]
pub(super) struct Due {
    status: u64,
    memory: u64,
    children: u64,
    cost: u64,
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
        Self {
            status: now,
            memory: now,
            children: now,
            cost: now.saturating_add(COST_NS),
            end: duration.map(after),
        }
    }

    /// When the recording is to end; far away when it is not.
    pub(super) fn end_ns(&self) -> u64 {
        self.end.unwrap_or(u64::MAX)
    }

    /// Newcomers are looked for at the next opportunity.
    pub(super) fn take_up_now(&mut self) {
        self.children = 0;
    }

    pub(super) fn is_over(&self, now: u64) -> bool {
        self.end.is_some_and(|end| now >= end)
    }
}

impl Session<'_> {
    /// Does what is due. Changing what is monitored would spoil a sampled round, so that waits for the
    /// `boundary` between two; exact looks and the kernel do not mind.
    pub(super) fn chores(
        &mut self,
        boundary: bool,
        events: &mut Events,
        command: Option<&mut Command>,
        console: &mut Console,
    ) -> Result<(), Failure> {
        self.trace.say_words(console);
        let now = monotonic_ns();
        if boundary && self.meter.running_ns(now).is_some_and(|ns| ns >= BUDGET_NS) {
            self.judge_budget(now, console)?;
        }
        let between = boundary || !matches!(self.mode, Mode::Sampled(_));
        self.sample_proportional(now, console)?;
        if self.is_anything_due(now, between, console) {
            let (before, attached) = (self.cpu.used(), self.attachments);
            let told = self.meter.one_off_so_far();
            let done = self.due_chores(now, between, events, command, console);
            let told = self.meter.one_off_so_far().saturating_sub(told);
            let spent = self.cpu.used().saturating_sub(before).saturating_sub(told);
            if self.attachments == attached {
                self.meter.background(spent);
            } else {
                self.meter.one_off(spent);
            }
            done?;
        }
        Ok(())
    }

    fn is_anything_due(&self, now: u64, between: bool, console: &Console) -> bool {
        let due = &self.due;
        now >= due.memory
            || (console.is_live() && now >= due.status)
            || (between
                && (!self.troubles.is_empty()
                    || (self.seeks_newcomers() && now >= due.children)
                    || self.targets.iter().any(|target| now >= target.refresh_at_ns)))
    }

    /// When the next chore is due, for those who need not be asked.
    pub(super) fn next_chore_ns(&self, console: &Console) -> u64 {
        let status = if console.is_live() { self.due.status } else { u64::MAX };
        let children = if self.seeks_newcomers() { self.due.children } else { u64::MAX };
        let refresh = self.targets.iter().map(|target| target.refresh_at_ns).min();
        let proportional = self.proportional.as_ref().map_or(u64::MAX, Proportional::due_ns);
        let due = self.due.memory.min(status).min(children).min(proportional);
        due.min(refresh.unwrap_or(u64::MAX))
    }

    fn due_chores(
        &mut self,
        now: u64,
        between: bool,
        events: &mut Events,
        mut command: Option<&mut Command>,
        console: &mut Console,
    ) -> Result<(), Failure> {
        if now >= self.due.memory {
            let before = own();
            self.sample_memory()?;
            self.warn_of_kdamond(now, console)?;
            let spent = own().saturating_sub(before);
            let pause = spent.mul_f64(MEMORY_COST / self.budget.percent().clamp(0.01, 100.0));
            let pause = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
            self.due.memory = now.saturating_add(pause.max(series::PERIOD_NS));
            self.tell_kernel_news(console)?;
            self.tell_acting_news(console);
        }
        if between {
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
        self.sample_kernel()?;
        let news = self.acting.as_mut().map(Acting::news).unwrap_or_default();
        news.iter().try_for_each(|record| self.trace.record(record))?;
        let machine = [
            series::pressure(self.proc).map(Record::Pressure),
            series::system_memory(self.proc).map(Record::SystemMemory),
        ];
        machine.iter().flatten().try_for_each(|sample| self.trace.record(sample))
    }

    /// What watching has cost the targets since the last call.
    pub(super) fn collect_toll(&mut self) -> Duration {
        let missed = &mut self.missed;
        self.targets.iter_mut().map(|target| missed.take(target.id, target.watch.toll())).sum()
    }

    /// Records what could not be observed, as far as that is due, or `all` of it.
    pub(super) fn record_missed(&mut self, all: bool) -> Result<(), Failure> {
        for lost in self.missed.due(monotonic_ns(), all) {
            self.trace.record(&Record::Lost(lost))?;
        }
        Ok(())
    }

    fn judge_budget(&mut self, now: u64, console: &mut Console) -> Result<(), Failure> {
        let target = self.collect_toll();
        self.record_missed(false)?;
        self.target_cpu += target;
        let spent = self.meter.close(now, self.cpu.used(), target);
        self.budget.observe(&spent);
        if is_due(&mut self.due.cost, now, COST_NS) {
            let elapsed = Duration::from_nanos(now.saturating_sub(self.started_ns));
            let here = self.cpu.all().saturating_sub(self.cpu_at_start);
            console.detail(&show_costs(elapsed, here, self.target_cpu));
        }
        match self.budget.judge() {
            Some(change) => self.change_setting(change, console),
            None => Ok(()),
        }
    }

    /// Ends the running aggregation and goes on with another setting.
    fn change_setting(&mut self, change: Change, console: &mut Console) -> Result<(), Failure> {
        let reason = self.budget.explain(&change, self.plan);
        self.aggregate()?;
        self.change_attrs(change.setting.attrs(self.plan), reason, console)?;
        self.budget.restart(change.setting);
        self.warn(change.setting, console)
    }

    /// Records what the recording begins with and why; says it where that is less than was asked for.
    pub(super) fn explain_beginning(
        &mut self,
        setting: Setting,
        console: &mut Console,
    ) -> Result<(), Failure> {
        if !self.budget.is_limited() {
            return Ok(());
        }
        let text = self.budget.explain_beginning(setting, self.plan);
        let short = self.budget.explain_shortly(setting, self.plan);
        console.say_or(short.as_slice(), &text);
        self.trace.record(&Record::Note(Note { time_ns: monotonic_ns(), text }))?;
        self.warn(setting, console)
    }

    /// Says once what a budget that leaves next to nothing leaves, and what a larger one would.
    fn warn(&mut self, setting: Setting, console: &mut Console) -> Result<(), Failure> {
        let Some(text) = self.budget.warn(setting).filter(|_| !self.warned) else {
            return Ok(());
        };
        self.warned = true;
        console.say(&text);
        self.trace.record(&Record::Note(Note { time_ns: monotonic_ns(), text }))
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
        let share = self.budget.share();
        let figures = Figures {
            elapsed: Duration::from_nanos(now.saturating_sub(self.started_ns)),
            snapshots: self.trace.snapshots(),
            regions: self.mode.nr_regions(),
            working_set: self.working_set,
            written: self.trace.bytes(),
            cpu_percent: share.map(|share| share.recorder * 100.0),
            target_percent: share.map(|share| share.target * 100.0),
            lost: self.trace.lost(),
        };
        // The last column stays empty: some terminals wrap when it is filled.
        let width = stderr_columns().saturating_sub(1);
        render(&figures, width, &mut self.line);
        console.status(&self.line);
    }
}
