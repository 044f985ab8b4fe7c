//! The program as people and scripts meet it: output, exit statuses, sentences.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]
#![allow(unreachable_pub, reason = "modules of one test binary share their helpers")]

#[path = "../common/mod.rs"]
mod common;

mod damage;
mod outputs;
mod progress;
mod refusals;

use common::program::Ran;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_damon-report"));
    command.args(args).env_remove("COLUMNS").env_remove("NO_COLOR");
    command
}

fn run(args: &[&str]) -> Ran {
    Ran::of(&program(args).stdin(Stdio::null()).output().unwrap())
}

fn output_with_stdin(args: &[&str], input: &[u8]) -> Output {
    let mut child = program(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// A directory that holds `work.damon` and whatever else a test needs.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        bench.put("work.damon", &common::ten_seconds());
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}
