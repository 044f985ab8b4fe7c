//! `summary`.

use super::shared::{Colour, Part, PlainFormat, cells};
use clap::Args;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report summary work.damon
  damon-report summary work.damon -o report
  damon-report summary work.damon --time 50%.. --format json")]
pub struct SummaryArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// Write heatmap.png, wss.png, idle.png and summary.json into this directory, which is made if need be
    #[arg(short, long, value_name = "DIR", conflicts_with = "format")]
    pub output: Option<PathBuf>,
    /// How to write it; json has all percentiles, all idle times and the cells of a heatmap
    #[arg(long, value_enum, default_value = "text")]
    pub format: PlainFormat,
    /// Characters in a line [default: what fits]
    #[arg(long, value_name = "N", value_parser = cells)]
    pub columns: Option<usize>,
    /// Colours of the text
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub color: Colour,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}
