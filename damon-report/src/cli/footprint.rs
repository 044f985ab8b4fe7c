//! `footprint`.

use super::shared::{Format, Part, cells, size};
use clap::Args;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report footprint work.damon
  damon-report footprint work.damon -o footprint.png
  damon-report footprint work.damon --format csv > footprint.csv")]
pub struct FootprintArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// Draw a picture into this file; its name ends in .png or .svg
    #[arg(short, long, value_name = "FILE", conflicts_with = "format")]
    pub output: Option<PathBuf>,
    /// Pixels of the picture
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x560", value_parser = size, requires = "output")]
    pub size: (u32, u32),
    /// How to write it; csv is the time line
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Positive samples from which on a region counts as touched
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threshold: u32,
    /// Characters in a line [default: what fits]
    #[arg(long, value_name = "N", value_parser = cells, conflicts_with = "output")]
    pub columns: Option<usize>,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}
