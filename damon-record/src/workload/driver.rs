//! Performs a whole workload and writes the account of it, each line as soon as it is true.

use std::io::{self, Write};

use super::memory::{Memory, MemoryError};
use super::pattern::{Pattern, Sweep};
use super::run::{self, Done, Machine, Outcome, Stream, Tempo};
use super::simulated::SimulationError;
use super::spec::{AccessSpec, AreaSpec, Pace, PhaseSpec, Spec};
use super::truth::{AccessRun, AreaTruth, Begin, Event, FORMAT, PhaseRun};
use crate::marks;
use crate::monitor::rng::split_mix;
use crate::sys::area::page_size;

/// How a workload is performed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Name of the workload, for the account.
    pub name: String,
    /// Decides the random orders.
    pub seed: u64,
    /// How often all phases are run; `None`: until `limit_ns` is over.
    pub rounds: Option<u64>,
    /// The phases end after so many nanoseconds.
    pub limit_ns: Option<u64>,
    /// Idle nanoseconds between population and first phase.
    pub delay_ns: u64,
    /// Wait for standard input before the delay.
    pub wait: bool,
}

/// Why a workload ended early.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// Its memory cannot be had or touched.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Its touches cannot be written down.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// The account cannot be written.
    #[error("cannot write the truth: {0}")]
    Truth(#[from] io::Error),
}

/// What a workload is performed on.
pub trait Stage: Machine {
    /// Where the areas of the workload are, in its order.
    fn areas(&self, spec: &Spec) -> Vec<AreaTruth>;

    /// A phase of this name begins.
    fn begins(&mut self, phase: &str);

    /// Waits until somebody says to go on.
    ///
    /// # Errors
    /// That cannot be waited for.
    fn wait(&mut self) -> Result<(), Self::Error>;

    /// The signal that asked for an end, if one did.
    fn signal(&self) -> Option<i32>;
}

impl Stage for Memory {
    fn areas(&self, spec: &Spec) -> Vec<AreaTruth> {
        self.truth(spec)
    }

    /// Whoever records this program has it as a mark.
    fn begins(&mut self, phase: &str) {
        let _nobody_records = marks::set(None, phase.as_bytes());
    }

    fn wait(&mut self) -> Result<(), MemoryError> {
        self.wait_for(&io::stdin())
    }

    fn signal(&self) -> Option<i32> {
        Memory::signal(self)
    }
}

/// Populates the areas, runs the phases and tells `truth`; returns the signal that ended it early.
///
/// # Errors
/// See [`PlayError`].
pub fn play<S: Stage>(
    spec: &Spec,
    memory: &mut S,
    options: &Options,
    truth: &mut dyn Write,
) -> Result<Option<i32>, PlayError>
where
    PlayError: From<S::Error>,
{
    let mut player = Player::new(spec, memory, options, truth)?;
    let complete = player.populate()? && player.ready()? && player.rounds()?;
    let time_ns = player.memory.now();
    tell(player.truth, &Event::End { time_ns, complete })?;
    Ok(player.memory.signal())
}

struct Player<'a, S> {
    spec: &'a Spec,
    memory: &'a mut S,
    options: &'a Options,
    truth: &'a mut dyn Write,
    areas: Vec<AreaTruth>,
    page_size: u64,
}

impl<'a, S: Stage> Player<'a, S>
where
    PlayError: From<S::Error>,
{
    fn new(
        spec: &'a Spec,
        memory: &'a mut S,
        options: &'a Options,
        truth: &'a mut dyn Write,
    ) -> Result<Self, PlayError> {
        let page_size = page_size()
            .map_err(|source| MemoryError::System { what: "learn the page size", source })?
            as u64;
        let areas = memory.areas(spec);
        let begin = Begin {
            format: FORMAT,
            workload: options.name.clone(),
            pid: std::process::id(),
            page_size,
            seed: options.seed,
            time_ns: memory.now(),
            areas: areas.clone(),
        };
        tell(truth, &Event::Begin(begin))?;
        Ok(Self { spec, memory, options, truth, areas, page_size })
    }

    fn populate(&mut self) -> Result<bool, PlayError> {
        let accesses = self.spec.areas.iter().enumerate().filter(|(_, area)| !area.lazy);
        let streams: Vec<_> =
            accesses.map(|(index, area)| population(index, area, self.page_size)).collect();
        let outcome = match streams.len() {
            0 => run::phase(self.memory, &[], 0, u64::MAX)?,
            _ => run::phase(self.memory, &streams, u64::MAX, u64::MAX)?,
        };
        let complete = !outcome.interrupted;
        self.account("populate", (0, 0), &streams, &outcome, complete)?;
        Ok(complete)
    }

    /// Says so, then waits as long as is asked for; whether nobody interrupted that.
    fn ready(&mut self) -> Result<bool, PlayError> {
        let time_ns = self.memory.now();
        tell(self.truth, &Event::Ready { time_ns })?;
        if self.options.wait {
            self.memory.wait()?;
        }
        let outcome = run::phase(self.memory, &[], self.options.delay_ns, u64::MAX)?;
        Ok(!outcome.interrupted && self.memory.signal().is_none())
    }

    fn rounds(&mut self) -> Result<bool, PlayError> {
        let limit = self.options.limit_ns.unwrap_or(u64::MAX);
        let stop_ns = self.memory.now().saturating_add(limit);
        for round in 1..=self.options.rounds.unwrap_or(u64::MAX) {
            for (index, phase) in self.spec.phases.iter().enumerate() {
                if self.memory.now() >= stop_ns {
                    return Ok(index == 0 && self.options.rounds.is_none());
                }
                let streams: Vec<_> = phase
                    .accesses
                    .iter()
                    .zip(seeds(self.options.seed, index))
                    .map(|(access, seed)| stream(access, self.page_size, seed))
                    .collect();
                self.memory.begins(&phase.name);
                let outcome = run::phase(self.memory, &streams, phase.duration_ns, stop_ns)?;
                let complete = outlasted(phase, &outcome);
                self.account(&phase.name, (round, index), &streams, &outcome, complete)?;
                if !complete {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn account(
        &mut self,
        name: &str,
        (round, index): (u64, usize),
        streams: &[Stream],
        outcome: &Outcome,
        complete: bool,
    ) -> Result<(), PlayError> {
        let accesses = streams.iter().zip(&outcome.done);
        let phase = PhaseRun {
            round,
            index,
            name: name.into(),
            start_ns: outcome.start_ns,
            end_ns: outcome.end_ns,
            complete,
            accesses: accesses
                .map(|(stream, done)| access_run(stream, &self.areas[stream.area], done))
                .collect(),
        };
        Ok(tell(self.truth, &Event::Phase(phase))?)
    }
}

fn outlasted(phase: &PhaseSpec, outcome: &Outcome) -> bool {
    outcome.end_ns - outcome.start_ns >= phase.duration_ns && !outcome.interrupted
}

/// One independent seed for each access of a phase, the same in every round.
fn seeds(seed: u64, phase: usize) -> impl Iterator<Item = u64> {
    let mut state = seed ^ (phase as u64).rotate_left(32);
    std::iter::repeat_with(move || split_mix(&mut state))
}

fn population(index: usize, area: &AreaSpec, page_size: u64) -> Stream {
    Stream {
        area: index,
        sweep: Sweep::new(0, area.size, page_size, Pattern::Sequential, 0),
        write: true,
        tempo: Tempo::Once,
    }
}

fn stream(access: &AccessSpec, page_size: u64, seed: u64) -> Stream {
    let step = access.stride.unwrap_or(page_size);
    let sweep = Sweep::new(access.start, access.end, step, access.pattern, seed);
    let tempo = match access.pace {
        Pace::Every(period) => Tempo::Every(period),
        Pace::Max(weight) => Tempo::Max(weight),
        Pace::Rate(rate) => {
            let period = u128::from(sweep.touches()) * 1_000_000_000 / u128::from(rate.max(1));
            Tempo::Every(u64::try_from(period).unwrap_or(u64::MAX).max(1))
        }
    };
    Stream { area: access.area, sweep, write: access.write, tempo }
}

fn access_run(stream: &Stream, area: &AreaTruth, done: &Done) -> AccessRun {
    let sweep = stream.sweep;
    AccessRun {
        area: area.name.clone(),
        start: area.start + sweep.start(),
        end: area.start + sweep.end(),
        step: sweep.step(),
        write: stream.write,
        pattern: sweep.pattern(),
        seed: sweep.seed(),
        period_ns: match stream.tempo {
            Tempo::Every(period) => Some(period),
            Tempo::Max(_) | Tempo::Once => None,
        },
        sweeps: done.sweeps,
        partial: done.partial,
        late: done.late,
        missed: done.missed,
        first_ns: done.first_ns,
        swept_ns: done.swept_ns,
        last_ns: done.last_ns,
        max_gap_ns: done.max_gap_ns,
        busy_ns: done.busy_ns,
    }
}

fn tell(truth: &mut dyn Write, event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    truth.write_all(&line)?;
    truth.flush()
}
