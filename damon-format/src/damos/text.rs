//! Single numbers of the scheme language, for whoever takes them elsewhere than in JSON.
//!
//! Errors say what is accepted.

use super::number::{self, TimeUnit, show_percent, show_size, show_time};
use super::scheme::{Age, Frequency};

/// Bytes: `4096`, `4 KiB`, `1.5 G`; "max" is the largest number.
pub fn size(text: &str) -> Result<u64, String> {
    number::size(text)
}

/// Microseconds: `100 ms`, `1 h 2 m`; a bare number is microseconds, "max" the largest number.
pub fn micros(text: &str) -> Result<u64, String> {
    number::time(text, TimeUnit::Micros)
}

/// Milliseconds: `100 ms`, `1 h 2 m`; a bare number is milliseconds, "max" the largest number.
pub fn millis(text: &str) -> Result<u64, String> {
    number::time(text, TimeUnit::Millis)
}

/// An access frequency: `5 %` of samples, or `1 samples`.
pub fn frequency(text: &str) -> Result<Frequency, String> {
    number::frequency(text)
}

/// An age: `2 m`, or `20 aggr_intervals`.
pub fn age(text: &str) -> Result<Age, String> {
    number::age(text)
}

/// [`size`] reads it back exactly.
pub fn show_bytes(bytes: u64) -> String {
    show_size(bytes)
}

/// [`micros`] reads it back exactly.
pub fn show_micros(us: u64) -> String {
    show_time(us, TimeUnit::Micros)
}

/// [`millis`] reads it back exactly.
pub fn show_millis(ms: u64) -> String {
    show_time(ms, TimeUnit::Millis)
}

/// [`frequency`] reads it back exactly.
pub fn show_frequency(frequency: Frequency) -> String {
    match frequency {
        Frequency::Percent(parts) => show_percent(parts, Frequency::PARTS_PER_PERCENT * 100),
        Frequency::Samples(samples) => format!("{samples} samples"),
        Frequency::Max => "max".to_owned(),
    }
}

/// [`age`] reads it back exactly.
pub fn show_age(age: Age) -> String {
    match age {
        Age::Micros(us) => show_micros(us),
        Age::Aggregations(count) => format!("{count} aggr_intervals"),
        Age::Max => "max".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_shown_reads_back(number in prop_oneof![0_u64..5000, 0..u64::MAX / 2_000_000]) {
            prop_assert_eq!(size(&show_bytes(number)), Ok(number));
            prop_assert_eq!(micros(&show_micros(number)), Ok(number));
            prop_assert_eq!(millis(&show_millis(number / 1000)), Ok(number / 1000));
            for of in [Frequency::Percent(number), Frequency::Samples(number % 1000), Frequency::Max] {
                prop_assert_eq!(frequency(&show_frequency(of)), Ok(of));
            }
            for of in [Age::Micros(number), Age::Aggregations(number % 1000), Age::Max] {
                prop_assert_eq!(age(&show_age(of)), Ok(of));
            }
        }
    }
}
