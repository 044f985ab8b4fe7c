//! What time it is for a recording, and what the recorder has cost.

use crate::host::clock_anchor;
use crate::session::budget::process;
use damon_format::{ClockAnchor, Finished};
use std::time::Duration;

/// Where clock anchors and CPU times of later parts come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Clock {
    /// The machine.
    Machine {
        /// CPU time of this process when the present part began.
        begun: Duration,
        /// CPU time that was told of earlier parts.
        told: Duration,
    },
    /// The data: whatever they say, always the same.
    Data,
}

impl Clock {
    pub(super) fn machine() -> Self {
        Self::Machine { begun: process(), told: Duration::ZERO }
    }

    /// Of a part that begins now, at `now_ns` of the data.
    pub(super) fn anchor(&self, first: ClockAnchor, now_ns: u64) -> ClockAnchor {
        match self {
            Self::Machine { .. } => clock_anchor(),
            Self::Data => ClockAnchor {
                monotonic_ns: now_ns,
                realtime_ns: first
                    .realtime_ns
                    .saturating_add(now_ns.saturating_sub(first.monotonic_ns)),
            },
        }
    }

    /// Tells what a part that ends now has cost.
    pub(super) fn part(&mut self, finished: &mut Finished) {
        if let Self::Machine { begun, told } = self {
            let now = process();
            let cost = now.saturating_sub(*begun);
            finished.recorder_cpu_us = micros(cost);
            *told += cost;
            *begun = now;
        }
    }

    /// Leaves of what the whole recording has cost what was not told yet.
    pub(super) fn rest(&self, finished: &mut Finished) {
        if let Self::Machine { told, .. } = self {
            finished.recorder_cpu_us = finished.recorder_cpu_us.saturating_sub(micros(*told));
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(recorder_cpu_us: u64) -> Finished {
        Finished { time_ns: 0, reason: String::new(), recorder_cpu_us }
    }

    #[test]
    fn what_parts_have_cost_adds_up_to_what_the_recording_has_cost() {
        // Before: meanwhile other tests use CPU time of this process, too.
        let begun = process();
        let mut clock = Clock::machine();
        let mut told = 0;
        for _ in 0..3 {
            let from = process();
            while process().saturating_sub(from) < Duration::from_millis(5) {}
            let mut part = finished(0);
            clock.part(&mut part);
            assert!(part.recorder_cpu_us >= 5000, "{}", part.recorder_cpu_us);
            told += part.recorder_cpu_us;
        }
        assert!(
            told <= micros(process().saturating_sub(begun)) + 100,
            "no part has the cost of another"
        );
        let mut rest = finished(told + 77);
        clock.rest(&mut rest);
        assert!((75..=77).contains(&rest.recorder_cpu_us), "{}", rest.recorder_cpu_us);
    }

    #[test]
    fn the_clock_of_the_data_asks_nothing_of_the_machine() {
        let mut clock = Clock::Data;
        let first = ClockAnchor { monotonic_ns: 50, realtime_ns: 1000 };
        let anchor = ClockAnchor { monotonic_ns: 70, realtime_ns: 1020 };
        assert_eq!(clock.anchor(first, 70), anchor);
        let mut part = finished(9);
        clock.part(&mut part);
        clock.rest(&mut part);
        assert_eq!(part.recorder_cpu_us, 9);
    }
}
