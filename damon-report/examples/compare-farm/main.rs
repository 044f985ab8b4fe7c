//! Whether `compare` cries wolf, and whether it sees what it should: thousands of comparisons of made-up recordings
//! whose truth is known. `scripts/compare-farm` runs it; `docs/CI.md` has the results.
//!
//! Programs of [`workload`] are run with sizes, rates, places and phases that differ a little from run to run; the monitor's own engine records
//! them ([`recording`]); [`trials`] compares versions of them with 1, 3 and 5 runs a side.
#![expect(clippy::print_stderr, reason = "progress of a long computation, run by hand")]

mod random;
mod recording;
mod table;
mod trials;
mod workload;

use clap::Parser;
use recording::Size;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use trials::{Plan, perform};

/// Measure how often comparisons are wrong.
#[derive(Debug, Parser)]
#[command(name = "compare-farm")]
struct Cli {
    /// Comparisons in which nothing has changed, at each number of runs
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pairs: usize,

    /// Comparisons with each planted change
    #[arg(long, value_name = "N", default_value_t = 400)]
    planted: usize,

    /// Aggregations of 100 ms in each recording
    #[arg(long, value_name = "N", default_value_t = 600)]
    aggregations: u32,

    /// Most regions
    #[arg(long, value_name = "N", default_value_t = 150)]
    regions: u32,

    /// Standard deviation of a program's sizes and rates from run to run, per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    spread: f64,

    /// Runs of each program from which comparisons draw; of each grown version half as many
    #[arg(long, value_name = "N", default_value_t = 100)]
    pool: usize,

    /// Earlier runs in the history
    #[arg(long, value_name = "N", default_value_t = 20)]
    history: usize,

    /// Everything random follows from it
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Only write one recording of each program into FOLDER, to look at
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,

    /// Fail unless false alarms are at most 1 % and 95 % of the planted changes are found with five runs a side
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("compare-farm: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let plan = Plan {
        pairs: cli.pairs,
        planted: cli.planted,
        size: Size { aggregations: cli.aggregations, regions: cli.regions },
        spread: cli.spread / 100.0,
        pool: cli.pool,
        history: cli.history,
        seed: cli.seed,
    };
    if let Some(folder) = &cli.write {
        for program in &workload::PROGRAMS {
            let run = program.run(plan.seed, workload::Growth::NONE, plan.spread);
            let bytes = recording::bytes(&run, program.name, plan.size, plan.seed)?;
            std::fs::write(folder.join(program.name).with_extension("damon"), bytes)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let start = Instant::now();
    let say = |what: &str| eprintln!("{:5.0} s  {what}", start.elapsed().as_secs_f64());
    let tally = perform(&plan, &say)?;
    table::write(&mut std::io::stdout().lock(), &plan, &tally)?;
    let failures = table::failures(&tally);
    for failure in &failures {
        eprintln!("compare-farm: {failure}");
    }
    Ok(if cli.check && !failures.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trials::{Change, SIDES, Sides};
    use workload::{Growth, PROGRAMS};

    /// A farm of some seconds, so that the great one is known to run. Its seed is fixed: it gives the same each time.
    #[test]
    fn a_small_farm_sees_what_is_planted_and_nothing_else() {
        let plan = Plan {
            pairs: 40,
            planted: 16,
            size: Size { aggregations: 60, regions: 60 },
            spread: 0.01,
            pool: 20,
            history: 0,
            seed: 1,
        };
        let tally = perform(&plan, &|_| ()).unwrap();
        for sides in SIDES.into_iter().filter(|sides| !sides.history) {
            let ends = tally.total(Change::Nothing, sides);
            assert_eq!((ends.all(), ends.regressed), (40, 0), "{sides:?}");
        }
        let found = tally.total(Change::WorkingSet, Sides { runs: 5, history: false });
        assert!(found.regressed >= 15, "{found:?}");
        let table = {
            let mut out = Vec::new();
            table::write(&mut out, &plan, &tally).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(table.contains("| nothing | 5 against 5 | 40 | 0 (0.0 %) |"), "{table}");
    }

    #[test]
    fn runs_of_a_program_differ_and_growth_is_what_it_says() {
        let accessed = |frame: &(f64, Vec<workload::Piece>)| -> u64 {
            frame.1.iter().map(|piece| piece.end - piece.start).sum()
        };
        for program in &PROGRAMS {
            let run = program.run(7, Growth::NONE, 0.01);
            assert_eq!(run, program.run(7, Growth::NONE, 0.01), "{}", program.name);
            assert_ne!(run, program.run(8, Growth::NONE, 0.01), "{}", program.name);
            // Exactly, when nothing varies; to a page for each piece. One has bursts that are cut off.
            let base = program.run(7, Growth::NONE, 0.0);
            let grown = program.run(7, Growth::WORKING_SET, 0.0);
            for (old, new) in base.frames.iter().zip(&grown.frames) {
                let exact = accessed(old) * 11 / 10;
                let off = accessed(new).abs_diff(exact);
                assert!(off <= 4096 * 9 || program.name == "load", "{}: {off}", program.name);
                let inside = |piece: &workload::Piece| piece.end <= grown.size;
                assert!(new.1.iter().all(inside), "{}", program.name);
                let follow = |pair: &[workload::Piece]| pair[0].end <= pair[1].start;
                assert!(new.1.windows(2).all(follow), "{}", program.name);
            }
        }
    }
}
