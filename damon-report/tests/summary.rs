//! What several analyses tell together is what each of them tells alone.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use damon_format::{MemorySample, Record, TargetExecuted, TargetId, TraceWriter, WriterOptions};
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
    let mappings = of("mappings");
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
    for (name, value) in summary["mappings"].as_object().unwrap() {
        assert!(same(value, &mappings[name]), "{name} {part:?}");
    }
    assert!(!mappings["groups"].as_array().unwrap().is_empty());
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

/// Ten seconds in blocks of half a second, with records in all of them.
fn many_blocks() -> Vec<u8> {
    let mut options = WriterOptions::default();
    options.block_rows = 20;
    let mut writer = TraceWriter::create(Vec::new(), &common::info(), options).unwrap();
    writer.record(&common::started(0, 4711, "work")).unwrap();
    for (i, snapshot) in (0_u64..).zip(common::snapshots(0, 100)) {
        let time_ns = snapshot.end_ns;
        writer.snapshot(&snapshot).unwrap();
        if i == 15 || i == 95 {
            let comm = format!("program{i}");
            let exe = format!("/usr/bin/{comm}");
            let executed = TargetExecuted { target: TargetId(0), time_ns, comm, exe };
            writer.record(&Record::TargetExecuted(executed)).unwrap();
        }
        let sample = MemorySample {
            target: TargetId(0),
            time_ns,
            rss: i << 20,
            swap: 0,
            virtual_size: 1 << 30,
            minor_faults: i,
            major_faults: 0,
        };
        writer.record(&Record::Memory(sample)).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn a_part_of_the_time_is_the_same_whether_it_is_looked_up_or_everything_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("work.damon");
    fs::write(&path, many_blocks()).unwrap();
    let file = path.to_str().unwrap();
    // Asking for addresses, too, needs to know all of them first.
    let all = ["--address", "0x0.."];
    for time in ["2.05s..3.3s", "..1ms", "9.9s..", "50%..51%"] {
        for command in ["wss", "histogram", "nr-regions", "bandwidth", "regions", "idle", "summary"]
        {
            let part = [command, file, "--time", time];
            assert_eq!(run(&part), run(&[&part[..], &all].concat()), "{command} {time}");
        }
    }
    assert!(run(&["wss", file, "--time", "..1s"]).starts_with("program95 "));
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
