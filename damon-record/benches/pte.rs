//! Speed of reading page tables of another process: addresses per second by walks, bytes of address space per
//! second by scans. Needs root; prints a reason and measures nothing otherwise.
//!
//! `cargo bench -p damon-record --bench pte`
#![allow(missing_docs, reason = "criterion's macros generate public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]
#![allow(clippy::print_stdout, reason = "tells why nothing is measured")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use damon_record::backend::pte::tables::{Leaf, Tables};
use damon_record::backend::pte::{PageTables, locate};
use damon_record::proc::ProcRoot;
use damon_record::sys::area::{Reservation, Source};
use std::hint::black_box;

const GIB: usize = 1 << 30;

fn reading(criterion: &mut Criterion) {
    let proc = ProcRoot::default();
    let kernel = match PageTables::shared(&proc) {
        Ok(kernel) => kernel,
        Err(reason) => {
            println!("SKIP: {reason}");
            return;
        }
    };
    // Our own memory, since what is read does not differ from another process's.
    let mut reservation = Reservation::new(GIB + (4 << 20)).unwrap();
    let area = reservation.place(GIB, 2 << 20, 0, Source::Anonymous).unwrap();
    area.advise_huge_pages(false).unwrap();
    for offset in (0..GIB).step_by(4096) {
        area.write(offset, 1).unwrap();
    }
    let start = area.address() as u64;
    let mut tables = locate(&kernel, &proc, std::process::id()).unwrap();

    let mut group = criterion.benchmark_group("pte");
    for count in [1_u64, 64, 1000] {
        let step = GIB as u64 / count / 4096 * 4096;
        let addresses: Vec<u64> = (0..count).map(|index| start + index * step).collect();
        let mut leaves = vec![Leaf::default(); addresses.len()];
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("walk", count), |bencher| {
            bencher.iter(|| tables.walk(black_box(&addresses), &mut leaves).unwrap());
        });
    }
    group.throughput(Throughput::Bytes(GIB as u64));
    group.bench_function("scan/1GiB", |bencher| {
        bencher.iter(|| {
            let mut accessed = 0;
            let mut each = |_, _, entries: &[u64]| {
                accessed += entries.iter().filter(|entry| **entry & 0x21 == 0x21).count();
            };
            tables.scan(start, start + GIB as u64, &mut each).unwrap();
            black_box(accessed)
        });
    });
    group.finish();
    let mut group = criterion.benchmark_group("pte/once");
    group.sample_size(10);
    group.bench_function("open", |bencher| {
        bencher.iter(|| PageTables::open(&proc).unwrap());
    });
    group.bench_function("locate", |bencher| {
        bencher.iter(|| locate(&kernel, &proc, std::process::id()).unwrap());
    });
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
