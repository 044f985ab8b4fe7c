//! `verify`: reads the whole file and names all damage.

use super::Streams;
use super::output::{Document, Head, json};
use super::words::{bytes, contents, count};
use crate::analysis::load::Trace;
use crate::analysis::num::float;
use crate::cli::{PlainFormat, VerifyArgs};
use crate::exit::Failure;
use damon_format::{Completeness, VerifyReport};
use std::io::{self, Write};

pub(super) fn run(args: &VerifyArgs, terminal: &mut Streams<'_>) -> Result<(), Failure> {
    let trace = Trace::open_watched(&args.file, terminal.reading)?;
    let report = trace.verify()?;
    match args.format {
        PlainFormat::Json => {
            json(terminal, &Document { head: Head::new("verify", &trace), body: &report })?;
        }
        PlainFormat::Text => text(terminal.out, trace.name(), &report)?,
    }
    if report.damage.is_empty() { Ok(()) } else { Err(Failure::Damaged) }
}

fn text(out: &mut dyn Write, name: &str, report: &VerifyReport) -> io::Result<()> {
    for damage in &report.damage {
        writeln!(out, "{name}: {damage}")?;
    }
    let state = match report.completeness {
        Completeness::Complete => "complete and intact",
        Completeness::Interrupted if report.damage.is_empty() => {
            "interrupted (no end mark), all of it intact"
        }
        Completeness::Interrupted => "cut off, intact up to there",
        Completeness::Damaged => "damaged; readable are",
    };
    writeln!(
        out,
        "{name}: {state}: {}, {}, {}, {}",
        bytes(float(report.bytes)),
        count(report.blocks, "block"),
        contents(report.snapshots, report.rows),
        count(report.records, "record")
    )
}
