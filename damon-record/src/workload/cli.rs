//! The command line of `damon-workload`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use super::builtin;
use super::driver::{self, Options, PlayError};
use super::memory::Memory;
use super::number;
use super::simulated::Simulated;
use super::spec::{MAX_TEXT_BYTES, Spec};
use crate::replay::lackey::{self, DEFAULT_RATE, FoldError};
use crate::units::parse_duration;

const EXAMPLES: &str = "\
Examples:
  damon-workload stairs                           ten areas, hot one after the other, 10 s
  damon-workload islands --truth islands.jsonl    and write down what was touched when
  damon-workload my.txt --duration 1m             own phases again and again for a minute
  damon-workload stairs --wait --truth -          populate, say `ready`, start at a key press
  damon-record -- damon-workload stairs           record it
  damon-workload --list                           what comes with the program
  damon-workload simulate stairs -o touches       what would be touched when, for replay
  valgrind --tool=lackey --trace-mem=yes --log-fd=9 sort FILE 9>&1 >/dev/null |
    damon-workload fold-lackey -o touches         what a program touches, for replay
  damon-record --backend replay:touches           the monitor's engine on it, without a machine

docs/WORKLOADS.md describes workload files and the truth.

Exit status: 0 all phases ran; 2 the command line or the workload makes no sense;
3 the memory cannot be had; 5 the truth cannot be written; 128 + N ended by signal N.";

/// Access memory in a way that is known, to see whether a monitor finds it out.
#[derive(Debug, Parser)]
#[command(
    name = "damon-workload",
    version,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    /// Something else than performing a workload
    #[command(subcommand)]
    pub action: Option<Action>,

    /// A built-in workload (see --list), or else a workload file
    #[arg(value_name = "NAME|FILE", required_unless_present = "list")]
    pub workload: Option<PathBuf>,

    /// Write down what was touched when, one JSON object a line; "-" is standard output
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,

    /// Decides the random orders
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Run all phases N times [default: once, or until --duration is over]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub repeat: Option<u64>,

    /// End after this time, for example 30s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,

    /// Stay idle for this time before the first phase
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub delay: Option<Duration>,

    /// Populate, then wait until standard input has a byte or ends
    #[arg(long)]
    pub wait: bool,

    /// Put the files of file areas here [default: the folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,

    /// List the built-in workloads
    #[arg(long)]
    pub list: bool,
}

/// What makes touch logs.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Write down the touches of a workload, on a clock that is never late, without performing it
    Simulate {
        /// A built-in workload, or else a workload file
        #[arg(value_name = "NAME|FILE")]
        workload: PathBuf,
        /// The touch log
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// The account, as --truth
        #[arg(long, value_name = "FILE")]
        truth: Option<PathBuf>,
        /// Decides the random orders
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
    },
    /// Fold what `valgrind --tool=lackey --trace-mem=yes` writes, from standard input
    FoldLackey {
        /// The touch log
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// What was run, for people
        #[arg(long, value_name = "TEXT", default_value = "a program")]
        name: String,
        /// Instructions that count as one second
        #[arg(long, value_name = "N/s", value_parser = parse_rate, default_value_t = DEFAULT_RATE)]
        rate: u64,
    },
}

fn parse_rate(text: &str) -> Result<u64, String> {
    let rate = number::rate(text).filter(|rate| *rate >= 1000);
    rate.ok_or_else(|| format!("{text} is no rate: instructions per second, for example 1M/s"))
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Play(#[from] PlayError),
    #[error(transparent)]
    Fold(#[from] FoldError),
    #[error("cannot write {what}: {source}")]
    Output { what: String, source: io::Error },
}

impl Failure {
    fn status(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Fold(FoldError::NoTrace { .. }) => 2,
            Self::Play(PlayError::Memory(_)) | Self::Fold(FoldError::Read(_)) => 3,
            Self::Play(PlayError::Truth(_) | PlayError::Simulation(_))
            | Self::Fold(FoldError::Write(_))
            | Self::Output { .. } => 5,
        }
    }
}

/// The program, from its arguments (the first is its name) to its exit status.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to do if even this cannot be written.
            let _written = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match cli.run() {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(signal)) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(255)),
        Err(failure) => {
            let _written = writeln!(io::stderr(), "damon-workload: {failure}");
            ExitCode::from(failure.status())
        }
    }
}

impl Cli {
    fn run(self) -> Result<Option<i32>, Failure> {
        match self.action {
            Some(Action::Simulate { workload, output, truth, seed }) => {
                return simulate(&workload, &output, truth.as_ref(), seed).map(|()| None);
            }
            Some(Action::FoldLackey { output, name, rate }) => {
                return fold_lackey(&output, &name, rate).map(|()| None);
            }
            None => {}
        }
        let Some(workload) = self.workload.as_ref().filter(|_| !self.list) else {
            let output = |source| Failure::Output { what: "the list".into(), source };
            return list().map(|()| None).map_err(output);
        };
        let (name, spec) = load(workload)?;
        let mut truth = truth_to(self.truth.as_ref())?;
        let dir = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let mut memory = Memory::map(&spec, &dir).map_err(PlayError::from)?;
        Ok(driver::play(&spec, &mut memory, &self.options(name), &mut truth)?)
    }

    fn options(&self, name: String) -> Options {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Options {
            name,
            seed: self.seed,
            rounds: self.repeat.or(if self.duration.is_some() { None } else { Some(1) }),
            limit_ns: self.duration.map(ns),
            delay_ns: self.delay.map_or(0, ns),
            wait: self.wait,
        }
    }
}

fn load(workload: &PathBuf) -> Result<(String, Spec), Failure> {
    let name = workload.display().to_string();
    let text = match builtin::text(&name) {
        Some(text) => text.to_owned(),
        None => read(workload, &name)?,
    };
    let spec = Spec::parse(&text).map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
    Ok((name, spec))
}

fn create(path: &PathBuf) -> Result<File, Failure> {
    let what = path.display().to_string();
    File::create(path).map_err(|source| Failure::Output { what, source })
}

fn truth_to(path: Option<&PathBuf>) -> Result<Box<dyn Write>, Failure> {
    Ok(match path {
        None => Box::new(io::sink()),
        Some(path) if path.as_os_str() == "-" => Box::new(io::stdout()),
        Some(path) => Box::new(create(path)?),
    })
}

fn simulate(
    workload: &PathBuf,
    output: &PathBuf,
    truth: Option<&PathBuf>,
    seed: u64,
) -> Result<(), Failure> {
    let (name, spec) = load(workload)?;
    let mut truth = truth_to(truth)?;
    let options = Options {
        name: name.clone(),
        seed,
        rounds: Some(1),
        limit_ns: None,
        delay_ns: 0,
        wait: false,
    };
    let out = BufWriter::new(create(output)?);
    let mut machine = Simulated::new(out, &spec, &name).map_err(PlayError::from)?;
    let _never_interrupted = driver::play(&spec, &mut machine, &options, &mut truth)?;
    machine.finish(&spec).map_err(PlayError::from)?;
    Ok(())
}

fn fold_lackey(output: &PathBuf, name: &str, rate: u64) -> Result<(), Failure> {
    let out = BufWriter::new(create(output)?);
    let folded = lackey::fold(io::stdin().lock(), out, name, rate)?;
    // Nothing is left to do if this cannot be written.
    let _written = writeln!(
        io::stderr(),
        "{} instructions, {} loads and stores, {} pages; {} lines not understood",
        folded.instructions,
        folded.accesses,
        folded.pages,
        folded.strange
    );
    Ok(())
}

fn list() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (name, text) in builtin::ALL {
        let title = Spec::parse(text).map(|spec| spec.title).unwrap_or_default();
        writeln!(out, "{name:<10} {title}")?;
    }
    out.flush()
}

fn read(path: &PathBuf, name: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let limit = MAX_TEXT_BYTES as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text)).map_err(
        |source| {
            let names: Vec<_> = builtin::ALL.iter().map(|(name, _)| *name).collect();
            Failure::Usage(format!(
                "{name} is no built-in workload ({}) and cannot be read as a file: {source}",
                names.join(", ")
            ))
        },
    )?;
    Ok(text)
}
