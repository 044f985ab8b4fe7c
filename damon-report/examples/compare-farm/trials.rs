//! Trials: a base and a new version of a program, some runs of each, and how their comparison ends.

use super::random::Random;
use super::recording::{Size, record};
use super::workload::{Growth, PROGRAMS, Program};
use damon_report::analysis::compare::{
    Comparison, Entry, History, Options, Recording, Verdict, compare,
};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Range;

type Failure = Box<dyn Error + Send + Sync>;

/// What was changed in the new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Nothing: an alarm is false.
    Nothing,
    /// A working set larger by 10 %.
    WorkingSet,
    /// A hot set larger by 5 %.
    Hot,
}

impl Change {
    pub(crate) const ALL: [Self; 3] = [Self::Nothing, Self::WorkingSet, Self::Hot];

    fn growth(self) -> Growth {
        match self {
            Self::Nothing => Growth::NONE,
            Self::WorkingSet => Growth::WORKING_SET,
            Self::Hot => Growth::HOT,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::WorkingSet => "working set +10 %",
            Self::Hot => "hot set +5 %",
        }
    }
}

/// Runs on each side, and whether a history of earlier runs is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sides {
    pub(crate) runs: usize,
    pub(crate) history: bool,
}

/// Those that are tried.
pub(crate) const SIDES: [Sides; 5] = [
    Sides { runs: 1, history: false },
    Sides { runs: 3, history: false },
    Sides { runs: 5, history: false },
    Sides { runs: 1, history: true },
    Sides { runs: 3, history: true },
];

/// Most runs on a side.
const MOST: usize = 5;

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Trials in which nothing changed, over all programs.
    pub(crate) pairs: usize,
    /// Trials of each planted change.
    pub(crate) planted: usize,
    /// How runs are recorded.
    pub(crate) size: Size,
    /// Standard deviation of sizes and rates from run to run, as a share.
    pub(crate) spread: f64,
    /// Runs of the base from which trials draw; of each grown version half as many.
    pub(crate) pool: usize,
    /// Runs of a history.
    pub(crate) history: usize,
    pub(crate) seed: u64,
}

/// Which cell of the table.
pub(crate) type Cell = (usize, Change, Sides);

/// How comparisons ended, by cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) cells: BTreeMap<Cell, Ends>,
    /// Of metrics, by name: trials without a change in which they alarmed at the first three kinds of sides.
    pub(crate) false_alarms: BTreeMap<String, usize>,
    /// Standard deviations of gated metrics from run to run, as a share of their means: their sum, and how many.
    pub(crate) noise: BTreeMap<(usize, String), (f64, usize)>,
}

/// How many ended so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) pass: usize,
    pub(crate) improved: usize,
    pub(crate) inconclusive: usize,
    pub(crate) regressed: usize,
}

impl Ends {
    fn count(&mut self, verdict: Verdict) {
        let place = match verdict {
            Verdict::Pass => &mut self.pass,
            Verdict::Improved => &mut self.improved,
            Verdict::Inconclusive => &mut self.inconclusive,
            Verdict::Regressed => &mut self.regressed,
        };
        *place += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.pass += other.pass;
        self.improved += other.improved;
        self.inconclusive += other.inconclusive;
        self.regressed += other.regressed;
    }

    pub(crate) fn all(self) -> usize {
        self.pass + self.improved + self.inconclusive + self.regressed
    }
}

impl Tally {
    fn add(mut self, other: Self) -> Self {
        for (cell, ends) in other.cells {
            self.cells.entry(cell).or_default().add(ends);
        }
        for (metric, count) in other.false_alarms {
            *self.false_alarms.entry(metric).or_default() += count;
        }
        for (metric, (sum, count)) in other.noise {
            let place = self.noise.entry(metric).or_default();
            *place = (place.0 + sum, place.1 + count);
        }
        self
    }

    fn count(&mut self, cell: Cell, found: &Comparison) {
        self.cells.entry(cell).or_default().count(found.verdict);
        let (program, change, sides) = cell;
        if change != Change::Nothing {
            return;
        }
        for metric in found.metrics.iter().filter(|m| m.rule.is_some()) {
            if metric.verdict == Verdict::Regressed && !sides.history {
                *self.false_alarms.entry(metric.metric.to_string()).or_default() += 1;
            }
            if metric.base.len() == 5 {
                let place = self.noise.entry((program, metric.metric.to_string())).or_default();
                *place = (place.0 + relative_variance(&metric.base), place.1 + 1);
            }
        }
    }

    /// Over all programs.
    pub(crate) fn total(&self, change: Change, sides: Sides) -> Ends {
        let mut all = Ends::default();
        for ((_, of, with), ends) in &self.cells {
            if (*of, *with) == (change, sides) {
                all.add(*ends);
            }
        }
        all
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
fn relative_variance(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    if mean > 0.0 { squares / (count - 1.0) / (mean * mean) } else { 0.0 }
}

/// A seed for each run.
fn seed(plan: &Plan, numbers: [u64; 3]) -> u64 {
    let mix = |seed: u64, number: &u64| {
        let x = (seed ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(17)
    };
    numbers.iter().fold(plan.seed, mix)
}

/// Runs of one version of a program. They are exchangeable: any that follow each other are as good as any others.
type Runs = Vec<Recording>;

/// Of a version of each program, `count` runs; `version` tells versions apart.
fn runs(plan: &Plan, growth: Growth, version: u64, count: usize) -> Result<Vec<Runs>, Failure> {
    let of = |(index, program): (usize, &Program)| -> Result<Runs, Failure> {
        let one = |run: usize| {
            let seed = seed(plan, [index as u64, version, run as u64]);
            record(&program.run(seed, growth, plan.spread), program.name, plan.size, seed)
        };
        (0..count).into_par_iter().map(one).collect()
    };
    PROGRAMS.iter().enumerate().map(of).collect()
}

/// What runs measured, each for itself.
fn entries(runs: &Runs) -> Result<Vec<Entry>, Failure> {
    let (some, others) = runs.split_at(runs.len() / 2);
    let found = compare(some, others, None, &Options::default())?;
    Ok(found.entries(&found.base).chain(found.entries(&found.new)).collect())
}

/// A place for so many runs in a pool, beside those that are taken.
fn place(random: &mut Random, pool: usize, count: usize, taken: &[Range<usize>]) -> usize {
    loop {
        let places = pool.saturating_sub(count) as u64 + 1;
        let at = usize::try_from(random.below(places)).unwrap_or(0);
        if taken.iter().all(|taken| taken.end <= at || at + count <= taken.start) {
            return at;
        }
    }
}

/// All of a plan; `say` is told how far it is. The same plan gives the same tally.
pub(crate) fn perform(plan: &Plan, say: &(impl Fn(&str) + Sync)) -> Result<Tally, Failure> {
    // Both sides and a history come from it, and must find room beside each other wherever the first lie.
    let pool = plan.pool.max(4 * MOST + 4 * plan.history);
    let mut tally = Tally::default();
    let base = runs(plan, Growth::NONE, 0, pool)?;
    let earlier: Vec<Vec<Entry>> = base.par_iter().map(entries).collect::<Result<_, _>>()?;
    say("recorded the base");
    for (version, change) in (1..).zip(Change::ALL) {
        let wanted = if change == Change::Nothing { plan.pairs } else { plan.planted };
        let grown = match change {
            Change::Nothing => None,
            _ if wanted == 0 => continue,
            change => Some(runs(plan, change.growth(), version, pool / 2)?),
        };
        let one = |trial: usize| -> Result<Tally, Failure> {
            let index = trial % PROGRAMS.len();
            let mut random = Random::new(seed(plan, [u64::MAX, version, trial as u64]));
            let base_at = place(&mut random, pool, MOST, &[]);
            let mut taken: Vec<_> = std::iter::once(base_at..base_at + MOST).collect();
            let (new, new_at) = match &grown {
                None => (&base[index], place(&mut random, pool, MOST, &taken)),
                Some(grown) => (&grown[index], place(&mut random, pool / 2, MOST, &[])),
            };
            if change == Change::Nothing {
                taken.push(new_at..new_at + MOST);
            }
            let earlier_at = place(&mut random, pool, plan.history, &taken);
            let entries = &earlier[index][earlier_at..earlier_at + plan.history];
            let history = History { entries: entries.to_vec() };
            let (base, new) = (&base[index][base_at..], &new[new_at..]);
            let mut tally = Tally::default();
            for sides in SIDES {
                let history = sides.history.then_some(&history);
                if sides.history && plan.history == 0 {
                    continue;
                }
                let (base, new) = (&base[..sides.runs], &new[..sides.runs]);
                let found = compare(base, new, history, &Options::default())?;
                tally.count((index, change, sides), &found);
            }
            Ok(tally)
        };
        let parts: Result<Vec<Tally>, Failure> = (0..wanted).into_par_iter().map(one).collect();
        tally = parts?.into_iter().fold(tally, Tally::add);
        say(&format!("compared: {}", change.words()));
    }
    Ok(tally)
}
