//! What the machine was like, as far as it was recorded: free memory and pressure over time.

use damon_format::Record;
use damon_format::damos::kernel::{Goal, GoalMetric};
use damon_format::damos::rules::free_permil;

/// Values of a moment hold until the next one; before the first, the first.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    /// Time, free and total bytes.
    memory: Vec<(u64, u64, u64)>,
    /// Time and total stall.
    pressure: Vec<(u64, u64)>,
}

impl Series {
    pub(super) fn of(records: &[Record]) -> Self {
        let mut series = Self::default();
        for record in records {
            match record {
                Record::SystemMemory(m) => series.memory.push((m.time_ns, m.free, m.total)),
                Record::Pressure(p) => series.pressure.push((p.time_ns, p.some_us)),
                _ => {}
            }
        }
        series.memory.sort_unstable();
        series.pressure.sort_unstable();
        series
    }

    pub(super) fn has_memory(&self) -> bool {
        !self.memory.is_empty()
    }

    /// Whether the goal can be read at all.
    pub(super) fn knows(&self, goal: &Goal) -> bool {
        match goal.metric {
            GoalMetric::UserInput => true,
            GoalMetric::SomeMemPsiUs => !self.pressure.is_empty(),
            GoalMetric::NodeMemUsedBp | GoalMetric::NodeMemFreeBp => {
                goal.nid == 0 && self.has_memory()
            }
            _ => false,
        }
    }

    fn memory(&self, time_ns: u64) -> Option<(u64, u64)> {
        let behind = self.memory.partition_point(|sample| sample.0 <= time_ns);
        self.memory.get(behind.saturating_sub(1)).map(|&(_, free, total)| (free, total))
    }

    /// Free memory in per mille.
    pub(super) fn free_permil(&self, time_ns: u64) -> Option<u64> {
        self.memory(time_ns).map(|(free, total)| free_permil(free, total))
    }

    /// A goal's metric, as the rules want it.
    pub(super) fn goal(&self, goal: &Goal, time_ns: u64) -> Option<u64> {
        let bp = |part: u64, whole: u64| {
            let bp = u128::from(part) * 10_000 / u128::from(whole.max(1));
            u64::try_from(bp).unwrap_or(u64::MAX)
        };
        match goal.metric {
            GoalMetric::SomeMemPsiUs => {
                let behind = self.pressure.partition_point(|sample| sample.0 <= time_ns);
                self.pressure.get(behind.saturating_sub(1)).map(|sample| sample.1)
            }
            GoalMetric::NodeMemFreeBp if goal.nid == 0 => {
                self.memory(time_ns).map(|(free, total)| bp(free, total))
            }
            GoalMetric::NodeMemUsedBp if goal.nid == 0 => {
                self.memory(time_ns).map(|(free, total)| bp(total.saturating_sub(free), total))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::{PressureSample, SystemMemory};

    #[test]
    fn values_hold_until_the_next_one() {
        let memory = |time_ns, free| {
            Record::SystemMemory(SystemMemory {
                time_ns,
                total: 1000,
                free,
                available: free,
                swap_total: 0,
                swap_free: 0,
            })
        };
        let pressure = Record::Pressure(PressureSample { time_ns: 5, some_us: 70, full_us: 0 });
        let series = Series::of(&[memory(10, 500), memory(20, 250), pressure]);
        let free = [0, 10, 19, 20, 99].map(|time| series.free_permil(time));
        assert_eq!(free, [500, 500, 500, 250, 250].map(Some));
        let goal = |metric, nid| Goal {
            metric,
            target_value: 1,
            current_value: 0,
            nid,
            path: String::new(),
        };
        let used = goal(GoalMetric::NodeMemUsedBp, 0);
        assert_eq!(series.goal(&used, 20), Some(7_500));
        assert_eq!(series.goal(&goal(GoalMetric::SomeMemPsiUs, 0), 99), Some(70));
        assert!(series.knows(&used) && !series.knows(&goal(GoalMetric::NodeMemUsedBp, 1)));
        assert!(!series.knows(&goal(GoalMetric::ActiveMemBp, 0)));
        assert!(!Series::of(&[]).knows(&used) && Series::of(&[]).free_permil(0).is_none());
    }
}
