//! Temperature: one number that puts regions in order from the coldest to the hottest.

use super::num::float;
use super::seen::Seen;
use serde::Serialize;
use std::str::FromStr;

/// How the temperature of a region is defined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Temperature {
    /// A time, in nanoseconds. Of a region that was accessed: the time it has been in use since its pattern began, rate × (age + 1) × aggregation
    /// interval. Of one that was not: the time it has been idle, (age + 1) × aggregation interval, as a negative number.
    #[default]
    UseTime,
    /// As damo weighs (its `--temperature_weights`): `size` × bytes + `rate` × per cent + `age` × microseconds of age, negative if there was no
    /// access. Only a region without any positive sample counts as not accessed, however low the rate.
    Weights {
        /// Weight of a byte.
        size: f64,
        /// Weight of a per cent.
        rate: f64,
        /// Weight of a microsecond.
        age: f64,
    },
}

impl Temperature {
    /// The temperature of a region; `None` where it rests on an age that is not known.
    pub fn of(&self, region: &Seen) -> Option<f64> {
        let (amount, idle) = match *self {
            Self::UseTime => {
                let lasted = float(region.lasted_ns()?);
                let share = if region.is_idle() { 1.0 } else { region.rate().min(1.0) };
                (lasted * share, region.is_idle())
            }
            Self::Weights { size, rate, age } => {
                let of_age = if age == 0.0 { 0.0 } else { age * float(region.age_ns()?) / 1000.0 };
                let percent = f64::from(region.nr_accesses) * 100.0
                    / f64::from(region.max_nr_accesses.max(1));
                (size * float(region.size()) + rate * percent + of_age, region.is_idle())
            }
        };
        // No negative zero.
        Some(if idle && amount != 0.0 { -amount } else { amount })
    }
}

/// Not three weights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no temperature: write damo's weights of size, access rate and age, e.g. 0,100,100"
)]
pub struct TemperatureError(String);

impl FromStr for Temperature {
    type Err = TemperatureError;

    fn from_str(text: &str) -> Result<Self, TemperatureError> {
        let weights: Option<Vec<f64>> = text
            .split(',')
            .map(|part| part.trim().parse().ok().filter(|weight: &f64| weight.is_finite()))
            .collect();
        match weights.as_deref() {
            Some(&[size, rate, age]) => Ok(Self::Weights { size, rate, age }),
            _ => Err(TemperatureError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(nr_accesses: u32, age: Option<u32>) -> Seen {
        Seen { start: 0, end: 8192, nr_accesses, max_nr_accesses: 20, age, aggr_us: 100_000 }
    }

    #[test]
    fn use_time_is_what_it_says() {
        let of = |k, age| Temperature::UseTime.of(&region(k, age));
        assert_eq!(of(10, Some(9)), Some(0.5e9));
        assert_eq!(of(0, Some(9)), Some(-1e9));
        assert_eq!(of(21, Some(0)), Some(1e8));
        assert_eq!(of(10, None), None);
    }

    #[test]
    fn weights_are_those_of_damo() {
        let default: Temperature = "0,100,100".parse().unwrap();
        // 100 × 50 % + 100 × 900,000 µs, by hand.
        assert_eq!(default.of(&region(10, Some(9))), Some(5_000.0 + 90_000_000.0));
        assert_eq!(default.of(&region(0, Some(9))), Some(-90_000_000.0));
        assert_eq!(default.of(&region(0, None)), None);
        let by_size: Temperature = "1, 0, 0".parse().unwrap();
        assert_eq!(by_size.of(&region(1, None)), Some(8192.0));
        for text in ["", "1,2", "1,2,3,4", "a,b,c", "1,2,inf", "nan,0,0"] {
            assert!(text.parse::<Temperature>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_of_many_samples_is_an_access() {
        let seen = Seen { max_nr_accesses: 400, ..region(3, Some(1)) };
        assert!(Temperature::UseTime.of(&seen) > Some(0.0));
        // 100 × 0.75 % + 100 × 100,000 µs; damo makes 0 % of it, and a cold region.
        let weights: Temperature = "0,100,100".parse().unwrap();
        assert_eq!(weights.of(&seen), Some(10_000_075.0));
    }

    #[test]
    fn zero_is_not_negative() {
        let nothing = Temperature::Weights { size: 0.0, rate: 0.0, age: 0.0 };
        assert_eq!(nothing.of(&region(0, None)).map(f64::to_bits), Some(0.0_f64.to_bits()));
    }
}
