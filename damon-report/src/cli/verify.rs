//! `verify`.

use super::shared::PlainFormat;
use clap::Args;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report verify work.damon
  damon-report verify work.damon --format json | jq .damage")]
pub struct VerifyArgs {
    /// The trace; - for standard input
    pub file: PathBuf,
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    pub format: PlainFormat,
}
