//! The seeds of the fuzz targets, and whatever they once found, on the stable compiler.

use crate::common::{blocks_of, small, write};
use crate::fuzz_bodies;
use damon_format::{Completeness, WriterOptions};
use std::path::{Path, PathBuf};

type Body = fn(&[u8]);
const TARGETS: [(&str, Body); 3] = [
    ("reader", fuzz_bodies::reader),
    ("recovery", fuzz_bodies::recovery),
    ("sections", fuzz_bodies::sections),
];

fn seeds(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/fuzz").join(target)
}

#[test]
fn seeds_of_every_target_pass() {
    for (target, body) in TARGETS {
        let files: Vec<PathBuf> =
            std::fs::read_dir(seeds(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() >= 3, "the seeds of {target} are missing");
        for file in files {
            body(&std::fs::read(file).unwrap());
        }
    }
}

/// Seeds of another format would only try the ways out.
#[test]
fn whole_seeds_are_whole() {
    for target in ["reader", "recovery"] {
        for number in 0..3 {
            let trace = std::fs::read(seeds(target).join(format!("whole-{number}"))).unwrap();
            let report = damon_format::verify(&trace).unwrap();
            assert_eq!((report.completeness, report.damage), (Completeness::Complete, vec![]));
            assert_eq!(report.snapshots, if number == 0 { 0 } else { 5 });
        }
    }
}

#[test]
fn the_bodies_reach_what_they_test() {
    // A trace of which one checksum is wrong becomes whole again, else `reader` would test little.
    let good = write(&small(), WriterOptions::default());
    let last = good.len() - 1;
    let mut bad = good.clone();
    bad[last] ^= 1;
    assert_eq!(fuzz_bodies::resealed(&bad), good);
    assert_eq!(fuzz_bodies::resealed(&good), good);
}

#[test]
#[ignore = "writes seeds; run by hand when there are none"]
fn plant_seeds() {
    let mut several = WriterOptions::default();
    several.flush_interval_ns = 0;
    several.block_rows = 3;
    let traces = [
        write(&[], WriterOptions::default()),
        write(&small(), WriterOptions::default()),
        write(&small(), several),
    ];
    for target in ["reader", "recovery"] {
        std::fs::create_dir_all(seeds(target)).unwrap();
        for (number, trace) in traces.iter().enumerate() {
            std::fs::write(seeds(target).join(format!("whole-{number}")), trace).unwrap();
            let cut = &trace[..trace.len() * 3 / 4];
            std::fs::write(seeds(target).join(format!("cut-{number}")), cut).unwrap();
        }
    }
    std::fs::create_dir_all(seeds("sections")).unwrap();
    let plain = blocks_of(&traces[2]).into_iter().flat_map(|block| block.raw());
    for (number, raw) in plain.enumerate() {
        let seed = [&[0x80], raw.as_slice()].concat();
        std::fs::write(seeds("sections").join(format!("sections-{number}")), seed).unwrap();
    }
    let seeds_of_bits: [&[u8]; 3] = [
        &[0x81, 0x14, 0x00, 0x12, 0x34, 0x56, 0xff, 0xee, 0x14, 0x55, 0x00],
        &[0x01, 0x0c, 0x80, 0x80, 0x88, 0x77, 0x00, 0x00, 0xee, 0x08, 0x01, 0xff],
        &[0x42, 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38, 0x11, 0x00, 0x00, 0x02, 0x00],
    ];
    for (number, seed) in seeds_of_bits.iter().enumerate() {
        std::fs::write(seeds("sections").join(format!("bits-{number}")), seed).unwrap();
    }
}
