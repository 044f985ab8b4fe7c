//! A recording from beginning to end: arm, run, drain, finish.

mod budget;
mod chores;
mod console;
mod events;
mod exact;
mod lifecycle;
mod mode;
mod output;
mod place;
mod run;
mod series;
mod status;
mod summary;
mod trace;
mod tracked;

pub use console::Console;
pub use output::Output;
pub use place::Place;
pub use status::{Figures, render as render_status};

use crate::backend::choose::{BUILT, Choice, ChooseError, check_name, choose};
use crate::backend::kind::{AttachError, Kind};
use crate::backend::{Watch, WatchError};
use crate::exit::{ExitCode, Failure};
use crate::host::{Host, clock_anchor};
use crate::plan::{Intervals, OutputPlan, Plan, Subject};
use crate::proc::{Identity, ProcRoot, page_size};
use crate::sys::signals::ignore_file_size_signal;
use crate::sys::spawn::Inherited;
use crate::target::{Command, Resolved, resolve};
use damon_format::{Backend, RecordingInfo, TargetId};
use events::Events;
use mode::Mode;
use nix::sys::signal::Signal;
use run::{End, Session};
use std::time::Duration;
use trace::Trace;
use tracked::Tracked;

impl From<ChooseError> for Failure {
    fn from(error: ChooseError) -> Self {
        match error {
            ChooseError::Unknown { .. } => Self::Usage(error.to_string()),
            _ => Self::CannotObserve(error.to_string()),
        }
    }
}

/// Carries out `plan`; what there is to say goes to `console`. `command_line` is recorded.
pub fn record(
    plan: Plan,
    command_line: Vec<String>,
    console: &mut Console,
) -> Result<ExitCode, Failure> {
    let mut plan = plan.validated(page_size()).map_err(Failure::Usage)?;
    check_name(plan.backend.as_deref())?;
    let place = Place::check(&plan.output)?;
    let file_size = ignore_file_size_signal()
        .map_err(|errno| Failure::Output(format!("cannot set a signal: {errno}")))?;
    let mut events = Events::new()?;
    let proc = ProcRoot::default();
    let mut command = match &mut plan.subject {
        Subject::Pid(_) => None,
        Subject::Command(words) => {
            let inherited = Inherited {
                mask: events.inherited_mask(),
                file_size,
                stdout_is_taken: plan.output == OutputPlan::Stdout,
            };
            Some(Command::start(std::mem::take(words), &inherited)?)
        }
    };
    if let Some(end) = command.as_mut().and_then(Command::try_wait) {
        console.error("the command ended before it executed its program: nothing was recorded");
        return Ok(end.exit_code());
    }
    let pid = match (&plan.subject, &command) {
        (Subject::Pid(pid), _) => *pid,
        (_, Some(command)) => command.pid(),
        (_, None) => return Err(Failure::Usage("nothing to record".into())),
    };
    let stage = Stage { plan: &plan, command_line, proc: &proc, place, pid };
    let ended = stage.run(&mut events, command.as_mut(), console);
    Events::let_signals_kill();
    conclude(ended, command, console)
}

/// Wrappers execute one program after the other before they settle: a first target that does so while it
/// is attached to is attached to anew this often …
const EXECS: u32 = 200;
/// … after this time.
const EXEC_PAUSE: Duration = Duration::from_millis(5);

/// What is known when the target exists.
struct Stage<'a> {
    plan: &'a Plan,
    command_line: Vec<String>,
    proc: &'a ProcRoot,
    place: Place,
    pid: u32,
}

impl Stage<'_> {
    fn run(
        self,
        events: &mut Events,
        mut command: Option<&mut Command>,
        console: &mut Console,
    ) -> Result<End, Failure> {
        let found = resolve(self.proc, self.pid)
            .map_err(|error| Failure::CannotObserve(error.to_string()))?;
        let choice = self.choose(found.identity)?;
        let kind = choice.kind;
        let intervals = self.plan.intervals(kind.intervals);
        let info = self.info(&choice, intervals);
        console.detail(&format!("backend {}: {}", kind.name, choice.reason));
        let seed = self.plan.seed.unwrap_or(info.clock.realtime_ns);
        let mut mode = if info.backend.exact {
            Mode::exact(info.attrs, kind.granularity)
        } else {
            Mode::sampled(info.attrs, seed).map_err(|error| Failure::Usage(error.to_string()))?
        };
        let first = self.first_target(&found, kind, choice.watch, &mut mode)?;
        // Nothing that can go wrong with the target can cost an older recording any more.
        let trace = Trace::create(&self.place, &info)?;
        let mut session = Session::new(self.plan, self.proc, kind, info.attrs, mode, trace);
        session.begin(&choice.reason, console)?;
        session
            .adopt(events, first, None)?
            .map_err(|error| Failure::CannotObserve(format!("process {}: {error}", self.pid)))?;
        if let Some(command) = command.as_mut() {
            command.resume();
        }
        session.run(events, command, console)
    }

    /// Takes up the target that `watch` is attached to.
    fn first_target(
        &self,
        found: &Resolved,
        kind: &'static Kind,
        watch: Box<dyn Watch>,
        mode: &mut Mode,
    ) -> Result<Tracked, Failure> {
        let pid = self.pid;
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
                Ok(tracked) if tracked.identity != found.identity => return Err(gone()),
                Ok(mut tracked) => tracked.arm(mode, &limits).map(|()| tracked),
                Err(AttachError::Gone) => Err(WatchError::Gone),
                Err(AttachError::Refused(why)) => {
                    return Err(Failure::CannotObserve(why));
                }
            };
            match armed {
                Ok(tracked) => return Ok(tracked),
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
    fn choose(&self, identity: Identity) -> Result<Choice, ChooseError> {
        let mut attempts = 0;
        loop {
            match choose(&BUILT, self.plan.backend.as_deref(), self.proc, self.pid) {
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

    fn info(&self, choice: &Choice, intervals: Intervals) -> RecordingInfo {
        let host = Host::read();
        let kind = choice.kind;
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
                exact: kind.is_exact_at(intervals.sample),
                reason: choice.reason.clone(),
            },
            attrs: self.plan.attrs(intervals),
        }
    }
}

/// The recording is over; what of the command?
fn conclude(
    ended: Result<End, Failure>,
    command: Option<Command>,
    console: &mut Console,
) -> Result<ExitCode, Failure> {
    console.clear();
    let Some(mut command) = command else {
        return ended.map(|_| ExitCode::Ok);
    };
    match ended {
        Err(failure) if command.has_begun() => {
            if command.try_wait().is_none() {
                console.error(&failure.to_string());
                console.say(&format!(
                    "{} goes on without being recorded; Ctrl-C or a signal ends the waiting for it",
                    command.name()
                ));
                let _its_status_does_not_count = command.wait();
                return Ok((&failure).into());
            }
            Err(failure)
        }
        Err(failure) => {
            command.abandon();
            Err(failure)
        }
        Ok(End::Signal(signal)) if signal != Signal::SIGINT && command.try_wait().is_none() => {
            console.say(&format!(
                "{} (pid {}) goes on without being recorded",
                command.name(),
                command.pid()
            ));
            Ok(ExitCode::Command(u8::try_from(128 + signal as i32).unwrap_or(u8::MAX)))
        }
        Ok(_) => {
            if command.try_wait().is_none() {
                console.say(&format!("waiting for {} to end", command.name()));
            }
            Ok(command.wait().map_or(ExitCode::Ok, crate::target::Ended::exit_code))
        }
    }
}
