//! A recording from beginning to end: arm, run, drain, finish.

mod accounts;
mod acting;
mod births;
mod budget;
mod chores;
mod console;
mod dry_run;
mod events;
mod exact;
mod kernel;
mod lifecycle;
mod marks;
mod mode;
mod newcomers;
mod output;
mod place;
mod proportional;
mod run;
mod schemes;
mod series;
mod start;
mod status;
mod summary;
mod toll;
mod trace;
mod tracked;

pub use console::Console;
pub use dry_run::dry_run;
pub(crate) use events::ignore_keeping;
pub use output::Output;
pub use place::Place;
pub use status::{Figures, render as render_status};
pub(crate) use trace::Trace;

use crate::backend::choose::{ChooseError, check_name};
use crate::exit::{ExitCode, Failure};
use crate::marks::{Fifo, VARIABLE};
use crate::plan::{OutputPlan, Plan, Subject};
use crate::proc::{ProcRoot, page_size};
use crate::sys::pidfd;
use crate::sys::signals::ignore_file_size_signal;
use crate::sys::spawn::Inherited;
use crate::target::{Command, Roster};
use events::Events;
use marks::Marks;
use nix::sys::signal::Signal;
use run::End;
use start::Start;
use std::os::fd::AsFd as _;

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
    // Before anything else: signals that are not blocked yet kill.
    let mut events = Events::new()?;
    let mut plan = plan.validated(page_size()).map_err(Failure::Usage)?;
    check_name(plan.backend.as_deref())?;
    let schemes = plan.schemes.as_deref().map(schemes::read).transpose()?;
    let place = Place::check(&plan.output, plan.rotation.as_ref())?;
    let file_size = ignore_file_size_signal()
        .map_err(|errno| Failure::Output(format!("cannot set a signal: {errno}")))?;
    let marks = marks::inlet(&plan, console)?;
    let proc = ProcRoot::default();
    let (mut command, roster) = match &mut plan.subject {
        Subject::Running(wanted) => {
            let roster = Roster::new(&proc, wanted, plan.wait)
                .map_err(|error| Failure::CannotObserve(error.to_string()))?;
            (None, Some(roster))
        }
        Subject::Command(words) => {
            let inherited = Inherited {
                mask: events.inherited_mask(),
                file_size,
                variables: marks.iter().map(|fifo| (VARIABLE, fifo.path().into())).collect(),
                stdout_is_taken: plan.output == OutputPlan::Stdout,
            };
            (Some(Command::start(std::mem::take(words), &inherited)?), None)
        }
        Subject::Physical | Subject::Kdamond(_) => (None, None),
    };
    if let Some(end) = command.as_mut().and_then(Command::try_wait) {
        console.error("the command ended before it executed its program: nothing was recorded");
        return Ok(end.exit_code());
    }
    if let (Some(fifo), Some(command)) = (&marks, &command)
        && let Some(process) =
            i32::try_from(command.pid()).ok().and_then(|pid| pidfd::open(pid).ok())
    {
        fifo.serve(process.as_fd());
    }
    let reader = marks.as_ref().and_then(|fifo| fifo.reader().ok()).map(Marks::new);
    let start = Start { plan: &plan, command_line, proc: &proc, place, schemes, marks: reader };
    let ended = start.run(roster, &mut events, command.as_mut(), console);
    Events::let_signals_kill();
    if let Some(fifo) = &marks {
        fifo.retire();
    }
    conclude(ended, command, marks, console)
}

/// The recording is over; what of the command?
fn conclude(
    ended: Result<End, Failure>,
    command: Option<Command>,
    marks: Option<Fifo>,
    console: &mut Console,
) -> Result<ExitCode, Failure> {
    console.clear();
    let Some(mut command) = command else {
        return match ended? {
            End::Stopped(why) => Err(Failure::CannotObserve(why)),
            _ => Ok(ExitCode::Ok),
        };
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
        Ok(End::Stopped(why)) => {
            if command.try_wait().is_none() {
                console.error(&why);
                console.say(&format!("waiting for {} to end", command.name()));
            }
            Ok(command.wait().map_or(ExitCode::Ok, crate::target::Ended::exit_code))
        }
        Ok(End::Signal(signal)) if signal != Signal::SIGINT && command.try_wait().is_none() => {
            console.say(&format!(
                "{} (pid {}) goes on without being recorded",
                command.name(),
                command.pid()
            ));
            if let Some(fifo) = marks {
                fifo.leave();
            }
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
