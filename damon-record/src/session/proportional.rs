//! Memory where what is shared counts in proportion, for who asks for it: read seldom, because the kernel visits every page.

use super::console::Console;
use super::run::Session;
use crate::exit::Failure;
use crate::host::monotonic_ns;
use crate::units::show_duration;
use damon_format::{Note, ProportionalMemory, Record};
use std::time::Duration;

/// The part of the budget that reading may take.
const SHARE: f64 = 0.25;

/// When it is read.
#[derive(Debug)]
pub(super) struct Proportional {
    interval: Duration,
    due_ns: u64,
    /// It was said that the budget makes it rarer, or that it cannot be read.
    is_said: bool,
}

impl Proportional {
    pub(super) fn new(interval: Duration, now: u64) -> Self {
        Self { interval, due_ns: now, is_said: false }
    }

    pub(super) fn due_ns(&self) -> u64 {
        self.due_ns
    }
}

/// Time between two readings of which one takes `spent`, of a budget in per cent of a core if there is one.
fn period(interval: Duration, spent: Duration, budget_percent: Option<f64>) -> Duration {
    let least = budget_percent.map(|percent| spent.mul_f64(100.0 / (percent.max(0.01) * SHARE)));
    interval.max(least.unwrap_or(Duration::ZERO))
}

impl Session<'_> {
    /// Reads it if that is due. Only between two rounds: what it takes makes an aggregation longer, but no sample.
    pub(super) fn sample_proportional(
        &mut self,
        now: u64,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Some(due) = self.proportional.as_mut().filter(|due| now >= due.due_ns) else {
            return Ok(());
        };
        let before = self.cpu.used();
        let mut error = None;
        for target in &self.targets {
            match self.proc.rollup(target.identity.pid) {
                Ok(Some(found)) => {
                    let (target, time_ns) = (target.id, monotonic_ns());
                    let (pss, swap_pss) = (found.pss, found.swap_pss);
                    let sample = ProportionalMemory { target, time_ns, pss, swap_pss };
                    self.trace.record(&Record::ProportionalMemory(sample))?;
                }
                Err(why) if self.proc.is_alive(target.identity) => error = Some(why),
                // It has ended, or is about to.
                Ok(None) | Err(_) => {}
            }
        }
        let spent = self.cpu.used().saturating_sub(before);
        let limit = self.budget.is_limited().then(|| self.budget.percent());
        let period = period(due.interval, spent, limit);
        self.meter.rare(spent, period);
        let pause = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        due.due_ns = now.saturating_add(pause);
        let text = match error {
            Some(why) => format!("proportional memory (--pss) is not known: {why}"),
            None if period > due.interval => format!(
                "reading proportional memory takes {}: done each {} instead of each {}, so that it costs at most a \
                 quarter of the budget",
                show_duration(Duration::from_micros(u64::try_from(spent.as_micros()).unwrap_or(0))),
                show_duration(Duration::from_millis(
                    u64::try_from(period.as_millis()).unwrap_or(u64::MAX)
                )),
                show_duration(due.interval),
            ),
            None => return Ok(()),
        };
        if std::mem::replace(&mut due.is_said, true) {
            return Ok(());
        }
        console.say(&text);
        self.trace.record(&Record::Note(Note { time_ns: monotonic_ns(), text }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_at_most_its_share_of_the_budget() {
        let (asked, spent) = (Duration::from_secs(10), Duration::from_millis(150));
        assert_eq!(period(asked, spent, Some(1.0)), Duration::from_secs(60));
        assert_eq!(period(asked, spent, Some(8.0)), asked);
        assert_eq!(period(asked, spent, None), asked);
        assert!(period(asked, spent, Some(0.0)) > 10 * asked);
    }
}
