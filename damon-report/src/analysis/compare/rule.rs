//! Rules as people write them: `wss.expected.p95 > +5% and > 4MiB`.
//!
//! ```text
//! RULE   = METRIC CHANGE ["and" CHANGE]
//! CHANGE = ">" ["+"] LIMIT          growth
//!        | "<" "-" LIMIT            shrinkage
//!        | "changes" ">" LIMIT      either; "changes" is not said again after "and"
//! LIMIT  = NUMBER "%"               a share of the base
//!        | NUMBER [UNIT]            bytes
//! ```
//!
//! Of two limits, one is a share and one is bytes, and both must be passed.

use super::metric::MetricPattern;
use super::verdict::{Direction, Rule, Threshold};
use crate::analysis::num::{float, round};
use crate::analysis::quantity::{Share, Size};
use std::fmt;

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RuleError {
    /// Byte at which it goes wrong.
    pub at: usize,
    /// What is wrong, and what is accepted.
    pub message: String,
}

/// What is left of a text, and where it is.
struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    fn error(&self, message: impl Into<String>) -> RuleError {
        RuleError { at: self.at, message: message.into() }
    }

    fn skip(&mut self, bytes: usize) -> &'a str {
        let (taken, text) = self.text.split_at_checked(bytes).unwrap_or((self.text, ""));
        self.text = text;
        self.at += taken.len();
        taken
    }

    fn space(&mut self) {
        self.skip(self.text.len() - self.text.trim_start().len());
    }

    /// Takes a sign or a word, if it comes next.
    fn take(&mut self, what: &str) -> bool {
        self.space();
        let Some(behind) = self.text.strip_prefix(what) else { return false };
        let is_word = what.ends_with(char::is_alphabetic);
        if is_word && behind.starts_with(|c: char| c.is_alphanumeric()) {
            return false;
        }
        self.skip(what.len());
        true
    }

    /// Up to the first of some characters that is in no parentheses.
    fn until(&mut self, end: impl Fn(char) -> bool) -> &'a str {
        let mut depth = 0_usize;
        let mut length = self.text.len();
        for (at, c) in self.text.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                c if depth == 0 && end(c) => {
                    length = at;
                    break;
                }
                _ => {}
            }
        }
        self.skip(length)
    }

    /// What comes next, for a message.
    fn next(&self) -> String {
        let word = self.text.split_whitespace().next();
        word.map_or_else(|| "the end".to_owned(), |word| format!("`{word}`"))
    }
}

/// One of the two kinds of limits.
enum Limit {
    Relative(f64),
    Absolute(f64),
}

impl Rule {
    /// Reads a rule; its text is kept as it was written, without blanks around it.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let mut rest = Rest { text, at: 0 };
        rest.space();
        let begin = rest.at;
        let name = rest.until(|c| c.is_whitespace() || c == '<' || c == '>');
        if name.is_empty() {
            return Err(rest.error("a metric is missing, e.g. wss.expected.p95 > +5%"));
        }
        let metrics = MetricPattern::parse(name)
            .map_err(|error| RuleError { at: begin + error.at, message: error.message })?;
        let any = rest.take("changes");
        let direction = comparison(&mut rest, any)?;
        let mut threshold = Threshold { direction, relative: None, absolute: None };
        limit(&mut rest, &mut threshold)?;
        if rest.take("and") {
            let at = rest.at;
            if comparison(&mut rest, any)? != direction {
                let message = "both limits are about the same direction: say both with `>` or \
                               both with `<`";
                return Err(RuleError { at, message: message.to_owned() });
            }
            limit(&mut rest, &mut threshold)?;
        }
        rest.space();
        if !rest.text.is_empty() {
            let next = rest.next();
            return Err(rest.error(format!(
                "{next} is too much: a rule has one limit, or two with `and` between them"
            )));
        }
        Ok(Self { metrics, threshold, text: text.trim().to_owned() })
    }
}

/// `> +`, `< -`; `>` alone where any change is meant.
fn comparison(rest: &mut Rest<'_>, any: bool) -> Result<Direction, RuleError> {
    if rest.take(">") {
        rest.space();
        if rest.text.starts_with('-') {
            return Err(rest.error("after `>` comes a growth; shrinkage is `< -5%`"));
        }
        let signed = rest.text.starts_with('+');
        if any && signed {
            return Err(rest.error("after `changes >` comes a limit without a sign"));
        }
        rest.skip(usize::from(signed));
        return Ok(if any { Direction::Any } else { Direction::Growth });
    }
    if !any && rest.take("<") {
        if !rest.take("-") {
            return Err(rest.error("after `<` comes a shrinkage with its minus: `< -5%`"));
        }
        return Ok(Direction::Shrinkage);
    }
    rest.space();
    let next = rest.next();
    let accepted = if any {
        "`> 5%` or `> 4MiB` comes here"
    } else {
        "`> +5%`, `< -5%` or `changes > 5%` comes here (or bytes, such as 4MiB)"
    };
    Err(rest.error(format!("{next} is no comparison; {accepted}")))
}

fn limit(rest: &mut Rest<'_>, threshold: &mut Threshold) -> Result<(), RuleError> {
    rest.space();
    let at = rest.at;
    let error = |message: String| RuleError { at, message };
    let known = match number(rest)? {
        Limit::Relative(share) => threshold.relative.replace(share).is_some(),
        Limit::Absolute(bytes) => threshold.absolute.replace(bytes).is_some(),
    };
    if known {
        let message = "of two limits, one is per cent and one is bytes: `> +5% and > 4MiB`";
        return Err(error(message.to_owned()));
    }
    Ok(())
}

/// A number and its unit, with or without blanks between them.
fn number(rest: &mut Rest<'_>) -> Result<Limit, RuleError> {
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let length = rest.text.find(|c| !digits(c)).unwrap_or(rest.text.len());
    let behind = rest.text.get(length..).unwrap_or_default();
    let blanks = behind.len() - behind.trim_start().len();
    let unit: String = behind
        .trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '%' || *c == '.')
        .collect();
    // `and` is no unit.
    let unit_length = if unit == "and" { 0 } else { blanks + unit.len() };
    let text = rest.text.get(..length + unit_length).unwrap_or_default();
    let found = if text.ends_with('%') {
        text.parse().ok().map(|Share(share)| Limit::Relative(share))
    } else {
        text.parse().ok().map(|Size(bytes)| Limit::Absolute(float(bytes)))
    };
    let Some(found) = found else {
        let next = rest.next();
        return Err(rest.error(format!(
            "{next} is no limit; write per cent (5%) or bytes (4MiB, 512K, 1.5GiB)"
        )));
    };
    rest.skip(text.len());
    Ok(found)
}

impl fmt::Display for Threshold {
    /// The part of a rule after its metric.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, again, sign) = match self.direction {
            Direction::Growth => (">", ">", "+"),
            Direction::Shrinkage => ("<", "<", "-"),
            Direction::Any => ("changes >", ">", ""),
        };
        let relative = self.relative.map(|share| format!("{}%", per_cent(share)));
        let absolute = self.absolute.map(size);
        let limits: Vec<String> = [relative, absolute].into_iter().flatten().collect();
        match limits.as_slice() {
            [] => write!(f, "{first} {sign}0%"),
            [one] => write!(f, "{first} {sign}{one}"),
            [one, two, ..] => write!(f, "{first} {sign}{one} and {again} {sign}{two}"),
        }
    }
}

impl fmt::Display for Rule {
    /// In one spelling, however it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.metrics, self.threshold)
    }
}

/// A share in per cent, in the fewest digits that are read as the same number.
fn per_cent(share: f64) -> String {
    if share == 0.0 {
        return "0".to_owned();
    }
    let text = format!("{share:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    // The point stands after so many of all digits.
    let point = exponent.saturating_add(3);
    match usize::try_from(point) {
        Ok(point) if point > 0 => match all.split_at_checked(point) {
            Some((all, "")) => all.to_owned(),
            Some((whole, fraction)) => format!("{whole}.{fraction}"),
            None => format!("{all:0<point$}"),
        },
        _ => {
            let zeros = usize::try_from(point.unsigned_abs()).unwrap_or(0);
            format!("0.{}{all}", "0".repeat(zeros))
        }
    }
}

/// Bytes in the largest unit of which they are a whole number.
fn size(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut number = round(bytes);
    let mut units = UNITS.into_iter().peekable();
    while number > 0 && number.is_multiple_of(1024) && units.len() > 1 {
        number /= 1024;
        units.next();
    }
    format!("{number}{}", units.next().unwrap_or("B"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::compare::Metric;
    use proptest::prelude::*;

    fn threshold(text: &str) -> (Direction, Option<f64>, Option<f64>) {
        let Threshold { direction, relative, absolute } = Rule::parse(text).unwrap().threshold;
        (direction, relative, absolute)
    }

    #[test]
    fn rules_are_read() {
        use Direction::{Any, Growth, Shrinkage};
        const MIB: f64 = 1_048_576.0;
        let cases = [
            ("hot.mean > +5%", (Growth, Some(0.05), None)),
            ("hot.mean>5%", (Growth, Some(0.05), None)),
            ("  hot.mean > 4 MiB ", (Growth, None, Some(4.0 * MIB))),
            ("hot.mean > +5% and > 4MiB", (Growth, Some(0.05), Some(4.0 * MIB))),
            ("hot.mean > +4MiB and > +5 %", (Growth, Some(0.05), Some(4.0 * MIB))),
            ("idle.mean < -2.5% and < -1M", (Shrinkage, Some(0.025), Some(MIB))),
            ("hot.mean changes > 5% and > 1MiB", (Any, Some(0.05), Some(MIB))),
            ("hot.mean changes > 4096", (Any, None, Some(4096.0))),
            ("hot.mean > 4096 and > 1%", (Growth, Some(0.01), Some(4096.0))),
        ];
        for (text, expected) in cases {
            assert_eq!(threshold(text), expected, "{text}");
        }
        let rule = Rule::parse(" mapping(/a b > c (x)).hot.mean > 5% ").unwrap();
        assert_eq!(rule.metrics.mapping.as_deref(), Some("/a b > c (x)"));
        assert_eq!(rule.text, "mapping(/a b > c (x)).hot.mean > 5%");
        assert_eq!(rule.to_string(), "mapping(/a b > c (x)).hot.mean > +5%");
    }

    #[test]
    fn what_is_no_rule_is_said_with_its_place() {
        let cases = [
            ("", 0, "a metric is missing"),
            ("> 5%", 0, "a metric is missing"),
            (" wss.expectd.p95 > 5%", 1, "did you mean wss.expected.p95?"),
            ("mapping(x).rss.mean > 5%", 11, "no metric of a mapping"),
            ("hot.mean", 8, "the end is no comparison"),
            ("hot.mean = 5%", 9, "`=` is no comparison"),
            ("hot.mean > -5%", 11, "shrinkage is `< -5%`"),
            ("hot.mean < 5%", 11, "with its minus"),
            ("hot.mean changes 5%", 17, "`> 5%` or `> 4MiB` comes here"),
            ("hot.mean changes > +5%", 19, "without a sign"),
            ("hot.mean > five", 11, "`five` is no limit"),
            ("hot.mean > 5", 0, ""),
            ("hot.mean > 5 MB and", 19, "the end is no comparison"),
            ("hot.mean > 5% and > 6%", 20, "one is per cent and one is bytes"),
            ("hot.mean > 5% and < -4K", 17, "same direction"),
            ("hot.mean > 5% or > 4K", 14, "`or` is too much"),
            ("hot.mean > 5% and > 4K and > 4K", 23, "`and` is too much"),
            ("hot.mean > 1e3", 11, "`1e3` is no limit"),
        ];
        for (text, at, message) in cases {
            match Rule::parse(text) {
                Ok(rule) => assert!(message.is_empty(), "{text} is read as {rule}"),
                Err(error) => {
                    assert!(
                        !message.is_empty() && error.message.contains(message),
                        "{text}: {error}"
                    );
                    assert_eq!(error.at, at, "{text}: {error}");
                }
            }
        }
    }

    #[test]
    fn shares_and_sizes_are_written_short() {
        for (share, text) in [
            (0.05, "5"),
            (0.025, "2.5"),
            (1.0, "100"),
            (12.5, "1250"),
            (1e-7, "0.00001"),
            (0.0, "0"),
        ] {
            assert_eq!(per_cent(share), text);
        }
        for (bytes, text) in
            [(0.0, "0B"), (1000.0, "1000B"), (4_194_304.0, "4MiB"), (1536.0, "1536B")]
        {
            assert_eq!(size(bytes), text);
        }
    }

    fn names() -> impl Strategy<Value = Option<String>> {
        proptest::option::of("[a-z*?><%+ .]{0,6}(\\([a-z ]{0,3}\\))?[a-z/\\[\\]]{0,4}")
    }

    fn rules() -> impl Strategy<Value = Rule> {
        let directions = vec![Direction::Growth, Direction::Shrinkage, Direction::Any];
        let limits = prop_oneof![
            (0.0..10.0_f64).prop_map(|share| (Some(share), None)),
            any::<u64>().prop_map(|bytes| (None, Some(float(bytes)))),
            (0.0..1e-3_f64, 0..1_u64 << 40)
                .prop_map(|(share, bytes)| (Some(share), Some(float(bytes)))),
        ];
        let metric = (names(), names(), any::<proptest::sample::Index>());
        (metric, proptest::sample::select(directions), limits).prop_map(
            |((phase, mapping, index), direction, (relative, absolute))| {
                let all: Vec<_> = match mapping {
                    Some(_) => Metric::of_mappings().collect(),
                    None => Metric::totals().collect(),
                };
                let (measure, statistic) = *index.get(&all);
                let metrics = MetricPattern { phase, mapping, measure, statistic };
                let threshold = Threshold { direction, relative, absolute };
                let text = format!("{metrics} {threshold}");
                Rule { metrics, threshold, text }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(rule in rules()) {
            prop_assert_eq!(Rule::parse(&rule.to_string()).unwrap(), rule);
        }

        #[test]
        fn no_text_is_too_much(text in "\\PC{0,40}") {
            if let Err(error) = Rule::parse(&text) {
                prop_assert!(text.is_char_boundary(error.at), "{error:?}");
            }
        }

        #[test]
        fn no_text_that_looks_like_a_rule_is_too_much(
            text in "(phase\\(|mapping\\(|hot|\\)|\\.mean|\\.| |>|<|changes|and|[+-]|5%|4MiB|[0-9.]|µ){0,14}"
        ) {
            match Rule::parse(&text) {
                Ok(rule) => prop_assert_eq!(Rule::parse(&rule.to_string()).unwrap().to_string(), rule.to_string()),
                Err(error) => prop_assert!(text.is_char_boundary(error.at), "{error:?}"),
            }
        }
    }
}
