//! The program: arguments in, exit status out.

use crate::cli::{Action, Cli, RecordArgs};
use crate::doctor;
use crate::exit::{ExitCode, Failure};
use crate::session::{Console, record};
use clap::Parser as _;
use std::ffi::OsString;
use std::io::{self, Write as _};

/// Runs the program with `arguments`, the first of which is its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let printed = error.print();
            return match (error.use_stderr(), printed) {
                (true, _) => ExitCode::Usage,
                (false, Ok(())) => ExitCode::Ok,
                (false, Err(_)) => ExitCode::Output,
            };
        }
    };
    match cli.action {
        Some(Action::Doctor { json }) => run_doctor(json),
        None => run_record(cli.record, &arguments),
    }
}

fn run_doctor(json: bool) -> ExitCode {
    let mut out = io::stdout().lock();
    match doctor::run(json, &mut out).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::Ok,
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Ok,
        Err(_) => ExitCode::Output,
    }
}

fn run_record(args: RecordArgs, arguments: &[OsString]) -> ExitCode {
    let command_line = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut console = Console::new(args.verbosity());
    let outcome = args.plan().and_then(|plan| record(plan, command_line, &mut console));
    outcome.unwrap_or_else(|failure: Failure| {
        console.error(&failure.to_string());
        (&failure).into()
    })
}
