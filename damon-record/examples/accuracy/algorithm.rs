//! All that is measured of the algorithm alone: the rows of the replays, and whether stated intervals hold.

use std::path::Path;

use damon_record::monitor::Rounding;

use super::intervals::{self, IntervalRow, Pool, Tallies};
use super::judge::Verdict;
use super::patterns::Pattern;
use super::replays::{self, PROGRAMS};
use super::rows::{Row, Summary};

/// Repetitions of a replay: as many as cost nothing much.
const REPLAYS: u64 = 5;
/// Monitors per pattern and per program whose intervals are judged: some thousand windows each.
const RUNS: u64 = 60;
const PROGRAM_RUNS: u64 = 5;

/// A touch log, and how long a monitor may take until it is judged.
#[derive(Debug)]
pub struct Subject {
    name: &'static str,
    log: Result<Vec<u8>, String>,
    settle_ns: u64,
    is_program: bool,
}

/// The logs of patterns, and of the programs if wanted.
pub fn subjects(folder: &Path, patterns: &[Pattern], programs: bool) -> Vec<Subject> {
    let simulated = patterns.iter().map(|pattern| Subject {
        name: pattern.name,
        log: replays::simulate(&pattern.text(), 1),
        settle_ns: replays::SETTLE,
        is_program: false,
    });
    let traced = PROGRAMS.iter().filter(|_| programs).map(|program| Subject {
        name: program.name,
        log: replays::program(folder, program),
        settle_ns: 0,
        is_program: true,
    });
    simulated.chain(traced).collect()
}

/// Rows as those of backends.
pub fn rows(subjects: &[Subject], limits: &[u32]) -> Vec<Row> {
    let mut rows = Vec::new();
    for &limit in limits {
        rows.extend(subjects.iter().map(|subject| Row {
            pattern: subject.name.into(),
            backend: "replay".into(),
            max_regions: limit,
            machine: None,
            outcome: subject.log.as_ref().map_err(Clone::clone).and_then(|log| {
                let verdict = |seed| replays::judge(log, limit, seed, subject.settle_ns);
                let verdicts: Result<Vec<Verdict>, String> = (1..=REPLAYS).map(verdict).collect();
                verdicts.map(|verdicts| Summary::of(&verdicts))
            }),
        }));
    }
    rows.sort_by_key(|row| row.max_regions);
    rows
}

/// Whether the stated intervals hold: by subject and maximum, and pooled. Subjects without a log are left out.
pub fn intervals(
    subjects: &[Subject],
    limits: &[u32],
    progress: impl Fn(&IntervalRow),
) -> Result<(Vec<IntervalRow>, Vec<Pool>), String> {
    let mut rows = Vec::new();
    let mut pools = [Tallies::default(), Tallies::default()];
    let mut limits = limits.to_vec();
    limits.sort_unstable();
    for &limit in &limits {
        for subject in subjects {
            let Ok(log) = &subject.log else {
                continue;
            };
            let runs = if subject.is_program { PROGRAM_RUNS } else { RUNS };
            let rounding = Rounding::Once;
            let tallies = intervals::judge(log, limit, runs, subject.settle_ns, rounding)?;
            let row = tallies.row(subject.name, limit, runs);
            progress(&row);
            rows.push(row);
            pools[usize::from(subject.is_program)].extend(&tallies);
        }
    }
    let mut all = Tallies::default();
    for pool in &pools {
        all.extend(pool);
    }
    let [patterns, programs] = &pools;
    let pools = vec![patterns.pool("patterns"), programs.pool("programs"), all.pool("all")];
    Ok((rows, pools))
}

/// The same by pattern for monitors that round as the kernel does where they merge.
pub fn kernel_intervals(
    subjects: &[Subject],
    limits: &[u32],
    progress: impl Fn(&IntervalRow),
) -> Result<Vec<IntervalRow>, String> {
    let mut rows = Vec::new();
    for &limit in limits {
        for subject in subjects.iter().filter(|subject| !subject.is_program) {
            let Ok(log) = &subject.log else {
                continue;
            };
            let rounding = Rounding::EachMergeDown;
            let tallies = intervals::judge(log, limit, RUNS, subject.settle_ns, rounding)?;
            let row = tallies.row(subject.name, limit, RUNS);
            progress(&row);
            rows.push(row);
        }
    }
    Ok(rows)
}
