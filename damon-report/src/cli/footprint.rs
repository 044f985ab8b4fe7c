//! `footprint`.

use super::shared::{Format, Part};
use clap::Args;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report footprint work.damon
  damon-report footprint work.damon --format csv > footprint.csv")]
pub struct FootprintArgs {
    /// The trace; - for standard input
    pub file: PathBuf,
    /// How to write it; csv is the time line
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Positive samples from which on a region counts as touched
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threshold: u32,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}
