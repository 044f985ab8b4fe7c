//! What watches report of their toll, until it is recorded.

use crate::backend::Toll;
use damon_format::{Lost, TargetId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two records of what was missed of one target.
const PERIOD_NS: u64 = 1_000_000_000;

/// Observations that were missed, per target.
#[derive(Debug, Default)]
pub(super) struct Missed {
    pending: BTreeMap<TargetId, Pending>,
    total: u64,
    why: &'static str,
}

#[derive(Debug, Default)]
struct Pending {
    count: u64,
    why: &'static str,
    told_ns: Option<u64>,
}

impl Missed {
    /// Takes in what a watch of `target` reported; returns what it has cost the target.
    pub(super) fn take(&mut self, target: TargetId, toll: Toll) -> Duration {
        if toll.missed > 0 {
            let pending = self.pending.entry(target).or_default();
            pending.count = pending.count.saturating_add(toll.missed);
            pending.why = toll.why;
            self.total = self.total.saturating_add(toll.missed);
            self.why = toll.why;
        }
        toll.target
    }

    /// What is to be recorded now: of each target at most once a second, or `all` there is.
    pub(super) fn due(&mut self, now_ns: u64, all: bool) -> Vec<Lost> {
        let is_due = |pending: &Pending| {
            let told = pending.told_ns.is_some_and(|told| now_ns.saturating_sub(told) < PERIOD_NS);
            pending.count > 0 && (all || !told)
        };
        let due = self.pending.iter_mut().filter(|(_, pending)| is_due(pending));
        due.map(|(&target, pending)| {
            pending.told_ns = Some(now_ns);
            Lost {
                target: Some(target),
                time_ns: now_ns,
                count: std::mem::take(&mut pending.count),
                what: format!("pages could not be observed: {}", pending.why),
            }
        })
        .collect()
    }

    /// Everything that was missed, and the reason given last.
    pub(super) fn total(&self) -> (u64, &'static str) {
        (self.total, self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TargetId = TargetId(0);
    const B: TargetId = TargetId(1);

    fn toll(missed: u64, why: &'static str) -> Toll {
        Toll { target: Duration::from_micros(missed), missed, why }
    }

    fn told(missed: &mut Missed, now_ns: u64, all: bool) -> Vec<(u32, u64, String)> {
        let due = missed.due(now_ns, all);
        due.into_iter().map(|lost| (lost.target.unwrap().0, lost.count, lost.what)).collect()
    }

    #[test]
    fn each_target_is_told_of_at_most_once_a_second_and_nothing_is_forgotten() {
        let mut missed = Missed::default();
        assert_eq!(missed.take(A, toll(3, "swapped out")), Duration::from_micros(3));
        assert_eq!(
            told(&mut missed, 10, false),
            [(0, 3, "pages could not be observed: swapped out".to_owned())]
        );
        missed.take(A, toll(4, "swapped out"));
        missed.take(B, toll(5, "locked"));
        missed.take(A, toll(1, "swapped out"));
        assert_eq!(
            told(&mut missed, PERIOD_NS, false),
            [(1, 5, "pages could not be observed: locked".to_owned())]
        );
        assert_eq!(told(&mut missed, PERIOD_NS + 10, false)[0].1, 5);
        missed.take(A, Toll::default());
        assert!(told(&mut missed, 9 * PERIOD_NS, false).is_empty());
        missed.take(B, toll(2, "locked"));
        assert_eq!(told(&mut missed, PERIOD_NS + 11, true).len(), 1);
        assert_eq!(missed.total(), (15, "locked"));
    }
}
