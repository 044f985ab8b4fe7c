//! Seeded randomness: the same seed gives the same recording in every test and on every machine.

/// xoshiro256** (Blackman and Vigna, 2018), its state filled by `SplitMix64` from one seed word.
///
/// Good enough to place samples and cuts; not for secrets.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A generator whose whole sequence follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut word = seed;
        Self { state: std::array::from_fn(|_| split_mix(&mut word)) }
    }

    /// The next 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let c = c ^ a;
        let d = d ^ b;
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// Uniform in `0 .. bound`, without modulo bias at any bound (Lemire's multiplication method);
    /// 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let (mut value, mut fraction) = widening_mul(self.next_u64(), bound);
        if fraction < bound {
            let biased = bound.wrapping_neg() % bound;
            while fraction < biased {
                (value, fraction) = widening_mul(self.next_u64(), bound);
            }
        }
        value
    }

    /// Uniform in `first ..= last`; `first` when the two are reversed.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        match last.saturating_sub(first).checked_add(1) {
            Some(count) => first + self.below(count),
            None => self.next_u64(),
        }
    }
}

/// High and low half of the 128-bit product.
#[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
fn widening_mul(a: u64, b: u64) -> (u64, u64) {
    let product = u128::from(a) * u128::from(b);
    ((product >> 64) as u64, product as u64)
}

/// The next number of the `SplitMix64` sequence (Steele, Lea and Flood, 2014).
pub(crate) fn split_mix(word: &mut u64) -> u64 {
    *word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *word;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_mix_gives_the_published_sequence() {
        let mut word = 1_234_567;
        let drawn: Vec<u64> = (0..5).map(|_| split_mix(&mut word)).collect();
        assert_eq!(
            drawn,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821
            ]
        );
    }

    #[test]
    fn xoshiro_gives_the_published_sequence() {
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let drawn: Vec<u64> = (0..4).map(|_| rng.next_u64()).collect();
        assert_eq!(drawn, [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
    }

    #[test]
    fn every_value_below_a_small_bound_is_about_equally_frequent() {
        let mut rng = Rng::new(7);
        let mut counts = [0_u32; 9];
        for _ in 0..90_000 {
            counts[usize::try_from(rng.between(1, 9) - 1).unwrap()] += 1;
        }
        assert!(counts.iter().all(|&n| (9_600..=10_400).contains(&n)), "{counts:?}");
    }

    #[test]
    fn a_bound_above_four_gib_is_covered_to_its_end() {
        let mut rng = Rng::new(7);
        let bound = 3 << 33;
        let upper = (0..1000).filter(|_| rng.below(bound) >= bound / 2).count();
        assert!((420..=580).contains(&upper), "{upper}");
    }

    #[test]
    fn extreme_bounds_stay_inside() {
        let mut rng = Rng::new(7);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
        assert_eq!(rng.between(5, 4), 5);
        for _ in 0..1000 {
            assert!(rng.below(u64::MAX) < u64::MAX);
            assert!(rng.below((1 << 63) + 1) <= 1 << 63);
        }
        let whole: u64 = (0..1000).fold(0, |bits, _| bits | rng.between(0, u64::MAX));
        assert_eq!(whole, u64::MAX);
    }
}
