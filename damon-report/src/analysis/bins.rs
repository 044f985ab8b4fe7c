//! Where the bins of a histogram begin and end: round values, few enough.

use serde::Serialize;

/// What a value is, which decides what is round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A part of one.
    Share,
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// Without a unit.
    Number,
}

/// How wide the bins are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BinScale {
    /// All the same.
    Linear,
    /// Each about a certain factor wider than the one nearer to zero.
    Log,
}

/// The values that have to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extent {
    /// Least and greatest of those above zero.
    above: Option<(f64, f64)>,
    /// Least and greatest distance to zero of those below.
    below: Option<(f64, f64)>,
}

fn hull(a: Option<(f64, f64)>, b: Option<(f64, f64)>) -> Option<(f64, f64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

impl Extent {
    /// Adds a value; zero fits anyhow.
    pub fn add(&mut self, value: f64) {
        if value > 0.0 {
            self.above = hull(self.above, Some((value, value)));
        } else if value < 0.0 {
            self.below = hull(self.below, Some((-value, -value)));
        }
    }

    /// Adds all values of another one.
    pub fn merge(&mut self, other: Self) {
        self.above = hull(self.above, other.above);
        self.below = hull(self.below, other.below);
    }
}

/// Ascending edges of at most `most` bins that hold all values but zero: each bin holds what is above its lower edge, and its
/// upper edge. Linear shares are `most` bins from 0 to 1 exactly.
pub fn edges(unit: Unit, scale: BinScale, extent: &Extent, most: usize) -> Vec<f64> {
    let most = most.max(1);
    if (unit, scale) == (Unit::Share, BinScale::Linear) {
        let parts = f64::from(u32::try_from(most).unwrap_or(u32::MAX));
        return (0..=u32::try_from(most).unwrap_or(u32::MAX))
            .map(|i| f64::from(i) / parts)
            .collect();
    }
    match (scale, extent.below, extent.above) {
        (_, None, None) => Vec::new(),
        (BinScale::Linear, below, above) => {
            let least = below.map_or(0.0, |(_, farthest)| -farthest);
            linear(unit, least, above.map_or(0.0, |(_, farthest)| farthest), most)
        }
        (BinScale::Log, None, Some(above)) => side(unit, above, most, Side::Above),
        (BinScale::Log, Some(below), None) => mirrored(&side(unit, below, most, Side::Below)),
        (BinScale::Log, Some(below), Some(above)) => {
            let room = (most / 2).max(1);
            let below = side(unit, below, room, Side::Below);
            let above = side(unit, above, room, Side::Above);
            // No hole around zero.
            let mut edges = mirrored(below.get(1..).unwrap_or_default());
            edges.push(0.0);
            edges.extend(above.iter().skip(1));
            edges
        }
    }
}

/// Edges of one width from a value up to zero at most to one from zero on.
fn linear(unit: Unit, least: f64, greatest: f64, most: usize) -> Vec<f64> {
    // Values on both sides of zero need a bin on each.
    let needed = if least < 0.0 && greatest > 0.0 { 2 } else { 1 };
    let most = super::num::float_of(most.max(needed));
    let counts = |step: f64| (multiple_below(least, step), (greatest / step).ceil());
    let fits = |step: &f64| {
        let (first, last) = counts(*step);
        last - first <= most
    };
    let steps = ladder(unit);
    let Some(step) = steps.iter().copied().find(fits).or(steps.last().copied()) else {
        return Vec::new();
    };
    let (first, last) = counts(step);
    let mut edges = Vec::new();
    let mut at = first;
    while at <= last && super::num::float_of(edges.len()) <= most {
        edges.push(at * step);
        at += 1.0;
    }
    edges
}

/// The greatest multiple of `step` below a negative value; 0 of zero.
fn multiple_below(value: f64, step: f64) -> f64 {
    if value >= 0.0 {
        return 0.0;
    }
    let floor = (value / step).floor();
    if floor * step < value { floor } else { floor - 1.0 }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Distances to zero of values above it: the outer edge of a bin is included.
    Above,
    /// Distances to zero of values below it: the inner edge is included.
    Below,
}

/// Edges of at most `most` bins on one side of zero, as distances to it, ascending.
fn side(unit: Unit, (nearest, farthest): (f64, f64), most: usize, side: Side) -> Vec<f64> {
    let mut steps = vec![0.0];
    steps.extend(ladder(unit));
    let inside = |distance: f64| match side {
        Side::Above => steps.partition_point(|step| *step < distance),
        Side::Below => steps.partition_point(|step| *step <= distance),
    };
    let first = inside(nearest).saturating_sub(1);
    let last = inside(farthest).min(steps.len().saturating_sub(1));
    let stride = last.saturating_sub(first).div_ceil(most).max(1);
    // From the outside to zero, so that the innermost bin takes what does not divide.
    let mut edges: Vec<f64> = Vec::new();
    let mut at = last;
    loop {
        edges.extend(steps.get(at));
        if at <= first {
            break;
        }
        at = at.saturating_sub(stride);
    }
    edges.reverse();
    edges
}

/// Distances below zero as values, ascending.
fn mirrored(distances: &[f64]) -> Vec<f64> {
    distances.iter().rev().map(|distance| 0.0 - distance).collect()
}

/// Round values above zero, ascending, each about twice the one before.
fn ladder(unit: Unit) -> Vec<f64> {
    match unit {
        Unit::Bytes => std::iter::successors(Some(1.0), |v| Some(v * 2.0)).take(65).collect(),
        Unit::Nanoseconds => {
            const MIN: f64 = 60e9;
            const HOUR: f64 = 3600e9;
            const DAY: f64 = 86_400e9;
            let below_a_minute = decades(1.0, 11).filter(|ns| *ns < MIN / 2.0);
            let of_minutes = [1.0, 2.0, 5.0, 10.0, 20.0].map(|n| n * MIN);
            let of_hours = [1.0, 2.0, 5.0, 10.0].map(|n| n * HOUR);
            below_a_minute.chain(of_minutes).chain(of_hours).chain(decades(DAY, 9)).collect()
        }
        Unit::Share => {
            let parts = [1e5, 1e4, 1e3, 1e2, 1e1];
            let mut steps: Vec<f64> =
                parts.iter().flat_map(|part| [1.0, 2.0, 5.0].map(|n| n / part)).collect();
            steps.push(1.0);
            steps
        }
        Unit::Number => {
            let small = (1..=12).rev().map(decade);
            let small = small.flat_map(|unit| [1.0, 2.0, 5.0].map(|n| n / unit));
            small.chain(decades(1.0, 40)).collect()
        }
    }
}

/// 1, 2, 5, 10 … times `unit`.
fn decades(unit: f64, count: i32) -> impl Iterator<Item = f64> {
    (0..count).flat_map(move |n| [1.0, 2.0, 5.0].map(|digit| digit * decade(n) * unit))
}

/// 10ⁿ, by multiplication: the same on every machine.
fn decade(n: i32) -> f64 {
    (0..n).fold(1.0, |product, _| product * 10.0)
}

/// Which bin a value belongs to; what lies outside belongs to the first or the last one.
pub fn bin_of(edges: &[f64], value: f64) -> usize {
    let last = edges.len().saturating_sub(2);
    edges.partition_point(|edge| *edge < value).saturating_sub(1).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNITS: [Unit; 4] = [Unit::Share, Unit::Nanoseconds, Unit::Bytes, Unit::Number];

    fn extent(values: &[f64]) -> Extent {
        let mut extent = Extent::default();
        for value in values {
            extent.add(*value);
        }
        extent
    }

    #[test]
    fn ladders_ascend_by_about_two() {
        for unit in UNITS {
            let steps = ladder(unit);
            for pair in steps.windows(2) {
                let factor = pair[1] / pair[0];
                assert!((1.9..3.1).contains(&factor), "{unit:?}: {pair:?}");
            }
            assert!(steps.last() >= Some(&1.0));
        }
    }

    #[test]
    fn edges_are_round() {
        let of = |unit, scale, values: &[f64], most| edges(unit, scale, &extent(values), most);
        assert_eq!(of(Unit::Share, BinScale::Linear, &[], 4), [0.0, 0.25, 0.5, 0.75, 1.0]);
        let ages = [0.0, 1e8, 7e8];
        let of_ages = of(Unit::Nanoseconds, BinScale::Log, &ages, 20);
        assert_eq!(of_ages, [5e7, 1e8, 2e8, 5e8, 1e9]);
        let of_ages = of(Unit::Nanoseconds, BinScale::Linear, &ages, 4);
        assert_eq!(of_ages, [0.0, 2e8, 4e8, 6e8, 8e8]);
        let sizes = of(Unit::Bytes, BinScale::Log, &[4096.0, 10_000.0], 20);
        assert_eq!(sizes, [2048.0, 4096.0, 8192.0, 16384.0]);
        let warm = of(Unit::Nanoseconds, BinScale::Log, &[-3e8, 1e8], 20);
        assert_eq!(warm, [-5e8, 0.0, 1e8]);
        let warm = of(Unit::Nanoseconds, BinScale::Log, &[-3e8, -1e8, 2e6, 1e7], 20);
        assert_eq!(warm, [-5e8, -2e8, 0.0, 2e6, 5e6, 1e7]);
        let cold = of(Unit::Nanoseconds, BinScale::Log, &[-3e8, -1e8], 20);
        assert_eq!(cold, [-5e8, -2e8, -1e8]);
        assert!(of(Unit::Nanoseconds, BinScale::Log, &[0.0], 20).is_empty());
        assert!(of(Unit::Bytes, BinScale::Linear, &[], 20).is_empty());
    }

    proptest! {
        #[test]
        fn every_value_but_zero_is_between_the_edges_of_its_bin(
            values in prop::collection::vec(-1e13_f64..1e13, 1..20),
            scaled in 0_u32..13,
            positive: bool,
            most in 1_usize..60,
            unit in prop::sample::select(&UNITS[1..]),
            scale in prop::sample::select(&[BinScale::Linear, BinScale::Log][..]),
        ) {
            let down = decade(i32::try_from(scaled).unwrap());
            let values: Vec<f64> = values
                .iter()
                .map(|value| if positive { value.abs() / down } else { value / down })
                .filter(|value| unit != Unit::Bytes || value.abs() > 2.0)
                .filter(|value| unit != Unit::Nanoseconds || value.abs() > 2.0)
                .collect();
            let edges = edges(unit, scale, &extent(&values), most);
            prop_assert!(edges.is_sorted_by(|a, b| a < b), "{edges:?}");
            // Values on both sides of zero need a bin on each.
            prop_assert!(edges.len() <= most.max(2) + 1, "{edges:?}");
            for value in &values {
                let bin = bin_of(&edges, *value);
                prop_assert!(edges[bin] < *value && *value <= edges[bin + 1], "{value} {edges:?}");
            }
        }
    }
}
