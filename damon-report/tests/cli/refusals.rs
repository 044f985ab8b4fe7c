//! What is refused, with which status and which sentence.

use super::common;
use super::{Bench, run};

#[test]
fn wrong_usage_is_told_apart_from_wrong_input() {
    let bench = Bench::new();
    let file = bench.name("work.damon");
    let cases: [(&[&str], &str); 12] = [
        (&["judge", &file], "unrecognized subcommand 'judge'"),
        (&["compare", &file], "--new <NEW>"),
        (&["wss"], "required arguments were not provided"),
        (&["wss", &file, "--time", "10"], "`10` is no time range"),
        (&["wss", &file, "--time", "20s.."], "outside the recording, which lasts 10.000 s"),
        (&["wss", &file, "--time", "5s..5s"], "the time range 5s..5s ends before"),
        (&["wss", &file, "--address", "0..1000"], "nothing was monitored at the addresses 0..1000"),
        (&["wss", &file, "--target", "none"], "no target `none`; it has 0: work (pid 4711)"),
        (&["heatmap", &file, "-o", "x.gif"], "x.gif: a picture's name must end in .png or .svg"),
        (&["heatmap", &file, "-o", "x.png", "--size", "3x3"], "3x3 pixels cannot be drawn"),
        (&["heatmap", &file, "--columns", "0", "--format", "csv"], "a number from 1 to 10000"),
        (&["info", &file, "--format", "csv"], "invalid value 'csv'"),
    ];
    for (args, sentence) in cases {
        let ran = run(args);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(sentence), "{args:?}: {}", ran.err);
    }
}

#[test]
fn input_of_no_use_gets_one_sentence_and_status_4() {
    let bench = Bench::new();
    let whole = common::ten_seconds();
    let mut newer = whole.clone();
    newer[8..10].copy_from_slice(&99_u16.to_le_bytes());
    let crc = crc_of_header(&newer);
    newer[28..32].copy_from_slice(&crc.to_le_bytes());
    let nothing = common::writer(&common::info()).finish().unwrap();
    let mut one = common::writer(&common::info());
    one.record(&common::started(0, 1, "x")).unwrap();
    let no_snapshots = one.finish().unwrap();
    let cases = [
        (bench.put("empty", b""), "the file is empty"),
        (
            bench.put("text", b"hello, this is no trace at all\n"),
            "neither a trace nor a recording of another tool",
        ),
        (bench.put("short", &whole[..20]), "the trace ends at byte 20, inside its head"),
        (bench.put("newer", &newer), "format version 99.1"),
        (bench.put("nothing", &nothing), "the trace holds no snapshots"),
        (bench.put("none", &no_snapshots), "the trace holds no snapshots"),
        (bench.name("missing"), "cannot read: No such file"),
        (bench.name("."), "is a directory"),
    ];
    for (file, sentence) in cases {
        for command in ["wss", "heatmap"] {
            let ran = run(&[command, &file, "--format", "json"]);
            assert_eq!((ran.status, ran.out.as_str()), (4, ""), "{file}: {}", ran.err);
            let said = ran.err.to_lowercase();
            assert!(said.contains(&sentence.to_lowercase()), "{file}: {}", ran.err);
            assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        }
    }
    let info = run(&["info", &bench.name("nothing")]);
    assert_eq!(info.status, 0, "{}", info.err);
    assert!(info.out.contains("snapshots    0"), "{}", info.out);
}

/// CRC-32 of the file header but for the checksum itself.
fn crc_of_header(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in &bytes[..28] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
