//! `compare`: two groups of recordings held against each other.

use super::table::{Align as Side, Table};
use super::words::{bytes, clean};
use super::{Streams, open};
use crate::analysis::compare::{
    Align, CompareError, Comparison, Options, Recording, Verdict, compare,
};
use crate::analysis::groups::GroupBy;
use crate::cli::{AlignBy, CompareArgs, Group, PlainFormat};
use crate::exit::{Exit, Failure};
use std::io;
use std::path::PathBuf;

pub(super) fn run(args: &CompareArgs, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let options = Options {
        align: match args.align {
            AlignBy::Progress => Align::Progress,
            AlignBy::Time => Align::Time,
            AlignBy::Marks => Align::Marks,
        },
        idle_ns: args.idle,
        group_by: match args.group {
            Group::Mapping => GroupBy::Mapping,
            Group::File => GroupBy::File,
            Group::Kind => GroupBy::Kind,
        },
        allow_different: args.allow_different,
        ..Options::default()
    };
    let mut side = |files: &[PathBuf]| -> Result<Vec<Recording>, Failure> {
        let one = |file: &PathBuf| {
            let (trace, view) = open(file, &args.part, streams)?;
            Ok(Recording { trace, view })
        };
        files.iter().map(one).collect()
    };
    let (base, new) = (side(&args.base)?, side(&args.new)?);
    let found = compare(&base, &new, None, &options)?;
    match args.format {
        PlainFormat::Text => text(streams, &found)?,
        PlainFormat::Json => {
            serde_json::to_writer_pretty(&mut *streams.out, &found)?;
            writeln!(streams.out)?;
        }
    }
    Ok(match found.verdict {
        Verdict::Pass | Verdict::Improved => Exit::Success,
        Verdict::Inconclusive => Exit::Inconclusive,
        Verdict::Regressed => Exit::Regression,
    })
}

impl From<CompareError> for Failure {
    fn from(error: CompareError) -> Self {
        Self::Usage(error.to_string())
    }
}

fn text(streams: &mut Streams<'_>, found: &Comparison) -> io::Result<()> {
    let mut table = Table::new(&[
        ("metric", Side::Left),
        ("base", Side::Right),
        ("new", Side::Right),
        ("change", Side::Right),
        ("verdict", Side::Left),
    ]);
    for metric in found.metrics.iter().filter(|m| m.rule.is_some()) {
        let relative = metric.relative.map_or("-".to_owned(), |r| format!("{:+.1} %", r * 100.0));
        table.row(vec![
            clean(&metric.metric.to_string()),
            bytes(metric.base_mean),
            bytes(metric.new_mean),
            relative,
            format!("{:?}", metric.verdict).to_lowercase(),
        ]);
    }
    table.write(streams.out)
}
