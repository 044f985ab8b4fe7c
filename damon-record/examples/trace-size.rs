//! Bytes per region row of traces of made-up recordings, all framing included.
//!
//! `cargo run --release -p damon-record --example trace-size`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, run by hand")]

use damon_format::{Snapshot, TraceWriter, WriterOptions};
use damon_record::monitor::synthetic::{Config, recording_info, snapshots};

fn bytes(data: &[Snapshot], options: WriterOptions) -> usize {
    let mut writer =
        TraceWriter::create(Vec::new(), &recording_info(&Config::with_regions(20)), options)
            .unwrap();
    for snapshot in data {
        writer.snapshot(snapshot).unwrap();
    }
    writer.finish().unwrap().len()
}

fn main() {
    let default = WriterOptions::default();
    let mut one_block = default;
    one_block.block_rows = u64::MAX;
    one_block.block_span_ns = u64::MAX;
    let mut one_flush = one_block;
    one_flush.flush_interval_ns = u64::MAX;

    println!(
        "| data | regions | ages | rows per snapshot | B/row | without block ends | nor flushes |"
    );
    println!("|---|---|---|---|---|---|---|");
    for regions in [20, 200, 1000] {
        let areas = Config::with_regions(regions);
        let alone = Config { areas: 0, ..areas.clone() };
        for (name, config) in [("hot set", alone), ("hot set over areas", areas)] {
            let with: Vec<Snapshot> = snapshots(config).unwrap().take(6_000).collect();
            let mut without = with.clone();
            for snapshot in &mut without {
                snapshot.has_ages = false;
                snapshot.regions.iter_mut().for_each(|region| region.age = 0);
            }
            let rows: usize = with.iter().map(|snapshot| snapshot.regions.len()).sum();
            let count = f64::from(u32::try_from(rows).unwrap());
            for (ages, data) in [("yes", &with), ("no", &without)] {
                let size =
                    |options| f64::from(u32::try_from(bytes(data, options)).unwrap()) / count;
                println!(
                    "| {name} | {regions} | {ages} | {:.1} | {:.3} | {:.3} | {:.3} |",
                    count / 6_000.0,
                    size(default),
                    size(one_block),
                    size(one_flush),
                );
            }
        }
    }
}
