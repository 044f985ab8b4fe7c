//! The numbers of a scheme that can be varied, and their values.

use crate::analysis::num::{float, float_of, round};
use damon_format::damos::text::{
    age, frequency, micros, millis, show_age, show_bytes, show_frequency, show_micros, show_millis,
    size,
};
use damon_format::damos::{Age, Frequency, Scheme, kernel};
use serde::{Serialize, Serializer};
use std::fmt;

/// A number of a scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Parameter {
    /// Least age (`access_pattern.age.min`).
    Age,
    /// Greatest age.
    MaxAge,
    /// Least access frequency (`access_pattern.nr_accesses.min`).
    MinRate,
    /// Greatest access frequency.
    MaxRate,
    /// Least size of a region (`access_pattern.sz_bytes.min`).
    MinSize,
    /// Greatest size of a region.
    MaxSize,
    /// Bytes per window (`quotas.sz_bytes`), or per second; a scheme without a window gets one of a second.
    Quota,
    /// Time per window (`quotas.time_ms`).
    QuotaTime,
    /// Length of a window (`quotas.reset_interval_ms`).
    ResetInterval,
    /// How often (`apply_interval_us`).
    ApplyInterval,
}

impl Parameter {
    /// All names.
    pub const NAMES: [&'static str; 10] = [
        "age",
        "max_age",
        "min_rate",
        "max_rate",
        "min_size",
        "max_size",
        "quota",
        "quota_time",
        "reset_interval",
        "apply_interval",
    ];

    const ALL: [Self; 10] = [
        Self::Age,
        Self::MaxAge,
        Self::MinRate,
        Self::MaxRate,
        Self::MinSize,
        Self::MaxSize,
        Self::Quota,
        Self::QuotaTime,
        Self::ResetInterval,
        Self::ApplyInterval,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().zip(Self::NAMES).find(|(parameter, _)| **parameter == self);
        found.map_or("", |(_, name)| name)
    }

    /// The parameter of this name.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().zip(Self::NAMES);
        all.find(|(_, known)| *known == name).map(|(parameter, _)| *parameter)
    }

    /// Reads a value in the scheme language; the error says what is accepted.
    pub fn read(self, text: &str) -> Result<Value, String> {
        let of = |unit, number| Value { unit, number };
        Ok(match self {
            Self::Age | Self::MaxAge => match age(text)? {
                Age::Micros(us) => of(Unit::Micros, us),
                Age::Aggregations(count) => of(Unit::Aggregations, count),
                Age::Max => of(Unit::Micros, u64::MAX),
            },
            Self::MinRate | Self::MaxRate => match frequency(text)? {
                Frequency::Percent(parts) => of(Unit::MillionthPercent, parts),
                Frequency::Samples(samples) => of(Unit::Samples, samples),
                Frequency::Max => of(Unit::MillionthPercent, u64::MAX),
            },
            Self::MinSize | Self::MaxSize => of(Unit::Bytes, size(text)?),
            Self::Quota => match text.strip_suffix("/s") {
                Some(text) => of(Unit::BytesPerSecond, size(text)?),
                None => of(Unit::Bytes, size(text)?),
            },
            Self::QuotaTime | Self::ResetInterval => of(Unit::Millis, millis(text)?),
            Self::ApplyInterval => of(Unit::Micros, micros(text)?),
        })
    }

    /// Gives it to a scheme.
    pub(super) fn set(self, scheme: &mut Scheme, value: Value) {
        /// Of a quota that has none.
        const WINDOW_MS: u64 = 1_000;
        let number = value.number;
        let age = || match value.unit {
            _ if value.is_max() => Age::Max,
            Unit::Aggregations => Age::Aggregations(number),
            _ => Age::Micros(number),
        };
        let rate = || match value.unit {
            _ if value.is_max() => Frequency::Max,
            Unit::Samples => Frequency::Samples(number),
            _ => Frequency::Percent(number),
        };
        match self {
            Self::Age => scheme.age.min = age(),
            Self::MaxAge => scheme.age.max = age(),
            Self::MinRate => scheme.nr_accesses.min = rate(),
            Self::MaxRate => scheme.nr_accesses.max = rate(),
            Self::MinSize => scheme.sz.min = number,
            Self::MaxSize => scheme.sz.max = number,
            // No limit is what a quota of 0 means.
            Self::Quota if value.is_max() => scheme.quota.bytes = 0,
            Self::QuotaTime if value.is_max() => scheme.quota.ms = 0,
            Self::Quota | Self::QuotaTime => {
                let quota = &mut scheme.quota;
                if quota.reset_interval_ms == 0 {
                    quota.reset_interval_ms = WINDOW_MS;
                }
                match (self, value.unit) {
                    (Self::QuotaTime, _) => quota.ms = number,
                    (_, Unit::BytesPerSecond) => {
                        let bytes = u128::from(number) * u128::from(quota.reset_interval_ms) / 1000;
                        // A little is not 0, which would be no limit.
                        quota.bytes = u64::try_from(bytes).unwrap_or(u64::MAX).max(number.min(1));
                    }
                    _ => quota.bytes = number,
                }
            }
            Self::ResetInterval => scheme.quota.reset_interval_ms = number,
            Self::ApplyInterval => scheme.apply_interval_us = number,
        }
    }
}

impl Parameter {
    /// What it is in a scheme in the kernel's units; how often, in aggregations that take `aggr_us`.
    pub(super) fn of(self, scheme: &kernel::Scheme, aggr_us: u64) -> u64 {
        match self {
            Self::Age => scheme.age.min.into(),
            Self::MaxAge => scheme.age.max.into(),
            Self::MinRate => scheme.nr_accesses.min.into(),
            Self::MaxRate => scheme.nr_accesses.max.into(),
            Self::MinSize => scheme.sz.min,
            Self::MaxSize => scheme.sz.max,
            Self::Quota => scheme.quota.bytes,
            Self::QuotaTime => scheme.quota.ms,
            Self::ResetInterval => scheme.quota.reset_interval_ms,
            Self::ApplyInterval => scheme.apply_interval_us.div_ceil(aggr_us.max(1)),
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// In which unit a value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Aggregations.
    Aggregations,
    /// Per cent of samples, in millionths: [`Frequency::PARTS_PER_PERCENT`].
    MillionthPercent,
    /// Samples per aggregation.
    Samples,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
}

/// A value of a parameter. Shown, and in JSON, in the scheme language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    /// In which unit.
    pub unit: Unit,
    /// How many; `u64::MAX` is no limit.
    pub number: u64,
}

impl Value {
    /// No limit.
    pub fn is_max(self) -> bool {
        self.number == u64::MAX
    }

    /// The value times a factor, or none where that is nothing else.
    pub(super) fn scaled(self, factor: f64) -> Option<Self> {
        let number = round(float(self.number) * factor);
        (!self.is_max() && number != self.number).then_some(Self { number, ..self })
    }

    /// `steps` values up to `high`, each the same multiple of the one before, rounded to three digits, or to more where
    /// that would make neighbours equal.
    pub(super) fn geometric(self, high: Self, steps: usize) -> Vec<Self> {
        let (low, last) = (self.number, steps.saturating_sub(1).max(1));
        let factor = float(high.number) / float(low.max(1));
        let apart = (factor.powf(1.0 / float_of(last)) - 1.0).max(1e-9);
        // Rounding moves a value by half a unit of its last digit, at most `10^(1 - digits) / 2` of it.
        let digits = (3..9).find(|digits| 10_f64.powi(1 - digits) <= apart / 2.0).unwrap_or(9);
        let mut values: Vec<Self> = Vec::with_capacity(steps);
        for index in 0..=last {
            let number = match index {
                0 => low,
                index if index == last => high.number,
                index => {
                    let exact = float(low) * factor.powf(float_of(index) / float_of(last));
                    self.rounded(round(exact), digits.unsigned_abs()).clamp(low, high.number)
                }
            };
            let value = Self { number, ..self };
            if values.last() != Some(&value) {
                values.push(value);
            }
        }
        values
    }

    /// So many decimal digits; bytes in powers of two.
    fn rounded(self, number: u64, digits: u32) -> u64 {
        let step = match self.unit {
            Unit::Bytes | Unit::BytesPerSecond => {
                1 << number.checked_ilog2().unwrap_or(0).saturating_sub(4 * digits - 4)
            }
            _ => 10_u64.pow((number.checked_ilog10().unwrap_or(0) + 1).saturating_sub(digits)),
        };
        number.saturating_add(step / 2) / step * step
    }
}

/// Seconds with a fraction, where that says more than thousands of smaller units: `93.7 s`.
fn seconds(number: u64, second: u64) -> Option<String> {
    let (whole, rest) = (number / second, number % second);
    if whole == 0 || rest == 0 {
        return None;
    }
    let places = second.ilog10() as usize;
    Some(format!("{}.{} s", whole, format!("{rest:0places$}").trim_end_matches('0')))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number;
        if self.is_max() {
            return f.write_str("max");
        }
        f.write_str(&match self.unit {
            Unit::Micros => seconds(number, 1_000_000).unwrap_or_else(|| show_micros(number)),
            Unit::Millis => seconds(number, 1_000).unwrap_or_else(|| show_millis(number)),
            Unit::Aggregations => show_age(Age::Aggregations(number)),
            Unit::MillionthPercent => show_frequency(Frequency::Percent(number)),
            Unit::Samples => show_frequency(Frequency::Samples(number)),
            Unit::Bytes => show_bytes(number),
            Unit::BytesPerSecond => show_bytes(number) + "/s",
        })
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_shown_in_seconds_where_that_is_shorter() {
        let shown = |parameter: Parameter, text| parameter.read(text).unwrap().to_string();
        assert_eq!(shown(Parameter::Age, "93700 ms"), "93.7 s");
        assert_eq!(shown(Parameter::Age, "120 s"), "2 m");
        assert_eq!(shown(Parameter::Age, "700 ms"), "700 ms");
        assert_eq!(shown(Parameter::ResetInterval, "1005 ms"), "1.005 s");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(
            at in 0..Parameter::ALL.len(), number in prop_oneof![0_u64..5000, 0..1_u64 << 40]
        ) {
            let parameter = Parameter::ALL[at];
            for text in [number.to_string(), format!("{number} samples"), format!("{number} aggr_intervals"), format!("{number}/s")] {
                if let Ok(value) = parameter.read(&text) {
                    prop_assert_eq!(parameter.read(&value.to_string()), Ok(value));
                    let mut scheme = Scheme::new(kernel::Action::Pageout);
                    parameter.set(&mut scheme, value);
                }
            }
        }

        #[test]
        fn steps_ascend_from_end_to_end(low in 1..1_u64 << 40, more in 0..1_u64 << 40, steps in 2_usize..50) {
            for unit in [Unit::Bytes, Unit::Micros] {
                let value = |number| Value { unit, number };
                let values = value(low).geometric(value(low + more), steps);
                prop_assert_eq!(values.first(), Some(&value(low)));
                prop_assert_eq!(values.last(), Some(&value(low + more)));
                prop_assert!(values.len() <= steps);
                prop_assert!(values.windows(2).all(|pair| pair[0].number < pair[1].number));
            }
        }
    }
}
