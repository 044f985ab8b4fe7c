//! Numbers in text, digit by digit.

/// Nanoseconds of the last of so many decimals.
const UNITS: [u64; 10] =
    [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

/// A decimal number at the start, and what follows it. `None`: there is none, or it does not fit.
#[inline]
pub(super) fn decimal(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    let mut length = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        // 19 digits always fit.
        value = if length < 19 {
            value.wrapping_mul(10).wrapping_add(u64::from(digit))
        } else {
            value.checked_mul(10)?.checked_add(u64::from(digit))?
        };
        length += 1;
    }
    if length == 0 { None } else { Some((value, text.get(length..)?)) }
}

/// A whole text that is a decimal number, or a hexadecimal one with `0x`.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if let Some(digits) = text.strip_prefix(b"0x") {
        let digits = std::str::from_utf8(digits).ok()?;
        return (!digits.starts_with('+')).then(|| u64::from_str_radix(digits, 16).ok())?;
    }
    decimal(text).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}

/// Seconds with up to nine decimals as exact nanoseconds.
#[inline]
pub(super) fn seconds(text: &[u8]) -> Option<u64> {
    let (seconds, rest) = decimal(text)?;
    let digits = rest.strip_prefix(b".")?;
    let (fraction, rest) = decimal(digits)?;
    let unit = if rest.is_empty() { UNITS.get(digits.len())? } else { return None };
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction * unit)
}

/// Flags that `trace-cmd report` writes after the CPU, a character each.
const FLAGS: usize = 5;

/// Where a whole number begins with which a text ends, and its value. `trace-cmd report` gives it 12 places and no space before
/// them, so that a long one sticks to the CPU in brackets or to the flags (after the CPU's number, if that has no brackets).
#[inline]
pub(super) fn whole(text: &[u8]) -> Option<(usize, u64)> {
    let begin = text.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at + 1);
    let before = text.get(..begin)?;
    let flags = decimal(before).map_or(before, |(_, flags)| flags);
    // With fewer of them the last one may be a digit, and is not to be told from the number's.
    if !before.is_empty() && !before.ends_with(b"]") && flags.len() < FLAGS {
        return None;
    }
    let (value, _) = decimal(text.get(begin..)?)?;
    Some((begin, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_or_none() {
        assert_eq!(decimal(b"18446744073709551615-"), Some((u64::MAX, &b"-"[..])));
        assert_eq!(decimal(b"18446744073709551616"), None);
        assert_eq!(decimal(b"00000000000000000000000000000000000012 "), Some((12, &b" "[..])));
        assert_eq!(decimal(b"x"), None);
        assert_eq!(number(b"0xff"), Some(255));
        assert_eq!(number(b"0x"), None);
        assert_eq!(number(b"0x+1"), None);
        assert_eq!(number(b"12a"), None);
    }

    #[test]
    fn seconds_are_exact_where_a_float_is_not() {
        assert_eq!(seconds(b"12942.312252"), Some(12_942_312_252_000));
        assert_eq!(seconds(b"9007199.254740993"), Some(9_007_199_254_740_993));
        assert_eq!(seconds(b"0.5"), Some(500_000_000));
        for text in ["12", "12.", ".5", "1.0000000000", "18446744074.0", "1.2.3", "-1.0"] {
            assert_eq!(seconds(text.as_bytes()), None, "{text}");
        }
    }
}
