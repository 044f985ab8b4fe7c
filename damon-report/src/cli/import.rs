//! `import`.

use super::shared::{Output, interval};
use clap::Args;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(
    after_help = "Every command reads such recordings directly as well; a trace is smaller and read at once.

Examples:
  damon-report import damon.data -o work.damon
  damon-report import perf.data -o work.damon --sample 5ms --aggr 100ms
  perf script -i perf.data | damon-report import - -o work.damon"
)]
pub struct ImportArgs {
    /// The recording of another tool: damo's, perf.data, trace.dat, or the text of perf script or trace-cmd report; - for standard input
    pub file: PathBuf,
    /// Where it goes.
    #[command(flatten)]
    pub output: Output,
    /// Sampling interval, e.g. 5ms, where the recording does not tell it
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub sample: Option<u64>,
    /// Aggregation interval, e.g. 100ms, where the recording does not tell it
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub aggr: Option<u64>,
    /// Leave out what damo has written beside the recording: `FILE.kdamonds`, `.mem_footprint`, `.vmas`, `.proc_stats`
    #[arg(long)]
    pub no_side_files: bool,
}
