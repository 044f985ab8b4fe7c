//! How accurate the monitors are, measured against programs whose accesses are known.
//!
//! `scripts/accuracy` runs it and writes `docs/ACCURACY.md`, which explains what is measured.
#![expect(clippy::print_stderr, reason = "progress of a long measurement, run by hand")]
#![expect(unreachable_pub, reason = "modules of a program")]

mod algorithm;
mod coverage;
mod document;
mod held;
mod intervals;
mod judge;
mod metrics;
mod num;
mod patterns;
mod physical;
mod programs;
mod replays;
mod rows;
mod speed;
mod text;
mod truth;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};

use document::{CostRow, Results};
use intervals::IntervalRow;
use judge::{Verdict, judge};
use patterns::Pattern;
use programs::{Programs, Setup};
use rows::{Row, Summary};

/// Measure how accurate the monitors are.
#[derive(Debug, Parser)]
#[command(name = "damon-accuracy")]
struct Cli {
    /// Write the document to FILE
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    /// Write the numbers to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Text that was written by hand, for the end of the document
    #[arg(long, value_name = "FILE")]
    notes: Option<PathBuf>,

    /// Patterns [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pattern: Vec<String>,

    /// Backends, and paddr for the kernel's DAMON on physical memory; one that does not work here gets a row with the reason
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "pte,writes,idle,soft-dirty,referenced"
    )]
    backend: Vec<String>,

    /// Region limits of sampled backends
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "200")]
    max_regions: Vec<u32>,

    /// Further region limits, for the patterns islands and two-level only
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "50,1000")]
    more_regions: Vec<u32>,

    /// Repetitions
    #[arg(long, value_name = "N", default_value_t = 2)]
    repeat: u64,

    /// Measure only this; with "replays" and "nothing" all else stays as --json FILE has it
    #[arg(long, value_name = "WHAT", value_enum)]
    only: Option<Part>,

    /// Measure nothing: take the rows of backends from FILE, which another machine's --json wrote, and all else as
    /// --json FILE has it
    #[arg(long, value_name = "FILE", value_delimiter = ',', requires = "json")]
    merge: Vec<PathBuf>,

    /// Something to be said of this machine
    #[arg(long, value_name = "TEXT")]
    machine: Option<String>,

    /// Leave out the speed of a target while it is recorded
    #[arg(long)]
    no_costs: bool,

    /// Leave out the programs that valgrind traces
    #[arg(long)]
    no_programs: bool,

    /// Two patterns, once, and nothing else: some seconds
    #[arg(long)]
    quick: bool,
}

/// A part of what can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The algorithm alone, and whether the stated intervals hold: nothing here depends on the machine.
    Replays,
    /// Backends on this machine.
    Backends,
    /// To write the document anew.
    Nothing,
}

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("accuracy: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    fn run(mut self) -> Result<(), String> {
        if self.quick {
            self.repeat = 1;
            self.more_regions.clear();
            if self.pattern.is_empty() {
                self.pattern = vec!["islands".into(), "stairs".into()];
            }
        }
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let patterns = self.patterns()?;
        let keeps = matches!(self.only, Some(Part::Replays | Part::Nothing));
        let mut results = match &self.json {
            Some(path) if keeps || !self.merge.is_empty() => parse(path)?,
            _ => Results::new(self.repeat, self.quick, self.machine.as_deref()),
        };
        for path in &self.merge {
            results.merge(&parse(path)?);
        }
        if self.merge.is_empty() {
            self.measure_wanted(folder.path(), &patterns, &mut results)?;
        }
        if let Some(earlier) = self.json.as_deref().filter(|path| path.exists()) {
            results.keep_from_elsewhere(&parse(earlier)?);
        }
        let notes = self.notes.as_deref().map(read).transpose()?.unwrap_or_default();
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&results).map_err(|error| error.to_string())?;
            write(path, &format!("{text}\n"))?;
        }
        let text = document::markdown(&results, &patterns, &notes);
        if let Some(path) = &self.markdown {
            write(path, &text)?;
        }
        Ok(())
    }

    fn measure_wanted(
        &self,
        folder: &Path,
        patterns: &[Pattern],
        results: &mut Results,
    ) -> Result<(), String> {
        let begun = Instant::now();
        if matches!(self.only, None | Some(Part::Replays)) {
            self.replay(folder, patterns, results, begun)?;
        }
        if matches!(self.only, None | Some(Part::Backends)) {
            self.record(folder, patterns, results, begun)?;
            results.lasted_s = begun.elapsed().as_secs();
        }
        Ok(())
    }

    /// The algorithm alone, on patterns and on programs.
    fn replay(
        &self,
        folder: &Path,
        patterns: &[Pattern],
        results: &mut Results,
        begun: Instant,
    ) -> Result<(), String> {
        let programs = !self.quick && !self.no_programs;
        let subjects = algorithm::subjects(folder, patterns, programs);
        let limits: Vec<u32> = self.more_regions.iter().chain(&self.max_regions).copied().collect();
        results.replays = algorithm::rows(&subjects, &limits);
        for row in &results.replays {
            eprintln!("{:>4} s  {}", begun.elapsed().as_secs(), row.one_line());
        }
        let progress = |row: &IntervalRow| {
            eprintln!("{:>4} s  {}", begun.elapsed().as_secs(), document::interval_line(row));
        };
        (results.intervals, results.pools) = algorithm::intervals(&subjects, &limits, progress)?;
        let progress = |row: &IntervalRow| {
            eprintln!("{:>4} s  {}", begun.elapsed().as_secs(), document::kernel_line(row));
        };
        results.kernel_intervals =
            algorithm::kernel_intervals(&subjects, &self.max_regions, progress)?;
        Ok(())
    }

    /// Backends, on this machine.
    fn record(
        &self,
        folder: &Path,
        patterns: &[Pattern],
        results: &mut Results,
        begun: Instant,
    ) -> Result<(), String> {
        let programs = Programs::beside_this()?;
        for setup in self.setups() {
            let refusal = programs.refusal(&setup);
            for pattern in patterns {
                for limit in self.limits(&setup, pattern) {
                    let setup = Setup { max_regions: limit, ..setup.clone() };
                    let row = match &refusal {
                        Some(reason) => Row::of(pattern, &setup, Err(reason.clone())),
                        None => self.measure(&programs, folder, pattern, &setup),
                    };
                    eprintln!("{:>4} s  {}", begun.elapsed().as_secs(), row.one_line());
                    results.rows.push(row);
                }
            }
            if self.no_costs || setup.physical {
                continue;
            }
            let cost = match refusal {
                None if !self.quick => speed::measure(&programs, folder, &setup),
                None => Err("not measured in a quick run".into()),
                Some(reason) => Err(reason),
            };
            results.costs.push(CostRow { backend: setup.name(), outcome: cost });
        }
        Ok(())
    }

    fn patterns(&self) -> Result<Vec<Pattern>, String> {
        let mut all = patterns::all();
        let names: Vec<&str> = all.iter().map(|pattern| pattern.name).collect();
        if let Some(unknown) = self.pattern.iter().find(|name| !names.contains(&name.as_str())) {
            return Err(format!("there is no pattern {unknown}; there are: {}", names.join(", ")));
        }
        if !self.pattern.is_empty() {
            all.retain(|pattern| self.pattern.iter().any(|name| name == pattern.name));
        }
        Ok(all)
    }

    /// Sampled, exact, or the only way there is.
    fn setups(&self) -> Vec<Setup> {
        let max_regions = self.max_regions.first().copied().unwrap_or(200);
        let setup = |backend: &String, exact| Setup {
            backend: backend.clone(),
            exact,
            physical: false,
            max_regions,
        };
        let both = |backend: &String| match backend.as_str() {
            "pte" | "writes" => vec![setup(backend, false), setup(backend, true)],
            "soft-dirty" => vec![setup(backend, true)],
            "paddr" => vec![Setup { physical: true, ..setup(&"damon".into(), false) }],
            _ => vec![setup(backend, false)],
        };
        self.backend.iter().flat_map(both).collect()
    }

    fn limits(&self, setup: &Setup, pattern: &Pattern) -> Vec<u32> {
        let more = ["islands", "two-level"].contains(&pattern.name);
        let regions_matter = !setup.exact && setup.backend != "referenced";
        let more = self.more_regions.iter().filter(|_| more && regions_matter);
        let one = if regions_matter { usize::MAX } else { 1 };
        self.max_regions.iter().take(one).chain(more).copied().collect()
    }

    fn measure(&self, programs: &Programs, folder: &Path, pattern: &Pattern, setup: &Setup) -> Row {
        let mut verdicts: Vec<Verdict> = Vec::new();
        let mut last_error = None;
        for seed in 1..=self.repeat {
            match programs.record(folder, &pattern.text(), setup, seed) {
                Ok((recording, truth)) => verdicts.push(judge(&recording, &truth)),
                Err(error) => last_error = Some(error),
            }
        }
        let outcome = match last_error {
            Some(error) if verdicts.is_empty() => Err(error),
            _ => Ok(Summary::of(&verdicts)),
        };
        Row::of(pattern, setup, outcome)
    }
}

impl Row {
    fn of(pattern: &Pattern, setup: &Setup, outcome: Result<Summary, String>) -> Self {
        Self {
            pattern: pattern.name.into(),
            backend: setup.name(),
            max_regions: setup.max_regions,
            machine: None,
            outcome,
        }
    }
}

/// What an earlier run, or another machine's, has written.
fn parse(path: &Path) -> Result<Results, String> {
    Results::parse(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
