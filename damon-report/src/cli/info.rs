//! `info`.

use super::shared::{Part, PlainFormat};
use clap::Args;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report info work.damon
  damon-report info work.damon --format json | jq .targets")]
pub struct InfoArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    pub format: PlainFormat,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}
