//! `wss`.

use super::Compat;
use super::shared::{Colour, Format, Part, cells, duration, size};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report wss work.damon
  damon-report wss work.damon --time 50%.. -o work.svg
  damon-report wss work.damon --format csv > wss.csv")]
pub struct WssArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// Draw a picture into this file; its name ends in .png or .svg
    #[arg(short, long, value_name = "FILE", conflicts_with = "format")]
    pub output: Option<PathBuf>,
    /// Pixels of the picture
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x560", value_parser = size, requires = "output")]
    pub size: (u32, u32),
    /// How to write it; csv is the time line
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Positive samples from which on a region counts as touched
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threshold: u32,
    /// Each target for itself instead of all together
    #[arg(long, conflicts_with_all = ["output", "windows"])]
    pub per_target: bool,
    /// By the length of the window in which one looks: one aggregation, 2, 4, ...
    #[arg(long)]
    pub windows: bool,
    /// Compute as another tool does; sums of several targets are then biased (text has its form)
    #[arg(long, value_enum, value_name = "TOOL", conflicts_with_all = ["output", "windows"])]
    pub compat: Option<Compat>,
    /// Leave out the first snapshots of each target; needs --compat
    #[arg(long, value_name = "N", default_value_t = 20, requires = "compat")]
    pub skip: u64,
    /// With --compat: put snapshots together until they span this time
    #[arg(long, value_name = "TIME", default_value = "1us", value_parser = duration, requires = "compat")]
    pub work_time: u64,
    /// With --compat: what percentiles are of
    #[arg(long, value_enum, value_name = "BY", default_value = "size", requires = "compat")]
    pub sort: WssSort,
    /// Characters in a line [default: what fits]
    #[arg(long, value_name = "N", value_parser = cells, conflicts_with = "output")]
    pub columns: Option<usize>,
    /// Colours of the text
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub color: Colour,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

/// What lists of working sets are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WssSort {
    /// Percentiles of the sizes
    Size,
    /// Values over time
    Time,
}
