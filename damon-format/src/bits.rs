//! Bits, least significant first, and Exp-Golomb codes: short numbers for what is likely, no tables.

use crate::varint::Malformed;

/// Appends bits to bytes.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    pending_bits: u32,
}

impl BitWriter {
    /// Bytes written so far, the unfinished one included.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.pending_bits.div_ceil(8) as usize
    }

    /// Appends the low `count` bits of `value`; `count` is at most 32 and `value` has no higher bits.
    #[inline]
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        self.pending |= value << self.pending_bits;
        self.pending_bits += count;
        if self.pending_bits >= 32 {
            let [a, b, c, d, ..] = self.pending.to_le_bytes();
            self.bytes.extend_from_slice(&[a, b, c, d]);
            self.pending >>= 32;
            self.pending_bits -= 32;
        }
    }

    /// Appends any number: with `x = value + 2^order` of `n` bits, `n - 1 - order` zeros, a one, and the
    /// bits of `x` below its highest.
    #[inline]
    pub(crate) fn put_number(&mut self, value: u64, order: u32) {
        let x = u128::from(value) + (1 << order);
        let bits = x.ilog2();
        self.put_zeros(bits - order);
        self.put(1, 1);
        let mut rest = x ^ (1 << bits);
        let mut left = bits;
        while left > 0 {
            let count = left.min(32);
            let low = u64::try_from(rest & ((1 << count) - 1)).unwrap_or_default();
            self.put(low, count);
            rest >>= count;
            left -= count;
        }
    }

    fn put_zeros(&mut self, mut count: u32) {
        while count > 0 {
            let step = count.min(32);
            self.put(0, step);
            count -= step;
        }
    }

    /// Appends all bits of `other`, which starts over.
    pub(crate) fn append(&mut self, other: &mut Self) {
        let (words, rest) = other.bytes.as_chunks::<4>();
        for word in words {
            self.put(u64::from(u32::from_le_bytes(*word)), 32);
        }
        for &byte in rest {
            self.put(u64::from(byte), 8);
        }
        self.put(other.pending, other.pending_bits);
        other.bytes.clear();
        other.pending = 0;
        other.pending_bits = 0;
    }

    /// Appends everything to `out`, the last byte filled up with zeros, and starts over.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.bytes);
        let last = self.pending_bits.div_ceil(8) as usize;
        out.extend(self.pending.to_le_bytes().iter().take(last));
        self.pending = 0;
        self.pending_bits = 0;
    }
}

/// Reads what [`BitWriter`] wrote.
#[derive(Debug)]
pub(crate) struct BitReader<'a> {
    rest: &'a [u8],
    window: u64,
    /// Bits in `window`.
    have: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let mut this = Self { rest: bytes, window: 0, have: 0 };
        this.refill();
        this
    }

    /// Fills the window with at least 56 bits, or with all that are left.
    #[inline]
    fn refill(&mut self) {
        if let Some(chunk) = self.rest.first_chunk::<8>() {
            self.window |= u64::from_le_bytes(*chunk) << self.have;
            let bytes = (63 - self.have) / 8;
            self.rest = self.rest.get(bytes as usize..).unwrap_or_default();
            self.have += bytes * 8;
        } else {
            self.refill_slowly();
        }
    }

    #[cold]
    fn refill_slowly(&mut self) {
        while self.have <= 56 {
            let Some((&byte, rest)) = self.rest.split_first() else {
                return;
            };
            self.window |= u64::from(byte) << self.have;
            self.have += 8;
            self.rest = rest;
        }
    }

    #[inline]
    fn skip(&mut self, count: u32) {
        self.window >>= count;
        self.have -= count;
    }

    /// The next `count` bits, at most 32.
    #[inline]
    pub(crate) fn take(&mut self, count: u32) -> Result<u64, Malformed> {
        if self.have < count {
            self.refill();
            if self.have < count {
                return Err(Malformed);
            }
        }
        let value = self.window & ((1 << count) - 1);
        self.skip(count);
        Ok(value)
    }

    /// The next bits, at least 32 of them, without taking them; after the last one there are zeros.
    #[inline]
    pub(crate) fn peek(&mut self) -> u64 {
        if self.have < 32 {
            self.refill();
        }
        self.window
    }

    /// Takes bits that were [looked at](Self::peek), at most 32; false where there are not as many.
    #[inline]
    pub(crate) fn skip_peeked(&mut self, count: u32) -> bool {
        let there = count <= self.have;
        if there {
            self.skip(count);
        }
        there
    }

    /// The number of one bits before a zero bit, which is taken too; at most `limit` (below 32), after
    /// which no zero bit is expected.
    #[inline]
    pub(crate) fn ones(&mut self, limit: u32) -> Result<u32, Malformed> {
        if self.have < 32 {
            self.refill();
        }
        let ones = (!self.window).trailing_zeros().min(limit);
        let taken = (ones + 1).min(limit);
        if taken > self.have {
            return Err(Malformed);
        }
        self.skip(taken);
        Ok(ones)
    }

    /// Takes a run of zero bits, at most `limit`; the bit that ends it stays.
    #[inline]
    pub(crate) fn zeros(&mut self, limit: usize) -> usize {
        // The frequent case: what follows is no run.
        if self.window & 1 == 1 { 0 } else { self.run_of_zeros(limit) }
    }

    fn run_of_zeros(&mut self, limit: usize) -> usize {
        let mut run = 0;
        loop {
            if self.have < 32 {
                self.refill();
            }
            let zeros = self.window.trailing_zeros().min(self.have);
            let left = u32::try_from(limit - run).unwrap_or(u32::MAX);
            let step = zeros.min(left);
            // A whole window of zeros is shifted out in two steps: a shift by 64 would overflow.
            self.skip(step / 2);
            self.skip(step - step / 2);
            run += step as usize;
            if step < zeros || self.have > 0 || self.rest.is_empty() || run == limit {
                return run;
            }
        }
    }

    /// The inverse of [`BitWriter::put_number`].
    #[inline]
    pub(crate) fn number(&mut self, order: u32) -> Result<u64, Malformed> {
        if self.have < 56 {
            self.refill();
        }
        let zeros = self.window.trailing_zeros();
        let bits = zeros + order;
        if zeros + 1 + bits <= self.have.min(56) {
            self.skip(zeros + 1);
            let low = self.window & ((1 << bits) - 1);
            self.skip(bits);
            return Ok((1 << bits | low) - (1 << order));
        }
        self.long_number(order)
    }

    #[cold]
    fn long_number(&mut self, order: u32) -> Result<u64, Malformed> {
        let zeros = u32::try_from(self.zeros(65)).map_err(|_out_of_range| Malformed)?;
        if zeros > 64 || self.take(1)? == 0 {
            return Err(Malformed);
        }
        let bits = zeros + order;
        if bits > 64 {
            return Err(Malformed);
        }
        let mut low = 0_u128;
        let mut at = 0;
        while at < bits {
            let count = (bits - at).min(32);
            low |= u128::from(self.take(count)?) << at;
            at += count;
        }
        let value = (1 << bits | low) - (1 << order);
        u64::try_from(value).map_err(|_out_of_range| Malformed)
    }

    /// Bits that were not taken yet.
    #[cfg(test)]
    pub(crate) fn left(&self) -> u64 {
        self.rest.len() as u64 * 8 + u64::from(self.have)
    }

    /// True when nothing but the filling of the last byte is left.
    pub(crate) fn is_finished(&self) -> bool {
        self.rest.is_empty() && self.have < 8 && self.window == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literal_codes() {
        let mut writer = BitWriter::default();
        for value in 0..4 {
            writer.put_number(value, 0);
        }
        let mut bytes = Vec::new();
        writer.finish(&mut bytes);
        // Written 1, 010, 011, 00100; each byte is filled from its lowest bit.
        assert_eq!(bytes, [0b0110_0101, 0b0000_0010]);
    }

    #[test]
    fn the_end_is_noticed() {
        assert!(BitReader::new(&[]).take(1).is_err());
        assert!(BitReader::new(&[]).ones(3).is_err());
        assert!(BitReader::new(&[0xff]).ones(9).is_err());
        assert!(BitReader::new(&[0, 0]).number(0).is_err());
        assert!(BitReader::new(&[0; 40]).number(3).is_err());
        assert!(!BitReader::new(&[0, 0]).is_finished());
        assert!(!BitReader::new(&[4]).is_finished());
        assert!(BitReader::new(&[]).is_finished());
        assert_eq!(BitReader::new(&[0; 100]).zeros(1000), 800);
        assert_eq!(BitReader::new(&[0; 100]).zeros(77), 77);
    }

    #[derive(Clone, Debug)]
    enum Code {
        Bits(u64, u32),
        Number(u64, u32),
        Zeros(usize),
        Ones(u32),
    }

    proptest! {
        #[test]
        fn round_trip(codes in prop::collection::vec(prop_oneof![
            (any::<u64>(), 0_u32..=32).prop_map(|(v, n)| Code::Bits(v & ((1 << n) - 1), n)),
            (any::<u64>(), 0_u32..64, 0_u32..20).prop_map(|(v, s, k)| Code::Number(v >> s, k)),
            (1_usize..300).prop_map(Code::Zeros),
            (0_u32..=4).prop_map(Code::Ones),
        ], 0..200)) {
            let mut writer = BitWriter::default();
            for code in &codes {
                match *code {
                    Code::Bits(value, count) => writer.put(value, count),
                    Code::Number(value, order) => writer.put_number(value, order),
                    Code::Zeros(count) => {
                        writer.put_zeros(u32::try_from(count).unwrap());
                        writer.put(1, 1);
                    }
                    Code::Ones(count) => writer.put((1 << count) - 1, (count + 1).min(4)),
                }
            }
            // Appended at an odd position, as rows are after the heads.
            let mut all = BitWriter::default();
            all.put(5, 3);
            all.append(&mut writer);
            prop_assert_eq!(writer.len(), 0);
            let length = all.len();
            let mut bytes = Vec::new();
            all.finish(&mut bytes);
            prop_assert_eq!(bytes.len(), length);
            let mut reader = BitReader::new(&bytes);
            prop_assert_eq!(reader.take(3), Ok(5));
            for code in &codes {
                match *code {
                    Code::Bits(value, count) => prop_assert_eq!(reader.take(count), Ok(value)),
                    Code::Number(value, order) => prop_assert_eq!(reader.number(order), Ok(value)),
                    Code::Zeros(count) => {
                        prop_assert_eq!(reader.zeros(10_000), count);
                        prop_assert_eq!(reader.take(1), Ok(1));
                    }
                    Code::Ones(count) => prop_assert_eq!(reader.ones(4), Ok(count)),
                }
            }
            prop_assert!(reader.is_finished());
        }
    }
}
