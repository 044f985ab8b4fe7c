//! The numbers as a document.

use std::fmt::Write as _;

use serde::Serialize;

use super::patterns::Pattern;
use super::rows::{Estimate, Row, Summary};
use super::speed::Cost;
use damon_record::host::Host;

/// Everything measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// Kernel and processor.
    pub machine: String,
    /// Version of the programs.
    pub version: &'static str,
    /// Repetitions of each measurement.
    pub repetitions: u64,
    /// A selection, for a quick look.
    pub quick: bool,
    /// Seconds it took.
    pub lasted_s: u64,
    /// The algorithm alone.
    pub replays: Vec<Row>,
    /// Patterns by setups.
    pub rows: Vec<Row>,
    /// One per setup.
    pub costs: Vec<CostRow>,
}

/// What a setup costs, or why that is not known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostRow {
    /// Setup.
    pub backend: String,
    /// Speed of the target, CPU of the recorder.
    pub outcome: Result<Cost, String>,
}

impl Results {
    /// Nothing measured yet.
    pub fn new(repetitions: u64, quick: bool) -> Self {
        let host = Host::read();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            machine: format!("Linux {} on {}, {cpus} processors", host.kernel, host.arch),
            version: env!("CARGO_PKG_VERSION"),
            repetitions,
            quick,
            lasted_s: 0,
            replays: Vec::new(),
            rows: Vec::new(),
            costs: Vec::new(),
        }
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

const HEAD: &str = "\
| pattern | regions | F1 | precision | recall | rate error | expected WSS | touched WSS | interval of WSS | of regions | found after | CPU | windows |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

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
        "Version {}, {}, {} repetition(s) of each measurement, {} minutes in all. The numbers with all digits are in\n\
         `docs/accuracy.json`. Again: `scripts/accuracy`{}.\n",
        results.version,
        results.machine,
        results.repetitions,
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
        put(&table(&rows));
    }
    put(REPLAY);
    put(&table(&results.replays.iter().collect::<Vec<_>>()));
    put(
        "## damon\n\nThe kernel's own DAMON (vaddr and paddr) will be measured in a virtual machine by a later release.\n",
    );
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

fn costs(results: &Results) -> String {
    let mut text = COST.to_owned();
    for row in &results.costs {
        let cells = match &row.outcome {
            Ok(cost) => {
                format!("{:.1} % | {:.1} %", 100.0 * cost.speed, 100.0 * cost.cpu)
            }
            Err(reason) => format!("– | {reason}"),
        };
        let _written = writeln!(text, "| {} | {cells} |", row.backend);
    }
    text
}

const METHOD: &str = "\
## What is measured

A generator (`damon-workload`, `docs/WORKLOADS.md`) touches memory in a known way and accounts for it; a recorder watches it;
what the recording says is compared with the account, window by window. A window is one aggregation: 20 samples of 5 ms each,
or, for *exact* looks, one look after a second. The rates that the tables speak of are known by construction: a page touched every
*p* is touched in the share min(1, *s* / *p*) of the samples, where *s* is the length that samples really had (aggregation time /
samples). Windows in which the generator did not keep its pace are not judged, but counted as *spoilt*; the first two seconds
are not judged either. The memory judged is the generator's areas with the gaps between them. Recorder and generator run at the
highest ordinary priority (nice -20), and the recorder without a ceiling (`--budget 100%`): a budget trades accuracy for cost.

| column | meaning |
|---|---|
| F1, precision, recall | of hot memory, by bytes. Hot is a page that is touched in at least half of the samples; found hot is a region with at least half of the possible `nr_accesses` |
| rate error | mean over all pages of the distance between the true access rate of the page and that of its region |
| expected WSS, touched WSS | what `damon-report wss` would say of the memory judged, over the truth: Σ size × rate, and what was touched at least once in the window |
| interval of WSS | share of windows whose stated 95 % interval of the expected working set contains the truth |
| of regions | share of (window, region) pairs for which Wilson's 95 % interval of the region's rate contains the mean rate of its pages |
| found after | median time from a change of the pattern to the end of the first window whose hot memory agrees with the new pattern (F1 ≥ 0.8), and how many changes were found at all before the next one |
| CPU | of the recorder, share of one core |

Backends that see writes only are judged by the pages written, all others by the pages touched. *referenced* sees mappings, not
pages, and is judged as it is. Values are means over the repetitions ± their standard deviation. Region limits are 10 at least, and
at most what the table says.
";

const REPLAY: &str = "\
## The algorithm alone (replay)

The same engine on touch logs, with a clock that is never late: patterns from above, and programs traced instruction by
instruction (`valgrind --tool=lackey --trace-mem=yes`, a million instructions count as a second). The truth is the log itself:
in each sample exactly the pages that the log names were touched. Nothing here depends on the machine. Five seeds each. Try it:
`damon-workload simulate` or `damon-workload fold-lackey`, then `damon-record --backend replay:FILE`.
";

const COST: &str = "\
## What recording costs

A target that does nothing but read 32 MiB and write 32 MiB in random order as fast as it can: its touches per second while it is recorded, over
those before and after, and the CPU time of the recorder. At most 200 regions.

| backend | speed of the target | CPU of the recorder |
|---|---|---|
";
