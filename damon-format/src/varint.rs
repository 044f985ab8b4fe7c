//! Little-endian base-128 integers (LEB128), the only variable-length integers of the format.

/// Appends `value`, 1 to 10 bytes.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        if value < 0x80 {
            return out.push(low);
        }
        out.push(low | 0x80);
        value >>= 7;
    }
}

/// Maps small magnitudes of either sign to small unsigned numbers: 0, -1, 1, -2, … to 0, 1, 2, 3, …
///
/// The difference of any two `u64` survives the trip when it is taken with wrapping arithmetic.
#[inline]
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[inline]
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// `value - base`, wrapping, in the form that [`put`] stores in few bytes.
#[inline]
pub(crate) fn delta(value: u64, base: u64) -> u64 {
    zigzag(value.wrapping_sub(base).cast_signed())
}

/// The inverse of [`delta`].
#[inline]
pub(crate) fn undelta(stored: u64, base: u64) -> u64 {
    base.wrapping_add(unzigzag(stored).cast_unsigned())
}

/// A cursor over bytes that have passed their checksum but are not trusted to make sense.
#[derive(Clone, Debug)]
pub(crate) struct Bytes<'a> {
    rest: &'a [u8],
}

/// The bytes ended early or held a number that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(first)
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        self.varint_tail(u64::from(first & 0x7f))
    }

    fn varint_tail(&mut self, mut value: u64) -> Result<u64, Malformed> {
        for shift in (7..=63).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    #[inline]
    pub(crate) fn varint_u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_out_of_range| Malformed)
    }

    /// The next `len` bytes as a cursor of their own.
    pub(crate) fn take(&mut self, len: u64) -> Result<Bytes<'a>, Malformed> {
        let len = usize::try_from(len).map_err(|_out_of_range| Malformed)?;
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(Bytes { rest: head })
    }

    pub(crate) fn as_slice(&self) -> &'a [u8] {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literal_bytes() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (300, &[0xac, 0x02]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(Bytes::new(bytes).varint(), Ok(value));
        }
    }

    #[test]
    fn overlong_and_truncated_numbers_are_malformed() {
        assert_eq!(Bytes::new(&[0xff; 9]).varint(), Err(Malformed));
        let mut too_big = [0xff; 10];
        too_big[9] = 0x02;
        assert_eq!(Bytes::new(&too_big).varint(), Err(Malformed));
        assert_eq!(Bytes::new(&[0x80; 11]).varint(), Err(Malformed));
        assert_eq!(Bytes::new(&[]).u8(), Err(Malformed));
        assert!(Bytes::new(&[1, 2]).take(3).is_err());
    }

    proptest! {
        #[test]
        fn round_trip(value: u64, base: u64) {
            let mut out = Vec::new();
            put(&mut out, delta(value, base));
            let stored = Bytes::new(&out).varint().unwrap();
            prop_assert_eq!(undelta(stored, base), value);
        }
    }
}
