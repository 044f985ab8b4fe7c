//! `heatmap`.

use super::shared::{Colour, Format, Part, cells, size};
use clap::{ArgAction, Args, ValueEnum};
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report heatmap work.damon
  damon-report heatmap work.damon -o work.png --size 1920x1080
  damon-report heatmap work.damon --time 10s..20s --address 7f0000000000.. --rows 40")]
pub struct HeatmapArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// Draw a picture into this file; its name ends in .png or .svg
    #[arg(short, long, value_name = "FILE", conflicts_with = "format")]
    pub output: Option<PathBuf>,
    /// Pixels of the picture
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x800", value_parser = size, requires = "output")]
    pub size: (u32, u32),
    /// How to write it; text is a map for the terminal, json and csv have all cells
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Characters in a line, or columns of cells [default: what fits; 100 for cells]
    #[arg(long, value_name = "N", value_parser = cells, conflicts_with = "output")]
    pub columns: Option<usize>,
    /// Lines, or rows of cells [default: what fits; 50 for cells]
    #[arg(long, value_name = "N", value_parser = cells, conflicts_with = "output")]
    pub rows: Option<usize>,
    /// Colours of the text
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub color: Colour,
    /// Cells of a picture, where it should show fewer than one a pixel
    #[arg(long, value_name = "COLSxROWS", value_parser = resolution, requires = "output")]
    pub resolution: Option<(usize, usize)>,
    /// How rates become colours
    #[arg(long, value_enum, default_value = "sqrt")]
    pub scale: Saturation,
    /// What stands for a cell in which rates differ
    #[arg(long, value_enum, default_value = "mean")]
    pub pool: Pooling,
    /// Which colours; all can be told apart with any colour vision
    #[arg(long, value_enum, default_value = "dusk")]
    pub colors: Colors,
    /// Whether a picture shows the mean rate of each row beside the map, if there is room
    #[arg(long, value_name = "WHETHER", default_value_t = true, action = ArgAction::Set)]
    pub marginal: bool,
    /// Draw monitored addresses that were never mapped, too (cells always include them)
    #[arg(long)]
    pub unmapped: bool,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

/// Of rates in colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Saturation {
    /// Square root of the rate: tells idle from almost idle
    Sqrt,
    /// The rate itself
    Linear,
    /// Logarithm of the rate, from 0.1 %
    Log,
    /// How many of the accessed cells are colder
    Rank,
}

/// Of the rates in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pooling {
    /// Their mean over bytes and time: heat is conserved
    Mean,
    /// The highest: small hot places survive
    Max,
}

/// Of pictures and terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colors {
    /// Pale blue, yellow, red, violet
    Dusk,
    /// Black, violet, red, yellow
    Inferno,
    /// Violet, green, yellow
    Viridis,
    /// Blue, grey, yellow
    Cividis,
    /// Black, violet, pink, white
    Magma,
    /// Pale to dark
    Grey,
}

/// `COLSxROWS`.
fn resolution(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once(['x', 'X']);
    let (columns, rows) = parts.ok_or("write COLSxROWS in cells, e.g. 200x100")?;
    Ok((cells(columns)?, cells(rows)?))
}
