//! A day of recording, in memory that does not grow and on a clock that does not drift.
//!
//! The program itself replays a touch log as fast as it can, through the same files, rotation included, as a
//! recording that lasts a day.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "the figures are worth reading: --nocapture")]

use damon_format::{IndexedReader, Part, Record, SnapshotView, Visitor};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const HOUR_NS: u64 = 3_600_000_000_000;
const KEEP: usize = 5;

/// Begin and end of the snapshots of a part.
#[derive(Default)]
struct Times {
    part: Option<Part>,
    times: Vec<(u64, u64)>,
}

impl Visitor for Times {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.times.push((snapshot.start_ns, snapshot.end_ns));
    }

    fn record(&mut self, record: Record) {
        if let Record::Part(part) = record {
            self.part = Some(part);
        }
    }
}

fn read(path: &Path) -> (Part, Vec<(u64, u64)>) {
    let reader = IndexedReader::open(File::open(path).unwrap()).unwrap();
    assert_eq!(reader.damage(), &[]);
    let mut times = Times::default();
    for block in reader.blocks() {
        reader.visit_block(block, &mut times).unwrap();
    }
    (times.part.unwrap(), times.times)
}

/// The parts that are there, with the number in their name.
fn parts(directory: &Path) -> Vec<(u32, PathBuf)> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let number = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("x.")?.strip_suffix(".damon")?.parse().ok()
    };
    let mut parts: Vec<_> = paths.filter_map(|path| Some((number(&path)?, path))).collect();
    parts.sort();
    parts
}

/// The most memory that the process has had up to now, KiB; nothing when it is over.
fn peak_kib(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

struct Scale {
    /// Of the touches, and of what is recorded.
    workload: &'static str,
    sample: &'static str,
    aggr: Duration,
    regions: &'static str,
    rotate: Duration,
}

struct Figures {
    after_an_hour_kib: u64,
    after_a_day_kib: u64,
    most_bytes: u64,
    snapshots: u64,
    parts: u32,
    took: Duration,
}

fn a_day(scale: &Scale) -> Figures {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("workload.txt"), scale.workload).unwrap();
    let mut simulate = Command::new(env!("CARGO_BIN_EXE_damon-workload"));
    simulate.args(["simulate", "workload.txt", "-o", "touches"]).current_dir(dir.path());
    assert!(simulate.status().unwrap().success());

    let directory = dir.path().join("day");
    std::fs::create_dir(&directory).unwrap();
    let (aggr, rotate) = (scale.aggr.as_millis(), scale.rotate.as_secs());
    let (begun, keep) = (Instant::now(), KEEP.to_string());
    let mut recorder = Command::new(env!("CARGO_BIN_EXE_damon-record"))
        .args(["-q", "--backend", "replay:../touches", "-o", "x.damon", "--keep", &keep])
        .args(["--sample", scale.sample, "--aggr", &format!("{aggr}ms")])
        .args(["--min-regions", scale.regions, "--rotate-time", &format!("{rotate}s")])
        .current_dir(&directory)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let first_after_an_hour = u32::try_from(3600 / rotate).unwrap() + 1;
    let (mut after_an_hour_kib, mut after_a_day_kib, mut most_bytes) = (None, None, 0);
    // Peaks never fall: the last one read is that of the whole day, its last moments aside.
    while recorder.try_wait().unwrap().is_none() {
        let there = parts(&directory);
        let sizes = there.iter().filter_map(|(_, path)| Some(path.metadata().ok()?.len()));
        most_bytes = most_bytes.max(sizes.sum());
        after_a_day_kib = peak_kib(&recorder).or(after_a_day_kib);
        if there.last().is_some_and(|(number, _)| *number >= first_after_an_hour) {
            after_an_hour_kib = after_an_hour_kib.or(after_a_day_kib);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(recorder.wait().unwrap().success());
    let took = begun.elapsed();

    // Each aggregation begins where the one before it ended, and takes its time to the nanosecond: as many as fit
    // into the day are there.
    let there = parts(&directory);
    assert_eq!(there.len(), KEEP);
    let aggr_ns = u64::try_from(scale.aggr.as_nanos()).unwrap();
    let mut next = read(&there[0].1).0.first_snapshot;
    for (_, path) in &there {
        let (part, times) = read(path);
        assert_eq!(part.first_snapshot, next);
        for (start_ns, end_ns) in times {
            assert_eq!((start_ns, end_ns), (next * aggr_ns, (next + 1) * aggr_ns));
            next += 1;
        }
    }
    assert_eq!(next * aggr_ns, 24 * HOUR_NS);
    Figures {
        after_an_hour_kib: after_an_hour_kib.unwrap(),
        after_a_day_kib: after_a_day_kib.unwrap(),
        most_bytes,
        snapshots: next,
        parts: there.last().unwrap().0,
        took,
    }
}

fn assert_constant_memory(figures: &Figures) {
    let Figures { after_an_hour_kib, after_a_day_kib, most_bytes, snapshots, parts, took } =
        figures;
    println!(
        "{snapshots} snapshots in {parts} parts; peak of memory after an hour {after_an_hour_kib} KiB, after a \
         day {after_a_day_kib} KiB; most on disk {most_bytes} bytes; took {:.1} s",
        took.as_secs_f64()
    );
    let grown = after_a_day_kib.saturating_sub(*after_an_hour_kib);
    // What a leak of 50 bytes a snapshot would be; readings differ by a per cent.
    assert!(grown * 20 <= *after_an_hour_kib, "{grown} KiB more than after an hour");
}

#[test]
fn a_day_of_coarse_data_takes_no_more_memory_than_an_hour() {
    let figures = a_day(&Scale {
        workload: "area sea 8M\nphase day 24h\n  write sea 1M..2M every 10s\n  read sea 4M..6M every 30s\n",
        sample: "500ms",
        aggr: Duration::from_secs(10),
        regions: "20",
        rotate: Duration::from_secs(60),
    });
    assert_eq!(figures.parts, 1440);
    assert_constant_memory(&figures);
}

#[test]
#[ignore = "takes minutes: scripts/soak"]
fn a_day_at_the_default_intervals_takes_no_more_memory_than_an_hour() {
    let figures = a_day(&Scale {
        workload: "area sea 64M\nphase day 24h\n  write sea 4M..8M every 100ms\n  read sea 20M..22M every 50ms\n",
        sample: "5ms",
        aggr: Duration::from_millis(100),
        regions: "100",
        rotate: Duration::from_secs(60),
    });
    assert_eq!(figures.snapshots, 864_000);
    assert_constant_memory(&figures);
}
