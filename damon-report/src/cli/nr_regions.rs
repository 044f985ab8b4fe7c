//! `nr-regions`.

use super::idle::Compat;
use super::shared::{Colour, Format, Part, cells};
use crate::analysis::nr_regions::Percentiles;
use clap::Args;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  damon-report nr-regions work.damon
  damon-report nr-regions work.damon --compat damo --skip 20")]
pub struct NrRegionsArgs {
    /// The trace; - for standard input
    pub file: PathBuf,
    /// Percentiles by somebody else's rules [default: values weigh as long as they lasted]
    #[arg(long, value_enum, value_name = "TOOL")]
    pub compat: Option<Compat>,
    /// Leave out the first snapshots of each target; damo always leaves out 20
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub skip: usize,
    /// How to write it; csv is the time line
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
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

impl NrRegionsArgs {
    /// How percentiles are made.
    pub fn percentiles(&self) -> Percentiles {
        match self.compat {
            None => Percentiles::TimeWeighted,
            Some(Compat::Damo) => Percentiles::Damo,
        }
    }
}
