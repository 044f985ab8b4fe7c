//! Gates: what must not get worse, and how it is judged, in a file of TOML.

use crate::analysis::compare::{Align, Rule};
use crate::analysis::groups::GroupBy;
use crate::analysis::quantity::{Duration, Share};
use damon_format::damos::suggestion;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a gate or the command line says; what it does not say is left to others.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Settings {
    pub(super) align: Option<Align>,
    pub(super) hot: Option<f64>,
    pub(super) idle_ns: Option<u64>,
    pub(super) group_by: Option<GroupBy>,
    pub(super) false_alarms: Option<f64>,
    pub(super) misses: Option<f64>,
    pub(super) run_noise: Option<f64>,
    pub(super) allow_different: Option<bool>,
    pub(super) allow_damaged: Option<bool>,
    pub(super) rules: Option<Vec<Rule>>,
}

impl Settings {
    /// What is said here, and the rest as it is there.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            align: self.align.or(other.align),
            hot: self.hot.or(other.hot),
            idle_ns: self.idle_ns.or(other.idle_ns),
            group_by: self.group_by.or(other.group_by),
            false_alarms: self.false_alarms.or(other.false_alarms),
            misses: self.misses.or(other.misses),
            run_noise: self.run_noise.or(other.run_noise),
            allow_different: self.allow_different.or(other.allow_different),
            allow_damaged: self.allow_damaged.or(other.allow_damaged),
            rules: self.rules.or(other.rules),
        }
    }
}

/// All keys, as the flags of the same names.
const KEYS: [&str; 10] = [
    "fail-on",
    "align",
    "hot",
    "idle",
    "group",
    "false-alarms",
    "misses",
    "run-noise",
    "allow-different",
    "allow-damaged",
];

/// Where a gate is wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub(super) struct GateError {
    /// From 1.
    line: usize,
    /// Characters, from 1.
    column: usize,
    message: String,
}

impl GateError {
    fn new(text: &str, at: usize, message: impl Into<String>) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            message: message.into(),
        }
    }
}

type Value<'a> = Spanned<DeValue<'a>>;

/// Reads a gate.
pub(super) fn parse(text: &str) -> Result<Settings, GateError> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        GateError::new(text, at, error.message())
    })?;
    // In the order of the file, so that the first mistake is the one that is told.
    let mut entries: Vec<(&str, usize, &Value<'_>)> = table
        .get_ref()
        .iter()
        .map(|(key, value)| (key.get_ref().as_ref(), key.span().start, value))
        .collect();
    entries.sort_by_key(|(_, at, _)| *at);
    let mut settings = Settings::default();
    for (key, at, value) in entries {
        let gate = Entry { text, key, value };
        match key {
            "fail-on" => settings.rules = Some(gate.rules()?),
            "align" => settings.align = Some(gate.word(&ALIGN)?),
            "group" => settings.group_by = Some(gate.word(&GROUP)?),
            "hot" => settings.hot = Some(gate.share(&HOT)?),
            "false-alarms" => settings.false_alarms = Some(gate.share(&RISK)?),
            "misses" => settings.misses = Some(gate.share(&RISK)?),
            "run-noise" => settings.run_noise = Some(gate.share(&NOISE)?),
            "idle" => settings.idle_ns = Some(gate.read::<Duration>()?.0),
            "allow-different" => settings.allow_different = Some(gate.truth()?),
            "allow-damaged" => settings.allow_damaged = Some(gate.truth()?),
            _ => {
                let message = format!("`{key}` is no key of a gate; {}", suggestion(key, &KEYS));
                return Err(GateError::new(text, at, message));
            }
        }
    }
    Ok(settings)
}

const ALIGN: [(&str, Align); 3] =
    [("progress", Align::Progress), ("time", Align::Time), ("marks", Align::Marks)];
const GROUP: [(&str, GroupBy); 3] =
    [("mapping", GroupBy::Mapping), ("file", GroupBy::File), ("kind", GroupBy::Kind)];

/// Bounds of a share, both included, and what it is called.
type Bounds = (Range<f64>, &'static str);

/// Of what is hot.
pub(super) const HOT: Bounds = (0.0..1.0, "an access rate of 0% to 100%");
/// Of errors that are put up with.
pub(super) const RISK: Bounds = (1e-6..0.5, "a probability of 0.0001% to 50%");
/// Of noise from run to run.
pub(super) const NOISE: Bounds = (0.0..1.0, "a share of 0% to 100%");

/// A share within bounds.
pub(super) fn within(share: Share, (bounds, what): &Bounds) -> Result<f64, String> {
    let fits = share.0 >= bounds.start && share.0 <= bounds.end;
    if fits { Ok(share.0) } else { Err(format!("{what} is needed here")) }
}

/// One entry of the file.
struct Entry<'a> {
    text: &'a str,
    key: &'a str,
    value: &'a Value<'a>,
}

impl<'a> Entry<'a> {
    fn error(&self, message: impl Into<String>) -> GateError {
        GateError::new(self.text, self.value.span().start, message)
    }

    fn string(&self) -> Result<&'a str, GateError> {
        self.value.get_ref().as_str().ok_or_else(|| {
            self.error(format!("`{}` is a text in quotation marks: {}", self.key, self.example()))
        })
    }

    fn example(&self) -> &'static str {
        match self.key {
            "align" => "\"progress\"",
            "group" => "\"mapping\"",
            "hot" => "\"50%\"",
            "idle" => "\"10s\"",
            _ => "\"1%\"",
        }
    }

    fn read<T: std::str::FromStr<Err: std::fmt::Display>>(&self) -> Result<T, GateError> {
        self.string()?.parse().map_err(|error: T::Err| self.error(error.to_string()))
    }

    fn share(&self, bounds: &Bounds) -> Result<f64, GateError> {
        within(self.read()?, bounds).map_err(|message| self.error(message))
    }

    fn word<T: Copy>(&self, known: &[(&str, T)]) -> Result<T, GateError> {
        let word = self.string()?;
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let found = known.iter().find(|(name, _)| *name == word);
        found.map(|(_, value)| *value).ok_or_else(|| {
            self.error(format!("`{word}` is no {}; {}", self.key, suggestion(word, &names)))
        })
    }

    fn truth(&self) -> Result<bool, GateError> {
        let value = self.value.get_ref().as_bool();
        value.ok_or_else(|| self.error(format!("`{}` is true or false", self.key)))
    }

    fn rules(&self) -> Result<Vec<Rule>, GateError> {
        let list = match self.value.get_ref() {
            DeValue::Array(list) => list.iter().collect(),
            _ => vec![self.value],
        };
        if list.is_empty() {
            let message = "`fail-on` names no rule; without it, the usual ones count";
            return Err(self.error(message));
        }
        let mut rules: Vec<Rule> = Vec::new();
        for value in list {
            let at = value.span();
            let Some(rule) = value.get_ref().as_str() else {
                let message = "a rule is a text in quotation marks: \"wss.expected.p95 > +5%\"";
                return Err(GateError::new(self.text, at.start, message));
            };
            let rule = Rule::parse(rule).map_err(|error| {
                GateError::new(self.text, inside(self.text, &at, rule, error.at), error.message)
            })?;
            if !rules.iter().any(|known| known.text == rule.text) {
                rules.push(rule);
            }
        }
        Ok(rules)
    }
}

/// The place in the file of a place in a text that is written there; its start, if it is written with escapes.
fn inside(text: &str, span: &Range<usize>, value: &str, at: usize) -> usize {
    let written = text.get(span.clone()).unwrap_or_default();
    let quotes = [3, 1].into_iter().find(|quotes| {
        let within = *quotes..written.len().saturating_sub(*quotes);
        written.get(within) == Some(value)
    });
    quotes.map_or(span.start, |quotes| span.start + quotes + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gate_says_what_flags_say() {
        let settings = parse(
            "# ours\nfail-on = [\n  \"wss.expected.p95 > +5% and > 4MiB\",\n  'hot.mean > 3%', 'hot.mean > 3%',\n]\n\
             align = \"marks\"\nhot = \"25%\"\nidle = \"2min\"\ngroup = \"file\"\nfalse-alarms = \"0.5%\"\n\
             misses = \"10%\"\nrun-noise = \"0%\"\nallow-different = true\n",
        )
        .unwrap();
        let rules: Vec<String> = settings.rules.iter().flatten().map(Rule::to_string).collect();
        assert_eq!(rules, ["wss.expected.p95 > +5% and > +4MiB", "hot.mean > +3%"]);
        let rest = Settings { rules: None, ..settings };
        let expected = Settings {
            align: Some(Align::Marks),
            hot: Some(0.25),
            idle_ns: Some(120_000_000_000),
            group_by: Some(GroupBy::File),
            false_alarms: Some(0.005),
            misses: Some(0.1),
            run_noise: Some(0.0),
            allow_different: Some(true),
            ..Settings::default()
        };
        assert_eq!(rest, expected);
        assert_eq!(parse("").unwrap(), Settings::default());
        let one = parse("fail-on = \"rss.max > 1G\"").unwrap().rules.unwrap();
        assert_eq!(one.len(), 1);
    }

    #[test]
    fn mistakes_are_named_with_line_and_column() {
        let cases = [
            (
                "\nfail-on = [\n  \"hot.meen > 5%\"]",
                "3:4: `hot.meen` is no metric; did you mean hot.mean?",
            ),
            (
                "fail-on = 'hot.mean > 5%x'",
                "1:23: `5%x` is no limit; write per cent (5%) or bytes (4MiB, 512K, 1.5GiB)",
            ),
            ("fail-on = \"\"\"hot.mean\"\"\"", "1:22: the end is no comparison"),
            ("fail-on = \"µ > 5%\"", "1:12: `µ` is no metric"),
            ("fail-on = \"h\\u006ft.mean\"", "1:11: the end is no comparison"),
            ("fail-on = []", "1:11: `fail-on` names no rule"),
            ("[[fail-on]]\nrule = 'x'", "1:1: a rule is a text"),
            ("fail_on = []", "1:1: `fail_on` is no key of a gate; did you mean fail-on?"),
            ("hot = 50", "1:7: `hot` is a text in quotation marks: \"50%\""),
            ("hot = \"500%\"", "1:7: an access rate of 0% to 100% is needed here"),
            ("misses = \"0%\"", "1:10: a probability of 0.0001% to 50% is needed here"),
            ("idle = \"10\"", "1:8: `10` is no duration"),
            ("align = \"mark\"", "1:9: `mark` is no align; did you mean marks?"),
            ("allow-different = 1", "1:19: `allow-different` is true or false"),
            ("hot = ", "1:7: "),
            ("hot = '1%'\nhot = '2%'", "2:1: "),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_said_first_counts() {
        let flags = Settings { hot: Some(0.1), ..Settings::default() };
        let gate = Settings { hot: Some(0.2), misses: Some(0.3), ..Settings::default() };
        let both = flags.or(gate);
        assert_eq!((both.hot, both.misses, both.align), (Some(0.1), Some(0.3), None));
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,60}") {
            let _read: Result<Settings, GateError> = parse(&text);
        }

        #[test]
        fn no_text_that_looks_like_a_gate_is_too_much(
            text in "(fail-on|hot|idle|align| |=|\\[|\\]|\"|'|\n|,|\"\"\"|hot\\.mean > 5%|\\\\u00e9|50%|true|1|#|µ){0,16}"
        ) {
            let _read: Result<Settings, GateError> = parse(&text);
        }
    }
}
