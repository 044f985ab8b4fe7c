//! Memory where what is shared counts in proportion: a time line of its own, since it is sampled more rarely.

use super::put_first;
use crate::analysis::select::Selection;
use damon_format::{ProportionalMemory, Record, TargetId};
use serde::Serialize;
use std::collections::BTreeMap;

/// What a process held at a moment, or several processes together, where a page that is shared counts once for all that
/// map it. Of several processes, those whose value was known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProportionalSample {
    /// When.
    pub time_ns: u64,
    /// Proportional set size (PSS), bytes.
    pub pss: u64,
    /// The same of what is swapped out, bytes.
    pub swap_pss: u64,
}

/// Of each target and together.
#[derive(Debug, Default)]
pub(super) struct Proportional {
    pub(super) targets: BTreeMap<TargetId, Vec<ProportionalSample>>,
    pub(super) together: Vec<ProportionalSample>,
    current: BTreeMap<TargetId, ProportionalSample>,
    /// What holds when the selected time begins.
    held: BTreeMap<TargetId, ProportionalSample>,
}

impl Proportional {
    /// Takes a record of the trace, in their order.
    pub(super) fn record(&mut self, record: &Record, selection: &Selection) {
        let time_ns = record.time_ns();
        let is_before = time_ns < selection.time.start;
        let is_asked = selection.has_record(record);
        match record {
            Record::ProportionalMemory(sample) if selection.has_target(sample.target) => {
                let ProportionalMemory { target, pss, swap_pss, .. } = *sample;
                let one = ProportionalSample { time_ns, pss, swap_pss };
                self.current.insert(target, one);
                if is_before {
                    self.held.insert(target, one);
                }
                if is_asked {
                    self.targets.entry(target).or_default().push(one);
                }
            }
            Record::TargetExited(exited) => {
                if is_before {
                    self.held.remove(&exited.target);
                }
                if self.current.remove(&exited.target).is_none() {
                    return;
                }
            }
            _ => return,
        }
        if !is_asked {
            return;
        }
        let sum = sum(time_ns, &self.current);
        match self.together.last_mut() {
            Some(last) if last.time_ns == time_ns => *last = sum,
            _ => self.together.push(sum),
        }
    }

    /// All records have come; the selected time begins at `from_ns`.
    pub(super) fn finish(mut self, from_ns: u64) -> Self {
        if !self.held.is_empty() {
            put_first(&mut self.together, sum(from_ns, &self.held), |s| s.time_ns);
        }
        for (target, one) in std::mem::take(&mut self.held) {
            let one = ProportionalSample { time_ns: from_ns, ..one };
            put_first(self.targets.entry(target).or_default(), one, |s| s.time_ns);
        }
        self
    }
}

fn sum(time_ns: u64, all: &BTreeMap<TargetId, ProportionalSample>) -> ProportionalSample {
    let none = ProportionalSample { time_ns, ..ProportionalSample::default() };
    all.values().fold(none, |sum, one| ProportionalSample {
        time_ns,
        pss: sum.pss.saturating_add(one.pss),
        swap_pss: sum.swap_pss.saturating_add(one.swap_pss),
    })
}
