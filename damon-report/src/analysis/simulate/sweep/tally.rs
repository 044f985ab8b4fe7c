//! What is added up of many variants over time.

use super::found::{Found, Shared};
use super::pieces::{Three, three};
use crate::analysis::num::float;
use crate::analysis::simulate::Outlook;
use crate::analysis::simulate::line::{MINUTE_NS, WorstMinute, share};

/// Levels and sums by variant.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// byte ns
    away: Three,
    away_most: Three,
    /// byte ns
    resident: Three,
    resident_floor: Option<Three>,
    refaulted: Three,
    minutes: Minutes,
    pub(super) nr_tried: Vec<u64>,
    pub(super) sz_tried: Vec<u64>,
}

impl Tally {
    pub(super) fn new(variants: usize) -> Self {
        Self {
            away: three(variants),
            away_most: three(variants),
            resident: three(variants),
            resident_floor: None,
            refaulted: three(variants),
            minutes: Minutes::new(variants),
            nr_tried: vec![0; variants],
            sz_tried: vec![0; variants],
        }
    }

    /// So much was away for `time_ns`, with so much resident without schemes.
    pub(super) fn lasted(&mut self, away: &Three, time_ns: u64, resident: Option<f64>) {
        let time = float(time_ns);
        let sums = self.away.iter_mut().zip(&mut self.away_most).zip(away);
        for ((sums, most), away) in sums {
            for ((sum, most), away) in sums.iter_mut().zip(most).zip(away) {
                *sum += *away * time;
                *most = most.max(*away);
            }
        }
        let Some(resident) = resident else { return };
        let variants = self.nr_tried.len();
        let infinite = || std::array::from_fn(|_| vec![f64::INFINITY; variants]);
        let floor = self.resident_floor.get_or_insert_with(infinite);
        for ((sums, floor), away) in self.resident.iter_mut().zip(floor).zip(away) {
            for ((sum, floor), away) in sums.iter_mut().zip(floor).zip(away) {
                let left = (resident - *away).max(0.0);
                *sum += left * time;
                *floor = floor.min(left);
            }
        }
    }

    /// A moment begins so long after the recording did. `back` is what came back in the minute that is over.
    pub(super) fn begins(&mut self, since_begin_ns: u64, back: &mut Three) {
        let minute = since_begin_ns / MINUTE_NS;
        if minute != self.minutes.minute {
            self.close(back);
            self.minutes.minute = minute;
        }
    }

    /// So much of the minute was observed.
    pub(super) fn observed(&mut self, time_ns: u64) {
        self.minutes.observed_ns = self.minutes.observed_ns.saturating_add(time_ns);
    }

    fn close(&mut self, back: &mut Three) {
        self.minutes.close(back);
        for (sums, back) in self.refaulted.iter_mut().zip(back) {
            for (sum, back) in sums.iter_mut().zip(back) {
                *sum += std::mem::take(back);
            }
        }
    }

    /// The end. `put` and `away` are those of the end, `back` what came back in the last minute.
    pub(super) fn finish(
        mut self,
        put: &Three,
        away: &Three,
        mut back: Three,
        shared: &Shared,
    ) -> Vec<Found> {
        self.close(&mut back);
        let variants = 0..self.nr_tried.len();
        let count = |of: &[u64], variant: usize| of.get(variant).copied().unwrap_or(0);
        let found = variants.map(|variant| Found {
            away: outlook(&self.away, variant),
            away_most: outlook(&self.away_most, variant),
            // What is left of sums of thousands of numbers is not less than nothing.
            away_end: outlook(away, variant).map(|bytes| bytes.max(0.0)),
            resident: outlook(&self.resident, variant),
            resident_floor: self.resident_floor.as_ref().map(|floor| outlook(floor, variant)),
            put_away: outlook(put, variant),
            refaulted: outlook(&self.refaulted, variant),
            nr_tried: count(&self.nr_tried, variant),
            sz_tried: count(&self.sz_tried, variant),
            qt_exceeds: 0,
            windows: 0,
            worst_minute: self.minutes.worst(variant, shared.working_set()),
        });
        found.collect()
    }
}

fn outlook(of: &Three, variant: usize) -> Outlook {
    let [optimistic, expected, pessimistic] =
        [0, 1, 2].map(|reading: usize| of.get(reading).and_then(|r| r.get(variant)).copied());
    Outlook {
        optimistic: optimistic.unwrap_or(0.0),
        expected: expected.unwrap_or(0.0),
        pessimistic: pessimistic.unwrap_or(0.0),
    }
}

/// A minute and what would have come back in it, had all of it been observed.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    index: u64,
    observed_ns: u64,
    rate: Outlook,
}

/// The worst minute of each variant up to now. Only minutes of which half was observed count, or the best observed ones where there
/// is none such.
#[derive(Clone, Debug)]
struct Minutes {
    /// The present one.
    minute: u64,
    observed_ns: u64,
    /// Of the minutes that count.
    longest_ns: u64,
    worst: Vec<Option<Minute>>,
}

impl Minutes {
    fn new(variants: usize) -> Self {
        Self { minute: 0, observed_ns: 0, longest_ns: 0, worst: vec![None; variants] }
    }

    fn close(&mut self, back: &Three) {
        let observed_ns = std::mem::take(&mut self.observed_ns);
        // Half a minute is as good as all of it.
        let length = observed_ns.min(MINUTE_NS / 2);
        if length == 0 || length < self.longest_ns {
            return;
        }
        if length > self.longest_ns {
            self.longest_ns = length;
            self.worst.fill(None);
        }
        let scale = float(MINUTE_NS) / float(observed_ns);
        for (variant, worst) in self.worst.iter_mut().enumerate() {
            let rate = outlook(back, variant).map(|bytes| bytes * scale);
            if worst.is_none_or(|worst| rate.expected > worst.rate.expected) {
                *worst = Some(Minute { index: self.minute, observed_ns, rate });
            }
        }
    }

    fn worst(&self, variant: usize, working_set: f64) -> Option<WorstMinute> {
        let Minute { index, observed_ns, rate } = self.worst.get(variant).copied().flatten()?;
        let percent = rate.map(|bytes| share(bytes, working_set) * 100.0);
        Some(WorstMinute { minute: index, observed_ns, refaulted: rate, percent })
    }
}
