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
        return Ok(terminal.out.write_all(&page_of(command)?)?);
    };
    std::fs::create_dir_all(directory).map_err(|error| {
        Failure::Output(format!("{}: cannot make the directory: {error}", directory.display()))
    })?;
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
    let text = page_of(command)?;
    let (mut file, partial) = Partial::create(place, 0o666)?;
    file.write_all(&text)?;
    partial.keep()
}

/// A page whose examples keep their lines.
fn page_of(command: clap::Command) -> io::Result<Vec<u8>> {
    let page = clap_mangen::Man::new(command);
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
