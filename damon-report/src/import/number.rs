//! Numbers as damo writes and reads them: commas, units, `min` and `max`.

use damon_format::decimal::Decimal;

/// What a number counts, and with that its units and what it means without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    /// Anything that has no unit; per cent signs are passed over.
    Count,
    /// Bytes.
    Size,
    /// Nanoseconds.
    Nanoseconds,
    /// Microseconds.
    Microseconds,
}

/// Longest text that is a number of any kind; a day in nanoseconds with all units takes 40 letters.
const LONGEST: usize = 128;

impl Quantity {
    /// What an error says is missing.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Count => "a number",
            Self::Size => "a size (\"4096\", \"4,096\", \"4 KiB\")",
            Self::Nanoseconds | Self::Microseconds => "a time (\"5000\", \"5 ms\", \"1 m 2 s\")",
        }
    }

    /// Reads a number, fractions dropped; `None` when it is none or larger than 2^64-1.
    pub(super) fn parse(self, text: &[u8]) -> Option<u64> {
        if let Some(plain) = plain(text) {
            return Some(plain);
        }
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= LONGEST)?.trim();
        match text {
            "min" => return Some(0),
            "max" => return Some(u64::MAX),
            _ => {}
        }
        let mut rest = text;
        let mut sum = 0_u64;
        while !rest.is_empty() {
            let (number, behind) = Decimal::leading_grouped(rest)?;
            let letters = behind.find(|c: char| !c.is_alphabetic() && c != '%');
            let (unit, behind) = behind.split_at(letters.unwrap_or(behind.len()));
            let (times, over) = self.unit(unit)?;
            sum = sum.checked_add(number.times_over(times, over)?)?;
            rest = behind.trim_start();
            // Several groups make a time; several numbers are no number.
            if !rest.is_empty() && matches!(self, Self::Count | Self::Size) {
                return None;
            }
        }
        (!text.is_empty()).then_some(sum)
    }

    /// What one of `unit` is, as a fraction.
    fn unit(self, unit: &str) -> Option<(u64, u64)> {
        let nanoseconds = |over| {
            let times = match unit {
                "" => over,
                "ns" => 1,
                "us" | "usec" => 1_000,
                "ms" | "msec" => 1_000_000,
                "s" | "sec" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                "d" => 86_400_000_000_000,
                _ => return None,
            };
            Some((times, over))
        };
        match self {
            Self::Count => matches!(unit, "" | "%").then_some((1, 1)),
            Self::Size => {
                let prefix = unit.trim_end_matches(['B', 'b']).trim_end_matches('i');
                let power = match prefix {
                    "" => 0,
                    "K" | "k" => 10,
                    "M" => 20,
                    "G" => 30,
                    "T" => 40,
                    "P" => 50,
                    "E" => 60,
                    _ => return None,
                };
                Some((1 << power, 1))
            }
            Self::Nanoseconds => nanoseconds(1),
            Self::Microseconds => nanoseconds(1_000),
        }
    }
}

/// Digits and commas, as almost all numbers are.
pub(super) fn plain(text: &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    let mut any = false;
    for byte in text {
        match byte {
            b'0'..=b'9' => {
                value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
                any = true;
            }
            b',' => {}
            _ => return None,
        }
    }
    any.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_damo_reads_is_read() {
        let cases = [
            (Quantity::Count, "0", 0),
            (Quantity::Count, "5,913", 5_913),
            (Quantity::Count, "max", u64::MAX),
            (Quantity::Count, "min", 0),
            (Quantity::Count, "5 %", 5),
            (Quantity::Count, "400.000000", 400),
            (Quantity::Count, "18,446,744,073,709,551,615", u64::MAX),
            (Quantity::Size, "94,827,419,009,024", 94_827_419_009_024),
            (Quantity::Size, "31.340 MiB", 32_862_371),
            (Quantity::Size, "1024 B", 1024),
            (Quantity::Size, "1 K", 1024),
            (Quantity::Size, "2GB", 2 << 30),
            (Quantity::Size, "2 E", 2 << 60),
            (Quantity::Size, "1e3", 1000),
            (Quantity::Nanoseconds, "539809434100", 539_809_434_100),
            (Quantity::Nanoseconds, "1 h 2 m 3.5 s", 3_723_500_000_000),
            (Quantity::Microseconds, "5000", 5_000),
            (Quantity::Microseconds, "5 ms", 5_000),
            (Quantity::Microseconds, "1 m 20 s 100 ms", 80_100_000),
            (Quantity::Microseconds, "1,000 us", 1_000),
            (Quantity::Microseconds, "0 ns", 0),
        ];
        for (quantity, text, value) in cases {
            assert_eq!(quantity.parse(text.as_bytes()), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", " ", ",", ".", "e5", "1 2", "4 parsecs", "0x10", "99999999999999999999"] {
            assert_eq!(Quantity::Size.parse(text.as_bytes()), None, "{text:?}");
            assert_eq!(Quantity::Count.parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Quantity::Nanoseconds.parse(b"1e999999999 s"), None);
        assert_eq!(Quantity::Nanoseconds.parse(b"1e-999999999 s"), None);
        assert_eq!(Quantity::Nanoseconds.parse(&[0xff, b'1']), None);
        assert_eq!(Quantity::Nanoseconds.parse(&b"1 s ".repeat(1000)), None);
    }
}
