//! Lets the monitor's engine loose on a touch log, with the log's clock.

use std::convert::Infallible;
use std::io::BufRead;

use super::log::{Area, LogError, LogReader, Touched};
use crate::monitor::census::{Census, CensusGranularity, TouchedRange};
use crate::monitor::{AddressRange, Engine, EngineError, RangesError, compact_ranges};
use damon_format::{Attrs, Mapping, Permissions, Sampling, Snapshot, TargetId};

/// The only target of a replay.
pub const TARGET: TargetId = TargetId(0);

/// How a log is monitored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Intervals and region limits.
    pub attrs: Attrs,
    /// Everything random follows from it.
    pub seed: u64,
    /// Look at every page in each sampling interval, instead of at one page per region.
    pub exact: bool,
}

/// Who watches a replay.
pub trait Observer {
    /// Why it cannot go on.
    type Error;

    /// A sampling interval is over, in which exactly these pages were touched; ascending and disjoint.
    fn interval(&mut self, touched: &[AddressRange]) -> Result<(), Self::Error>;

    /// An aggregation is over; its samples are the intervals since the last one.
    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), Self::Error>;
}

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError<E> {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The settings.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The log's areas.
    #[error(transparent)]
    Areas(#[from] RangesError),
    /// The observer.
    #[error("{0}")]
    Observer(E),
}

/// The mappings that a log stands for.
pub fn mappings(areas: &[Area]) -> Vec<Mapping> {
    let permissions = Permissions { read: true, write: true, execute: false, shared: false };
    areas
        .iter()
        .map(|area| Mapping {
            start: area.range.start,
            end: area.range.end,
            permissions,
            offset: 0,
            inode: 0,
            name: area.name.clone(),
        })
        .collect()
}

/// Monitors a log from its start to its end; `areas` are those of its tail. Only whole sampling intervals
/// count; the last aggregation may hold fewer than usual.
pub fn perform<R: BufRead, O: Observer>(
    log: LogReader<R>,
    areas: &[Area],
    settings: &Settings,
    observer: &mut O,
) -> Result<(), ReplayError<O::Error>> {
    let mut monitor = Monitor::new(&log, areas, settings)?;
    let mut tape = Tape::new(log);
    let sample_ns = settings.attrs.sample_us.max(1).saturating_mul(1000);
    let (mut now, mut begun) = (0_u64, 0_u64);
    let mut touched = Vec::new();
    loop {
        monitor.arm();
        now = now.saturating_add(sample_ns);
        touched.clear();
        if !tape.play_until(now, &mut touched)? {
            break;
        }
        observer.interval(&touched).map_err(ReplayError::Observer)?;
        if monitor.check(&touched)? {
            let snapshot = monitor.aggregate(begun, now);
            begun = now;
            snapshot.map_or(Ok(()), |s| observer.snapshot(&s)).map_err(ReplayError::Observer)?;
        }
    }
    let last = now.saturating_sub(sample_ns);
    match monitor.aggregate(begun, last).filter(|_| last > begun) {
        Some(snapshot) => observer.snapshot(&snapshot).map_err(ReplayError::Observer),
        None => Ok(()),
    }
}

enum Monitor {
    Sampled(Engine),
    Exact { census: Census, ranges: Vec<AddressRange>, attrs: Attrs, looks: u32 },
}

impl Monitor {
    fn new<R: BufRead>(
        log: &LogReader<R>,
        areas: &[Area],
        settings: &Settings,
    ) -> Result<Self, EngineError> {
        let page_size = log.head().page_size;
        // Checks the settings for both.
        let mut engine =
            Engine::new(settings.attrs, page_size, settings.seed)?.cutting_around_accesses();
        if settings.exact {
            let limit = settings.attrs.max_nr_regions;
            return Ok(Self::Exact {
                census: Census::new(CensusGranularity::Pages, limit),
                ranges: areas.iter().map(|area| area.range).collect(),
                attrs: settings.attrs,
                looks: 0,
            });
        }
        engine.add_target(TARGET)?;
        engine.set_ranges(
            TARGET,
            &compact_ranges(&mappings(areas), page_size, settings.attrs.max_nr_regions),
        )?;
        Ok(Self::Sampled(engine))
    }

    fn arm(&mut self) {
        if let Self::Sampled(engine) = self {
            engine.begin_round();
        }
    }

    /// Counts one interval; true when the aggregation is complete.
    fn check(&mut self, touched: &[AddressRange]) -> Result<bool, RangesError> {
        match self {
            Self::Sampled(engine) => {
                let answered: Result<(), Infallible> = engine.record(TARGET, |points, answers| {
                    for (answer, point) in answers.iter_mut().zip(points) {
                        *answer = contains(touched, *point);
                    }
                    Ok(())
                });
                match answered {
                    Ok(()) => Ok(engine.end_round().aggregation),
                }
            }
            Self::Exact { census, ranges, attrs, looks } => {
                let whole = |range: &AddressRange| TouchedRange {
                    start: range.start,
                    end: range.end,
                    bytes: range.size(),
                };
                census.look(ranges, touched.iter().map(whole))?;
                *looks += 1;
                let all = Sampling::from_intervals(attrs.sample_us, attrs.aggr_us);
                Ok(*looks >= all.max_nr_accesses)
            }
        }
    }

    fn aggregate(&mut self, start_ns: u64, end_ns: u64) -> Option<Snapshot> {
        match self {
            Self::Sampled(engine) => {
                let aggregated = engine.aggregate();
                aggregated.targets().next().map(|target| target.snapshot(start_ns, end_ns))
            }
            Self::Exact { census, attrs, looks, .. } => {
                *looks = 0;
                let result = census.aggregate()?;
                let sampling = Sampling {
                    sample_us: attrs.sample_us,
                    aggr_us: attrs.aggr_us,
                    max_nr_accesses: result.max_nr_accesses,
                };
                let regions = result.regions.to_vec();
                Some(Snapshot::new(TARGET, start_ns, end_ns, sampling, regions))
            }
        }
    }
}

fn contains(ranges: &[AddressRange], address: u64) -> bool {
    let after = ranges.partition_point(|range| range.start <= address);
    after.checked_sub(1).and_then(|i| ranges.get(i)).is_some_and(|range| address < range.end)
}

/// Plays the log forwards.
struct Tape<R> {
    log: LogReader<R>,
    /// The quantum that comes next, and its touches; nothing when the log is over.
    next: Option<u64>,
    touched: Vec<Touched>,
    started: bool,
    end: Option<u64>,
}

impl<R: BufRead> Tape<R> {
    fn new(log: LogReader<R>) -> Self {
        Self { log, next: None, touched: Vec::new(), started: false, end: None }
    }

    /// Puts everything touched before `until_ns` and since the last call into `into`; false if the log ends before
    /// that time.
    fn play_until(
        &mut self,
        until_ns: u64,
        into: &mut Vec<AddressRange>,
    ) -> Result<bool, LogError> {
        let quantum_ns = self.log.head().quantum_ns;
        if !self.started {
            self.started = true;
            self.advance()?;
        }
        while let Some(quantum) = self.next
            && quantum.saturating_mul(quantum_ns) < until_ns
        {
            into.extend(self.touched.iter().map(|t| AddressRange { start: t.start, end: t.end }));
            self.advance()?;
        }
        into.sort_unstable();
        into.dedup_by(|later, kept| {
            let joins = later.start <= kept.end;
            if joins {
                kept.end = kept.end.max(later.end);
            }
            joins
        });
        Ok(self.end.is_none_or(|end| end.saturating_mul(quantum_ns) >= until_ns))
    }

    fn advance(&mut self) -> Result<(), LogError> {
        self.next = self.log.quantum(&mut self.touched)?;
        if self.next.is_none() {
            self.end = self.log.quanta();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::{Head, LogWriter};
    use super::*;

    const MIB: u64 = 1 << 20;
    const MS: u64 = 1_000_000;
    const BASE: u64 = 0x10_0000_0000;

    fn settings(exact: bool) -> Settings {
        let attrs = Attrs {
            sample_us: 5_000,
            aggr_us: 100_000,
            update_us: 1_000_000,
            min_nr_regions: 10,
            max_nr_regions: 100,
        };
        Settings { attrs, seed: 1, exact }
    }

    /// 16 MiB, of which the pages from `start` to `end` MiB are touched every 5 ms.
    fn log(start: u64, end: u64, lasts_ms: u64) -> Vec<u8> {
        let head =
            Head { page_size: 4096, quantum_ns: MS, name: "test".into(), clock: "made up".into() };
        let mut log = LogWriter::create(Vec::new(), head).unwrap();
        for time in (0..lasts_ms / 5 * 5).step_by(5) {
            for page in start * 256..end * 256 {
                log.touch((time + page % 5) * MS, BASE + page * 4096, page % 2 == 0).unwrap();
            }
        }
        let range = AddressRange { start: BASE, end: BASE + 16 * MIB };
        log.finish(lasts_ms * MS, &[Area { range, name: "all".into() }]).unwrap()
    }

    #[derive(Default)]
    struct Seen {
        intervals: Vec<u64>,
        snapshots: Vec<Snapshot>,
    }

    impl Observer for Seen {
        type Error = Infallible;
        fn interval(&mut self, touched: &[AddressRange]) -> Result<(), Infallible> {
            self.intervals.push(touched.iter().map(AddressRange::size).sum());
            Ok(())
        }
        fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), Infallible> {
            self.snapshots.push(snapshot.clone());
            Ok(())
        }
    }

    fn run(bytes: &[u8], settings: &Settings) -> Seen {
        let areas = LogReader::open(bytes).unwrap().tail().unwrap().areas;
        let mut seen = Seen::default();
        perform(LogReader::open(bytes).unwrap(), &areas, settings, &mut seen).unwrap();
        seen
    }

    #[test]
    fn the_clock_is_the_logs_and_a_rest_is_a_short_aggregation() {
        let seen = run(&log(4, 8, 253), &settings(false));
        assert_eq!(seen.intervals.len(), 50, "whole intervals only");
        let times: Vec<_> = seen
            .snapshots
            .iter()
            .map(|s| (s.start_ns / MS, s.end_ns / MS, s.sampling.max_nr_accesses))
            .collect();
        assert_eq!(times, [(0, 100, 20), (100, 200, 20), (200, 250, 10)]);
    }

    #[test]
    fn exact_looks_find_every_page_and_no_other() {
        let seen = run(&log(4, 8, 300), &settings(true));
        assert!(seen.intervals.iter().all(|bytes| *bytes == 4 * MIB), "{:?}", seen.intervals);
        for snapshot in &seen.snapshots {
            let max = snapshot.sampling.max_nr_accesses;
            let hot: Vec<_> = snapshot.regions.iter().filter(|r| r.nr_accesses > 0).collect();
            assert_eq!(hot.len(), 1);
            assert_eq!(hot[0].nr_accesses, max);
            assert_eq!((hot[0].start, hot[0].end), (BASE + 4 * MIB, BASE + 8 * MIB));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_snapshots_and_another_one_others() {
        let bytes = log(3, 9, 1000);
        let with = |seed| run(&bytes, &Settings { seed, ..settings(false) }).snapshots;
        assert_eq!(with(7), with(7));
        assert_ne!(with(7), with(8));
    }

    #[test]
    fn impossible_settings_are_refused() {
        let bytes = log(0, 1, 10);
        let mut settings = settings(false);
        settings.attrs.min_nr_regions = 1;
        let log = LogReader::open(bytes.as_slice()).unwrap();
        let refused = perform(log, &[], &settings, &mut Seen::default());
        assert!(matches!(refused, Err(ReplayError::Engine(_))));
    }
}
