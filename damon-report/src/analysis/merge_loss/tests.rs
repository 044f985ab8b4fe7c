use super::*;
use proptest::prelude::*;

fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0), "{a} is not {b}");
}

fn lost(samples: u32, regions: &[(f64, u32, u32)]) -> f64 {
    let mut loss = MergeLoss::default();
    loss.reset(samples);
    for &(size, count, parts) in regions {
        loss.add(size, count, parts);
    }
    loss.total()
}

#[test]
fn binomial_chances_are_those_of_the_text_books() {
    let chances = binomial(4, 0.5);
    for (a, b) in [1.0, 4.0, 6.0, 4.0, 1.0].iter().zip(&chances) {
        near(a / 16.0, *b);
    }
    let all = |n| (0..=n).map(|count| f64::from(u8::from(count == n))).collect::<Vec<_>>();
    assert_eq!((binomial(3, 1.0), binomial(0, 0.3)), (all(3), all(0)));
    near(binomial(40, 0.999_9).iter().sum(), 1.0);
    near(binomial(20, 0.3).iter().zip(0..).map(|(p, k)| p * f64::from(k)).sum(), 6.0);
}

/// One of two samples is positive with the chance 1/2: 0, 1 or 2 with 1/4, 1/2, 1/4. What counts differ by 2 is not merged.
#[test]
fn two_parts_are_merged_as_by_hand() {
    let by_parts = merged(2, &[0.5; COLUMNS], 1);
    let pair: Vec<_> = by_parts[1].iter().map(|outcome| outcome.at(7)).collect();
    let chances: Vec<f64> = pair.iter().map(|outcome| outcome.0).collect();
    // 0 and 0, 0 and 1, 1 and 0 become 0; 1 and 1, 1 and 2, 2 and 1 become 1.
    for (a, b) in [5.0, 8.0, 1.0].iter().zip(&chances) {
        near(a / 16.0, *b);
    }
    // The sizes of both are 1 on average, in whichever order.
    near(pair[0].1, 4.0 / 16.0);
    near(pair[1].1, (2.0 * 4.0 + 3.0 * 4.0) / 16.0);
    near(pair[2].1, 4.0 / 16.0);
}

/// The kernel's arithmetic on parts of equal size, one by one.
#[test]
fn what_is_lost_is_what_merging_loses() {
    let mut seed = 5_u64;
    let mut unit = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(seed >> 32).unwrap()) / 4_294_967_296.0
    };
    let (samples, threshold, parts, rate) = (20, 2, 8, 0.3);
    let (mut sums, mut wholes, mut number) = (0.0, 0.0, 0.0);
    'trial: for _ in 0..40_000 {
        let (mut size, mut count, mut sum) = (0_u32, 0_u32, 0_u32);
        for _ in 0..parts / 2 {
            let unit_at = unit();
            let tenth =
                1 + (0..8).map(|at| u32::from(unit_at >= f64::from(at + 1) / 9.0)).sum::<u32>();
            for more in [tenth, 10 - tenth] {
                let drawn = (0..samples).map(|_| u32::from(unit() < rate)).sum::<u32>();
                if size > 0 && count.abs_diff(drawn) > threshold {
                    continue 'trial;
                }
                count = (count * size + drawn * more) / (size + more);
                size += more;
                sum += drawn * more;
            }
        }
        sums += f64::from(sum) / f64::from(size);
        wholes += f64::from(count);
        number += 1.0;
    }
    let outcomes: Vec<(f64, f64)> = merged(samples, &[rate; COLUMNS], threshold)[parts - 1]
        .iter()
        .map(|outcome| outcome.at(0))
        .collect();
    let chance: f64 = outcomes.iter().map(|outcome| outcome.0).sum();
    let mean: f64 = outcomes.iter().map(|outcome| outcome.1).sum::<f64>() / 8.0 / chance;
    let count = outcomes.iter().zip(0..).map(|(o, k)| o.0 * f64::from(k)).sum::<f64>() / chance;
    assert!(
        number > 2_000.0 && (number / 40_000.0 / chance - 1.0).abs() < 0.1,
        "{number} {chance}"
    );
    assert!((sums / number - mean).abs() < 0.1, "{} {mean}", sums / number);
    assert!((wholes / number - count).abs() < 0.1, "{} {count}", wholes / number);
    assert!(mean - count > 1.0, "{mean} {count}: more than a count of twenty is lost");
}

#[test]
fn what_was_not_merged_or_is_all_alike_has_lost_nothing() {
    near(lost(20, &[(100.0, 6, 1), (50.0, 20, 1)]), 0.0);
    near(lost(20, &[(100.0, 20, 9)]), 0.0);
    // The threshold is 0: only equal counts were merged.
    near(lost(20, &[(100.0, 5, 9), (100.0, 0, 9), (10.0, 8, 1)]), 0.0);
    near(lost(20, &[]), 0.0);
    near(lost(0, &[(1.0, 0, 2)]), 0.0);
}

#[test]
fn more_parts_lose_more_and_no_more_than_two_counts_or_so() {
    let of = |parts| lost(20, &[(20.0, 6, parts), (1.0, 20, 1)]);
    let list: Vec<f64> = [2, 3, 4, 8, 16, 32].map(of).to_vec();
    assert!(list.is_sorted(), "{list:?}");
    assert!((0.3..0.45).contains(&list[0]) && (1.5..2.5).contains(&list[5]), "{list:?}");
    near(of(32), of(1_000_000));
}

#[test]
fn what_counts_nothing_may_hide_less_the_more_of_it_there_is() {
    let rate = |number: usize, parts| {
        let mut regions = vec![(1.0, 20, 1)];
        regions.extend(vec![(1.0, 0, parts); number]);
        lost(20, &regions) / float_of(number)
    };
    let (one, ten, many) = (rate(1, 4), rate(10, 4), rate(1000, 4));
    assert!(one > ten && ten > many && many > 0.0, "{one} {ten} {many}");
    // Three of twenty are not merged with 0: about 0.02 of forty parts hide with a chance of 0.6.
    assert!((0.01..0.04).contains(&ten), "{ten}");
    near(rate(2, 32), rate(1, 64));
}

#[test]
fn more_samples_hide_less() {
    let of =
        |samples: u32| lost(samples, &[(1.0, samples * 3 / 10, 8), (1.0, 0, 8), (1.0, samples, 1)]);
    let list: Vec<f64> = [20, 40, 80, 400, 4_000, 1 << 30].map(of).to_vec();
    assert!(list.is_sorted_by(|a, b| a > b) && list.iter().all(|lost| *lost > 0.0), "{list:?}");
}

proptest! {
    #[test]
    fn nothing_makes_it_negative_or_endless(
        regions in prop::collection::vec((0.0_f64..1e19, 0..=u32::MAX, 0..=u32::MAX), 0..20),
        samples in prop_oneof![0_u32..3, 18_u32..23, 0..=u32::MAX],
    ) {
        let lost = lost(samples, &regions);
        let size: f64 = regions.iter().map(|region| region.0).sum();
        prop_assert!(lost >= 0.0 && lost <= size, "{lost}");
    }
}
