//! `simulate`.

use super::mappings::Group;
use super::shared::{Format, Part};
use clap::Args;
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
  damon-report simulate work.damon --schemes pageout.json --format csv > line.csv"
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
    /// How finely to tell mappings apart
    #[arg(long, value_enum, value_name = "BY", default_value = "mapping")]
    pub group: Group,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

fn kernel(text: &str) -> Result<KernelRules, String> {
    KernelRules::of_release(text)
        .ok_or_else(|| "write a release as uname -r does, e.g. 6.12 or 6.12.117".to_owned())
}
