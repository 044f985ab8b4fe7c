//! Made-up access patterns driven through the real engine: data that looks like DAMON's, for tests,
//! benchmarks and golden files. Reproducible from a seed, on every machine.

use super::engine::{Aggregated, Engine, EngineError};
use super::region::AddressRange;
use super::rng::Rng;
use damon_format::{
    AccessKind, Attrs, Backend, ClockAnchor, Granularity, RecordingInfo, Snapshot, TargetId,
};
use std::convert::Infallible;

/// Runs rounds until an aggregation is due; `accessed` answers for each sampled address.
///
/// Updates that fall due are left to the caller's judgement: a made-up address space changes only
/// when its maker says so.
pub fn run_aggregation<'a>(
    engine: &'a mut Engine,
    accessed: &mut impl FnMut(TargetId, u64) -> bool,
) -> Aggregated<'a> {
    let targets: Vec<TargetId> = engine.targets().collect();
    loop {
        engine.begin_round();
        for &target in &targets {
            let checked: Result<(), Infallible> = engine.record(target, |points, answers| {
                for (answer, &point) in answers.iter_mut().zip(points) {
                    *answer = accessed(target, point);
                }
                Ok(())
            });
            match checked {
                Ok(()) => {}
            }
        }
        if engine.end_round().aggregation {
            return engine.aggregate();
        }
    }
}

/// A process whose memory is made of areas with steady access rates of their own, over which a hot
/// set moves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Named in every snapshot.
    pub target: TargetId,
    /// Intervals and region limits of the engine.
    pub attrs: Attrs,
    /// Page size, bytes.
    pub granule: u64,
    /// Ascending and disjoint.
    pub ranges: Vec<AddressRange>,
    /// Areas of equal access rate that the ranges together are divided into; with 0 only the hot set is
    /// accessed.
    pub areas: u32,
    /// Size of the moving hot set, bytes.
    pub hot_bytes: u64,
    /// How far it moves per aggregation, bytes; it comes in again at the start when it leaves the end.
    pub hot_step: u64,
    /// When the first aggregation begins, nanoseconds.
    pub start_ns: u64,
    /// Everything random follows from it.
    pub seed: u64,
}

impl Config {
    /// A process of about 1 GiB at DAMON's default intervals, with limits and areas such that its
    /// snapshots hold about `count` regions (at least 6).
    pub fn with_regions(count: u32) -> Self {
        const MIB: u64 = 1 << 20;
        let count = count.max(6);
        let block = |start, size| AddressRange { start, end: start + size };
        Self {
            target: TargetId(0),
            attrs: Attrs {
                sample_us: 5_000,
                aggr_us: 100_000,
                update_us: 1_000_000,
                min_nr_regions: count - count / 3,
                max_nr_regions: count.saturating_mul(2),
            },
            granule: 4096,
            ranges: vec![
                block(0x55d0_8c40_0000, 96 * MIB),
                block(0x7f1e_1000_0000, 928 * MIB),
                block(0x7ffc_5a60_0000, 132 << 10),
            ],
            areas: count / 2,
            hot_bytes: 40 * MIB,
            hot_step: MIB / 2,
            start_ns: 1_000_000_000,
            seed: 1,
        }
    }
}

/// The description that goes with a made-up recording.
pub fn recording_info(config: &Config) -> RecordingInfo {
    RecordingInfo {
        tool: "damon-record".into(),
        tool_version: env!("CARGO_PKG_VERSION").into(),
        host: "synthetic".into(),
        kernel: "none".into(),
        arch: "none".into(),
        page_size: u32::try_from(config.granule).unwrap_or(4096),
        clock: ClockAnchor { monotonic_ns: config.start_ns, realtime_ns: 0 },
        command_line: Vec::new(),
        backend: Backend {
            name: "synthetic".into(),
            access: AccessKind::ReadWrite,
            granularity: Granularity::Page,
            exact: false,
            reason: "made up by the monitor engine".into(),
        },
        attrs: config.attrs,
    }
}

/// The snapshots of a recording of `config`, without end.
///
/// Aggregations follow each other without a pause. Each lasts its nominal time and some tens of
/// microseconds more, as with a real kernel, in whole microseconds.
pub fn snapshots(config: Config) -> Result<impl Iterator<Item = Snapshot>, EngineError> {
    let mut engine = Engine::new(config.attrs, config.granule, config.seed)?;
    engine.add_target(config.target)?;
    engine.set_ranges(config.target, &config.ranges)?;
    let mut time_ns = config.start_ns;
    let mut pattern = Pattern::new(config);
    Ok(std::iter::from_fn(move || {
        let start_ns = time_ns;
        let late_us = pattern.rng.between(20, 80);
        let lasted_us = engine.attrs().aggr_us.saturating_add(late_us);
        time_ns = start_ns.saturating_add(lasted_us.saturating_mul(1_000));
        let aggregated =
            run_aggregation(&mut engine, &mut |_, address| pattern.is_accessed(address));
        let snapshot = aggregated.targets().next().map(|target| target.snapshot(start_ns, time_ns));
        drop(aggregated);
        pattern.advance();
        snapshot
    }))
}

struct Pattern {
    config: Config,
    total: u64,
    /// Of each area, in 256ths: how likely a page is accessed in one sampling interval.
    rates: Vec<u8>,
    hot_start: u64,
    rng: Rng,
}

impl Pattern {
    /// Of ten areas about seven are idle, two rarely used and one busy, as in most processes.
    fn new(config: Config) -> Self {
        let mut rng = Rng::new(!config.seed);
        let rates = (0..config.areas)
            .map(|_| match rng.below(10) {
                0..7 => 0,
                7..9 => bits(rng.between(4, 60)),
                _ => bits(rng.between(100, 255)),
            })
            .collect();
        Self {
            total: config.ranges.iter().map(AddressRange::size).sum(),
            rates,
            hot_start: 0,
            rng,
            config,
        }
    }

    fn advance(&mut self) {
        let moved = self.hot_start.saturating_add(self.config.hot_step);
        self.hot_start = moved.checked_rem(self.total).unwrap_or(0);
    }

    fn is_accessed(&mut self, address: u64) -> bool {
        let offset = self.offset(address);
        let behind = if offset >= self.hot_start {
            offset - self.hot_start
        } else {
            (self.total - self.hot_start).saturating_add(offset)
        };
        let rate = if behind < self.config.hot_bytes {
            250
        } else {
            let area =
                u128::from(offset) * self.rates.len() as u128 / u128::from(self.total.max(1));
            usize::try_from(area).ok().and_then(|area| self.rates.get(area)).copied().unwrap_or(0)
        };
        self.rng.below(256) < u64::from(rate)
    }

    /// Bytes of the ranges in front of `address`.
    fn offset(&self, address: u64) -> u64 {
        self.config
            .ranges
            .iter()
            .map(|range| address.clamp(range.start, range.end) - range.start)
            .sum()
    }
}

fn bits(rate: u64) -> u8 {
    u8::try_from(rate).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_counts_are_about_what_was_asked_for() {
        for count in [20, 200, 1000] {
            let counts: Vec<u32> = snapshots(Config::with_regions(count))
                .unwrap()
                .skip(20)
                .take(50)
                .map(|snapshot| u32::try_from(snapshot.regions.len()).unwrap())
                .collect();
            let mean = counts.iter().sum::<u32>() / 50;
            assert!((count * 4 / 5..=count * 6 / 5).contains(&mean), "{count}: {counts:?}");
        }
    }

    #[test]
    fn times_follow_each_other_in_whole_microseconds_and_never_run_early() {
        let mut expected_start = 1_000_000_000;
        for snapshot in snapshots(Config::with_regions(20)).unwrap().take(100) {
            assert_eq!(snapshot.start_ns, expected_start);
            let lasted = snapshot.end_ns - snapshot.start_ns;
            assert!((100_020_000..=100_080_000).contains(&lasted), "{lasted}");
            assert_eq!(lasted % 1_000, 0);
            expected_start = snapshot.end_ns;
        }
    }

    #[test]
    fn a_seed_gives_one_recording() {
        let recording = |seed| -> Vec<Snapshot> {
            let config = Config { seed, ..Config::with_regions(50) };
            snapshots(config).unwrap().take(30).collect()
        };
        assert_eq!(recording(3), recording(3));
        assert_ne!(recording(3), recording(4));
    }

    /// In the centre of the hot set the access rate is near 1, and it moves.
    #[test]
    fn the_hot_set_is_hot_where_it_is() {
        let mut config = Config::with_regions(200);
        config.areas = 1;
        let (start, step, bytes) = (config.ranges[0].start, config.hot_step, config.hot_bytes);
        for (index, snapshot) in (0_u64..).zip(snapshots(config).unwrap().take(100)).skip(30) {
            let centre = start + index * step + bytes / 2;
            if let Some(region) =
                snapshot.regions.iter().find(|region| (region.start..region.end).contains(&centre))
            {
                assert!(region.nr_accesses >= 15, "snapshot {index}: {region:?}");
            }
        }
    }

    #[test]
    fn nonsense_is_refused_or_survived() {
        let mut config = Config::with_regions(20);
        config.attrs.min_nr_regions = 0;
        assert!(snapshots(config).is_err());

        let mut config = Config::with_regions(20);
        config.ranges.swap(0, 1);
        assert!(snapshots(config).is_err());

        let mut config = Config::with_regions(0);
        config.ranges = vec![AddressRange { start: 0, end: u64::MAX }];
        config.granule = 1;
        config.areas = 0;
        config.hot_step = u64::MAX;
        config.hot_bytes = u64::MAX;
        config.start_ns = u64::MAX;
        assert_eq!(snapshots(config).unwrap().take(3).count(), 3);
    }
}
