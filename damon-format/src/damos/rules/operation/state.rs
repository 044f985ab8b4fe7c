//! One scheme between two applications: what it is, what it has done, what it remembers.

use super::Outcome;
use crate::damos::kernel::{Bounds, Scheme};
use crate::damos::rules::{Account, Addresses, Filters, KernelRules, Order, Scale, Switch};
use crate::{Region, SchemeStats};

/// What a scheme has done, by the kernel's names (directory `stats`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Regions tried.
    pub nr_tried: u64,
    /// Bytes of these.
    pub sz_tried: u64,
    /// Regions to some of which the action was applied.
    pub nr_applied: u64,
    /// Bytes to which it was applied.
    pub sz_applied: u64,
    /// Bytes that passed the filters of pages.
    pub sz_ops_filter_passed: u64,
    /// Windows that used up their quota.
    pub qt_exceeds: u64,
    /// Passes that got to the last region of a target.
    pub nr_snapshots: u64,
}

impl Stats {
    /// As a record of a trace.
    pub fn record(&self, time_ns: u64, scheme: u32) -> SchemeStats {
        SchemeStats {
            time_ns,
            scheme,
            nr_tried: self.nr_tried,
            sz_tried: self.sz_tried,
            nr_applied: self.nr_applied,
            sz_applied: self.sz_applied,
            qt_exceeds: self.qt_exceeds,
            sz_ops_filter_passed: Some(self.sz_ops_filter_passed),
            nr_snapshots: Some(self.nr_snapshots),
        }
    }

    pub(super) fn count(&mut self, size: u64, outcome: Outcome) {
        self.nr_tried += 1;
        self.sz_tried = self.sz_tried.saturating_add(size);
        self.nr_applied += u64::from(outcome.applied > 0);
        self.sz_applied = self.sz_applied.saturating_add(outcome.applied);
        self.sz_ops_filter_passed = self.sz_ops_filter_passed.saturating_add(outcome.filter_passed);
    }
}

/// One scheme with everything it remembers.
#[derive(Clone, Debug)]
pub struct SchemeState {
    pub(super) scheme: Scheme,
    order: Order,
    pub(super) filters: Filters,
    pub(super) account: Account,
    pub(super) switch: Switch,
    pub(super) stats: Stats,
    pub(super) min_score: u8,
    pub(super) next_apply: u64,
}

impl SchemeState {
    pub(super) fn new(
        scheme: Scheme,
        addresses: Addresses,
        rules: KernelRules,
        scale: &Scale,
    ) -> Self {
        let mut state = Self {
            order: Order::of(scheme.action, addresses, &rules),
            filters: Filters::new(&scheme.filters, rules.filter_default, scale.granule),
            account: Account::new(scheme.quota.clone(), rules, scale),
            switch: Switch::new(scheme.watermarks),
            scheme,
            stats: Stats::default(),
            min_score: 0,
            next_apply: 0,
        };
        state.next_apply = state.interval(scale);
        state
    }

    /// Steps between two applications.
    pub(super) fn interval(&self, scale: &Scale) -> u64 {
        scale.steps(match self.scheme.apply_interval_us {
            0 => scale.aggr_us,
            us => us,
        })
    }

    /// The scheme itself.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// What it has done so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Its quota.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Its filters.
    pub fn filters(&self) -> &Filters {
        &self.filters
    }

    /// Whether watermarks let it work.
    pub fn is_on(&self) -> bool {
        self.switch.is_on()
    }

    /// Whether the scheme is applied when `passed` sampling intervals have passed since the beginning.
    pub fn is_due(&self, passed: u64) -> bool {
        passed >= self.next_apply && self.is_on()
    }

    /// The least score that is urgent enough in this window.
    pub fn min_score(&self) -> u8 {
        self.min_score
    }

    pub(super) fn pattern(&self) -> Pattern {
        let Scheme { sz, nr_accesses, age, .. } = self.scheme;
        Pattern { sz, nr_accesses, age }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.scheme.max_nr_snapshots > 0 && self.stats.nr_snapshots >= self.scheme.max_nr_snapshots
    }

    /// Whether it takes whatever matches as it is until something else happens than attempts: nothing limits it, and nothing
    /// cuts regions.
    pub(super) fn is_simple(&self) -> bool {
        self.account.is_idle()
            && self.filters.is_without_core()
            && self.scheme.max_nr_snapshots == 0
    }

    pub(super) fn wants(&self, region: &Region, scale: &Scale) -> bool {
        self.scheme.matches(region)
            && (!self.account.is_limited() || self.score(region, scale) >= self.min_score)
    }

    pub(super) fn score(&self, region: &Region, scale: &Scale) -> u8 {
        self.order.score(region, scale, &self.scheme.quota.weights)
    }
}

/// What a scheme is about.
pub(super) struct Pattern {
    sz: Bounds<u64>,
    nr_accesses: Bounds<u32>,
    age: Bounds<u32>,
}

impl Pattern {
    /// As [`Scheme::matches`]; what fails most often is asked first.
    pub(super) fn matches(&self, region: &Region) -> bool {
        self.age.contains(&region.age)
            && self.nr_accesses.contains(&region.nr_accesses)
            && self.sz.contains(&region.size())
    }
}
