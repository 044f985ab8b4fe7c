//! `raw`.

use super::shared::Part;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report raw work.damon --time ..1s
  damon-report raw work.damon --format damo | less
  damon-report raw work.damon --format json --target 4711 | jq .snapshot")]
pub struct RawArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// How to write it: json is one value per line, csv has the regions only
    #[arg(long, value_enum, default_value = "text")]
    pub format: RawFormat,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

/// How raw data are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RawFormat {
    /// For people
    Text,
    /// For programs: complete, unrounded, versioned
    Json,
    /// For spreadsheets
    Csv,
    /// As damo's `report access --raw_form`: one target after the other
    Damo,
}
