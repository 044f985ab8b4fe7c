//! What it costs to import a region event: as text, as perf.data, and the part that puts snapshots together.
//!
//! `cargo bench -p damon-report --bench import_events`. 100 aggregations of 1,000 regions; what is imported is not
//! written.
#![allow(missing_docs, reason = "criterion's macros generate public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use damon_format::{Record, RecordingInfo, Region, Snapshot};
use damon_report::import::events::{Event, Hits, Telling};
use damon_report::import::{ImportError, ImportOptions, Position, Sink, perf_data, trace_text};
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

const REGIONS: u32 = 1_000;
const SNAPSHOTS: u64 = 100;

/// Counts regions.
#[derive(Default)]
struct Count(usize);

impl Sink for Count {
    fn begin(&mut self, _info: RecordingInfo) -> Result<(), ImportError> {
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), ImportError> {
        self.0 += black_box(snapshot).regions.len();
        Ok(())
    }

    fn record(&mut self, _record: Record) -> Result<(), ImportError> {
        Ok(())
    }
}

fn events() -> impl Iterator<Item = (u64, Region)> {
    (0..SNAPSHOTS).flat_map(|aggregation| {
        (0..REGIONS).map(move |i| {
            let start = 0x7f00_0000_0000 + u64::from(i) * 0x10_0000;
            let region = Region { start, end: start + 0x8000, nr_accesses: i % 21, age: i };
            (40_000_000_000_000 + aggregation * 102_000_000 + u64::from(i) * 1_000, region)
        })
    })
}

fn text() -> String {
    let mut text = String::new();
    for (time_ns, Region { start, end, nr_accesses, age }) in events() {
        let (s, us) = (time_ns / 1_000_000_000, time_ns / 1_000 % 1_000_000);
        writeln!(
            text,
            "       kdamond.0    77 [001] {s}.{us:06}: damon:damon_aggregated: target_id=0 nr_regions={REGIONS} \
             {start}-{end}: {nr_accesses} {age}"
        )
        .unwrap();
    }
    text
}

/// A real recording's head, with the records of [`events`] after it.
fn piped() -> Vec<u8> {
    let real = include_bytes!("../../testdata/import/perf/pipe.data");
    // Records before the first sample, and one sample to be written again and again.
    let (mut at, mut sample) = (16, &[][..]);
    while let Some(head) = real.get(at..at + 8) {
        let size = usize::from(u16::from_le_bytes([head[6], head[7]]));
        match u32::from_le_bytes([head[0], head[1], head[2], head[3]]) {
            9 => {
                sample = &real[at..at + size];
                break;
            }
            // The descriptions of tracepoints stand after their record.
            66 => at += size + u32::from_le_bytes(*real[at + 8..].first_chunk().unwrap()) as usize,
            _ => at += size,
        }
    }
    let mut out = real[..at].to_vec();
    let round = [68_u32.to_le_bytes(), [0, 0, 8, 0]].concat();
    for (i, (time_ns, region)) in events().enumerate() {
        let mut sample = sample.to_vec();
        let raw = sample.len() - 52;
        sample[32..40].copy_from_slice(&time_ns.to_le_bytes());
        sample[raw + 16..raw + 20].copy_from_slice(&REGIONS.to_le_bytes());
        sample[raw + 24..raw + 32].copy_from_slice(&region.start.to_le_bytes());
        sample[raw + 32..raw + 40].copy_from_slice(&region.end.to_le_bytes());
        sample[raw + 40..raw + 44].copy_from_slice(&region.nr_accesses.to_le_bytes());
        sample[raw + 44..raw + 48].copy_from_slice(&region.age.to_le_bytes());
        out.extend(sample);
        if i % 5_000 == 0 {
            out.extend(&round);
        }
    }
    out
}

fn import_events(c: &mut Criterion) {
    let rows = u64::from(REGIONS) * SNAPSHOTS;
    let options = ImportOptions::default();
    let mut group = c.benchmark_group("import_events");
    group.throughput(Throughput::Elements(rows)).measurement_time(Duration::from_secs(3));
    let text = text();
    group.bench_function(format!("text, {} bytes", text.len()), |b| {
        b.iter(|| {
            let mut count = Count::default();
            trace_text::read(text.as_bytes(), &options, &mut count).unwrap();
            assert_eq!(count.0 as u64, rows);
        });
    });
    let piped = piped();
    group.bench_function(format!("perf.data, {} bytes", piped.len()), |b| {
        b.iter(|| {
            let mut count = Count::default();
            perf_data::read_stream(&*piped, &options, &mut count).unwrap();
            assert_eq!(count.0 as u64, rows);
        });
    });
    let events: Vec<_> = events().collect();
    group.bench_function("putting snapshots together", |b| {
        b.iter_batched(
            Count::default,
            |mut count| {
                let mut telling = Telling::new(&options, &mut count);
                let (target, nr_regions, has_age) = (0, REGIONS, true);
                for (time_ns, region) in &events {
                    let (region, hits) = (*region, Hits::default());
                    let event = Event::Region { target, nr_regions, region, has_age, hits };
                    telling.event(*time_ns, b"kdamond.0 77", &event, Position::Line(1)).unwrap();
                }
                telling.finish(Position::Line(1)).unwrap();
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, import_events);
criterion_main!(benches);
