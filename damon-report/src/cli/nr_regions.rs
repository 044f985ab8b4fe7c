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
  damon-report nr-regions work.damon --time 2s.. --format csv > regions.csv
  damon-report nr-regions work.damon --compat damo")]
pub struct NrRegionsArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// Percentiles by somebody else's rules [default: values weigh as long as they lasted]
    #[arg(long, value_enum, value_name = "TOOL")]
    pub compat: Option<Compat>,
    /// Leave out the first snapshots of each target [default: 20 with --compat damo, as damo does; else 0]
    #[arg(long, value_name = "N")]
    pub skip: Option<usize>,
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
    /// Snapshots that are left out at the start.
    pub fn skipped(&self) -> usize {
        const DAMO: usize = 20;
        self.skip.unwrap_or(if self.compat == Some(Compat::Damo) { DAMO } else { 0 })
    }

    /// How percentiles are made.
    pub fn percentiles(&self) -> Percentiles {
        match self.compat {
            None => Percentiles::TimeWeighted,
            Some(Compat::Damo) => Percentiles::Damo,
        }
    }
}
