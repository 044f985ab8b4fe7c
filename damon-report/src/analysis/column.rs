//! Columns of numbers that take no more room than the numbers need.

/// So many values share the form of a column.
pub(super) const CHUNK: usize = 4096;

/// For one more than so many values: a column that becomes full wastes nothing, and one that stays short takes little.
/// (Thousands of targets have a few each.)
fn room(count: usize) -> usize {
    count.saturating_add(1).next_power_of_two().clamp(4, CHUNK)
}

/// A value so many times, and another one.
pub(super) fn grown<T: Copy>(same: T, count: usize, value: T) -> Vec<T> {
    let mut values = Vec::with_capacity(room(count));
    values.resize(count, same);
    values.push(value);
    values
}

/// Numbers in as many bits as they need.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Column {
    /// One value, so many times.
    Same(u64, usize),
    /// Each shifted to the left by so many bits.
    Narrow(u32, Vec<u32>),
    Wide(Vec<u64>),
}

impl Default for Column {
    fn default() -> Self {
        Self::Same(0, 0)
    }
}

/// Sizes are mostly whole pages.
pub(super) const PAGE_SHIFT: u32 = 12;

impl Column {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Same(_, count) => *count,
            Self::Narrow(_, values) => values.len(),
            Self::Wide(values) => values.len(),
        }
    }

    /// The value at an index.
    pub(super) fn get(&self, index: usize) -> Option<u64> {
        match self {
            Self::Same(value, count) => (index < *count).then_some(*value),
            Self::Narrow(shift, values) => values.get(index).map(|v| u64::from(*v) << shift),
            Self::Wide(values) => values.get(index).copied(),
        }
    }

    /// Adds one at the end.
    pub(super) fn push(&mut self, value: u64) {
        match self {
            Self::Same(same, count) if *same == value || *count == 0 => {
                *same = value;
                *count += 1;
            }
            Self::Narrow(shift, values) => match narrow(value, *shift) {
                Some(small) => values.push(small),
                None => self.widen(value),
            },
            Self::Wide(values) => values.push(value),
            Self::Same(same, count) => {
                let shift = [PAGE_SHIFT, 0]
                    .into_iter()
                    .find_map(|shift| Some((shift, narrow(*same, shift)?, narrow(value, shift)?)));
                match shift {
                    Some((shift, same, value)) => {
                        *self = Self::Narrow(shift, grown(same, *count, value));
                    }
                    None => self.widen(value),
                }
            }
        }
    }

    fn widen(&mut self, value: u64) {
        let mut values = Vec::with_capacity(room(self.len()));
        values.extend((0..self.len()).filter_map(|index| self.get(index)));
        values.push(value);
        *self = Self::Wide(values);
    }
}

fn narrow(value: u64, shift: u32) -> Option<u32> {
    (value.trailing_zeros() >= shift).then(|| u32::try_from(value >> shift).ok())?
}

/// Differences of either sign as small numbers.
pub(super) fn zigzag(from: u64, to: u64) -> u64 {
    let difference = to.wrapping_sub(from);
    (difference << 1) ^ (if difference >> 63 == 1 { u64::MAX } else { 0 })
}

pub(super) fn unzigzag(from: u64, code: u64) -> u64 {
    let difference = (code >> 1) ^ (if code & 1 == 1 { u64::MAX } else { 0 });
    from.wrapping_add(difference)
}

/// Real numbers in as many bits as they need; each comes back as it was.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reals {
    /// One value, so many times.
    Same(f64, usize),
    Short(Vec<f32>),
    Each(Vec<f64>),
}

impl Default for Reals {
    fn default() -> Self {
        Self::Same(0.0, 0)
    }
}

impl Reals {
    /// The value at an index.
    pub(super) fn get(&self, index: usize) -> Option<f64> {
        match self {
            Self::Same(value, count) => (index < *count).then_some(*value),
            Self::Short(values) => values.get(index).map(|value| f64::from(*value)),
            Self::Each(values) => values.get(index).copied(),
        }
    }

    /// Adds one at the end.
    pub(super) fn push(&mut self, value: f64) {
        match self {
            Self::Same(same, count) if same.to_bits() == value.to_bits() || *count == 0 => {
                *same = value;
                *count += 1;
            }
            Self::Same(same, count) => {
                *self = match exactly_short(*same).zip(exactly_short(value)) {
                    Some((same, value)) => Self::Short(grown(same, *count, value)),
                    None => Self::Each(grown(*same, *count, value)),
                };
            }
            Self::Short(values) => {
                if let Some(short) = exactly_short(value) {
                    values.push(short);
                    return;
                }
                let mut all = Vec::with_capacity(room(values.len()));
                all.extend(values.iter().map(|value| f64::from(*value)));
                all.push(value);
                *self = Self::Each(all);
            }
            Self::Each(values) => values.push(value),
        }
    }
}

/// To seven digits.
#[expect(clippy::cast_possible_truncation, reason = "seven digits are what is wanted")]
pub(super) fn short(value: f64) -> f32 {
    value as f32
}

fn exactly_short(value: f64) -> Option<f32> {
    let found = short(value);
    (f64::from(found).to_bits() == value.to_bits()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reals_come_back_to_the_last_bit(
            list in prop::collection::vec(
                prop_oneof![Just(0.5), (0_u32..1000).prop_map(f64::from), any::<f64>()],
                0..40,
            ),
            same in 0_usize..20,
        ) {
            let list: Vec<f64> = std::iter::repeat_n(0.5, same).chain(list).collect();
            let mut column = Reals::default();
            for value in &list {
                column.push(*value);
            }
            let back: Vec<u64> =
                (0..=list.len()).map_while(|i| column.get(i)).map(f64::to_bits).collect();
            prop_assert_eq!(back, list.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_full_column_wastes_nothing_and_a_short_one_takes_little() {
        for same in [1, 2, 3, 5, 1000] {
            let mut column = Reals::default();
            for _ in 0..same {
                column.push(1.0);
            }
            column.push(2.0);
            let Reals::Short(values) = &column else { panic!("{column:?}") };
            assert!(values.capacity() <= 2 * (same + 1).max(2), "{same}: {}", values.capacity());
            for _ in same + 1..CHUNK {
                column.push(3.0);
            }
            let Reals::Short(values) = &column else { panic!("{column:?}") };
            assert_eq!((values.len(), values.capacity()), (CHUNK, CHUNK), "{same}");
        }
    }
}
