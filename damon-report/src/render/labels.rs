//! Labels that do not overlap: which of them fit, and where they go.

/// A label that would like to be somewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wish {
    /// Where its middle should be, pixels from the top.
    pub(super) centre: i32,
    /// How much it matters; the heaviest are kept when there is no room for all.
    pub(super) weight: f64,
}

/// The top of each label that is shown. Labels are `height` pixels high, stay within `top..bottom`, keep
/// the order of their centres and move no further than needed.
pub(super) fn place(wishes: &[Wish], height: i32, top: i32, bottom: i32) -> Vec<Option<i32>> {
    let mut places = vec![None; wishes.len()];
    let capacity = usize::try_from((bottom - top) / height.max(1)).unwrap_or(0);
    let mut chosen: Vec<(usize, &Wish)> = wishes.iter().enumerate().collect();
    chosen.sort_by(|a, b| b.1.weight.total_cmp(&a.1.weight).then(a.0.cmp(&b.0)));
    chosen.truncate(capacity);
    chosen.sort_by_key(|(index, wish)| (wish.centre, *index));

    let mut runs: Vec<Run> = Vec::new();
    for (_, wish) in &chosen {
        let mut run = Run { count: 1, wanted: i64::from(wish.centre - height / 2) };
        while let Some(above) = runs.last() {
            if above.top(height, top, bottom) + above.length(height) <= run.top(height, top, bottom)
            {
                break;
            }
            run = above.joined(&run, height);
            runs.pop();
        }
        runs.push(run);
    }
    let mut order = chosen.iter();
    for run in &runs {
        let mut y = run.top(height, top, bottom);
        for (index, _) in order.by_ref().take(run.count) {
            if let Some(place) = places.get_mut(*index) {
                *place = i32::try_from(y).ok();
            }
            y += i64::from(height);
        }
    }
    places
}

/// Labels that touch each other and move together.
struct Run {
    count: usize,
    /// Sum over the labels of the top the whole run should have for that label's sake.
    wanted: i64,
}

impl Run {
    fn count(&self) -> i64 {
        i64::try_from(self.count).unwrap_or(i64::MAX)
    }

    fn length(&self, height: i32) -> i64 {
        self.count() * i64::from(height)
    }

    fn top(&self, height: i32, top: i32, bottom: i32) -> i64 {
        let lowest = i64::from(bottom) - self.length(height);
        (self.wanted / self.count().max(1)).clamp(i64::from(top), lowest.max(i64::from(top)))
    }

    fn joined(&self, below: &Self, height: i32) -> Self {
        Self {
            count: self.count + below.count,
            wanted: self.wanted + below.wanted - below.count() * self.length(height),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wish(centre: i32, weight: f64) -> Wish {
        Wish { centre, weight }
    }

    #[test]
    fn a_lonely_label_stays_where_it_wants_to_be() {
        assert_eq!(place(&[wish(50, 1.0)], 16, 0, 100), [Some(42)]);
    }

    #[test]
    fn neighbours_share_the_displacement() {
        let wishes = [wish(50, 1.0), wish(50, 1.0)];
        assert_eq!(place(&wishes, 16, 0, 100), [Some(34), Some(50)]);
    }

    #[test]
    fn the_heaviest_survive() {
        let wishes = [wish(10, 1.0), wish(20, 3.0), wish(30, 2.0)];
        assert_eq!(place(&wishes, 16, 0, 40), [None, Some(8), Some(24)]);
    }

    proptest! {
        #[test]
        fn never_overlap_and_never_leave(
            wishes in prop::collection::vec((0..400i32, 0.0..10.0f64), 0..60),
            height in 1..40i32,
            top in 0..50i32,
            room in 0..400i32,
        ) {
            let wishes: Vec<Wish> = wishes.into_iter().map(|(c, w)| wish(c, w)).collect();
            let bottom = top + room;
            let places = place(&wishes, height, top, bottom);
            let mut shown: Vec<(i32, i32)> = wishes
                .iter()
                .zip(&places)
                .filter_map(|(w, p)| p.map(|p| (p, w.centre)))
                .collect();
            let capacity = usize::try_from(room / height).unwrap();
            prop_assert_eq!(shown.len(), capacity.min(wishes.len()));
            shown.sort_unstable();
            for pair in shown.windows(2) {
                prop_assert!(pair[0].0 + height <= pair[1].0, "{:?}", pair);
                prop_assert!(pair[0].1 <= pair[1].1, "order {:?}", pair);
            }
            for (y, _) in shown {
                prop_assert!(y >= top && y + height <= bottom);
            }
        }
    }
}
