//! From the plan to a running session: find the first target, choose the backend, create the recording.

use super::acting::Acting;
use super::budget::{Beginning, Company, Setting, foresee, unlimited};
use super::chores::Due;
use super::console::Console;
use super::events::{Events, Wake};
use super::kernel::{Kernel, Machine, Orders, physical_memory};
use super::lifecycle;
use super::marks::Marks;
use super::mode::Mode;
use super::newcomers::Newcomers;
use super::place::Place;
use super::run::{End, Session};
use super::trace::Trace;
use super::tracked::Tracked;
use crate::backend::choose::{BUILT, Choice, ChooseError, Refused, choose};
use crate::backend::kind::{AttachError, Kind, Looks};
use crate::backend::{Watch, WatchError, attach, damon};
use crate::exit::Failure;
use crate::host::{Host, clock_anchor, monotonic_ns};
use crate::plan::{Plan, Subject};
use crate::proc::{Identity, ProcRoot, page_size};
use crate::target::{Command, Resolved, Roster, resolve};
use damon_format::damos::Schemes;
use damon_format::{Attrs, Backend, RecordingInfo, TargetId};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use std::os::fd::AsFd as _;
use std::time::Duration;

/// Wrappers execute one program after the other before they settle: a first target that does so while it
/// is attached to is attached to anew this often …
const EXECS: u32 = 200;
/// … after this time.
const EXEC_PAUSE: Duration = Duration::from_millis(5);
/// While nobody is there to be recorded, at least so long between two searches …
const WAIT_NS: u64 = 100_000_000;
/// … and this many times as long as a search takes.
const WAIT_COST: u64 = 200;
/// … but never longer, however slow the machine was at that moment.
const WAIT_MOST_NS: u64 = 2_000_000_000;

/// What is known before the first target is.
pub(super) struct Start<'a> {
    pub(super) plan: &'a Plan,
    pub(super) command_line: Vec<String>,
    pub(super) proc: &'a ProcRoot,
    pub(super) place: Place,
    /// To be applied while recording.
    pub(super) schemes: Option<Schemes>,
    /// Where marks come from.
    pub(super) marks: Option<Marks>,
}

/// The first target under observation, and what it decided.
struct First {
    kind: &'static Kind,
    info: RecordingInfo,
    /// Of the choice of the backend.
    news: Vec<String>,
    beginning: Beginning,
    mode: Mode,
    /// `None` when the mode has begun by itself.
    target: Option<Tracked>,
}

impl<'a> Start<'a> {
    /// Records `command`, or those whom `roster` wants.
    pub(super) fn run(
        mut self,
        roster: Option<Roster<'a>>,
        events: &mut Events,
        mut command: Option<&mut Command>,
        console: &mut Console,
    ) -> Result<End, Failure> {
        let first = match (&self.plan.subject, &command, &roster) {
            (_, Some(command), _) => self.first_by_number(command.pid())?,
            (_, None, Some(roster)) => {
                allow_many_files();
                self.first_of(roster, events, console)?
            }
            (Subject::Physical, ..) => self.first_physical()?,
            (Subject::Kdamond(which), ..) => self.first_of_somebody(*which)?,
            _ => return Err(Failure::Usage("nothing to record".into())),
        };
        let First { kind, info, news, beginning, mode, target } = first;
        let first_acting = self.acting(kind, &info.attrs, target.as_ref())?;
        let Beginning { budget, setting, .. } = beginning;
        let reason = &info.backend.reason;
        // Nothing that can go wrong with the target can cost an older recording any more.
        let trace = Trace::create(&self.place, &info)?;
        let mut session = Session::new(self.plan, self.proc, kind, info.attrs, mode, trace, budget);
        session.newcomers = Newcomers::of(roster);
        session.acting = first_acting;
        session.marks = self.marks.take();
        session.begin(&news, reason, console)?;
        // Those that were set before anybody was there come first.
        session.take_marks(events, console)?;
        session.explain_beginning(setting, console)?;
        session.begin_proportional(console)?;
        session.listen_for_children(console)?;
        if let Some(target) = target {
            let pid = target.identity.pid;
            session
                .adopt(events, target, None)?
                .map_err(|error| Failure::CannotObserve(format!("process {pid}: {error}")))?;
        }
        session.begin_kernel(events, console)?;
        if let Some(schemes) = &self.schemes {
            session.record_schemes(schemes, console)?;
        }
        if let Some(command) = command.as_mut() {
            command.resume();
        }
        session.welcome(events, console)?;
        session.run(events, command, console)
    }

    /// The first of those who are wanted: when that was by number the first of these, otherwise the first
    /// that can be recorded.
    fn first_of(
        &mut self,
        roster: &Roster<'_>,
        events: &mut Events,
        console: &mut Console,
    ) -> Result<First, Failure> {
        for Resolved { identity, comm, thread, .. } in roster.named() {
            if let Some(thread) = thread {
                let pid = identity.pid;
                console.say(&format!(
                    "{thread} is a thread of process {pid} ({comm}): that process is recorded"
                ));
            }
        }
        if let Some(found) = roster.named().first() {
            return self.first(found);
        }
        let mut said = None;
        // Nobody is waited for longer than --duration; what is recorded then lasts as long anew.
        let due = Due::new(monotonic_ns(), self.plan.duration);
        loop {
            let begin = monotonic_ns();
            let mut why = None;
            for candidate in roster.search(|_| false) {
                match self.first_by_number(candidate.pid) {
                    Err(Failure::CannotObserve(reason)) => why = Some(reason),
                    outcome => return outcome,
                }
            }
            let who = roster.describe();
            let text = match why {
                Some(why) => format!("no process {who} can be recorded: {why}"),
                None => format!("there is no process {who}"),
            };
            if !self.plan.wait {
                return Err(Failure::CannotObserve(format!("{text}; --wait waits for the first")));
            }
            if said.as_ref() != Some(&text) {
                console.say(&format!("{text}: waiting; Ctrl-C ends that"));
                said = Some(text);
            }
            let now = monotonic_ns();
            if due.is_over(now) {
                return Err(Failure::CannotObserve(format!(
                    "the time asked for is over, and there was no process {who} to record: nothing was recorded"
                )));
            }
            let next = now.saturating_add(pause_after(now.saturating_sub(begin)));
            if let Some(signal) = self.wait_until(next.min(due.end_ns()), events, console) {
                return Err(Failure::CannotObserve(format!(
                    "ended by {} while waiting for a process {who}: nothing was recorded",
                    signal.as_str()
                )));
            }
        }
    }

    /// Waits, and reads marks meanwhile: they have the time at which they are set, not that at which the first process
    /// comes. Returns early with a signal that asks to end.
    fn wait_until(
        &mut self,
        until_ns: u64,
        events: &mut Events,
        console: &mut Console,
    ) -> Option<Signal> {
        loop {
            if let Some(marks) = &mut self.marks {
                marks.read_early(events, console);
            }
            let due_ns = self.marks.as_ref().map_or(u64::MAX, Marks::due_ns);
            if let Wake::Signal(signal) = events.wait_until(until_ns.min(due_ns), &[]) {
                return Some(signal);
            }
            if monotonic_ns() >= until_ns {
                return None;
            }
        }
    }

    fn first_by_number(&self, pid: u32) -> Result<First, Failure> {
        let found =
            resolve(self.proc, pid).map_err(|error| Failure::CannotObserve(error.to_string()))?;
        self.first(&found)
    }

    /// Takes up `found` with the best backend. That the kernel's DAMON cannot be had for it may show only when it
    /// is set up; then the next best serves.
    fn first(&self, found: &Resolved) -> Result<First, Failure> {
        let mut refused = Vec::new();
        loop {
            let choice = self.choose(found.identity, &refused)?;
            let kind = choice.kind;
            match self.first_with(found, choice) {
                Err(Failure::CannotObserve(why))
                    if kind.looks == Looks::Kernel
                        && self.plan.backend.is_none()
                        && self.proc.is_alive(found.identity) =>
                {
                    refused.push((kind.name, why));
                }
                outcome => return outcome,
            }
        }
    }

    fn first_with(&self, found: &Resolved, choice: Choice) -> Result<First, Failure> {
        let Choice { kind, reason, news, mut watch } = choice;
        let target = (self.proc, found.identity.pid);
        let beginning = foresee(self.plan, kind, watch.as_mut(), target, self.company());
        let info = self.info(kind, reason, &beginning);
        let seed = self.plan.seed.unwrap_or(info.clock.realtime_ns);
        let mut mode = if kind.looks == Looks::Kernel {
            let orders = self.orders(info.attrs)?;
            let fixed = !self.plan.ranges.is_empty();
            Mode::Kernel(Box::new(Kernel::of_processes(Machine::default(), &orders, fixed)))
        } else if info.backend.exact {
            Mode::exact(info.attrs, kind.granularity)
        } else {
            Mode::sampled(info.attrs, seed).map_err(|error| Failure::Usage(error.to_string()))?
        };
        let target = Some(self.attach(found, kind, watch, &mut mode)?);
        // Whoever has asked for this backend gets the first one.
        if let Mode::Kernel(kernel) = &mode
            && let Some(why) = kernel.one_only()
            && self.plan.backend.is_none()
            && self.wants_several()
        {
            return Err(Failure::CannotObserve(why.to_owned()));
        }
        Ok(First { kind, info, news, beginning, mode, target })
    }

    /// Physical memory, by a kdamond of our own.
    fn first_physical(&self) -> Result<First, Failure> {
        let kind = self.kernel_kind(&damon::KIND)?;
        let beginning = unlimited(self.plan, self.asked(kind));
        let info = self.info(kind, reason(self.plan.backend.as_deref()), &beginning);
        let orders = self.orders(info.attrs)?;
        let kernel = physical_memory(self.proc, lifecycle::limits(self.plan))
            .and_then(|ranges| Kernel::of_physical(Machine::default(), &orders, ranges))
            .map_err(|why| Failure::CannotObserve(format!("physical memory: {why}")))?;
        let mode = Mode::Kernel(Box::new(kernel));
        Ok(First { kind, info, news: Vec::new(), beginning, mode, target: None })
    }

    /// Whatever somebody else's kdamond monitors.
    fn first_of_somebody(&self, which: Option<u32>) -> Result<First, Failure> {
        let kind = self.kernel_kind(&attach::KIND)?;
        let kernel = Kernel::of_somebody(&Machine::default(), which).map_err(|why| {
            Failure::CannotObserve(format!("the backend attach cannot be used: {why}"))
        })?;
        let beginning = unlimited(self.plan, self.asked(kind));
        let mut info = self.info(kind, "asked for".into(), &beginning);
        info.attrs = kernel.attrs();
        let mode = Mode::Kernel(Box::new(kernel));
        Ok(First { kind, info, news: Vec::new(), beginning, mode, target: None })
    }

    /// One of the kinds that the kernel looks for, if it works here.
    fn kernel_kind(&self, kind: &'static Kind) -> Result<&'static Kind, Failure> {
        (kind.self_test)(self.proc).map_err(|refusal| {
            Failure::CannotObserve(format!("the backend {} cannot be used: {refusal}", kind.name))
        })?;
        Ok(kind)
    }

    fn asked(&self, kind: &Kind) -> Setting {
        let intervals = self.plan.intervals(kind.intervals);
        Setting { intervals, max_regions: self.plan.max_regions }
    }

    /// Schemes that are ours to apply, and may be applied to the first target.
    fn acting(
        &self,
        kind: &Kind,
        attrs: &Attrs,
        target: Option<&Tracked>,
    ) -> Result<Option<Acting>, Failure> {
        let Some(schemes) = self.schemes.as_ref().filter(|_| kind.looks != Looks::Kernel) else {
            return Ok(None);
        };
        let acting = Acting::new(schemes, attrs, self.proc)?;
        if let Some(target) = target {
            acting.permitted(target.pidfd.as_fd()).map_err(|why| {
                Failure::CannotObserve(format!("schemes cannot be applied: {why}"))
            })?;
        }
        Ok(Some(acting))
    }

    /// What a kdamond of our own is to do.
    fn orders(&self, attrs: Attrs) -> Result<Orders, Failure> {
        Orders::new(attrs, self.plan.goal, self.schemes.as_ref())
    }

    /// Whether the first target is on its own, for the budget.
    fn company(&self) -> Company {
        match &self.plan.subject {
            Subject::Command(_) => Company::Waiting,
            Subject::Running(_) if !self.wants_several() => Company::Alone,
            Subject::Running(_) | Subject::Physical | Subject::Kdamond(_) => Company::Growing,
        }
    }

    /// Whether there may be more targets than the first.
    fn wants_several(&self) -> bool {
        let several = match &self.plan.subject {
            Subject::Running(wanted) => {
                wanted.pids.len() != 1 || !wanted.cgroups.is_empty() || !wanted.comms.is_empty()
            }
            Subject::Command(_) | Subject::Physical | Subject::Kdamond(_) => false,
        };
        several || self.plan.children
    }

    /// Takes up the target that `watch` is attached to; with a new one when it executes another program.
    fn attach(
        &self,
        found: &Resolved,
        kind: &'static Kind,
        watch: Box<dyn Watch>,
        mode: &mut Mode,
    ) -> Result<Tracked, Failure> {
        let pid = found.identity.pid;
        let gone = || {
            Failure::CannotObserve(format!(
                "process {pid} ({}) exited before it could be watched",
                found.comm
            ))
        };
        let limits = lifecycle::limits(self.plan);
        let mut watch = Some(watch);
        let mut attempts = 0;
        loop {
            let attached = Tracked::attach(self.proc, kind, pid, TargetId(0), watch.take());
            let armed = match attached {
                Ok(target) if target.identity != found.identity => return Err(gone()),
                Ok(mut target) => target.arm(mode, &limits).map(|()| target),
                Err(AttachError::Gone) => Err(WatchError::Gone),
                Err(AttachError::Refused(why)) => return Err(Failure::CannotObserve(why)),
            };
            match armed {
                Ok(target) => return Ok(target),
                Err(WatchError::Gone | WatchError::Replaced)
                    if attempts < EXECS && self.proc.is_alive(found.identity) =>
                {
                    attempts += 1;
                    std::thread::sleep(EXEC_PAUSE);
                }
                Err(WatchError::Gone) => return Err(gone()),
                Err(error) => {
                    return Err(Failure::CannotObserve(format!("process {pid}: {error}")));
                }
            }
        }
    }

    /// The best backend; one that saw the target's address space vanish is asked again while it lives.
    fn choose(&self, identity: Identity, refused: &[Refused]) -> Result<Choice, ChooseError> {
        let mut attempts = 0;
        let wanted = self.plan.backend.as_deref();
        loop {
            match choose(&BUILT, wanted, self.proc, identity.pid, refused.to_vec()) {
                Err(ChooseError::Gone { .. })
                    if attempts < EXECS && self.proc.is_alive(identity) =>
                {
                    attempts += 1;
                    std::thread::sleep(EXEC_PAUSE);
                }
                answer => return answer,
            }
        }
    }

    fn info(&self, kind: &Kind, reason: String, beginning: &Beginning) -> RecordingInfo {
        let host = Host::read();
        RecordingInfo {
            tool: "damon-record".into(),
            tool_version: env!("CARGO_PKG_VERSION").into(),
            host: host.name,
            kernel: host.kernel,
            arch: host.arch,
            page_size: u32::try_from(page_size()).unwrap_or(4096),
            clock: clock_anchor(),
            command_line: self.command_line.clone(),
            backend: Backend {
                name: kind.name.into(),
                access: kind.access,
                granularity: kind.granularity,
                exact: beginning.exact,
                reason,
            },
            attrs: beginning.setting.attrs(self.plan),
        }
    }
}

/// Between two searches while nobody is there, nanoseconds; `cost` is what the last one took.
fn pause_after(cost: u64) -> u64 {
    cost.saturating_mul(WAIT_COST).clamp(WAIT_NS, WAIT_MOST_NS)
}

fn reason(asked_for: Option<&str>) -> String {
    match asked_for {
        Some(_) => "asked for".into(),
        None => "the only one that sees physical memory".into(),
    }
}

/// Each target holds several files open: the recorder allows itself as many as it may.
fn allow_many_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _as_many_as_before = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_search_does_not_make_us_sleep_through_a_whole_process() {
        assert_eq!(pause_after(0), WAIT_NS);
        assert_eq!(pause_after(WAIT_NS / 100), 2 * WAIT_NS);
        assert_eq!(pause_after(3_000_000_000), WAIT_MOST_NS);
    }
}
