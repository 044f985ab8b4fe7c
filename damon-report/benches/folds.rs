//! What a region costs in an analysis, once it is decoded.
//!
//! `cargo bench -p damon-report --bench folds`. 1,000 snapshots of 200 regions, half of them over areas of steady rates, handed
//! over in one thread; *decode* is what handing them over from a trace takes.
#![allow(missing_docs, reason = "criterion's macros generate public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use damon_format::{
    IndexedReader, Record, Snapshot, SnapshotView, TraceWriter, Visitor, WriterOptions,
};
use damon_record::monitor::synthetic::{Config, recording_info, snapshots};
use damon_report::analysis::axis::{bands, monitored, share_rows};
use damon_report::analysis::fold::Fold;
use damon_report::analysis::heat::{Edges, HeatSum};
use damon_report::analysis::idle::{IdleScale, IdleSum};
use damon_report::analysis::load::Trace;
use damon_report::analysis::select::{Query, Selection};
use damon_report::analysis::source::Source;
use damon_report::analysis::view::View;
use damon_report::analysis::wss::{WorkingSetOptions, WorkingSetSum};
use std::hint::black_box;

/// A snapshot in the decoder's form.
struct Columns {
    snapshot: Snapshot,
    starts: Vec<u64>,
    ends: Vec<u64>,
    nr_accesses: Vec<u32>,
    ages: Vec<u32>,
}

impl Columns {
    fn new(snapshot: Snapshot) -> Self {
        let regions = snapshot.regions.iter();
        Self {
            starts: regions.clone().map(|region| region.start).collect(),
            ends: regions.clone().map(|region| region.end).collect(),
            nr_accesses: regions.clone().map(|region| region.nr_accesses).collect(),
            ages: regions.map(|region| region.age).collect(),
            snapshot,
        }
    }

    fn view(&self) -> SnapshotView<'_> {
        SnapshotView {
            target: self.snapshot.target,
            start_ns: self.snapshot.start_ns,
            end_ns: self.snapshot.end_ns,
            sampling: self.snapshot.sampling,
            starts: &self.starts,
            ends: &self.ends,
            nr_accesses: &self.nr_accesses,
            ages: Some(&self.ages),
            probes: &[],
        }
    }
}

/// Counts regions.
struct Count(usize);

impl Visitor for Count {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.0 += black_box(snapshot).len();
    }

    fn record(&mut self, _record: Record) {}
}

fn trace(list: &[Snapshot], config: &Config) -> Vec<u8> {
    let info = recording_info(config);
    let mut writer = TraceWriter::create(Vec::new(), &info, WriterOptions::default()).unwrap();
    for snapshot in list {
        writer.snapshot(snapshot).unwrap();
    }
    writer.finish().unwrap()
}

/// Hands over all of it.
fn all<F: Fold>(mut fold: F, list: &[Columns]) -> F {
    for one in list {
        fold.snapshot(&one.view());
    }
    fold
}

fn folds(c: &mut Criterion) {
    let config = Config::with_regions(200);
    let list: Vec<Snapshot> = snapshots(config.clone()).unwrap().take(1_000).collect();
    let bytes = trace(&list, &config);
    let reader = IndexedReader::open(bytes.clone()).unwrap();
    let trace = Trace::from_source("bench".to_owned(), Source::memory(bytes)).unwrap();
    let view = View::new(&trace, &Query::default()).unwrap();
    let everything = Selection::everything();
    let list: Vec<Columns> = list.into_iter().map(Columns::new).collect();
    let rows: usize = list.iter().map(|one| one.starts.len()).sum();

    let mut group = c.benchmark_group("folds");
    group.sample_size(20).throughput(Throughput::Elements(rows as u64));
    group.bench_function("decode", |b| {
        b.iter(|| {
            let mut count = Count(0);
            for block in reader.blocks() {
                reader.visit_block(block, &mut count).unwrap();
            }
            assert_eq!(count.0, rows);
        });
    });
    for (name, exact) in [("wss", false), ("wss without intervals", true)] {
        let options = WorkingSetOptions { exact, ..WorkingSetOptions::sampled(1) };
        group.bench_function(name, |b| {
            b.iter(|| black_box(all(WorkingSetSum::new(&everything, options), &list)));
        });
    }
    for (columns, height) in [(100, 50), (1_000, 500)] {
        let bands = bands(monitored(&view.overview), height);
        let shares = share_rows(&bands, height, 1);
        let edges = Edges::new(&view.frame(columns, bands, shares), &everything);
        group.bench_function(format!("heat, {columns} x {height}"), |b| {
            b.iter(|| black_box(all(HeatSum::new(&edges), &list)));
        });
    }
    let scale = IdleScale::new();
    group.bench_function("idle", |b| {
        b.iter(|| black_box(all(IdleSum::new(&everything, &scale, view.origin_ns), &list)));
    });
    group.finish();
}

criterion_group!(benches, folds);
criterion_main!(benches);
