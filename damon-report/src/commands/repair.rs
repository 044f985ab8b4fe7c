//! `repair`: writes what is readable to a new file.

use super::Streams;
use super::partial::Partial;
use crate::cli::RepairArgs;
use crate::exit::Failure;
use damon_format::{RecoverError, RecoveryReport, WriteError, recover};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(super) fn run(args: &RepairArgs, terminal: &mut Streams<'_>) -> Result<(), Failure> {
    let name = args.file.display().to_string();
    let mut input = open(&args.file)?;
    if args.output.as_os_str() == "-" {
        let report = copy(&name, &mut input, &mut *terminal.out, "standard output")?;
        terminal.out.flush()?;
        summary(terminal.err, &name, "standard output", &report).unwrap_or_default();
        return Ok(());
    }
    let output = args.output.display().to_string();
    let cannot = |error: io::Error| Failure::Output(format!("{output}: cannot write: {error}"));
    if same_file(&args.file, &args.output) {
        return Err(Failure::Usage(format!(
            "{output} is the damaged trace itself, which repair never changes: name another output"
        )));
    }
    if !args.force && args.output.symlink_metadata().is_ok() {
        return Err(Failure::Output(format!(
            "{output} exists already: name another output, or replace it with --force"
        )));
    }
    let (sink, partial) = Partial::create(&args.output, 0o600).map_err(cannot)?;
    let report = copy(&name, &mut input, BufWriter::new(sink), &output)?;
    if report.snapshots == 0 && !report.damage.is_empty() {
        return Err(Failure::Input(format!(
            "{name}: no snapshot could be read, so {output} was not written"
        )));
    }
    partial.keep().map_err(cannot)?;
    Ok(summary(terminal.out, &name, &output, &report)?)
}

fn open(path: &Path) -> Result<Box<dyn Read>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let cannot = |error| Failure::Input(format!("{}: cannot read: {error}", path.display()));
    let file = File::open(path).map_err(cannot)?;
    if file.metadata().map_err(cannot)?.is_dir() {
        return Err(cannot(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

fn copy(
    name: &str,
    input: &mut dyn Read,
    sink: impl Write,
    output: &str,
) -> Result<RecoveryReport, Failure> {
    let result = recover(input, sink).and_then(|(report, mut sink)| {
        sink.flush().map_err(WriteError::Io)?;
        Ok(report)
    });
    result.map_err(|error| match error {
        RecoverError::Open(error) => Failure::Input(format!("{name}: {error}")),
        RecoverError::Write(WriteError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Failure::Stdout(error)
        }
        error => Failure::Output(format!("{output}: {error}")),
    })
}

fn same_file(a: &Path, b: &Path) -> bool {
    let (Ok(a), Ok(b)) = (fs::metadata(a), fs::metadata(b)) else {
        return false;
    };
    (a.dev(), a.ino()) == (b.dev(), b.ino())
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
        "{output}: {} snapshots, {} region rows and {} records were kept",
        report.snapshots, report.rows, report.records
    )
}
