//! Numbers and moments for people. Sizes are powers of 1024.

use crate::analysis::num::float;
use damon_format::{AccessKind, Backend};

/// Percentiles that tables of text show, where there is room for them; JSON has all.
pub(super) const PERCENTILES: [usize; 9] = [0, 1, 5, 25, 50, 75, 95, 99, 100];

const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/// `4096 B`, `12.00 MiB`.
pub(super) fn bytes(size: f64) -> String {
    let (size, unit, name) = scaled(size, [1023.5, 1023.995]);
    if unit == 0 { format!("{size:.0} {name}") } else { format!("{size:.2} {name}") }
}

/// A size in the largest unit in which it is at least 1: the number, which unit, and its name. From `most` on (of
/// bytes, of other units) a number would be rounded to the next unit, and is written in that.
fn scaled(size: f64, most: [f64; 2]) -> (f64, usize, &'static str) {
    let [most_bytes, most] = most;
    // An empty sum of floats is -0.
    let mut size = size + 0.0;
    let mut unit = 0;
    while size >= (if unit == 0 { most_bytes } else { most }) && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    (size, unit, UNITS.get(unit).copied().unwrap_or("B"))
}

/// Five characters at most: `640B`, `4.00M`, `1023M`.
pub(super) fn short_bytes(size: f64) -> String {
    let (size, unit, name) = scaled(size, [1023.5; 2]);
    let digits = match size {
        _ if unit == 0 => 0,
        s if s >= 99.95 => 0,
        s if s >= 9.995 => 1,
        _ => 2,
    };
    let name: String = name.chars().take(1).collect();
    format!("{size:.digits$}{name}")
}

/// A duration: `850 ns`, `4.5 ms`, `12.4 s`, `3 min 5 s`, `2 h 10 min`. Plain ASCII, as all of the text.
pub(super) fn duration(ns: f64) -> String {
    let trimmed = |value: f64, unit: &str| {
        let text = format!("{value:.2}");
        format!("{} {unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    // Rounded as a whole: 179.6 s are 3 min, and not 2 min 60 s.
    let two = |large: f64, units: [&str; 2], small: f64| {
        let all = (ns / small).round();
        let ratio = (large / small).round();
        let (whole, rest) = ((all / ratio).floor(), all % ratio);
        let rest = if rest > 0.0 { format!(" {rest:.0} {}", units[1]) } else { String::new() };
        format!("{whole:.0} {}{rest}", units[0])
    };
    match ns {
        0.0 => "0 s".to_owned(),
        ns if ns < 999.995 => trimmed(ns, "ns"),
        ns if ns < 999.995e3 => trimmed(ns / 1e3, "us"),
        ns if ns < 999.995e6 => trimmed(ns / 1e6, "ms"),
        ns if ns < 120e9 => trimmed(ns / 1e9, "s"),
        ns if ns < 7199.5e9 => two(60e9, ["min", "s"], 1e9),
        _ => two(3600e9, ["h", "min"], 60e9),
    }
}

/// A share of 0..1 as a number of per cent: three digits, and none after the point where there is nothing to say.
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

/// So many of something: `1 block`, `2 blocks`.
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// What a trace holds: `125 snapshots, 54355 region rows`.
pub(super) fn contents(snapshots: u64, rows: u64) -> String {
    format!("{}, {}", count(snapshots, "snapshot"), count(rows, "region row"))
}

/// Seconds since the start of the recording, to the millisecond; negative before it.
pub(super) fn moment(time_ns: u64, origin_ns: u64) -> String {
    let (sign, distance) =
        if time_ns < origin_ns { ("-", origin_ns - time_ns) } else { ("", time_ns - origin_ns) };
    let ms = distance / 1_000_000;
    format!("{sign}{}.{:03} s", ms / 1000, ms % 1000)
}

/// What time lines show of a recording with too many snapshots to draw each.
pub(super) fn drawn_means(cell_ns: u64) -> String {
    let cells = duration(float(cell_ns));
    format!("the lines show means over {cells}, and at their right the greatest of these")
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

/// Text in lines of at most so many characters, broken after commas; what has none is as long as it is.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in text.split_inclusive(", ") {
        let width = |text: &str| text.trim_end().chars().count();
        match lines.last_mut() {
            Some(line) if line.chars().count() + width(piece) <= columns => line.push_str(piece),
            _ => lines.push(piece.to_owned()),
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
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
        assert_eq!(bytes(-0.0), "0 B");
        assert_eq!(bytes(1536.0), "1.50 KiB");
        assert_eq!(bytes(12.0 * 1024.0 * 1024.0), "12.00 MiB");
        assert_eq!(short_bytes(640.0), "640B");
        assert_eq!(short_bytes(1536.0), "1.50K");
        assert_eq!(short_bytes(123.4 * 1024.0), "123K");
        assert_eq!(short_bytes(1023.4 * 1024.0), "1023K");
    }

    #[test]
    fn no_number_is_rounded_to_what_would_be_the_next_unit() {
        let mib = 1024.0 * 1024.0;
        assert_eq!(bytes(1023.994 * 1024.0), "1023.99 KiB");
        assert_eq!(bytes(1023.996 * 1024.0), "1.00 MiB");
        assert_eq!(bytes(1023.7), "1.00 KiB");
        assert_eq!(short_bytes(1023.9 * 1024.0), "1.00M");
        assert_eq!(short_bytes(12.96 * mib), "13.0M");
        assert_eq!(short_bytes(99.96 * mib), "100M");
        assert_eq!(short_bytes(9.996 * mib), "10.0M");
        let cases = [
            (999.999e6, "1 s"),
            (179.6e9, "3 min"),
            (119.999e9, "120 s"),
            (3599.9e9, "60 min"),
            (7199.9e9, "2 h"),
            (7170e9, "119 min 30 s"),
            (10_790e9, "3 h"),
        ];
        for (ns, text) in cases {
            assert_eq!(duration(ns), text, "{ns}");
        }
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
    fn one_of_something_is_not_many() {
        assert_eq!(count(1, "block"), "1 block");
        assert_eq!(count(0, "block"), "0 blocks");
    }

    #[test]
    fn lines_break_behind_commas() {
        let text = "reads, sampled (backend damon), sample 5 ms, aggregate 100 ms";
        assert_eq!(wrapped(text, 61), [text]);
        let two = ["reads, sampled (backend damon), sample 5 ms,", "aggregate 100 ms"];
        assert_eq!(wrapped(text, 60), two);
        assert_eq!(wrapped(text, 44), two);
        assert_eq!(wrapped(text, 1).len(), 4);
        assert_eq!(wrapped("", 5), Vec::<String>::new());
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
            (0.0, "0 s"),
            (2.5e3, "2.5 us"),
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
