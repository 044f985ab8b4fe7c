//! Which variants are worth a thought: the Pareto front of saving against promotions, its knee, and the choice.

use serde::Serialize;

/// What a variant is judged by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Bytes away, mean: the more the better.
    pub(super) saving: f64,
    /// Promotion rate: the less the better.
    pub(super) promotion: f64,
}

/// Why a variant was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It saves most of those below the limit of promotions.
    MostBelowLimit,
    /// None is below the limit, and it is the knee of the front.
    Knee,
    /// None is below the limit, the front has no knee, and it promotes least.
    FewestPromotions,
}

/// Positions of the points to which no other one saves as much with fewer promotions, or more with as few; ascending in
/// both. Points that save nothing are left out, and of equal points the first one stays.
pub(super) fn front(points: &[Option<Point>]) -> Vec<usize> {
    let mut order: Vec<(usize, Point)> = points
        .iter()
        .enumerate()
        .filter_map(|(index, point)| Some((index, (*point)?)))
        .filter(|(_, point)| point.saving > 0.0)
        .collect();
    order.sort_by(|(i, a), (j, b)| {
        let by_saving = b.saving.total_cmp(&a.saving);
        by_saving.then(a.promotion.total_cmp(&b.promotion)).then(i.cmp(j))
    });
    let mut least = f64::INFINITY;
    let mut front: Vec<usize> = Vec::new();
    for (index, point) in order {
        if point.promotion < least {
            least = point.promotion;
            front.push(index);
        }
    }
    front.reverse();
    front
}

/// Where more saving begins to cost much more: with both axes scaled to 0..1 between the ends of the front, the point with
/// the greatest saving above its promotion rate (Satopää et al., "Finding a Kneedle in a Haystack", 2011, without
/// smoothing). None where the front is a straight line, is bent the other way, or has fewer than three points.
pub(super) fn knee(front: &[(usize, Point)]) -> Option<usize> {
    let [(_, first), _, .., (_, last)] = front else { return None };
    let (width, height) = (last.promotion - first.promotion, last.saving - first.saving);
    if width <= 0.0 || height <= 0.0 {
        return None;
    }
    let above = |point: &Point| {
        (point.saving - first.saving) / height - (point.promotion - first.promotion) / width
    };
    let best = front.iter().reduce(|a, b| if above(&b.1) > above(&a.1) { b } else { a })?;
    (above(&best.1) > 1e-9).then_some(best.0)
}

/// The most saving below the limit; the knee or the fewest promotions otherwise.
pub(super) fn choice(
    front: &[(usize, Point)],
    knee: Option<usize>,
    limit: f64,
) -> Option<(usize, Reason)> {
    // The front ascends in both.
    let below = front.iter().rev().find(|(_, point)| point.promotion <= limit);
    below
        .map(|(index, _)| (*index, Reason::MostBelowLimit))
        .or_else(|| knee.map(|index| (index, Reason::Knee)))
        .or_else(|| front.first().map(|(index, _)| (*index, Reason::FewestPromotions)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(saving: f64, promotion: f64) -> Point {
        Point { saving, promotion }
    }

    /// Positions, without those that are none.
    fn of(points: &[Point]) -> Vec<usize> {
        front(&points.iter().copied().map(Some).collect::<Vec<_>>())
    }

    fn on_front(points: &[Point]) -> Vec<(usize, Point)> {
        of(points).into_iter().map(|index| (index, points[index])).collect()
    }

    #[test]
    fn who_is_beaten_is_not_on_the_front() {
        let points = [
            point(10.0, 5.0),
            point(8.0, 1.0),
            point(8.0, 1.0),
            point(7.0, 2.0),
            point(10.0, 6.0),
            point(0.0, 0.0),
            point(3.0, 0.0),
        ];
        assert_eq!(of(&points), [6, 1, 0]);
        assert_eq!(front(&[None, Some(point(0.0, 0.0))]), [] as [usize; 0]);
        assert_eq!(front(&[None, Some(point(1.0, 0.0))]), [1]);
    }

    #[test]
    fn the_knee_is_where_the_curve_is_farthest_above_its_chord() {
        let curve = [point(1.0, 0.0), point(8.0, 0.1), point(9.0, 1.0), point(10.0, 10.0)];
        // Scaled: (0, 0), (0.01, 0.78), (0.1, 0.89), (1, 1): 0.77, 0.79.
        assert_eq!(knee(&on_front(&curve)), Some(2));
        let straight = [point(1.0, 1.0), point(2.0, 2.0), point(3.0, 3.0)];
        assert_eq!(knee(&on_front(&straight)), None);
        assert_eq!(knee(&on_front(&curve[..2])), None);
    }

    #[test]
    fn the_limit_decides_and_the_knee_only_above_it() {
        let curve = on_front(&[point(1.0, 0.3), point(8.0, 0.4), point(9.0, 1.0)]);
        let knee = knee(&curve);
        assert_eq!(knee, Some(1));
        assert_eq!(choice(&curve, knee, 0.5), Some((1, Reason::MostBelowLimit)));
        assert_eq!(choice(&curve, knee, 5.0), Some((2, Reason::MostBelowLimit)));
        assert_eq!(choice(&curve, knee, 0.2), Some((1, Reason::Knee)));
        assert_eq!(choice(&curve[..2], None, 0.2), Some((0, Reason::FewestPromotions)));
        assert_eq!(choice(&[], None, 0.2), None);
    }

    proptest! {
        #[test]
        fn everybody_else_is_beaten_by_somebody_on_it(
            raw in prop::collection::vec((0_u8..9, 0_u8..9), 0..20)
        ) {
            let points: Vec<_> =
                raw.iter().map(|(s, p)| point(f64::from(*s), f64::from(*p))).collect();
            let found = of(&points);
            for (index, one) in points.iter().enumerate() {
                let beaten = found.iter().filter(|at| **at != index).any(|at| {
                    let other = points[*at];
                    other.saving >= one.saving && other.promotion <= one.promotion
                });
                prop_assert!(found.contains(&index) != (beaten || one.saving == 0.0));
            }
        }
    }
}
