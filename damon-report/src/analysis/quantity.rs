//! Amounts as people write them: sizes, durations, shares.

use super::select::parse_duration;
use damon_format::decimal::Decimal;
use std::str::FromStr;

/// Why an amount cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a size.
    #[error("`{0}` is no size: write bytes or a number with K, M, G or T, e.g. 4096 or 12MiB")]
    Size(String),
    /// Not a duration.
    #[error("`{0}` is no duration: write a number with ns, us, ms, s, min, h or d, e.g. 2min")]
    Duration(String),
    /// Not a share.
    #[error("`{0}` is no access rate: write per cent, e.g. 5%")]
    Share(String),
}

/// Bytes; `4096`, `4K`, `1.5MiB`, `2GB`: units are powers of 1024, whatever they are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let wrong = || QuantityError::Size(text.to_owned());
        let (number, unit) = Decimal::leading(text.trim()).ok_or_else(wrong)?;
        let power = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 1,
            "m" | "mb" | "mib" => 2,
            "g" | "gb" | "gib" => 3,
            "t" | "tb" | "tib" => 4,
            "p" | "pb" | "pib" => 5,
            _ => return Err(wrong()),
        };
        number.times(1 << (10 * power)).map(Self).ok_or_else(wrong)
    }
}

/// Nanoseconds; `100ms`, `2s`, `3min`, `1h`, and a bare `0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub u64);

impl FromStr for Duration {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let known = parse_duration(text.trim());
        known.map(Self).ok_or_else(|| QuantityError::Duration(text.to_owned()))
    }
}

/// A part of one; `5%`, `0.1 %`, and a bare `0`. The number is the nearest one to what was written, so that `15%` is
/// what 3 of 20 samples are.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let wrong = || QuantityError::Share(text.to_owned());
        let (number, unit) = split(text.trim()).ok_or_else(wrong)?;
        let share: f64 = format!("{number}e-2").parse().or(Err(wrong()))?;
        let meant = unit == "%" || unit.is_empty() && share == 0.0;
        meant.then_some(Self(share)).ok_or_else(wrong)
    }
}

/// A number of digits and at most one point, and what follows it.
fn split(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let plain = number.matches('.').count() <= 1 && number.contains(|c: char| c.is_ascii_digit());
    plain.then_some((number, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024_and_exact() {
        let cases = [
            ("4096", Some(4096)),
            ("4K", Some(4096)),
            ("4 KiB", Some(4096)),
            ("1.5mb", Some(3 << 19)),
            ("2GB", Some(2 << 30)),
            ("0.001K", Some(1)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("16384P", None),
            ("1.2.3", None),
            ("-1", None),
            (".", None),
            ("K", None),
            ("4X", None),
            ("", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<Size>().ok().map(|s| s.0), bytes, "{text}");
        }
    }

    #[test]
    fn shares_meet_the_rates_of_samples_exactly() {
        for n in [1_u32, 3, 20, 40, 400, 1000] {
            for k in 0..=n {
                if k * 1000 % n == 0 {
                    let permille = k * 1000 / n;
                    let text = format!("{}.{}%", permille / 10, permille % 10);
                    let share = text.parse::<Share>().unwrap().0;
                    assert_eq!(share.to_bits(), (f64::from(k) / f64::from(n)).to_bits(), "{text}");
                }
            }
        }
        for text in ["5", "0.05", "x%", "%", "5%%", "-5%", "1e3%", "inf%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        assert_eq!("0".parse(), Ok(Share(0.0)));
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!("2min".parse(), Ok(Duration(120_000_000_000)));
        assert!("2".parse::<Duration>().unwrap_err().to_string().contains("e.g. 2min"));
    }
}
