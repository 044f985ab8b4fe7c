//! The seeds of the fuzz targets, and whatever they once found, on the stable compiler.

use crate::collect::snapshots;
use crate::damo_text::{compress, text};
use crate::{damo_record, fuzz_bodies};
use damon_format::Sampling;
use std::path::{Path, PathBuf};

type Body = fn(&[u8]);
const TARGETS: [(&str, Body); 5] = [
    ("damo_json", fuzz_bodies::damo_json),
    ("damo_record", fuzz_bodies::damo_record),
    ("any_input", fuzz_bodies::any_input),
    ("trace_text", fuzz_bodies::trace_text),
    ("events", fuzz_bodies::events),
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

#[test]
#[ignore = "writes seeds; run by hand when there are none"]
fn plant_seeds() {
    let usual = Some(Sampling::from_intervals(5_000, 100_000));
    let whole = text(usual, "0", snapshots(&[2, 3])).into_bytes();
    let old = text(None, "18446612716735190648", snapshots(&[1])).into_bytes();
    let with = |how: u8, bytes: &[u8]| [&[how], bytes].concat();
    let plant = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(seeds(target)).unwrap();
        std::fs::write(seeds(target).join(name), bytes).unwrap();
    };
    plant("damo_json", "whole", &with(8, &whole));
    plant("damo_json", "cut", &with(2, &whole[..whole.len() * 2 / 3]));
    plant("damo_json", "old", &with(4, &old));
    plant("damo_json", "deflated", &with(7, &compress(&whole)));
    let squeezed: Vec<u8> =
        whole.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    plant("damo_json", "squeezed", &with(0, &squeezed));
    for version in 0..3 {
        let bytes = damo_record::bytes(version, &damo_record::sample());
        plant("damo_record", &format!("version-{version}"), &bytes);
    }
    let beside = |index: u8, side: &str| {
        // The split is in 64ths of the whole: 32 of them, since both halves are as long.
        let mut side = side.as_bytes().to_vec();
        side.resize(old.len(), b' ');
        [&[32 << 2 | index], side.as_slice(), &old].concat()
    };
    let kdamonds = r#"[{"pid": 9, "contexts": [{"ops": "vaddr", "targets": [{"pid": 42}],
        "intervals": {"sample_us": "5 ms"}, "nr_regions": {"min": "10", "max": "1,000"}, "schemes": [{}]}]}]"#;
    plant("any_input", "kdamonds", &beside(0, kdamonds));
    let memory = r#"[{"time": 1790000000.25, "footprints": [{"pid": 42, "footprint": {"size": 10}},
        {"pid": null, "footprint": {"total": 100, "free": "50"}}]}]"#;
    plant("any_input", "memory", &beside(1, memory));
    let maps = r#"[{"time": 1790000000, "procvmas": [{"pid": 42, "vmas": [{"start": 1, "end": 2, "name": "0"}]}]}]"#;
    plant("any_input", "mappings", &beside(2, maps));
}
