//! `bandwidth`.

use super::shared::{Colour, Format, Part, cells};
use clap::Args;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report bandwidth work.damon
  damon-report bandwidth work.damon --time 50%.. --format csv > bandwidth.csv")]
pub struct BandwidthArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// How to write it; csv is the time line
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
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
