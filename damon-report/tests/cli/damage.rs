//! Damaged and truncated traces, and repairing them.

use super::common;
use super::{Bench, json, output_with_stdin, run};
use std::fs;

/// A trace of which one byte in the middle is wrong.
fn damaged() -> Vec<u8> {
    let mut bytes = common::ten_seconds();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    bytes
}

#[test]
fn a_damaged_trace_is_used_as_far_as_it_goes() {
    let bench = Bench::new();
    let file = bench.put("damaged", &damaged());
    let verify = run(&["verify", &file]);
    assert_eq!((verify.status, verify.err.as_str()), (4, ""));
    assert!(verify.out.contains(": byte "), "{}", verify.out);
    let as_json = run(&["verify", &file, "--format", "json"]);
    assert_eq!(as_json.status, 4);
    assert!(!json(&as_json.out)["damage"].as_array().unwrap().is_empty());

    for command in ["info", "wss", "raw"] {
        let ran = run(&[command, &file]);
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(ran.err.starts_with("warning: "), "{command}: {}", ran.err);
        assert!(ran.err.contains(": byte "), "{command}: {}", ran.err);
        assert!(!ran.out.is_empty());
    }
}

#[test]
fn a_truncated_trace_is_used_up_to_its_end() {
    let bench = Bench::new();
    let whole = common::ten_seconds();
    let file = bench.put("cut", &whole[..whole.len() * 2 / 3]);
    let wss = run(&["wss", &file]);
    assert_eq!(wss.status, 0, "{}", wss.err);
    assert!(wss.err.contains("everything before is used"), "{}", wss.err);
    assert_eq!(run(&["verify", &file]).status, 4);
    let info = run(&["info", &file]);
    assert!(info.out.contains("interrupted"), "{}", info.out);
}

#[test]
fn repair_writes_a_new_file_that_verifies() {
    let bench = Bench::new();
    let file = bench.put("damaged", &damaged());
    let output = bench.name("repaired");
    let repair = run(&["repair", &file, "-o", &output]);
    assert_eq!((repair.status, repair.err.as_str()), (0, ""));
    assert!(repair.out.contains("snapshots") && repair.out.contains(": byte "), "{}", repair.out);
    assert_eq!(fs::read(bench.path("damaged")).unwrap(), damaged());
    assert_eq!(run(&["verify", &output]).status, 0);

    let again = run(&["repair", &file, "-o", &output]);
    assert_eq!(again.status, 5);
    assert!(again.err.contains("exists already"), "{}", again.err);
    assert_eq!(run(&["repair", &file, "-o", &output, "--force"]).status, 0);

    let itself = run(&["repair", &file, "-o", &file, "--force"]);
    assert_eq!(itself.status, 2);
    assert!(itself.err.contains("which is never changed"), "{}", itself.err);

    let text = bench.put("text", b"no trace at all, only some words in a file");
    let nothing = bench.name("nothing-to-repair");
    assert_eq!(run(&["repair", &text, "-o", &nothing]).status, 4);
    // The first block and garbage: the recording is recognised, and nothing of it is left.
    let head = &common::ten_seconds()[..300];
    let head = bench.put("head", &[head, &[0xff; 64]].concat());
    let repair = run(&["repair", &head, "-o", &nothing]);
    assert_eq!((repair.status, repair.err.contains("no snapshot could be read")), (4, true));
    let left = fs::read_dir(bench.directory.path()).unwrap();
    let names: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|n| n.to_string_lossy().starts_with("nothing")), "{names:?}");
}

#[test]
fn repair_works_between_pipes() {
    let output = output_with_stdin(&["repair", "-", "-o", "-"], &damaged());
    assert_eq!(output.status.code(), Some(0));
    let bench = Bench::new();
    let file = bench.put("piped", &output.stdout);
    assert_eq!(run(&["verify", &file]).status, 0);
}
