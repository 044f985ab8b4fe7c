//! Recordings that damo has written (3.4.3, `scripts/check-damo --golden testdata/damo`), against what damo itself says of them.
//!
//! `scripts/check-damo` compares far more, and needs damo; these few numbers are compared wherever tests run.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use common::{BEGIN, SECOND};
use damon_format::TargetId;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Three targets; one target of which a sample is less than a per cent.
const RECORDINGS: [&str; 2] = ["targets", "fine"];

fn path(name: &str, extension: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/damo");
    directory.join(name).with_extension(extension)
}

fn told(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path(name, "json")).unwrap()).unwrap()
}

fn run(command: &str, name: &str, options: &[&str]) -> String {
    said(command, &path(name, "data"), options)
}

fn output(command: &str, file: &Path, options: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_damon-report"));
    program.arg(command).arg(file).args(options).stdin(Stdio::null()).output().unwrap()
}

fn said(command: &str, file: &Path, options: &[&str]) -> String {
    let output = output(command, file, options);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command} {options:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(command: &str, name: &str, options: &[&str]) -> Value {
    let options: Vec<&str> = options.iter().copied().chain(["--format", "json"]).collect();
    serde_json::from_str(&run(command, name, &options)).unwrap()
}

fn numbers(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
}

/// Members of an object whose names are numbers of targets.
fn by_target(object: &Value) -> BTreeMap<u64, &Value> {
    let members = object.as_object().unwrap().iter();
    members.map(|(target, value)| (target.parse().unwrap(), value)).collect()
}

/// `# target N`, then a line for each percentile.
fn percentiles(text: &str) -> BTreeMap<u64, Vec<u64>> {
    let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut target = 0;
    for line in text.lines() {
        if let Some(number) = line.strip_prefix("# target ") {
            target = number.parse().unwrap();
        } else if !line.starts_with('#') {
            let value = line.split_whitespace().nth(1).unwrap();
            found.entry(target).or_default().push(value.parse().unwrap());
        }
    }
    found
}

#[test]
fn working_sets_are_damos_when_asked_for() {
    for name in RECORDINGS {
        let told = told(name);
        for case in told["wss"].as_array().unwrap() {
            let options = case["options"].as_array().unwrap().iter().map(|o| o.as_str().unwrap());
            let options: Vec<&str> = ["--compat", "damo"].into_iter().chain(options).collect();
            let expected = by_target(&case["percentiles"]);
            let expected: BTreeMap<u64, Vec<u64>> =
                expected.into_iter().map(|(target, list)| (target, numbers(list))).collect();
            assert_eq!(expected.values().next().unwrap().len(), 5);
            assert_eq!(percentiles(&run("wss", name, &options)), expected, "{name} {options:?}");
        }
    }
}

#[test]
fn numbers_of_regions_are_damos_when_asked_for() {
    for name in RECORDINGS {
        let told = told(name);
        let found = json("nr-regions", name, &["--compat", "damo", "--skip", "20"]);
        let targets = found["targets"].as_array().unwrap();
        let expected = by_target(&told["nr_regions"]);
        assert_eq!(targets.len(), expected.len());
        for target in targets {
            let all = &target["distribution"]["percentiles"];
            let shown = [0, 25, 50, 75, 100].map(|percent: usize| all[percent].as_f64().unwrap());
            let expected = expected[&target["target"].as_u64().unwrap()].as_array().unwrap();
            let expected: Vec<f64> = expected.iter().map(|n| n.as_f64().unwrap()).collect();
            assert!(
                shown.iter().zip(&expected).all(|(a, b)| a.total_cmp(b).is_eq()),
                "{name}: {shown:?}"
            );
            assert_eq!(shown.len(), expected.len());
        }
    }
}

#[test]
fn idle_times_are_damos_when_asked_for() {
    for name in RECORDINGS {
        let told = told(name);
        for (target, expected) in by_target(&told["recency"]) {
            let (number, at) = (format!("target {target}"), expected["at"].as_str().unwrap());
            let options = ["--compat", "damo", "--at", at, "--target", &number];
            let found = json("idle", name, &options);
            let pairs = found["targets"][0]["percentiles"].as_array().unwrap();
            let us: Vec<u64> = pairs.iter().map(|pair| pair[1].as_u64().unwrap()).collect();
            assert_eq!(us, numbers(&expected["us"]), "{name}, target {target}");
            assert_eq!(us.len(), 7);
        }
    }
}

/// Where nothing is interrupted damo's cells are ours: theirs in accesses a second, ours as shares of samples.
#[test]
fn heat_is_damos_where_damo_is_right() {
    for name in RECORDINGS {
        let told = told(name);
        for (target, grid) in by_target(&told["heatmap"]) {
            let text = |key: &str| grid[key].as_str().unwrap().to_owned();
            let (time, address) = (text("time"), text("address"));
            let (columns, rows) = (grid["columns"].to_string(), grid["rows"].to_string());
            let number = format!("target {target}");
            let options = [
                ["--format", "csv", "--target", &number],
                ["--time", &time, "--address", &address],
                ["--columns", &columns, "--rows", &rows],
            ];
            let csv = run("heatmap", name, options.as_flattened());
            let unit = grid["unit"].as_f64().unwrap();
            let cells = csv.lines().skip(1).map(|line| {
                let cells: Vec<&str> = line.split(',').collect();
                let place: (u64, u64) = (cells[3].parse().unwrap(), cells[1].parse().unwrap());
                (place, cells[5].parse::<f64>().unwrap() / unit)
            });
            let cells: BTreeMap<(u64, u64), f64> = cells.collect();
            let expected = grid["hz"].as_array().unwrap();
            assert_eq!((cells.len(), expected.len()), (120, 120), "{name}, target {target}");
            for ((place, ours), theirs) in cells.iter().zip(expected) {
                // null: nothing was monitored there.
                let theirs = theirs.as_f64().unwrap_or(0.0);
                let near = (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0);
                assert!(near, "{name}, target {target}, {place:?}: {ours}, damo's {theirs}");
            }
        }
    }
}

/// A recording of 100 ms snapshots, of those of [`common::snapshots`] that are named.
fn recording(numbers: &[usize]) -> (tempfile::TempDir, PathBuf) {
    let mut writer = common::writer(&common::info());
    let all = common::snapshots(0, 100);
    for number in numbers {
        writer.snapshot(&all[*number]).unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("made.damon");
    std::fs::write(&file, writer.finish().unwrap()).unwrap();
    (directory, file)
}

#[test]
fn a_pause_is_not_filled_with_the_ages_that_follow() {
    // Behind the pause the pattern is 4.9 s old, as old as the whole recording.
    let (_directory, file) = recording(&[0, 1, 2, 47, 48, 49]);
    let csv = said("heatmap", &file, &["--format", "csv", "--columns", "50", "--rows", "1"]);
    let mut unmonitored = 0;
    for line in csv.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let start_ns: u64 = cells[3].parse().unwrap();
        let tenth = (start_ns - BEGIN) / (SECOND / 10);
        let paused = (3..47).contains(&tenth);
        assert_eq!(cells[6].parse::<f64>().unwrap() == 0.0, paused, "monitored in {tenth}: {line}");
        assert!(!paused || cells[5].parse::<f64>().unwrap() == 0.0);
        unmonitored += u32::from(paused);
    }
    assert!(unmonitored >= 44);
}

#[test]
fn few_snapshots_are_an_answer_too() {
    let (_directory, file) = recording(&[0, 1, 2]);
    let working_set: Value =
        serde_json::from_str(&said("wss", &file, &["--format", "json"])).unwrap();
    assert_eq!(working_set["samples"].as_array().unwrap().len(), 3);
    let counts: Value =
        serde_json::from_str(&said("nr-regions", &file, &["--format", "json"])).unwrap();
    assert_eq!(counts["total"]["samples"].as_array().unwrap().len(), 3);
    // As damo does it nothing is left, and this is not an answer of nothing.
    let refused = output("wss", &file, &["--compat", "damo"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--skip"));
    let target = u64::from(TargetId(0).0);
    let kept = said("wss", &file, &["--compat", "damo", "--skip", "0"]);
    assert_eq!(percentiles(&kept)[&target], [4 * common::MIB; 5]);
}
