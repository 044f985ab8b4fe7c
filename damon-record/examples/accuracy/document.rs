//! The numbers as a document.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::held::Held;
use super::intervals::{IntervalRow, Pool};
use super::patterns::Pattern;
use super::rows::{Estimate, Row, Summary};
use super::speed::Cost;
use super::text::{COST, HEAD, INTERVALS, KERNEL_INTERVALS, METHOD, POOLS, REPLAY};
use damon_record::host::Host;

/// Everything measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Kernel and processor.
    pub machine: String,
    /// Version of the programs.
    pub version: String,
    /// Repetitions of each measurement.
    pub repetitions: u64,
    /// A selection, for a quick look.
    pub quick: bool,
    /// Seconds it took.
    pub lasted_s: u64,
    /// The algorithm alone.
    pub replays: Vec<Row>,
    /// Whether stated intervals hold, by pattern and maximum.
    #[serde(default)]
    pub intervals: Vec<IntervalRow>,
    /// The same for monitors that round as the kernel does.
    #[serde(default)]
    pub kernel_intervals: Vec<IntervalRow>,
    /// Of the former, pooled.
    #[serde(default)]
    pub pools: Vec<Pool>,
    /// Patterns by setups.
    pub rows: Vec<Row>,
    /// One per setup.
    pub costs: Vec<CostRow>,
}

/// What a setup costs, or why that is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostRow {
    /// Setup.
    pub backend: String,
    /// Speed of the target, CPU of the recorder.
    pub outcome: Result<Cost, String>,
}

impl Results {
    /// Nothing measured yet; `remark` is about the machine.
    pub fn new(repetitions: u64, quick: bool, remark: Option<&str>) -> Self {
        let host = Host::read();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            machine: format!(
                "Linux {} on {}, {cpus} processor{}{}{}",
                host.kernel,
                host.arch,
                if cpus == 1 { "" } else { "s" },
                if remark.is_some() { ", " } else { "" },
                remark.unwrap_or_default(),
            ),
            version: env!("CARGO_PKG_VERSION").into(),
            repetitions,
            quick,
            lasted_s: 0,
            replays: Vec::new(),
            intervals: Vec::new(),
            kernel_intervals: Vec::new(),
            pools: Vec::new(),
            rows: Vec::new(),
            costs: Vec::new(),
        }
    }

    /// What an earlier run has written.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Takes the rows that another machine measured, in the place of those that this one has of the same
    /// backends.
    pub fn merge(&mut self, other: &Self) {
        for name in other.backends() {
            let theirs = other.rows.iter().filter(|row| row.backend == name);
            let marked =
                theirs.map(|row| Row { machine: Some(other.machine.clone()), ..row.clone() });
            let first = self.rows.iter().position(|row| row.backend == name);
            self.rows.retain(|row| row.backend != name);
            let at = first.unwrap_or(self.rows.len());
            self.rows.splice(at..at, marked);
        }
    }

    /// Keeps what another machine has measured of backends that this one cannot use.
    pub fn keep_from_elsewhere(&mut self, earlier: &Self) {
        for name in earlier.backends() {
            let mine = || self.rows.iter().filter(|row| row.backend == name);
            if earlier.measured_elsewhere(&name) && mine().all(|row| row.outcome.is_err()) {
                let first = self.rows.iter().position(|row| row.backend == name);
                self.rows.retain(|row| row.backend != name);
                let theirs = earlier.rows.iter().filter(|row| row.backend == name).cloned();
                let at = first.unwrap_or(self.rows.len());
                self.rows.splice(at..at, theirs);
            }
        }
    }

    fn measured_elsewhere(&self, backend: &str) -> bool {
        self.rows.iter().any(|row| row.backend == backend && row.machine.is_some())
    }

    fn backends(&self) -> Vec<String> {
        let mut names: Vec<String> = self.rows.iter().map(|row| row.backend.clone()).collect();
        names.dedup();
        names
    }
}

impl Row {
    /// For the progress.
    pub fn one_line(&self) -> String {
        let what = format!("{} {} {}", self.backend, self.pattern, self.max_regions);
        match &self.outcome {
            Err(reason) => format!("{what}: {reason}"),
            Ok(summary) => format!("{what}: {}", cells(summary).join(" | ")),
        }
    }
}

/// The whole document; `notes` were written by hand.
pub fn markdown(results: &Results, patterns: &[Pattern], notes: &str) -> String {
    let mut text = String::new();
    let mut put = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    put("# How accurate the monitors are\n");
    put(
        "<!-- Made by scripts/accuracy; change scripts/accuracy-notes.md or the program instead. -->\n",
    );
    put(&format!(
        "Version {}, {}, {} of each measurement, {} minutes in all; sections that were measured\n\
         elsewhere say so. The numbers with all digits are in `docs/accuracy.json`. Again: `scripts/accuracy`{}.\n",
        results.version,
        results.machine,
        match results.repetitions {
            1 => "1 repetition".to_owned(),
            many => format!("{many} repetitions"),
        },
        results.lasted_s.div_ceil(60),
        if results.quick { " (this was `scripts/accuracy --quick`)" } else { "" },
    ));
    put(METHOD);
    put("## The patterns\n\n| pattern | lasts | what |\n|---|---|---|");
    for pattern in patterns {
        let seconds = pattern.duration_ms().div_ceil(1000);
        put(&format!("| {} | {seconds} s | {} |", pattern.name, pattern.what));
    }
    put("");
    for backend in results.backends() {
        put(&format!("## {backend}\n"));
        let rows: Vec<&Row> = results.rows.iter().filter(|row| row.backend == backend).collect();
        let reasons: Vec<&String> =
            rows.iter().filter_map(|row| row.outcome.as_ref().err()).collect();
        if reasons.len() == rows.len() && reasons.windows(2).all(|pair| pair[0] == pair[1]) {
            put(&format!("Not on this machine: {}.\n", reasons.first().map_or("", |r| r.as_str())));
            continue;
        }
        if let Some(machine) = rows.iter().find_map(|row| row.machine.as_ref()) {
            let runs = rows.iter().filter_map(|row| row.outcome.as_ref().ok()).map(|s| s.runs);
            let runs = runs.max().unwrap_or(0);
            put(&format!("On another machine: {machine}; repetitions: {runs}.\n"));
        }
        put(&table(&rows));
    }
    put(REPLAY);
    put(&table(&results.replays.iter().collect::<Vec<_>>()));
    put(INTERVALS);
    put(&intervals(&results.intervals));
    put(POOLS);
    put(&pools(&results.pools));
    if !results.kernel_intervals.is_empty() {
        put(KERNEL_INTERVALS);
        put(&kernel_intervals(&results.kernel_intervals));
    }
    put(&costs(results));
    put(notes.trim_end());
    text
}

fn table(rows: &[&Row]) -> String {
    let mut text = HEAD.to_owned();
    for row in rows {
        let cells = match &row.outcome {
            Ok(summary) => cells(summary).join(" | "),
            Err(reason) => reason.clone(),
        };
        // Writing to a string cannot fail.
        let _written = writeln!(text, "| {} | ≤ {} | {cells} |", row.pattern, row.max_regions);
    }
    text
}

fn cells(summary: &Summary) -> Vec<String> {
    let delay = match (summary.changes, summary.delay_ms) {
        (0, _) => "–".into(),
        (changes, Some(ms)) => {
            format!("{ms:.0} ms ({} of {changes})", summary.changes_found)
        }
        (changes, None) => format!("never (0 of {changes})"),
    };
    let windows = match summary.spoilt {
        0 => summary.windows.to_string(),
        spoilt => format!("{} (+{spoilt} spoilt)", summary.windows),
    };
    vec![
        shown(summary.f1, 1.0, 3, ""),
        shown(summary.precision, 1.0, 3, ""),
        shown(summary.recall, 1.0, 3, ""),
        shown(summary.rate_error, 100.0, 2, " %"),
        shown(summary.expected_ratio, 1.0, 2, ""),
        shown(summary.touched_ratio, 1.0, 2, ""),
        percent(summary.working_set_coverage),
        percent(summary.region_coverage),
        delay,
        shown(summary.cpu, 100.0, 1, " %"),
        windows,
    ]
}

fn shown(estimate: Option<Estimate>, scale: f64, digits: usize, unit: &str) -> String {
    match estimate {
        None => "–".into(),
        Some(Estimate { mean, spread }) => {
            let (mean, spread) = (mean * scale, spread * scale);
            if spread == 0.0 {
                format!("{mean:.digits$}{unit}")
            } else {
                format!("{mean:.digits$} ± {spread:.digits$}{unit}")
            }
        }
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".into(), |share| format!("{:.1} %", 100.0 * share))
}

/// For the progress.
pub fn interval_line(row: &IntervalRow) -> String {
    format!("intervals {} {}: {}", row.pattern, row.max_regions, interval_cells(row).join(" | "))
}

fn intervals(rows: &[IntervalRow]) -> String {
    let mut text = String::new();
    for row in rows {
        let cells = interval_cells(row).join(" | ");
        let _written = writeln!(text, "| {} | ≤ {} | {cells} |", row.pattern, row.max_regions);
    }
    text
}

/// For the progress.
pub fn kernel_line(row: &IntervalRow) -> String {
    let cells = kernel_cells(row).join(" | ");
    format!("intervals, rounding down, {} {}: {cells}", row.pattern, row.max_regions)
}

fn kernel_intervals(rows: &[IntervalRow]) -> String {
    let mut text = String::new();
    for row in rows {
        let cells = kernel_cells(row).join(" | ");
        let _written = writeln!(text, "| {} | ≤ {} | {cells} |", row.pattern, row.max_regions);
    }
    text
}

fn kernel_cells(row: &IntervalRow) -> Vec<String> {
    vec![
        row.working_set.map_or_else(|| "–".into(), |held| held.coverage.count().to_string()),
        row.found.map_or_else(|| "–".into(), |found| format!("{found:.2}")),
        covered(row.sampling_alone),
        covered(row.working_set),
        sides(row.working_set),
        number(row.width, 1.0, " ×"),
    ]
}

fn number(value: Option<f64>, scale: f64, unit: &str) -> String {
    match value {
        None => "–".into(),
        Some(value) if value * scale >= 9.95 => format!("{:.0}{unit}", value * scale),
        Some(value) => format!("{:.1}{unit}", value * scale),
    }
}

fn interval_cells(row: &IntervalRow) -> Vec<String> {
    vec![
        row.working_set.map_or_else(|| "–".into(), |held| held.coverage.count().to_string()),
        number(row.deviation, 100.0, " %"),
        covered(row.working_set),
        sides(row.working_set),
        number(row.width, 1.0, " ×"),
        covered(row.between),
        covered(row.regions),
    ]
}

fn pools(pools: &[Pool]) -> String {
    let mut text = String::new();
    let count = |held: Option<Held>| held.map_or(0, |held| held.coverage.count());
    for pool in pools {
        let _written = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            pool.name,
            count(pool.varying),
            covered(pool.varying),
            sides(pool.varying),
            covered(pool.alone),
            covered(pool.unmerged),
            covered(pool.theory),
            count(pool.steady),
            covered(pool.steady),
        );
    }
    text
}

fn covered(held: Option<Held>) -> String {
    held.map_or_else(
        || "–".into(),
        |Held { share, low, high, .. }| {
            format!("{:.1} % ({:.1}–{:.1})", 100.0 * share, 100.0 * low, 100.0 * high)
        },
    )
}

/// Truth below and above.
fn sides(held: Option<Held>) -> String {
    held.map_or_else(
        || "–".into(),
        |held| format!("{:.1} / {:.1} %", 100.0 * held.below(), 100.0 * held.above()),
    )
}

fn costs(results: &Results) -> String {
    let mut text = COST.to_owned();
    for row in &results.costs {
        let cells = match &row.outcome {
            Ok(cost) => {
                format!("{:.1} % | {:.1} %", 100.0 * cost.speed, 100.0 * cost.cpu)
            }
            Err(_) if results.measured_elsewhere(&row.backend) => {
                "– | measured in a virtual machine only, whose speed says little of others".into()
            }
            Err(reason) => format!("– | {reason}"),
        };
        let _written = writeln!(text, "| {} | {cells} |", row.backend);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(backend: &str, outcome: Result<Summary, String>) -> Row {
        Row {
            pattern: "span".into(),
            backend: backend.into(),
            max_regions: 200,
            machine: None,
            outcome,
        }
    }

    fn results(machine: &str, rows: Vec<Row>) -> Results {
        Results { machine: machine.into(), rows, ..Results::new(1, false, None) }
    }

    #[test]
    fn rows_of_another_machine_take_the_place_of_refusals_and_say_where_they_are_from() {
        let refused = || Err("no idle page tracking".to_owned());
        let own = [row("pte", Ok(Summary::default())), row("idle", refused()), row("x", refused())];
        let mut all = results("here", own.to_vec());
        let theirs = vec![row("idle", Ok(Summary::default())), row("new", Ok(Summary::default()))];
        all.merge(&results("there", theirs));
        let names: Vec<&str> = all.rows.iter().map(|row| row.backend.as_str()).collect();
        assert_eq!(names, ["pte", "idle", "x", "new"]);
        let cost = |backend: &str| CostRow { backend: backend.into(), outcome: Err("why".into()) };
        all.costs = vec![cost("idle"), cost("x")];
        let text = markdown(&all, &[], "");
        let section = |name: &str| {
            let after = text.split_once(&format!("## {name}\n")).unwrap().1;
            after.split("\n## ").next().unwrap().to_owned()
        };
        assert!(section("idle").contains("On another machine: there; repetitions: 0."));
        assert!(section("idle").contains("| span | ≤ 200 |"));
        assert!(!section("pte").contains("another machine"));
        assert!(section("x").contains("Not on this machine: no idle page tracking."));
        assert!(text.contains("| idle | – | measured in a virtual machine only"));
        assert!(text.contains("| x | – | why |"));
    }

    #[test]
    fn what_was_measured_elsewhere_stays_unless_it_is_measured_here() {
        let ok = || Ok(Summary::default());
        let refused = || Err("no idle page tracking".to_owned());
        let mut earlier = results("here", vec![row("pte", ok()), row("x", ok())]);
        earlier.merge(&results(
            "there",
            vec![row("idle", ok()), row("damon", ok()), row("pte", ok())],
        ));
        let own = vec![row("pte", ok()), row("idle", refused()), row("x", refused())];
        let mut all = results("here", own);
        all.keep_from_elsewhere(&earlier);
        let found = all.rows.iter().map(|row| (row.backend.as_str(), row.machine.is_some()));
        let expected = [("pte", false), ("idle", true), ("x", false), ("damon", true)];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert!(all.rows[1].outcome.is_ok() && all.rows[2].outcome.is_err());
    }

    #[test]
    fn what_is_written_can_be_taken_up_again() {
        let mut all = results("here", vec![row("pte", Ok(Summary::default()))]);
        all.merge(&results("there", vec![row("idle", Err("why".into()))]));
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(Results::parse(&text), Ok(all));
        assert!(Results::parse("{}").is_err());
    }
}
