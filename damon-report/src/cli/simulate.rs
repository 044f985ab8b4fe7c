//! `simulate`.

use super::mappings::Group;
use super::shared::{Format, Part, cells, size};
use crate::analysis::simulate::emit::Form;
use clap::{Args, ValueEnum};
use damon_format::damos::rules::KernelRules;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "independent flags")]
#[command(
    after_help = "A file of schemes, as damo takes it; this one pages out what was not accessed for two minutes:
  [{\"action\": \"pageout\",
    \"access_pattern\": {\"age\": {\"min\": \"2 m\"}, \"nr_accesses\": {\"max\": \"0 %\"}}}]
Presets: reclaim and lru-sort (the kernel's modules), thp, tier; a file of such a name is ./reclaim.

Examples:
  damon-report simulate work.damon --schemes pageout.json
  damon-report simulate work.damon --schemes reclaim --ignore-watermarks --kernel 6.12
  damon-report simulate work.damon --schemes pageout.json --format csv > line.csv
  damon-report simulate work.damon --schemes pageout.json -o line.svg
  damon-report simulate work.damon --schemes tier --fast-tier 8GiB -o tier.png
  damon-report simulate work.damon --schemes pageout.json --emit sysfs > apply.sh
  damon-report simulate work.damon --schemes pageout.json --sweep age=10s..10m
  damon-report simulate work.damon --schemes pageout.json --sweep 'age=10s..10m/16,quota=16MiB/s..256MiB/s/5' -o sweep.png

What can be varied: age, max_age, min_rate, max_rate, min_size, max_size, quota, quota_time, reset_interval, apply_interval; of the \
third scheme, 2.age. Values are A|B|C, A..B (32 steps that multiply), A..B/COUNT, or A..B+STEP."
)]
pub struct SimulateArgs {
    /// The recording, a trace or another tool's; - for standard input
    pub file: PathBuf,
    /// The schemes: a file in damo's JSON, - for standard input, or the name of a preset
    #[arg(long, value_name = "FILE|PRESET")]
    pub schemes: String,
    /// By the rules of this release of Linux [default: that of the recording]
    #[arg(long, value_name = "RELEASE", value_parser = kernel)]
    pub kernel: Option<KernelRules>,
    /// Draw a picture into this file; its name ends in .png or .svg
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["format", "emit"])]
    pub output: Option<PathBuf>,
    /// Pixels of the picture
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x800", value_parser = size, requires = "output")]
    pub size: (u32, u32),
    /// What csv and pictures show [default: tiers if all schemes migrate, else line]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub show: Option<Show>,
    /// How to write it; csv has the variants of a sweep
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
    /// Size of the fast tier, node 0 or where `migrate_hot` moves to: no more has room there, and the preset `tier` keeps it
    /// nearly full of what is hottest
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub fast_tier: Option<u64>,
    /// Put memory away that was not written, although it may have been read
    #[arg(long)]
    pub accept_write_only: bool,
    /// Try all combinations of such values instead, and show which are worth a thought: `age=10s..10m,quota=16MiB|1GiB`
    #[arg(long, value_name = "NAME=VALUES,...", conflicts_with_all = ["applied", "emit", "show"])]
    pub sweep: Option<String>,
    /// List the regions to which schemes were applied, too; json only
    #[arg(long)]
    pub applied: bool,
    /// Do not simulate: write the schemes down for whoever applies them, and how to take them back
    #[arg(long, value_enum, value_name = "FOR", conflicts_with_all = ["format", "applied"])]
    pub emit: Option<Emit>,
    /// How finely to tell mappings apart
    #[arg(long, value_enum, value_name = "BY", default_value = "mapping")]
    pub group: Group,
    /// Characters in a line [default: what fits]
    #[arg(long, value_name = "N", value_parser = cells, conflicts_with = "output")]
    pub columns: Option<usize>,
    /// Which part.
    #[command(flatten)]
    pub part: Part,
}

/// What is shown where there is room for one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Show {
    /// Bytes away and traffic over time
    Line,
    /// How much of the hottest memory serves how much of the accesses
    Tiers,
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

/// A size in bytes: powers of 1024, as in scheme files.
fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "write a size above 0, e.g. 512MiB or 8GiB".to_owned();
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().ok().ok_or_else(wrong)?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

fn kernel(text: &str) -> Result<KernelRules, String> {
    KernelRules::of_release(text)
        .ok_or_else(|| "write a release as uname -r does, e.g. 6.12 or 6.12.117".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024_and_not_nothing() {
        assert_eq!(bytes("8GiB"), Ok(8 << 30));
        assert_eq!(bytes("512 m"), Ok(512 << 20));
        assert_eq!(bytes("4096"), Ok(4096));
        for wrong in ["", "0", "-1", "8 GiBs", "1.5G", "99999999999T", "G"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
