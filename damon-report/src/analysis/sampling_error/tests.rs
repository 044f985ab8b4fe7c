use super::*;
use proptest::prelude::*;

/// Deterministic draws: `SplitMix64`.
struct Draws(u64);

impl Draws {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((bits ^ (bits >> 31)) >> 32).unwrap();
        f64::from(high) / 4_294_967_296.0
    }

    fn binomial(&mut self, n: u32, p: f64) -> u32 {
        (0..n).map(|_| u32::from(self.unit() < p)).sum()
    }
}

/// Shares of 4,000 windows in which the truth was below, inside and above the interval; `regions` have
/// size and rate.
fn coverage(regions: &[(f64, f64)], n: u32, seed: u64) -> [f64; 3] {
    let truth: f64 = regions.iter().map(|(size, rate)| size * rate).sum();
    let mut draws = Draws(seed);
    let mut sum = RateSum::new(n);
    let mut found = [0.0; 3];
    for _ in 0..4000 {
        sum.reset(n);
        for &(size, rate) in regions {
            sum.add(size, draws.binomial(n, rate), 1.0);
        }
        let Interval { low, high, .. } = sum.total();
        let slack = 1e-9 * truth;
        found[usize::from(truth >= low - slack) + usize::from(truth > high + slack)] +=
            1.0 / 4000.0;
    }
    found
}

/// Sizes from 1 to 10, `rate` for all.
fn uneven(count: u32, rate: f64) -> Vec<(f64, f64)> {
    (0..count).map(|i| (f64::from(1 + i * 7 % 10), rate)).collect()
}

fn assert_near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-7 * a.abs().max(b.abs()).max(1.0), "{a} is not {b}");
}

#[test]
fn agrees_with_published_values() {
    let close = |a: f64, b: f64| (a - b).abs() < 5e-4;
    let (low, high) = wilson(0, 20);
    assert!(low == 0.0 && close(high, 0.1611), "{low} {high}");
    let (low, high) = wilson(10, 20);
    assert!(close(low, 0.2993) && close(high, 0.7007), "{low} {high}");
    assert!(wilson(21, 20).1 <= 1.0);
}

#[test]
fn the_interval_of_one_region_is_wilsons_of_a_sample_less() {
    for k in 0..=20 {
        let mut sum = RateSum::new(20);
        sum.add(1000.0, k, 1.0);
        let found = sum.total();
        // Wilson's formula, with 19 samples at the rate of k in 20.
        let (n, p) = (19.0, f64::from(k) / 20.0);
        let centre = (p + Z2 / (2.0 * n)) / (1.0 + Z2 / n);
        let half = Z / (1.0 + Z2 / n) * (p * (1.0 - p) / n + Z2 / (4.0 * n * n)).sqrt();
        assert_near(found.low, 1000.0 * (centre - half).max(0.0));
        assert_near(found.high, 1000.0 * (centre + half).min(1.0));
    }
}

#[test]
fn independent_regions_do_not_add_up_their_worst_cases() {
    let mut sum = RateSum::new(20);
    for _ in 0..100 {
        sum.add(10.0, 10, 1.0);
    }
    let found = sum.total();
    // 1.96 · √(100 · 10² · ¼ / 19) = 22.5, a little less at a distance.
    assert_near(found.estimate, 500.0);
    assert!((22.3..22.5).contains(&(found.high - 500.0)), "{found:?}");
    assert_near(found.high - 500.0, 500.0 - found.low);
    sum.reset(20);
    assert_eq!(sum.total(), Interval::default());
}

#[test]
fn regions_that_count_nothing_are_as_uncertain_as_the_largest_of_them() {
    let high = |sizes: &[f64]| {
        let mut sum = RateSum::new(20);
        for size in sizes {
            sum.add(*size, 0, 1.0);
        }
        let total = sum.total();
        assert_eq!((total.estimate, total.low), (0.0, 0.0));
        total.high
    };
    let one = high(&[100.0]);
    assert!((16.0..17.5).contains(&one), "{one}");
    assert_near(high(&[100.0, 1.0, 1.0, 1.0]), one);
    // More of them than one may hide accesses, but not each of them as much as it could alone.
    let ten = high(&[100.0; 10]);
    assert!(one < ten && ten < 1.2 * one, "{ten}");
}

#[test]
fn a_region_of_several_parts_is_surer() {
    let width = |parts| {
        let mut sum = RateSum::new(20);
        sum.add(1000.0, 6, parts);
        sum.total().high - sum.total().low
    };
    let narrower = width(4.0) / width(1.0);
    assert!((0.48..0.56).contains(&narrower), "{narrower}");
    assert_near(width(0.5), width(1.0));
    // However many parts: the count is rounded, by up to a half, 0.29 on average.
    let rounding = 2.0 * Z * 1000.0 / 20.0 / 12.0_f64.sqrt();
    assert!(width(1e9) > 0.95 * rounding, "{}", width(1e9));
}

#[test]
fn intervals_cover_sums_of_rates_in_between() {
    for (regions, n) in [
        (uneven(30, 0.3), 20),
        (uneven(30, 0.06), 20),
        (uneven(30, 0.9), 20),
        (uneven(60, 0.3), 5),
        (uneven(200, 0.3), 2),
        ([uneven(15, 0.16), uneven(5, 1.0), uneven(12, 0.0)].concat(), 20),
    ] {
        let [below, inside, above] = coverage(&regions, n, 7);
        assert!((0.93..0.975).contains(&inside), "n {n}: {below} {inside} {above}");
        assert!(below < 0.045 && above < 0.045, "n {n}: {below} {inside} {above}");
    }
}

#[test]
fn intervals_cover_sums_of_few_accesses() {
    // Some accesses in a window: the working set is dominated by which regions happen to show any.
    for (regions, n) in [
        (uneven(25, 0.01), 20),
        (uneven(10, 0.02), 20),
        ([vec![(100.0, 0.02)], uneven(20, 0.02)].concat(), 20),
        ([vec![(100.0, 0.98)], uneven(20, 0.0)].concat(), 20),
        (uneven(40, 0.3), 1),
    ] {
        let [below, inside, above] = coverage(&regions, n, 11);
        assert!((0.93..0.9999).contains(&inside), "n {n}: {below} {inside} {above}");
    }
}

#[test]
fn without_spread_the_truth_is_always_inside() {
    let regions = [uneven(10, 0.0), uneven(5, 1.0)].concat();
    let [below, inside, above] = coverage(&regions, 20, 1);
    assert_near(inside, 1.0);
    assert_near(below + above, 0.0);
}

#[test]
fn intervals_of_targets_add_up_like_their_regions() {
    let one = Interval { estimate: 100.0, low: 80.0, high: 150.0 };
    let same = add_up(&[one]);
    assert_near(same.low, one.low);
    assert_near(same.high, one.high);
    assert_eq!(add_up(&[]), Interval::default());
    let with_known = add_up(&[one, Interval::exact(1000.0)]);
    assert_near(with_known.low, 1080.0);
    assert_near(with_known.high, 1150.0);

    // Forty processes with a few accesses each: as one, and one by one.
    let mut draws = Draws(3);
    let (mut joined, mut sum) = (Vec::new(), RateSum::new(20));
    for _ in 0..40 {
        let mut alone = RateSum::new(20);
        for size in 1..=10 {
            let k = draws.binomial(20, 0.02);
            alone.add(f64::from(size), k, 1.0);
            sum.add(f64::from(size), k, 1.0);
        }
        joined.push(alone.total());
    }
    let (joined, all) = (add_up(&joined), sum.total());
    assert_near(joined.estimate, all.estimate);
    let below = (joined.estimate - joined.low) / (all.estimate - all.low);
    let above = (joined.high - joined.estimate) / (all.high - all.estimate);
    assert!((0.95..1.05).contains(&below) && (0.95..1.05).contains(&above), "{below} {above}");
}

/// How unlikely `sum` makes the most likely rates that have it: the score test, found by bisection of the rates'
/// own equation instead of the closed form.
fn score(regions: &[(f64, u32)], n: f64, target: f64) -> f64 {
    let samples = n - 1.0;
    let rate = |size: f64, k: u32, lambda: f64| {
        let observed = f64::from(k) / n;
        let (mut low, mut high) = (0.0_f64, 1.0_f64);
        for _ in 0..200 {
            let p = f64::midpoint(low, high);
            let slope = samples * (observed - p) + lambda * size * p * (1.0 - p);
            if slope > 0.0 { low = p } else { high = p }
        }
        f64::midpoint(low, high)
    };
    let total = |lambda: f64| regions.iter().map(|(s, k)| s * rate(*s, *k, lambda)).sum::<f64>();
    let (mut low, mut high) = (-1e6, 1e6);
    for _ in 0..200 {
        let lambda = f64::midpoint(low, high);
        if total(lambda) < target { low = lambda } else { high = lambda }
    }
    let variance: f64 = regions
        .iter()
        .map(|(size, k)| {
            let p = rate(*size, *k, low);
            size * size * p * (1.0 - p) / samples
        })
        .sum();
    let estimate: f64 = regions.iter().map(|(size, k)| size * f64::from(*k) / n).sum();
    (estimate - target).powi(2) / variance
}

proptest! {
    #[test]
    fn the_ends_are_where_the_score_test_says_so(
        regions in prop::collection::vec((1.0_f64..1000.0, 0_u32..=20), 1..12)
    ) {
        let mut sum = RateSum::new(20);
        for (size, k) in &regions {
            sum.add(*size, *k, 1.0);
        }
        let found = sum.total();
        let whole: f64 = regions.iter().map(|(size, _)| size).sum();
        prop_assert!(0.0 <= found.low && found.low <= found.estimate);
        prop_assert!(found.estimate <= found.high && found.high <= whole * (1.0 + 1e-9));
        if regions.iter().any(|(_, k)| *k > 0) {
            prop_assert!((score(&regions, 20.0, found.low) / Z2 - 1.0).abs() < 1e-3);
        } else {
            prop_assert!(found.low <= 0.0);
        }
        if regions.iter().any(|(_, k)| *k < 20) {
            prop_assert!((score(&regions, 20.0, found.high) / Z2 - 1.0).abs() < 1e-3);
        } else {
            prop_assert!((found.high / whole - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn extreme_sizes_and_counts_give_ordered_ends(
        regions in prop::collection::vec((0_u64..=u64::MAX, 0..=u32::MAX, 0.0_f64..1e12), 0..20),
        n in prop_oneof![0_u32..3, 0..=u32::MAX],
    ) {
        let mut sum = RateSum::new(n);
        for (size, k, parts) in regions {
            sum.add(crate::analysis::num::float(size), k, parts);
        }
        let found = sum.total();
        prop_assert!(0.0 <= found.low && found.low <= found.estimate && found.estimate <= found.high, "{found:?}");
        prop_assert!(found.high.is_finite(), "{found:?}");
    }
}

proptest! {
    #[test]
    fn parts_are_solved_side_by_side_as_they_are_alone(
        parts in prop::array::uniform4((1e-3_f64..1e30, -1e12_f64..1e12, 0.0_f64..1.0)),
        lambda in 1e-12_f64..1e3,
        up: bool,
    ) {
        let side = if up { 1.0 } else { -1.0 };
        let (variance, slope, curvature) = (parts.map(|p| p.0), parts.map(|p| p.1), parts.map(|p| p.2));
        let (distances, changes) = solve(lambda, side, &variance, &slope, &curvature);
        for ((part, distance), change) in parts.into_iter().zip(distances).zip(changes) {
            let (variance, slope, curvature) = part;
            let ease = 1.0 - lambda * side * slope;
            let bend = 2.0 * curvature * lambda;
            let root = (ease * ease + 2.0 * bend * lambda * variance).sqrt();
            let sum = root + ease.abs();
            let plain = if ease >= 0.0 { 2.0 * lambda * variance / sum } else { sum / bend };
            prop_assert_eq!(distance.to_bits(), plain.to_bits());
            prop_assert_eq!(change.to_bits(), (plain / root).to_bits());
            let ([alone], [_]) = solve(lambda, side, &[variance], &[slope], &[curvature]);
            prop_assert_eq!(alone.to_bits(), plain.to_bits());
        }
    }
}
