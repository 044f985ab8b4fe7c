//! Where input comes from and output goes to: pipes, closed descriptors, full disks.

use super::common;
use super::common::program::Ran;
use super::{Bench, program, run, run_with_stdin};
use std::fs;
use std::process::{Command, Stdio};

#[test]
fn standard_input_gives_what_the_file_gives() {
    let bench = Bench::new();
    let file = bench.name("work.damon");
    let from_file = run(&["wss", &file]);
    let from_pipe = run_with_stdin(&["wss", "-"], &common::ten_seconds());
    assert_eq!((from_pipe.status, from_pipe.err.as_str()), (0, ""));
    assert_eq!(from_pipe.out, from_file.out);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let bench = Bench::new();
    let mut child = program(&["raw", &bench.name("work.damon"), "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = Ran::of(&child.wait_with_output().unwrap());
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
}

/// Rust's runtime puts `/dev/null` where standard output was closed, and its handle hides `EBADF`.
#[test]
fn a_standard_output_that_is_closed_or_not_for_writing_is_an_output_error() {
    let bench = Bench::new();
    let file = bench.name("work.damon");
    let run = |words: &str| {
        let script = format!("exec \"$0\" {words}");
        let program = env!("CARGO_BIN_EXE_damon-report");
        Ran::of(&Command::new("sh").args(["-c", &script, program, &file]).output().unwrap())
    };
    let closed = run("wss \"$1\" >&-");
    assert_eq!(closed.status, 5);
    assert!(closed.err.contains("standard output: it was closed"), "{}", closed.err);
    assert_eq!(run("--help >&-").status, 5);
    assert_eq!(run("wss \"$1\" 1</dev/null").status, 5);
    assert_eq!(run("wss \"$1\" >/dev/null").status, 0);
    assert_eq!(run("wss \"$1\" 1<>/dev/null").status, 0);
}

#[test]
fn a_full_disk_is_an_output_error() {
    let bench = Bench::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = program(&["raw", &bench.name("work.damon")]).stdout(full).output().unwrap();
    let ran = Ran::of(&output);
    assert_eq!(ran.status, 5);
    assert!(ran.err.starts_with("damon-report: cannot write to standard output: "), "{}", ran.err);
    let unwritable = run(&["heatmap", &bench.name("work.damon"), "-o", "/nowhere/x.png"]);
    assert_eq!(unwritable.status, 5);
    assert!(unwritable.err.contains("/nowhere/x.png: cannot write: "), "{}", unwritable.err);
}
