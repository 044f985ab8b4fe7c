//! The program: arguments in, exit status out.

use crate::cli::{Action, Cli, RecordArgs, explained};
use crate::doctor;
use crate::exit::{ExitCode, Failure};
use crate::plan::Verbosity;
use crate::replay;
use crate::session::{Console, dry_run, record};
use crate::sys::stdout;
use clap::{CommandFactory as _, Parser as _};
use std::ffi::OsString;
use std::io::{self, BufWriter, Write as _};

/// Runs the program with `arguments`, the first of which is its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            if error.use_stderr() {
                let _nobody_listens = explained(error, &arguments).print();
                return ExitCode::Usage;
            }
            return printed(stdout::open().and_then(|_open| error.print()));
        }
    };
    match cli.action {
        Some(Action::Doctor { json }) => run_doctor(json),
        Some(Action::Mark(mark)) => mark.run().map_or_else(
            |failure| failed(&failure, &mut Console::new(Verbosity::Quiet)),
            |()| ExitCode::Ok,
        ),
        Some(Action::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "damon-record", &mut text);
            print(&text)
        }
        Some(Action::Man) => match manual_page() {
            Ok(text) => print(&text),
            Err(error) => printed(Err(error)),
        },
        None => run_record(cli.record, &arguments),
    }
}

/// The manual page, in which examples keep their lines.
fn manual_page() -> io::Result<Vec<u8>> {
    // What subcommands do is told here; they have no pages of their own.
    let page = clap_mangen::Man::new(Cli::command().disable_help_subcommand(true));
    let mut text = Vec::new();
    page.render(&mut text)?;
    Ok(unfilled(&text))
}

/// Examples are no prose to be filled.
fn unfilled(page: &[u8]) -> Vec<u8> {
    let page = String::from_utf8_lossy(page);
    let Some((before, extra)) = page.split_once(".SH EXTRA\n") else {
        return page.into_owned().into_bytes();
    };
    let end = extra.find(".SH ").unwrap_or(extra.len());
    let (extra, behind) = extra.split_at(end);
    format!("{before}.SH EXTRA\n.nf\n{extra}.fi\n{behind}").into_bytes()
}

fn run_doctor(json: bool) -> ExitCode {
    let style = (!json).then(doctor::Style::of_stdout);
    // Until it is known; whoever stops reading does not want to know.
    let mut works = true;
    let print = |out| {
        let mut out = BufWriter::new(out);
        works = doctor::run(style, &mut out)?;
        out.flush()
    };
    match printed(stdout::open().and_then(print)) {
        ExitCode::Ok if !works => ExitCode::CannotObserve,
        status => status,
    }
}

fn run_dry(args: RecordArgs, console: &mut Console) -> ExitCode {
    match args.plan().and_then(dry_run) {
        Ok(text) => print(text.as_bytes()),
        Err(failure) => failed(&failure, console),
    }
}

fn failed(failure: &Failure, console: &mut Console) -> ExitCode {
    console.error(&failure.to_string());
    failure.into()
}

fn print(text: &[u8]) -> ExitCode {
    printed(stdout::open().and_then(|mut out| out.write_all(text)))
}

/// The status after printing to standard output.
fn printed(outcome: io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::Ok,
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Ok,
        Err(error) => {
            let text = format!("standard output cannot be written: {error}");
            Console::new(Verbosity::Quiet).error(&text);
            ExitCode::Output
        }
    }
}

fn run_record(args: RecordArgs, arguments: &[OsString]) -> ExitCode {
    let command_line = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut console = Console::new(args.verbosity());
    if args.dry_run {
        return run_dry(args, &mut console);
    }
    let outcome = match args.replay() {
        Some(replay) => {
            replay.and_then(|plan| replay::record::record(&plan, command_line, &mut console))
        }
        None => args.plan().and_then(|plan| record(plan, command_line, &mut console)),
    };
    outcome.unwrap_or_else(|failure| failed(&failure, &mut console))
}
