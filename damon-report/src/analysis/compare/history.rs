//! What earlier runs measured, kept in a file: from it is known how much a program varies from run to run.
//!
//! One run is one line of JSON: `{"version":1,"name":…,"setting":{…},"measured":{…},"values":{"wss.expected.mean":…}}`.

use super::alike::Setting;
use super::evidence::successive_variance;
use super::metric::Metric;
use super::phases::Align;
use crate::analysis::groups::GroupBy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the lines.
pub const HISTORY_VERSION: u32 = 1;

/// What the values of a line mean. It becomes greater when the same recordings give other values; lines of other numbers are left out.
/// Before 2, `hot` was what looked hot, and totals depended on the base of the comparison.
pub const MEASURED_BY: u32 = 2;

/// Fewest runs whose variation says more than an assumption.
pub(super) const FEWEST_RUNS: usize = 3;

/// By what rules values were measured; other rules give other values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// [`MEASURED_BY`]; the first lines do not have it.
    #[serde(default)]
    pub by: u32,
    /// How recordings were laid over each other.
    pub align: Align,
    /// Access rate from which on memory was hot.
    pub hot: f64,
    /// Idle time from which on memory was idle, nanoseconds.
    pub idle_ns: u64,
    /// How finely mappings were told apart.
    pub group_by: GroupBy,
}

/// More bytes than there are, and times as many samples.
const MOST: f64 = 1e30;

/// Degrees of freedom that a history counts for at most: it is of other days, and of other machines perhaps.
const MOST_FREEDOM: usize = 20;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// [`HISTORY_VERSION`].
    pub version: u32,
    /// What the run was called: the file of its recording.
    pub name: String,
    /// How it was recorded.
    pub setting: Setting,
    /// By what rules it was measured.
    pub measured: Measured,
    /// Values by the names of metrics; totals by second of their phase.
    pub values: BTreeMap<String, f64>,
}

/// Why a history cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct HistoryError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// Earlier runs, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// All.
    pub entries: Vec<Entry>,
}

impl History {
    /// Reads lines; empty ones are passed over.
    pub fn parse(text: &str) -> Result<Self, HistoryError> {
        let mut entries = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let error = |problem: String| HistoryError { line: index + 1, problem };
            let entry: Entry = serde_json::from_str(line)
                .map_err(|e| error(format!("no entry of a history of runs: {e}")))?;
            if entry.values.values().any(|value| !(0.0..=MOST).contains(value)) {
                return Err(error("a value that no recording has".to_owned()));
            }
            if entry.version != HISTORY_VERSION {
                let version = entry.version;
                return Err(error(format!("version {version}; known is {HISTORY_VERSION}")));
            }
            entries.push(entry);
        }
        Ok(Self { entries })
    }

    /// Only the runs that were recorded and measured as this one, and how many others there are.
    #[must_use]
    pub fn alike(&self, setting: &Setting, measured: &Measured) -> (Self, usize) {
        let mut alike: Vec<Entry> = self
            .entries
            .iter()
            .filter(|e| e.measured == *measured && e.setting.differences(setting).is_empty())
            .cloned()
            .collect();
        let others = self.entries.len() - alike.len();
        // A run that was added twice, by a job that was tried again, does not vary any less for that.
        let mut seen: Vec<BTreeMap<String, u64>> = Vec::new();
        alike.retain(|entry| {
            let values = entry.values.iter().map(|(name, value)| (name.clone(), value.to_bits()));
            let values: BTreeMap<String, u64> = values.collect();
            let is_new = !seen.contains(&values);
            seen.push(values);
            is_new
        });
        (Self { entries: alike }, others)
    }

    /// Variance of a metric from run to run, as it is in [`Entry::values`], and its degrees of freedom; `None` with too few runs that have it.
    pub fn variance(&self, metric: &Metric) -> Option<(f64, usize)> {
        let name = metric.to_string();
        let has = self.entries.iter().filter_map(|entry| entry.values.get(&name));
        let values: Vec<f64> = has.copied().filter(|value| value.is_finite()).collect();
        if values.len() < FEWEST_RUNS {
            return None;
        }
        let (variance, steps) = successive_variance(&values)?;
        Some((variance, steps.min(MOST_FREEDOM)))
    }
}

/// The runs of a history that tell something about these.
pub(super) fn usable(
    history: &History,
    settings: &[Setting],
    measured: &Measured,
    warnings: &mut Vec<String>,
) -> Option<History> {
    let (alike, others) = history.alike(settings.first()?, measured);
    if others > 0 {
        warnings.push(format!(
            "{others} runs of the history were recorded or measured in another way: left out"
        ));
    }
    if alike.entries.len() < FEWEST_RUNS {
        warnings.push(format!(
            "the history has {} runs like these; {} are needed before it tells how much runs vary",
            alike.entries.len(),
            FEWEST_RUNS
        ));
        return None;
    }
    Some(alike)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::compare::metric::{Measure, Statistic};

    const MEASURED: Measured = Measured {
        by: MEASURED_BY,
        align: Align::Progress,
        hot: 0.5,
        idle_ns: 10,
        group_by: GroupBy::Mapping,
    };

    fn setting() -> Setting {
        Setting {
            program: "work".into(),
            backend: "writes".into(),
            access: "write".into(),
            granularity: "page".into(),
            exact: true,
            sample_us: 5000,
            aggr_us: 100_000,
            min_regions: 10,
            max_regions: 1000,
        }
    }

    fn entry(value: f64) -> Entry {
        Entry {
            version: 1,
            name: "a.damon".into(),
            setting: setting(),
            measured: MEASURED,
            values: [("hot.mean".to_owned(), value)].into(),
        }
    }

    #[test]
    fn a_history_tells_how_much_runs_vary() {
        let lines: Vec<String> = [10.0, 12.0, 10.5, 10.5]
            .iter()
            .map(|v| serde_json::to_string(&entry(*v)).unwrap())
            .collect();
        let history = History::parse(&format!("{}\n\n", lines.join("\n"))).unwrap();
        let hot = Metric::total(Measure::Hot, Statistic::Mean);
        let (alike, _) = history.alike(&setting(), &MEASURED);
        assert_eq!(alike.entries.len(), 3, "one was added twice");
        assert_eq!(alike.variance(&hot), Some((6.25 / 4.0, 2)));
        assert!(History::parse(&lines[0].replace("10.0", "1e300")).is_err());
        assert_eq!(history.variance(&Metric::total(Measure::Idle, Statistic::Mean)), None);
        let other = Setting { aggr_us: 1, ..setting() };
        let (alike, others) = history.alike(&other, &MEASURED);
        assert_eq!((alike.entries.len(), others), (0, 4));
        let hotter = Measured { hot: 0.9, ..MEASURED };
        assert_eq!(history.alike(&setting(), &hotter).1, 4, "other memory is hot then");
        assert_eq!(history.alike(&setting(), &MEASURED).1, 0);
    }

    #[test]
    fn values_that_meant_something_else_are_left_out() {
        let now = serde_json::to_string(&entry(10.0)).unwrap();
        let before = now.replace("\"by\":2,", "");
        assert_ne!(now, before);
        let lines = [1, 2, 3].map(|i| before.replace("10.0", &format!("1{i}.0"))).join("\n");
        let history = History::parse(&format!("{lines}\n{now}\n")).unwrap();
        let (alike, others) = history.alike(&setting(), &MEASURED);
        assert_eq!((alike.entries, others), (vec![entry(10.0)], 3));
        let mut warnings = Vec::new();
        assert_eq!(usable(&history, &[setting()], &MEASURED, &mut warnings), None);
        assert!(warnings[0].starts_with("3 runs of the history"), "{warnings:?}");
    }

    #[test]
    fn what_is_no_history_is_said_by_line() {
        let good = serde_json::to_string(&entry(1.0)).unwrap();
        let error = History::parse(&format!("{good}\n{{}}\n")).unwrap_err();
        assert_eq!(error.line, 2);
        let newer = good.replace("\"version\":1", "\"version\":9");
        let error = History::parse(&newer).unwrap_err();
        assert_eq!(error.to_string(), "line 1: version 9; known is 1");
        assert_eq!(History::parse("").unwrap(), History::default());
    }
}
