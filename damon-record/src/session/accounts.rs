//! The accounts of schemes, whoever applies them: only what changes is recorded.

use damon_format::{EffectiveQuota, Record, SchemeStats};
use std::collections::BTreeMap;

/// What was recorded last.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    stats: BTreeMap<u32, SchemeStats>,
    /// What was reached before the schemes were begun anew.
    before: BTreeMap<u32, SchemeStats>,
    quotas: BTreeMap<u32, u64>,
}

impl Accounts {
    /// Whoever applies the schemes counts from 0 again; what is recorded goes on.
    pub(super) fn begin_anew(&mut self) {
        self.before.clone_from(&self.stats);
    }

    /// The record of these statistics, if they are news.
    pub(super) fn stats(&mut self, stats: SchemeStats) -> Option<Record> {
        let stats = match self.before.get(&stats.scheme) {
            Some(before) => sum(before, &stats),
            None => stats,
        };
        let last = self.stats.insert(stats.scheme, stats);
        let same = last.is_some_and(|last| SchemeStats { time_ns: stats.time_ns, ..last } == stats);
        (!same).then_some(Record::SchemeStats(stats))
    }

    /// Likewise of an effective quota.
    pub(super) fn quota(&mut self, quota: EffectiveQuota) -> Option<Record> {
        let last = self.quotas.insert(quota.scheme, quota.bytes);
        (last != Some(quota.bytes)).then_some(Record::EffectiveQuota(quota))
    }
}

/// `later` counts from where `before` ends.
fn sum(before: &SchemeStats, later: &SchemeStats) -> SchemeStats {
    let add = u64::saturating_add;
    let known = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| add(a, b)).or(b);
    SchemeStats {
        time_ns: later.time_ns,
        scheme: later.scheme,
        nr_tried: add(before.nr_tried, later.nr_tried),
        sz_tried: add(before.sz_tried, later.sz_tried),
        nr_applied: add(before.nr_applied, later.nr_applied),
        sz_applied: add(before.sz_applied, later.sz_applied),
        qt_exceeds: add(before.qt_exceeds, later.qt_exceeds),
        sz_ops_filter_passed: known(before.sz_ops_filter_passed, later.sz_ops_filter_passed),
        nr_snapshots: known(before.nr_snapshots, later.nr_snapshots),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATS: SchemeStats = SchemeStats {
        time_ns: 1,
        scheme: 0,
        nr_tried: 2,
        sz_tried: 3,
        nr_applied: 4,
        sz_applied: 5,
        qt_exceeds: 6,
        sz_ops_filter_passed: None,
        nr_snapshots: None,
    };

    #[test]
    fn a_new_begin_is_no_loss() {
        let mut accounts = Accounts::default();
        let passed = |n| SchemeStats { sz_ops_filter_passed: Some(n), ..STATS };
        accounts.stats(passed(7));
        accounts.begin_anew();
        let zero = SchemeStats {
            nr_tried: 0,
            sz_tried: 0,
            nr_applied: 0,
            sz_applied: 0,
            qt_exceeds: 0,
            ..passed(0)
        };
        assert_eq!(accounts.stats(zero), None, "what was reached stays");
        for times in 2..4 {
            let sum = SchemeStats {
                nr_tried: 2 * times,
                sz_tried: 3 * times,
                nr_applied: 4 * times,
                sz_applied: 5 * times,
                qt_exceeds: 6 * times,
                ..passed(7 * times)
            };
            assert_eq!(accounts.stats(passed(7)), Some(Record::SchemeStats(sum)));
            accounts.begin_anew();
        }
    }

    #[test]
    fn only_news_are_recorded() {
        let mut accounts = Accounts::default();
        assert_eq!(accounts.stats(STATS), Some(Record::SchemeStats(STATS)));
        assert_eq!(accounts.stats(SchemeStats { time_ns: 9, ..STATS }), None);
        let other = SchemeStats { time_ns: 9, scheme: 1, ..STATS };
        assert_eq!(accounts.stats(other), Some(Record::SchemeStats(other)));
        let more = SchemeStats { time_ns: 10, nr_tried: 3, ..STATS };
        assert_eq!(accounts.stats(more), Some(Record::SchemeStats(more)));
        let quota = |time_ns, bytes| EffectiveQuota { time_ns, scheme: 0, bytes };
        assert!(accounts.quota(quota(1, 10)).is_some());
        assert!(accounts.quota(quota(2, 10)).is_none());
        assert!(accounts.quota(quota(3, 11)).is_some());
    }
}
