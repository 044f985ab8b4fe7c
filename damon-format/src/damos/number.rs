//! The numbers of damo's JSON: commas, units, percent, `min` and `max`.

use super::scheme::{Age, Frequency};
use crate::decimal::Decimal;

/// Sizes: each unit is 1024 of the one before, whatever it is called.
const SIZE_UNITS: [(&str, &str, &str); 7] = [
    ("B", "B", "B"),
    ("K", "KB", "KiB"),
    ("M", "MB", "MiB"),
    ("G", "GB", "GiB"),
    ("T", "TB", "TiB"),
    ("P", "PB", "PiB"),
    ("E", "EB", "EiB"),
];

/// Times in nanoseconds.
const TIME_UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", MS),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3_600 * SECOND),
    ("d", 86_400 * SECOND),
];

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// What a bare number of time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeUnit {
    Micros,
    Millis,
}

impl TimeUnit {
    fn nanos(self) -> u64 {
        match self {
            Self::Micros => 1_000,
            Self::Millis => MS,
        }
    }
}

/// The two words that every number may be replaced by.
fn extreme(text: &str) -> Option<u64> {
    match text {
        "min" => Some(0),
        "max" => Some(u64::MAX),
        _ => None,
    }
}

const SIZE: &str = "a size: write bytes or a number with B, KiB, MiB, GiB or TiB, for example \
                    \"4 KiB\", or \"max\"";
const TIME: &str =
    "a time: write a number and one of ns, us, ms, s, m, h, d, for example \"100 ms\", or \"max\"";
const FREQUENCY: &str = "an access frequency: write per cent, \"5 %\", or samples per aggregation, \
                         \"1 samples\", or \"max\"";
const AGE: &str =
    "an age: write a time, \"2 m\", or aggregations, \"20 aggr_intervals\", or \"max\"";
const SHARE: &str = "a share: write per cent, for example \"40 %\", or a bare number";
const COUNT: &str = "a whole number";

fn refuse<T>(text: &str, expected: &str) -> Result<T, String> {
    Err(format!("{text:?} is not {expected}"))
}

/// Bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if let Some(value) = extreme(text) {
        return Ok(value);
    }
    let Some((number, unit)) = Decimal::leading_grouped(text) else {
        return refuse(text, SIZE);
    };
    let power = if unit.is_empty() {
        Some(0)
    } else {
        SIZE_UNITS.iter().position(|(a, b, c)| [*a, *b, *c].contains(&unit))
    };
    let Some(power) = power else { return refuse(text, SIZE) };
    match number.times(1 << (10 * power)) {
        Some(bytes) => Ok(bytes),
        None => Err(format!("{text:?} is more than 64 bits hold: write \"max\"")),
    }
}

/// An address, decimal or hexadecimal with `0x`.
pub(super) fn address(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    match trimmed.strip_prefix("0x").or_else(|| trimmed.strip_prefix("0X")) {
        Some(digits) => match u64::from_str_radix(digits, 16) {
            Ok(address) => Ok(address),
            Err(_why) => refuse(trimmed, "an address: write 0x… or decimal digits"),
        },
        None => size(text),
    }
}

/// Nanoseconds, or `None` for "max". Several groups are added: `1 h 2 m 3.5 s`.
fn nanos(text: &str, bare: TimeUnit, expected: &str) -> Result<Option<u64>, String> {
    match extreme(text) {
        Some(0) => return Ok(Some(0)),
        Some(_) => return Ok(None),
        None => {}
    }
    let (mut rest, mut sum) = (text, 0_u64);
    loop {
        let Some((number, tail)) = Decimal::leading_grouped(rest) else {
            return refuse(text, expected);
        };
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale = match unit {
            "" if rest.len() == text.len() && tail.is_empty() => Some(bare.nanos()),
            _ => TIME_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale),
        };
        let Some(scale) = scale else { return refuse(text, expected) };
        match number.times(scale).and_then(|part| sum.checked_add(part)) {
            Some(new) => sum = new,
            // Centuries. damo writes "max" in the field's own unit when asked for raw numbers.
            None => return Ok(None),
        }
        rest = tail.trim_start();
        if rest.is_empty() {
            return Ok(Some(sum));
        }
    }
}

/// A time in `unit`; "max" is the largest number.
pub(super) fn time(text: &str, unit: TimeUnit) -> Result<u64, String> {
    let nanos = nanos(text.trim(), unit, TIME)?;
    Ok(nanos.map_or(u64::MAX, |nanos| nanos / unit.nanos()))
}

/// An access frequency; a bare number is per cent.
pub(super) fn frequency(text: &str) -> Result<Frequency, String> {
    let text = text.trim();
    match extreme(text) {
        Some(0) => return Ok(Frequency::percent(0)),
        Some(_) => return Ok(Frequency::Max),
        None => {}
    }
    let Some((number, unit)) = Decimal::leading_grouped(text) else {
        return refuse(text, FREQUENCY);
    };
    match unit {
        "" | "%" => {
            let parts = number.times(Frequency::PARTS_PER_PERCENT);
            // damo writes its "max" as 2^64-1 per cent.
            Ok(parts.map_or(Frequency::Max, Frequency::Percent))
        }
        "samples" | "sample" => match number.times_exactly(1) {
            // The kernel counts in 32 bits.
            Some(samples) if samples >= u64::from(u32::MAX) => Ok(Frequency::Max),
            Some(samples) => Ok(Frequency::Samples(samples)),
            None => refuse(text, FREQUENCY),
        },
        _ => refuse(text, FREQUENCY),
    }
}

/// An age; a bare number is microseconds.
pub(super) fn age(text: &str) -> Result<Age, String> {
    let text = text.trim();
    let number = Decimal::leading_grouped(text);
    if let Some((number, "aggr_intervals" | "aggr_interval")) = number {
        return match number.times_exactly(1) {
            Some(count) if count >= u64::from(u32::MAX) => Ok(Age::Max),
            Some(count) => Ok(Age::Aggregations(count)),
            None => refuse(text, AGE),
        };
    }
    let nanos = nanos(text, TimeUnit::Micros, AGE)?;
    Ok(nanos.map_or(Age::Max, |nanos| Age::Micros(nanos / 1_000)))
}

/// A share in units of `1 / whole`: per cent of `whole`, or a bare number of these units.
pub(super) fn share(text: &str, whole: u64) -> Result<u64, String> {
    let text = text.trim();
    let Some((number, unit)) = Decimal::leading_grouped(text) else {
        return refuse(text, SHARE);
    };
    let value = match unit {
        "" => number.times(1),
        "%" => number.times(whole / 100),
        _ => return refuse(text, SHARE),
    };
    value.map_or_else(|| Err(format!("{text:?} is more than 64 bits hold")), Ok)
}

/// A plain count.
pub(super) fn count(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if let Some(value) = extreme(text) {
        return Ok(value);
    }
    let number = Decimal::leading_grouped(text).filter(|(_, rest)| rest.is_empty());
    match number.and_then(|(number, _)| number.times_exactly(1)) {
        Some(value) => Ok(value),
        None => refuse(text, COUNT),
    }
}

/// [`size`] reads it back exactly; damo does, too.
pub(super) fn show_size(bytes: u64) -> String {
    if bytes == u64::MAX {
        return "max".to_owned();
    }
    let power = if bytes == 0 { 0 } else { (bytes.trailing_zeros() / 10).min(6) };
    let unit = SIZE_UNITS.get(power as usize).map_or("B", |(_, _, unit)| unit);
    format!("{} {unit}", bytes >> (10 * power))
}

/// [`time`] reads it back exactly; damo does, too.
pub(super) fn show_time(value: u64, unit: TimeUnit) -> String {
    if value == u64::MAX {
        return "max".to_owned();
    }
    let nanos = u128::from(value) * u128::from(unit.nanos());
    let (name, scale) = TIME_UNITS
        .iter()
        .rev()
        .find(|(name, scale)| *name != "d" && nanos > 0 && nanos.is_multiple_of(u128::from(*scale)))
        .unwrap_or(&("us", 1_000));
    format!("{} {name}", nanos / u128::from(*scale))
}

/// `value / whole` as per cent, exact to the last digit: `12.5 %`.
pub(super) fn show_percent(value: u64, whole: u64) -> String {
    let per_cent = (whole / 100).max(1);
    let (integer, rest) = (value / per_cent, value % per_cent);
    if rest == 0 {
        return format!("{integer} %");
    }
    let places = per_cent.ilog10() as usize;
    let text = format!("{integer}.{rest:0places$}");
    format!("{} %", text.trim_end_matches('0'))
}

#[cfg(test)]
mod tests;
