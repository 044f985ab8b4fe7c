//! `repair`: writes what is readable to a new file.

use super::Streams;
use crate::cli::RepairArgs;
use crate::exit::Failure;
use damon_format::{RecoverError, RecoveryReport, WriteError, recover};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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
    // The output appears under its name when it is complete, so that nothing is lost when it cannot be.
    let partial = partial_name(&args.output);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(cannot)?;
    let result = copy(&name, &mut input, BufWriter::new(file), &output).and_then(|report| {
        fs::rename(&partial, &args.output).map_err(cannot)?;
        Ok(report)
    });
    match result {
        Ok(report) => Ok(summary(terminal.out, &name, &output, &report)?),
        Err(failure) => {
            drop(fs::remove_file(&partial));
            Err(failure)
        }
    }
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

fn partial_name(output: &Path) -> PathBuf {
    let mut name = OsString::from(output);
    name.push(format!(".partial-{}", std::process::id()));
    PathBuf::from(name)
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
