//! Whether the stated intervals hold: many monitors, each with a seed of its own, on one touch log. There is no
//! machine in it, so that nothing but sampling is judged, and thousands of windows cost seconds.
//!
//! Beside the stated intervals it looks behind them: at the regions while they were sampled, before they were merged,
//! and at the standard deviation that the estimate really had.

use std::convert::Infallible;
use std::ops::Range;

use damon_format::Snapshot;
use damon_record::monitor::{AddressRange, Engine, Rounding, compact_ranges};
use damon_record::replay::log::LogReader;
use damon_record::replay::perform::{Observer, Settings, TARGET, mappings, perform};
use damon_report::analysis::sampling_error::{Interval, RateSum};
use damon_report::analysis::wss::WorkingSetOptions;
use serde::{Deserialize, Serialize};

use super::coverage::{self, Coverage};
use super::held::{Held, Runs};
use super::num::{float, ratio};
use super::replays::{attrs, count};
use super::truth::Reality;

/// An estimate varies if its standard deviation is at least this part of the truth.
pub const VARIES: f64 = 0.02;

/// Two-sided 95 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// What came out for one touch log and one maximum of regions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalRow {
    /// What was observed.
    pub pattern: String,
    /// Upper bound of regions.
    pub max_regions: u32,
    /// Monitors.
    pub runs: u64,
    /// Median of the true standard deviation of the estimate of the working set over the truth.
    pub deviation: Option<f64>,
    /// Median of the length of the stated interval over that of one of ± 1.96 true standard deviations.
    pub width: Option<f64>,
    /// Intervals of the working set.
    pub working_set: Option<Held>,
    /// The same intervals without what merging loses.
    #[serde(default)]
    pub sampling_alone: Option<Held>,
    /// Mean of the estimate of the working set over the truth.
    #[serde(default)]
    pub found: Option<f64>,
    /// Regions whose mean rate lies between 0 and 1: intervals of their rates.
    pub between: Option<Held>,
    /// All regions.
    pub regions: Option<Held>,
}

/// Statements from several rows together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Which.
    pub name: String,
    /// Windows in which the estimate varies.
    pub varying: Option<Held>,
    /// The same windows with the intervals that could be stated if the trace told the counts before merging.
    pub unmerged: Option<Held>,
    /// The same windows: ± 1.96 true standard deviations around the estimate from the counts before merging. If theory
    /// is right, 95 %.
    pub theory: Option<Held>,
    /// The same windows with what is stated where the snapshot before is not known.
    pub alone: Option<Held>,
    /// All other windows.
    pub steady: Option<Held>,
}

/// The statements behind rows, run by run.
#[derive(Clone, Debug, Default)]
pub struct Tallies {
    working_set: Runs,
    sampling_alone: Runs,
    varying: Runs,
    theory: Runs,
    unmerged: Runs,
    alone: Runs,
    steady: Runs,
    between: Runs,
    regions: Runs,
    deviations: Vec<f64>,
    widths: Vec<f64>,
    found: Vec<f64>,
}

impl Tallies {
    /// Adds what a run found.
    fn push(&mut self, run: &Run) {
        let mut working_set = run.varying;
        working_set.add(&run.steady);
        self.working_set.push(working_set);
        self.sampling_alone.push(run.sampling_alone);
        self.varying.push(run.varying);
        self.theory.push(run.theory);
        self.unmerged.push(run.unmerged);
        self.alone.push(run.alone);
        self.steady.push(run.steady);
        self.between.push(run.between);
        self.regions.push(run.regions);
        self.deviations.extend(&run.deviations);
        self.widths.extend(&run.widths);
        self.found.extend(&run.found);
    }

    /// Adds what another row found.
    pub fn extend(&mut self, other: &Self) {
        self.varying.extend(&other.varying);
        self.theory.extend(&other.theory);
        self.unmerged.extend(&other.unmerged);
        self.alone.extend(&other.alone);
        self.steady.extend(&other.steady);
    }

    /// As a row.
    pub fn row(&self, pattern: &str, max_regions: u32, runs: u64) -> IntervalRow {
        IntervalRow {
            pattern: pattern.into(),
            max_regions,
            runs,
            deviation: median(&self.deviations),
            width: median(&self.widths),
            working_set: self.working_set.held(),
            sampling_alone: self.sampling_alone.held(),
            found: ratio(self.found.iter().sum(), float(self.found.len() as u64)),
            between: self.between.held(),
            regions: self.regions.held(),
        }
    }

    /// As a pool.
    pub fn pool(&self, name: &str) -> Pool {
        Pool {
            name: name.into(),
            varying: self.varying.held(),
            theory: self.theory.held(),
            unmerged: self.unmerged.held(),
            alone: self.alone.held(),
            steady: self.steady.held(),
        }
    }
}

/// Lets `runs` monitors loose on a log and judges what the report would state, of recordings of the kernel's DAMON where they round
/// as that does. `settle_ns` at the start are not judged.
pub fn judge(
    log: &[u8],
    max_regions: u32,
    runs: u64,
    settle_ns: u64,
    rounding: Rounding,
) -> Result<Tallies, String> {
    let open = || LogReader::open(log).map_err(|error| error.to_string());
    let areas = open()?.tail().map_err(|error| error.to_string())?.areas;
    let ranges = compact_ranges(&mappings(&areas), 4096, max_regions);
    let start = areas.first().map_or(0, |area| area.range.start);
    let domain = start..areas.last().map_or(start, |area| area.range.end);
    let attrs = attrs(max_regions);
    // Other seeds for other limits: rows that are pooled have no run in common.
    let first = u64::from(max_regions) * 10_000;
    let monitor = |seed| -> Result<Monitor, String> {
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        let engine = Engine::new(attrs, 4096, seed).map_err(|error| failed(&error))?;
        // The kernel's rounding goes with the kernel's cuts.
        let mut engine = match rounding {
            Rounding::Once => engine.cutting_around_accesses(),
            Rounding::EachMergeDown => engine,
        };
        engine.set_rounding(rounding);
        engine.add_target(TARGET).map_err(|error| failed(&error))?;
        engine.set_ranges(TARGET, &ranges).map_err(|error| failed(&error))?;
        Ok(Monitor { engine, rounding, parts: Vec::new(), previous: None, run: Run::default() })
    };
    let monitors = (first..first + runs).map(monitor).collect::<Result<_, _>>()?;
    let mut bank = Bank { monitors, settle_ns, domain, window: Window::default() };
    // The log is played to a monitor of its own, which is not looked at.
    let settings = Settings { attrs, seed: 0, exact: false };
    perform(open()?, &areas, &settings, &mut bank).map_err(|error| error.to_string())?;
    let mut tallies = Tallies::default();
    for monitor in &bank.monitors {
        tallies.push(&monitor.run);
    }
    Ok(tallies)
}

/// What one monitor stated.
#[derive(Clone, Debug, Default)]
struct Run {
    sampling_alone: Coverage,
    varying: Coverage,
    theory: Coverage,
    unmerged: Coverage,
    alone: Coverage,
    steady: Coverage,
    between: Coverage,
    regions: Coverage,
    deviations: Vec<f64>,
    widths: Vec<f64>,
    found: Vec<f64>,
}

/// The running window, as far as it is the same for all.
#[derive(Debug, Default)]
struct Window {
    samples: u32,
    /// Begins and ends of what was touched in each sample.
    touched: Vec<(u64, i32)>,
}

struct Bank {
    monitors: Vec<Monitor>,
    settle_ns: u64,
    domain: Range<u64>,
    window: Window,
}

struct Monitor {
    engine: Engine,
    rounding: Rounding,
    /// The regions while they are sampled.
    parts: Vec<Part>,
    previous: Option<Snapshot>,
    run: Run,
}

/// A region while it is sampled; sums over the samples so far.
struct Part {
    start: u64,
    end: u64,
    /// Bytes touched.
    touched: f64,
    /// Bytes touched times bytes not touched: the variance of bytes times hits.
    variance: f64,
}

/// Ranges that were touched, and the bytes in all of them before each.
struct Touched<'a> {
    ranges: &'a [AddressRange],
    before: Vec<u64>,
}

impl<'a> Touched<'a> {
    fn new(ranges: &'a [AddressRange]) -> Self {
        let sum = |sum: &mut u64, range: &AddressRange| {
            let before = *sum;
            *sum += range.size();
            Some(before)
        };
        Self { ranges, before: ranges.iter().scan(0, sum).collect() }
    }

    fn last(&self, address: u64) -> Option<usize> {
        self.ranges.partition_point(|range| range.start <= address).checked_sub(1)
    }

    fn contains(&self, address: u64) -> bool {
        self.last(address).is_some_and(|index| address < self.ranges[index].end)
    }

    /// Bytes below `address`.
    fn below(&self, address: u64) -> u64 {
        self.last(address).map_or(0, |index| {
            let range = self.ranges[index];
            self.before[index] + address.min(range.end) - range.start
        })
    }
}

impl Monitor {
    fn sample(&mut self, touched: &Touched<'_>, first: bool) {
        let engine = &mut self.engine;
        if first {
            let part = |region: &damon_record::monitor::MonitoredRegion| Part {
                start: region.start,
                end: region.end,
                touched: 0.0,
                variance: 0.0,
            };
            self.parts.clear();
            self.parts.extend(engine.regions(TARGET).iter().map(part));
        }
        for part in &mut self.parts {
            let bytes = float(touched.below(part.end) - touched.below(part.start));
            part.touched += bytes;
            part.variance += bytes * (float(part.end - part.start) - bytes);
        }
        engine.begin_round();
        let Ok(()) = engine.record(TARGET, |points, answers| {
            for (answer, point) in answers.iter_mut().zip(points) {
                *answer = touched.contains(*point);
            }
            Ok::<(), Infallible>(())
        });
        let _due = engine.end_round();
    }

    /// Ends the window; `reality` is nothing if it is not judged.
    fn aggregate(&mut self, lasted: (u64, u64), samples: u32, reality: Option<&Reality>) {
        let mut unmerged = RateSum::new(samples);
        for (part, region) in self.parts.iter().zip(self.engine.regions(TARGET)) {
            unmerged.add(float(part.end - part.start), region.nr_accesses, 1.0);
        }
        let variance = self.parts.iter().map(|part| part.variance).sum::<f64>();
        let deviation = variance.sqrt() / f64::from(samples);
        let aggregated = self.engine.aggregate();
        let Some(result) = aggregated.targets().next() else {
            return;
        };
        let snapshot = result.snapshot(lasted.0, lasted.1);
        if let Some(reality) = reality {
            let unmerged = unmerged.total();
            let options = WorkingSetOptions {
                rounds_down: self.rounding == Rounding::EachMergeDown,
                ..WorkingSetOptions::sampled(1)
            };
            let previous = self.previous.as_ref();
            self.run.judge(reality, previous, &snapshot, (deviation, unmerged), options);
        }
        self.previous = Some(snapshot);
    }
}

impl Run {
    fn judge(
        &mut self,
        reality: &Reality,
        previous: Option<&Snapshot>,
        snapshot: &Snapshot,
        (deviation, unmerged): (f64, Interval),
        options: WorkingSetOptions,
    ) {
        let truth = reality.expected();
        let state = |previous| coverage::stated(reality.domain(), previous, snapshot, options);
        let Some(sample) = state(previous) else {
            return;
        };
        let stated = (sample.expected_low, sample.expected_high);
        let sampled = (sample.expected_high - sample.expected_lost).max(sample.expected);
        self.sampling_alone.judge(truth, (sample.expected_low, sampled));
        self.found.extend(ratio(sample.expected, truth));
        if deviation > 0.0 && deviation >= VARIES * truth {
            self.varying.judge(truth, stated);
            self.unmerged.judge(truth, (unmerged.low, unmerged.high));
            let (estimate, reach) = (unmerged.estimate, Z * deviation);
            self.theory.judge(truth, (estimate - reach, estimate + reach));
            if let Some(sample) = state(None) {
                self.alone.judge(truth, (sample.expected_low, sample.expected_high));
            }
        } else {
            self.steady.judge(truth, stated);
        }
        self.deviations.extend(ratio(deviation, truth));
        self.widths.extend(ratio(stated.1 - stated.0, 2.0 * Z * deviation));
        for (rate, interval) in coverage::rates(reality, snapshot) {
            self.regions.judge(rate, interval);
            if 0.0 < rate && rate < 1.0 {
                self.between.judge(rate, interval);
            }
        }
    }
}

impl Observer for Bank {
    type Error = Infallible;

    fn interval(&mut self, touched: &[AddressRange]) -> Result<(), Infallible> {
        let window = &mut self.window;
        let first = window.samples == 0;
        window.samples += 1;
        window.touched.extend(touched.iter().flat_map(|range| [(range.start, 1), (range.end, -1)]));
        let touched = Touched::new(touched);
        for monitor in &mut self.monitors {
            monitor.sample(&touched, first);
        }
        Ok(())
    }

    /// The monitor that the log is played to has the same schedule as all others.
    fn snapshot(&mut self, theirs: &Snapshot) -> Result<(), Infallible> {
        let window = &mut self.window;
        let (start, end) = (self.domain.start, self.domain.end);
        let judged = theirs.start_ns >= self.settle_ns;
        let reality = judged.then(|| count(&mut window.touched, window.samples, start, end));
        for monitor in &mut self.monitors {
            monitor.aggregate((theirs.start_ns, theirs.end_ns), window.samples, reality.as_ref());
        }
        window.touched.clear();
        window.samples = 0;
        Ok(())
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::super::{patterns, replays};
    use super::*;

    fn log(name: &str) -> Vec<u8> {
        let pattern = patterns::all().into_iter().find(|pattern| pattern.name == name).unwrap();
        replays::simulate(&pattern.text(), 1).unwrap()
    }

    #[test]
    fn bytes_below_an_address_are_counted() {
        let range = |start, end| AddressRange { start, end };
        let ranges = [range(10, 20), range(30, 31)];
        let touched = Touched::new(&ranges);
        let below: Vec<u64> = [0, 10, 15, 20, 29, 31, 90].map(|a| touched.below(a)).to_vec();
        assert_eq!(below, [0, 0, 5, 10, 10, 11, 11]);
        let inside: Vec<u64> = (0..40).filter(|address| touched.contains(*address)).collect();
        assert_eq!(inside, (10..20).chain(30..31).collect::<Vec<_>>());
    }

    /// The monitors here are those of a replay, window for window.
    #[test]
    fn a_monitor_of_many_finds_what_it_finds_alone() {
        let log = log("islands");
        let alone = replays::judge(&log, 50, 500_000, replays::SETTLE).unwrap();
        let tallies = judge(&log, 50, 1, replays::SETTLE, Rounding::Once).unwrap();
        let row = tallies.row("islands", 50, 1);
        assert_eq!(row.working_set.map(|held| held.coverage), alone.working_set);
        assert_eq!(row.regions.map(|held| held.coverage), alone.regions);
    }

    #[test]
    fn stated_intervals_hold_where_estimates_vary() {
        // Cut around accesses, regions of sparse are accessed as a whole or not at all, so that the estimate varies a
        // quarter as much as samples of regions of which a part is accessed might make it vary.
        for (name, longest) in [("two-level", 1.4), ("sparse", 4.5)] {
            let tallies = judge(&log(name), 200, 20, replays::SETTLE, Rounding::Once).unwrap();
            let row = tallies.row(name, 200, 20);
            let held = row.working_set.unwrap();
            assert!(held.coverage.count() >= 800, "{name}: {held:?}");
            assert!((0.93..=0.97).contains(&held.share), "{name}: {held:?}");
            assert_eq!(tallies.pool(name).varying, row.working_set, "{name}: all windows vary");
            assert!(row.width.is_some_and(|width| width < longest), "{name}: {row:?}");
        }
    }

    #[test]
    fn intervals_hold_although_the_kernel_rounds_down() {
        let rounding = Rounding::EachMergeDown;
        for name in ["two-level", "zipf"] {
            let row =
                judge(&log(name), 200, 10, replays::SETTLE, rounding).unwrap().row(name, 200, 10);
            let (held, sampling_alone) = (row.working_set.unwrap(), row.sampling_alone.unwrap());
            assert!(sampling_alone.share < 0.9, "{name}: {sampling_alone:?}");
            assert!(held.share >= 0.93, "{name}: {held:?}");
            assert!(row.found.is_some_and(|found| (0.85..0.95).contains(&found)), "{row:?}");
            assert!(row.width.is_some_and(|width| width < 1.7), "{name}: {row:?}");
        }
    }

    #[test]
    fn where_all_pages_are_touched_always_or_never_the_truth_is_inside() {
        let tallies = judge(&log("span"), 200, 10, replays::SETTLE, Rounding::Once).unwrap();
        let pool = tallies.pool("span");
        assert!(pool.steady.is_some_and(|held| held.share > 0.999), "{pool:?}");
    }
}
