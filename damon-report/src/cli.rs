//! The command line, parsed but not yet looked at.

use crate::analysis::select::{AddressSpec, Query, TimeSpec};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Answers questions about recordings of memory accesses.
#[derive(Debug, Parser)]
#[command(
    name = "damon-report",
    version,
    about,
    arg_required_else_help = true,
    help_expected = true,
    after_help = "Exit status: 0 ok; 2 wrong usage; 4 the input is damaged or not a trace; \
                  5 output cannot be written."
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
    /// Show hotness over time and address: in the terminal, or as a PNG or SVG picture
    Heatmap(HeatmapArgs),
    /// Show how large the working set was: its distribution and its time line
    Wss(WssArgs),
    /// Print every snapshot, region and record
    Raw(RawArgs),
    /// Check the whole file and name all damage
    Verify(VerifyArgs),
    /// Write all that is readable of a damaged trace to a new file
    Repair(RepairArgs),
}

/// Which part of a recording.
#[derive(Debug, Args)]
pub struct Part {
    /// Only this time, from the begin of the recording: 2s..10s, ..500ms, 50%..
    #[arg(long, value_name = "A..B", allow_hyphen_values = true)]
    pub time: Option<TimeSpec>,
    /// Only these addresses, hexadecimal: 0x5500..0x7700
    #[arg(long, value_name = "A..B")]
    pub address: Option<AddressSpec>,
    /// Only this target: a pid, a target's number in the trace, or a command name
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
}

impl Part {
    /// The same without clap.
    pub fn query(&self) -> Query {
        Query {
            time: self.time.clone(),
            address: self.address.clone(),
            target: self.target.clone(),
        }
    }
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs: complete, unrounded, versioned
    Json,
    /// For spreadsheets
    Csv,
}

/// Whether text has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On terminals, unless the environment variable `NO_COLOR` is set
    Auto,
    /// Even into files and pipes
    Always,
    /// Plain ASCII
    Never,
}

/// How something that is no table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlainFormat {
    /// For people
    Text,
    /// For programs: complete, unrounded, versioned
    Json,
}

/// `info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// The trace; - for standard input
    pub file: PathBuf,
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    pub format: PlainFormat,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

/// `heatmap`.
#[derive(Debug, Args)]
pub struct HeatmapArgs {
    /// The trace; - for standard input
    pub file: PathBuf,
    /// Draw a picture into this file; its name ends in .png or .svg
    #[arg(short, long, value_name = "FILE", conflicts_with = "format")]
    pub output: Option<PathBuf>,
    /// Pixels of the picture
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x800", value_parser = size)]
    pub size: (u32, u32),
    /// How to write it: a map for the terminal, or all cells
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Characters in a line, or columns of cells [default: what fits; 100 for cells]
    #[arg(long, value_name = "N", value_parser = cells)]
    pub columns: Option<usize>,
    /// Lines, or rows of cells [default: what fits; 50 for cells]
    #[arg(long, value_name = "N", value_parser = cells)]
    pub rows: Option<usize>,
    /// Colours of the text
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub color: Colour,
    /// Draw monitored addresses that were never mapped, too (cells always include them)
    #[arg(long)]
    pub unmapped: bool,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

/// `wss`.
#[derive(Debug, Args)]
pub struct WssArgs {
    /// The trace; - for standard input
    pub file: PathBuf,
    /// Draw a picture into this file; its name ends in .png or .svg
    #[arg(short, long, value_name = "FILE", conflicts_with = "format")]
    pub output: Option<PathBuf>,
    /// Pixels of the picture
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x560", value_parser = size)]
    pub size: (u32, u32),
    /// How to write it; csv is the time line
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Positive samples from which on a region counts as touched
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threshold: u32,
    /// Characters in a line [default: what fits]
    #[arg(long, value_name = "N", value_parser = cells)]
    pub columns: Option<usize>,
    /// Colours of the text
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub color: Colour,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

/// `raw`.
#[derive(Debug, Args)]
pub struct RawArgs {
    /// The trace; - for standard input
    pub file: PathBuf,
    /// How to write it: json is one value per line, csv has the regions only
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The trace; - for standard input
    pub file: PathBuf,
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    pub format: PlainFormat,
}

/// `repair`.
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// The damaged trace, which is never changed; - for standard input
    pub file: PathBuf,
    /// The new trace; - for standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let parts = text.split_once(['x', 'X']);
    parts
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)))
        .ok_or_else(|| "write WIDTHxHEIGHT in pixels, e.g. 1280x800".to_owned())
}

/// More cells than this per side are a mistake, and would need memory for their product.
const MOST_CELLS: usize = 10_000;

fn cells(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=MOST_CELLS).contains(n))
        .ok_or_else(|| format!("a number from 1 to {MOST_CELLS} is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_cells_are_checked() {
        assert_eq!(size("640x480"), Ok((640, 480)));
        assert!(size("640").is_err() && size("ax3").is_err());
        assert_eq!(cells("20"), Ok(20));
        assert!(cells("0").is_err() && cells("10001").is_err());
    }
}
