//! Numbers and moments for people. Sizes are powers of 1024.

use damon_format::{AccessKind, Backend};

const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/// `4096 B`, `12.00 MiB`.
pub(super) fn bytes(size: f64) -> String {
    let mut size = size;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    if unit == 0 { format!("{size:.0} {name}") } else { format!("{size:.2} {name}") }
}

/// Five characters at most: `640B`, `4.00M`, `1023M`.
pub(super) fn short_bytes(size: f64) -> String {
    let long = bytes(size);
    let (number, unit) = long.split_once(' ').unwrap_or((&long, ""));
    let number: String = number.chars().take(4).collect();
    let unit: String = unit.chars().take(1).collect();
    format!("{}{unit}", number.trim_end_matches('.'))
}

/// A duration: `850 ns`, `4.5 ms`, `12.4 s`, `3 min 5 s`, `2 h 10 min`.
pub(super) fn duration(ns: f64) -> String {
    let trimmed = |value: f64, unit: &str| {
        let text = format!("{value:.2}");
        format!("{} {unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match ns {
        ns if ns < 1e3 => trimmed(ns, "ns"),
        ns if ns < 1e6 => trimmed(ns / 1e3, "µs"),
        ns if ns < 1e9 => trimmed(ns / 1e6, "ms"),
        ns if ns < 120e9 => trimmed(ns / 1e9, "s"),
        ns if ns < 7200e9 => format!("{:.0} min {:.0} s", (ns / 60e9).floor(), ns % 60e9 / 1e9),
        ns => format!("{:.0} h {:.0} min", (ns / 3600e9).floor(), ns % 3600e9 / 60e9),
    }
}

/// A share of 0..1 as a number of per cent: three digits, and none behind the point where there is nothing to say.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = match percent {
        p if p >= 99.95 => 0,
        p if p >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{percent:.digits$}");
    if share > 0.0 && text == "0.00" {
        // Something is not nothing.
        "<0.01".to_owned()
    } else if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A field of a table of comma-separated values: quoted where that is needed.
pub(super) fn csv_text(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Seconds since the begin of the recording, to the millisecond; negative before it.
pub(super) fn moment(time_ns: u64, origin_ns: u64) -> String {
    let (sign, distance) =
        if time_ns < origin_ns { ("-", origin_ns - time_ns) } else { ("", time_ns - origin_ns) };
    let ms = distance / 1_000_000;
    format!("{sign}{}.{:03} s", ms / 1000, ms % 1000)
}

/// `2026-09-21 13:46:40 UTC`.
pub(super) fn wall_clock(realtime_ns: u64) -> String {
    let seconds = realtime_ns / 1_000_000_000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// Date of a day since 1970-01-01 in the Gregorian calendar, counted in years that begin in March, so that
/// the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// Text of a trace on one line: characters that could move a terminal's cursor are written out.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// What the numbers rest on: `writes only, page, sampled (backend writes)`.
pub(super) fn access(backend: &Backend) -> String {
    let kind = match backend.access {
        AccessKind::ReadWrite => "reads and writes",
        AccessKind::Write => "writes only",
    };
    let how = if backend.exact { "exact" } else { "sampled" };
    format!("{kind}, {}, {how} (backend {})", backend.granularity.as_str(), clean(&backend.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(bytes(1000.0), "1000 B");
        assert_eq!(bytes(1536.0), "1.50 KiB");
        assert_eq!(bytes(12.0 * 1024.0 * 1024.0), "12.00 MiB");
        assert_eq!(short_bytes(640.0), "640B");
        assert_eq!(short_bytes(1536.0), "1.50K");
        assert_eq!(short_bytes(123.4 * 1024.0), "123K");
        assert_eq!(short_bytes(1023.9 * 1024.0), "1023K");
    }

    #[test]
    fn shares_have_three_digits() {
        let cases = [(0.0, "0"), (0.05, "5"), (0.125, "12.5"), (1.0, "100"), (0.000_04, "<0.01")];
        for (share, text) in cases {
            assert_eq!(percent(share), text);
        }
        assert_eq!(percent(0.161_125), "16.1");
        assert_eq!(percent(1.05), "105");
    }

    #[test]
    fn fields_are_quoted_where_needed() {
        assert_eq!(csv_text("[heap]"), "[heap]");
        assert_eq!(csv_text("a,\"b\""), "\"a,\"\"b\"\"\"");
    }

    #[test]
    fn text_of_a_trace_cannot_steer_a_terminal() {
        assert_eq!(clean("a\n\x1b[2Jb\u{9b}µ"), "a\\n\\u{1b}[2Jb\\u{9b}µ");
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        let cases = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_200, "2024-03-01 00:00:00 UTC"),
            (1_790_000_000, "2026-09-21 14:13:20 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ];
        for (seconds, text) in cases {
            assert_eq!(wall_clock(seconds * 1_000_000_000), text);
        }
    }

    #[test]
    fn durations_and_moments_read_naturally() {
        let cases = [
            (5e6, "5 ms"),
            (1.2345e8, "123.45 ms"),
            (10e9, "10 s"),
            (185e9, "3 min 5 s"),
            (7800e9, "2 h 10 min"),
        ];
        for (ns, text) in cases {
            assert_eq!(duration(ns), text);
        }
        assert_eq!(moment(1_500_000_000, 0), "1.500 s");
        assert_eq!(moment(0, 2_000_000), "-0.002 s");
    }
}
