use super::super::Tracefs;
use super::super::tests::{SAMPLING, aggregated, all, raw};
use super::*;
use crate::damon::events::{Assembler, Event, EventKind, fake};
use crate::sys::fake_ring::FakeRing;
use crate::sys::ring::Reader;
use damon_format::Region;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// A ring in memory; what it counts as lost is told to nobody but by request.
#[derive(Debug)]
struct Fake {
    ring: Rc<FakeRing>,
    reader: Reader,
    counted: Rc<Cell<Option<u64>>>,
}

impl Ring for Fake {
    fn drain(&mut self, mut each: impl FnMut(Record<'_>)) {
        let _continue = self.reader.drain(self.ring.memory().unwrap(), |record| {
            each(record);
            ControlFlow::<()>::Continue(())
        });
    }

    fn lost(&self) -> Option<u64> {
        self.counted.get()
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A collector over as many rings, the rings, and what they count.
type Setup = (Perf<Fake>, Vec<Rc<FakeRing>>, Rc<Cell<Option<u64>>>);

fn perf(rings: usize, bytes: usize) -> Setup {
    let counted = Rc::new(Cell::new(None));
    let memory: Vec<_> = (0..rings).map(|_| Rc::new(FakeRing::new(bytes, 0))).collect();
    let fakes = memory.iter().map(|ring| Fake {
        ring: Rc::clone(ring),
        reader: Reader::default(),
        counted: Rc::clone(&counted),
    });
    (Perf::over(fakes.collect(), fake::decoder(), &[77]), memory, counted)
}

fn times(collected: &[Collected]) -> Vec<u64> {
    let time = |collected: &Collected| match *collected {
        Collected::Event { time_ns, .. } => time_ns,
        Collected::Lost { .. } => panic!("{collected:?}"),
    };
    collected.iter().map(time).collect()
}

fn event(time_ns: u64) -> Vec<u8> {
    raw(77, &aggregated(time_ns, 9))
}

#[test]
fn one_ring_is_handed_through() {
    let (mut perf, rings, _) = perf(1, 4096);
    for time in [5, 6, u64::MAX] {
        assert!(rings[0].sample(time, 77, 0, &event(1)));
    }
    assert!(rings[0].sample(7, 78, 0, &raw(78, &aggregated(1, 9))));
    assert_eq!(times(&all(|each| perf.drain(each))), [5, 6, u64::MAX]);
    assert_eq!((perf.tally().events, perf.tally().foreign), (3, 1));
}

#[test]
fn rings_of_several_cpus_come_out_in_the_order_of_time() {
    let (mut perf, rings, _) = perf(3, 4096);
    // A thread on CPUs 2, 0, 1, 0.
    for (cpu, time) in [(2, 1), (2, 2), (0, 3), (0, 4), (1, 5), (0, 6), (0, 7)] {
        assert!(rings[cpu].sample(time, 77, 0, &event(time)));
    }
    // Those after the moment of looking wait, though their ring has been read.
    assert_eq!(
        times(&all(|each| {
            perf.drain_until(5, each);
            Ok(())
        })),
        [1, 2, 3, 4, 5]
    );
    assert!(rings[2].sample(8, 77, 0, &event(8)));
    assert_eq!(times(&all(|each| perf.settle(each))), [6, 7, 8]);
    assert_eq!(perf.tally().late, 0);
}

#[test]
fn a_loss_is_told_where_it_happened_and_only_once() {
    for rings in [1, 2] {
        let (mut perf, rings, counted) = perf(rings, 512);
        while rings[0].sample(1, 77, 0, &event(1)) {}
        assert!(!rings[0].sample(2, 77, 0, &event(2)));
        let first = all(|each| perf.drain(each));
        assert!(first.iter().all(|what| matches!(what, Collected::Event { .. })));
        // Counted before a record tells.
        counted.set(Some(2));
        let lost = |time_ns, count| Collected::Lost { time_ns, count };
        assert_eq!(all(|each| perf.settle(each))[0], lost(None, 2));
        assert!(rings[0].sample(3, 77, 0, &event(3)));
        assert_eq!(times(&all(|each| perf.drain(each))), [3], "known already");

        while rings[0].sample(4, 77, 0, &event(4)) {}
        let _events = all(|each| perf.drain(each));
        assert!(rings[0].sample(5, 77, 0, &event(5)));
        let told = all(|each| perf.drain(each));
        assert_eq!(told[0], lost(Some(5), 1));
        assert_eq!(times(&told[1..]), [5]);
        counted.set(Some(3));
        // The other ring has the same counter here.
        let others = (rings.len() as u64 - 1) * 3;
        let _told = all(|each| perf.settle(each));
        assert_eq!(perf.tally().lost, 3 + others);
    }
}

#[test]
fn rubbish_in_a_ring_is_a_loss() {
    let (mut perf, rings, _) = perf(1, 512);
    assert!(rings[0].sample(1, 77, 0, &[1, 2, 3, 4]));
    assert!(rings[0].bytes(&[0; 8]));
    let lost = |time_ns| Collected::Lost { time_ns, count: 1 };
    assert_eq!(all(|each| perf.drain(each)), [lost(Some(1)), lost(None)]);
    assert_eq!((perf.tally().lost, perf.tally().undecodable), (2, 1));
}

#[test]
fn cpu_lists_are_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let read = |text: &str| {
        std::fs::write(file.path(), text).unwrap();
        online_cpus(file.path())
    };
    assert_eq!(read("0\n").unwrap(), [0]);
    assert_eq!(read("0-3,8,10-11\n").unwrap(), [0, 1, 2, 3, 8, 10, 11]);
    for text in ["", "a", "3-1", "0-4294967295"] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains("a list of CPUs"), "{error}");
    }
}

#[test]
fn a_thread_that_is_not_there_is_said_to_have_ended() {
    let tracefs = match Tracefs::find() {
        Ok(tracefs) => tracefs,
        Err(error) => return println!("SKIP: {error}"),
    };
    let wanted = Wanted {
        tracefs: tracefs.path(),
        threads: &[i32::MAX],
        events: &EventKind::ALL,
        bytes: Wanted::DEFAULT_BYTES,
    };
    match open(&wanted).unwrap_err() {
        CollectError::Catalog(error) => println!("SKIP: {error}"),
        error => {
            let error = error.to_string();
            assert!(error.contains("2147483647"), "{error}");
            assert!(error.contains("has ended") || error.contains("CAP_PERFMON"), "{error}");
        }
    }
}

/// Events that a thread is going to tell: CPU, time, event.
type Script = Rc<RefCell<VecDeque<(usize, u64, Event)>>>;

/// One of three rings, into which a thread goes on writing while they are read one after the other.
#[derive(Debug)]
struct Racing {
    ring: usize,
    rings: Rc<[FakeRing; 3]>,
    reader: Reader,
    script: Script,
    /// How many events come before this ring is looked at; the first for the first look.
    come: Vec<usize>,
}

impl Ring for Racing {
    fn drain(&mut self, mut each: impl FnMut(Record<'_>)) {
        let come = self.come.pop().unwrap_or(0);
        let mut script = self.script.borrow_mut();
        for _ in 0..come.min(script.len()) {
            let (cpu, time_ns, event) = script.pop_front().unwrap();
            assert!(self.rings[cpu].sample(time_ns, 77, 0, &raw(77, &event)));
        }
        let _continue = self.reader.drain(self.rings[self.ring].memory().unwrap(), |record| {
            each(record);
            ControlFlow::<()>::Continue(())
        });
    }

    fn lost(&self) -> Option<u64> {
        None
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

proptest! {
    #[test]
    fn a_thread_that_moves_between_cpus_while_they_are_read_is_followed_exactly(
        bursts in prop::collection::vec(1..6_u32, 1..12),
        cpus in prop::collection::vec(0..3_usize, 60),
        come in prop::collection::vec(prop::collection::vec(0..4_usize, 15), 3),
    ) {
        let mut script = VecDeque::new();
        let mut expected = Vec::new();
        let mut cpus = cpus.into_iter();
        for (number, &count) in (1..).zip(&bursts) {
            let begin = number * 100_000_000;
            expected.push((begin, count as usize, 0));
            for i in 0..u64::from(count) {
                script.push_back((cpus.next().unwrap(), begin + i, aggregated(i, count)));
            }
        }
        let rings: Rc<[FakeRing; 3]> = Rc::new([0; 3].map(|position| FakeRing::new(1 << 14, position)));
        let script: Script = Rc::new(RefCell::new(script));
        let racing = (0..3).zip(come).map(|(ring, come)| Racing {
            ring,
            rings: Rc::clone(&rings),
            reader: Reader::default(),
            script: Rc::clone(&script),
            come,
        });
        let mut perf = Perf::over(racing.collect(), fake::decoder(), &[77]);

        let mut assembler = Assembler::default();
        assembler.watch(77, SAMPLING);
        let mut complete = Vec::new();
        let mut each = |collected| {
            let Collected::Event { time_ns, thread, event } = collected else { return };
            assembler.push(time_ns, thread, &event, &mut |assembled| {
                complete.push((assembled.end_ns, assembled.regions.len(), assembled.missing));
            });
        };
        for _ in 0..15 {
            // The moment before the next event is told.
            let next = script.borrow().front().map_or(u64::MAX, |(_, time_ns, _)| *time_ns);
            perf.drain_until(next - 1, &mut each);
        }
        for (cpu, time_ns, event) in script.borrow_mut().drain(..) {
            prop_assert!(rings[cpu].sample(time_ns, 77, 0, &raw(77, &event)));
        }
        perf.settle(&mut each).unwrap();
        prop_assert_eq!(complete, expected);
        prop_assert_eq!(perf.tally().late, 0);
    }
}

/// The regions of a snapshot, different in each.
fn regions(snapshot: u64, count: u64) -> impl Iterator<Item = Region> {
    (0..count).map(move |i| {
        let start = 0x7f00_0000_0000 + i * 0x10_0000;
        let size = 0x1000 * (1 + (i ^ snapshot) % 256);
        let counter = |modulus| u32::try_from((i + snapshot) % modulus).unwrap();
        Region { start, end: start + size, nr_accesses: counter(21), age: counter(1000) }
    })
}

/// 1,000 regions every 100 ms for as many minutes, drained once a second from a ring of the default size.
fn minutes(minutes: u64) {
    const REGIONS: u64 = 1_000;
    const INTERVAL_NS: u64 = 100_000_000;
    let (mut perf, rings, _) = perf(1, Wanted::DEFAULT_BYTES);
    let mut assembler = Assembler::default();
    assembler.watch(77, SAMPLING);
    let mut raw = Vec::new();
    let mut seen = 0;
    for second in 0..minutes * 60 {
        for snapshot in second * 10..second * 10 + 10 {
            for (i, region) in (0..).zip(regions(snapshot, REGIONS)) {
                let nr_regions = u32::try_from(REGIONS).unwrap();
                let event = Event::Aggregated { target: 0, nr_regions, region, has_age: true };
                fake::raw(77, &event, &mut raw);
                assert!(rings[0].sample((snapshot + 1) * INTERVAL_NS + i * 1_000, 77, 0, &raw));
            }
        }
        let each = &mut |collected| {
            let Collected::Event { time_ns, thread, event } = collected else {
                panic!("{collected:?}")
            };
            assembler.push(time_ns, thread, &event, &mut |assembled| {
                assert!(assembled.is_complete());
                assert_eq!(assembled.start_ns, seen * INTERVAL_NS);
                assert!(assembled.regions.iter().copied().eq(regions(seen, REGIONS)));
                seen += 1;
            });
        };
        perf.drain(each).unwrap();
    }
    assert_eq!(seen, minutes * 600);
    assert_eq!(perf.tally(), Tally { events: seen * REGIONS, ..Tally::default() });
}

#[test]
fn two_minutes_of_a_thousand_regions_come_through_unchanged() {
    minutes(2);
}

#[test]
#[ignore = "36 million events; cargo test --release -p damon-record --lib an_hour -- --ignored"]
fn an_hour_of_a_thousand_regions_comes_through_unchanged() {
    minutes(60);
}
