//! Which offsets one sweep touches, and in which order: a function of (range, pattern, seed) alone,
//! so that whoever reads the truth can compute the very same offsets.

use crate::monitor::rng::split_mix;
use serde::{Deserialize, Serialize};

/// How a sweep walks through its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// Upwards.
    Sequential,
    /// Every position once, in an order that depends on the seed only.
    Random,
}

/// One sweep over `[start, end)`: positions `start, start + step, ...` below `end`, each exactly
/// once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    start: u64,
    end: u64,
    pattern: Pattern,
    seed: u64,
    step: u64,
    touches: u64,
    shuffle: Option<Shuffle>,
}

impl Sweep {
    /// A sweep; a `step` of 0 counts as 1, an inverted range as empty.
    pub fn new(start: u64, end: u64, step: u64, pattern: Pattern, seed: u64) -> Self {
        let step = step.max(1);
        let touches = end.saturating_sub(start).div_ceil(step);
        Self {
            start,
            end,
            pattern,
            seed,
            step,
            touches,
            shuffle: (pattern == Pattern::Random && touches > 1)
                .then(|| Shuffle::new(touches, seed)),
        }
    }

    /// First position.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// One past the range.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// From one position to the next.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The order.
    pub fn pattern(&self) -> Pattern {
        self.pattern
    }

    /// Decides the order if it is random.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Touches in one sweep.
    pub fn touches(&self) -> u64 {
        self.touches
    }

    /// Where touch `index` goes; `index` is below [`Self::touches`].
    #[inline]
    pub fn position(&self, index: u64) -> u64 {
        let rank = match self.shuffle {
            Some(shuffle) => shuffle.rank(index),
            None => index,
        };
        self.start + rank * self.step
    }

    /// The positions of the first `count` touches, in order.
    pub fn prefix(&self, count: u64) -> impl Iterator<Item = u64> {
        let sweep = *self;
        (0..count.min(self.touches)).map(move |index| sweep.position(index))
    }
}

/// A permutation of `0..count` in constant memory: a bijective mixer on the next power of two,
/// applied again while it leaves the domain (cycle walking, two rounds on average at most).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shuffle {
    count: u64,
    mask: u64,
    shift: u32,
    keys: [u64; 3],
}

impl Shuffle {
    fn new(count: u64, seed: u64) -> Self {
        let bits = u64::BITS - (count - 1).leading_zeros();
        let mut state = seed;
        Self {
            count,
            mask: u64::MAX >> (u64::BITS - bits),
            shift: bits.div_ceil(2),
            keys: std::array::from_fn(|_| split_mix(&mut state)),
        }
    }

    #[inline]
    fn rank(self, index: u64) -> u64 {
        let mut value = index;
        loop {
            // Adding, multiplying by an odd number and xor with a right shift of at least one bit
            // are each invertible modulo a power of two, so their composition is a permutation.
            for key in self.keys {
                value = value.wrapping_add(key) & self.mask;
                value = value.wrapping_mul(key | 1) & self.mask;
                value ^= value >> self.shift;
            }
            if value < self.count {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sequential_goes_up_by_the_step() {
        let sweep = Sweep::new(100, 131, 10, Pattern::Sequential, 1);
        assert_eq!(sweep.prefix(9).collect::<Vec<_>>(), [100, 110, 120, 130]);
    }

    #[test]
    fn random_is_neither_sequential_nor_the_same_for_two_seeds() {
        let order =
            |seed| Sweep::new(0, 4096, 1, Pattern::Random, seed).prefix(4096).collect::<Vec<_>>();
        let neighbours = order(1).windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 1).count();
        assert!(neighbours < 100, "{neighbours} of 4095 steps go next door");
        assert_ne!(order(1), order(2));
        assert_eq!(order(1), order(1));
    }

    #[test]
    fn an_empty_range_has_no_touches() {
        assert_eq!(Sweep::new(8, 8, 4, Pattern::Random, 0).touches(), 0);
        assert_eq!(Sweep::new(8, 4, 4, Pattern::Sequential, 0).touches(), 0);
    }

    proptest! {
        #[test]
        fn a_sweep_touches_each_position_exactly_once(
            start in 0_u64..1 << 40,
            len in 0_u64..3000,
            step in 1_u64..50,
            random: bool,
            seed: u64,
        ) {
            let pattern = if random { Pattern::Random } else { Pattern::Sequential };
            let sweep = Sweep::new(start, start + len, step, pattern, seed);
            let mut touched: Vec<_> = sweep.prefix(u64::MAX).collect();
            touched.sort_unstable();
            let expected: Vec<_> = (0..len).step_by(usize::try_from(step)?).map(|o| start + o).collect();
            prop_assert_eq!(touched, expected);
        }
    }
}
