//! Whether the targets of a moment are on one scale.
//!
//! Access counts of different scales can be told in one another; ages cannot, since aggregations are what they count, and schemes are
//! applied once in each. One kdamond has one aggregation interval. Where it changes, a moment may hold snapshots of
//! before and of after; but no target keeps an interval that the others do not have.

use damon_format::TargetId;
use std::collections::BTreeMap;

/// Two targets with their aggregation intervals, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mixed {
    pub(super) one: (TargetId, u64),
    pub(super) other: (TargetId, u64),
}

/// Looks for targets that keep to different intervals.
#[derive(Clone, Debug, Default)]
pub(super) struct Scales {
    /// The interval that each target had in the last moment in which they differed, and in how many such moments in a row.
    kept: BTreeMap<TargetId, (u64, u32)>,
    /// What was found.
    pub(super) mixed: Option<Mixed>,
}

impl Scales {
    /// The targets of a moment, each with its aggregation interval.
    pub(super) fn moment(&mut self, targets: impl Iterator<Item = (TargetId, u64)> + Clone) {
        let mut intervals = targets.clone().map(|(_, aggr_us)| aggr_us);
        let first = intervals.next();
        if intervals.all(|aggr_us| Some(aggr_us) == first) {
            return;
        }
        let mut before: Option<(TargetId, u64)> = None;
        for (target, aggr_us) in targets {
            let kept = self.kept.entry(target).or_insert((aggr_us, 0));
            *kept =
                if kept.0 == aggr_us { (aggr_us, kept.1.saturating_add(1)) } else { (aggr_us, 1) };
            if kept.1 < 2 {
                continue;
            }
            let one = *before.get_or_insert((target, aggr_us));
            if one.1 != aggr_us {
                self.mixed = Some(Mixed { one, other: (target, aggr_us) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(moments: &[&[(u32, u64)]]) -> Option<Mixed> {
        let mut scales = Scales::default();
        for moment in moments {
            scales.moment(moment.iter().map(|(target, aggr_us)| (TargetId(*target), *aggr_us)));
        }
        scales.mixed
    }

    #[test]
    fn targets_that_keep_to_their_intervals_are_of_several_kdamonds() {
        let right = Mixed { one: (TargetId(0), 100), other: (TargetId(2), 1000) };
        let both: &[(u32, u64)] = &[(0, 100), (1, 100), (2, 1000)];
        assert_eq!(mixed(&[both, &[(0, 100)], &[(0, 100)], both]), Some(right));
        assert_eq!(mixed(&[both, &[(0, 100)]]), None, "it may be that all change");
    }

    #[test]
    fn intervals_that_change_for_all_do_not_mix() {
        // One target is told before the change, the other one behind it; and back again.
        let moments: [&[(u32, u64)]; 5] = [
            &[(0, 100), (1, 100)],
            &[(0, 100), (1, 200)],
            &[(0, 200), (1, 200)],
            &[(0, 200), (1, 400)],
            &[(0, 400), (1, 400)],
        ];
        assert_eq!(mixed(&moments), None);
    }
}
