//! What it costs to bring one event of the kernel's DAMON from the ring into a snapshot.
//!
//! `cargo bench -p damon-record --bench events`. A second of 1,000 regions every 100 ms is written to a ring as the
//! kernel writes it; only reading it is timed.
#![allow(missing_docs, reason = "criterion's macros generate public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use damon_format::{Region, Sampling};
use damon_record::damon::collect::perf::{Perf, Ring};
use damon_record::damon::collect::{Collect as _, Collected, Wanted};
use damon_record::damon::events::{Assembler, Event, fake};
use damon_record::sys::fake_ring::FakeRing;
use damon_record::sys::ring::{Reader, Record};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

const REGIONS: u32 = 1_000;
const SNAPSHOTS: u64 = 10;
const INTERVAL_NS: u64 = 100_000_000;
const THREAD: i32 = 77;

#[derive(Debug)]
struct Memory {
    ring: Rc<FakeRing>,
    reader: Reader,
}

impl Ring for Memory {
    fn drain(&mut self, mut each: impl FnMut(Record<'_>)) {
        let _continue = self.reader.drain(self.ring.memory().unwrap(), |record| {
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

/// Writes a second of events, and returns the time after it.
fn fill(ring: &FakeRing, mut time_ns: u64) -> u64 {
    let mut raw = Vec::new();
    for _ in 0..SNAPSHOTS {
        for i in 0..REGIONS {
            let start = 0x7f00_0000_0000 + u64::from(i) * 0x10_0000;
            let region = Region { start, end: start + 0x8000, nr_accesses: i % 21, age: i };
            let event = Event::Aggregated { target: 0, nr_regions: REGIONS, region, has_age: true };
            fake::raw(THREAD, &event, &mut raw);
            assert!(ring.sample(time_ns + u64::from(i) * 1_000, THREAD, 0, &raw));
        }
        time_ns += INTERVAL_NS;
    }
    time_ns
}

/// Times `read` alone, as often as asked, each time with a second of new events.
fn timed(rounds: u64, ring: &FakeRing, mut read: impl FnMut()) -> Duration {
    let mut time_ns = INTERVAL_NS;
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        time_ns = fill(ring, time_ns);
        let before = Instant::now();
        read();
        spent += before.elapsed();
    }
    spent
}

fn events(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("events");
    group.sample_size(30).throughput(Throughput::Elements(SNAPSHOTS * u64::from(REGIONS)));
    let ring = Rc::new(FakeRing::new(Wanted::DEFAULT_BYTES, 0));
    let memory = |ring: &Rc<FakeRing>| Memory { ring: Rc::clone(ring), reader: Reader::default() };

    group.bench_function("ring", |bencher| {
        let mut memory = memory(&ring);
        bencher.iter_custom(|rounds| {
            timed(rounds, &ring, || {
                memory.drain(|record| {
                    black_box(record);
                });
            })
        });
    });
    group.bench_function("ring and decoder", |bencher| {
        let mut perf = Perf::over(vec![memory(&ring)], fake::decoder(), &[THREAD]);
        bencher.iter_custom(|rounds| {
            timed(rounds, &ring, || {
                perf.drain(&mut |what| {
                    black_box(what);
                })
                .unwrap();
            })
        });
    });
    for rings in [1, 2] {
        let name = ["ring, decoder and snapshots", "two rings in order, decoder and snapshots"];
        group.bench_function(name[rings - 1], |bencher| {
            let idle = Rc::new(FakeRing::new(4096, 0));
            let mut all = vec![memory(&ring)];
            all.resize_with(rings, || memory(&idle));
            let mut perf = Perf::over(all, fake::decoder(), &[THREAD]);
            let mut regions = 0;
            bencher.iter_custom(|rounds| {
                // Time begins anew each time, so the assembler does, too.
                let mut assembler = Assembler::default();
                assembler.watch(THREAD, Sampling::from_intervals(5_000, 100_000));
                timed(rounds, &ring, || {
                    let each = &mut |what| {
                        let Collected::Event { time_ns, thread, event } = what else {
                            return;
                        };
                        assembler.push(time_ns, thread, &event, &mut |assembled| {
                            assert!(assembled.is_complete());
                            regions += assembled.regions.len();
                        });
                    };
                    perf.settle(each).unwrap();
                })
            });
            assert!(regions > 0);
        });
    }
    group.finish();
}

criterion_group!(benches, events);
criterion_main!(benches);
