//! Made-up programs: which part of their memory they access, how often, and when; each run a little different.

use super::random::Random;

pub(crate) const MIB: u64 = 1 << 20;

/// How much larger the new version of a program is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Growth {
    /// Factor of all that is accessed.
    pub(crate) working_set: f64,
    /// Factor of what is accessed in at least half of the samples.
    pub(crate) hot: f64,
}

impl Growth {
    pub(crate) const NONE: Self = Self { working_set: 1.0, hot: 1.0 };
    /// A working set that is larger by 10 %.
    pub(crate) const WORKING_SET: Self = Self { working_set: 1.1, ..Self::NONE };
    /// A hot set that is larger by 5 %.
    pub(crate) const HOT: Self = Self { hot: 1.05, ..Self::NONE };

    fn of(self, rate: f64) -> f64 {
        self.working_set * if rate >= 0.5 { self.hot } else { 1.0 }
    }
}

/// A part of the memory that is accessed alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Piece {
    /// Byte of the arena.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Probability that a page is accessed in a sampling interval.
    pub(crate) rate: f64,
}

/// One run of a program.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    /// Bytes of its arena; what no piece covers is never accessed.
    pub(crate) size: u64,
    /// Pieces from a share of the time on, ascending; each time's pieces ascend and do not overlap.
    pub(crate) frames: Vec<(f64, Vec<Piece>)>,
}

/// A program: its name, and what a run of it does.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// In words, for the table.
    pub(crate) what: &'static str,
    run: fn(&mut Draw<'_>) -> Run,
}

/// Draws what differs from run to run.
pub(crate) struct Draw<'a> {
    random: &'a mut Random,
    growth: Growth,
    /// Standard deviation of sizes and rates from run to run, as a share.
    spread: f64,
}

impl Draw<'_> {
    fn vary(&mut self, value: f64, times: f64) -> f64 {
        value * (1.0 + self.spread * times * self.random.normal()).max(0.1)
    }

    /// Bytes of a piece of about so many MiB that is accessed at this rate, and the rate of this run.
    fn piece(&mut self, mib: f64, rate: f64) -> (f64, f64) {
        let size = self.vary(mib, 1.0) * self.growth.of(rate);
        (size, self.vary(rate, 1.0).min(1.0))
    }

    /// Phases of about these shares of the time, four times as uneven as sizes: where each begins.
    fn begins<const N: usize>(&mut self, shares: [f64; N]) -> [f64; N] {
        let lengths = shares.map(|share| self.vary(share, 4.0));
        let all: f64 = lengths.iter().sum();
        let mut at = 0.0;
        lengths.map(|length| {
            let begin = at;
            at += length / all;
            begin
        })
    }
}

/// Pieces one after the other, each with `gap` MiB before it.
fn row(gap: f64, pieces: &[(f64, f64)]) -> Vec<Piece> {
    let mut at = 0.0;
    let one = |(size, rate): &(f64, f64)| {
        let start = at + gap;
        at = start + size;
        Piece { start: pages(start), end: pages(at), rate: *rate }
    };
    pieces.iter().map(one).collect()
}

/// MiB to bytes, whole pages.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes of some MiB")]
fn pages(mib: f64) -> u64 {
    (mib.max(0.0) * 256.0).round() as u64 * 4096
}

impl Program {
    /// One run of it, by a seed of its own.
    pub(crate) fn run(&self, seed: u64, growth: Growth, spread: f64) -> Run {
        let mut random = Random::new(seed);
        (self.run)(&mut Draw { random: &mut random, growth, spread })
    }
}

/// All programs.
pub(crate) const PROGRAMS: [Program; 8] = [
    Program {
        name: "steady",
        what: "48 MiB hot, 64 MiB in 15 % of the samples, 200 MiB idle",
        run: |draw| {
            let (hot, warm) = (draw.piece(48.0, 0.95), draw.piece(64.0, 0.15));
            Run { size: 312 * MIB, frames: vec![(0.0, row(20.0, &[hot, warm]))] }
        },
    },
    Program {
        name: "two-level",
        what: "32 MiB hot, 96 MiB in 5 % of the samples",
        run: |draw| {
            let (hot, warm) = (draw.piece(32.0, 0.98), draw.piece(96.0, 0.05));
            Run { size: 288 * MIB, frames: vec![(0.0, row(8.0, &[warm, hot]))] }
        },
    },
    Program {
        name: "islands",
        what: "eight hot places of 8 MiB, elsewhere in each run",
        run: |draw| {
            let mut pieces = Vec::new();
            for slot in 0..8_u32 {
                let (size, rate) = draw.piece(8.0, 0.9);
                let start = f64::from(slot) * 48.0 + draw.random.share() * (48.0 - size);
                pieces.push(Piece { start: pages(start), end: pages(start + size), rate });
            }
            Run { size: 384 * MIB, frames: vec![(0.0, pieces)] }
        },
    },
    Program {
        name: "zipf",
        what: "nine levels, each 1.6 times as large and used half as much as the one before, in another order in each run",
        run: |draw| {
            let level = |k: i32| (3.0 * 1.6_f64.powi(k), 0.98 * 0.55_f64.powi((k - 3).max(0)));
            let mut levels: Vec<(f64, f64)> = (0..9).map(level).collect();
            draw.random.shuffle(&mut levels);
            let levels: Vec<_> = levels.iter().map(|(mib, rate)| draw.piece(*mib, *rate)).collect();
            Run { size: 512 * MIB, frames: vec![(0.0, row(6.0, &levels))] }
        },
    },
    Program {
        name: "phases",
        what: "load, build, run, rest: four phases whose lengths vary",
        run: |draw| {
            let begins = draw.begins([0.2, 0.3, 0.35, 0.15]);
            let load = row(4.0, &[draw.piece(96.0, 0.6)]);
            let build = row(4.0, &[draw.piece(32.0, 0.95), draw.piece(80.0, 0.2)]);
            let work = row(50.0, &[draw.piece(64.0, 0.95)]);
            let rest = row(4.0, &[draw.piece(6.0, 0.9)]);
            let frames = begins.into_iter().zip([load, build, work, rest]).collect();
            Run { size: 256 * MIB, frames }
        },
    },
    Program {
        name: "growing",
        what: "a hot set that grows from 24 to 72 MiB",
        run: |draw| {
            let (from, rate) = draw.piece(24.0, 0.9);
            let (by, _) = draw.piece(48.0, 0.9);
            let frame = |step: u32| {
                let share = f64::from(step) / 60.0;
                (share, row(16.0, &[(from + by * share, rate)]))
            };
            Run { size: 256 * MIB, frames: (0..60).map(frame).collect() }
        },
    },
    Program {
        name: "moving",
        what: "40 MiB hot, moving through 320 MiB",
        run: |draw| {
            let (size, rate) = draw.piece(40.0, 0.95);
            let steps = draw.vary(40.0, 4.0);
            let frame = |step: u32| {
                let begin = f64::from(step) / steps;
                (begin, row((begin * 7.0).fract() * 270.0, &[(size, rate)]))
            };
            let frames = (0..60).map(frame).take_while(|(begin, _)| *begin < 1.0).collect();
            Run { size: 320 * MIB, frames }
        },
    },
    Program {
        name: "load",
        what: "a service: 40 MiB hot, and 40 MiB more or less with requests that come in bursts of seconds",
        run: |draw| {
            let (hot, rate) = draw.piece(40.0, 0.95);
            let (busy, busy_rate) = draw.piece(40.0, 0.4);
            let mut burst = 0.0;
            let mut frame = |step: u32| {
                // Remembers 80 % of itself from half second to half second.
                burst = 0.8 * burst + 0.6 * draw.random.normal();
                let busy = (busy * (1.0 + 0.15 * burst)).clamp(4.0, 100.0);
                (f64::from(step) / 80.0, row(10.0, &[(hot, rate), (busy, busy_rate)]))
            };
            Run { size: 256 * MIB, frames: (0..80).map(&mut frame).collect() }
        },
    },
];
