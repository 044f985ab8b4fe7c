//! `repair`: writes what is readable to a new file.

use super::Streams;
use super::new_file::NewFile;
use super::words::{contents, count};
use crate::cli::RepairArgs;
use crate::exit::Failure;
use crate::import::{Counted, Reading};
use damon_format::{RecoverError, RecoveryReport, WriteError, recover};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

pub(super) fn run(args: &RepairArgs, terminal: &mut Streams<'_>) -> Result<(), Failure> {
    let is_piped = args.file.as_os_str() == "-";
    let name = if is_piped { "standard input".to_owned() } else { args.file.display().to_string() };
    let file = NewFile::new(&args.output, &[&args.file])?;
    let mut input = open(&args.file, &name, terminal.reading)?;
    let report = file.write(terminal, |out| {
        let report = copy(&name, &mut input, out)?;
        if file.is_file() && report.snapshots == 0 && !report.damage.is_empty() {
            return Err(Failure::Input(format!(
                "{name}: no snapshot could be read, so {} was not written",
                file.name()
            )));
        }
        Ok(report)
    })?;
    if file.is_file() {
        return Ok(summary(terminal.out, &name, file.name(), &report)?);
    }
    summary(terminal.err, &name, file.name(), &report).unwrap_or_default();
    Ok(())
}

fn open(path: &Path, name: &str, reading: &Reading) -> Result<Box<dyn Read>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(Counted::new(io::stdin().lock(), reading.begin(name, None))));
    }
    let cannot = |error| Failure::Input(format!("{name}: cannot read: {error}"));
    let file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if metadata.is_dir() {
        return Err(cannot(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    let place = reading.begin(name, metadata.is_file().then_some(metadata.len()));
    Ok(Box::new(BufReader::with_capacity(1 << 16, Counted::new(file, place))))
}

fn copy(name: &str, input: &mut dyn Read, sink: &mut dyn Write) -> Result<RecoveryReport, Failure> {
    recover(input, sink).map(|(report, _)| report).map_err(|error| match error {
        RecoverError::Open(error) => Failure::Input(format!("{name}: {error}")),
        RecoverError::Write(WriteError::Io(error)) => Failure::Stdout(error),
        error => Failure::Output(error.to_string()),
    })
}

fn summary(
    to: &mut dyn Write,
    name: &str,
    output: &str,
    report: &RecoveryReport,
) -> io::Result<()> {
    for damage in &report.damage {
        writeln!(to, "{name}: {damage}")?;
    }
    if report.damage.is_empty() {
        writeln!(to, "{name}: nothing is damaged")?;
    }
    writeln!(
        to,
        "{output}: {} and {} were kept",
        contents(report.snapshots, report.rows),
        count(report.records, "record")
    )
}
