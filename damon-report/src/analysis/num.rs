//! The few conversions between integers and floats, each with its limits.

/// Exact up to 2⁵³; above that the relative error is at most 2⁻⁵³.
#[expect(
    clippy::cast_precision_loss,
    reason = "a relative error of 2^-53 is far below what a recording can tell"
)]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

/// A sum of products; the relative error is at most 2⁻⁵³.
#[expect(
    clippy::cast_precision_loss,
    reason = "a relative error of 2^-53 is far below what a recording can tell"
)]
pub(crate) fn wide(value: u128) -> f64 {
    value as f64
}

/// A count; exact up to 2⁵³.
pub(crate) fn float_of(value: usize) -> f64 {
    wide(value as u128)
}

/// Nearest integer; negative and undefined values become 0, too large ones `u64::MAX`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float-to-integer casts saturate, which is what is wanted"
)]
pub(crate) fn round(value: f64) -> u64 {
    value.round() as u64
}

/// [`round`] without an upper limit that matters.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float-to-integer casts saturate, which is what is wanted"
)]
pub(crate) fn round_wide(value: f64) -> u128 {
    value.round() as u128
}

/// `index`-th of `parts + 1` edges that cut `[start, end)` into parts of equal size (to one unit).
pub(crate) fn edge(start: u64, end: u64, index: usize, parts: usize) -> u64 {
    let length = u128::from(end.saturating_sub(start));
    let offset = length * (index.min(parts) as u128) / (parts.max(1) as u128);
    start.saturating_add(u64::try_from(offset).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_begin_and_end_exactly_and_never_go_back() {
        for (start, end, parts) in [(0, 10, 3), (5, 6, 7), (0, u64::MAX, 1000), (9, 9, 4)] {
            assert_eq!(edge(start, end, 0, parts), start);
            assert_eq!(edge(start, end, parts, parts), end);
            assert!(
                (0..parts).all(|i| edge(start, end, i, parts) <= edge(start, end, i + 1, parts))
            );
        }
    }

    #[test]
    fn rounding_saturates() {
        assert_eq!(round(-3.0), 0);
        assert_eq!(round(f64::NAN), 0);
        assert_eq!(round(1e30), u64::MAX);
        assert_eq!(round(2.5), 3);
    }
}
