//! `simulate` as people and scripts meet it.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use common::program::{Ran, assert_folded, golden};
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
fn tables_are_as_wide_as_asked_for() {
    let bench = Bench::new();
    let cases: [(&[&str], usize); 2] = [(&[], 82), (&["--sweep", "age=1s..4s/4"], 60)];
    for (more, columns) in cases {
        let asked = columns.to_string();
        let whole = bench.run(&[&ACCEPTED[..], more].concat()).out;
        let narrow = bench.run(&[&ACCEPTED[..], more, &["--columns", &asked]].concat()).out;
        assert_folded(&whole, &narrow, columns);
    }
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
fn tiers_and_huge_pages_are_told() {
    let bench = Bench::new();
    let tier = ["work.damon", "--schemes", "tier", "--accept-write-only", "--fast-tier", "8MiB"];
    let ran = bench.run(&tier);
    assert_eq!(ran.status, 0, "{}", ran.err);
    golden("simulate-tier.txt", &ran.out);
    let ran = bench.run(&[&tier[..], &["--format", "csv"]].concat());
    golden("simulate-tier.csv", &ran.out);
    let ran = bench.run(&[&tier[..], &["--format", "csv", "--show", "line"]].concat());
    assert!(ran.out.starts_with("start_ns,") && ran.out.lines().count() == 101, "{}", ran.out);
    let ran = bench.run(&["work.damon", "--schemes", "thp"]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    golden("simulate-thp.txt", &ran.out);
    // The curve does not need schemes that migrate.
    let ran = bench.run(&[&ACCEPTED[..], &["--show", "tiers", "--format", "csv"]].concat());
    assert!(ran.out.starts_with("percent,mean,most\n1,"), "{}", ran.out);
    let wrong = bench.run(&[&ACCEPTED[..], &["--fast-tier", "0"]].concat());
    assert!(wrong.status == 2 && wrong.err.contains("8GiB"), "{}", wrong.err);
}

#[test]
fn pictures_are_drawn_of_both() {
    let bench = Bench::new();
    let svg = |name: &str| fs::read_to_string(bench.directory.path().join(name)).unwrap();
    let ran = bench.run(&[&ACCEPTED[..], &["-o", "line.svg"]].concat());
    assert_eq!((ran.status, ran.out.as_str()), (0, "line.svg\n"), "{}", ran.err);
    assert!(ran.err.contains("WRITES ONLY"), "nowhere in the picture: {}", ran.err);
    for words in [
        "paged out",
        "resident as recorded",
        "in per second",
        "limit: 0.2 % of the working set a minute",
    ] {
        assert!(svg("line.svg").contains(words), "{words}");
    }
    let ran = bench.run(
        &[&ACCEPTED[..], &["-o", "tier.svg", "--show", "tiers", "--fast-tier", "3MiB"]].concat(),
    );
    assert_eq!(ran.status, 0, "{}", ran.err);
    for words in ["share of all accesses", "fast tier", "mean", "50 %"] {
        assert!(svg("tier.svg").contains(words), "{words}");
    }
    let ran = bench.run(&[&ACCEPTED[..], &["-o", "line.png", "--size", "400x300"]].concat());
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(fs::read(bench.directory.path().join("line.png")).unwrap().starts_with(b"\x89PNG"));
    let ran = bench.run(&[&ACCEPTED[..], &["-o", "line.jpg"]].concat());
    assert!(ran.status == 2 && ran.err.contains(".png or .svg"), "{}", ran.err);
}

#[test]
fn mistakes_are_answered_with_their_place() {
    let bench = Bench::new();
    let cases = [
        ("[]", "the list of schemes is empty"),
        (r#"[{"action": "pagout"}]"#, "schemes[0].action"),
        (r#"[{"action": "pagout"}]"#, "did you mean pageout"),
        (r#"{"schemes": []}"#, "empty"),
        (r#"[{"action": "stat"}, {"acess_pattern": {}}]"#, "schemes[1].acess_pattern"),
        (
            r#"[{"access_pattern": {"nr_accesses": {"min": "5 samples", "max": "10 %"}}}]"#,
            "schemes[0].access_pattern.nr_accesses",
        ),
        (
            r#"[{"access_pattern": {"sz_bytes": {"min": "5 M", "max": "1 M"}}}]"#,
            "schemes[0].access_pattern.sz_bytes",
        ),
        (
            r#"[{"action": "pageout", "quotas": {"sz_bytes": "1 M"}}]"#,
            "schemes[0].quotas.reset_interval_ms",
        ),
        (r#"[{"action": "migrate_cold"}]"#, "schemes[0].target_nid"),
        (r#"[{"action": "stat"}"#, "line 1"),
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

const OPEN: &str = r#"[{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "0 %"}}}]"#;

fn sweep<'a>(axes: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["work.damon", "--schemes", "open.json", "--accept-write-only", "--sweep", axes];
    [&args[..], more].concat()
}

#[test]
fn a_sweep_as_text_and_table_is_as_agreed() {
    let bench = Bench::new();
    bench.put("open.json", OPEN.as_bytes());
    let axes = "age=500ms..5s/5,max_rate=0%|20%";
    let ran = bench.run(&sweep(axes, &[]));
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("WRITES ONLY"));
    golden("sweep.txt", &ran.out);
    let ran = bench.run(&sweep(axes, &["--format", "csv"]));
    assert_eq!(ran.status, 0, "{}", ran.err);
    golden("sweep.csv", &ran.out);
    let rows: Vec<&str> = ran.out.lines().collect();
    assert_eq!(rows.len(), 11, "a head and ten variants");
    let columns = |row: &str| row.split(',').count();
    assert!(rows.iter().all(|row| columns(row) == columns(rows[0])));
}

#[test]
fn a_sweep_in_json_holds_all_of_it_and_what_was_chosen_can_be_simulated() {
    let bench = Bench::new();
    bench.put("open.json", OPEN.as_bytes());
    let ran = bench.run(&sweep("age=500ms..5s/5,quota=1MiB|4MiB/s", &["--format", "json"]));
    assert_eq!(ran.status, 0, "{}", ran.err);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value["report"], "sweep");
    let variants = value["variants"].as_array().unwrap();
    assert_eq!(variants.len(), 10);
    let at = usize::try_from(value["choice"]["variant"].as_u64().unwrap()).unwrap();
    let chosen = &variants[at];
    assert!(value["front"].as_array().unwrap().contains(&at.into()));
    assert_eq!(value["sensitivity"][0]["variant"].as_u64(), value["choice"]["variant"].as_u64());
    bench.put("chosen.json", value["chosen_schemes"].to_string().as_bytes());
    let args =
        ["work.damon", "--schemes", "chosen.json", "--accept-write-only", "--format", "json"];
    let ran = bench.run(&args);
    let alone: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(alone["schemes"][0]["stats"]["sz_tried"], chosen["sz_tried"]);
    let mean = |of: &serde_json::Value| of["away"]["mean"]["expected"].as_f64().unwrap();
    assert!((mean(&alone) - mean(chosen)).abs() <= 1e-6 * mean(chosen));
}

#[test]
fn a_sweep_is_the_same_with_any_number_of_threads_and_has_a_picture() {
    let bench = Bench::new();
    bench.put("open.json", OPEN.as_bytes());
    let path = |name: &str| bench.directory.path().join(name).to_str().unwrap().to_owned();
    let (trace, schemes) = (path("work.damon"), path("open.json"));
    let args = |more: &[&str]| -> Vec<String> {
        let args = ["simulate", &trace, "--schemes", &schemes, "--accept-write-only"];
        let sweep = ["--sweep", "age=300ms..5s/40,max_rate=0%|5%"];
        [&args[..], &sweep[..], more].concat().iter().map(ToString::to_string).collect()
    };
    let run = |more: &[&str], threads: &str| {
        let args = args(more);
        common::program::run(&args.iter().map(String::as_str).collect::<Vec<_>>(), threads)
    };
    let one = run(&["--format", "json"], "1");
    assert_eq!(one.status, 0, "{}", one.err);
    assert!(one.out == run(&["--format", "json"], "7").out);
    for name in ["sweep.png", "sweep.svg"] {
        let ran = run(&["-o", &path(name), "--size", "900x500"], "2");
        assert_eq!((ran.status, ran.out.trim()), (0, path(name).as_str()), "{}", ran.err);
        let bytes = fs::read(path(name)).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") || bytes.starts_with(b"<"), "{name}");
    }
}

#[test]
fn a_sweep_of_nonsense_is_answered_with_its_place() {
    let bench = Bench::new();
    bench.put("open.json", OPEN.as_bytes());
    for (axes, message) in [
        (
            "agee=1s",
            "--sweep agee=1s: at character 1: \"agee\" cannot be varied; did you mean age?",
        ),
        ("age=1s..2s/0", "at character 12: \"0\" is no number of steps"),
        ("min_rate=50%,max_rate=10%", "none of the 1 variants can be simulated"),
    ] {
        let ran = bench.run(&sweep(axes, &[]));
        assert_eq!(ran.status, 2, "{axes}: {}", ran.err);
        assert!(ran.err.contains(message), "{axes}: {}", ran.err);
    }
    let ran = bench.run(&sweep("age=1h..2h", &[]));
    assert_eq!(ran.status, 4, "{}", ran.err);
    assert!(ran.err.contains("lasts 10 s") && ran.err.contains("3600 s"), "{}", ran.err);
    let ran = bench.run(&sweep("age=1s", &["--emit", "damo"]));
    assert_eq!(ran.status, 2, "one thing at a time: {}", ran.err);
}
