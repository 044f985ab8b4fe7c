//! `mappings`.

use super::shared::{Format, Part, cells, duration, size};
use crate::analysis::groups::GroupBy;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report mappings work.damon
  damon-report mappings work.damon --group file --sort idle --idle 2min --top 10
  damon-report mappings work.damon -o mappings.svg")]
pub struct MappingsArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// Draw a picture into this file; its name ends in .png or .svg
    #[arg(short, long, value_name = "FILE", conflicts_with = "format")]
    pub output: Option<PathBuf>,
    /// Pixels of the picture
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x800", value_parser = size, requires = "output")]
    pub size: (u32, u32),
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// How finely to tell mappings apart
    #[arg(long, value_enum, value_name = "BY", default_value = "mapping")]
    pub group: Group,
    /// What to sort by, greatest first
    #[arg(long, value_enum, value_name = "BY", default_value = "heat")]
    pub sort: MappingSort,
    /// Only this many groups; the others are summed up in one line [default: all]
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,
    /// Memory counts as idle when it has not been accessed for this long
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub idle: u64,
    /// Positive samples from which on a region counts as touched
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threshold: u32,
    /// Characters in a line [default: what fits]
    #[arg(long, value_name = "N", value_parser = cells, conflicts_with = "output")]
    pub columns: Option<usize>,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

/// How finely to tell mappings apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// Each mapping for itself
    Mapping,
    /// All of a file together; what has no file by name, or else by kind
    File,
    /// File, bss, heap, stack, thread stack, anonymous, shared memory, kernel
    Kind,
}

impl From<Group> for GroupBy {
    fn from(group: Group) -> Self {
        match group {
            Group::Mapping => Self::Mapping,
            Group::File => Self::File,
            Group::Kind => Self::Kind,
        }
    }
}

/// What mappings are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MappingSort {
    /// Share of all heat
    Heat,
    /// Mean access rate
    Rate,
    /// Mean monitored size
    Size,
    /// Mean touched working set
    Touched,
    /// Mean expected working set
    Expected,
    /// Mean idle bytes
    Idle,
    /// Kind, then name; ascending
    Name,
}
