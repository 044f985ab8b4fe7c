//! `export`.

use super::shared::{Output, Part};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report export work.damon --to damo -o damon.data
  damon-report export work.damon --to csv --time 2s..10s -o - | gzip > work.csv.gz
  damon-report export work.damon --to perf-script --target 4711 -o work.txt")]
pub struct ExportArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// The form of the new file
    #[arg(long, value_enum, value_name = "FORM")]
    pub to: ExportForm,
    /// Where it goes.
    #[command(flatten)]
    pub output: Output,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

/// Forms of other tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportForm {
    /// damo's `json_compressed`, which all its commands read
    Damo,
    /// The same, not compressed (few versions of damo recognise it)
    DamoJson,
    /// The lines that `perf script` prints of DAMON's tracepoint
    PerfScript,
    /// A line for each region, for spreadsheets
    Csv,
    /// Everything: one JSON value per line
    Jsonl,
    /// A row for each region in Apache Parquet, for `DuckDB` and pandas
    #[cfg(feature = "parquet")]
    Parquet,
}

impl ExportForm {
    /// Whether a snapshot is there through its regions only.
    pub fn is_by_region(self) -> bool {
        !matches!(self, Self::Damo | Self::DamoJson | Self::Jsonl)
    }

    /// Whether damo's words have to do.
    pub fn is_damos(self) -> bool {
        matches!(self, Self::Damo | Self::DamoJson)
    }
}
