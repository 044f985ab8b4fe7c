//! `histogram`.

use super::shared::{Format, Part, cells, size};
use crate::analysis::bins::BinScale;
use crate::analysis::histogram::{HistogramOptions, Metric};
use crate::analysis::select::Moment;
use crate::analysis::temperature::Temperature;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// By what bytes are put into bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Access rate: positive samples of all
    Rate,
    /// How long the accesses have not changed
    Age,
    /// Size of the region
    Size,
    /// Time in use, or idle time as a negative number
    Temperature,
}

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report histogram work.damon
  damon-report histogram work.damon --by age --cumulative -o ages.png
  damon-report histogram work.damon --by temperature --at 50%")]
pub struct HistogramArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// By what bytes are put into bins
    #[arg(long, value_enum, value_name = "WHAT", default_value = "rate")]
    pub by: By,
    /// At most this many bins, besides the one of exactly zero; their edges are round values
    #[arg(long, value_name = "N", default_value = "20", value_parser = cells)]
    pub bins: usize,
    /// Bins that grow with their distance to zero, as is usual for all but access rates
    #[arg(long, conflicts_with = "linear")]
    pub log: bool,
    /// Bins of one width, as is usual for access rates
    #[arg(long)]
    pub linear: bool,
    /// Bars show everything up to the upper edge of their bin
    #[arg(long)]
    pub cumulative: bool,
    /// At one moment instead of over the selected time: 7s, 50%
    #[arg(long, value_name = "TIME", conflicts_with = "time")]
    pub at: Option<Moment>,
    /// Temperature as damo weighs it: weights of size, access rate and age, e.g. 0,100,100 [default: time in use,
    /// or idle time as a negative number]
    #[arg(long, value_name = "SIZE,RATE,AGE", allow_hyphen_values = true)]
    pub temperature: Option<Temperature>,
    /// Draw a picture into this file; its name ends in .png or .svg
    #[arg(short, long, value_name = "FILE", conflicts_with = "format")]
    pub output: Option<PathBuf>,
    /// Pixels of the picture
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x560", value_parser = size, requires = "output")]
    pub size: (u32, u32),
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Characters in a line [default: what fits]
    #[arg(long, value_name = "N", value_parser = cells, conflicts_with = "output")]
    pub columns: Option<usize>,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

impl HistogramArgs {
    /// The same without clap.
    pub fn options(&self) -> HistogramOptions {
        HistogramOptions {
            metric: match self.by {
                By::Rate => Metric::Rate,
                By::Age => Metric::Age,
                By::Size => Metric::Size,
                By::Temperature => Metric::Temperature,
            },
            bins: self.bins,
            scale: match (self.log, self.linear) {
                (true, _) => Some(BinScale::Log),
                (_, true) => Some(BinScale::Linear),
                _ => None,
            },
            temperature: self.temperature.unwrap_or_default(),
        }
    }
}
