//! Rows in exactly the layout that damo writes: most of the bytes are compared in one go, and only numbers are
//! read. Whatever deviates is left to the general parser, from the start of the row.

use super::text::Text;
use crate::import::ImportError;
use crate::import::draft::Draft;
use crate::import::number::Quantity;
use memchr::memchr;

/// A row is not looked at before this much of the text is there; damo's take 450 to 700 bytes.
const LONGEST_ROW: usize = 1024;

/// Digits that fit into 64 bits, whatever they are.
const MOST_DIGITS: usize = 19;

const FIRST: &[u8; 48] = b"\n                    {\n                        \"";
const NEXT: &[u8; 49] = b",\n                    {\n                        \"";
const START: &[u8; 9] = b"start\": \"";
const END: &[u8; 35] = b"\",\n                        \"end\": \"";
const SAMPLES: &[u8; 83] =
    b"\",\n                        \"nr_accesses\": {\n                            \"samples\": ";
const PERCENT: &[u8; 41] = b",\n                            \"percent\": ";
const AGE: &[u8; 97] = b"\n                        },\n                        \"age\": {\n                            \"usec\": ";
const AGGREGATIONS: &[u8; 49] = b",\n                            \"aggr_intervals\": \"";
const AGE_ENDS: &[u8; 27] = b"\"\n                        }";
const PROBES: &[u8; 42] = b",\n                        \"probe_hits\": []";
const PASSED: &[u8; 47] = b",\n                        \"sz_filter_passed\": \"";
const ROW_ENDS: &[u8; 22] = b"\n                    }";
const LIST_ENDS: &[u8; 18] = b"\n                ]";

/// Reads rows as long as they are as expected; true when the list has ended, false in front of something else.
/// `first` is true in front of the first row, as in [`Lexer::element`](super::lexer::Lexer::element).
pub(super) fn rows(
    text: &mut Text,
    first: &mut bool,
    draft: &mut Draft,
) -> Result<bool, ImportError> {
    loop {
        text.have(LONGEST_ROW)?;
        let all = text.rest();
        let mut rest = all;
        let mut border = Border::default();
        // As many as there are without looking for more text.
        let ended = loop {
            if let Some(behind) = take(rest, LIST_ENDS) {
                rest = behind;
                break Some(true);
            }
            let Some(behind) = row(rest, *first, &mut border, draft) else {
                break (rest.len() >= LONGEST_ROW || rest.len() == all.len()).then_some(false);
            };
            rest = behind;
            *first = false;
        };
        let used = all.len().saturating_sub(rest.len());
        text.advance(used);
        if let Some(ended) = ended {
            return Ok(ended);
        }
    }
}

/// Takes what has to be next.
#[inline]
fn take<'a, const N: usize>(text: &'a [u8], expected: &[u8; N]) -> Option<&'a [u8]> {
    let (found, rest) = text.split_first_chunk::<N>()?;
    are_same(found, expected).then_some(rest)
}

/// Whether two arrays are the same, without the call that comparing more than 32 bytes would be.
#[inline]
fn are_same<const N: usize>(a: &[u8; N], b: &[u8; N]) -> bool {
    let word = |bytes: &[u8; 16]| u128::from_le_bytes(*bytes);
    let (all_a, all_b) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
    let mut differ = 0;
    for (a, b) in all_a.iter().zip(all_b) {
        differ |= word(a) ^ word(b);
    }
    // The rest, with some of what was seen.
    match (a.last_chunk(), b.last_chunk()) {
        (Some(a), Some(b)) => differ | (word(a) ^ word(b)) == 0,
        _ => a == b,
    }
}

/// Where a region ended: most regions begin where the one before them ends, and the same text is the same number.
#[derive(Default)]
struct Border<'a> {
    /// The text from the number on.
    text: &'a [u8],
    length: usize,
    value: u64,
}

/// More than the digits of a number and what stands behind them.
const SEEN: usize = 32;

impl<'a> Border<'a> {
    /// A number that may be this one.
    #[inline]
    fn number<'b>(&self, text: &'b [u8]) -> Option<(u64, &'b [u8])> {
        let here = text.first_chunk::<SEEN>();
        if self.length < SEEN
            && self.length > 0
            && here.is_some()
            && here == self.text.first_chunk()
        {
            return Some((self.value, text.get(self.length..)?));
        }
        number(text)
    }

    /// The number that is next, and is this one from now on.
    #[inline]
    fn set(&mut self, text: &'a [u8]) -> Option<(u64, &'a [u8])> {
        let (value, rest) = number(text)?;
        *self = Self { text, length: text.len().checked_sub(rest.len())?, value };
        Some((value, rest))
    }
}

/// One row; gives back what follows it.
#[inline]
fn row<'a>(
    text: &'a [u8],
    first: bool,
    border: &mut Border<'a>,
    draft: &mut Draft,
) -> Option<&'a [u8]> {
    let rest = if first { take(text, FIRST)? } else { take(text, NEXT)? };
    let (start, rest) = border.number(take(rest, START)?)?;
    let (end, rest) = border.set(take(rest, END)?)?;
    let (nr_accesses, rest) = digits(take(rest, SAMPLES)?)?;
    let rest = take(rest, PERCENT)?;
    let rest = match take(rest, b"null") {
        Some(rest) => rest,
        None => digits(rest)?.1,
    };
    let rest = take(rest, AGE)?;
    let rest = match rest {
        [b'"', time @ ..] => time.get(plain_text(time)?.checked_add(1)?..)?,
        _ => take(rest, b"null")?,
    };
    let (age, rest) = number(take(rest, AGGREGATIONS)?)?;
    let rest = take(rest, AGE_ENDS)?;
    let (passed, rest) = match take(rest, PROBES) {
        Some(rest) => match take(rest, PASSED)? {
            [b'0', b' ', b'B', b'"', rest @ ..] => (0, rest),
            rest => {
                let length = plain_text(rest)?;
                let passed = Quantity::Size.parse(rest.get(..length)?)?;
                (passed, rest.get(length.checked_add(1)?..)?)
            }
        },
        None => (0, rest),
    };
    let rest = take(rest, ROW_ENDS)?;
    if draft.region(start, end, nr_accesses, age) {
        draft.passed(passed);
    }
    Some(rest)
}

/// Length of a text without anything escaped, up to its quotation mark.
#[inline]
fn plain_text(text: &[u8]) -> Option<usize> {
    let near = text.get(..text.len().min(64))?;
    let length = memchr(b'"', near)?;
    (!near.get(..length)?.contains(&b'\\')).then_some(length)
}

/// Digits alone; what is longer than any number of damo's is left to others.
#[inline]
fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = text;
    let mut value = 0_u64;
    while let [digit @ b'0'..=b'9', behind @ ..] = rest {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        rest = behind;
    }
    let count = text.len().wrapping_sub(rest.len());
    (1..=MOST_DIGITS).contains(&count).then_some((value, rest))
}

/// Digits in groups of three with commas between them, or without.
#[inline]
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut rest) = digits(text)?;
    let mut count = text.len().wrapping_sub(rest.len());
    while let [b',', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', behind @ ..] = rest {
        let group = u64::from(a - b'0') * 100 + u64::from(b - b'0') * 10 + u64::from(c - b'0');
        count = count.wrapping_add(3);
        if count > MOST_DIGITS {
            return None;
        }
        value = value.wrapping_mul(1_000).wrapping_add(group);
        rest = behind;
    }
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_what_is_expected_counts() {
        fn check<const N: usize>(expected: &[u8; N]) {
            assert!(are_same(expected, &expected.clone()));
            for at in 0..N {
                let mut other = *expected;
                other[at] ^= 1 << (at % 8);
                assert!(!are_same(expected, &other), "{at} of {N}");
            }
        }
        check(START);
        check(ROW_ENDS);
        check(END);
        check(FIRST);
        check(SAMPLES);
        check(AGE);
    }

    #[test]
    fn numbers_are_read_up_to_19_digits_and_never_wrong() {
        let cases: [(&str, Option<(u64, &str)>); 8] = [
            ("0\"", Some((0, "\""))),
            ("94,354,194,563,072\"", Some((94_354_194_563_072, "\""))),
            ("94354194563072,", Some((94_354_194_563_072, ","))),
            ("9,999,999,999,999,999,999", Some((9_999_999_999_999_999_999, ""))),
            ("10,000,000,000,000,000,000", None),
            ("18446744073709551615", None),
            ("1,23", Some((1, ",23"))),
            ("x", None),
        ];
        for (text, expected) in cases {
            let found = number(text.as_bytes());
            assert_eq!(found, expected.map(|(value, rest)| (value, rest.as_bytes())), "{text}");
        }
    }
}
