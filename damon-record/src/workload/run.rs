//! Performs a phase on a [`Machine`] and says what was really done.
//!
//! What is guaranteed, and what the truth rests on:
//!
//! * A sweep touches every position of its access once, in the same order each time.
//! * Paced accesses are cut into slices, each due at its fraction of the period. A sweep that ends
//!   after its period is counted as late; a period that has passed entirely before its
//!   sweep could start is skipped and counted as missed.
//! * [`Done::max_gap_ns`] bounds the time that any position went without a touch between the start
//!   of the first and the end of the last complete sweep: each window of at least that length
//!   between the two contains a touch of every position.

use super::pattern::Sweep;

/// Touches between two looks at the clock.
const CHUNK: u64 = 512;
/// A slice is due at most this long after the one before it, as far as [`MAX_SLICES`] permits.
const SLICE_NS: u64 = 5_000_000;
const MAX_SLICES: u64 = 256;

/// What performs touches and knows the time.
pub trait Machine {
    /// Why a touch or a sleep failed.
    type Error;
    /// Nanoseconds on a clock that never goes back.
    fn now(&mut self) -> u64;
    /// Sleeps until `now()` is at least `ns`, or less long when interrupted.
    ///
    /// # Errors
    /// The clock cannot be waited for.
    fn sleep_until(&mut self, ns: u64) -> Result<(), Self::Error>;
    /// Whether someone asked for an end.
    fn interrupted(&mut self) -> bool;
    /// Reads or writes the word at `offset` of an area.
    ///
    /// # Errors
    /// The area has no such word.
    fn touch(&mut self, area: usize, offset: u64, write: bool) -> Result<(), Self::Error>;
}

/// One access of a phase, ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// As the machine counts areas.
    pub area: usize,
    /// Offsets in the area.
    pub sweep: Sweep,
    /// Write, otherwise read.
    pub write: bool,
    /// When sweeps start.
    pub tempo: Tempo,
}

/// When sweeps start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tempo {
    /// A sweep in each period of so many nanoseconds, more than 0.
    Every(u64),
    /// Sweep after sweep, with this weight among the streams of this tempo.
    Max(u64),
    /// A single sweep at once.
    Once,
}

/// What a stream really did; times on the machine's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Complete sweeps.
    pub sweeps: u64,
    /// Touches of the sweep that the end of the phase cut short.
    pub partial: u64,
    /// Sweeps that ended after their period.
    pub late: u64,
    /// Periods without a sweep because an earlier one took too long.
    pub missed: u64,
    /// Before the first touch.
    pub first_ns: u64,
    /// After the last complete sweep; `first_ns` if there is none.
    pub swept_ns: u64,
    /// After the last touch.
    pub last_ns: u64,
    /// The longest time without a touch of some position, see the module.
    pub max_gap_ns: u64,
    /// Time spent in touching.
    pub busy_ns: u64,
}

/// A phase as it really was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Before the first touch.
    pub start_ns: u64,
    /// After the last touch.
    pub end_ns: u64,
    /// Whether someone asked for an end.
    pub interrupted: bool,
    /// One for each stream.
    pub done: Vec<Done>,
}

/// Runs the streams together until `duration_ns` after now, until `stop_ns`, until an interruption, or
/// until all of them are through with their single sweep.
///
/// # Errors
/// What the machine says.
pub fn phase<M: Machine>(
    machine: &mut M,
    streams: &[Stream],
    duration_ns: u64,
    stop_ns: u64,
) -> Result<Outcome, M::Error> {
    let start_ns = machine.now();
    let deadline = start_ns.saturating_add(duration_ns).min(stop_ns);
    let mut runners: Vec<_> = streams.iter().map(|stream| Runner::new(stream, start_ns)).collect();
    let mut interrupted = false;
    loop {
        let now = machine.now();
        if now >= deadline {
            break;
        }
        if machine.interrupted() {
            interrupted = true;
            break;
        }
        for runner in &mut runners {
            runner.turn(machine, deadline)?;
        }
        if runners.iter().all(Runner::finished) && !runners.is_empty() {
            break;
        }
        let due = runners.iter().map(|runner| runner.due).min();
        let due = due.unwrap_or(deadline).min(deadline);
        if due > machine.now() {
            machine.sleep_until(due)?;
        }
    }
    Ok(Outcome {
        start_ns,
        end_ns: machine.now(),
        interrupted,
        done: runners.into_iter().map(|runner| runner.done).collect(),
    })
}

struct Runner<'a> {
    stream: &'a Stream,
    phase_start: u64,
    /// When the next slice may start; `u64::MAX` when there is none.
    due: u64,
    /// Touches already made in this sweep; kept in `done.partial`.
    sweep_start: u64,
    /// Number of the period that this sweep belongs to.
    period: u64,
    slice: u64,
    /// When each slice of the previous sweep started.
    slice_starts: Vec<u64>,
    done: Done,
}

impl<'a> Runner<'a> {
    fn new(stream: &'a Stream, phase_start: u64) -> Self {
        let touches = stream.sweep.touches();
        let slices = match stream.tempo {
            Tempo::Every(period) => period.div_ceil(SLICE_NS),
            Tempo::Max(_) | Tempo::Once => 1,
        };
        let slices = slices.clamp(1, MAX_SLICES.min(touches.max(1)));
        Self {
            stream,
            phase_start,
            due: if touches == 0 { u64::MAX } else { phase_start },
            sweep_start: phase_start,
            period: 0,
            slice: 0,
            slice_starts: (0..slices).map(|_| phase_start).collect(),
            done: Done {
                first_ns: phase_start,
                swept_ns: phase_start,
                last_ns: phase_start,
                ..Done::default()
            },
        }
    }

    fn finished(&self) -> bool {
        self.due == u64::MAX
    }

    fn slices(&self) -> u64 {
        self.slice_starts.len() as u64
    }

    /// What is due now: a slice, or a quantum of an unpaced stream.
    fn turn<M: Machine>(&mut self, machine: &mut M, deadline: u64) -> Result<(), M::Error> {
        let start = machine.now();
        if self.due > start || start >= deadline {
            return Ok(());
        }
        if self.done.sweeps == 0 && self.done.partial == 0 {
            self.done.first_ns = start;
        }
        let touches = self.stream.sweep.touches();
        let end = match self.stream.tempo {
            Tempo::Every(_) => self.slice_end(touches),
            Tempo::Once => touches,
            Tempo::Max(weight) => touches.min(self.done.partial.saturating_add(weight * CHUNK)),
        };
        if self.done.partial == 0 {
            self.sweep_start = start;
        }
        let now = self.touch_until(machine, end, start, deadline)?;
        self.done.busy_ns += now - start;
        self.done.last_ns = now;
        if self.done.partial < end {
            return Ok(());
        }
        match self.stream.tempo {
            Tempo::Every(period) => {
                self.account_slice(start, now);
                self.slice += 1;
                if end == touches {
                    self.account_sweep(now);
                    self.next_period(period, now);
                }
                self.due = self.slice_due(period);
            }
            Tempo::Max(_) if end == touches => {
                let sweep_start = self.sweep_start;
                self.account_slice(sweep_start, now);
                self.account_sweep(now);
            }
            Tempo::Max(_) => {}
            Tempo::Once => {
                self.account_sweep(now);
                self.due = u64::MAX;
            }
        }
        Ok(())
    }

    /// Touches up to `end` or the deadline; returns the time afterwards.
    fn touch_until<M: Machine>(
        &mut self,
        machine: &mut M,
        end: u64,
        start: u64,
        deadline: u64,
    ) -> Result<u64, M::Error> {
        let mut now = start;
        while self.done.partial < end && now < deadline {
            let chunk_end = end.min(self.done.partial + CHUNK);
            for index in self.done.partial..chunk_end {
                let offset = self.stream.sweep.position(index);
                machine.touch(self.stream.area, offset, self.stream.write)?;
            }
            self.done.partial = chunk_end;
            now = machine.now();
            if machine.interrupted() {
                break;
            }
        }
        Ok(now)
    }

    fn slice_end(&self, touches: u64) -> u64 {
        proportion(touches, self.slice + 1, self.slices())
    }

    fn slice_due(&self, period: u64) -> u64 {
        let into = proportion(period, self.slice, self.slices());
        let period_start = self.period.saturating_mul(period).saturating_add(into);
        self.phase_start.saturating_add(period_start)
    }

    /// Every position of this slice was touched in the previous sweep after its slice started,
    /// and again by now.
    fn account_slice(&mut self, start: u64, now: u64) {
        let index = usize::try_from(self.slice).unwrap_or(usize::MAX);
        if let Some(previous) = self.slice_starts.get_mut(index) {
            if self.done.sweeps > 0 {
                self.done.max_gap_ns = self.done.max_gap_ns.max(now - *previous);
            }
            *previous = start;
        }
    }

    /// A window at the edge of the swept time may see only this sweep: the bound must cover it.
    fn account_sweep(&mut self, now: u64) {
        self.done.max_gap_ns = self.done.max_gap_ns.max(now - self.sweep_start);
        self.done.sweeps += 1;
        self.done.partial = 0;
        self.done.swept_ns = now;
        self.slice = 0;
    }

    fn next_period(&mut self, period: u64, now: u64) {
        let elapsed = now - self.phase_start;
        self.done.late += u64::from(elapsed > (self.period + 1).saturating_mul(period));
        let next = self.period + 1;
        self.period = next.max(elapsed / period);
        self.done.missed += self.period - next;
    }
}

/// `whole * part / parts`, rounded down; `part <= parts`.
fn proportion(whole: u64, part: u64, parts: u64) -> u64 {
    let share = u128::from(whole) * u128::from(part) / u128::from(parts.max(1));
    u64::try_from(share).unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::super::pattern::Pattern;
    use super::*;
    use proptest::prelude::*;

    /// A machine on which touching takes time and sleeping overshoots.
    struct Simulated {
        now: u64,
        touch_ns: u64,
        oversleep: Vec<u64>,
        slept: usize,
        slept_ns: u64,
        interrupt_at: u64,
        log: Vec<(u64, usize, u64, bool)>,
    }

    impl Simulated {
        fn new(touch_ns: u64) -> Self {
            Self {
                now: 1_000_000_007,
                touch_ns,
                oversleep: vec![0],
                slept: 0,
                slept_ns: 0,
                interrupt_at: u64::MAX,
                log: Vec::new(),
            }
        }
    }

    impl Machine for Simulated {
        type Error = std::convert::Infallible;
        fn now(&mut self) -> u64 {
            self.now
        }
        fn sleep_until(&mut self, ns: u64) -> Result<(), Self::Error> {
            let before = self.now;
            self.now = self.now.max(ns) + self.oversleep[self.slept % self.oversleep.len()];
            self.slept += 1;
            self.slept_ns += self.now - before;
            Ok(())
        }
        fn interrupted(&mut self) -> bool {
            self.now >= self.interrupt_at
        }
        fn touch(&mut self, area: usize, offset: u64, write: bool) -> Result<(), Self::Error> {
            self.now += self.touch_ns;
            self.log.push((self.now, area, offset, write));
            Ok(())
        }
    }

    const MS: u64 = 1_000_000;

    fn stream(pages: u64, pattern: Pattern, tempo: Tempo) -> Stream {
        Stream { area: 0, sweep: Sweep::new(0, pages * 4096, 4096, pattern, 5), write: true, tempo }
    }

    #[test]
    fn a_paced_stream_sweeps_once_a_period_and_sleeps_in_between() {
        let mut machine = Simulated::new(100);
        let streams = [stream(1000, Pattern::Sequential, Tempo::Every(4 * MS))];
        let Ok(outcome) = phase(&mut machine, &streams, 100 * MS, u64::MAX);
        let done = &outcome.done[0];
        assert_eq!((done.sweeps, done.partial), (25, 0));
        assert_eq!((done.late, done.missed), (0, 0));
        assert_eq!(done.busy_ns, 25 * 1000 * 100);
        assert_eq!(done.max_gap_ns, 4 * MS + 1000 * 100);
        assert_eq!(outcome.end_ns - outcome.start_ns, 100 * MS);
        assert_eq!(machine.slept_ns, 100 * MS - done.busy_ns);
    }

    #[test]
    fn a_slow_rate_is_spread_over_its_period() {
        let mut machine = Simulated::new(100);
        let streams = [stream(1000, Pattern::Random, Tempo::Every(1000 * MS))];
        let Ok(outcome) = phase(&mut machine, &streams, 2000 * MS, u64::MAX);
        assert_eq!(outcome.done[0].sweeps, 2);
        for window in machine.log.windows(2) {
            assert!(window[1].0 - window[0].0 < 6 * MS);
        }
        assert!(outcome.done[0].max_gap_ns < 1010 * MS, "{outcome:?}");
    }

    #[test]
    fn too_much_work_is_late_and_misses_periods() {
        let mut machine = Simulated::new(10_000);
        let streams = [stream(1000, Pattern::Sequential, Tempo::Every(4 * MS))];
        let Ok(outcome) = phase(&mut machine, &streams, 100 * MS, u64::MAX);
        let done = &outcome.done[0];
        // 25 periods of 4 ms, a sweep takes 10 ms.
        assert_eq!((done.sweeps, done.late, done.missed), (10, 10, 15), "{done:?}");
    }

    #[test]
    fn unpaced_streams_share_by_weight() {
        let mut machine = Simulated::new(50);
        let mut streams = [
            stream(600, Pattern::Sequential, Tempo::Max(1)),
            stream(38_400, Pattern::Random, Tempo::Max(3)),
        ];
        streams[1].area = 1;
        let Ok(outcome) = phase(&mut machine, &streams, 100 * MS, u64::MAX);
        let touches = |area| machine.log.iter().filter(|touch| touch.1 == area).count() as u64;
        assert_eq!(machine.slept, 0);
        assert!(outcome.done[0].sweeps > 100);
        // The smaller one's quanta end with its sweep: 512 and 88 touches in turn.
        assert!(touches(1).abs_diff(touches(0) / 300 * 1536) <= 1536);
    }

    #[test]
    fn a_single_sweep_ends_the_phase() {
        let mut machine = Simulated::new(10);
        let streams = [stream(5000, Pattern::Sequential, Tempo::Once)];
        let Ok(outcome) = phase(&mut machine, &streams, u64::MAX, u64::MAX);
        assert_eq!(outcome.done[0].sweeps, 1);
        assert_eq!(machine.log.len(), 5000);
        assert_eq!(outcome.end_ns - outcome.start_ns, 50_000);
    }

    #[test]
    fn a_phase_without_accesses_sleeps() {
        let mut machine = Simulated::new(10);
        let Ok(outcome) = phase(&mut machine, &[], 30 * MS, u64::MAX);
        assert_eq!(machine.slept, 1);
        assert_eq!(outcome.end_ns - outcome.start_ns, 30 * MS);
    }

    #[test]
    fn the_stop_time_and_an_interruption_cut_short() {
        let streams = [stream(10, Pattern::Sequential, Tempo::Every(4 * MS))];
        let mut machine = Simulated::new(10);
        let stop = machine.now + 21 * MS;
        let Ok(outcome) = phase(&mut machine, &streams, 1000 * MS, stop);
        assert_eq!((outcome.end_ns, outcome.interrupted), (stop, false));

        let mut machine = Simulated::new(10);
        machine.interrupt_at = machine.now + 9 * MS;
        let Ok(outcome) = phase(&mut machine, &streams, 1000 * MS, u64::MAX);
        assert!(outcome.interrupted);
        assert_eq!(outcome.done[0].sweeps, 3);
    }

    proptest! {
        /// The statement that the truth rests on, checked against every single touch.
        #[test]
        fn every_window_of_the_gap_length_touches_every_position(
            pages in 1_u64..80,
            period in 100_000_u64..40 * MS,
            touch_ns in 1_u64..100_000,
            oversleep in proptest::collection::vec(0_u64..20 * MS, 1..6),
            random: bool,
            max: bool,
            starts in proptest::collection::vec(0.0..1.0_f64, 8),
        ) {
            let pattern = if random { Pattern::Random } else { Pattern::Sequential };
            let tempo = if max { Tempo::Max(2) } else { Tempo::Every(period) };
            let streams = [stream(pages, pattern, tempo)];
            let mut machine = Simulated::new(touch_ns);
            machine.oversleep = oversleep;
            let Ok(outcome) = phase(&mut machine, &streams, 300 * MS, u64::MAX);
            let done = &outcome.done[0];
            let total = done.sweeps * pages + done.partial;
            prop_assert_eq!(total, machine.log.len() as u64);
            if done.sweeps > 0 {
                let room = (done.swept_ns - done.first_ns) - done.max_gap_ns;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss,
                    clippy::cast_precision_loss, reason = "any point inside will do")]
                let points = starts.iter().map(|s| (*s * room as f64) as u64).chain([0, room]);
                for point in points {
                    let from = done.first_ns + point;
                    let until = from + done.max_gap_ns;
                    let mut seen: Vec<_> = machine.log.iter()
                        .filter(|touch| (from..=until).contains(&touch.0))
                        .map(|touch| touch.2)
                        .collect();
                    seen.sort_unstable();
                    seen.dedup();
                    prop_assert_eq!(seen.len() as u64, pages, "window {}..{} {:?}", from, until, done);
                }
            }
        }
    }
}
