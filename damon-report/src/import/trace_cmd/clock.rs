//! What the times of events mean.

use crate::import::ImportError;
use damon_format::ClockAnchor;

/// The tracer's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    name: String,
    scale: Option<(u32, u32)>,
    offset_ns: i64,
    date_ns: Option<i64>,
}

impl Clock {
    /// `scale` makes nanoseconds of ticks; `offset_ns` is added to times, and `date_ns` makes them wall-clock times.
    ///
    /// # Errors
    /// [`ImportError::Useless`] for clocks that do not count time, or in units that are not told.
    pub(super) fn new(
        name: &str,
        scale: Option<(u32, u32)>,
        offset_ns: i64,
        date_ns: Option<i64>,
    ) -> Result<Self, ImportError> {
        // Events in their order; jiffies; ticks of the processor, with which only guests and hosts are told the rate.
        let scale = scale.filter(|_| is_tsc(name));
        if matches!(name, "counter" | "uptime") || is_tsc(name) && scale.is_none() {
            return Err(ImportError::Useless(format!(
                "its times are of the clock {name}, which does not count nanoseconds; record with trace-cmd record -C mono"
            )));
        }
        Ok(Self { name: name.to_owned(), scale, offset_ns, date_ns })
    }

    /// Nanoseconds of a time in the ring buffer.
    #[inline]
    pub(super) fn ns(&self, time: u64) -> u64 {
        let time = match self.scale {
            Some((multiplier, shift)) => {
                let wide = u128::from(time) * u128::from(multiplier);
                u64::try_from(wide.checked_shr(shift).unwrap_or(0)).unwrap_or(u64::MAX)
            }
            None => time,
        };
        time.saturating_add_signed(self.offset_ns)
    }

    /// Wall clock and tracer's clock at one moment, where both are known.
    pub(super) fn anchor(&self) -> Option<ClockAnchor> {
        let date_ns = self.date_ns.and_then(|date_ns| u64::try_from(date_ns).ok())?;
        Some(ClockAnchor { monotonic_ns: 0, realtime_ns: date_ns })
    }

    /// For people.
    pub(super) fn note(&self) -> String {
        let name = match self.name.as_str() {
            "" => "the tracer's clock".to_owned(),
            "mono" => "CLOCK_MONOTONIC".to_owned(),
            "mono_raw" => "CLOCK_MONOTONIC_RAW".to_owned(),
            "boot" => "CLOCK_BOOTTIME".to_owned(),
            "tai" => "CLOCK_TAI".to_owned(),
            name => format!("the tracer's clock \"{name}\""),
        };
        let wall = if self.anchor().is_some() { "" } else { "; wall-clock times are unknown" };
        format!("times are those of {name}{wall}")
    }
}

fn is_tsc(name: &str) -> bool {
    matches!(name, "x86-tsc" | "tsc2nsec")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_nanoseconds_and_what_is_no_time_is_refused() {
        let tsc = Clock::new("x86-tsc", Some((1 << 20, 21)), -3, None).unwrap();
        assert_eq!((tsc.ns(1_000), tsc.ns(0), tsc.ns(u64::MAX)), (497, 0, u64::MAX / 2 - 3));
        let mono = Clock::new("mono", Some((1 << 20, 21)), 0, Some(5)).unwrap();
        assert_eq!(
            (mono.ns(1_000), mono.note().as_str()),
            (1_000, "times are those of CLOCK_MONOTONIC")
        );
        assert_eq!(mono.anchor().map(|anchor| anchor.realtime_ns), Some(5));
        for name in ["counter", "uptime", "x86-tsc"] {
            let error = Clock::new(name, None, 0, None).unwrap_err().to_string();
            assert!(error.contains(&format!("the clock {name}, ")), "{error}");
        }
        let odd = Clock::new("x86-tsc", Some((3, 200)), 0, Some(-1)).unwrap();
        assert_eq!((odd.ns(9), odd.anchor()), (0, None));
    }
}
