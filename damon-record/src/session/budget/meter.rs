//! Sorts what was spent into rounds, background and one-off costs.

use std::time::Duration;

/// What a stretch of time has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::session) struct Spent {
    /// How long it was.
    pub(in crate::session) elapsed: Duration,
    /// Rounds (sampled) or looks (exact) in it.
    pub(in crate::session) rounds: u32,
    /// Regions sampled in them, summed.
    pub(in crate::session) samples: u64,
    /// The recorder's CPU time for them, with all that follows from them.
    pub(in crate::session) rounds_recorder: Duration,
    /// The target's, estimated.
    pub(in crate::session) target: Duration,
    /// The recorder's CPU time for what goes on however seldom it looks.
    pub(in crate::session) background: Duration,
}

/// The running account.
#[derive(Debug)]
pub(in crate::session) struct Meter {
    since_ns: u64,
    cpu: Duration,
    rounds: u32,
    samples: u64,
    background: Duration,
    one_off: Duration,
    /// What rare chores take on average, share of a core.
    rare: f64,
}

impl Meter {
    /// Begins to count.
    pub(in crate::session) fn new(now_ns: u64, cpu: Duration) -> Self {
        Self {
            since_ns: now_ns,
            cpu,
            rounds: 0,
            samples: 0,
            background: Duration::ZERO,
            one_off: Duration::ZERO,
            rare: 0.0,
        }
    }

    /// A round over so many regions has begun.
    pub(in crate::session) fn round(&mut self, regions: usize) {
        self.rounds = self.rounds.saturating_add(1);
        self.samples = self.samples.saturating_add(u64::try_from(regions).unwrap_or(u64::MAX));
    }

    /// So much of the CPU time was spent beside the rounds.
    pub(in crate::session) fn background(&mut self, spent: Duration) {
        self.background += spent;
    }

    /// So much of the CPU time will not be spent again.
    pub(in crate::session) fn one_off(&mut self, spent: Duration) {
        self.one_off += spent;
    }

    /// What was told of such CPU time since the account began.
    pub(in crate::session) fn one_off_so_far(&self) -> Duration {
        self.one_off
    }

    /// So much is spent on something that is done once a `period`: a burst that counts as what it is on average, so that
    /// nothing is given up for the moment. What it takes must not be in the CPU time that the account is closed with: a
    /// thread of its own spends it, or it is told as `one_off`.
    pub(in crate::session) fn rare(&mut self, spent: Duration, period: Duration) {
        self.rare = spent.as_secs_f64() / period.as_secs_f64().max(1e-3);
    }

    /// How long ago the account began; `None` while there was no round.
    pub(in crate::session) fn running_ns(&self, now_ns: u64) -> Option<u64> {
        (self.rounds > 0).then(|| now_ns.saturating_sub(self.since_ns))
    }

    /// Closes the account: the recorder has used `cpu` since it exists. A new one begins.
    pub(in crate::session) fn close(
        &mut self,
        now_ns: u64,
        cpu: Duration,
        target: Duration,
    ) -> Spent {
        let all = cpu.saturating_sub(self.cpu);
        let elapsed = Duration::from_nanos(now_ns.saturating_sub(self.since_ns));
        let spent = Spent {
            elapsed,
            rounds: self.rounds,
            samples: self.samples,
            rounds_recorder: all.saturating_sub(self.background).saturating_sub(self.one_off),
            target,
            background: self.background + elapsed.mul_f64(self.rare),
        };
        *self = Self { rare: self.rare, ..Self::new(now_ns, cpu) };
        spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_spent_is_sorted_and_one_off_costs_are_left_out() {
        let mut meter = Meter::new(1_000, 5 * MS);
        assert_eq!(meter.running_ns(2_000), None);
        meter.round(10);
        meter.round(30);
        meter.background(2 * MS);
        meter.one_off(80 * MS);
        assert_eq!(meter.running_ns(501_000), Some(500_000));
        let spent = meter.close(501_000, 97 * MS, 3 * MS);
        let expected = Spent {
            elapsed: Duration::from_micros(500),
            rounds: 2,
            samples: 40,
            rounds_recorder: 10 * MS,
            target: 3 * MS,
            background: 2 * MS,
        };
        assert_eq!(spent, expected);
        assert_eq!(meter.close(501_000, 97 * MS, MS).rounds, 0);
    }

    #[test]
    fn a_rare_burst_counts_as_what_it_is_on_average() {
        let mut meter = Meter::new(0, 5 * MS);
        meter.one_off(150 * MS);
        meter.rare(150 * MS, 60_000 * MS);
        for cpu in [165 * MS, 175 * MS] {
            meter.round(1);
            let spent = meter.close(1_000_000_000, cpu, Duration::ZERO);
            assert_eq!(spent.rounds_recorder, 10 * MS);
            let elapsed = spent.elapsed.as_secs_f64();
            assert!((spent.background.as_secs_f64() - elapsed * 0.0025).abs() < 1e-9);
        }
    }
}
