//! The text that damo's `report access --raw_form` prints.

use super::number::{size, time};
use super::{ExportError, Part};
use damon_format::Region;
use std::io::Write;

/// Writes what is selected in damo's raw form, one target after the other. An age that was not observed is -1, as there.
///
/// # Errors
/// When the output fails.
pub fn raw_form(part: &Part<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
    let mut lines = Vec::new();
    for target in part.survey.targets() {
        let base = target.start_ns;
        writeln!(out, "base_time_absolute: {}\ndata source: unknown\n", time(base))?;
        part.trace.walk_snapshots(&part.of(target), |one| {
            let since = |moment: u64| time(moment.saturating_sub(base));
            writeln!(out, "monitoring_start:    {:>16}", since(one.start_ns))?;
            writeln!(out, "monitoring_end:      {:>16}", since(one.end_ns))?;
            let took = one.end_ns.saturating_sub(one.start_ns);
            writeln!(out, "monitoring_duration: {:>16}", time(took))?;
            writeln!(out, "target_id: {}\nnr_regions: {}", one.target, one.len())?;
            writeln!(out, "# start_addr     end_addr        length  nr_accesses   age")?;
            for region in one.regions() {
                line(&region, one.ages.is_some(), &mut lines);
                if lines.len() >= PIECE {
                    out.write_all(&lines)?;
                    lines.clear();
                }
            }
            lines.push(b'\n');
            out.write_all(&lines)?;
            lines.clear();
            Ok::<(), ExportError>(())
        })?;
    }
    Ok(())
}

/// Lines are handed on in pieces of about so many bytes.
const PIECE: usize = 1 << 16;

/// `{:012x}-{:012x} ({:>12}) {:>11} {:>5}`: nearly all the text there is, so that it is put together by hand.
fn line(region: &Region, has_age: bool, out: &mut Vec<u8>) {
    padded::<16>(region.start, b'0', 12, out);
    out.push(b'-');
    padded::<16>(region.end, b'0', 12, out);
    out.extend_from_slice(b" (");
    let size = size(region.size());
    out.extend(std::iter::repeat_n(b' ', 12_usize.saturating_sub(size.len())));
    out.extend_from_slice(size.as_bytes());
    out.extend_from_slice(b") ");
    padded::<10>(u64::from(region.nr_accesses), b' ', 11, out);
    out.push(b' ');
    if has_age {
        padded::<10>(u64::from(region.age), b' ', 5, out);
    } else {
        out.extend_from_slice(b"   -1");
    }
    out.push(b'\n');
}

/// A number to this base, filled up on the left to a width.
fn padded<const BASE: u64>(value: u64, fill: u8, width: usize, out: &mut Vec<u8>) {
    let mut digits = [fill; 20];
    let mut rest = value;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        let value = u8::try_from(rest % BASE).unwrap_or(0);
        *digit = if value < 10 { b'0' + value } else { b'a' - 10 + value };
        rest /= BASE;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    let from = digits.len().saturating_sub(width.max(used));
    out.extend_from_slice(digits.get(from..).unwrap_or(&digits));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = u64> {
        (0_u32..64, any::<u64>()).prop_map(|(bits, value)| value >> bits)
    }

    proptest! {
        #[test]
        fn a_line_by_hand_is_what_formatting_makes(
            start in number(), length in number(), nr_accesses: u32, age: u32, has_age: bool,
        ) {
            let region = Region { start, end: start.saturating_add(length), nr_accesses, age };
            let mut found = Vec::new();
            line(&region, has_age, &mut found);
            let age = if has_age { i64::from(age) } else { -1 };
            let size = size(region.size());
            let expected =
                format!("{:012x}-{:012x} ({size:>12}) {nr_accesses:>11} {age:>5}\n", start, region.end);
            prop_assert_eq!(String::from_utf8(found).unwrap(), expected);
        }
    }
}
