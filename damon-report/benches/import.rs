//! What it costs to bring one region of another tool's recording into a trace.
//!
//! `cargo bench -p damon-report --bench import`. 120 snapshots of 1,000 regions as damo writes them; reading and encoding are
//! timed together, as `damon-report import` does them.
#![allow(missing_docs, reason = "criterion's macros generate public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use damon_format::Snapshot;
use damon_record::monitor::synthetic::{Config, snapshots};
use damon_report::import::damo_json::{Pace, read_at};
use damon_report::import::{
    Encoder, ImportError, ImportOptions, Input, Kind, SideFiles, convert, in_memory,
};
use std::hint::black_box;
use std::io::Cursor;
use std::sync::Arc;

#[path = "../tests/common/damo_text.rs"]
mod damo_text;

const SNAPSHOTS: usize = 120;
const REGIONS: u32 = 1_000;

fn record(snapshots: &[Snapshot]) -> Vec<u8> {
    let mut bytes = b"damon_recfmt_ver\x02\0\0\0".to_vec();
    for snapshot in snapshots {
        bytes.extend((snapshot.end_ns / 1_000_000_000).to_le_bytes());
        bytes.extend((snapshot.end_ns % 1_000_000_000).to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend(u32::try_from(snapshot.regions.len()).unwrap().to_le_bytes());
        for region in &snapshot.regions {
            bytes.extend(region.start.to_le_bytes());
            bytes.extend(region.end.to_le_bytes());
            bytes.extend(region.nr_accesses.to_le_bytes());
        }
    }
    bytes
}

fn import(c: &mut Criterion) {
    let made: Vec<Snapshot> =
        snapshots(Config::with_regions(REGIONS)).unwrap().take(SNAPSHOTS).collect();
    let rows: usize = made.iter().map(|snapshot| snapshot.regions.len()).sum();
    let text = damo_text::text(Some(made[0].sampling), "0", made.clone()).into_bytes();
    // Shared: an input outlives whoever asks for it, and copying 60 MB would be most of what is measured.
    let compressed: Arc<[u8]> = damo_text::compress(&text).into();
    let text: Arc<[u8]> = text.into();
    let record: Arc<[u8]> = record(&made).into();
    let options = ImportOptions::default();
    let mut group = c.benchmark_group("import");
    group.throughput(Throughput::Elements(rows as u64));
    group.sample_size(20);
    for (name, kind, bytes) in [
        ("json", Kind::DamoJson, &text),
        ("json_compressed", Kind::DamoJsonCompressed, &compressed),
        ("record", Kind::DamoRecord, &record),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let input = Input::stream(Cursor::new(Arc::clone(bytes)));
                let to = (Vec::new(), in_memory());
                black_box(convert(input, kind, &options, SideFiles::default(), to).unwrap())
            });
        });
    }
    group.bench_function("json in another layout", |b| {
        b.iter(|| -> Result<_, ImportError> {
            let mut sink = Encoder::new(Vec::new(), in_memory());
            let pace = Pace { fast: false, ..Pace::default() };
            read_at(pace, Cursor::new(Arc::clone(&text)), false, &options, &mut sink)?;
            black_box(sink.finish())
        });
    });
    group.finish();
}

criterion_group!(benches, import);
criterion_main!(benches);
