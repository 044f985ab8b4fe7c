//! `compare`.

use super::mappings::Group;
use super::shared::{Part, PlainFormat, duration};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 nothing got worse, 1 something did, 6 the data cannot tell.

Examples:
  damon-report compare base-*.damon --new new-*.damon")]
pub struct CompareArgs {
    /// Traces of the old state
    #[arg(required = true, value_name = "BASE")]
    pub base: Vec<PathBuf>,
    /// Traces of the new state
    #[arg(long, required = true, num_args = 1.., value_name = "NEW")]
    pub new: Vec<PathBuf>,
    /// How recordings are laid over each other
    #[arg(long, value_enum, value_name = "BY", default_value = "progress")]
    pub align: AlignBy,
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    pub format: PlainFormat,
    /// Memory counts as idle when it has not been accessed for so long
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub idle: u64,
    /// How finely to tell mappings apart
    #[arg(long, value_enum, value_name = "BY", default_value = "mapping")]
    pub group: Group,
    /// Compare what was recorded in different ways, or is of different programs
    #[arg(long)]
    pub allow_different: bool,
    /// Which part of each.
    #[command(flatten)]
    pub part: Part,
}

/// How recordings are laid over each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AlignBy {
    /// From begin to end, whatever their lengths
    Progress,
    /// By the time since their begin, as long as the shortest lasts
    Time,
    /// By phases: from each mark to the next
    Marks,
}
