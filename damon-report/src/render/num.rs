//! Conversions between pixel, byte and floating-point numbers, each total: out of range saturates.

/// An integer as `f64`; above 2^53 the nearest one, far finer than a pixel.
#[expect(clippy::cast_precision_loss, reason = "results become pixels or three digits")]
pub(super) fn float(value: u64) -> f64 {
    value as f64
}

/// A count as `f64`.
pub(super) fn float_of(value: usize) -> f64 {
    float(u64::try_from(value).unwrap_or(u64::MAX))
}

/// The nearest integer, halves away from zero, NaN as 0.
///
/// As `f64::round`, which is a call into a library on processors that may be twenty years old, and there are hundreds of
/// thousands of cells.
#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates and maps NaN to 0, which is what is wanted"
)]
pub(super) fn round(value: f64) -> i32 {
    let whole = value as i32;
    // Exact wherever there are digits after the point.
    let rest = value - f64::from(whole);
    whole.saturating_add(i32::from(rest >= 0.5) - i32::from(rest <= -0.5))
}

/// The nearest unsigned integer, NaN and negatives as 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates and maps NaN to 0, which is what is wanted"
)]
pub(super) fn round_u64(value: f64) -> u64 {
    value.round() as u64
}

/// A coordinate from a count.
pub(super) fn coord(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// A count from a coordinate, negatives as 0.
pub(super) fn count(value: i32) -> usize {
    usize::try_from(value).unwrap_or(0)
}

/// A size from a coordinate, negatives as 0.
pub(super) fn size(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

/// The nearest byte value.
pub(super) fn byte(value: f64) -> u8 {
    u8::try_from(round(value).clamp(0, 255)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        #[expect(clippy::cast_possible_truncation, reason = "as `round` does")]
        fn the_nearest_integer_is_that_of_the_library(
            value in prop_oneof![
                any::<f64>(),
                -3e9_f64..3e9,
                (-1000_i32..1000).prop_map(|halves| f64::from(halves) / 2.0),
            ],
        ) {
            for value in [value, value.next_down(), value.next_up()] {
                prop_assert_eq!(round(value), value.round() as i32, "{}", value);
            }
        }
    }
}
