//! Between counts and real numbers; estimates bear the rounding.

/// A count as a real number.
#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 an estimate is none the worse for it")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// A real number as a count, rounded down; 0 for what is negative or no number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and rounding down is meant"
)]
pub(super) fn count(number: f64) -> u64 {
    number as u64
}

/// Likewise, at most `u32::MAX`.
pub(super) fn small_count(number: f64) -> u32 {
    u32::try_from(count(number)).unwrap_or(u32::MAX)
}
