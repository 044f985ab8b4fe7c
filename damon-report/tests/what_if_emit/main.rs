//! Simulated schemes as they are handed over: read, run and compared by whoever takes them.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "../common/mod.rs"]
mod common;

mod sysfs;

use clap::Parser as _;
use common::program::Ran;
use common::{BEGIN, MIB, SECOND};
use damon_format::damos::Schemes;
use damon_format::{
    AccessKind, Record, Region, Sampling, Snapshot, TargetId, TargetKind, TargetStarted,
    TraceWriter, WriterOptions,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        bench.put("work.damon", &recording(TargetKind::Process, "wo\nrk"));
        bench.put("physical.damon", &recording(TargetKind::Physical, ""));
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn emit(&self, file: &str, schemes: &str, form: &str) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_damon-report"))
            .args(["simulate", file, "--schemes", schemes, "--emit", form])
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran::of(&output)
    }

    /// Runs a script of that text on DAMON's directory `admin`.
    fn sh(&self, text: &str, admin: &str, args: &[&str]) -> Ran {
        self.put("script.sh", text.as_bytes());
        let found = std::env::var_os("PATH").unwrap();
        let mut path = self.directory.path().as_os_str().to_owned();
        path.push(":");
        path.push(found);
        let output = Command::new("sh")
            .arg("script.sh")
            .args(args)
            .current_dir(self.directory.path())
            .env("DAMON_SYSFS", self.path(admin))
            .env("PATH", path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran::of(&output)
    }
}

fn recording(kind: TargetKind, comm: &str) -> Vec<u8> {
    let mut info = common::info();
    info.backend.access = AccessKind::ReadWrite;
    info.attrs.min_nr_regions = 11;
    let mut writer = TraceWriter::create(Vec::new(), &info, WriterOptions::default()).unwrap();
    writer
        .record(&Record::TargetStarted(TargetStarted {
            target: TargetId(0),
            time_ns: BEGIN,
            kind,
            pid: if kind == TargetKind::Process { 4711 } else { 0 },
            start_ticks: 1,
            parent: None,
            comm: comm.into(),
            exe: String::new(),
        }))
        .unwrap();
    let regions = [(1, 3), (5, 9)].map(|(start, end)| Region {
        start: start * MIB,
        end: end * MIB,
        nr_accesses: 0,
        age: 3,
    });
    let sampling = Sampling::from_intervals(5_000, 100_000);
    let snapshot =
        Snapshot::new(TargetId(0), BEGIN, BEGIN + SECOND / 10, sampling, regions.to_vec());
    writer.snapshot(&snapshot).unwrap();
    writer.finish().unwrap()
}

/// Simulations that recordings do not allow have no other form either.
const HARMLESS: &str = r#"[{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "2.5 %"}, "age": {"min": "7 aggr_intervals"}},
    "quotas": {"sz_bytes": "3 M", "reset_interval_ms": "500 ms", "weights": {"age_permil": 3}}}]"#;

#[test]
fn damos_form_is_read_as_the_same_schemes() {
    let bench = Bench::new();
    bench.put("some.json", HARMLESS.as_bytes());
    let presets = damon_report::analysis::simulate::PRESETS;
    let cases = presets.iter().map(|p| (p.name, p.json)).chain([("some.json", HARMLESS)]);
    for (name, json) in cases.filter(|(name, _)| !["reclaim", "lru-sort"].contains(name)) {
        let ran = bench.emit("work.damon", name, "damo");
        assert_eq!(ran.status, 0, "{name}: {}", ran.err);
        assert_eq!(Schemes::from_json(&ran.out), Schemes::from_json(json), "{name}");
        assert!(ran.err.contains("take it back: damo stop"), "{}", ran.err);
        assert!(ran.err.contains("--monitoring_intervals 5000us 100000us"), "{}", ran.err);
    }
    let refused = bench.emit("work.damon", "reclaim", "damo");
    assert_eq!(
        (refused.status, refused.out.as_str()),
        (2, ""),
        "what is not simulated is not advised"
    );
    assert!(refused.err.contains("schemes[0].watermarks"), "{}", refused.err);
}

/// Two processes, of which more than these were recorded once, and only in two ranges.
fn recording_of_ranges() -> Vec<u8> {
    let mut info = common::info();
    info.tool = "damon-record".into();
    info.attrs.min_nr_regions = 11;
    info.backend.access = AccessKind::ReadWrite;
    let words =
        ["damon-record", "--regions", "0x100000-0x300000,0x500000-0x900000", "--children", "17"];
    info.command_line = words.map(str::to_owned).to_vec();
    let mut writer = TraceWriter::create(Vec::new(), &info, WriterOptions::default()).unwrap();
    for (target, pid) in [(3, 17), (7, 18)] {
        writer.record(&common::started(target, pid, "work")).unwrap();
        let region = Region { start: MIB, end: 3 * MIB, nr_accesses: 0, age: 3 };
        let sampling = Sampling::from_intervals(5_000, 100_000);
        let end = BEGIN + SECOND / 10;
        let one = Snapshot::new(TargetId(target), BEGIN, end, sampling, vec![region]);
        writer.snapshot(&one).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn what_was_recorded_alone_is_monitored_alone_and_processes_are_counted_as_they_are_given() {
    let bench = Bench::new();
    bench.put("ranges.damon", &recording_of_ranges());
    let filtered = |target: u32| {
        format!(
            r#"[{{"action": "pageout", "filters": [{{"filter_type": "target", "damon_target_idx": {target}, "matching": true}}]}}]"#
        )
    };
    bench.put("some.json", filtered(7).as_bytes());
    bench.put("none.json", filtered(1).as_bytes());
    let emitted = |form| {
        let ran = bench.emit("ranges.damon", "some.json", form);
        assert_eq!(ran.status, 0, "{}", ran.err);
        let all = format!("{}{}", ran.out, ran.err);
        for text in [
            "mind: only 0x100000..0x300000, 0x500000..0x900000 was recorded and judged",
            "mind: child processes were recorded, too",
            "mind: filters by target mean the order in which processes are given: target 1 is work (pid 18 then)",
            "mind: what was recorded goes on as it was",
        ] {
            assert!(all.contains(text), "{form}: {text}: {all}");
        }
        ran
    };
    let sysfs = emitted("sysfs").out;
    for line in [
        "put operations fvaddr",
        "    put \"targets/$target/regions/nr_regions\" 2",
        "    put \"targets/$target/regions/1/end\" 9437184",
        "put schemes/0/core_filters/0/damon_target_idx 1",
    ] {
        let is_there =
            sysfs.lines().any(|found| found == line || found.trim_start().starts_with(line));
        assert!(is_there, "{line}: {sysfs}");
    }
    let record = emitted("record").out;
    assert!(record.contains("--regions 0x100000-0x300000,0x500000-0x900000 --schemes"), "{record}");
    assert!(record.contains("\"damon_target_idx\": \"1\""), "{record}");
    let damo = emitted("damo");
    let call = "--ops fvaddr --regions \"1048576-3145728 5242880-9437184\" --target_pid PID";
    assert!(damo.err.contains(call), "{}", damo.err);
    assert!(Schemes::from_json(&damo.out) == Schemes::from_json(&filtered(1)), "{}", damo.out);
    let refused = bench.emit("ranges.damon", "none.json", "sysfs");
    assert_eq!((refused.status, refused.out.as_str()), (2, ""));
    let why = "schemes[0].filters: nothing was recorded of target 1";
    assert!(refused.err.contains(why), "{}", refused.err);
}

#[test]
fn the_call_of_the_recorder_is_one_that_it_takes() {
    let bench = Bench::new();
    bench.put("some.json", HARMLESS.as_bytes());
    bench.put("ranges.damon", &recording_of_ranges());
    bench.put(
        "damon-record",
        b"#!/bin/sh\nfor a in \"$@\"; do echo \"$a\"; done > args\ncat /dev/stdin > input\n",
    );
    let made = Command::new("chmod")
        .args(["755", "damon-record"])
        .current_dir(bench.directory.path())
        .status();
    assert!(made.unwrap().success());
    for (file, schemes, args) in [
        ("work.damon", "some.json", &["17", "18"][..]),
        ("ranges.damon", "some.json", &["17"]),
        ("physical.damon", "some.json", &[]),
    ] {
        let ran = bench.emit(file, schemes, "record");
        assert_eq!(ran.status, 0, "{}", ran.err);
        let done = bench.sh(&ran.out, "unused", args);
        assert_eq!(done.status, 0, "{}", done.err);
        let words = fs::read_to_string(bench.path("args")).unwrap();
        let line = ["damon-record"].into_iter().chain(words.lines());
        let plan = damon_record::cli::Cli::try_parse_from(line).unwrap().record.plan().unwrap();
        assert_eq!((plan.min_regions, plan.max_regions), (11, 1000));
        let ranges = [(MIB, 3 * MIB), (5 * MIB, 9 * MIB)];
        assert_eq!(plan.ranges, if file == "ranges.damon" { &ranges[..] } else { &[] });
        assert_eq!(plan.schemes.as_deref(), Some(Path::new("/dev/stdin")));
        let given = Schemes::from_json(&fs::read_to_string(bench.path("input")).unwrap());
        assert_eq!(given, Schemes::from_json(HARMLESS));
    }
    let ran = bench.emit("work.damon", "some.json", "record");
    assert_eq!(bench.sh(&ran.out, "unused", &[]).status, 2, "no process was given");
    assert!(ran.out.contains("Ctrl-C") && ran.out.contains("wo?rk (pid 4711 then)"), "{}", ran.out);
}

#[test]
fn presets_are_handed_over_and_nothing_is_simulated() {
    let bench = Bench::new();
    for form in ["damo", "sysfs", "record"] {
        let ran = bench.emit("work.damon", "thp", form);
        assert_eq!(ran.status, 0, "{}", ran.err);
        let text = format!("{}{}", ran.out, ran.err);
        assert!(text.contains("hugepage") && text.contains("the advice `nohugepage`"), "{text}");
    }
    let both = Command::new(env!("CARGO_BIN_EXE_damon-report"))
        .args(["simulate", "x", "--schemes", "thp", "--emit", "damo", "--format", "json"])
        .output()
        .unwrap();
    assert_eq!(Ran::of(&both).status, 2);
}
