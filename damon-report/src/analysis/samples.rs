//! Working sets of many moments, in half the room that they would take one by one: a day of recording has a million.

use super::column::{CHUNK, Column, grown, short, unzigzag, zigzag};
use super::num::float;
use super::wss::WorkingSetSample;
use serde::ser::{Serialize, SerializeSeq as _, Serializer};

/// Samples in the order in which they were added. Everything comes back as it was, but for the ends of the interval and what was lost: their
/// distances to the estimate are kept to seven digits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    chunks: Vec<Chunk>,
    last_end_ns: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Chunk {
    /// End of the sample before the first.
    before_ns: u64,
    /// From the end of the sample before to the start, zigzag: mostly nothing.
    gaps: Column,
    lengths: Column,
    touched: Column,
    monitored: Column,
    expected: Vec<f64>,
    below: Distances,
    above: Distances,
    lost: Distances,
}

/// Distances to one end of the interval, or what is in them of something.
#[derive(Clone, Debug, PartialEq)]
enum Distances {
    /// None so far but zero, so many times: no interval was asked for.
    Zero(usize),
    Each(Vec<f32>),
}

impl Default for Distances {
    fn default() -> Self {
        Self::Zero(0)
    }
}

impl Distances {
    fn push(&mut self, value: f32) {
        match self {
            Self::Zero(count) if value.to_bits() == 0 => *count += 1,
            Self::Zero(count) => {
                *self = Self::Each(grown(0.0, *count, value));
            }
            Self::Each(values) => values.push(value),
        }
    }

    fn get(&self, index: usize) -> Option<f32> {
        match self {
            Self::Zero(count) => (index < *count).then_some(0.0),
            Self::Each(values) => values.get(index).copied(),
        }
    }
}

impl Chunk {
    fn push(&mut self, sample: &WorkingSetSample, last_end_ns: u64) {
        self.gaps.push(zigzag(last_end_ns, sample.start_ns));
        self.lengths.push(sample.end_ns.wrapping_sub(sample.start_ns));
        self.touched.push(sample.touched);
        self.monitored.push(sample.monitored);
        self.expected.push(sample.expected);
        self.below.push(short(sample.expected - sample.expected_low));
        self.above.push(short(sample.expected_high - sample.expected));
        self.lost.push(short(sample.expected_lost));
    }

    fn get(&self, index: usize, last_end_ns: u64) -> Option<WorkingSetSample> {
        let start_ns = unzigzag(last_end_ns, self.gaps.get(index)?);
        let expected = *self.expected.get(index)?;
        Some(WorkingSetSample {
            start_ns,
            end_ns: start_ns.wrapping_add(self.lengths.get(index)?),
            touched: self.touched.get(index)?,
            expected,
            expected_low: expected - f64::from(self.below.get(index)?),
            expected_high: expected + f64::from(self.above.get(index)?),
            expected_lost: f64::from(self.lost.get(index)?),
            monitored: self.monitored.get(index)?,
        })
    }
}

/// What can be read of one sample without those before it.
impl Samples {
    fn place(&self, index: usize) -> Option<(&Chunk, usize)> {
        Some((self.chunks.get(index / CHUNK)?, index % CHUNK))
    }

    /// Bytes touched.
    pub(super) fn touched(&self, index: usize) -> f64 {
        let place = self.place(index);
        float(place.and_then(|(chunk, index)| chunk.touched.get(index)).unwrap_or(0))
    }

    /// Bytes expected.
    pub(super) fn expected(&self, index: usize) -> f64 {
        let place = self.place(index);
        place.and_then(|(chunk, index)| chunk.expected.get(index).copied()).unwrap_or(0.0)
    }

    /// How long it lasted.
    pub(super) fn length_ns(&self, index: usize) -> u64 {
        let place = self.place(index);
        place.and_then(|(chunk, index)| chunk.lengths.get(index)).unwrap_or(0)
    }
}

impl Samples {
    /// Adds one at the end.
    pub fn push(&mut self, sample: &WorkingSetSample) {
        if self.chunks.last().is_none_or(|chunk| chunk.expected.len() >= CHUNK) {
            self.chunks.push(Chunk { before_ns: self.last_end_ns, ..Chunk::default() });
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(sample, self.last_end_ns);
        }
        self.last_end_ns = sample.end_ns;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        full + self.chunks.last().map_or(0, |chunk| chunk.expected.len())
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> Iter<'_> {
        Iter { samples: self, index: 0, last_end_ns: 0 }
    }

    /// The last one.
    pub fn last(&self) -> Option<WorkingSetSample> {
        let first = self.chunks.len().saturating_sub(1) * CHUNK;
        let last_end_ns = self.chunks.last()?.before_ns;
        Iter { samples: self, index: first, last_end_ns }.last()
    }
}

/// Goes over samples.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    samples: &'a Samples,
    index: usize,
    last_end_ns: u64,
}

impl Iterator for Iter<'_> {
    type Item = WorkingSetSample;

    fn next(&mut self) -> Option<WorkingSetSample> {
        let (chunk, index) = self.samples.place(self.index)?;
        let sample = chunk.get(index, self.last_end_ns)?;
        self.index += 1;
        self.last_end_ns = sample.end_ns;
        Some(sample)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.samples.len().saturating_sub(self.index);
        (left, Some(left))
    }
}

impl<'a> IntoIterator for &'a Samples {
    type Item = WorkingSetSample;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Extend<WorkingSetSample> for Samples {
    fn extend<I: IntoIterator<Item = WorkingSetSample>>(&mut self, samples: I) {
        for sample in samples {
            self.push(&sample);
        }
    }
}

impl FromIterator<WorkingSetSample> for Samples {
    fn from_iter<I: IntoIterator<Item = WorkingSetSample>>(samples: I) -> Self {
        let mut all = Self::default();
        all.extend(samples);
        all
    }
}

impl Serialize for Samples {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.len()))?;
        for sample in self {
            list.serialize_element(&sample)?;
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use super::super::column::PAGE_SHIFT;
    use super::*;
    use proptest::prelude::*;

    fn sizes() -> impl Strategy<Value = u64> {
        prop_oneof![Just(0), Just(1 << 30), (0_u64..1 << 40).prop_map(|n| n << 12), any::<u64>()]
    }

    fn sample() -> impl Strategy<Value = WorkingSetSample> {
        let times =
            (prop_oneof![Just(0_u64), any::<u64>()], prop_oneof![Just(7_u64), any::<u64>()]);
        (times, sizes(), sizes(), prop_oneof![Just(0.0), 0.0_f64..1e15]).prop_map(
            |((start_ns, length), a, b, expected)| WorkingSetSample {
                start_ns,
                end_ns: start_ns.saturating_add(length),
                touched: a,
                expected,
                expected_low: expected * 0.75,
                expected_high: expected * 1.5,
                expected_lost: expected * 0.25,
                monitored: b,
            },
        )
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(list in prop::collection::vec(sample(), 0..40)) {
            let samples: Samples = list.iter().copied().collect();
            let back: Vec<_> = samples.iter().collect();
            prop_assert_eq!(back.len(), list.len());
            prop_assert_eq!((samples.len(), samples.is_empty()), (list.len(), list.is_empty()));
            prop_assert_eq!(samples.last(), back.last().copied());
            for (index, (a, b)) in list.iter().zip(&back).enumerate() {
                let near = |a: f64, b: f64| (a - b).abs() <= 1e-7 * a.abs();
                prop_assert!(near(a.expected_low, b.expected_low));
                prop_assert!(near(a.expected_high, b.expected_high));
                prop_assert!(near(a.expected_lost, b.expected_lost));
                let ends = (b.expected_low, b.expected_high);
                let rest = WorkingSetSample { expected_low: ends.0, expected_high: ends.1, ..*a };
                let rest = WorkingSetSample { expected_lost: b.expected_lost, ..rest };
                prop_assert_eq!(rest, *b);
                prop_assert_eq!(samples.touched(index).to_bits(), float(a.touched).to_bits());
                prop_assert_eq!(samples.expected(index).to_bits(), a.expected.to_bits());
                prop_assert_eq!(samples.length_ns(index), a.end_ns - a.start_ns);
            }
        }
    }

    #[test]
    fn a_day_takes_little_room() {
        let samples: Samples = (0..20_000)
            .map(|i| WorkingSetSample {
                start_ns: i * 100_003_000,
                end_ns: (i + 1) * 100_003_000,
                touched: (i * 7919 % 50_000) << 12,
                expected: 1.0,
                expected_low: 1.0,
                expected_high: 1.0,
                expected_lost: 0.0,
                monitored: 1 << 30,
            })
            .collect();
        assert_eq!(samples.len(), 20_000);
        assert_eq!(samples.last().map(|s| s.end_ns), Some(20_000 * 100_003_000));
        let chunk = &samples.chunks[3];
        assert!(matches!(chunk.gaps, Column::Same(0, CHUNK)), "{:?}", chunk.gaps);
        assert!(
            matches!(chunk.lengths, Column::Same(..))
                && matches!(chunk.monitored, Column::Same(..))
        );
        assert!(matches!(chunk.touched, Column::Narrow(PAGE_SHIFT, _)));
        assert_eq!(
            [&chunk.below, &chunk.above, &chunk.lost].map(|d| d == &Distances::Zero(CHUNK)),
            [true; 3]
        );
    }
}
