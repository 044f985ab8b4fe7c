//! Repetitions of one measurement, summed up: the rows of the document.

use serde::{Deserialize, Serialize};

use super::coverage::Coverage;
use super::judge::Verdict;
use super::metrics::Score;
use super::num::{float, mean_and_spread, ratio};

/// Mean and sample standard deviation over the repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean.
    pub mean: f64,
    /// Spread; 0 for a single repetition.
    pub spread: f64,
}

/// One measurement of one pattern.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was observed.
    pub pattern: String,
    /// By what.
    pub backend: String,
    /// Upper bound of regions.
    pub max_regions: u32,
    /// Where, if not on the machine that all else was measured on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// What came out, or why nothing did.
    pub outcome: Result<Summary, String>,
}

/// The repetitions of one measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Repetitions with at least one judged window.
    pub runs: u32,
    /// Judged windows, all repetitions together.
    pub windows: u32,
    /// Windows that were not judged because the generator did not keep its pace.
    pub spoilt: u32,
    /// Mean number of regions of a window (of the whole process).
    pub regions: Option<f64>,
    /// Of hot memory.
    pub precision: Option<Estimate>,
    /// Of hot memory.
    pub recall: Option<Estimate>,
    /// Of hot memory.
    pub f1: Option<Estimate>,
    /// Mean absolute error of the page rate.
    pub rate_error: Option<Estimate>,
    /// Found over true expected working set.
    pub expected_ratio: Option<Estimate>,
    /// Found over true touched working set.
    pub touched_ratio: Option<Estimate>,
    /// Share of the stated intervals of the working set that contain the truth.
    pub working_set_coverage: Option<f64>,
    /// How many were stated.
    pub working_set_intervals: u64,
    /// Of the intervals of the working set: share that lies below the truth.
    pub working_set_too_low: Option<f64>,
    /// Share of the stated intervals of rates of regions that contain the truth.
    pub region_coverage: Option<f64>,
    /// Changes of the pattern.
    pub changes: u32,
    /// Changes that were found before the next one.
    pub changes_found: u32,
    /// Median time until they were, milliseconds.
    pub delay_ms: Option<f64>,
    /// Share of one core that the recorder used.
    pub cpu: Option<Estimate>,
}

impl Summary {
    /// Sums up repetitions.
    pub fn of(verdicts: &[Verdict]) -> Self {
        let judged: Vec<&Verdict> = verdicts.iter().filter(|v| v.score.windows > 0).collect();
        let estimate = |value: fn(&Score) -> Option<f64>| {
            let values: Vec<f64> = judged.iter().filter_map(|v| value(&v.score)).collect();
            estimate(&values)
        };
        let sum = |coverage: fn(&Verdict) -> Option<Coverage>| {
            let mut all = Coverage::default();
            judged.iter().filter_map(|verdict| coverage(verdict)).for_each(|c| all.add(&c));
            all
        };
        let (working_set, regions) = (sum(|v| v.working_set), sum(|v| v.regions));
        let delays: Vec<Option<u64>> = judged.iter().flat_map(|v| v.delays.clone()).collect();
        let mut found: Vec<u64> = delays.iter().copied().flatten().collect();
        found.sort_unstable();
        let windows = judged.iter().map(|v| v.score.windows).sum();
        let stated = working_set.inside + working_set.below + working_set.above;
        Self {
            runs: count(judged.len()),
            windows,
            spoilt: verdicts.iter().map(|verdict| verdict.spoilt).sum(),
            regions: ratio(
                float(judged.iter().map(|verdict| verdict.nr_regions).sum()),
                f64::from(windows),
            ),
            precision: estimate(Score::precision),
            recall: estimate(Score::recall),
            f1: estimate(Score::f1),
            rate_error: estimate(Score::rate_error),
            expected_ratio: estimate(Score::expected_ratio),
            touched_ratio: estimate(Score::touched_ratio),
            working_set_coverage: working_set.share(),
            working_set_intervals: stated,
            working_set_too_low: ratio(float(working_set.above), float(stated)),
            region_coverage: regions.share(),
            changes: count(delays.len()),
            changes_found: count(found.len()),
            delay_ms: found.get(found.len() / 2).map(|&ns| float(ns) / 1e6),
            cpu: self::estimate(&judged.iter().filter_map(|v| v.cpu).collect::<Vec<_>>()),
        }
    }
}

fn estimate(values: &[f64]) -> Option<Estimate> {
    mean_and_spread(values).map(|(mean, spread)| Estimate { mean, spread })
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(both: f64, delays: &[Option<u64>]) -> Verdict {
        let score =
            Score { windows: 10, bytes: 100.0, hot: 10.0, found: 10.0, both, ..Score::default() };
        let working_set = Some(Coverage { inside: 9, below: 0, above: 1 });
        Verdict {
            score,
            delays: delays.to_vec(),
            working_set,
            nr_regions: 50,
            ..Verdict::default()
        }
    }

    #[test]
    fn repetitions_give_mean_and_spread_and_spoilt_ones_do_not_count() {
        let spoilt = Verdict { spoilt: 40, delays: vec![None], ..Verdict::default() };
        let runs = [
            verdict(8.0, &[Some(300_000_000), None]),
            verdict(6.0, &[Some(100_000_000), Some(200_000_000)]),
            spoilt,
        ];
        let summary = Summary::of(&runs);
        assert_eq!((summary.runs, summary.windows, summary.spoilt), (2, 20, 40));
        let f1 = summary.f1.unwrap();
        assert!((f1.mean - 0.7).abs() < 1e-9 && (f1.spread - 0.02_f64.sqrt()).abs() < 1e-9);
        assert_eq!((summary.changes, summary.changes_found), (4, 3));
        assert_eq!(summary.delay_ms, Some(200.0));
        assert_eq!(summary.working_set_coverage, Some(0.9));
        assert_eq!(summary.working_set_too_low, Some(0.1));
        assert_eq!(summary.regions, Some(5.0));
        assert_eq!(summary.cpu, None);
    }
}
