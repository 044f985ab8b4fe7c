//! What is compared: names of metrics.
//!
//! A metric is written `[phase(NAME).][mapping(NAME).]MEASURE.STATISTIC`, for example `wss.expected.p95`, `mapping([heap]).hot.mean`
//! or `phase(load).mapping(libc*).idle.mean`. Names may hold anything but unbalanced parentheses.

use damon_format::damos::suggestion;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// What is measured, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Measure {
    /// Working set, lower estimate: Σ size × access rate.
    #[serde(rename = "wss.expected")]
    Expected,
    /// Working set, upper estimate: Σ size of what was accessed in an aggregation.
    #[serde(rename = "wss.touched")]
    Touched,
    /// Bytes whose access rate is at least [`hot`](super::Options::hot).
    #[serde(rename = "hot")]
    Hot,
    /// Bytes that have been idle for at least [`idle_ns`](super::Options::idle_ns).
    #[serde(rename = "idle")]
    Idle,
    /// Resident memory.
    #[serde(rename = "rss")]
    Resident,
    /// Monitored bytes; of a mapping its size.
    #[serde(rename = "size")]
    Size,
    /// Bytes × positive samples, summed up over the time: how much was accessed, as far as samples tell.
    #[serde(rename = "volume")]
    Volume,
}

impl Measure {
    /// All, in the order of tables.
    pub const ALL: [Self; 7] = [
        Self::Expected,
        Self::Touched,
        Self::Hot,
        Self::Idle,
        Self::Resident,
        Self::Size,
        Self::Volume,
    ];

    /// The word in names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expected => "wss.expected",
            Self::Touched => "wss.touched",
            Self::Hot => "hot",
            Self::Idle => "idle",
            Self::Resident => "rss",
            Self::Size => "size",
            Self::Volume => "volume",
        }
    }
}

/// What of its course over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Statistic {
    /// Time-weighted mean.
    Mean,
    /// What was not exceeded in half of the time.
    P50,
    /// What was not exceeded in 95 % of the time.
    P95,
    /// The most at any moment.
    Max,
    /// The sum over all time.
    Total,
}

impl Statistic {
    /// All, in the order of tables.
    pub const ALL: [Self; 5] = [Self::Mean, Self::P50, Self::P95, Self::Max, Self::Total];

    /// The word in names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::Max => "max",
            Self::Total => "total",
        }
    }

    /// The per cent of the time in which a quantile is not exceeded; 100 for all that are none.
    pub(super) fn percent(self) -> u32 {
        match self {
            Self::P50 => 50,
            Self::P95 => 95,
            Self::Mean | Self::Max | Self::Total => 100,
        }
    }
}

/// One thing that is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Metric {
    /// Only this phase (between two marks); `None` for all of the recording.
    pub phase: Option<String>,
    /// Only this mapping, by its label; `None` for all memory.
    pub mapping: Option<String>,
    /// What is measured.
    pub measure: Measure,
    /// What of its course.
    pub statistic: Statistic,
}

impl Metric {
    /// Of all memory over all time.
    pub fn total(measure: Measure, statistic: Statistic) -> Self {
        Self { phase: None, mapping: None, measure, statistic }
    }

    /// What can be had of all memory: every measure with every statistic that makes sense for it.
    pub fn totals() -> impl Iterator<Item = (Measure, Statistic)> {
        let of = |measure| {
            let all = Statistic::ALL.into_iter();
            all.filter(move |s| (*s == Statistic::Total) == (measure == Measure::Volume))
                .map(move |statistic| (measure, statistic))
        };
        Measure::ALL.into_iter().flat_map(of)
    }

    /// What can be had of a mapping.
    pub fn of_mappings() -> impl Iterator<Item = (Measure, Statistic)> {
        let of = |measure| {
            [Statistic::Mean, Statistic::P50, Statistic::P95].map(|statistic| (measure, statistic))
        };
        [Measure::Expected, Measure::Touched, Measure::Hot, Measure::Idle, Measure::Size]
            .into_iter()
            .flat_map(of)
    }

    /// `MEASURE.STATISTIC` alone.
    pub fn what(&self) -> String {
        format!("{}.{}", self.measure.as_str(), self.statistic.as_str())
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(phase) = &self.phase {
            write!(f, "phase({phase}).")?;
        }
        if let Some(mapping) = &self.mapping {
            write!(f, "mapping({mapping}).")?;
        }
        f.write_str(&self.what())
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which metrics a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricPattern {
    /// A name with `*` and `?`; `None` for metrics of all of the recording only.
    pub phase: Option<String>,
    /// A name with `*` and `?`; `None` for metrics of all memory only.
    pub mapping: Option<String>,
    /// What is measured.
    pub measure: Measure,
    /// What of its course.
    pub statistic: Statistic,
}

/// Why a name is no metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MetricError {
    /// Byte at which it goes wrong.
    pub at: usize,
    /// What is wrong, and what is accepted.
    pub message: String,
}

impl MetricPattern {
    /// Reads a name, as [`Metric`] writes it, with `*` and `?` in the parentheses.
    pub fn parse(text: &str) -> Result<Self, MetricError> {
        let mut rest = text;
        let phase = scope(&mut rest, "phase(").map_err(|message| error(text, rest, message))?;
        let mapping = scope(&mut rest, "mapping(").map_err(|message| error(text, rest, message))?;
        let all = || -> Box<dyn Iterator<Item = (Measure, Statistic)>> {
            if mapping.is_some() {
                Box::new(Metric::of_mappings())
            } else {
                Box::new(Metric::totals())
            }
        };
        let name = |(m, s): (Measure, Statistic)| format!("{}.{}", m.as_str(), s.as_str());
        if let Some((measure, statistic)) = all().find(|what| name(*what) == rest) {
            return Ok(Self { phase, mapping, measure, statistic });
        }
        let known: Vec<String> = all().map(name).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let of = if mapping.is_some() { " of a mapping" } else { "" };
        let message = format!("`{rest}` is no metric{of}; {}", suggestion(rest, &known));
        Err(error(text, rest, message))
    }

    /// Whether it is about this metric.
    pub fn matches(&self, metric: &Metric) -> bool {
        let same = |pattern: &Option<String>, name: &Option<String>| match (pattern, name) {
            (None, None) => true,
            (Some(pattern), Some(name)) => glob(pattern, name),
            _ => false,
        };
        self.measure == metric.measure
            && self.statistic == metric.statistic
            && same(&self.phase, &metric.phase)
            && same(&self.mapping, &metric.mapping)
    }
}

impl fmt::Display for MetricPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, mapping, measure, statistic } = self.clone();
        Metric { phase, mapping, measure, statistic }.fmt(f)
    }
}

fn error(text: &str, rest: &str, message: String) -> MetricError {
    MetricError { at: text.len() - rest.len(), message }
}

/// Takes `WORD(…).` off the front.
fn scope(rest: &mut &str, word: &str) -> Result<Option<String>, String> {
    let Some(inside) = rest.strip_prefix(word) else { return Ok(None) };
    let mut depth = 1_usize;
    for (at, c) in inside.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let (name, behind) = inside.split_at(at);
            let Some(behind) = behind.strip_prefix(").") else {
                return Err(format!("after `{word}…)` comes a point and what is measured"));
            };
            *rest = behind;
            return Ok(Some(name.to_owned()));
        }
    }
    Err(format!("`{word}` is not closed"))
}

/// Whether a name fits a pattern in which `*` is any text and `?` any character.
pub(super) fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    // fits[i]: the pattern so far fits the first i characters.
    let mut fits: Vec<bool> = (0..=name.len()).map(|i| i == 0).collect();
    for p in pattern {
        let before = fits.clone();
        let mut any = false;
        for (i, fit) in fits.iter_mut().enumerate() {
            let earlier = i.checked_sub(1).and_then(|i| before.get(i).copied()).unwrap_or(false);
            any |= before.get(i).copied().unwrap_or(false);
            *fit = match p {
                '*' => any,
                '?' => earlier,
                p => earlier && i.checked_sub(1).and_then(|i| name.get(i)) == Some(&p),
            };
        }
    }
    fits.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let metric = Metric {
            phase: Some("load (warm)".into()),
            mapping: Some("/lib/x.so +0x0..0x1000".into()),
            measure: Measure::Hot,
            statistic: Statistic::Mean,
        };
        let text = "phase(load (warm)).mapping(/lib/x.so +0x0..0x1000).hot.mean";
        assert_eq!(metric.to_string(), text);
        let pattern = MetricPattern::parse(text).unwrap();
        assert_eq!(pattern.to_string(), text);
        assert!(pattern.matches(&metric));
        let total = MetricPattern::parse("hot.mean").unwrap();
        assert!(!total.matches(&metric));
        assert!(total.matches(&Metric::total(Measure::Hot, Statistic::Mean)));
        assert!(MetricPattern::parse("phase(*).mapping(*.so*).hot.mean").unwrap().matches(&metric));
    }

    #[test]
    fn what_is_no_metric_is_said_with_its_place() {
        let error = |text: &str| {
            let error = MetricPattern::parse(text).unwrap_err();
            (error.at, error.message)
        };
        assert_eq!(
            error("wss.expectd.p95"),
            (0, "`wss.expectd.p95` is no metric; did you mean wss.expected.p95?".into())
        );
        assert_eq!(
            error("mapping([heap]).rss.mean"),
            (16, "`rss.mean` is no metric of a mapping; known are wss.expected.mean, wss.expected.p50, wss.expected.p95, \
             wss.touched.mean, wss.touched.p50, wss.touched.p95, hot.mean, hot.p50, hot.p95, idle.mean, idle.p50, idle.p95, size.mean, \
             size.p50, size.p95".into())
        );
        assert_eq!(error("mapping([heap]"), (0, "`mapping(` is not closed".into()));
        assert_eq!(error("mapping(x)hot.mean").0, 0);
        assert_eq!(error("").0, 0);
    }

    proptest! {
        #[test]
        fn a_pattern_fits_as_a_regular_expression_does(pattern in "[ab*?]{0,6}", name in "[ab]{0,8}") {
            fn slow(pattern: &[u8], name: &[u8]) -> bool {
                match pattern.split_first() {
                    None => name.is_empty(),
                    Some((b'*', rest)) => (0..=name.len()).any(|skip| slow(rest, &name[skip..])),
                    Some((b'?', rest)) => !name.is_empty() && slow(rest, &name[1..]),
                    Some((c, rest)) => name.first() == Some(c) && slow(rest, &name[1..]),
                }
            }
            prop_assert_eq!(glob(&pattern, &name), slow(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
