//! The command line, parsed but not yet looked at: one file a command, and what they share.

mod adjust;
mod bandwidth;
mod compare;
#[cfg(test)]
mod consistency;
mod export;
mod footprint;
mod generated;
mod heatmap;
mod histogram;
mod idle;
mod import;
mod info;
mod mappings;
mod merge;
mod nr_regions;
mod pattern;
mod raw;
mod regions;
mod repair;
mod shared;
mod simulate;
mod slice;
mod summary;
mod times;
mod verify;
mod wss;

pub use adjust::AdjustArgs;
pub use bandwidth::BandwidthArgs;
pub use compare::{AlignBy, CompareArgs, CompareFormat};
pub use export::{ExportArgs, ExportForm};
pub use footprint::FootprintArgs;
pub use generated::{CompletionsArgs, ManArgs};
pub use heatmap::{Colors, HeatmapArgs, Pooling, Saturation};
pub use histogram::{By, HistogramArgs};
pub use idle::{Compat, IdleArgs};
pub use import::ImportArgs;
pub use info::InfoArgs;
pub use mappings::{Group, MappingSort, MappingsArgs};
pub use merge::MergeArgs;
pub use nr_regions::NrRegionsArgs;
pub use pattern::PatternArgs;
pub use raw::{RawArgs, RawFormat};
pub use regions::{RegionsArgs, SortBy, Style};
pub use repair::RepairArgs;
pub use shared::{Colour, Format, Output, Part, PlainFormat};
pub use simulate::{Show, SimulateArgs};
pub use slice::SliceArgs;
pub use summary::SummaryArgs;
pub use times::TimesArgs;
pub use verify::VerifyArgs;
pub use wss::{WssArgs, WssSort};

use clap::{Parser, Subcommand};

/// Answers questions about recordings of memory accesses.
#[derive(Debug, Parser)]
#[command(
    name = "damon-report",
    version,
    about,
    arg_required_else_help = true,
    help_expected = true,
    after_help = "All commands read traces of damon-record and, as they are, recordings of other tools: damo's (json, \
json_compressed, record), perf.data, trace.dat, and the text of perf script, trace-cmd report and ftrace.

Examples:
  damon-report summary work.damon
  damon-report wss perf.data --time 10s..
  damon-report heatmap damon.data -o heatmap.png
  damon-report mappings work.damon --group file --sort idle
  damon-report COMMAND --help

Exit status: 0 ok; 1 a comparison found that something got worse; 2 wrong usage; 4 the input is damaged or not a \
recording; 5 output cannot be written; 6 a comparison cannot tell."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One question.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what was recorded, how, and how complete it is
    Info(InfoArgs),
    /// Show working set, hotness and idle times together, in one pass: also as pictures
    Summary(SummaryArgs),
    /// Show hotness over time and address: in the terminal, or as a PNG or SVG picture
    Heatmap(HeatmapArgs),
    /// Show how large the working set was: its distribution and its time line
    Wss(WssArgs),
    /// Show how each mapping, file or kind of memory was used: heat, working set, idle bytes
    Mappings(MappingsArgs),
    /// Show memory that is held, resident, swapped, virtual, against memory that is used
    Footprint(FootprintArgs),
    /// Show for how long memory has not been accessed
    Idle(IdleArgs),
    /// Show the regions of one moment, hot and cold
    Regions(RegionsArgs),
    /// Show how monitored bytes are distributed over access rate, age, size or temperature
    Histogram(HistogramArgs),
    /// Show when memory was accessed in a certain way
    Times(TimesArgs),
    /// Show how many regions there were, against their limits
    NrRegions(NrRegionsArgs),
    /// Estimate how much memory was passed over per second, from below and from above
    Bandwidth(BandwidthArgs),
    /// Say what schemes would have done, and what would have come of it
    Simulate(SimulateArgs),
    /// Compare two groups of recordings: did memory accesses get worse?
    Compare(CompareArgs),
    /// Print every snapshot, region and record
    Raw(RawArgs),
    /// Check the whole file and name all damage
    Verify(VerifyArgs),
    /// Write all that is readable of a damaged trace to a new file
    Repair(RepairArgs),
    /// Write a part of a recording as a trace of its own
    Slice(SliceArgs),
    /// Write several traces as one: the parts of a recording, or recordings that followed one another
    Merge(MergeArgs),
    /// Write the same recording with a longer aggregation interval
    Adjust(AdjustArgs),
    /// Write the recording of another tool as a trace, which is smaller and read at once
    Import(ImportArgs),
    /// Write a recording in the form of another tool
    Export(ExportArgs),
    /// Print a script that completes this program's command lines in a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command
    Man(ManArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
