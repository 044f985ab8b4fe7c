//! `completions` and `man`: generated from the definition of the command line.

use super::Streams;
use super::partial::Partial;
use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::exit::Failure;
use clap::CommandFactory as _;
use std::io::{self, Write as _};
use std::path::Path;

pub(super) fn completions(
    args: &CompletionsArgs,
    terminal: &mut Streams<'_>,
) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "damon-report", &mut text);
    Ok(terminal.out.write_all(&text)?)
}

pub(super) fn man(args: &ManArgs, terminal: &mut Streams<'_>) -> Result<(), Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = &args.dir else {
        return Ok(clap_mangen::Man::new(command).render(&mut *terminal.out)?);
    };
    let subs = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    for one in std::iter::once(&command).chain(subs) {
        let name = one.get_display_name().unwrap_or(one.get_name());
        let place = directory.join(format!("{name}.1"));
        page(&place, one.clone()).map_err(|error| {
            Failure::Output(format!("{}: cannot write: {error}", place.display()))
        })?;
        writeln!(terminal.out, "{}", place.display())?;
    }
    Ok(())
}

fn page(place: &Path, command: clap::Command) -> io::Result<()> {
    let (mut file, partial) = Partial::create(place, 0o666)?;
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    file.write_all(&text)?;
    partial.keep()
}
