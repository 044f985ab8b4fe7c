//! `repair`.

use super::shared::Output;
use clap::Args;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report repair broken.damon -o repaired.damon")]
pub struct RepairArgs {
    /// The damaged trace, which is never changed; - for standard input
    pub file: PathBuf,
    /// Where it goes.
    #[command(flatten)]
    pub output: Output,
}
