//! `compare`.

use super::mappings::Group;
use super::shared::{Part, cells, duration, size};
use crate::analysis::quantity::Share;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
#[command(
    after_help = "Rules: METRIC > +5% (growth), METRIC < -5% (shrinkage), METRIC changes > 5%; bytes as 4MiB; both
with `and`. METRIC: [phase(NAME).][mapping(NAME).]MEASURE.STATISTIC, names with * and ?. docs/CI.md has all.

Exit status: 0 nothing got worse, 1 something did, 6 the data cannot tell.

Examples:
  damon-report compare base-*.damon --new new-*.damon
  damon-report compare base.damon --new new.damon --align time -o difference.png
  damon-report compare base-*.damon --new new-*.damon --gate gate.toml --write markdown:comment.md --write junit:junit.xml"
)]
pub struct CompareArgs {
    /// Recordings of the old state
    #[arg(required = true, value_name = "BASE")]
    pub base: Vec<PathBuf>,
    /// Recordings of the new state
    #[arg(long, required = true, num_args = 1.., value_name = "NEW")]
    pub new: Vec<PathBuf>,
    /// Rules and options in TOML; flags override it
    #[arg(long, value_name = "FILE")]
    pub gate: Option<PathBuf>,
    /// What counts as worse, e.g. 'wss.expected.p95 > +5% and > 4MiB'; may be given several times, and replaces the rules
    /// of the gate
    #[arg(long, value_name = "RULE")]
    pub fail_on: Vec<String>,
    /// Draw a picture into this file; its name ends in .png or .svg
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Pixels of the picture
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x800", value_parser = size, requires = "output")]
    pub size: (u32, u32),
    /// Where the picture will be, for links to it [default: the file of -o]
    #[arg(long, value_name = "URL")]
    pub picture_url: Option<String>,
    /// How to write it; all but text, json and csv are for other programs
    #[arg(long, value_enum, default_value = "text")]
    pub format: CompareFormat,
    /// Write it in one more form into a file; may be given several times
    #[arg(long, value_name = "FORMAT:FILE", value_parser = form)]
    pub write: Vec<(CompareFormat, PathBuf)>,
    /// How recordings are laid over each other [default: progress]
    #[arg(long, value_enum, value_name = "BY")]
    pub align: Option<AlignBy>,
    /// Memory counts as hot from this access rate on [default: 50%]
    #[arg(long, value_name = "RATE")]
    pub hot: Option<Share>,
    /// Memory counts as idle when it has not been accessed for this long [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub idle: Option<u64>,
    /// How finely to tell mappings apart [default: mapping]
    #[arg(long, value_enum, value_name = "BY")]
    pub group: Option<Group>,
    /// Probability of an alarm although nothing changed [default: 1%]
    #[arg(long, value_name = "SHARE")]
    pub false_alarms: Option<Share>,
    /// Probability that a change as large as the limit passes [default: 5%]
    #[arg(long, value_name = "SHARE")]
    pub misses: Option<Share>,
    /// How much values are assumed to vary from run to run, until runs tell [default: 2%]
    #[arg(long, value_name = "SHARE")]
    pub run_noise: Option<Share>,
    /// What earlier runs measured: tells how much values vary from run to run
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// Add the new side to this history; may be that of --history
    #[arg(long, value_name = "FILE")]
    pub append_history: Option<PathBuf>,
    /// Compare what was recorded in different ways, or is of different programs
    #[arg(long)]
    pub allow_different: bool,
    /// Compare what is readable of recordings that are damaged or incomplete
    #[arg(long)]
    pub allow_damaged: bool,
    /// Characters in a line [default: what fits]
    #[arg(long, value_name = "N", value_parser = cells)]
    pub columns: Option<usize>,
    /// Which part of each.
    #[command(flatten)]
    pub part: Part,
}

/// How recordings are laid over each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AlignBy {
    /// From start to end, whatever their lengths
    Progress,
    /// By the time since their start, as long as the shortest lasts
    Time,
    /// By phases: from each mark to the next
    Marks,
}

/// How a comparison is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// For people
    Text,
    /// For programs: complete, unrounded, versioned
    Json,
    /// For spreadsheets
    Csv,
    /// A comment for a pull request
    Markdown,
    /// XML for test reports: a test case for each gated metric
    Junit,
    /// Bencher Metric Format
    Bencher,
    /// For github-action-benchmark, as customSmallerIsBetter
    GithubActionBenchmark,
}

/// `FORMAT:FILE`.
fn form(text: &str) -> Result<(CompareFormat, PathBuf), String> {
    let names: Vec<String> = CompareFormat::value_variants()
        .iter()
        .filter_map(|format| Some(format.to_possible_value()?.get_name().to_owned()))
        .collect();
    let accepted = || format!("write FORMAT:FILE, where FORMAT is one of {}", names.join(", "));
    let (format, file) = text.split_once(':').ok_or_else(accepted)?;
    let format = CompareFormat::from_str(format, false).map_err(|_unknown| accepted())?;
    match file {
        "" => Err(accepted()),
        "-" => Err("standard output has the form that --format says; name a file".to_owned()),
        file => Ok((format, PathBuf::from(file))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_forms_name_format_and_file() {
        let junit = (CompareFormat::Junit, PathBuf::from("a:b.xml"));
        assert_eq!(form("junit:a:b.xml"), Ok(junit));
        for wrong in ["junit", "junit:", "xml:a", "junit:-"] {
            assert!(form(wrong).is_err(), "{wrong}");
        }
    }
}
