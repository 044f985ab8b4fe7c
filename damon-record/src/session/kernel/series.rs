//! What there is to know of the kdamond beside its events: its CPU time, and the statistics of its schemes.

use super::source::Source;
use crate::host::monotonic_ns;
use crate::proc::ProcRoot;
use crate::session::accounts::Accounts;
use damon_format::{EffectiveQuota, KdamondCpu, Record, SchemeStats};
use std::time::Duration;

/// What was learnt so far.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) accounts: Accounts,
    /// CPU time of the kdamond that runs, microseconds: its thread, at first and at last.
    cpu: Option<(u32, u64, u64)>,
    /// Of those that ran before it.
    cpu_before_us: u64,
}

impl Series {
    /// One sample of everything. What cannot be read is left out; that the kdamond is gone shows elsewhere.
    pub(super) fn sample(&mut self, source: &Source, proc: &ProcRoot, into: &mut Vec<Record>) {
        let time_ns = monotonic_ns();
        if let Some(thread) = source.tid()
            && let Some(cpu_us) = cpu_us(proc, thread)
        {
            into.push(Record::KdamondCpu(KdamondCpu { time_ns, thread, cpu_us }));
            self.account(thread, cpu_us);
        }
        let Source::Own(own) = source else { return };
        let Some(running) = &own.running else { return };
        // A scheme of ours after the user's is nobody's business.
        let schemes = 0..u32::try_from(own.nr_schemes).unwrap_or(u32::MAX);
        if schemes.is_empty() {
            return;
        }
        for (scheme, stats) in schemes.clone().zip(running.scheme_stats().unwrap_or_default()) {
            into.extend(self.accounts.stats(SchemeStats {
                time_ns,
                scheme,
                nr_tried: stats.nr_tried,
                sz_tried: stats.sz_tried,
                nr_applied: stats.nr_applied,
                sz_applied: stats.sz_applied,
                qt_exceeds: stats.qt_exceeds,
                sz_ops_filter_passed: stats.sz_ops_filter_passed,
                nr_snapshots: stats.nr_snapshots,
            }));
        }
        for (scheme, bytes) in schemes.zip(running.effective_bytes().unwrap_or_default()) {
            if let Some(bytes) = bytes {
                into.extend(self.accounts.quota(EffectiveQuota { time_ns, scheme, bytes }));
            }
        }
    }

    fn account(&mut self, thread: u32, cpu_us: u64) {
        let first = match self.cpu {
            Some((known, first, _)) if known == thread => first,
            Some((_, first, last)) => {
                self.cpu_before_us += last.saturating_sub(first);
                // It was started for us.
                0
            }
            None => cpu_us,
        };
        self.cpu = Some((thread, first, cpu_us));
    }

    /// CPU time of the kdamond between the first sample and the last; of all of them, if it was started anew.
    pub(super) fn cpu(&self) -> Option<Duration> {
        self.cpu.map(|(_, first, last)| {
            Duration::from_micros(self.cpu_before_us.saturating_add(last.saturating_sub(first)))
        })
    }
}

/// CPU time of a thread, microseconds: by the scheduler's statistics, which count nanoseconds, or where the
/// kernel has none by its clock ticks.
fn cpu_us(proc: &ProcRoot, thread: u32) -> Option<u64> {
    let by_scheduler = || {
        let text = proc.read(thread, "schedstat").ok()?;
        let word = std::str::from_utf8(&text).ok()?.split_whitespace().next()?;
        word.parse::<u64>().ok().map(|ns| ns / 1000)
    };
    let by_ticks = || {
        let ticks = proc.stat(thread).ok()?.cpu_ticks;
        Some(ticks.saturating_mul(1_000_000) / ticks_per_second())
    };
    by_scheduler().filter(|us| *us > 0).or_else(by_ticks)
}

fn ticks_per_second() -> u64 {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
    ticks.and_then(|ticks| u64::try_from(ticks).ok()).filter(|ticks| *ticks > 0).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::fake::{put, root};

    #[test]
    fn the_time_of_every_kdamond_counts() {
        let mut series = Series::default();
        assert_eq!(series.cpu(), None);
        for (thread, cpu_us) in [(7, 100), (7, 130), (9, 5), (9, 25)] {
            series.account(thread, cpu_us);
        }
        assert_eq!(series.cpu(), Some(Duration::from_micros(55)));
    }

    #[test]
    fn the_schedulers_account_is_preferred() {
        let (dir, proc) = root();
        assert_eq!(cpu_us(&proc, 7), None, "gone");
        put(dir.path(), "7/schedstat", "1234567 89 10\n");
        assert_eq!(cpu_us(&proc, 7), Some(1234));
    }
}
