//! Memory where what is shared counts in proportion, for who asks for it: read seldom, because the kernel visits every page.

use super::console::Console;
use super::run::Session;
use crate::exit::Failure;
use crate::host::monotonic_ns;
use crate::proc::ProcError;
use crate::units::show_duration;
use damon_format::{Note, ProportionalMemory, Record, TargetId};
use std::time::Duration;

/// The part of the budget that reading may take.
const SHARE: f64 = 0.25;

/// When it is read.
#[derive(Debug)]
pub(super) struct Proportional {
    interval: Duration,
    due_ns: u64,
    /// The reading that is going on.
    reading: Option<Reading>,
    /// It was said that it cannot be read …
    unknown_is_said: bool,
    /// … or that the budget makes it rarer.
    rarer_is_said: bool,
}

/// Of all targets, one after the other.
#[derive(Debug)]
struct Reading {
    since_ns: u64,
    /// Those from this one on are still to be read.
    next: TargetId,
    /// Those from this one on have come meanwhile, and wait for the next reading.
    end: TargetId,
    spent: Duration,
}

impl Proportional {
    pub(super) fn new(interval: Duration, now: u64) -> Self {
        Self { interval, due_ns: now, reading: None, unknown_is_said: false, rarer_is_said: false }
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
    /// Reads it of one target if that is due: with large ones a target takes long enough. In a sampled session that is
    /// between two rounds, so that it makes an aggregation longer, but no sample. An exact look, and what the
    /// kernel's DAMON has to tell, waits meanwhile.
    pub(super) fn sample_proportional(
        &mut self,
        now: u64,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Some(due) = self.proportional.as_mut().filter(|due| now >= due.due_ns) else {
            return Ok(());
        };
        let Reading { since_ns, next, end, mut spent } = due.reading.take().unwrap_or(Reading {
            since_ns: now,
            next: TargetId(0),
            end: TargetId(self.next_id),
            spent: Duration::ZERO,
        });
        let left = self.targets.iter().filter(|target| (next..end).contains(&target.id));
        let Some(target) = left.min_by_key(|target| target.id) else {
            return self.all_are_read(since_ns, spent, console);
        };
        let before = self.cpu.used();
        let found = self.proc.rollup(target.identity.pid);
        let cost = self.cpu.used().saturating_sub(before);
        self.meter.one_off(cost);
        spent = spent.saturating_add(cost);
        let next = TargetId(target.id.0.saturating_add(1));
        due.reading = Some(Reading { since_ns, next, end, spent });
        match found {
            Ok(Some(found)) => {
                let (target, time_ns) = (target.id, monotonic_ns());
                let (pss, swap_pss) = (found.pss, found.swap_pss);
                let sample = ProportionalMemory { target, time_ns, pss, swap_pss };
                self.trace.record(&Record::ProportionalMemory(sample))
            }
            // It has ended, or is about to: one that was large may still be said to run for a while.
            Ok(None) | Err(ProcError::Gone { .. }) => Ok(()),
            Err(why) if self.proc.is_alive(target.identity) => {
                if std::mem::replace(&mut due.unknown_is_said, true) {
                    return Ok(());
                }
                self.say_proportional(
                    format!("proportional memory (--pss) is not known: {why}"),
                    console,
                )
            }
            Err(_) => Ok(()),
        }
    }

    /// When it is read again.
    fn all_are_read(
        &mut self,
        since_ns: u64,
        spent: Duration,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Some(due) = self.proportional.as_mut() else { return Ok(()) };
        let limit = self.budget.is_limited().then(|| self.budget.percent());
        let period = period(due.interval, spent, limit);
        self.meter.rare(spent, period);
        let pause = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        due.due_ns = since_ns.saturating_add(pause);
        if period <= due.interval || std::mem::replace(&mut due.rarer_is_said, true) {
            return Ok(());
        }
        let text = format!(
            "reading proportional memory takes {}: done each {} instead of each {}, so that it costs at most a \
             quarter of the budget",
            show_duration(Duration::from_micros(u64::try_from(spent.as_micros()).unwrap_or(0))),
            show_duration(Duration::from_millis(
                u64::try_from(period.as_millis()).unwrap_or(u64::MAX)
            )),
            show_duration(due.interval),
        );
        self.say_proportional(text, console)
    }

    fn say_proportional(&mut self, text: String, console: &mut Console) -> Result<(), Failure> {
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
