//! `regions`.

use super::pattern::PatternArgs;
use super::shared::{Colour, Format, Part, cells};
use crate::analysis::regions::Order;
use crate::analysis::select::Moment;
use crate::analysis::temperature::Temperature;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// By what rows are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// Ascending
    Address,
    /// Hottest first
    Temperature,
    /// Highest access rate first
    Rate,
    /// Oldest first
    Age,
    /// Largest first
    Size,
}

impl SortBy {
    /// The same without clap.
    pub fn order(self) -> Order {
        match self {
            Self::Address => Order::Address,
            Self::Temperature => Order::Temperature,
            Self::Rate => Order::Rate,
            Self::Age => Order::Age,
            Self::Size => Order::Size,
        }
    }
}

/// How regions look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Style {
    /// A line each
    Table,
    /// A box each: wide as its size, high as its access rate, filled by its age
    Boxes,
}

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report regions work.damon --sort temperature --top 20
  damon-report regions work.damon --at 50% --min-size 1M --max-rate 0%
  damon-report regions work.damon --style boxes --mapping heap")]
pub struct RegionsArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// The moment, from the start of the recording: 5s, 50% [default: the last complete snapshot]
    #[arg(long, value_name = "TIME", conflicts_with = "time")]
    pub at: Option<Moment>,
    /// The order of the regions
    #[arg(long, value_enum, value_name = "WHAT", default_value = "address")]
    pub sort: SortBy,
    /// No more regions than this
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,
    /// Temperature as damo weighs it: weights of size, access rate and age, e.g. 0,100,100 [default: time in use,
    /// or idle time as a negative number]
    #[arg(long, value_name = "SIZE,RATE,AGE", allow_hyphen_values = true)]
    pub temperature: Option<Temperature>,
    /// How regions look as text
    #[arg(long, value_enum, value_name = "STYLE", default_value = "table")]
    pub style: Style,
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Characters in a line [default: what fits]
    #[arg(long, value_name = "N", value_parser = cells)]
    pub columns: Option<usize>,
    /// Colours of the text
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub color: Colour,
    /// Which regions.
    #[command(flatten)]
    pub pattern: PatternArgs,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}
