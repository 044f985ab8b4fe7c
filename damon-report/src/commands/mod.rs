//! Thin glue between the command line, the analysis and the pictures.

mod adjust;
mod bandwidth;
mod compare;
mod export;
mod footprint;
mod generated;
mod heatmap;
mod histogram;
mod idle;
mod import;
mod info;
mod mappings;
mod merge;
mod new_file;
mod nr_regions;
mod outcomes;
mod output;
mod partial;
mod picture;
mod raw;
mod regions;
mod repair;
mod screen;
mod simulate;
mod slice;
mod summary;
mod sweep;
mod table;
mod times;
mod transformed;
mod verify;
mod words;
mod wss;
mod wss_more;

use crate::analysis::load::Trace;
use crate::analysis::pattern::Pattern;
use crate::analysis::select::SelectError;
use crate::analysis::view::View;
use crate::cli::{Cli, Command, Part};
use crate::exit::{Exit, Failure};
use crate::import::Reading;
use clap::Parser;
use damon_format::{Completeness, Damage, DamageKind, Record};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

/// Runs one command line and says how it ended. Results go to `out`, everything else to `err`.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit {
    run_watched(args, out, err, &Reading::default())
}

/// [`run`], with somebody who wants to know how far files have been read.
pub fn run_watched(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
    reading: &Reading,
) -> Exit {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render();
            let written = if error.use_stderr() {
                write!(err, "{text}")
            } else {
                write!(out, "{text}").and_then(|()| out.flush())
            };
            return match written {
                Err(error) => Failure::from(error).exit(),
                Ok(()) if error.use_stderr() => Exit::Usage,
                Ok(()) => Exit::Success,
            };
        }
    };
    let mut terminal = Streams { out, err, reading };
    let mut exit = Exit::Success;
    let result = match &cli.command {
        Command::Info(args) => info::run(args, &mut terminal),
        Command::Summary(args) => summary::run(args, &mut terminal),
        Command::Heatmap(args) => heatmap::run(args, &mut terminal),
        Command::Import(args) => import::run(args, &mut terminal),
        Command::Wss(args) => wss::run(args, &mut terminal),
        Command::Footprint(args) => footprint::run(args, &mut terminal),
        Command::Mappings(args) => mappings::run(args, &mut terminal),
        Command::Idle(args) => idle::run(args, &mut terminal),
        Command::Regions(args) => regions::run(args, &mut terminal),
        Command::Histogram(args) => histogram::run(args, &mut terminal),
        Command::Times(args) => times::run(args, &mut terminal),
        Command::NrRegions(args) => nr_regions::run(args, &mut terminal),
        Command::Bandwidth(args) => bandwidth::run(args, &mut terminal),
        Command::Simulate(args) => simulate::run(args, &mut terminal),
        Command::Compare(args) => compare::run(args, &mut terminal).map(|verdict| exit = verdict),
        Command::Raw(args) => raw::run(args, &mut terminal),
        Command::Verify(args) => verify::run(args, &mut terminal),
        Command::Repair(args) => repair::run(args, &mut terminal),
        Command::Slice(args) => slice::run(args, &mut terminal),
        Command::Merge(args) => merge::run(args, &mut terminal),
        Command::Adjust(args) => adjust::run(args, &mut terminal),
        Command::Export(args) => export::run(args, &mut terminal),
        Command::Completions(args) => generated::completions(args, &mut terminal),
        Command::Man(args) => generated::man(args, &mut terminal),
    };
    let result = match (result, terminal.out.flush()) {
        (Ok(()), Err(error)) => Err(Failure::from(error)),
        (result, _) => result,
    };
    match result {
        Ok(()) => exit,
        Err(failure) => {
            if failure.is_worth_saying() {
                terminal.say(&format!("damon-report: {failure}"));
            }
            failure.exit()
        }
    }
}

/// Where a command writes.
struct Streams<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    /// How far the input has been read.
    reading: &'a Reading,
}

impl Streams<'_> {
    /// A line on standard error; when that is closed, nobody wants to know.
    fn say(&mut self, line: &str) {
        drop(writeln!(self.err, "{}", words::clean(line)));
    }

    /// Says what cannot be read, and that the rest is used.
    fn warn(&mut self, name: &str, damage: &[Damage]) {
        const MOST: usize = 4;
        for one in damage.iter().take(MOST) {
            let rest = match one.kind {
                DamageKind::Index(_) => "",
                DamageKind::Truncated { .. } => "; everything before is used",
                _ => "; the rest of the file is used",
            };
            self.say(&format!("warning: {name}: {one}{rest}"));
        }
        if let Some(more) = damage.len().checked_sub(MOST).filter(|n| *n > 0) {
            self.say(&format!(
                "warning: {name}: {more} more places are damaged; `damon-report verify` names all"
            ));
        }
    }
}

/// A pattern that some region could match.
fn check(pattern: Pattern) -> Result<Pattern, Failure> {
    if pattern.is_empty() {
        let why = "no region can match: a least value is above the greatest one";
        return Err(Failure::Usage(why.to_owned()));
    }
    Ok(pattern)
}

/// Opens a trace and selects a part that has at least one snapshot.
fn open(file: &Path, part: &Part, terminal: &mut Streams<'_>) -> Result<(Trace, View), Failure> {
    open_as(file, terminal, |trace| View::new(trace, &part.query()))
}

/// [`open`] with a view that is made in another way.
fn open_as(
    file: &Path,
    terminal: &mut Streams<'_>,
    view: impl FnOnce(&Trace) -> Result<View, SelectError>,
) -> Result<(Trace, View), Failure> {
    let trace = Trace::open_watched(file, terminal.reading)?;
    let view = view(&trace)?;
    terminal.warn(trace.name(), &view.overview.damage);
    has_snapshots(&trace, &view)?;
    Ok((trace, view))
}

/// Says why there are none.
fn has_snapshots(trace: &Trace, view: &View) -> Result<(), Failure> {
    if view.overview.snapshots() > 0 {
        return Ok(());
    }
    if !view.is_whole() {
        return Err(Failure::Usage(
            "the selected part of the recording holds no snapshots".to_owned(),
        ));
    }
    let why = view.overview.records.iter().find_map(|record| match record {
        Record::Finished(finished) => Some(format!("the recording ended ({})", finished.reason)),
        _ => None,
    });
    let why = why.unwrap_or_else(|| match trace.completeness() {
        _ if !view.overview.damage.is_empty() => "what there was is damaged".to_owned(),
        Completeness::Damaged => "what there was is damaged".to_owned(),
        _ => "the recording was interrupted before the first aggregation ended".to_owned(),
    });
    Err(Failure::Input(format!("{}: the trace holds no snapshots: {why}", trace.name())))
}
