//! Bars of characters.

use super::num::{count, float_of, round};

/// A bar of two kinds of bytes, `#` and `.`, as long as their shares of `width`; what is there has at least one character.
pub fn bar(accessed: f64, idle: f64, greatest: f64, width: usize) -> String {
    let length = |value: f64| {
        let share = if greatest > 0.0 { (value / greatest).clamp(0.0, 1.0) } else { 0.0 };
        count(round(share * float_of(width)))
    };
    let both = length(accessed + idle).max(usize::from(accessed + idle > 0.0)).min(width);
    let first = length(accessed).max(usize::from(accessed > 0.0)).min(both);
    "#".repeat(first) + &".".repeat(both - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_there_shows() {
        assert_eq!(bar(5.0, 5.0, 10.0, 10), "#####.....");
        assert_eq!(bar(0.001, 0.0, 10.0, 10), "#");
        assert_eq!(bar(0.0, 0.001, 10.0, 10), ".");
        assert_eq!(bar(0.0, 0.0, 10.0, 10), "");
        assert_eq!(bar(1.0, 1.0, 0.0, 0), "");
        assert_eq!(bar(f64::NAN, 9.0, 1.0, 3).len(), 0);
    }
}
