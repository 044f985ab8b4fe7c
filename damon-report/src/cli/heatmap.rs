//! `heatmap`.

use super::shared::{Colour, Format, Part, cells, size};
use clap::Args;
use std::path::PathBuf;

/// The arguments.
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
