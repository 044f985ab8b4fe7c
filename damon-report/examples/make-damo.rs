//! Writes a recording of any size as damo would, for benchmarks: `make-damo FILE [ROWS [REGIONS]]`.
//!
//! What `make-trace` writes, in damo's `json`, or `json_compressed` unless the name ends in `.json`.

use damon_record::monitor::synthetic::{Config, snapshots};
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

#[path = "../tests/common/damo_text.rs"]
mod damo_text;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: make-damo FILE [ROWS [REGIONS]]")?;
    let mut number = |default: u64| args.next().map_or(Ok(default), |text| text.parse());
    let rows: u64 = number(1_200_000)?;
    let config = Config::with_regions(u32::try_from(number(200)?)?);
    let attrs = config.attrs;
    let sampling = damon_format::Sampling::from_intervals(attrs.sample_us, attrs.aggr_us);
    let mut left = rows;
    let some = snapshots(config)?.take_while(move |snapshot| {
        let more = left > 0;
        left = left.saturating_sub(snapshot.regions.len() as u64);
        more
    });
    let mut file = BufWriter::new(File::create(&path)?);
    if Path::new(&path).extension().is_some_and(|extension| extension == "json") {
        damo_text::write(&mut file, Some(sampling), "0", some)?;
    } else {
        let level = flate2::Compression::new(6);
        let mut encoder = flate2::write::ZlibEncoder::new(&mut file, level);
        damo_text::write(&mut encoder, Some(sampling), "0", some)?;
        encoder.finish()?;
    }
    file.flush()?;
    Ok(())
}
