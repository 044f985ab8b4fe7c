//! What a simulation tells of one variant, whoever simulated it.

use crate::analysis::num::float;
use crate::analysis::simulate::Outlook;
use crate::analysis::simulate::backing::resident_at;
use crate::analysis::simulate::engine::Ended;
use crate::analysis::simulate::feed::{Moment, byte_time};
use crate::analysis::simulate::line::WorstMinute;
use crate::analysis::wss::ResidentSample;
use damon_format::{Region, Sampling};

/// Sums of one variant.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// byte ns
    pub(super) away: Outlook,
    pub(super) away_most: Outlook,
    pub(super) away_end: Outlook,
    /// What would be left of the resident size, byte ns
    pub(super) resident: Outlook,
    pub(super) resident_floor: Option<Outlook>,
    pub(super) put_away: Outlook,
    pub(super) refaulted: Outlook,
    /// Of all schemes together.
    pub(super) nr_tried: u64,
    pub(super) sz_tried: u64,
    pub(super) qt_exceeds: u64,
    pub(super) windows: u64,
    pub(super) worst_minute: Option<WorstMinute>,
}

impl Found {
    pub(super) fn of(ended: &Ended, shared: &Shared) -> Self {
        let totals = &ended.totals;
        let mut found = Self {
            away: totals.away,
            away_most: totals.away_most,
            away_end: totals.away_end,
            resident: totals.resident_with,
            resident_floor: totals.resident_floor,
            put_away: totals.put_away,
            refaulted: totals.refaulted,
            worst_minute: ended.minutes.worst(shared.working_set()),
            ..Self::default()
        };
        for state in ended.operation.schemes() {
            let stats = state.stats();
            found.nr_tried = found.nr_tried.saturating_add(stats.nr_tried);
            found.sz_tried = found.sz_tried.saturating_add(stats.sz_tried);
            found.qt_exceeds = found.qt_exceeds.saturating_add(stats.qt_exceeds);
            found.windows = found.windows.saturating_add(state.account().windows());
        }
        found
    }
}

/// What is the same for all variants.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    pub(super) moments: u64,
    pub(super) observed_ns: u64,
    /// byte ns
    monitored: f64,
    /// byte ns
    touched: f64,
    pub(super) resident_ns: u64,
    /// byte ns
    resident: f64,
    pub(super) highest_age_us: u64,
    pub(super) last_end_ns: u64,
    /// Of the last moment.
    pub(super) sampling: Option<Sampling>,
    pub(super) without_ages: u64,
}

impl Shared {
    pub(super) fn add(&mut self, moment: &Moment<'_>, resident: &[ResidentSample]) {
        let (time, length_ns) = (moment.time(), moment.observed_ns());
        let sampling = moment.sampling();
        self.sampling = Some(sampling);
        let ages = moment.shots().flat_map(|shot| shot.regions).map(|region| region.age);
        let age_us = u64::from(ages.max().unwrap_or(0)).saturating_mul(sampling.aggr_us);
        self.highest_age_us = self.highest_age_us.max(age_us);
        let size = |sum: u64, region: &Region| sum.saturating_add(region.size());
        let monitored =
            moment.shots().map(|shot| (shot.regions.iter().fold(0, size), shot.length_ns));
        let is_touched = |region: &&Region| region.nr_accesses > 0;
        let touched = moment
            .shots()
            .map(|shot| (shot.regions.iter().filter(is_touched).fold(0, size), shot.length_ns));
        self.moments += 1;
        self.observed_ns = self.observed_ns.saturating_add(length_ns);
        self.monitored += byte_time(monitored);
        self.touched += byte_time(touched);
        self.last_end_ns = self.last_end_ns.max(time.end);
        if let Some(resident) = resident_at(resident, time.end) {
            self.resident_ns = self.resident_ns.saturating_add(length_ns);
            self.resident += resident * float(length_ns);
        }
    }

    fn time(&self) -> f64 {
        float(self.observed_ns.max(1))
    }

    /// Mean over time of what was touched in an aggregation.
    pub(super) fn working_set(&self) -> f64 {
        self.touched / self.time()
    }

    pub(super) fn monitored(&self) -> f64 {
        self.monitored / self.time()
    }

    pub(super) fn resident(&self) -> Option<f64> {
        (self.resident_ns > 0).then(|| self.resident / float(self.resident_ns))
    }

    pub(super) fn mean(&self, sum: Outlook) -> Outlook {
        sum.map(|sum| sum / self.time())
    }
}
