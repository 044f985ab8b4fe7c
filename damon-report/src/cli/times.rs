//! `times`.

use super::pattern::PatternArgs;
use super::shared::{Format, Part, cells};
use crate::analysis::quantity::Size;
use clap::Args;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report times work.damon --min-rate 50% --min-bytes 100M
  damon-report times work.damon --max-rate 0% --min-age 2min --mapping heap")]
pub struct TimesArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// Only while at least this much memory is in such regions: 4096, 64K, 2MiB
    #[arg(long, value_name = "SIZE", default_value = "1")]
    pub min_bytes: Size,
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Characters in a line [default: what fits]
    #[arg(long, value_name = "N", value_parser = cells)]
    pub columns: Option<usize>,
    /// Which regions.
    #[command(flatten)]
    pub pattern: PatternArgs,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}
