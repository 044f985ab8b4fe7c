//! Times as people write them: lengths, moments, and ranges of a recording.

use super::SelectError;
use crate::analysis::num::{float, round};
use damon_format::decimal::Decimal;
use std::ops::Range;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    Offset(u64),
    Percent(f64),
}

impl Bound {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(number) = text.strip_suffix('%') {
            let percent: f64 = number.trim().parse().ok()?;
            return (0.0..=100.0).contains(&percent).then_some(Self::Percent(percent));
        }
        parse_duration(text).map(Self::Offset)
    }

    pub(super) fn resolve(self, duration: u64) -> u64 {
        match self {
            Self::Offset(ns) => ns,
            Self::Percent(percent) => round(float(duration) * percent / 100.0),
        }
    }
}

/// A moment, relative to the start of the recording: `7s`, `50%`.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    text: String,
    bound: Bound,
}

impl FromStr for Moment {
    type Err = SelectError;

    fn from_str(text: &str) -> Result<Self, SelectError> {
        let bound = Bound::parse(text).ok_or_else(|| SelectError::MomentSyntax(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), bound })
    }
}

impl Moment {
    /// As it was asked for.
    pub fn asked(&self) -> &str {
        &self.text
    }

    /// As a nanosecond of a recording that spans `whole`; its end belongs to its last one.
    pub fn resolve(&self, whole: &Range<u64>) -> Result<u64, SelectError> {
        let duration = whole.end.saturating_sub(whole.start);
        let offset = self.bound.resolve(duration);
        if offset > duration {
            return Err(SelectError::OutsideTime {
                asked: self.text.clone(),
                lasts: format!("{:.3} s", float(duration) / 1e9),
            });
        }
        let last = whole.end.saturating_sub(1).max(whole.start);
        Ok(whole.start.saturating_add(offset).min(last))
    }
}

/// `1.5s`, `200ms`, `2min`, `1h`, `10us`, `7ns`, or a bare `0`, in nanoseconds.
pub fn parse_duration(text: &str) -> Option<u64> {
    let (number, unit) = Decimal::leading(text)?;
    let scale = match unit.trim_end() {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        "" if number.times_exactly(1) == Some(0) => 0,
        _ => return None,
    };
    number.times(scale)
}

/// A length of time with its unit, longer than nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(u64);

impl Duration {
    /// Nanoseconds.
    pub fn ns(self) -> u64 {
        self.0
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ns = parse_duration(text.trim()).filter(|ns| *ns > 0);
        ns.map(Self)
            .ok_or_else(|| format!("`{text}` is no length of time: write 1s, 500ms or 2min"))
    }
}

/// `A..B` relative to the start of the recording; either side may be missing.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeSpec {
    pub(super) text: String,
    pub(super) from: Option<Bound>,
    pub(super) to: Option<Bound>,
}

impl FromStr for TimeSpec {
    type Err = SelectError;

    fn from_str(text: &str) -> Result<Self, SelectError> {
        let wrong = || SelectError::TimeSyntax(text.to_owned());
        let (from, to) = text.split_once("..").ok_or_else(wrong)?;
        let bound = |side: &str| {
            if side.trim().is_empty() {
                return Ok(None);
            }
            Bound::parse(side).map(Some).ok_or_else(wrong)
        };
        Ok(Self { text: text.to_owned(), from: bound(from)?, to: bound(to)? })
    }
}
