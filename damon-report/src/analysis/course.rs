//! Samples of many moments in their order, in little room: a day of recording has a million.

use super::column::{CHUNK, Column, Reals, unzigzag, zigzag};
use serde::ser::{Serialize, Serializer};
use std::cmp::Reverse;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

/// What holds for a while.
pub trait Timed: Copy {
    /// From when to when.
    fn time(&self) -> Range<u64>;
}

/// What a [`Course`] is made of: numbers that hold for a while.
pub trait Sample<const K: usize>: Timed {
    /// The numbers.
    fn values(&self) -> [f64; K];

    /// The sample of a time and numbers.
    fn of(time: Range<u64>, values: [f64; K]) -> Self;
}

/// Samples in the order in which they were added; each comes back as it was. Clones share them.
#[derive(Clone)]
pub struct Course<S, const K: usize> {
    chunks: Vec<Arc<Chunk<K>>>,
    last_end_ns: u64,
    of: PhantomData<S>,
}

#[derive(Clone)]
struct Chunk<const K: usize> {
    /// End of the sample before the first.
    before_ns: u64,
    /// From the end of the sample before to the start, zigzag: mostly nothing.
    gaps: Column,
    lengths: Column,
    values: [Reals; K],
}

impl<const K: usize> Chunk<K> {
    fn sample<S: Sample<K>>(&self, index: usize, last_end_ns: &mut u64) -> Option<S> {
        let start_ns = unzigzag(*last_end_ns, self.gaps.get(index)?);
        *last_end_ns = start_ns.wrapping_add(self.lengths.get(index)?);
        let values = self.values.each_ref().map(|column| column.get(index).unwrap_or(0.0));
        Some(S::of(start_ns..*last_end_ns, values))
    }
}

impl<S, const K: usize> Default for Course<S, K> {
    fn default() -> Self {
        Self { chunks: Vec::new(), last_end_ns: 0, of: PhantomData }
    }
}

impl<S, const K: usize> Course<S, K> {
    /// How many there are.
    pub fn len(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        full + self.chunks.last().map_or(0, |chunk| chunk.gaps.len())
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Number `which` of the sample at an index, without those before it.
    pub(super) fn value(&self, which: usize, index: usize) -> f64 {
        let column =
            self.chunks.get(index / CHUNK).and_then(|chunk| chunk.values.as_slice().get(which));
        column.and_then(|column| column.get(index % CHUNK)).unwrap_or(0.0)
    }

    /// How long it lasted.
    pub(super) fn length_ns(&self, index: usize) -> u64 {
        let chunk = self.chunks.get(index / CHUNK);
        chunk.and_then(|chunk| chunk.lengths.get(index % CHUNK)).unwrap_or(0)
    }
}

impl<S: Sample<K>, const K: usize> Course<S, K> {
    /// Adds one at the end.
    pub fn push(&mut self, sample: &S) {
        if self.chunks.last().is_none_or(|chunk| chunk.gaps.len() >= CHUNK) {
            self.chunks.push(Arc::new(Chunk {
                before_ns: self.last_end_ns,
                gaps: Column::default(),
                lengths: Column::default(),
                values: std::array::from_fn(|_| Reals::default()),
            }));
        }
        let time = sample.time();
        if let Some(chunk) = self.chunks.last_mut() {
            let chunk = Arc::make_mut(chunk);
            chunk.gaps.push(zigzag(self.last_end_ns, time.start));
            chunk.lengths.push(time.end.wrapping_sub(time.start));
            for (column, value) in chunk.values.iter_mut().zip(sample.values()) {
                column.push(value);
            }
        }
        self.last_end_ns = time.end;
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = S> {
        self.chunks.iter().flat_map(|chunk| {
            let mut last_end_ns = chunk.before_ns;
            (0..chunk.gaps.len()).map_while(move |index| chunk.sample(index, &mut last_end_ns))
        })
    }

    /// All of them; what was taken needs no room any more.
    pub(super) fn take(self) -> impl Iterator<Item = S> {
        self.chunks.into_iter().flat_map(|chunk| {
            let mut last_end_ns = chunk.before_ns;
            (0..chunk.gaps.len()).map_while(move |index| chunk.sample(index, &mut last_end_ns))
        })
    }

    /// Whether they ascend by their begins, the longer one first; nearly always they do.
    pub(super) fn is_in_order(&self) -> bool {
        self.iter().is_sorted_by_key(|sample| key(&sample))
    }

    /// Has them ascend.
    pub(super) fn order(&mut self) {
        if !self.is_in_order() {
            let mut list: Vec<S> = self.iter().collect();
            list.sort_by_key(key);
            *self = list.into_iter().collect();
        }
    }
}

/// What samples are ordered by: their start, the longer one first.
pub(super) fn key(sample: &impl Timed) -> (u64, Reverse<u64>) {
    let time = sample.time();
    (time.start, Reverse(time.end))
}

impl<S: Sample<K>, const K: usize> Extend<S> for Course<S, K> {
    fn extend<I: IntoIterator<Item = S>>(&mut self, samples: I) {
        for sample in samples {
            self.push(&sample);
        }
    }
}

impl<S: Sample<K>, const K: usize> FromIterator<S> for Course<S, K> {
    fn from_iter<I: IntoIterator<Item = S>>(samples: I) -> Self {
        let mut all = Self::default();
        all.extend(samples);
        all
    }
}

impl<S: Sample<K> + PartialEq, const K: usize> PartialEq for Course<S, K> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<S: Sample<K> + fmt::Debug, const K: usize> fmt::Debug for Course<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<S: Sample<K> + Serialize, const K: usize> Serialize for Course<S, K> {
    fn serialize<W: Serializer>(&self, serializer: W) -> Result<W::Ok, W::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Two(u64, u64, f64, f64);

    impl Timed for Two {
        fn time(&self) -> Range<u64> {
            self.0..self.1
        }
    }

    impl Sample<2> for Two {
        fn values(&self) -> [f64; 2] {
            [self.2, self.3]
        }

        fn of(time: Range<u64>, [a, b]: [f64; 2]) -> Self {
            Self(time.start, time.end, a, b)
        }
    }

    fn sample() -> impl Strategy<Value = Two> {
        let start = prop_oneof![0_u64..50, any::<u64>()];
        let length = prop_oneof![Just(7_u64), any::<u64>()];
        let value = || prop_oneof![Just(3.0), 0.0_f64..1e15];
        (start, length, value(), value())
            .prop_map(|(start, length, a, b)| Two(start, start.saturating_add(length), a, b))
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(list in prop::collection::vec(sample(), 0..40)) {
            let mut course: Course<Two, 2> = list.iter().copied().collect();
            prop_assert_eq!((course.len(), course.is_empty()), (list.len(), list.is_empty()));
            prop_assert_eq!(&course.iter().collect::<Vec<_>>(), &list);
            prop_assert_eq!(&course.clone().take().collect::<Vec<_>>(), &list);
            for (index, sample) in list.iter().enumerate() {
                prop_assert_eq!(course.value(1, index).to_bits(), sample.3.to_bits());
                prop_assert_eq!(course.length_ns(index), sample.1 - sample.0);
            }
            let shared = course.clone();
            course.order();
            let mut sorted = list.clone();
            sorted.sort_by_key(|s| (s.0, Reverse(s.1)));
            prop_assert_eq!(course.iter().collect::<Vec<_>>(), sorted);
            prop_assert_eq!(shared.iter().collect::<Vec<_>>(), list);
        }
    }

    #[test]
    fn chunks_follow_each_other() {
        let one =
            |i: u64| Two(i * 10, i * 10 + 9, 1.0, if i.is_multiple_of(3) { 2.0 } else { 0.1 });
        let course: Course<Two, 2> = (0..10_000).map(one).collect();
        assert_eq!((course.len(), course.chunks.len()), (10_000, 3));
        assert!(course.iter().eq((0..10_000).map(one)));
        assert_eq!((course.value(1, 9_999), course.value(1, 9_998)), (2.0, 0.1));
    }
}
