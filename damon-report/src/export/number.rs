//! Numbers as damo writes them into files and tables.

use crate::analysis::num::float;

const SIZES: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// With a comma before every three digits: `94,827,419,009,024`.
pub fn commas(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut rest = value;
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    let used = digits.get(digits.len() - count..).unwrap_or(&[]);
    for (index, digit) in used.iter().enumerate() {
        if index > 0 && (count - index).is_multiple_of(3) {
            out.push(b',');
        }
        out.push(*digit);
    }
}

/// A size: the largest power of 1024 that is *less* than it, with three decimals (`1024 B`, `1.001 KiB`,
/// `1024.000 KiB`); the largest number is `max`.
pub fn size(bytes: u64) -> String {
    if bytes == u64::MAX {
        return "max".to_owned();
    }
    let mut unit = 1_u64;
    let mut name = None;
    for candidate in SIZES {
        let larger = unit.saturating_mul(1024);
        if bytes <= larger {
            break;
        }
        (unit, name) = (larger, Some(candidate));
    }
    let Some(name) = name else { return format!("{bytes} B") };
    if bytes >= EXACT {
        return format!("{:.3} {name}", float(bytes) / float(unit));
    }
    // The quotient of a number by a power of two is exact, and so is this: thousandths, ties to the even one.
    let scaled = u128::from(bytes) * 1000;
    let (whole, rest) = (scaled / u128::from(unit), scaled % u128::from(unit) * 2);
    let up = rest > u128::from(unit) || rest == u128::from(unit) && whole % 2 == 1;
    let thousandths = whole + u128::from(up);
    format!("{}.{:03} {name}", thousandths / 1000, thousandths % 1000)
}

/// From here on not every number is a float.
const EXACT: u64 = 1 << 53;

const HOUR: u64 = 3_600_000_000_000;
const MINUTE: u64 = 60_000_000_000;

/// A time: hours, minutes, and what is left in its largest unit, with three decimals unless whole (`8 m 59.705 s`).
pub fn time(ns: u64) -> String {
    let left = |value: u64, unit: u64, name: &str| {
        if value.is_multiple_of(unit) {
            format!("{} {name}", value / unit)
        } else {
            format!("{:.3} {name}", float(value) / float(unit))
        }
    };
    let mut text = String::new();
    let mut rest = ns;
    if rest >= HOUR {
        text = format!("{} h", rest / HOUR);
        rest %= HOUR;
    }
    let part = if rest >= MINUTE {
        let seconds = rest % MINUTE;
        let minutes = format!("{} m", rest / MINUTE);
        if seconds == 0 {
            minutes
        } else {
            format!("{minutes} {}", left(seconds, 1_000_000_000, "s"))
        }
    } else if rest >= 1_000_000_000 {
        left(rest, 1_000_000_000, "s")
    } else if rest >= 1_000_000 {
        left(rest, 1_000_000, "ms")
    } else if rest >= 1000 {
        left(rest, 1000, "us")
    } else if rest > 0 || text.is_empty() {
        format!("{rest} ns")
    } else {
        String::new()
    };
    if !text.is_empty() && !part.is_empty() {
        text.push(' ');
    }
    text + &part
}

const UNITS: [(u64, &[u8]); 6] = [
    (86_400_000_000, b"d"),
    (3_600_000_000, b"h"),
    (60_000_000, b"m"),
    (1_000_000, b"s"),
    (1000, b"ms"),
    (1, b"us"),
];

/// A time without loss, in all units that it needs: `1 s 300 ms`; 0 is `0 ns`.
pub fn exact_time(us: u64, out: &mut Vec<u8>) {
    if us == 0 {
        out.extend_from_slice(b"0 ns");
        return;
    }
    let mut rest = us;
    for (unit, name) in UNITS {
        if rest >= unit {
            if rest != us {
                out.push(b' ');
            }
            commas(rest / unit, out);
            out.push(b' ');
            out.extend_from_slice(name);
            rest %= unit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    // All of these as damo 3.4.3 printed them.

    #[test]
    fn commas_are_where_damo_has_them() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (94_827_419_009_024, "94,827,419,009,024"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ];
        for (number, expected) in cases {
            assert_eq!(text(|out| commas(number, out)), expected);
        }
    }

    #[test]
    fn sizes_are_as_damo_writes_them() {
        let cases = [
            (0, "0 B"),
            (1024, "1024 B"),
            (1025, "1.001 KiB"),
            ((1 << 20) - 1, "1023.999 KiB"),
            (1 << 20, "1024.000 KiB"),
            ((1 << 20) + 1, "1.000 MiB"),
            (100_000_000, "95.367 MiB"),
            (1 << 30, "1024.000 MiB"),
            (u64::MAX, "max"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn sizes_are_rounded_as_quotients_are() {
        let mut dice = 1_u64;
        let ties = (0..20_000).map(|i| i * 64 + 1088);
        let any = (0..20_000_u32).map(|i| {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            dice >> (i % 50)
        });
        for bytes in ties.chain(any).filter(|bytes| (1025..EXACT).contains(bytes)) {
            let power = (bytes - 1).ilog2() / 10;
            let quotient = float(bytes) / float(1 << (10 * power));
            let expected = format!("{quotient:.3} ");
            assert!(size(bytes).starts_with(&expected), "{bytes}: {} and {expected}", size(bytes));
        }
    }

    #[test]
    fn times_are_as_damo_writes_them() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1500, "1.500 us"),
            (104_598_866, "104.599 ms"),
            (59_999_999_999, "60.000 s"),
            (60_000_000_000, "1 m"),
            (60_000_000_001, "1 m 0.000 s"),
            (61_000_000_000, "1 m 1 s"),
            (3_599_999_999_999, "59 m 60.000 s"),
            (3_600_000_000_000, "1 h"),
            (3_600_000_000_001, "1 h 1 ns"),
            (3_600_001_001_000, "1 h 1.001 ms"),
            (3_661_500_000_000, "1 h 1 m 1.500 s"),
            (2_592_000_000_012_345, "720 h 12.345 us"),
        ];
        for (ns, expected) in cases {
            assert_eq!(time(ns), expected, "{ns}");
        }
        let cases = [
            (0, "0 ns"),
            (5000, "5 ms"),
            (1_300_000, "1 s 300 ms"),
            (3_661_500_000, "1 h 1 m 1 s 500 ms"),
            (123_379_200_000_001, "1,428 d 1 us"),
        ];
        for (us, expected) in cases {
            assert_eq!(text(|out| exact_time(us, out)), expected, "{us}");
        }
    }
}
