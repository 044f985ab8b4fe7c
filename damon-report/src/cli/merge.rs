//! `merge`.

use super::shared::Output;
use clap::Args;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report merge recording.*.damon -o whole.damon
  damon-report merge monday.damon tuesday.damon -o - | damon-report wss -")]
pub struct MergeArgs {
    /// The traces, in any order; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Take the clocks of all traces for one, even if they do not look like it
    #[arg(long)]
    pub same_clock: bool,
    /// Where it goes.
    #[command(flatten)]
    pub output: Output,
}
