//! Speed of the trace format on data that the monitor engine makes: region rows per second.
//!
//! `cargo bench -p damon-record --bench trace`; sizes: `cargo run --release -p damon-record --example trace-size`.
//! The bench lives here and not in damon-format because the data need the engine.
#![allow(missing_docs, reason = "criterion's macros generate public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use damon_format::{IndexedReader, Snapshot, SnapshotView, TraceWriter, Visitor, WriterOptions};
use damon_record::monitor::synthetic::{Config, recording_info, snapshots};
use std::hint::black_box;

/// Looks at every number, so that none can be left undecoded.
struct Sum(u64);

impl Visitor for Sum {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        let wide = snapshot.starts.iter().chain(snapshot.ends);
        let narrow = snapshot.nr_accesses.iter().chain(snapshot.ages.unwrap_or_default());
        self.0 = wide.fold(self.0, |sum, &n| sum.wrapping_add(n));
        self.0 = narrow.fold(self.0, |sum, &n| sum.wrapping_add(u64::from(n)));
    }
}

fn encode(data: &[Snapshot]) -> Vec<u8> {
    let sink = Vec::with_capacity(1 << 20);
    let mut writer = TraceWriter::create(
        sink,
        &recording_info(&Config::with_regions(20)),
        WriterOptions::default(),
    )
    .unwrap();
    for snapshot in data {
        writer.snapshot(snapshot).unwrap();
    }
    writer.finish().unwrap()
}

fn decode<S: damon_format::ReadAt>(reader: &IndexedReader<S>) -> u64 {
    let mut sum = Sum(0);
    for block in reader.blocks() {
        reader.visit_block(block, &mut sum).unwrap();
    }
    sum.0
}

fn rows(data: &[Snapshot]) -> u64 {
    data.iter().map(|snapshot| snapshot.regions.len() as u64).sum()
}

fn throughput(criterion: &mut Criterion) {
    for regions in [20, 200, 1000] {
        let areas = Config::with_regions(regions);
        let alone = Config { areas: 0, ..areas.clone() };
        for (name, config) in [("hot set", alone), ("hot set over areas", areas)] {
            let data: Vec<Snapshot> = snapshots(config).unwrap().take(2_000).collect();
            let reader = IndexedReader::open(encode(&data)).unwrap();
            let mut group = criterion.benchmark_group(name);
            group.sample_size(20).throughput(Throughput::Elements(rows(&data)));
            group.bench_function(BenchmarkId::new("encode", regions), |bencher| {
                bencher.iter(|| encode(black_box(&data)));
            });
            group.bench_function(BenchmarkId::new("decode", regions), |bencher| {
                bencher.iter(|| decode(black_box(&reader)));
            });
            group.finish();
        }
    }
}

criterion_group!(benches, throughput);
criterion_main!(benches);
