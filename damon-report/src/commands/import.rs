//! `import`: the recording of another tool, written as a trace.

use super::Streams;
use super::new_file::NewFile;
use super::words::{contents, count};
use crate::analysis::source::Opened;
use crate::cli::ImportArgs;
use crate::exit::Failure;
use crate::import::{self, Counts, ImportError, ImportOptions, SideFiles};
use damon_format::{WriteError, WriterOptions};

pub(super) fn run(args: &ImportArgs, terminal: &mut Streams<'_>) -> Result<(), Failure> {
    let stdin = args.file.as_os_str() == "-";
    let name = if stdin { "standard input".to_owned() } else { args.file.display().to_string() };
    let opened = Opened::open(&args.file, terminal.reading)
        .map_err(|error| Failure::Input(format!("{name}: cannot read: {error}")))?;
    let Opened::Foreign(kind, input) = opened else {
        return Err(Failure::Input(format!(
            "{name}: this is a trace already, or nothing that is known: `damon-report info` tells more"
        )));
    };
    let new = NewFile::new(&args.output, &[&args.file])?;
    let options = ImportOptions { sample_us: args.sample, aggr_us: args.aggr };
    let beside = if args.no_side_files {
        SideFiles::default()
    } else {
        import::side_files(&args.file, kind)
    };
    let Counts { snapshots, rows, records, lost } = new.write(terminal, |to| {
        let converted =
            import::convert(input, kind, &options, beside, (to, WriterOptions::default()));
        converted.map(|(_, counts)| counts).map_err(|error| match error {
            ImportError::Write(WriteError::Io(error)) => Failure::Stdout(error),
            ImportError::Write(error) => Failure::Output(format!("{}: {error}", new.name())),
            error => Failure::Input(format!("{name}: {error}")),
        })
    })?;
    let lost = match lost {
        0 => String::new(),
        lost => format!("; lost: {lost} snapshots, events or observations"),
    };
    let said = format!(
        "{}: {} and {} of {name} ({}){lost}; `damon-report info` shows what had to be assumed",
        new.name(),
        contents(snapshots, rows),
        count(records, "record"),
        kind.name()
    );
    if new.is_file() {
        writeln!(terminal.out, "{said}")?;
    } else {
        terminal.say(&said);
    }
    Ok(())
}
