//! `slice`.

use super::shared::{Output, Part};
use clap::Args;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report slice work.damon --time 60s..90s -o minute.damon
  damon-report slice work.damon --target 4711 --address 7f0000000000.. -o - | damon-report wss -")]
pub struct SliceArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// Where it goes.
    #[command(flatten)]
    pub output: Output,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}
