//! `simulate` as people and scripts meet it.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use common::program::{Ran, golden};
use std::fs;
use std::process::{Command, Stdio};

struct Bench {
    directory: tempfile::TempDir,
}

const COLD: &str = r#"[{"action": "pageout",
    "access_pattern": {"nr_accesses": {"max": "0 %"}, "age": {"min": "2 s"}},
    "quotas": {"sz_bytes": "3 M", "time_ms": 100, "reset_interval_ms": "500 ms", "weights": {"age_permil": 1}}}]"#;

impl Bench {
    fn new() -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        bench.put("work.damon", &common::ten_seconds());
        bench.put("cold.json", COLD.as_bytes());
        bench
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.directory.path().join(name), bytes).unwrap();
    }

    /// Runs it in the directory.
    fn run(&self, args: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_damon-report"))
            .arg("simulate")
            .args(args)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran::of(&output)
    }
}

const ACCEPTED: [&str; 4] = ["work.damon", "--schemes", "cold.json", "--accept-write-only"];

#[test]
fn text_and_line_are_as_agreed() {
    let bench = Bench::new();
    let ran = bench.run(&ACCEPTED);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("WRITES ONLY") && ran.out.contains("writes only, page, sampled"));
    golden("simulate.txt", &ran.out);
    let ran = bench.run(&[&ACCEPTED[..], &["--format", "csv", "--time", "..3s"]].concat());
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.contains("WRITES ONLY"), "nowhere in the table: {}", ran.err);
    golden("simulate.csv", &ran.out);
}

#[test]
fn json_holds_all_of_it() {
    let bench = Bench::new();
    let ran = bench.run(&[&ACCEPTED[..], &["--format", "json", "--applied"]].concat());
    assert_eq!(ran.status, 0, "{}", ran.err);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&value["report"], &value["format"]), (&"simulate".into(), &1.into()));
    assert_eq!(value["access"]["kind"], "write");
    let stats = &value["schemes"][0]["stats"];
    let regions =
        value["applied"].as_array().unwrap().iter().flat_map(|a| a["regions"].as_array().unwrap());
    let bytes = regions.map(|r| r["end"].as_u64().unwrap() - r["start"].as_u64().unwrap());
    assert_eq!(bytes.sum::<u64>(), stats["sz_tried"].as_u64().unwrap());
    assert!(stats["nr_tried"].as_u64().unwrap() > 0 && stats["qt_exceeds"].as_u64().unwrap() > 0);
    let assumptions = value["assumptions"].to_string();
    assert!(assumptions.contains("changes later accesses"), "{assumptions}");
    assert!(assumptions.contains("4096 KiB"), "the time quota's speed: {assumptions}");
    assert!(
        value["refaulted"]["pessimistic"].as_f64() >= value["refaulted"]["optimistic"].as_f64()
    );
}

#[test]
fn presets_are_known_by_name() {
    let bench = Bench::new();
    for (name, status, words) in [
        ("thp", 0, "hugepage"),
        ("tier", 2, "migrate_cold"),
        ("reclaim", 2, "schemes[0].watermarks"),
        ("nothing.json", 2, "presets are reclaim, lru-sort, thp, tier"),
    ] {
        let accept = if name == "reclaim" { "--accept-write-only" } else { "--kib-per-ms=4096" };
        let ran = bench.run(&["work.damon", "--schemes", name, accept]);
        assert_eq!(ran.status, status, "{name}: {}", ran.err);
        assert!(
            format!("{}{}", ran.out, ran.err).contains(words),
            "{name}: {}{}",
            ran.out,
            ran.err
        );
    }
    let args = ["work.damon", "--schemes", "reclaim", "--accept-write-only", "--ignore-watermarks"];
    let ran = bench.run(&args);
    assert_eq!(ran.status, 4, "{}", ran.out);
    assert!(ran.err.contains("lasts 10 s") && ran.err.contains("120 s"), "{}", ran.err);
}

#[test]
fn mistakes_are_answered_with_their_place() {
    let bench = Bench::new();
    let cases: [(&str, &str); 5] = [
        ("[]", "the list of schemes is empty"),
        (r#"[{"action": "pagout"}]"#, "schemes[0].action"),
        (
            r#"[{"access_pattern": {"age": {"min": "5 s", "max": "1 s"}}}]"#,
            "schemes[0].access_pattern.age",
        ),
        ("", "empty"),
        (r#"[{"action": "stat", "filters": [{"filter_type": "young"}]}]"#, "--ignore-page-filters"),
    ];
    for (json, words) in cases {
        bench.put("bad.json", json.as_bytes());
        let ran = bench.run(&["work.damon", "--schemes", "bad.json"]);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{json}");
        assert!(ran.err.contains(words) && ran.err.contains("bad.json"), "{json}: {}", ran.err);
    }
    let refused = bench.run(&["work.damon", "--schemes", "cold.json"]);
    assert_eq!(refused.status, 2);
    assert!(refused.err.contains("writes only"), "{}", refused.err);
    let kernel = bench.run(&["work.damon", "--schemes", "cold.json", "--kernel", "new"]);
    assert!(kernel.status == 2 && kernel.err.contains("6.12"), "{}", kernel.err);
}
