//! Decimal numbers as people write them, in front of a unit: `1.5 GiB`, `100ms`.
//!
//! Arithmetic is exact: what is written with a point stays a fraction until its unit is known.

/// A non-negative number as it was written: `digits / 10^places`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    digits: u128,
    places: u32,
}

impl Decimal {
    /// Takes a number from the start of a text: `12`, `.5`, `1.5`. Returns it with what follows, without the white
    /// space between them. `None`: there is no digit, or there are more than 128 bits hold.
    pub fn leading(text: &str) -> Option<(Self, &str)> {
        let (digits, places, rest) = scan(text, |_| false)?;
        let places = u32::try_from(places).ok()?;
        Some((Self { digits, places }, rest.trim_start()))
    }

    /// [`leading`](Self::leading), also as damo and JSON write it: `1,000`, `1e6`.
    pub fn leading_grouped(text: &str) -> Option<(Self, &str)> {
        let (digits, mut places, mut rest) = scan(text, |letter| letter == ',')?;
        // An exponent is followed by digits, the unit `E` is not.
        if let Some(power) = rest.strip_prefix(['e', 'E']) {
            let unsigned = power.strip_prefix(['+', '-']).unwrap_or(power);
            let count = unsigned.bytes().take_while(u8::is_ascii_digit).count();
            if count > 0 {
                let length = power.len().checked_sub(unsigned.len())?.checked_add(count)?;
                places = places.checked_sub(power.get(..length)?.parse().ok()?)?;
                rest = power.get(length..)?;
            }
        }
        let number = match u32::try_from(places) {
            Ok(places) => Self { digits, places },
            Err(_negative) => {
                let shift = 10_u128.checked_pow(places.unsigned_abs())?;
                Self { digits: digits.checked_mul(shift)?, places: 0 }
            }
        };
        Some((number, rest.trim_start()))
    }

    /// `self * unit`, fractions dropped. `None`: more than 64 bits hold.
    pub fn times(self, unit: u64) -> Option<u64> {
        self.times_over(unit, 1)
    }

    /// `self * unit / over`, fractions dropped. `None`: more than 64 bits hold, or `over` is 0.
    pub fn times_over(self, unit: u64, over: u64) -> Option<u64> {
        let product = self.digits.checked_mul(u128::from(unit))?;
        let divisor = 10_u128.checked_pow(self.places)?.checked_mul(u128::from(over))?;
        u64::try_from(product.checked_div(divisor)?).ok()
    }

    /// `self * unit`. `None`: that is no whole number, or more than 64 bits hold.
    pub fn times_exactly(self, unit: u64) -> Option<u64> {
        let product = self.digits.checked_mul(u128::from(unit))?;
        let divisor = 10_u128.checked_pow(self.places)?;
        u64::try_from(product.is_multiple_of(divisor).then_some(product / divisor)?).ok()
    }
}

/// Digits, how many of them stand after the point, and what follows. Before the point, letters that are `skipped` mean
/// nothing.
fn scan(text: &str, skipped: impl Fn(char) -> bool) -> Option<(u128, i32, &str)> {
    let (mut digits, mut places, mut any, mut point) = (0_u128, 0_i32, false, false);
    let mut end = text.len();
    for (at, letter) in text.char_indices() {
        match letter {
            '.' if !point => point = true,
            '0'..='9' => {
                digits = digits.checked_mul(10)?.checked_add(u128::from(letter.to_digit(10)?))?;
                places = places.checked_add(i32::from(point))?;
                any = true;
            }
            letter if !point && skipped(letter) => {}
            _ => {
                end = at;
                break;
            }
        }
    }
    any.then_some((digits, places, text.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(text: &str, unit: u64) -> Option<u64> {
        let (number, rest) = Decimal::leading(text)?;
        rest.is_empty().then(|| number.times(unit)).flatten()
    }

    #[test]
    fn numbers_end_where_units_begin() {
        let rest = |text| Decimal::leading(text).map(|(_, rest)| rest);
        assert_eq!(rest("1.5 GiB"), Some("GiB"));
        assert_eq!(rest("100ms "), Some("ms "));
        assert_eq!(rest("1.2.3s"), Some(".3s"));
        assert_eq!(rest("1,000"), Some(",000"));
        assert_eq!(rest("1e3"), Some("e3"));
        for none in ["", ".", "K", "-1", " 1", "é"] {
            assert_eq!(rest(none), None, "{none}");
        }
        let grouped = |text| {
            let (number, rest) = Decimal::leading_grouped(text)?;
            Some((number.times(1)?, rest))
        };
        assert_eq!(grouped("1,000 K"), Some((1_000, "K")));
        assert_eq!(grouped("2.5E2 B"), Some((250, "B")));
        assert_eq!(grouped("15e-1"), Some((1, "")));
        assert_eq!(grouped("2 E"), Some((2, "E")));
        assert_eq!(grouped("1.0,1"), Some((1, ",1")));
        assert_eq!(grouped("1e99"), None);
    }

    #[test]
    fn fractions_wait_for_their_unit() {
        assert_eq!(times(".5", 1_000), Some(500));
        assert_eq!(times("1.9", 1), Some(1));
        assert_eq!(times("18446744073709551615", 1), Some(u64::MAX));
        assert_eq!(times("18446744073709551616", 1), None);
        let (number, _) = Decimal::leading("0.1").unwrap();
        assert_eq!((number.times_exactly(10), number.times_exactly(4)), (Some(1), None));
        assert_eq!((number.times_over(100, 3), number.times_over(1, 0)), (Some(3), None));
    }

    proptest! {
        #[test]
        fn every_fraction_is_exact(whole in 0..1_u64 << 30, places in 0..=9_u32, part: u32) {
            let scale = 10_u64.pow(places);
            let part = u64::from(part) % scale;
            let digits = places as usize;
            let text = if places == 0 { format!("{whole}") } else { format!("{whole}.{part:0digits$}") };
            prop_assert_eq!(times(&text, scale), Some(whole * scale + part));
        }
    }
}
