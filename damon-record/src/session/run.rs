//! The loop: prepare, sleep, check, aggregate.

use super::acting::Acting;
use super::budget::{Budget, Meter, OwnCpu};
use super::chores::Due;
use super::console::Console;
use super::events::{Events, Wake};
use super::lifecycle;
use super::marks::Marks;
use super::mode::Mode;
use super::newcomers::Newcomers;
use super::proportional::Proportional;
use super::toll::Missed;
use super::trace::Trace;
use super::tracked::Tracked;
use crate::backend::kind::Kind;
use crate::backend::{Touched, WatchError};
use crate::exit::Failure;
use crate::host::monotonic_ns;
use crate::monitor::AddressRange;
use crate::plan::Plan;
use crate::proc::ProcRoot;
use crate::target::Command;
use crate::units::show_duration;
use damon_format::{Attrs, Finished, IntervalsChanged, Note, Record, TargetId};
use nix::sys::signal::Signal;
use std::time::Duration;

/// The longest sleep without a look at anything else.
const TICK_NS: u64 = 100_000_000;
/// A look that takes more of the sampling interval than one part in this many is worth a note.
const STRETCH_PARTS: u64 = 20;

/// Why a recording ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All targets have exited.
    TargetsGone,
    /// The time is up.
    Duration,
    /// A signal asked to.
    Signal(Signal),
    /// Who looks for us has stopped: one sentence. What was recorded until then is good.
    Stopped(String),
}

/// A running recording.
pub(super) struct Session<'a> {
    pub(super) plan: &'a Plan,
    pub(super) proc: &'a ProcRoot,
    pub(super) kind: &'static Kind,
    pub(super) attrs: Attrs,
    pub(super) mode: Mode,
    pub(super) trace: Trace,
    /// Ascending by id.
    pub(super) targets: Vec<Tracked>,
    pub(super) next_id: u32,
    pub(super) budget: Budget,
    pub(super) cpu: OwnCpu,
    pub(super) meter: Meter,
    pub(super) missed: Missed,
    /// What watching has cost the targets, estimated.
    pub(super) target_cpu: Duration,
    /// How often a watch was attached; that is expensive, and not done again.
    pub(super) attachments: u64,
    /// The budget was called too small.
    pub(super) warned: bool,
    pub(super) due: Due,
    /// Memory in proportion, if that was asked for.
    pub(super) proportional: Option<Proportional>,
    pub(super) started_ns: u64,
    pub(super) working_set: u64,
    /// The ranges asked for; none when everything mapped is monitored.
    pub(super) limits: Vec<AddressRange>,
    /// Failures of watches, to be dealt with between rounds.
    pub(super) troubles: Vec<(TargetId, WatchError)>,
    /// Who may become a target.
    pub(super) newcomers: Newcomers<'a>,
    pub(super) line: String,
    /// Marks by the user, if there may be any.
    pub(super) marks: Option<Marks>,
    /// Schemes that we apply.
    pub(super) acting: Option<Acting>,
    /// Why the recording cannot go on, once that is so.
    pub(super) stopped: Option<String>,
    aggregation_start_ns: u64,
    next_look_ns: u64,
    pub(super) cpu_at_start: Duration,
    stretch_noted: bool,
    touched: Vec<Touched>,
    /// Whose snapshots the last aggregation has stored.
    stored: Vec<TargetId>,
    /// Targets that ended before the first snapshot of them.
    pub(super) unseen: u64,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        proc: &'a ProcRoot,
        kind: &'static Kind,
        attrs: Attrs,
        mode: Mode,
        trace: Trace,
        budget: Budget,
    ) -> Self {
        let now = monotonic_ns();
        let cpu = OwnCpu::default();
        Self {
            plan,
            proc,
            kind,
            attrs,
            mode,
            trace,
            targets: Vec::new(),
            next_id: 0,
            budget,
            meter: Meter::new(now, cpu.used()),
            missed: Missed::default(),
            target_cpu: Duration::ZERO,
            attachments: 0,
            warned: false,
            due: Due::new(now, plan.duration),
            proportional: None,
            started_ns: now,
            working_set: 0,
            limits: lifecycle::limits(plan),
            troubles: Vec::new(),
            newcomers: Newcomers::default(),
            line: String::new(),
            marks: None,
            acting: None,
            stopped: None,
            aggregation_start_ns: now,
            next_look_ns: now,
            cpu_at_start: cpu.all(),
            cpu,
            stretch_noted: false,
            touched: Vec::new(),
            stored: Vec::new(),
            unseen: 0,
        }
    }

    pub(super) fn sample_ns(&self) -> u64 {
        self.attrs.sample_us.saturating_mul(1000)
    }

    /// Records until the end, and finishes the trace.
    pub(super) fn run(
        mut self,
        events: &mut Events,
        mut command: Option<&mut Command>,
        console: &mut Console,
    ) -> Result<End, Failure> {
        let now = monotonic_ns();
        self.aggregation_start_ns = now;
        self.next_look_ns = now.saturating_add(self.sample_ns());
        // What it took to get here is not spent again.
        let _of_arming = self.collect_toll();
        self.meter = Meter::new(now, self.cpu.used());
        self.take_marks(events, console)?;
        let end = loop {
            if self.is_over() {
                break End::TargetsGone;
            }
            let deadline = self.arm(console);
            if let Some(end) = self.sleep(deadline, events, command.as_deref_mut(), console)? {
                break end;
            }
            self.check(console)?;
            self.chores(true, events, command.as_deref_mut(), console)?;
            if let Some(why) = self.stopped.take() {
                break End::Stopped(why);
            }
        };
        // Whoever has set one just before the end sees it in the recording.
        self.take_last_marks(console)?;
        // Whatever is still being read is given up.
        self.take_proportional(console)?;
        // A recording shorter than one sampling interval has at least this look.
        if let Mode::Exact(exact) = &self.mode
            && exact.is_fresh()
            && end != End::TargetsGone
        {
            self.check(console)?;
        }
        // Whoever ends a recording wants nothing more to be done to the target.
        self.acting = self.acting.take().map(Acting::retired);
        self.aggregate()?;
        self.tell_acting_news(console);
        self.finish(end, console)
    }

    /// Begins a round; returns when it is over. The sampling interval begins when everything is armed,
    /// so that each page is under observation for a whole one.
    fn arm(&mut self, console: &Console) -> u64 {
        match &mut self.mode {
            Mode::Sampled(engine) => {
                engine.begin_round();
                self.meter.round(engine.nr_regions());
                for (id, points) in engine.points() {
                    let found = self.targets.binary_search_by_key(&id, |t| t.id);
                    if let Some(target) = found.ok().and_then(|i| self.targets.get_mut(i))
                        && !target.dormant
                        && let Err(error) = target.watch.prepare(points)
                    {
                        self.troubles.push((id, error));
                    }
                }
                monotonic_ns().saturating_add(self.sample_ns())
            }
            Mode::Exact(_) => self.next_look_ns,
            Mode::Kernel(kernel) => kernel.next_drain_ns(monotonic_ns(), console.is_live()),
        }
    }

    /// Sleeps until `deadline`, and does meanwhile what is due.
    fn sleep(
        &mut self,
        deadline: u64,
        events: &mut Events,
        mut command: Option<&mut Command>,
        console: &mut Console,
    ) -> Result<Option<End>, Failure> {
        loop {
            let now = monotonic_ns();
            if self.due.is_over(now) {
                return Ok(Some(End::Duration));
            }
            if now >= deadline {
                return Ok(None);
            }
            if now >= self.marks_due_ns() {
                self.take_marks(events, console)?;
            }
            let (until, rings) = match &self.mode {
                Mode::Kernel(kernel) => (self.next_chore_ns(console), kernel.fds()),
                _ => (now.saturating_add(TICK_NS), Vec::new()),
            };
            let until = until.min(deadline).min(self.due.end_ns()).min(self.marks_due_ns());
            match events.wait_until(until, &rings) {
                Wake::Marks => self.take_marks(events, console)?,
                Wake::Fetch { hung_up } => {
                    if let (true, Mode::Kernel(kernel)) = (hung_up, &mut self.mode) {
                        kernel.hung_up();
                    }
                    return Ok(None);
                }
                Wake::Deadline => self.chores(false, events, command.as_deref_mut(), console)?,
                Wake::Keep => {
                    self.trace.keep()?;
                    self.trace.say_words(console);
                }
                Wake::Signal(signal) => {
                    // The next one need not wait for the file to be finished: it is valid as it is.
                    Events::let_signals_kill();
                    return Ok(Some(End::Signal(signal)));
                }
                Wake::Exited(id) => {
                    self.exited(id, events, command.as_deref_mut(), console)?;
                    if self.is_over() {
                        return Ok(Some(End::TargetsGone));
                    }
                }
            }
        }
    }

    fn check(&mut self, console: &mut Console) -> Result<(), Failure> {
        let due = match &mut self.mode {
            Mode::Sampled(engine) => {
                for target in self.targets.iter_mut().filter(|t| !t.dormant) {
                    // What was not prepared has failed already; it sits this round out.
                    if self.troubles.iter().any(|(id, _)| *id == target.id) {
                        continue;
                    }
                    let watch = &mut target.watch;
                    if let Err(error) =
                        engine.record(target.id, |points, accessed| watch.check(points, accessed))
                    {
                        self.troubles.push((target.id, error));
                    }
                }
                engine.end_round().aggregation
            }
            Mode::Exact(exact) => {
                self.meter.round(0);
                let begin = monotonic_ns();
                for target in self.targets.iter_mut().filter(|t| !t.dormant) {
                    self.touched.clear();
                    match target.watch.look(&mut self.touched) {
                        Ok(()) => exact.record(target.id, &self.touched),
                        Err(error) => self.troubles.push((target.id, error)),
                    }
                }
                let due = exact.end_round();
                self.looked(begin, console)?;
                due
            }
            // Fetching the events is all there is to do.
            Mode::Kernel(_) => true,
        };
        if due {
            self.aggregate()?;
        }
        Ok(())
    }

    /// Plans the next look, and says once when looking takes a noticeable part of the interval.
    fn looked(&mut self, begin: u64, console: &mut Console) -> Result<(), Failure> {
        let (now, sample) = (monotonic_ns(), self.sample_ns());
        self.next_look_ns = self.next_look_ns.saturating_add(sample);
        if self.next_look_ns <= now {
            self.next_look_ns = now.saturating_add(sample);
        }
        let cost = now.saturating_sub(begin);
        if cost.saturating_mul(STRETCH_PARTS) > sample && !self.stretch_noted {
            self.stretch_noted = true;
            let text = format!(
                "one look takes {}, {} % of the sampling interval of {}: accesses during a look may be \
                 counted in either of two samples or missed",
                show_duration(Duration::from_micros(cost.div_ceil(100_000) * 100)),
                cost.saturating_mul(100) / sample.max(1),
                show_duration(Duration::from_micros(self.attrs.sample_us)),
            );
            console.detail(&text);
            self.trace.record(&Record::Note(Note { time_ns: now, text }))?;
        }
        Ok(())
    }

    /// Stores what the running aggregation has counted, and begins the next one.
    pub(super) fn aggregate(&mut self) -> Result<(), Failure> {
        let (start, end) = (self.aggregation_start_ns, monotonic_ns());
        self.aggregation_start_ns = end;
        if let Mode::Kernel(kernel) = &mut self.mode {
            if let Err(why) = kernel.drain(&mut self.trace)? {
                self.stopped.get_or_insert(why);
            }
            self.attrs = kernel.attrs();
            self.working_set = kernel.working_set();
            return Ok(());
        }
        let (mut working_set, mut regions) = (0_u64, 0);
        let (trace, targets, acting) = (&mut self.trace, &self.targets, &mut self.acting);
        let stored = &mut self.stored;
        stored.clear();
        self.mode.aggregate(
            |id| counted_since(targets, id, start),
            end,
            |snapshot| {
                working_set += snapshot
                    .regions
                    .iter()
                    .filter(|region| region.nr_accesses > 0)
                    .map(damon_format::Region::size)
                    .sum::<u64>();
                regions += snapshot.regions.len();
                if let Some(acting) = acting {
                    acting.see(snapshot);
                }
                stored.push(snapshot.target);
                trace.snapshot(snapshot)
            },
        )?;
        self.stored.sort_unstable();
        for target in &mut self.targets {
            target.seen |= self.stored.binary_search(&target.id).is_ok();
        }
        self.act()?;
        self.working_set = working_set;
        self.budget.aggregated(regions);
        Ok(())
    }

    /// Stores what the running aggregation has counted of a target that leaves, and forgets it; the
    /// other targets' aggregation goes on.
    pub(super) fn retire(&mut self, id: TargetId) -> Result<(), Failure> {
        if self.targets.len() == 1 || matches!(self.mode, Mode::Kernel(_)) {
            self.aggregate()?;
        }
        if let Some(target) = self.targets.iter_mut().find(|t| t.id == id) {
            self.target_cpu += self.missed.take(id, target.watch.toll());
        }
        if let Some(acting) = &mut self.acting {
            acting.forget(id);
        }
        let start = counted_since(&self.targets, id, self.aggregation_start_ns);
        match self.mode.retire(id, start, monotonic_ns()) {
            Some(snapshot) => {
                if let Some(target) = self.targets.iter_mut().find(|t| t.id == id) {
                    target.seen = true;
                }
                self.trace.snapshot(&snapshot)
            }
            None => Ok(()),
        }
    }

    pub(super) fn change_attrs(
        &mut self,
        attrs: Attrs,
        reason: String,
        console: &mut Console,
    ) -> Result<(), Failure> {
        if self.mode.change_attrs(attrs).is_err() {
            return Ok(());
        }
        self.attrs = attrs;
        self.stretch_noted = false;
        let now = monotonic_ns();
        self.next_look_ns = now.saturating_add(self.sample_ns());
        console.say(&reason);
        self.trace.record(&Record::IntervalsChanged(IntervalsChanged {
            time_ns: now,
            attrs,
            reason,
        }))
    }

    fn finish(mut self, end: End, console: &mut Console) -> Result<End, Failure> {
        let target = self.collect_toll();
        self.target_cpu += target;
        self.record_missed(true)?;
        self.release_kernel(console)?;
        self.tell_brief_lives(console)?;
        let cpu = self.cpu.all().saturating_sub(self.cpu_at_start);
        let now = monotonic_ns();
        let reason = match &end {
            End::TargetsGone => "every target has exited".to_owned(),
            End::Duration => "the time asked for is over".to_owned(),
            End::Signal(signal) => format!("ended by {}", signal.as_str()),
            End::Stopped(why) => why.clone(),
        };
        self.trace.record(&Record::Finished(Finished {
            time_ns: now,
            reason,
            recorder_cpu_us: u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX),
        }))?;
        let summary = self.summary(now, cpu);
        self.trace.say_words(console);
        let mut outcome = self.trace.finish()?;
        outcome.say_words(console);
        summary.say(&outcome, console);
        Ok(end)
    }
}

/// When the aggregation that began at `start_ns` began for `id`, which may have come in the middle of it.
fn counted_since(targets: &[Tracked], id: TargetId, start_ns: u64) -> u64 {
    targets.iter().find(|t| t.id == id).map_or(start_ns, |t| t.since_ns.max(start_ns))
}
