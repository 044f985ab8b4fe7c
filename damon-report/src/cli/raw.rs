//! `raw`.

use super::shared::{Format, Part};
use clap::Args;
use std::path::PathBuf;

/// The arguments.
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
