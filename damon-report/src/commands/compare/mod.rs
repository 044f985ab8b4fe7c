//! `compare`: two groups of recordings held against each other.

mod gate;
mod history;
mod junit;
mod machine;
mod markdown;
mod picture;
mod text;
mod words;

use super::partial::save;
use super::picture::PictureFile;
use super::screen::table_width;
use super::{Streams, open};
use crate::analysis::compare::{
    Align, Certainty, CompareError, Comparison, Options, Recording, Rule, Verdict, compare,
};
use crate::analysis::groups::GroupBy;
use crate::analysis::quantity::Share;
use crate::cli::{AlignBy, CompareArgs, CompareFormat, Group};
use crate::exit::{Exit, Failure};
use damon_format::Completeness;
use gate::{HOT, NOISE, RISK, Settings, within};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

/// A gate larger than this is none.
const MOST_BYTES: u64 = 1 << 20;

pub(super) fn run(args: &CompareArgs, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let file = PictureFile::of(args.output.as_deref(), args.size)?;
    let settings = settings(args)?;
    let damaged = settings.allow_damaged.unwrap_or(false);
    let options = options(settings);
    let mut warnings = Vec::new();
    let history = args.history.as_deref().map(|file| history::read(file, &mut warnings));
    let history = history.transpose()?.flatten();
    if let Some(file) = &args.append_history {
        history::check(file)?;
    }
    let mut side = |files: &[PathBuf]| -> Result<Vec<Recording>, Failure> {
        let one = |file: &PathBuf| {
            let (trace, view) = open(file, &args.part, streams)?;
            let recording = Recording { trace, view };
            if let Some(problem) = problem(&recording) {
                let name = recording.trace.name();
                if !damaged {
                    return Err(Failure::Input(format!(
                        "{name}: {problem}: half a recording is nothing to judge by; \
                         --allow-damaged compares what is readable"
                    )));
                }
                warnings.push(format!("{name}: {problem}: only what is readable is compared"));
            }
            Ok(recording)
        };
        files.iter().map(one).collect()
    };
    let (base, new) = (side(&args.base)?, side(&args.new)?);
    warnings.extend(repeated(args));
    let mut found = compare(&base, &new, history.as_ref(), &options)?;
    warnings.append(&mut found.warnings);
    found.warnings = warnings;
    if let Some(file) = file {
        picture::draw(file, (&base, &new), &found, &options)?;
    }
    let link = args.picture_url.clone();
    let link = link.or_else(|| args.output.as_ref().map(|file| file.display().to_string()));
    let report = Report { found: &found, picture: link.as_deref(), width: None };
    for (format, file) in &args.write {
        let mut bytes = Vec::new();
        report.write(*format, &mut bytes)?;
        save(file, 0o666, &bytes)?;
    }
    if let Some(file) = &args.append_history {
        history::append(file, &found)?;
    }
    if !matches!(args.format, CompareFormat::Text | CompareFormat::Markdown) {
        found.warnings.iter().for_each(|warning| streams.say(&format!("warning: {warning}")));
    }
    let report = Report { width: table_width(args.columns), ..report };
    report.write(args.format, streams.out)?;
    Ok(match found.verdict {
        Verdict::Pass | Verdict::Improved => Exit::Success,
        Verdict::Inconclusive => Exit::Inconclusive,
        Verdict::Regressed => Exit::Regression,
    })
}

/// What all forms are made of.
#[derive(Clone, Copy, Debug)]
struct Report<'a> {
    found: &'a Comparison,
    /// Where the picture is.
    picture: Option<&'a str>,
    /// Characters of a line, where they are limited: on a terminal or when asked for, not in files.
    width: Option<usize>,
}

impl Report<'_> {
    fn write(&self, format: CompareFormat, out: &mut dyn Write) -> Result<(), Failure> {
        match format {
            CompareFormat::Text => Ok(text::write(self, out)?),
            CompareFormat::Json => machine::json(self, out),
            CompareFormat::Csv => Ok(machine::csv(self.found, out)?),
            CompareFormat::Markdown => Ok(markdown::write(self, out)?),
            CompareFormat::Junit => Ok(junit::write(self.found, out)?),
            CompareFormat::Bencher => machine::bencher(self.found, out),
            CompareFormat::GithubActionBenchmark => machine::action_benchmark(self.found, out),
        }
    }
}

/// Recordings that take part more than once: they look like several runs that do not vary.
fn repeated(args: &CompareArgs) -> Vec<String> {
    let mut known = BTreeSet::new();
    let is_again = |file: &&PathBuf| file.canonicalize().is_ok_and(|place| !known.insert(place));
    let twice: Vec<&PathBuf> = args.base.iter().chain(&args.new).filter(is_again).collect();
    let warning = |file: &&PathBuf| {
        format!("{} takes part more than once, and is no run of its own then", file.display())
    };
    twice.iter().map(warning).collect()
}

/// Why less is known than was recorded.
fn problem(recording: &Recording) -> Option<String> {
    if let Some(damage) = recording.view.overview.damage.first() {
        return Some(format!("the recording is damaged ({damage})"));
    }
    match recording.trace.completeness() {
        Completeness::Complete => None,
        Completeness::Interrupted => Some("the recorder was interrupted, or still writes".into()),
        Completeness::Damaged => Some("the recording is damaged".to_owned()),
    }
}

/// What flags say, and what the gate says besides.
fn settings(args: &CompareArgs) -> Result<Settings, Failure> {
    let gate = match &args.gate {
        None => Settings::default(),
        Some(file) => read_gate(file)?,
    };
    let mut rules: Vec<Rule> = Vec::new();
    for text in &args.fail_on {
        let rule = Rule::parse(text).map_err(|error| {
            let column = text.get(..error.at).unwrap_or(text).chars().count() + 1;
            Failure::Usage(format!("--fail-on '{text}', character {column}: {}", error.message))
        })?;
        if !rules.iter().any(|known| known.text == rule.text) {
            rules.push(rule);
        }
    }
    let share = |flag: &str, share: Option<Share>, bounds| {
        let share = share.map(|share| within(share, &bounds)).transpose();
        share.map_err(|message| Failure::Usage(format!("--{flag}: {message}")))
    };
    let flags = Settings {
        align: args.align.map(|align| match align {
            AlignBy::Progress => Align::Progress,
            AlignBy::Time => Align::Time,
            AlignBy::Marks => Align::Marks,
        }),
        hot: share("hot", args.hot, HOT)?,
        idle_ns: args.idle,
        group_by: args.group.map(|group| match group {
            Group::Mapping => GroupBy::Mapping,
            Group::File => GroupBy::File,
            Group::Kind => GroupBy::Kind,
        }),
        false_alarms: share("false-alarms", args.false_alarms, RISK)?,
        misses: share("misses", args.misses, RISK)?,
        run_noise: share("run-noise", args.run_noise, NOISE)?,
        allow_different: args.allow_different.then_some(true),
        allow_damaged: args.allow_damaged.then_some(true),
        rules: (!rules.is_empty()).then_some(rules),
    };
    Ok(flags.or(gate))
}

fn read_gate(file: &Path) -> Result<Settings, Failure> {
    let mut text = String::new();
    let more = MOST_BYTES.saturating_add(1);
    let read = File::open(file).and_then(|f| f.take(more).read_to_string(&mut text));
    read.map_err(|error| {
        Failure::Usage(format!("{}: cannot read the gate: {error}", file.display()))
    })?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Failure::Usage(format!("{}: larger than any gate", file.display())));
    }
    gate::parse(&text).map_err(|error| Failure::Usage(format!("{}:{error}", file.display())))
}

fn options(settings: Settings) -> Options {
    let usual = Options::default();
    let Certainty { false_alarms, misses } = usual.certainty;
    Options {
        align: settings.align.unwrap_or(usual.align),
        hot: settings.hot.unwrap_or(usual.hot),
        idle_ns: settings.idle_ns.unwrap_or(usual.idle_ns),
        group_by: settings.group_by.unwrap_or(usual.group_by),
        certainty: Certainty {
            false_alarms: settings.false_alarms.unwrap_or(false_alarms),
            misses: settings.misses.unwrap_or(misses),
        },
        run_noise: settings.run_noise.unwrap_or(usual.run_noise),
        allow_different: settings.allow_different.unwrap_or(usual.allow_different),
        rules: settings.rules.unwrap_or_default(),
        ..usual
    }
}

/// Writes a file that is complete or not there.
impl From<CompareError> for Failure {
    fn from(error: CompareError) -> Self {
        Self::Usage(error.to_string())
    }
}
