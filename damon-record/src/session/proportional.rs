//! Memory where what is shared counts in proportion, for whoever asks for it: read seldom, because the kernel visits every
//! page, and by a thread of its own.

mod reader;

use super::console::Console;
use super::run::Session;
use crate::exit::Failure;
use crate::host::monotonic_ns;
use crate::proc::ProcError;
use crate::units::show_duration;
use damon_format::{Note, ProportionalMemory, Record};
use reader::{Answer, Reader};
use std::time::Duration;

/// The part of the budget that reading may take.
const SHARE: f64 = 0.25;
/// While targets are read, it is asked this often what has come.
const POLL_NS: u64 = 100_000_000;

/// When it is read.
#[derive(Debug)]
pub(super) struct Proportional {
    interval: Duration,
    reader: Reader,
    /// When the next reading is due, or the next look at what has come of it.
    due_ns: u64,
    /// The reading that is going on, of all targets one after the other.
    reading: Option<Reading>,
    /// No value has an earlier time.
    latest_ns: u64,
    /// It was said that it cannot be read …
    unknown_is_said: bool,
    /// … or that the budget makes it rarer.
    rarer_is_said: bool,
}

#[derive(Debug)]
struct Reading {
    since_ns: u64,
    /// CPU time.
    spent: Duration,
}

impl Proportional {
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
    /// Makes ready to read it, if that was asked for.
    pub(super) fn begin_proportional(&mut self, console: &mut Console) -> Result<(), Failure> {
        let Some(interval) = self.plan.pss else { return Ok(()) };
        match Reader::start(self.proc.clone()) {
            Ok(reader) => {
                let now = monotonic_ns();
                self.proportional = Some(Proportional {
                    interval,
                    reader,
                    due_ns: now,
                    reading: None,
                    latest_ns: now,
                    unknown_is_said: false,
                    rarer_is_said: false,
                });
                Ok(())
            }
            Err(error) => {
                let text = format!(
                    "proportional memory (--pss) is not recorded: no thread can be started to read it: {error}"
                );
                self.say_proportional(text, console)
            }
        }
    }

    /// Begins to read it if that is due, and records what has come of it.
    pub(super) fn sample_proportional(
        &mut self,
        now: u64,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Some(due) = self.proportional.as_mut().filter(|due| now >= due.due_ns) else {
            return Ok(());
        };
        due.due_ns = now.saturating_add(POLL_NS);
        if due.reading.is_none() {
            if self.targets.is_empty() {
                // Whoever comes first is read at once.
                return Ok(());
            }
            due.reading = Some(Reading { since_ns: now, spent: Duration::ZERO });
            self.targets.iter().for_each(|target| due.reader.ask(target.id, target.identity));
        }
        self.take_proportional(console)?;
        let Some(due) = self.proportional.as_mut().filter(|due| !due.reader.is_reading()) else {
            return Ok(());
        };
        match due.reading.take() {
            Some(Reading { since_ns, spent }) => self.all_are_read(since_ns, spent, console),
            None => Ok(()),
        }
    }

    /// Records the values that have come. That of a target that is gone is for nobody.
    pub(super) fn take_proportional(&mut self, console: &mut Console) -> Result<(), Failure> {
        while let Some(due) = &mut self.proportional
            && let Some(answer) = due.reader.answer()
        {
            let Answer { target, time_ns, spent, found } = answer;
            if let Some(reading) = &mut due.reading {
                reading.spent = reading.spent.saturating_add(spent);
            }
            let found = self.targets.iter().find(|t| t.id == target).map(|t| (t.identity, found));
            let why = match found {
                Some((_, Ok(Some(found)))) => {
                    due.latest_ns = due.latest_ns.max(time_ns);
                    self.trace.record(&Record::ProportionalMemory(ProportionalMemory {
                        target,
                        time_ns: due.latest_ns,
                        pss: found.pss,
                        swap_pss: found.swap_pss,
                    }))?;
                    continue;
                }
                // A large one that ends may still be said to run for a while.
                Some((process, Err(why))) if self.proc.is_alive(process) => why,
                _ => continue,
            };
            if matches!(why, ProcError::Gone { .. })
                || std::mem::replace(&mut due.unknown_is_said, true)
            {
                continue;
            }
            let text = format!("proportional memory (--pss) is not known: {why}");
            self.say_proportional(text, console)?;
        }
        Ok(())
    }

    /// What is read from now on comes after `time_ns`, when a target has ended.
    pub(super) fn proportional_goes_on(&mut self, time_ns: u64) {
        if let Some(due) = &mut self.proportional {
            due.latest_ns = due.latest_ns.max(time_ns);
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
