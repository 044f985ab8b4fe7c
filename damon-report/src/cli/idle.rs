//! `idle`.

use super::shared::{Format, Part, cells, size};
use crate::analysis::select::Moment;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report idle work.damon
  damon-report idle work.damon --at 90% --format json
  damon-report idle work.damon -o idle.png")]
pub struct IdleArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// Draw a picture into this file; its name ends in .png or .svg
    #[arg(short, long, value_name = "FILE", conflicts_with = "format")]
    pub output: Option<PathBuf>,
    /// Pixels of the picture
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x560", value_parser = size, requires = "output")]
    pub size: (u32, u32),
    /// How to write it; csv is the distribution bin by bin
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// At one moment instead of over the selected time: 7s, 50%
    #[arg(long, value_name = "TIME", conflicts_with = "time")]
    pub at: Option<Moment>,
    /// Compute as another tool does; percentiles of one snapshot, the last unless --at names one
    #[arg(long, value_enum, value_name = "TOOL", conflicts_with = "output")]
    pub compat: Option<Compat>,
    /// Characters in a line [default: what fits]
    #[arg(long, value_name = "N", value_parser = cells, conflicts_with = "output")]
    pub columns: Option<usize>,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

/// Whose arithmetic to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compat {
    /// The kernel developers' `damo`
    Damo,
}
