//! The accounts of schemes, whoever applies them: only what changes is recorded.

use damon_format::{EffectiveQuota, Record, SchemeStats};
use std::collections::BTreeMap;

/// What was recorded last.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    stats: BTreeMap<u32, SchemeStats>,
    quotas: BTreeMap<u32, u64>,
}

impl Accounts {
    /// The record of these statistics, if they are news.
    pub(super) fn stats(&mut self, stats: SchemeStats) -> Option<Record> {
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
