//! What several commands take, spelled and meant the same everywhere.

use crate::analysis::select::{AddressSpec, Query, TimeSpec, parse_duration};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Which part of a recording.
#[derive(Debug, Default, Args)]
pub struct Part {
    /// Only this time, from the start of the recording: 2s..10s, ..500ms, 50%..
    #[arg(long, value_name = "A..B", allow_hyphen_values = true)]
    pub time: Option<TimeSpec>,
    /// Only these addresses, hexadecimal: 0x5500..0x7700 or 5500-7700; may be given several times
    #[arg(long, value_name = "A..B")]
    pub address: Vec<AddressSpec>,
    /// Only addresses that had this name at some selected time: heap, stack, libc.so.6, a part of a file's path, or what
    /// `mappings` calls it; may be given several times
    #[arg(long, value_name = "NAME")]
    pub mapping: Vec<String>,
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
            mapping: self.mapping.clone(),
            target: self.target.clone(),
        }
    }
}

/// Where a new file goes.
#[derive(Debug, Args)]
pub struct Output {
    /// The new file; - for standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
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

/// Whether text has colours, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On terminals with UTF-8, unless the environment variable `NO_COLOR` is set
    Auto,
    /// Even into files and pipes
    Always,
    /// Plain ASCII
    Never,
    /// The 16 colours that any terminal with colours has
    #[value(name = "16")]
    Basic,
    /// The 256 colours of xterm
    #[value(name = "256")]
    Palette,
    /// 24-bit colours
    #[value(name = "truecolor")]
    True,
}

/// How something that is no table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlainFormat {
    /// For people
    Text,
    /// For programs: complete, unrounded, versioned
    Json,
}

/// `WIDTHxHEIGHT`.
pub(super) fn size(text: &str) -> Result<(u32, u32), String> {
    let parts = text.split_once(['x', 'X']);
    parts
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)))
        .ok_or_else(|| "write WIDTHxHEIGHT in pixels, e.g. 1280x800".to_owned())
}

/// A duration in nanoseconds.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    parse_duration(text)
        .ok_or_else(|| "write a number with its unit, e.g. 500ms, 10s or 2min".to_owned())
}

/// An interval of the monitor in microseconds, at least one.
pub(super) fn interval(text: &str) -> Result<u64, String> {
    let us = duration(text)? / 1_000;
    if us > 0 { Ok(us) } else { Err("an interval lasts 1us at least".to_owned()) }
}

/// More cells than this per side are a mistake, and would need memory for their product.
const MOST_CELLS: usize = 10_000;

/// A number of cells of one side.
pub(super) fn cells(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=MOST_CELLS).contains(n))
        .ok_or_else(|| format!("a number from 1 to {MOST_CELLS} is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_cells_are_checked() {
        assert_eq!(size("640x480"), Ok((640, 480)));
        assert!(size("640").is_err() && size("ax3").is_err());
        assert_eq!(cells("20"), Ok(20));
        assert_eq!(interval("5ms"), Ok(5_000));
        assert!(interval("5").is_err() && interval("999ns").is_err());
        assert!(cells("0").is_err() && cells("10001").is_err());
    }
}
