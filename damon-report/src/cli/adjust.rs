//! `adjust`.

use super::shared::Output;
use crate::analysis::select::Duration;
use clap::Args;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report adjust work.damon --aggr 1s -o seconds.damon
  damon-report adjust work.damon --aggr 1min -o - | damon-report wss -")]
pub struct AdjustArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// The new aggregation interval: 1s, 500ms
    #[arg(long, value_name = "TIME")]
    pub aggr: Duration,
    /// Where it goes.
    #[command(flatten)]
    pub output: Output,
}
