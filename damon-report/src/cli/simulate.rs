//! `simulate`.

use super::mappings::Group;
use super::shared::{Format, Part};
use crate::analysis::simulate::emit::Form;
use clap::{Args, ValueEnum};
use damon_format::damos::rules::KernelRules;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "independent flags")]
#[command(
    after_help = "Presets: reclaim and lru-sort (the kernel's modules), thp, tier; a file of such a name is ./reclaim.

Examples:
  damon-report simulate work.damon --schemes pageout.json
  damon-report simulate work.damon --schemes reclaim --ignore-watermarks --kernel 6.12
  damon-report simulate work.damon --schemes pageout.json --format csv > line.csv
  damon-report simulate work.damon --schemes pageout.json --emit sysfs > apply.sh"
)]
pub struct SimulateArgs {
    /// The trace; - for standard input
    pub file: PathBuf,
    /// The schemes: a file in damo's JSON, - for standard input, or the name of a preset
    #[arg(long, value_name = "FILE|PRESET")]
    pub schemes: String,
    /// By the rules of this release of Linux [default: that of the recording]
    #[arg(long, value_name = "RELEASE", value_parser = kernel)]
    pub kernel: Option<KernelRules>,
    /// How to write it; csv is the time line
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// KiB that the action does in a millisecond: what time quotas are charged by
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub kib_per_ms: u64,
    /// Schemes are always on, whatever their watermarks say
    #[arg(long)]
    pub ignore_watermarks: bool,
    /// Filters that look at single pages let everything pass
    #[arg(long)]
    pub ignore_page_filters: bool,
    /// Put memory away that was not written, although it may have been read
    #[arg(long)]
    pub accept_write_only: bool,
    /// List the regions to which schemes were applied, too; json only
    #[arg(long)]
    pub applied: bool,
    /// Do not simulate: write the schemes down for whoever applies them, and how to take them back
    #[arg(long, value_enum, value_name = "FOR", conflicts_with_all = ["format", "applied"])]
    pub emit: Option<Emit>,
    /// How finely to tell mappings apart
    #[arg(long, value_enum, value_name = "BY", default_value = "mapping")]
    pub group: Group,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

/// For whom schemes are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Emit {
    /// The JSON that damo takes for --schemes
    Damo,
    /// A shell script that writes the kernel's sysfs files, and takes it back
    Sysfs,
    /// A shell script that calls damon-record --schemes
    Record,
}

impl From<Emit> for Form {
    fn from(emit: Emit) -> Self {
        match emit {
            Emit::Damo => Self::Damo,
            Emit::Sysfs => Self::Sysfs,
            Emit::Record => Self::Record,
        }
    }
}

fn kernel(text: &str) -> Result<KernelRules, String> {
    KernelRules::of_release(text)
        .ok_or_else(|| "write a release as uname -r does, e.g. 6.12 or 6.12.117".to_owned())
}
