//! Conversions whose limits do not matter here.

/// Sizes and times are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
pub fn float(value: u64) -> f64 {
    value as f64
}

/// `part` of `whole`; nothing of nothing.
pub fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// Mean and sample standard deviation.
pub fn mean_and_spread(values: &[f64]) -> Option<(f64, f64)> {
    let count = float(values.len() as u64);
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    Some((mean, (squares / (count - 1.0).max(1.0)).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_a_sample() {
        assert_eq!(mean_and_spread(&[]), None);
        assert_eq!(mean_and_spread(&[3.0]), Some((3.0, 0.0)));
        let (mean, spread) = mean_and_spread(&[2.0, 4.0, 6.0]).unwrap();
        assert!((mean - 4.0).abs() < 1e-12 && (spread - 2.0).abs() < 1e-12);
    }
}
