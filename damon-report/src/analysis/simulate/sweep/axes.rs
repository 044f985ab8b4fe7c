//! What is varied, and by which values: the language of `--sweep`.
//!
//! `age=10s..10m/32,max_rate=0%|5%|10%`: axes parted by commas; values parted by `|`; a range takes geometric steps, whose
//! number is behind `/`, or equal ones, whose width is behind `+`.

use super::value::{Parameter, Value};
use damon_format::damos::{Scheme, Schemes, suggestion};
use serde::Serialize;
use std::collections::HashSet;

/// Variants beyond which a sweep is refused.
pub const MOST_VARIANTS: usize = 100_000;

/// Values of a range whose number is not given.
const STEPS: usize = 32;

/// Why a sweep means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {}: {why}", at + 1)]
pub struct AxesError {
    /// Where, in bytes from the start of the text.
    pub at: usize,
    /// What is wrong, and what is accepted.
    pub why: String,
}

/// One number of one scheme, and the values it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Axis {
    /// Position of the scheme.
    pub scheme: usize,
    /// Which of its numbers.
    pub parameter: Parameter,
    /// Its values in the order in which they were written; no two are the same.
    pub values: Vec<Value>,
}

/// All axes; a variant has a value of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Axes(Vec<Axis>);

/// A part of the text with its position.
#[derive(Clone, Copy)]
struct Span<'a> {
    at: usize,
    text: &'a str,
}

impl Span<'_> {
    fn trim(self) -> Self {
        let begun = self.text.trim_start();
        Self { at: self.at + (self.text.len() - begun.len()), text: begun.trim_end() }
    }

    fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut at = self.at;
        self.text.split(separator).map(move |text| {
            let part = Self { at, text };
            at += text.len() + separator.len_utf8();
            part.trim()
        })
    }

    fn split_once(self, separator: &str) -> Option<(Self, Self)> {
        let (left, right) = self.text.split_once(separator)?;
        let behind = self.at + left.len() + separator.len();
        let left = Self { at: self.at, text: left };
        Some((left.trim(), Self { at: behind, text: right }.trim()))
    }

    fn wrong<T>(self, why: impl Into<String>) -> Result<T, AxesError> {
        Err(AxesError { at: self.at, why: why.into() })
    }
}

impl Axes {
    /// Reads axes that vary some of `schemes`.
    pub fn parse(text: &str, schemes: &Schemes) -> Result<Self, AxesError> {
        let all = Span { at: 0, text };
        let mut axes: Vec<Axis> = Vec::new();
        let mut variants = 1_usize;
        for part in all.split(',') {
            let axis = axis(part, schemes.as_slice().len())?;
            if axes.iter().any(|a| (a.scheme, a.parameter) == (axis.scheme, axis.parameter)) {
                return part.wrong(format!(
                    "{} of scheme {} is varied twice; put its values together, parted by |",
                    axis.parameter, axis.scheme
                ));
            }
            variants = variants.saturating_mul(axis.values.len());
            if variants > MOST_VARIANTS {
                return part.wrong(format!(
                    "more than {MOST_VARIANTS} variants; give ranges fewer steps, like 10s..10m/8"
                ));
            }
            axes.push(axis);
        }
        Ok(Self(axes))
    }

    /// One by one.
    pub fn as_slice(&self) -> &[Axis] {
        &self.0
    }

    /// How many variants there are; the last axis changes fastest.
    pub fn count(&self) -> usize {
        self.0.iter().map(|axis| axis.values.len()).product()
    }

    /// The values of a variant, one an axis.
    pub fn values(&self, variant: usize) -> Vec<Value> {
        let mut rest = variant;
        let mut values: Vec<Value> = Vec::with_capacity(self.0.len());
        for axis in self.0.iter().rev() {
            let count = axis.values.len().max(1);
            values.extend(axis.values.get(rest % count));
            rest /= count;
        }
        values.reverse();
        values
    }

    /// The schemes with such values.
    pub fn schemes(&self, base: &Schemes, values: &[Value]) -> Option<Schemes> {
        let mut list: Vec<Scheme> = base.as_slice().to_vec();
        // The length of a window comes first: a quota per second depends on it.
        for first in [true, false] {
            for (axis, value) in self.0.iter().zip(values) {
                if (axis.parameter == Parameter::ResetInterval) == first
                    && let Some(scheme) = list.get_mut(axis.scheme)
                {
                    axis.parameter.set(scheme, *value);
                }
            }
        }
        Schemes::new(list)
    }
}

fn axis(part: Span<'_>, schemes: usize) -> Result<Axis, AxesError> {
    if part.text.is_empty() {
        return part.wrong("an axis is missing; write one like age=10s..10m");
    }
    let Some((name, values)) = part.split_once("=") else {
        return part.wrong(format!(
            "{:?} has no values; write name=values, like age=10s..10m or max_rate=0%|5%",
            part.text
        ));
    };
    let (scheme, name) = match name.split_once(".") {
        None => (0, name),
        Some((number, name)) => match number.text.parse() {
            Ok(number) if number < schemes => (number, name),
            Ok(_) | Err(_) => {
                let most = schemes.saturating_sub(1);
                return number.wrong(format!(
                    "there is no scheme {:?}; they are numbered from 0 to {most}",
                    number.text
                ));
            }
        },
    };
    let Some(parameter) = Parameter::named(name.text) else {
        return name.wrong(format!(
            "{:?} cannot be varied; {}",
            name.text,
            suggestion(name.text, &Parameter::NAMES)
        ));
    };
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for item in values.split('|') {
        if item.text.is_empty() {
            return item.wrong(format!("a value of {} is missing", name.text));
        }
        for value in items(item, parameter)? {
            if seen.insert(value) {
                found.push(value);
            }
        }
    }
    Ok(Axis { scheme, parameter, values: found })
}

/// One value, or those of a range.
fn items(item: Span<'_>, parameter: Parameter) -> Result<Vec<Value>, AxesError> {
    let read = |span: Span<'_>| match parameter.read(span.text) {
        Ok(value) => Ok(value),
        Err(why) => span.wrong(why),
    };
    let Some((from, rest)) = item.split_once("..") else {
        return Ok(vec![read(item)?]);
    };
    let low = read(from)?;
    let (until, way) = way(rest)?;
    let high = read(until)?;
    if low.unit != high.unit || low.is_max() || high.is_max() {
        return item.wrong("both ends of a range need numbers of the same kind");
    }
    if low.number > high.number {
        return item.wrong(format!("the range ends before it begins; write {high}..{low}"));
    }
    match way {
        Way::Geometric(_) if low.number == 0 => from.wrong(
            "steps that multiply cannot begin at 0; write 0|A..B for them, or 0..B+STEP for equal ones",
        ),
        Way::Geometric(steps) => Ok(low.geometric(high, steps)),
        Way::Equal(step) => {
            let step_value = read(step)?;
            if step_value.unit != low.unit || step_value.number == 0 {
                return step.wrong("the width of a step must be more than 0, in the unit of the range");
            }
            let count = (high.number - low.number) / step_value.number;
            if usize::try_from(count).map_or(true, |count| count >= MOST_VARIANTS) {
                return step.wrong(format!("more than {MOST_VARIANTS} steps; make them wider"));
            }
            let at = |i: u64| Value { number: low.number + i * step_value.number, ..low };
            Ok((0..=count).map(at).collect())
        }
    }
}

/// How a range is gone through.
enum Way<'a> {
    /// So many values.
    Geometric(usize),
    /// By so much.
    Equal(Span<'a>),
}

/// Takes the upper end of a range apart: `10m`, `10m/32`, `1GiB/s/8`, `10m+10s`.
fn way(rest: Span<'_>) -> Result<(Span<'_>, Way<'_>), AxesError> {
    if let Some((until, step)) = rest.split_once("+") {
        return Ok((until, Way::Equal(step)));
    }
    let cut = rest
        .text
        .rfind('/')
        .filter(|at| rest.text.get(at + 1..).is_some_and(|tail| tail.trim() != "s"));
    let Some(cut) = cut else {
        return Ok((rest, Way::Geometric(STEPS)));
    };
    let (left, tail) = rest.text.split_at(cut);
    let count = Span { at: rest.at + cut + 1, text: tail.get(1..).unwrap_or("") }.trim();
    match count.text.parse() {
        Ok(steps @ 2..=MOST_VARIANTS) => {
            Ok((Span { at: rest.at, text: left }.trim(), Way::Geometric(steps)))
        }
        _ => count.wrong(format!(
            "{:?} is no number of steps; write one from 2 to {MOST_VARIANTS}",
            count.text
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::damos::kernel::Action;
    use damon_format::damos::{Age, Frequency};
    use proptest::prelude::*;

    fn base() -> Schemes {
        Schemes::new(vec![Scheme::new(Action::Pageout), Scheme::new(Action::Stat)]).unwrap()
    }

    fn shown(text: &str) -> Vec<String> {
        let axes = Axes::parse(text, &base()).unwrap();
        let all = axes.as_slice().iter().map(|axis| {
            let values: Vec<String> = axis.values.iter().map(ToString::to_string).collect();
            format!("{}.{}={}", axis.scheme, axis.parameter, values.join("|"))
        });
        all.collect()
    }

    fn wrong(text: &str) -> String {
        Axes::parse(text, &base()).unwrap_err().to_string()
    }

    #[test]
    fn lists_and_ranges() {
        assert_eq!(shown("age=10s|2 m|10 s"), ["0.age=10 s|2 m"], "each value once");
        assert_eq!(shown("1.age = 1s..16s/5"), ["1.age=1 s|2 s|4 s|8 s|16 s"]);
        assert_eq!(shown("age=0s..1m+20s|max"), ["0.age=0 us|20 s|40 s|1 m|max"]);
        assert_eq!(
            shown("quota=1MiB/s..4MiB/s/3|8M,max_rate=0%|2 samples"),
            ["0.quota=1 MiB/s|2 MiB/s|4 MiB/s|8 MiB", "0.max_rate=0 %|2 samples"]
        );
        assert_eq!(Axes::parse("age=10s..10m", &base()).unwrap().count(), 32);
        // Three digits are enough for what lies in between.
        assert_eq!(Axes::parse("age=10s..10m/1000", &base()).unwrap().count(), 1000);
        assert_eq!(shown("age=10s..20s/3"), ["0.age=10 s|14.1 s|20 s"]);
        assert_eq!(
            shown("age=2 aggr_intervals..3 aggr_intervals"),
            ["0.age=2 aggr_intervals|3 aggr_intervals"]
        );
    }

    #[test]
    fn mistakes_are_named_where_they_are() {
        for (text, expected) in [
            ("", "at character 1: an axis is missing"),
            ("age=1s,,", "at character 8: an axis is missing"),
            ("age", "at character 1: \"age\" has no values"),
            ("age=", "at character 5: a value of age is missing"),
            ("age=1s|", "at character 8: a value of age is missing"),
            ("age=1s, agee=2s", "at character 9: \"agee\" cannot be varied; did you mean age?"),
            ("colour=2s", "at character 1: \"colour\" cannot be varied; known are age, "),
            ("2.age=1s", "at character 1: there is no scheme \"2\"; they are numbered from 0 to 1"),
            ("x.age=1s", "at character 1: there is no scheme \"x\""),
            ("age=1s..2x", "at character 9: \"2x\" is not an age"),
            ("age=2s..1s", "at character 5: the range ends before it begins; write 1 s..2 s"),
            ("age=1s..max", "at character 5: both ends"),
            ("age=1s..9 aggr_intervals", "at character 5: both ends"),
            ("age=0..1s", "at character 5: steps that multiply cannot begin at 0"),
            ("age=1s..2s/1", "at character 12: \"1\" is no number of steps"),
            ("age=1s..2s+0s", "at character 12: the width of a step"),
            ("age=1s,age=2s", "at character 8: age of scheme 0 is varied twice"),
            ("age=1s..2s/1000,max_age=1s..2s/101", "at character 17: more than 100000 variants"),
            ("age=1us..2d+1us", "at character 13: more than 100000 steps"),
        ] {
            let error = wrong(text);
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    #[test]
    fn variants_have_each_combination_once() {
        let base = base();
        let axes = Axes::parse("age=1s|2s|3s,1.max_rate=0%|5%", &base).unwrap();
        assert_eq!(axes.count(), 6);
        let all: Vec<(Age, Frequency)> = (0..6)
            .map(|i| axes.schemes(&base, &axes.values(i)).unwrap())
            .map(|s| (s.as_slice()[0].age.min, s.as_slice()[1].nr_accesses.max))
            .collect();
        assert_eq!(all[0], (Age::Micros(1_000_000), Frequency::percent(0)));
        assert_eq!(all[1], (Age::Micros(1_000_000), Frequency::percent(5)));
        assert_eq!(all[4], (Age::Micros(3_000_000), Frequency::percent(0)));
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 6);
    }

    #[test]
    fn a_quota_per_second_is_one_of_the_window() {
        let base = base();
        let quota = |text: &str| {
            let axes = Axes::parse(text, &base).unwrap();
            let schemes = axes.schemes(&base, &axes.values(0)).unwrap();
            let quota = &schemes.as_slice()[0].quota;
            (quota.bytes, quota.reset_interval_ms)
        };
        assert_eq!(quota("quota=1MiB"), (1 << 20, 1000), "a window has to have some length");
        assert_eq!(quota("quota=1MiB/s,reset_interval=500ms"), (1 << 19, 500));
        assert_eq!(quota("quota=max"), (0, 0));
    }

    proptest! {
        #[test]
        fn no_text_does_harm(text in "[a-z0-9_.,=|/+% -]{0,40}") {
            if let Ok(axes) = Axes::parse(&text, &base()) {
                prop_assert!(axes.count() > 0);
                prop_assert!(axes.schemes(&base(), &axes.values(axes.count() - 1)).is_some());
            }
        }
    }
}
