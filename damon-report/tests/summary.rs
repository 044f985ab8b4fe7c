//! What several analyses tell together is what each of them tells alone.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn run(args: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_damon-report");
    let output = Command::new(program).args(args).env_remove("COLUMNS").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&run(&[args, &["--format", "json"]].concat())).unwrap()
}

/// The trace in a directory of its own.
fn put(directory: &tempfile::TempDir) -> String {
    let path = directory.path().join("work.damon");
    fs::write(&path, common::ten_seconds()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Equal but for the order in which floating-point sums were made.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| same(value, &b[name]))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
        }
        (a, b) => a == b,
    }
}

fn compare(part: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let file = put(&directory);
    let of = |command| json(&[&[command, file.as_str()], part].concat());
    let (summary, wss, idle, heatmap) = (of("summary"), of("wss"), of("idle"), of("heatmap"));
    for name in ["origin_ns", "start_ns", "end_ns"] {
        assert_eq!(summary[name], wss[name], "{name} {part:?}");
    }
    for name in ["threshold", "touched", "expected"] {
        assert!(same(&summary["working_set"][name], &wss[name]), "{name} {part:?}");
    }
    assert_eq!(Value::from(wss["samples"].as_array().unwrap().len()), summary["snapshots"]);
    for (name, value) in summary["idle"].as_object().unwrap() {
        assert!(same(value, &idle[name]), "{name} {part:?}");
    }
    for (name, value) in summary["heatmap"].as_object().unwrap() {
        assert!(same(value, &heatmap[name]), "{name} {part:?}");
    }
}

#[test]
fn it_tells_what_the_single_commands_tell() {
    compare(&[]);
    compare(&["--time", "2.05s..7s"]);
    compare(&["--time", "50%.."]);
    compare(&["--address", "0x555500100000..0x555500900000"]);
    compare(&["--target", "work", "--time", "..3s"]);
}

#[test]
fn a_directory_gets_pictures_and_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let file = put(&directory);
    let to = directory.path().join("made/here");
    let told = run(&["summary", &file, "-o", to.to_str().unwrap()]);
    let names = ["heatmap.png", "wss.png", "idle.png", "summary.json"];
    let told: Vec<PathBuf> = told.lines().map(PathBuf::from).collect();
    assert_eq!(told, names.map(|name| to.join(name)));
    let numbers: Value =
        serde_json::from_slice(&fs::read(to.join("summary.json")).unwrap()).unwrap();
    assert_eq!(numbers, json(&["summary", &file]));
    let alone = directory.path().join("alone.png");
    for command in ["heatmap", "wss", "idle"] {
        run(&[command, &file, "-o", alone.to_str().unwrap()]);
        assert!(fs::read(&alone).unwrap() == fs::read(to.join(format!("{command}.png"))).unwrap());
    }
}

#[test]
fn the_text_is_as_agreed() {
    let directory = tempfile::tempdir().unwrap();
    let text = run(&["summary", &put(&directory)]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/report/summary.txt");
    if std::env::var_os("DAMON_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "--- expected\n{expected}\n--- found\n{text}");
}
