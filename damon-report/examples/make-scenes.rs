//! Writes small traces with everything that other tools' forms stumble over: `make-scenes DIRECTORY`.
//!
//! Numbers are made by a fixed rule, so that the same files come out each time.

use damon_format::{
    AccessKind, Attrs, Backend, ClockAnchor, Finished, Granularity, Record, RecordingInfo, Region,
    Sampling, Snapshot, TargetId, TargetKind, TargetStarted, TraceWriter, WriterOptions,
};
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

const BEGIN: u64 = 539_809_434_101;

/// What there is in a scene.
struct Scene {
    name: &'static str,
    targets: u32,
    snapshots: u64,
    has_ages: bool,
    probes: usize,
    /// A pause after every so many snapshots.
    pause: u64,
    /// Snapshots without regions, every so many.
    empty: u64,
    /// From here on the aggregation interval is twice as long.
    longer: u64,
    /// Samples in an aggregation, at 5 ms each.
    samples: u32,
}

const PLAIN: Scene = Scene {
    name: "plain",
    targets: 1,
    snapshots: 60,
    has_ages: true,
    probes: 0,
    pause: u64::MAX,
    empty: u64::MAX,
    longer: u64::MAX,
    samples: 20,
};

const SCENES: [Scene; 9] = [
    PLAIN,
    Scene { name: "targets", targets: 3, snapshots: 50, ..PLAIN },
    Scene { name: "no-ages", has_ages: false, ..PLAIN },
    Scene { name: "probes", probes: 2, ..PLAIN },
    Scene { name: "pauses", pause: 7, targets: 2, ..PLAIN },
    Scene { name: "empty", empty: 9, ..PLAIN },
    Scene { name: "intervals", longer: 40, ..PLAIN },
    Scene { name: "one", snapshots: 1, ..PLAIN },
    // One sample is less than a per cent.
    Scene { name: "fine", samples: 400, ..PLAIN },
];

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: make-scenes DIRECTORY")?;
    for scene in &SCENES {
        let path = PathBuf::from(&directory).join(format!("{}.damon", scene.name));
        write(scene, BufWriter::new(File::create(path)?))?;
    }
    Ok(())
}

fn write(scene: &Scene, file: BufWriter<File>) -> Result<(), Box<dyn Error>> {
    let aggr_us = 5_000 * u64::from(scene.samples);
    let step = aggr_us * 1000;
    let mut writer = TraceWriter::create(file, &info(aggr_us), WriterOptions::default())?;
    for target in 0..scene.targets {
        writer.record(&Record::TargetStarted(TargetStarted {
            target: TargetId(target),
            time_ns: BEGIN,
            kind: TargetKind::Process,
            pid: 4711 + target,
            start_ticks: 100,
            parent: None,
            comm: "made up".into(),
            exe: "/usr/bin/made-up".into(),
        }))?;
    }
    let mut dice = 1;
    let mut start = BEGIN;
    for number in 0..scene.snapshots {
        let stretch = if number >= scene.longer { 2 } else { 1 };
        // Neither begins nor ends are whole microseconds.
        let end = start + step * stretch + roll(&mut dice) % 100_000;
        for target in 0..scene.targets {
            let mut snapshot = Snapshot::new(
                TargetId(target),
                start,
                end,
                Sampling::from_intervals(5_000, aggr_us * stretch),
                Vec::new(),
            );
            snapshot.has_ages = scene.has_ages;
            if number % scene.empty != scene.empty - 1 {
                snapshot.regions = regions(&mut dice, number, scene.has_ages);
            }
            let column =
                |at: usize| snapshot.regions.iter().map(move |r| r.nr_accesses / (2 << at));
            snapshot.probes = (0..scene.probes).map(|at| column(at).collect()).collect();
            writer.snapshot(&snapshot)?;
        }
        start = if number % scene.pause == scene.pause - 1 { end + 10 * step } else { end };
    }
    writer.record(&Record::Finished(Finished {
        time_ns: start,
        reason: "all snapshots were made".into(),
        recorder_cpu_us: 0,
    }))?;
    writer.finish()?;
    Ok(())
}

fn roll(dice: &mut u64) -> u64 {
    *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *dice >> 33
}

/// Three areas far from one another, each in regions of sizes from a page to some GiB.
fn regions(dice: &mut u64, number: u64, has_ages: bool) -> Vec<Region> {
    let mut regions = Vec::new();
    for area in [0x5555_5555_0000_u64, 0x7f12_0000_0000, 0x7ffd_0000_0000] {
        let mut at = area;
        for _ in 0..2 + roll(dice) % 6 {
            let size = 4096 << (roll(dice) % 20);
            let nr_accesses = u32::try_from((roll(dice) % 30).saturating_sub(9)).unwrap_or(0);
            let age = u32::try_from(roll(dice) % (number + 1)).unwrap_or(0);
            let age = if has_ages { age } else { 0 };
            regions.push(Region { start: at, end: at + size, nr_accesses, age });
            at += size;
        }
    }
    regions
}

fn info(aggr_us: u64) -> RecordingInfo {
    RecordingInfo {
        tool: "make-scenes".into(),
        tool_version: env!("CARGO_PKG_VERSION").into(),
        host: "nowhere".into(),
        kernel: "none".into(),
        arch: "none".into(),
        page_size: 4096,
        clock: ClockAnchor { monotonic_ns: BEGIN, realtime_ns: 1_700_000_000_000_000_000 },
        command_line: vec!["make-scenes".into()],
        backend: Backend {
            name: "synthetic".into(),
            access: AccessKind::ReadWrite,
            granularity: Granularity::Region,
            exact: false,
            reason: "made-up data".into(),
        },
        attrs: Attrs {
            sample_us: 5_000,
            aggr_us,
            update_us: 1_000_000,
            min_nr_regions: 10,
            max_nr_regions: 1_000,
        },
    }
}
