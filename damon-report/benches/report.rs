//! What whole analyses cost, decoding included, and what a picture costs after them.
//!
//! `cargo bench -p damon-report --bench report`. 6,000 snapshots of 200 regions, half of them over areas of steady rates: five
//! blocks, which all threads decode. Rows per second; for painting, pixels per second.
#![allow(missing_docs, reason = "criterion's macros generate public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use damon_format::damos::Schemes;
use damon_format::{AccessKind, TraceWriter, WriterOptions};
use damon_record::monitor::synthetic::{Config, recording_info, snapshots};
use damon_report::analysis::axis::BandSpan;
use damon_report::analysis::idle::{IdleScale, IdleSum};
use damon_report::analysis::load::Trace;
use damon_report::analysis::regions::{RegionOptions, regions};
use damon_report::analysis::select::{Query, Selection};
use damon_report::analysis::simulate::{Options, Plan};
use damon_report::analysis::source::Source;
use damon_report::analysis::view::{Drawn, View, Wanted};
use damon_report::analysis::wss::{WorkingSetOptions, WorkingSetSum};
use damon_report::render::heatmap::{Picture, grid, heatmap_png, max_bands, readable_bands};
use damon_report::render::{Extras, Look, RenderError};
use std::hint::black_box;

const SNAPSHOTS: usize = 6_000;
const REGIONS: u32 = 200;
/// Of the picture, the command's default.
const SIZE: (u32, u32) = (1280, 800);

fn trace() -> Trace {
    let config = Config::with_regions(REGIONS);
    let info = recording_info(&config);
    let mut writer = TraceWriter::create(Vec::new(), &info, WriterOptions::default()).unwrap();
    for snapshot in snapshots(config).unwrap().take(SNAPSHOTS) {
        writer.snapshot(&snapshot).unwrap();
    }
    Trace::from_source("bench".to_owned(), Source::memory(writer.finish().unwrap())).unwrap()
}

/// What the command computes before it paints.
fn drawn(trace: &Trace) -> Drawn {
    let view = View::for_picture(trace, &Query::default()).unwrap();
    let (width, height) = SIZE;
    let wanted = Wanted {
        unmapped: false,
        most: max_bands(width, height).unwrap(),
        readable: readable_bands(width, height).unwrap(),
        options: WorkingSetOptions::without_intervals(1),
    };
    let cells = |bands: &[BandSpan]| {
        let ranges: Vec<_> = bands.iter().map(|band| band.range.clone()).collect();
        let grid = grid(width, height, &ranges, Extras::default())?;
        Ok::<_, RenderError>((grid.columns, grid.rows))
    };
    view.picture(trace, &wanted, cells).unwrap()
}

fn report(c: &mut Criterion) {
    let trace = trace();
    let rows: u64 = trace.blocks().iter().map(|block| block.rows).sum();
    let everything = Selection::everything();
    let view = View::new(&trace, &Query::default()).unwrap();
    let mut group = c.benchmark_group("report");
    group.sample_size(20).throughput(Throughput::Elements(rows));
    group.bench_function("overview", |b| {
        b.iter(|| black_box(View::new(&trace, &Query::default()).unwrap()));
    });
    let options = WorkingSetOptions::sampled(1);
    group.bench_function("wss", |b| {
        b.iter(|| black_box(trace.fold(&everything, || WorkingSetSum::new(&everything, options))));
    });
    let scale = IdleScale::new();
    group.bench_function("idle", |b| {
        let new = || IdleSum::new(&everything, &scale, view.origin_ns);
        b.iter(|| black_box(trace.fold(&everything, new)));
    });
    group.bench_function("regions, of one moment", |b| {
        b.iter(|| black_box(regions(&trace, &view, None, &RegionOptions::default()).unwrap()));
    });
    group.bench_function("heat and working set of a picture", |b| {
        b.iter(|| black_box(drawn(&trace)));
    });
    for (name, json) in [
        (
            "simulate",
            r#"[{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "0 %"}}}]"#,
        ),
        (
            "simulate with a quota",
            r#"[{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "0 %"}},
                 "quotas": {"sz_bytes": "16 MiB", "reset_interval_ms": "1 s"}}]"#,
        ),
    ] {
        let schemes = Schemes::from_json(json).unwrap();
        let plan = Plan::new(&trace, &view, &schemes, Options::default()).unwrap();
        group.bench_function(name, |b| b.iter(|| black_box(plan.run(&trace).unwrap())));
    }
    group.finish();
}

fn painting(c: &mut Criterion) {
    let drawn = drawn(&trace());
    let marginal = drawn.heatmap.marginal();
    let look = Look::default();
    let picture = Picture {
        heatmap: &drawn.heatmap,
        working_set: &drawn.working_set.samples,
        resident: &drawn.working_set.resident,
        title: "bench",
        subtitle: "made-up data",
        access: AccessKind::ReadWrite,
        origin_ns: drawn.heatmap.start_ns,
        samples_per_second: Some(200.0),
        marks: &[],
        marginal: &marginal,
        show_marginal: false,
        look: &look,
    };
    let (width, height) = SIZE;
    let mut group = c.benchmark_group("painting");
    group.sample_size(20).throughput(Throughput::Elements(u64::from(width) * u64::from(height)));
    group.bench_function(format!("PNG, {width} x {height}"), |b| {
        b.iter(|| black_box(heatmap_png(&picture, width, height).unwrap()));
    });
    group.bench_function("sums of rows", |b| b.iter(|| black_box(drawn.heatmap.marginal())));
    group.finish();
}

criterion_group!(benches, report, painting);
criterion_main!(benches);
