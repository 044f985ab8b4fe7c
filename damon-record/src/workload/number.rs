//! Numbers as people write them: `4K`, `1.5M`, `20ms`, `37.5%`.

use damon_format::decimal::Decimal;

/// Binary multiples of bytes.
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("K", 1 << 10),
    ("KiB", 1 << 10),
    ("M", 1 << 20),
    ("MiB", 1 << 20),
    ("G", 1 << 30),
    ("GiB", 1 << 30),
];

/// Multiples of a nanosecond.
const DURATIONS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Decimal multiples of events per second.
const RATES: &[(&str, u64)] = &[("", 1), ("/s", 1), ("K/s", 1_000), ("M/s", 1_000_000)];

/// Parts per million of a per cent figure.
const PERCENT: &[(&str, u64)] = &[("%", 10_000)];

/// Bytes from a whole or decimal number with `B`, `K`, `M` or `G` (powers of 1024).
pub fn size(text: &str) -> Option<u64> {
    scaled(text, SIZES)
}

/// Nanoseconds from a number with `ns`, `us`, `ms`, `s`, `m` or `h`.
pub fn duration_ns(text: &str) -> Option<u64> {
    scaled(text, DURATIONS)
}

/// Events per second from a number with nothing, `/s`, `K/s` or `M/s`.
pub fn rate(text: &str) -> Option<u64> {
    scaled(text, RATES)
}

/// Parts per million from a number with `%`; at most 1,000,000.
pub fn percent_ppm(text: &str) -> Option<u64> {
    scaled(text, PERCENT).filter(|&ppm| ppm <= 1_000_000)
}

/// A number, with digits on both sides of its point if it has one, and one of `units` directly after it; `None` unless
/// the result is a whole number of u64.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let &(_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    if number.starts_with('.') || number.ends_with('.') {
        return None;
    }
    match Decimal::leading(number)? {
        (number, "") => number.times_exactly(factor),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_scale() {
        assert_eq!(size("4K"), Some(4096));
        assert_eq!(size("1.5MiB"), Some(1_572_864));
        assert_eq!(size("2G"), Some(1 << 31));
        assert_eq!(duration_ns("2.5ms"), Some(2_500_000));
        assert_eq!(duration_ns("1m"), Some(60_000_000_000));
        assert_eq!(rate("250K/s"), Some(250_000));
        assert_eq!(rate("7"), Some(7));
        assert_eq!(percent_ppm("37.5%"), Some(375_000));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "K",
            "4",
            "4k",
            "4 K",
            "-4K",
            "1..5M",
            "1.5.M",
            ".5M",
            "5.M",
            "4KB",
            "0.0001K",
            "99999999999999999999K",
            "18446744073709551615G",
            "1e3K",
            "+4K",
        ] {
            assert_eq!(size(text), None, "{text:?}");
        }
        assert_eq!(duration_ns("5"), None);
        assert_eq!(duration_ns("0.5ns"), None);
        assert_eq!(percent_ppm("100.1%"), None);
    }
}
