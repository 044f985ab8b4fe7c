//! damo's JSON, as its writer lays it out: for tests, benchmarks and examples.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each user takes a part of this module"
)]

use damon_format::{Sampling, Snapshot};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Digits in groups of three.
pub fn commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + 6);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 m 20 s 100 ms`.
pub fn time(us: u64) -> String {
    let parts = [
        (us / 3_600_000_000, "h"),
        (us / 60_000_000 % 60, "m"),
        (us / 1_000_000 % 60, "s"),
        (us / 1_000 % 1_000, "ms"),
        (us % 1_000, "us"),
    ];
    let words: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if words.is_empty() { "0 ns".to_owned() } else { words.join(" ") }
}

/// `31.340 MiB`, for whole pages.
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = (1..=6_u32).rev().find(|power| bytes > 1 << (10 * power));
    let Some(power) = power else {
        return format!("{bytes} B");
    };
    let thousandths = (u128::from(bytes) * 1000 + (1 << (10 * power - 1))) >> (10 * power);
    let unit = units[power as usize - 1];
    format!("{}.{:03} {unit}", thousandths / 1000, thousandths % 1000)
}

/// Begin of a record. `target` is JSON.
pub fn begin_record(intervals: Option<Sampling>, target: &str) -> String {
    let intervals = match intervals {
        None => "null".to_owned(),
        Some(Sampling { sample_us, aggr_us, .. }) => format!(
            "{{\n            \"sample_us\": \"{sample_us}\",\n            \"aggr_us\": \"{aggr_us}\",\n            \
             \"ops_update_us\": \"1000000\",\n            \"intervals_goal\": {{\n                \
             \"access_bp\": \"0.000000\",\n                \"aggrs\": \"0\",\n                \
             \"min_sample_us\": \"0\",\n                \"max_sample_us\": \"0\"\n            }}\n        }}"
        ),
    };
    format!(
        "    {{\n        \"kdamond_idx\": 0,\n        \"context_idx\": 0,\n        \"intervals\": {intervals},\n        \
         \"scheme_idx\": null,\n        \"target_id\": {target},\n        \"scheme_filters\": [],\n        \
         \"snapshots\": ["
    )
}

/// End of a record.
pub const END_RECORD: &str = "\n        ],\n        \"data_source\": \"unknown\"\n    }";

/// One snapshot. The first probe column, if there is one, is what passed filters, in pages.
pub fn snapshot(snapshot: &Snapshot, text: &mut String) {
    let mut put = |line: std::fmt::Arguments<'_>| text.write_fmt(line).unwrap_or_default();
    put(format_args!(
        "\n            {{\n                \"start_time\": \"{}\",\n                \"end_time\": \"{}\",\n                \
         \"regions\": [",
        snapshot.start_ns, snapshot.end_ns
    ));
    let samples = u64::from(snapshot.sampling.max_nr_accesses);
    for (index, region) in snapshot.regions.iter().enumerate() {
        let age = if snapshot.has_ages {
            format!(
                "\"usec\": \"{}\",\n                            \"aggr_intervals\": \"{}\"",
                time(u64::from(region.age) * snapshot.sampling.aggr_us),
                commas(region.age.into())
            )
        } else {
            "\"usec\": null,\n                            \"aggr_intervals\": null".to_owned()
        };
        let passed = snapshot.probes.first().map_or(0, |column| column[index]);
        put(format_args!(
            "{}\n                    {{\n                        \"start\": \"{}\",\n                        \
             \"end\": \"{}\",\n                        \"nr_accesses\": {{\n                            \
             \"samples\": {},\n                            \"percent\": {}\n                        }},\n                        \
             \"age\": {{\n                            {age}\n                        }},\n                        \
             \"probe_hits\": [],\n                        \"sz_filter_passed\": \"{}\"\n                    }}",
            if index == 0 { "" } else { "," },
            commas(region.start),
            commas(region.end),
            region.nr_accesses,
            u64::from(region.nr_accesses) * 100 / samples.max(1),
            size(u64::from(passed) * 4096)
        ));
    }
    let close = if snapshot.regions.is_empty() { "]" } else { "\n                ]" };
    let total: u64 = snapshot.regions.iter().map(|region| region.end - region.start).sum();
    put(format_args!(
        "{close},\n                \"total_bytes\": \"{total}\",\n                \"damos_stats\": null,\n                \
         \"sample_interval_us\": null\n            }}"
    ));
}

/// A whole file of one record.
pub fn write(
    to: &mut dyn Write,
    intervals: Option<Sampling>,
    target: &str,
    snapshots: impl IntoIterator<Item = Snapshot>,
) -> io::Result<()> {
    write!(to, "[\n{}", begin_record(intervals, target))?;
    let mut text = String::new();
    for (number, one) in snapshots.into_iter().enumerate() {
        text.clear();
        if number > 0 {
            text.push(',');
        }
        snapshot(&one, &mut text);
        to.write_all(text.as_bytes())?;
    }
    write!(to, "{END_RECORD}\n]")
}

/// The same in memory.
pub fn text(
    intervals: Option<Sampling>,
    target: &str,
    snapshots: impl IntoIterator<Item = Snapshot>,
) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes, intervals, target, snapshots).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What Python's `zlib.compress` makes of it, or something very like it.
pub fn compress(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(text).unwrap_or_default();
    encoder.finish().unwrap_or_default()
}
