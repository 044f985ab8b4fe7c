use super::*;
use crate::damon::events::{Assembled, Assembler, fake};
use damon_format::{Region, Sampling};
use std::time::{Duration, Instant};

pub(super) const SAMPLING: Sampling =
    Sampling { sample_us: 5_000, aggr_us: 100_000, max_nr_accesses: 20 };

/// One region of a burst as an event.
pub(super) fn aggregated(index: u64, nr_regions: u32) -> Event {
    let start = 0x1000 * (index + 1);
    let region = Region { start, end: start + 0x1000, nr_accesses: 1, age: 2 };
    Event::Aggregated { target: 0, nr_regions, region, has_age: true }
}

pub(super) fn raw(thread: i32, event: &Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    fake::raw(thread, event, &mut bytes);
    bytes
}

/// Everything that a collector hands over.
pub(super) fn all(
    collect: impl FnOnce(&mut dyn FnMut(Collected)) -> Result<(), CollectError>,
) -> Vec<Collected> {
    let mut all = Vec::new();
    collect(&mut |collected| all.push(collected)).unwrap();
    all
}

#[test]
fn others_events_are_counted_and_rubbish_is_a_loss() {
    let mut intake = Intake::new(fake::decoder(), &[77, 78]);
    let event = aggregated(0, 1);
    let expected = Collected::Event { time_ns: 5, thread: 78, event };
    assert_eq!(intake.event(5, &raw(78, &event)), Some(expected));
    assert_eq!(intake.event(6, &raw(79, &event)), None);
    let lost = Collected::Lost { time_ns: Some(7), count: 1 };
    assert_eq!(intake.event(7, &raw(77, &event)[..20]), Some(lost));
    let tally = Tally { events: 1, lost: 1, undecodable: 1, foreign: 1, late: 0 };
    assert_eq!(intake.tally, tally);
}

#[test]
fn filters_name_every_thread() {
    assert_eq!(thread_filter(&[77]), "common_pid == 77");
    assert_eq!(thread_filter(&[77, 8]), "common_pid == 77 || common_pid == 8");
}

/// A kdamond of this machine: its thread id.
fn kdamond() -> Option<i32> {
    let threads = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        name.starts_with("kdamond.").then(|| path.file_name()?.to_str()?.parse().ok())?
    });
    threads.min()
}

/// A collector and the complete snapshots that it has brought.
struct Watcher {
    collector: Box<dyn Collect>,
    assembler: Assembler,
    seen: Vec<Assembled>,
}

impl Watcher {
    fn new(collector: Box<dyn Collect>, thread: i32) -> Self {
        println!("{}", collector.describe());
        let mut assembler = Assembler::default();
        assembler.watch(thread, SAMPLING);
        Self { collector, assembler, seen: Vec::new() }
    }

    fn drain(&mut self) {
        let Self { collector, assembler, seen } = self;
        let each = &mut |collected| match collected {
            Collected::Event { time_ns, thread, event } => {
                assembler.push(time_ns, thread, &event, &mut |assembled| {
                    if assembled.is_complete() {
                        seen.push(assembled.clone());
                    }
                });
            }
            Collected::Lost { .. } => panic!("{collected:?}"),
        };
        collector.drain(each).unwrap();
    }
}

#[test]
fn every_way_tells_the_same_of_a_kdamond_that_somebody_else_runs() {
    let Some(thread) = kdamond() else { return println!("SKIP: no kdamond runs here") };
    let tracefs = match Tracefs::find() {
        Ok(tracefs) => tracefs,
        Err(error) => return println!("SKIP: {error}"),
    };
    let wanted = Wanted {
        tracefs: tracefs.path(),
        threads: &[thread],
        events: &[EventKind::Aggregated, EventKind::IntervalsTuned],
        bytes: 1 << 20,
    };
    let mut watchers = Vec::new();
    let opened: [Result<Box<dyn Collect>, CollectError>; 3] = [
        perf::open(&wanted).map(|perf| Box::new(perf) as Box<dyn Collect>),
        perf::open_cpus(&wanted).map(|perf| Box::new(perf) as Box<dyn Collect>),
        tracefs::open(&wanted).map(|trace| Box::new(trace) as Box<dyn Collect>),
    ];
    for collector in opened {
        match collector {
            Ok(collector) => watchers.push(Watcher::new(collector, thread)),
            Err(error) => println!("SKIP: {error}"),
        }
    }
    let since = Instant::now();
    // Each may have come in the middle of a burst.
    while watchers.iter().any(|watcher| watcher.seen.is_empty()) {
        if since.elapsed() > Duration::from_secs(30) {
            return println!("SKIP: the kdamond told nothing in half a minute");
        }
        std::thread::sleep(Duration::from_millis(50));
        watchers.iter_mut().for_each(Watcher::drain);
    }
    for watcher in &watchers {
        let tally = watcher.collector.tally();
        println!("{tally:?}");
        assert_eq!(Tally { events: 0, ..tally }, Tally::default());
    }
    let Some((first, others)) = watchers.split_first() else { return };
    let last = first.seen.last().unwrap();
    println!("{} regions", last.regions.len());
    for other in others {
        // The clock is read once for each way, so times differ by little.
        let same = |seen: &&Assembled| seen.end_ns.abs_diff(last.end_ns) < 10_000_000;
        let Some(seen) = other.seen.iter().find(same) else { continue };
        assert_eq!(seen.regions, last.regions);
        assert_eq!(seen.target_index, last.target_index);
    }
    let left: Vec<_> =
        watchers.iter().filter_map(|w| w.collector.instance().map(Path::to_owned)).collect();
    drop(watchers);
    assert!(left.iter().all(|instance| !instance.exists()), "{left:?}");
}
