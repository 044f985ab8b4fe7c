//! The codes of a snapshot section, shared by encoder and decoder.

use crate::bits::{BitReader, BitWriter};
use crate::varint::Malformed;

/// Most snapshots in a section.
pub(super) const MAX_SNAPSHOTS: usize = 1 << 16;

/// Flags of a section: the low bits of its first number, whose other bits are the target.
pub(super) mod flags {
    /// Ages are present.
    pub(in super::super) const AGES: u64 = 1 << 0;
    /// Times are in microseconds rather than nanoseconds.
    pub(in super::super) const MICROSECONDS: u64 = 1 << 1;
    /// The scale (intervals, maximum, granule, probe columns) is stated; otherwise it is that of the
    /// target's previous section in this block.
    pub(in super::super) const SCALE: u64 = 1 << 2;
    /// Each snapshot starts where the one before it ended; starts are not stored.
    pub(in super::super) const CONTIGUOUS: u64 = 1 << 3;
    /// How many there are.
    pub(in super::super) const COUNT: u32 = 4;
}

/// Orders of the Exp-Golomb codes: the number of low bits that are stored plainly.
pub(super) mod order {
    pub(in super::super) const TIME: u32 = 6;
    pub(in super::super) const COUNT: u32 = 2;
    pub(in super::super) const SKIP: u32 = 0;
    pub(in super::super) const GRANULES: u32 = 8;
    pub(in super::super) const BYTES: u32 = 12;
    pub(in super::super) const NR_ACCESSES: u32 = 1;
    pub(in super::super) const AGE: u32 = 2;
    pub(in super::super) const PROBE: u32 = 2;
}

/// What follows of a region beyond "as predicted", which is a single 0 bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// How its boundaries follow from the previous snapshot.
    pub(super) boundary: Boundary,
    /// Whether the counter differs from the prediction; the difference follows.
    pub(super) nr_accesses: bool,
    /// Whether the age differs from the prediction; the difference follows.
    pub(super) age: bool,
}

/// How a region's boundaries follow from the previous snapshot.
///
/// Let `p` be the first previous region that ends after the region before this one. The region
/// starts where the one before it ended or where `p` starts, whichever is later. Its parent is the previous
/// region `p + skip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boundary {
    /// It ends where the parent ends.
    Keep { skip: u64 },
    /// It ends that many tenths (1 to 9) after the parent's start.
    Tenth { skip: u64, tenths: u8 },
    /// It ends `inner` tenths of `outer` tenths after the parent's start.
    TenthOfTenth { skip: u64, outer: u8, inner: u8 },
    /// It ends that many granules after its own start.
    Granules(u64),
    /// It starts `distance` bytes after the end of the region before it, and has `size` bytes.
    Bytes { distance: u64, size: u64 },
}

const KEPT: Boundary = Boundary::Keep { skip: 0 };

/// As predicted in every respect.
const AS_PREDICTED: Change = Change { boundary: KEPT, nr_accesses: false, age: false };

impl Change {
    /// One bit as predicted; two, only the counter differs; three, a cut at a tenth; four, only the age;
    /// else four and the parts. Cuts leave the age as predicted nearly always and skip at most one.
    #[inline]
    pub(super) fn put(self, bits: &mut BitWriter) {
        match self {
            AS_PREDICTED => bits.put(0b0, 1),
            Self { boundary: KEPT, nr_accesses: true, age: false } => bits.put(0b01, 2),
            Self {
                boundary: Boundary::Tenth { skip: skip @ 0..=1, tenths }, age: false, ..
            } => {
                bits.put(0b011 | u64::from(self.nr_accesses) << 3 | skip << 4, 5);
                put_tenths(tenths, bits);
            }
            Self { boundary: KEPT, nr_accesses: false, age: true } => bits.put(0b0111, 4),
            Self { boundary, nr_accesses, age } => {
                bits.put(0b1111 | u64::from(nr_accesses) << 4 | u64::from(age) << 5, 6);
                boundary.put(bits);
            }
        }
    }

    /// Reads a change.
    #[inline]
    pub(super) fn get(bits: &mut BitReader<'_>) -> Result<Self, Malformed> {
        Ok(match bits.ones(4)? {
            0 => AS_PREDICTED,
            1 => Self { nr_accesses: true, ..AS_PREDICTED },
            2 => {
                let both = bits.take(2)?;
                let boundary = Boundary::Tenth { skip: both >> 1, tenths: get_tenths(bits)? };
                Self { boundary, nr_accesses: both & 1 != 0, age: false }
            }
            3 => Self { age: true, ..AS_PREDICTED },
            _ => {
                let both = bits.take(2)?;
                let boundary = Boundary::get(bits)?;
                Self { boundary, nr_accesses: both & 1 != 0, age: both & 2 != 0 }
            }
        })
    }
}

impl Boundary {
    fn put(self, bits: &mut BitWriter) {
        match self {
            Self::Keep { skip } => {
                bits.put(0b0, 1);
                put_skip(skip, bits);
            }
            Self::Tenth { skip, tenths } => {
                bits.put(0b01, 2);
                put_skip(skip, bits);
                put_tenths(tenths, bits);
            }
            Self::TenthOfTenth { skip, outer, inner } => {
                bits.put(0b011, 3);
                put_skip(skip, bits);
                bits.put(u64::from(outer) | u64::from(inner) << 4, 8);
            }
            Self::Granules(granules) => {
                bits.put(0b0111, 4);
                bits.put_number(granules, order::GRANULES);
            }
            Self::Bytes { distance, size } => {
                bits.put(0b1111, 4);
                bits.put_number(distance, order::BYTES);
                bits.put_number(size, order::BYTES);
            }
        }
    }

    #[inline]
    fn get(bits: &mut BitReader<'_>) -> Result<Self, Malformed> {
        Ok(match bits.ones(4)? {
            0 => Self::Keep { skip: get_skip(bits)? },
            1 => {
                let skip = get_skip(bits)?;
                Self::Tenth { skip, tenths: get_tenths(bits)? }
            }
            2 => {
                let skip = get_skip(bits)?;
                let [both, ..] = bits.take(8)?.to_le_bytes();
                Self::TenthOfTenth { skip, outer: tenth(both & 0x0f)?, inner: tenth(both >> 4)? }
            }
            3 => Self::Granules(bits.number(order::GRANULES)?),
            _ => {
                let distance = bits.number(order::BYTES)?;
                Self::Bytes { distance, size: bits.number(order::BYTES)? }
            }
        })
    }
}

/// Bits that [`Short`] looks at.
pub(super) const SHORT: u32 = 12;

/// A change that is told in [`SHORT`] bits, as one number, so that nothing has to be decided bit by bit: the length of its
/// code, or 0 where only [`Change::get`] can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short(u32);

impl Short {
    /// What begins with these bits.
    #[inline]
    pub(super) fn of(bits: u64) -> Self {
        const MASK: usize = (1 << SHORT) - 1;
        static TABLE: [Short; 1 << SHORT] = {
            let mut table = [Short(0); 1 << SHORT];
            let mut bits = 0;
            while bits < 1 << SHORT {
                table[bits as usize] = Short::new(bits);
                bits += 1;
            }
            table
        };
        let index = usize::try_from(bits).unwrap_or(usize::MAX) & MASK;
        TABLE.get(index).copied().unwrap_or(Self(0))
    }

    /// Bits of its code.
    #[inline]
    pub(super) fn length(self) -> u32 {
        self.0 & 0xf
    }

    /// How many tenths of the parent it ends after the parent's start; 0 if it ends with the parent.
    #[inline]
    pub(super) fn tenths(self) -> u8 {
        let [_, tenths, ..] = self.0.to_le_bytes();
        tenths
    }

    /// From the first previous region to the parent.
    #[inline]
    pub(super) fn skip(self) -> usize {
        usize::from(self.0 & Self::SKIPS != 0)
    }

    /// Whether the difference of the counter follows.
    #[inline]
    pub(super) fn nr_accesses_follow(self) -> bool {
        self.0 & Self::NR_ACCESSES != 0
    }

    /// Whether the difference of the age follows.
    #[inline]
    pub(super) fn age_follows(self) -> bool {
        self.0 & Self::AGE != 0
    }

    /// The difference of the counter, where it does not follow.
    #[inline]
    pub(super) fn difference(self) -> i32 {
        let [.., high] = self.0.to_le_bytes();
        i32::from(high.cast_signed())
    }

    const SKIPS: u32 = 1 << 4;
    const NR_ACCESSES: u32 = 1 << 5;
    const AGE: u32 = 1 << 6;

    /// As [`Change::get`] reads it.
    const fn new(bits: u32) -> Self {
        let ones = bits.trailing_ones();
        match ones {
            0 => Self(1),
            1 => Self::with_difference(bits, 2, 0, true),
            2 => {
                let skips = if bits >> 4 & 1 == 1 { Self::SKIPS } else { 0 };
                let (tenths, length) = Self::tenths_at(bits, 5);
                Self::with_difference(bits, length, skips | tenths << 8, bits >> 3 & 1 == 1)
            }
            3 => Self(4 | Self::AGE),
            _ => {
                let age = if bits >> 5 & 1 == 1 { Self::AGE } else { 0 };
                let differs = bits >> 4 & 1 == 1;
                // Begin of the code of the skip.
                let (at, is_cut) = match bits >> 6 & 3 {
                    0 | 2 => (7, false),
                    1 => (8, true),
                    _ => return Self(0),
                };
                let (skips, at) = match bits >> at & 3 {
                    0 | 2 => (Self::SKIPS, at + 1),
                    1 => (0, at + 2),
                    _ => return Self(0),
                };
                let (tenths, length) = if is_cut { Self::tenths_at(bits, at) } else { (0, at) };
                Self::with_difference(bits, length, age | skips | tenths << 8, differs)
            }
        }
    }

    /// The tenths whose code begins at this bit, and where it ends.
    const fn tenths_at(bits: u32, at: u32) -> (u32, u32) {
        match bits >> at & 7 {
            7 => (8 + (bits >> (at + 3) & 1), at + 4),
            low => (low + 1, at + 3),
        }
    }

    /// The rest is told; after it the difference of the counter may begin.
    const fn with_difference(bits: u32, at: u32, rest: u32, differs: bool) -> Self {
        if at > SHORT {
            return Self(0);
        }
        if !differs {
            return Self(at | rest);
        }
        let zeros = (bits >> at | 1 << SHORT).trailing_zeros();
        let end = at + 2 * zeros + 1 + order::NR_ACCESSES;
        if end > SHORT {
            return Self(at | rest | Self::NR_ACCESSES);
        }
        let low = bits >> (at + zeros + 1) & ((1 << (zeros + order::NR_ACCESSES)) - 1);
        let stored = (1 << (zeros + order::NR_ACCESSES) | low) - (1 << order::NR_ACCESSES) + 1;
        // Zigzag, as in `unzigzag`; at most seven bits.
        let difference = if stored & 1 == 1 { !(stored >> 1) } else { stored >> 1 };
        Self(end | rest | difference << 24)
    }
}

/// 1 to 7 in three bits, 8 and 9 in four.
fn put_tenths(tenths: u8, bits: &mut BitWriter) {
    match tenths {
        8 => bits.put(0b0111, 4),
        9.. => bits.put(0b1111, 4),
        low => bits.put(u64::from(low.saturating_sub(1)), 3),
    }
}

#[inline]
fn get_tenths(bits: &mut BitReader<'_>) -> Result<u8, Malformed> {
    let [low, ..] = bits.take(3)?.to_le_bytes();
    if low < 7 {
        return Ok(low + 1);
    }
    let [high, ..] = bits.take(1)?.to_le_bytes();
    Ok(8 + high)
}

fn tenth(tenths: u8) -> Result<u8, Malformed> {
    if (1..=9).contains(&tenths) { Ok(tenths) } else { Err(Malformed) }
}

/// Skipping one is likeliest: a boundary has gone.
fn put_skip(skip: u64, bits: &mut BitWriter) {
    match skip {
        1 => bits.put(0b0, 1),
        0 => bits.put(0b01, 2),
        more => {
            bits.put(0b11, 2);
            bits.put_number(more - 2, order::SKIP);
        }
    }
}

#[inline]
fn get_skip(bits: &mut BitReader<'_>) -> Result<u64, Malformed> {
    Ok(match bits.ones(2)? {
        0 => 1,
        1 => 0,
        _ => bits.number(order::SKIP)?.checked_add(2).ok_or(Malformed)?,
    })
}

/// `tenths` tenths of `size`, rounded down to the granule `1 << shift`.
#[inline]
pub(super) fn cut(size: u64, tenths: u8, shift: u32) -> u64 {
    // Divided first where the product would overflow: sizes near 2^64 need no exactness, encoder and
    // decoder only have to agree.
    let product = size.checked_mul(u64::from(tenths));
    let part = product.map_or_else(|| size / 10 * u64::from(tenths), |p| p / 10);
    part >> shift << shift
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::varint::unzigzag;
    use proptest::prelude::*;

    fn boundaries() -> impl Strategy<Value = Boundary> {
        let skip = prop_oneof![0_u64..4, any::<u64>().prop_map(|s| s.saturating_sub(2))];
        prop_oneof![
            skip.clone().prop_map(|skip| Boundary::Keep { skip }),
            (skip.clone(), 1_u8..10).prop_map(|(skip, tenths)| Boundary::Tenth { skip, tenths }),
            (skip, 1_u8..10, 1_u8..10).prop_map(|(skip, outer, inner)| Boundary::TenthOfTenth {
                skip,
                outer,
                inner
            }),
            any::<u64>().prop_map(Boundary::Granules),
            (any::<u64>(), any::<u64>())
                .prop_map(|(distance, size)| Boundary::Bytes { distance, size }),
        ]
    }

    proptest! {
        #[test]
        fn changes_round_trip(
            changes in prop::collection::vec((boundaries(), any::<bool>(), any::<bool>()), 0..50)
        ) {
            let mut writer = BitWriter::default();
            let changes: Vec<Change> = changes
                .into_iter()
                .map(|(boundary, nr_accesses, age)| Change { boundary, nr_accesses, age })
                .collect();
            for change in &changes {
                change.put(&mut writer);
            }
            let mut bytes = Vec::new();
            writer.finish(&mut bytes);
            let mut reader = BitReader::new(&bytes);
            for change in changes {
                prop_assert_eq!(Change::get(&mut reader), Ok(change));
            }
            prop_assert!(reader.is_finished());
        }
    }

    #[test]
    fn what_the_table_tells_is_what_is_read_bit_by_bit() {
        for bits in 0..1_u64 << SHORT {
            let short = Short::of(bits);
            for filling in [0, u64::MAX, 0x5555_5555_5555_5555, 0x0123_4567_89ab_cdef] {
                let all = (filling << SHORT | bits).to_le_bytes();
                let mut reader = BitReader::new(&all);
                let Ok(change) = Change::get(&mut reader) else {
                    assert_eq!(short.length(), 0, "{bits:b}");
                    continue;
                };
                let place = match change.boundary {
                    Boundary::Keep { skip } => Some((skip, 0)),
                    Boundary::Tenth { skip, tenths } => Some((skip, tenths)),
                    _ => None,
                };
                if short.length() == 0 {
                    let is_long = place.is_none_or(|(skip, _)| skip > 1);
                    assert!(is_long || reader.left() + u64::from(SHORT) < 64, "{bits:b}");
                    continue;
                }
                assert_eq!(place, Some((short.skip() as u64, short.tenths())), "{bits:b}");
                assert_eq!(short.age_follows(), change.age, "{bits:b}");
                let mut difference = 0;
                if change.nr_accesses && !short.nr_accesses_follow() {
                    let stored = reader.number(order::NR_ACCESSES).unwrap();
                    difference = unzigzag(stored + 1);
                } else {
                    assert_eq!(short.nr_accesses_follow(), change.nr_accesses, "{bits:b}");
                }
                assert_eq!(i64::from(short.difference()), difference, "{bits:b}");
                assert_eq!(64 - reader.left(), u64::from(short.length()), "{bits:b}");
            }
        }
        // What is frequent is told: the counter is one less, a region ends at three tenths, two regions became one.
        assert_eq!((Short::of(0b0101).length(), Short::of(0b0101).difference()), (4, -1));
        assert_eq!((Short::of(0b0100_0011).length(), Short::of(0b0100_0011).tenths()), (8, 3));
        assert_eq!((Short::of(0b0000_1111).length(), Short::of(0b0000_1111).skip()), (8, 1));
    }

    #[test]
    fn cuts_round_down_to_the_granule() {
        assert_eq!(cut(100 << 12, 3, 12), 30 << 12);
        assert_eq!(cut(7 << 12, 3, 12), 2 << 12);
        assert_eq!(cut(7, 3, 0), 2);
        assert!(cut(u64::MAX, 9, 12) < u64::MAX);
    }
}
