//! The account of a run: JSON lines, one event each, and queries over them.
//!
//! Addresses and sizes are bytes, times nanoseconds of `CLOCK_MONOTONIC`.

use std::io::BufRead;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::pattern::{Pattern, Sweep};
use super::ranges::Ranges;

/// The version that [`Begin::format`] carries.
pub const FORMAT: u32 = 1;

/// One line of the truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first line, before any area is touched.
    Begin(Begin),
    /// Everything is populated; the first phase starts now, or when the waiting is over.
    Ready {
        /// When.
        time_ns: u64,
    },
    /// A phase is over.
    Phase(PhaseRun),
    /// The last line; missing if the generator was killed.
    End {
        /// When.
        time_ns: u64,
        /// Whether all phases ran as long as the workload says.
        complete: bool,
    },
}

/// What runs, and where its areas are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the workload.
    pub workload: String,
    /// The generator's process.
    pub pid: u32,
    /// Bytes.
    pub page_size: u64,
    /// Decides the random orders.
    pub seed: u64,
    /// Now.
    pub time_ns: u64,
    /// In ascending order.
    pub areas: Vec<AreaTruth>,
}

/// Where an area is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AreaTruth {
    /// As in the workload file.
    pub name: String,
    /// `anon`, `shared` or `file`.
    pub kind: String,
    /// Whether huge pages were asked for; touches then show in units of them.
    pub huge: bool,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// A phase that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseRun {
    /// 0 for the population, then counted from 1.
    pub round: u64,
    /// Counted from 0 in its round.
    pub index: usize,
    /// As in the workload file; `populate` in round 0.
    pub name: String,
    /// Before the first touch.
    pub start_ns: u64,
    /// After the last touch.
    pub end_ns: u64,
    /// Whether it ran as long as the workload says.
    pub complete: bool,
    /// What was touched.
    pub accesses: Vec<AccessRun>,
}

/// One access of a phase that ran: positions `start, start + step, ...` below `end`, touched once in
/// each sweep, in an order that `pattern` and `seed` determine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRun {
    /// Name of the area.
    pub area: String,
    /// Address of the first touched word.
    pub start: u64,
    /// One past the range.
    pub end: u64,
    /// Bytes from one position to the next.
    pub step: u64,
    /// Write, otherwise read.
    pub write: bool,
    /// Order of a sweep.
    pub pattern: Pattern,
    /// Of this access's order.
    pub seed: u64,
    /// The period asked for; absent if sweep followed upon sweep.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub period_ns: Option<u64>,
    /// Complete sweeps.
    pub sweeps: u64,
    /// Touches after the last complete sweep.
    pub partial: u64,
    /// Sweeps that ended after their period.
    pub late: u64,
    /// Periods without a sweep.
    pub missed: u64,
    /// Before the first touch.
    pub first_ns: u64,
    /// After the last complete sweep.
    pub swept_ns: u64,
    /// After the last touch.
    pub last_ns: u64,
    /// From `first_ns` to `swept_ns`, every window of this length contains a touch of every
    /// position.
    pub max_gap_ns: u64,
    /// Time spent in touching.
    pub busy_ns: u64,
}

/// Which touches a query is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Reads only.
    Read,
    /// Writes only.
    Write,
    /// Both.
    Any,
}

impl Touch {
    fn includes(self, write: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Write => write,
            Self::Read => !write,
        }
    }
}

/// The pages touched in a window of time. The truth lies between the two sets, which are equal
/// for windows that are long against the gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Surely touched at least once.
    pub certain: Ranges,
    /// Touched, or not known not to be.
    pub possible: Ranges,
}

impl AccessRun {
    /// The order of its sweeps, as addresses.
    pub fn sweep(&self) -> Sweep {
        Sweep::new(self.start, self.end, self.step, self.pattern, self.seed)
    }

    /// The pages that were touched at all.
    pub fn pages(&self, page_size: u64) -> Ranges {
        let page = page_size.max(1);
        let page_of = |address: u64| {
            let start = address / page * page;
            start..start + page
        };
        if self.sweeps == 0 {
            return self.sweep().prefix(self.partial).map(page_of).collect();
        }
        if self.step <= page {
            let whole = self.start / page * page..self.end.next_multiple_of(page);
            return std::iter::once(whole).collect();
        }
        Sweep::new(self.start, self.end, self.step, Pattern::Sequential, 0)
            .prefix(u64::MAX)
            .map(page_of)
            .collect()
    }

    fn surely_in(&self, window: &Range<u64>) -> bool {
        if self.sweeps == 0 {
            return window.start <= self.first_ns && window.end >= self.last_ns;
        }
        let from = window.start.max(self.first_ns);
        let until = window.end.min(self.swept_ns);
        until.checked_sub(from).is_some_and(|length| length >= self.max_gap_ns)
    }

    fn possibly_in(&self, window: &Range<u64>) -> bool {
        window.start <= self.last_ns && window.end >= self.first_ns
    }
}

impl PhaseRun {
    /// The pages that every sweep of the phase touched: its hot set.
    pub fn hot(&self, touch: Touch, page_size: u64) -> Ranges {
        self.accesses
            .iter()
            .filter(|access| touch.includes(access.write) && access.sweeps > 0)
            .flat_map(|access| access.pages(page_size).as_slice().to_vec())
            .collect()
    }

    /// Whether no position of any access went without a touch for longer than `limit_ns`. If not,
    /// the machine was too busy for a monitor with this sampling interval to see the hot set as hot.
    pub fn steady(&self, limit_ns: u64) -> bool {
        self.accesses.iter().all(|access| access.sweeps > 0 && access.max_gap_ns <= limit_ns)
    }
}

/// A whole account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The first line.
    pub begin: Begin,
    /// In the order of time; the first is the population, if it ended.
    pub phases: Vec<PhaseRun>,
    /// The end and its completeness; `None` if the generator was killed or still runs.
    pub end: Option<(u64, bool)>,
}

/// Why lines are no truth.
#[derive(Debug, thiserror::Error)]
pub enum TruthError {
    /// The lines cannot be read.
    #[error("cannot read the truth: {0}")]
    Read(#[from] std::io::Error),
    /// A line is damaged.
    #[error("line {line} of the truth is no event: {source}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The first event is missing.
    #[error("the truth does not start with a `begin` event")]
    NoBegin,
    /// Written by another version.
    #[error("the truth has format {0}; this program reads format 1")]
    Format(u32),
}

impl Truth {
    /// Reads lines; a last line without its newline (of a generator that was killed) is ignored.
    ///
    /// # Errors
    /// See [`TruthError`].
    pub fn read(mut input: impl BufRead) -> Result<Self, TruthError> {
        let mut truth: Option<Self> = None;
        let mut text = String::new();
        for line in 1.. {
            text.clear();
            input.read_line(&mut text)?;
            if !text.ends_with('\n') {
                break;
            }
            let event =
                serde_json::from_str(&text).map_err(|source| TruthError::Line { line, source })?;
            match (event, &mut truth) {
                (Event::Begin(begin), _) if begin.format != FORMAT => {
                    return Err(TruthError::Format(begin.format));
                }
                (Event::Begin(begin), slot @ None) => {
                    *slot = Some(Self { begin, phases: Vec::new(), end: None });
                }
                (Event::Begin(_), Some(_)) | (_, None) => return Err(TruthError::NoBegin),
                (Event::Ready { .. }, Some(_)) => {}
                (Event::Phase(phase), Some(truth)) => truth.phases.push(phase),
                (Event::End { time_ns, complete }, Some(truth)) => {
                    truth.end = Some((time_ns, complete));
                }
            }
        }
        truth.ok_or(TruthError::NoBegin)
    }

    /// The area of this name.
    pub fn area(&self, name: &str) -> Option<&AreaTruth> {
        self.begin.areas.iter().find(|area| area.name == name)
    }

    /// The phase that ran at this time.
    pub fn phase_at(&self, time_ns: u64) -> Option<&PhaseRun> {
        self.phases.iter().find(|phase| (phase.start_ns..phase.end_ns).contains(&time_ns))
    }

    /// The pages touched in `[window.start, window.end)`.
    pub fn touched(&self, window: Range<u64>, touch: Touch) -> Touched {
        let pages = |holds: fn(&AccessRun, &Range<u64>) -> bool| {
            self.phases
                .iter()
                .flat_map(|phase| &phase.accesses)
                .filter(|access| touch.includes(access.write) && holds(access, &window))
                .flat_map(|access| access.pages(self.begin.page_size).as_slice().to_vec())
                .collect()
        };
        Touched { certain: pages(AccessRun::surely_in), possible: pages(AccessRun::possibly_in) }
    }

    /// Bytes of the pages touched in `[window.start, window.end)`: surely, and at most.
    pub fn working_set_bytes(&self, window: Range<u64>, touch: Touch) -> (u64, u64) {
        let touched = self.touched(window, touch);
        (touched.certain.bytes(), touched.possible.bytes())
    }

    /// Whether `address` belongs to the hot set of this phase.
    pub fn is_hot(&self, phase: &PhaseRun, address: u64, touch: Touch) -> bool {
        phase.hot(touch, self.begin.page_size).contains(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(start: u64, pages: u64, write: bool) -> AccessRun {
        AccessRun {
            area: "a".into(),
            start,
            end: start + pages * 4096,
            step: 4096,
            write,
            pattern: Pattern::Sequential,
            seed: 1,
            period_ns: Some(10),
            sweeps: 10,
            partial: 0,
            late: 0,
            missed: 0,
            first_ns: 1000,
            swept_ns: 1100,
            last_ns: 1100,
            max_gap_ns: 15,
            busy_ns: 50,
        }
    }

    fn truth(accesses: Vec<AccessRun>) -> Truth {
        Truth {
            begin: Begin {
                format: FORMAT,
                workload: "w".into(),
                pid: 1,
                page_size: 4096,
                seed: 1,
                time_ns: 0,
                areas: vec![],
            },
            phases: vec![PhaseRun {
                round: 1,
                index: 0,
                name: "p".into(),
                start_ns: 1000,
                end_ns: 1100,
                complete: true,
                accesses,
            }],
            end: None,
        }
    }

    #[test]
    fn a_window_as_long_as_the_gap_is_certain_and_a_shorter_one_is_not() {
        let truth = truth(vec![access(0x10000, 4, true), access(0x20000, 8, false)]);
        assert_eq!(truth.working_set_bytes(1020..1035, Touch::Write), (16384, 16384));
        assert_eq!(truth.working_set_bytes(1020..1034, Touch::Write), (0, 16384));
        assert_eq!(truth.working_set_bytes(0..2000, Touch::Any), (49152, 49152));
        assert_eq!(truth.working_set_bytes(0..2000, Touch::Read).0, 32768);
        assert_eq!(truth.working_set_bytes(990..1014, Touch::Any), (0, 49152));
        assert_eq!(truth.working_set_bytes(1101..1200, Touch::Any), (0, 0));
        let phase = truth.phase_at(1050).unwrap();
        assert!(truth.is_hot(phase, 0x10fff, Touch::Write));
        assert!(!truth.is_hot(phase, 0x20000, Touch::Write));
        assert!(truth.is_hot(phase, 0x20000, Touch::Any));
        assert!(phase.steady(15) && !phase.steady(14));
        assert!(truth.phase_at(1100).is_none());
    }

    #[test]
    fn a_wide_stride_touches_single_pages() {
        let mut strided = access(0x10000, 16, true);
        strided.step = 16384;
        let pages = strided.pages(4096);
        assert_eq!(pages.bytes(), 4 * 4096);
        assert!(pages.contains(0x14000) && !pages.contains(0x15000));
        strided.step = 64;
        assert_eq!(strided.pages(4096).bytes(), 16 * 4096);
    }

    #[test]
    fn an_unfinished_sweep_touched_its_beginning() {
        let mut cut = access(0x10000, 16, true);
        cut.sweeps = 0;
        cut.partial = 3;
        assert_eq!(cut.pages(4096), std::iter::once(0x10000..0x13000).collect());
        assert!(!cut.surely_in(&(1001..2000)));
        assert!(cut.surely_in(&(1000..1100)));
    }

    #[test]
    fn lines_read_back_and_a_torn_last_line_is_ignored() {
        let truth = truth(vec![access(0x10000, 4, true)]);
        let mut lines = Vec::new();
        for event in [
            Event::Begin(truth.begin.clone()),
            Event::Ready { time_ns: 7 },
            Event::Phase(truth.phases[0].clone()),
        ] {
            lines.extend(serde_json::to_vec(&event).unwrap());
            lines.push(b'\n');
        }
        assert_eq!(Truth::read(lines.as_slice()).unwrap(), truth);
        lines.extend(b"{\"event\":\"end\",\"time");
        assert_eq!(Truth::read(lines.as_slice()).unwrap(), truth);
        lines.push(b'\n');
        let error = Truth::read(lines.as_slice()).unwrap_err().to_string();
        assert!(error.starts_with("line 4 "), "{error}");
        assert!(matches!(Truth::read(b"".as_slice()), Err(TruthError::NoBegin)));
    }
}
