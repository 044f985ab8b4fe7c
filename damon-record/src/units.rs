//! Durations, sizes, shares and addresses as people type and read them.

use crate::damon::sysfs::IntervalsGoal;
use damon_format::decimal::Decimal;
use std::fmt::Write as _;
use std::time::Duration;

const UNITS: [(&str, u64); 5] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];

/// Longest interval accepted: a year.
const MAX_US: u64 = 365 * 24 * 3_600_000_000;

/// Largest size accepted: an exbibyte.
const MAX_BYTES: u64 = 1 << 60;

/// `5ms`, `1.5s`, `200us`, `2m`, `1h`; a number without a unit is refused because nobody would agree
/// which one was meant.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let wrong = || "write a number and one of us, ms, s, m, h, for example 100ms".to_owned();
    let (number, unit) = Decimal::leading(text).ok_or_else(wrong)?;
    if unit.is_empty() {
        return Err(format!("a unit is missing: {text}ms? {text}s?"));
    }
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    match number.times(*scale) {
        Some(0) => Err("must be at least 1us".into()),
        Some(us) if us <= MAX_US => Ok(Duration::from_micros(us)),
        _ => Err("longer than a year".into()),
    }
}

/// The spelling people use, which [`parse_duration`] reads back exactly: `8.2ms`, `1.25s`, `2m`.
pub fn show_duration(duration: Duration) -> String {
    let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let whole_minutes = |scale: u64| scale <= 1_000_000 || us % scale == 0;
    let (name, scale) = UNITS
        .iter()
        .rev()
        .find(|(_, scale)| us >= *scale && whole_minutes(*scale))
        .unwrap_or(&("us", 1));
    let digits = scale.ilog10() as usize;
    let mut number = format!("{}.{:0digits$}", us / scale, us % scale);
    if us % scale == 0 {
        number = (us / scale).to_string();
    }
    format!("{}{name}", if number.contains('.') { number.trim_end_matches('0') } else { &number })
}

/// `64MiB`, `1.5G`, `512k`, `4096B`: units are powers of 1024, with or without `i` and `B`, in either case; a
/// number without a unit is refused as in [`parse_duration`].
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let wrong = || "write a number and one of KiB, MiB, GiB, TiB, for example 64MiB".to_owned();
    let (number, unit) = Decimal::leading(text).ok_or_else(wrong)?;
    if unit.is_empty() {
        return Err(format!("a unit is missing: {text}MiB? {text}KiB?"));
    }
    let unit = unit.to_ascii_lowercase();
    let letter = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    let shift = match letter {
        "" if unit == "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(wrong()),
    };
    let bytes = number.times(1 << shift).filter(|bytes| *bytes <= MAX_BYTES);
    bytes.ok_or_else(|| "larger than any disk".to_owned())
}

/// `1%`, `0.5%`, `2`: per cent of one core.
pub fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim();
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() && (0.01..=10_000.0).contains(&value) => Ok(value),
        Ok(_) => Err("must be between 0.01% and 10000%".into()),
        Err(_) => Err("write per cent of one core, for example 2%".into()),
    }
}

/// `PERCENT[,AGGRS[,MIN,MAX]]`: a goal for the kernel's tuning of intervals. What is left out is what the
/// kernel's documentation recommends: 3 aggregations, 5 ms to 10 s.
pub fn parse_intervals_goal(text: &str) -> Result<IntervalsGoal, String> {
    let us = |text: &str| {
        parse_duration(text).map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    };
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let (share, aggrs, limits) =
        match *parts.as_slice() {
            [share] => (share, None, None),
            [share, aggrs] => (share, Some(aggrs), None),
            [share, aggrs, min, max] => (share, Some(aggrs), Some((min, max))),
            _ => return Err(
                "write PERCENT, PERCENT,AGGRS or PERCENT,AGGRS,MIN,MAX, for example 4%,3,5ms,10s"
                    .into(),
            ),
        };
    let percent = parse_percent(share).map_err(|_why| {
        format!("{share:?} is no share of the accesses: write per cent, for example 4%")
    })?;
    if percent > 100.0 {
        return Err(format!("{share} is more than all of the accesses"));
    }
    let aggrs = match aggrs.map(str::parse::<u64>) {
        None => 3,
        Some(Ok(number)) if number > 0 => number,
        Some(_) => return Err("AGGRS is a number of aggregations, at least 1".into()),
    };
    let (min_sample_us, max_sample_us) = match limits {
        None => (5_000, 10_000_000),
        Some((min, max)) => (us(min)?, us(max)?),
    };
    if min_sample_us > max_sample_us {
        return Err("MIN is longer than MAX".into());
    }
    Ok(IntervalsGoal { access_bp: basis_points(percent), aggrs, min_sample_us, max_sample_us })
}

/// Hundredths of a per cent, rounded; of 0 to 100.
fn basis_points(percent: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10000")]
    let points = (percent * 100.0).round() as u64;
    points
}

/// An address in hexadecimal (`0x…`) or decimal.
fn parse_address(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_why: std::num::ParseIntError| {
        format!("{text:?} is not an address: write 0x… or decimal digits")
    })
}

/// `START-END`, both ends hexadecimal with `0x` or decimal.
pub fn parse_range(text: &str) -> Result<(u64, u64), String> {
    let (start, end) = text
        .split_once('-')
        .ok_or_else(|| "write START-END, for example 0x7f0000000000-0x7f0040000000".to_owned())?;
    let (start, end) = (parse_address(start)?, parse_address(end)?);
    if start >= end {
        return Err("the end must lie above the start".into());
    }
    Ok((start, end))
}

/// Sorts ranges, aligns them outwards to pages, and refuses overlaps.
pub fn normalise_ranges(ranges: &[(u64, u64)], page_size: u64) -> Result<Vec<(u64, u64)>, String> {
    let mask = page_size.max(1) - 1;
    let mut aligned: Vec<(u64, u64)> = ranges
        .iter()
        .map(|(start, end)| (start & !mask, end.saturating_add(mask) & !mask))
        .collect();
    aligned.sort_unstable();
    for pair in aligned.windows(2) {
        if let [a, b] = pair
            && a.1 > b.0
        {
            return Err(format!(
                "the ranges {:#x}-{:#x} and {:#x}-{:#x} overlap (ends are rounded to pages)",
                a.0, a.1, b.0, b.1
            ));
        }
    }
    Ok(aligned)
}

/// Bytes with a binary unit and at most four characters of number: `0 B`, `12 KiB`, `1.5 GiB`.
pub fn show_bytes(bytes: u64) -> String {
    let mut out = String::new();
    write_bytes(&mut out, bytes, " ");
    out
}

/// [`show_bytes`] appended to `out`, with `space` between number and unit.
pub fn write_bytes(out: &mut String, bytes: u64, space: &str) {
    const NAMES: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let index = usize::try_from((63_u32.saturating_sub(bytes.leading_zeros())) / 10).unwrap_or(0);
    let index = index.min(NAMES.len() - 1);
    let unit = 1_u64 << (10 * index);
    let whole = bytes / unit;
    let tenths = u128::from(bytes % unit) * 10 / u128::from(unit);
    let name = NAMES.get(index).copied().unwrap_or("B");
    let _infallible = if index == 0 || whole >= 10 {
        write!(out, "{whole}{space}{name}")
    } else {
        write!(out, "{whole}.{tenths}{space}{name}")
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn goals_for_the_intervals_are_completed_and_checked() {
        let goal = |text| {
            parse_intervals_goal(text)
                .map(|g| (g.access_bp, g.aggrs, g.min_sample_us, g.max_sample_us))
        };
        assert_eq!(goal("4%"), Ok((400, 3, 5_000, 10_000_000)));
        assert_eq!(goal("0.5, 5"), Ok((50, 5, 5_000, 10_000_000)));
        assert_eq!(goal("100%,1,1ms,1s"), Ok((10_000, 1, 1_000, 1_000_000)));
        for bad in
            ["", "x", "101%", "4%,0", "4%,x", "4%,3,1s", "4%,3,2s,1s", "4%,3,1s,x", "4%,3,1s,2s,3s"]
        {
            assert!(goal(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_with_units() {
        for (text, us) in [
            ("5ms", 5_000),
            ("100us", 100),
            ("1s", 1_000_000),
            ("2m", 120_000_000),
            ("1h", 3_600_000_000),
            ("1.5s", 1_500_000),
            (".5ms", 500),
            (" 7 ms ", 7_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_micros(us)), "{text}");
        }
    }

    #[test]
    fn durations_that_mean_nothing_are_refused() {
        for text in [
            "",
            "5",
            "ms",
            "-5ms",
            "5 parsecs",
            "0ms",
            "0.1us",
            "1e3ms",
            "..s",
            "1.2.3s",
            "9999999h",
            "99999999999999999999s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_duration("5").unwrap_err().contains("unit"));
    }

    #[test]
    fn durations_are_shown_as_people_write_them() {
        for (us, text) in [
            (5_000, "5ms"),
            (8_200, "8.2ms"),
            (1_900_000, "1.9s"),
            (1_250_001, "1.250001s"),
            (90_000_000, "90s"),
            (120_000_000, "2m"),
            (7, "7us"),
        ] {
            assert_eq!(show_duration(Duration::from_micros(us)), text);
        }
    }

    proptest! {
        #[test]
        fn shown_durations_read_back(us in 1..MAX_US) {
            let duration = Duration::from_micros(us);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }

        #[test]
        fn shown_bytes_are_short(bytes: u64) {
            prop_assert!(show_bytes(bytes).len() <= 8, "{}", show_bytes(bytes));
        }
    }

    #[test]
    fn sizes_are_powers_of_1024_however_they_are_written() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("64mb", 64 << 20),
            ("64M", 64 << 20),
            (" 1 G ", 1 << 30),
            ("1.5KiB", 1536),
            (".5k", 512),
            ("4096B", 4096),
            ("0b", 0),
            ("2T", 2 << 40),
            // Parts of a byte are dropped.
            ("0.000000001TiB", 1099),
            ("1.0000000001G", 1 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "5",
            "MiB",
            "-5M",
            "5 parsecs",
            "1.2.3M",
            "..M",
            "iB",
            "1e3M",
            "9999999999T",
            "99999999999999999999999B",
            "5ii",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert!(parse_size("64").unwrap_err().contains("64MiB?"));
    }

    #[test]
    fn percent_with_and_without_sign() {
        assert_eq!(parse_percent("2%"), Ok(2.0));
        assert_eq!(parse_percent("0.5"), Ok(0.5));
        for text in ["", "%", "0", "-1%", "nan", "inf%"] {
            assert!(parse_percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_in_both_bases() {
        assert_eq!(parse_range("0x1000-0x2000"), Ok((0x1000, 0x2000)));
        assert_eq!(parse_range("4096-0x2000"), Ok((0x1000, 0x2000)));
        for text in ["", "1", "2-1", "1-1", "x-2", "1-2-3", "0x-0x2"] {
            assert!(parse_range(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_are_aligned_sorted_and_disjoint() {
        let ranges = normalise_ranges(&[(0x5001, 0x6001), (0x1fff, 0x2001)], 0x1000);
        assert_eq!(ranges, Ok(vec![(0x1000, 0x3000), (0x5000, 0x7000)]));
        assert!(normalise_ranges(&[(0x1000, 0x1800), (0x1900, 0x2000)], 0x1000).is_err());
    }

    #[test]
    fn bytes_read_naturally() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 << 20, "10 MiB"),
            (1023 << 20, "1023 MiB"),
            (u64::MAX, "15 EiB"),
        ] {
            assert_eq!(show_bytes(bytes), text);
        }
    }
}
