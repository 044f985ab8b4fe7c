//! Numbers for people: byte sizes, times, and ticks that fall on round values.

use super::num::{float, round_u64};
use crate::analysis::bins::Unit;

const BYTE_UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A size with three significant digits: `640 B`, `1.25 MiB`, `97.5 GiB`.
pub(super) fn bytes(size: u64) -> String {
    let mut value = float(size);
    let mut unit = 0;
    while value >= 1023.5 && unit + 1 < BYTE_UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = BYTE_UNITS.get(unit).copied().unwrap_or("B");
    let digits = match value {
        v if unit == 0 || v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {name}")
}

/// Steps of round byte counts: 1, 2, 4 … of the powers of two.
pub(super) fn byte_step(span: u64, max_ticks: usize) -> u64 {
    let ticks = u64::try_from(max_ticks.max(1)).unwrap_or(1);
    let raw = span.div_ceil(ticks).max(1);
    raw.checked_next_power_of_two().unwrap_or(1 << 63)
}

/// Ticks of a byte axis that begins at zero: at most `max_ticks` steps, the last at or above `top`.
pub(super) fn byte_axis(top: u64, max_ticks: usize) -> Vec<u64> {
    let top = top.max(1);
    let mut step = byte_step(top, max_ticks);
    // A step of 3/4 of a power of two (96 MiB, 384 MiB …) wastes less of the axis where it suffices.
    let ticks = u64::try_from(max_ticks.max(1)).unwrap_or(1);
    let smaller = step / 4 * 3;
    // Beyond the unit of the step its multiples have more digits than a label: 1.12 GiB for 1152 MiB.
    let last = top.div_ceil(smaller.max(1)).saturating_mul(smaller);
    let is_exact = last.max(1).ilog2() / 10 == smaller.max(1).ilog2() / 10;
    if smaller >= 1 && is_exact && smaller.saturating_mul(ticks) >= top {
        step = smaller;
    }
    let mut values = vec![0];
    let mut value = 0u64;
    while value < top {
        let Some(next) = value.checked_add(step) else {
            break;
        };
        value = next;
        values.push(value);
    }
    values
}

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;
const MIN: u64 = 60 * S;
const HOUR: u64 = 60 * MIN;
const DAY: u64 = 24 * HOUR;

/// Ticks of a time axis, with labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimeTick {
    /// Nanoseconds since the origin; may be negative.
    pub(super) offset_ns: i128,
    /// What to write.
    pub(super) label: String,
}

/// The smallest round step that makes at most `max_ticks` steps out of `span`, and the start of one more.
fn time_step(span: u64, max_ticks: usize) -> u64 {
    const STEPS: [u64; 28] = [
        MIN,
        2 * MIN,
        5 * MIN,
        10 * MIN,
        15 * MIN,
        30 * MIN,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        2 * DAY,
        5 * DAY,
        10 * DAY,
        20 * DAY,
        50 * DAY,
        100 * DAY,
        200 * DAY,
        500 * DAY,
        1_000 * DAY,
        2_000 * DAY,
        5_000 * DAY,
        10_000 * DAY,
        20_000 * DAY,
        50_000 * DAY,
        100_000 * DAY,
        200_000 * DAY,
    ];
    let ticks = u64::try_from(max_ticks.max(1)).unwrap_or(1);
    // Recordings of ten seconds last a few milliseconds more.
    let fits = |step: &u64| step.saturating_mul(ticks).saturating_add(step / 4) >= span;
    let mut decade = 1;
    while decade <= 10 * S {
        let found = [1, 2, 5].map(|m| m * decade).into_iter().find(fits);
        if let Some(step) = found.filter(|s| *s <= 20 * S) {
            return step;
        }
        decade *= 10;
    }
    if fits(&(30 * S)) {
        return 30 * S;
    }
    STEPS.into_iter().find(fits).unwrap_or(200_000 * DAY)
}

/// Round moments between `start_ns` and `end_ns`, counted from `origin_ns`.
pub(super) fn time_ticks(
    origin_ns: u64,
    start_ns: u64,
    end_ns: u64,
    max_ticks: usize,
) -> Vec<TimeTick> {
    let span = end_ns.saturating_sub(start_ns);
    if span == 0 {
        return Vec::new();
    }
    let step = time_step(span, max_ticks);
    let wide = i128::from(step);
    let first = i128::from(start_ns) - i128::from(origin_ns);
    let last = i128::from(end_ns) - i128::from(origin_ns);
    let mut offset = first.div_euclid(wide) * wide;
    if offset < first {
        offset += wide;
    }
    let mut ticks = Vec::new();
    while offset <= last {
        ticks.push(TimeTick { offset_ns: offset, label: time_label(offset, step, span) });
        offset += wide;
    }
    ticks
}

/// A time in the unit its tick step suggests.
fn time_label(offset_ns: i128, step: u64, span: u64) -> String {
    let (unit, name) = match step {
        s if s >= DAY => (DAY, "d"),
        s if s >= HOUR => (HOUR, "h"),
        s if s >= MIN && s.is_multiple_of(HOUR) => (HOUR, "h"),
        s if s >= MIN || (s >= 30 * S && span >= 3 * MIN) => (MIN, "min"),
        s if s >= S => (S, "s"),
        s if s >= 100 * MS => (S, "s"),
        s if s >= 100 * US => (MS, "ms"),
        s if s >= US => (US, "µs"),
        _ => (1, "ns"),
    };
    let sign = if offset_ns < 0 { "-" } else { "" };
    let magnitude = u64::try_from(offset_ns.unsigned_abs()).unwrap_or(u64::MAX);
    let whole = magnitude / unit;
    let tenths = magnitude % unit * 10 / unit;
    if tenths == 0 {
        format!("{sign}{whole} {name}")
    } else {
        format!("{sign}{whole}.{tenths} {name}")
    }
}

/// A share of 0..1 in per cent.
pub(super) fn percent(value: f64) -> String {
    if (value - value.round()).abs() < 1e-9 {
        format!("{value:.0} %")
    } else {
        format!("{value} %")
    }
}

/// A rate in per cent with two digits that matter: `0.31 %`, `4.2 %`, `37 %`.
pub(super) fn short_percent(value: f64) -> String {
    let digits = match value.abs() {
        v if v == 0.0 || v >= 9.95 => 0,
        v if v >= 0.995 => 1,
        v if v >= 0.0995 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "0" && value > 0.0 { "<0.001 %".to_owned() } else { format!("{text} %") }
}

/// A value for an axis: short, with its unit; below zero with a minus.
pub fn amount(value: f64, unit: Unit) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    let size = value.abs();
    let text = match unit {
        _ if size == 0.0 => "0".to_owned(),
        Unit::Bytes => bytes(round_u64(size)),
        Unit::Share => format!("{} %", trimmed(size * 100.0)),
        Unit::Nanoseconds => {
            let units: [(f64, &str); 7] = [
                (float(DAY), "d"),
                (float(HOUR), "h"),
                (float(MIN), "min"),
                (float(S), "s"),
                (float(MS), "ms"),
                (float(US), "µs"),
                (1.0, "ns"),
            ];
            let fits = units.into_iter().find(|(scale, _)| size >= *scale);
            let (scale, name) = fits.unwrap_or((1.0, "ns"));
            format!("{} {name}", trimmed(size / scale))
        }
        Unit::Number => {
            let units = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")];
            let fits = units.into_iter().find(|(scale, _)| size >= *scale);
            let (scale, name) = fits.unwrap_or((1.0, ""));
            format!("{}{name}", trimmed(size / scale))
        }
    };
    format!("{sign}{text}")
}

/// At most three digits after the point, and none that are zero.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        let cases = [
            (0, "0 B"),
            (640, "640 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (132 * 1024, "132 KiB"),
            (1_048_575, "1 MiB"),
            (97 * (1 << 30) + (1 << 29), "97.5 GiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (size, text) in cases {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn small_rates_keep_two_digits() {
        let cases = [
            (0.0, "0 %"),
            (100.0, "100 %"),
            (37.4, "37 %"),
            (4.25, "4.2 %"),
            (5.0, "5 %"),
            (0.314, "0.31 %"),
            (0.0314, "0.031 %"),
            (0.000_1, "<0.001 %"),
        ];
        for (rate, text) in cases {
            assert_eq!(short_percent(rate), text);
        }
    }

    #[test]
    fn amounts_have_their_units() {
        let cases = [
            (0.0, Unit::Nanoseconds, "0"),
            (-5e8, Unit::Nanoseconds, "-500 ms"),
            (120e9, Unit::Nanoseconds, "2 min"),
            (36e12, Unit::Nanoseconds, "10 h"),
            (0.125, Unit::Share, "12.5 %"),
            (4096.0, Unit::Bytes, "4 KiB"),
            (-2e6, Unit::Number, "-2M"),
            (0.05, Unit::Number, "0.05"),
        ];
        for (value, unit, text) in cases {
            assert_eq!(amount(value, unit), text);
        }
    }

    #[test]
    fn time_ticks_are_round_and_inside() {
        let labels = |origin, start, end, n| -> Vec<String> {
            time_ticks(origin, start, end, n).into_iter().map(|t| t.label).collect()
        };
        assert_eq!(labels(0, 0, 10 * S, 5), ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s"]);
        assert_eq!(labels(S, S, S + 3 * MS, 3), ["0 ms", "1 ms", "2 ms", "3 ms"]);
        assert_eq!(labels(0, 0, 10 * S + S / 5, 5), labels(0, 0, 10 * S, 5));
        assert_eq!(labels(0, 0, 90 * MIN, 3), ["0 min", "30 min", "60 min", "90 min"]);
        assert_eq!(labels(0, 0, 2 * DAY, 4), ["0 h", "12 h", "24 h", "36 h", "48 h"]);
        assert_eq!(labels(0, 250 * MS, 900 * MS, 4), ["0.4 s", "0.6 s", "0.8 s"]);
        assert_eq!(labels(5 * S, 4 * S, 6 * S, 2), ["-1 s", "0 s", "1 s"]);
        assert!(labels(0, 7, 7, 4).is_empty());
        for span in [1, 999, 7 * US, 3 * MS, 55 * S, 4 * HOUR, 90 * DAY, u64::MAX / 2] {
            let count = time_ticks(0, 0, span, 6).len();
            assert!((2..=7).contains(&count), "{count} ticks over {span}");
        }
    }

    #[test]
    fn byte_axes_reach_the_top_with_few_ticks() {
        for top in [1, 5, 4096, 100 << 20, (1 << 30) + 1, u64::MAX] {
            let ticks = byte_axis(top, 4);
            assert!(ticks.len() <= 5, "{top}: {ticks:?}");
            assert!(ticks.last().is_some_and(|t| *t >= top / 4 * 3), "{top}: {ticks:?}");
            assert!(ticks.is_sorted());
        }
        assert_eq!(byte_axis(90 << 20, 3), [0, 32 << 20, 64 << 20, 96 << 20]);
        assert_eq!(byte_axis(90 << 20, 4).get(1), Some(&(24 << 20)));
    }

    #[test]
    fn labels_of_byte_axes_are_what_stands_there() {
        let mib = |values: &[u64]| values.iter().map(|v| v << 20).collect::<Vec<u64>>();
        assert_eq!(byte_axis(2600 << 20, 7), mib(&[0, 512, 1024, 1536, 2048, 2560, 3072]));
        let value = |label: &str| {
            let (number, unit) = label.split_once(' ').unwrap();
            let power = BYTE_UNITS.iter().position(|name| *name == unit).unwrap();
            number.parse::<f64>().unwrap() * 1024_f64.powi(power.try_into().unwrap())
        };
        for top in [1000, 70 << 10, 1100 << 20, 1400 << 20, 2600 << 20, 5 << 30, 900 << 30] {
            for tick in byte_axis(top, 7) {
                let label = bytes(tick);
                assert!((value(&label) - float(tick)).abs() < 0.5, "{top}: {tick} is {label}");
            }
        }
    }
}
