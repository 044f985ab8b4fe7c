//! What commands print and draw.

use super::common;
use super::common::program::golden;
use super::{Bench, json, run};

/// Output with the temporary directory's name taken out, and whatever follows from the stored size, which is
/// the business of the format's own tests.
fn neutral(bench: &Bench, text: &str) -> String {
    let directory = bench.directory.path().to_str().unwrap();
    let text = text.replace(&format!("{directory}/"), "");
    let mut lines = String::new();
    for line in text.lines() {
        let of_size = line.starts_with("trace ") || line.starts_with("region rows ");
        let kept = match line.split_once(", ") {
            Some((kept, _)) if of_size => format!("{kept}, SIZE"),
            _ => line.to_owned(),
        };
        let kept = match (kept.find("intact: "), kept.find(", ")) {
            (Some(from), Some(to)) => format!("{}intact: SIZE{}", &kept[..from], &kept[to..]),
            _ => kept,
        };
        lines.push_str(&kept);
        lines.push('\n');
    }
    lines
}

#[test]
fn text_outputs_are_as_agreed() {
    let bench = Bench::new();
    let file = bench.name("work.damon");
    let cases: [(&str, &[&str]); 9] = [
        ("info.txt", &["info"]),
        ("heatmap.txt", &["heatmap"]),
        ("heatmap-20.txt", &["heatmap", "--columns", "20", "--rows", "8"]),
        ("wss.txt", &["wss"]),
        ("wss-20.txt", &["wss", "--columns", "20"]),
        ("wss.csv", &["wss", "--format", "csv", "--time", "..1s"]),
        ("raw.txt", &["raw", "--time", "4.9s..5.1s"]),
        ("raw-damo.txt", &["raw", "--time", "4.9s..5.1s", "--format", "damo"]),
        ("verify.txt", &["verify"]),
    ];
    for (name, args) in cases {
        let mut args = args.to_vec();
        args.push(&file);
        let ran = run(&args);
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{name}");
        golden(name, &neutral(&bench, &ran.out));
    }
}

#[test]
fn working_set_json_holds_what_the_text_rounds() {
    let bench = Bench::new();
    let ran = run(&["wss", &bench.name("work.damon"), "--format", "json"]);
    let value = json(&ran.out);
    assert_eq!(value["samples"].as_array().unwrap().len(), 100);
    assert_eq!(value["touched"]["percentiles"].as_array().unwrap().len(), 101);
    assert_eq!(value["touched"]["mean"], f64::from(4 << 20));
    assert_eq!(value["expected"]["mean"], f64::from(3 << 20));
    assert_eq!(value["resident"][0]["rss"], 12 << 20);
}

#[test]
fn heatmap_cells_add_up_in_both_formats() {
    let bench = Bench::new();
    let file = bench.name("work.damon");
    let grid = ["--columns", "7", "--rows", "9"];
    let as_json = run(&[&["heatmap", &file, "--format", "json"], &grid[..]].concat());
    let as_csv = run(&[&["heatmap", &file, "--format", "csv"], &grid[..]].concat());
    let value = json(&as_json.out);
    let cells: Vec<&serde_json::Value> = value["bands"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|band| band["cells"].as_array().unwrap())
        .collect();
    assert_eq!(cells.len(), 7 * 9);
    let heat: f64 = cells.iter().map(|c| c["heat"].as_f64().unwrap()).sum();
    let expected = f64::from(3 << 20) * 1e10;
    assert!((heat / expected - 1.0).abs() < 1e-9, "{heat} {expected}");
    let lines: Vec<&str> = as_csv.out.lines().collect();
    assert_eq!(lines.len(), 1 + 7 * 9);
    let heat: f64 =
        lines[1..].iter().map(|line| line.split(',').nth(5).unwrap().parse::<f64>().unwrap()).sum();
    assert!((heat / expected - 1.0).abs() < 1e-9);
}

#[test]
fn raw_is_complete_in_every_format() {
    let bench = Bench::new();
    let file = bench.name("work.damon");
    let lines: Vec<serde_json::Value> =
        run(&["raw", &file, "--format", "json"]).out.lines().map(json).collect();
    assert_eq!(lines[0]["format"], 1);
    let count = |key: &str| lines.iter().filter(|l| !l[key].is_null()).count();
    assert_eq!((count("snapshot"), count("record")), (100, 13));
    let csv = run(&["raw", &file, "--format", "csv"]).out;
    assert_eq!(csv.lines().count(), 1 + 400);
    let text = run(&["raw", &file]).out;
    assert_eq!(text.lines().filter(|l| l.starts_with("  0x")).count(), 400);
    let part = ["raw", &file, "--format", "csv", "--address", "7fff00000000..", "--target", "work"];
    assert_eq!(run(&part).out.lines().count(), 1 + 100);
}

#[test]
fn colours_are_for_terminals_unless_asked_for() {
    let bench = Bench::new();
    let file = bench.name("work.damon");
    for command in ["heatmap", "wss"] {
        let piped = run(&[command, &file]);
        assert!(piped.out.is_ascii(), "{}", piped.out);
        let asked = run(&[command, &file, "--color", "always"]);
        assert!(!asked.out.is_ascii());
    }
    assert!(run(&["heatmap", &file, "--color", "always"]).out.contains("\x1b["));
}

#[test]
fn recordings_without_regions_or_without_duration_are_drawn_all_the_same() {
    let bench = Bench::new();
    let mut nothing_mapped = common::snapshots(0, 3);
    for snapshot in &mut nothing_mapped {
        snapshot.regions.clear();
    }
    let mut no_time = common::snapshots(0, 1);
    no_time[0].end_ns = no_time[0].start_ns;
    for (name, snapshots) in [("nothing-mapped", nothing_mapped), ("no-time", no_time)] {
        let mut writer = common::writer(&common::info());
        for snapshot in &snapshots {
            writer.snapshot(snapshot).unwrap();
        }
        let file = bench.put(name, &writer.finish().unwrap());
        for command in ["heatmap", "wss"] {
            for extra in [&[][..], &["--format", "json"], &["--format", "csv"]] {
                let ran = run(&[&[command, &file], extra].concat());
                assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{name} {command} {extra:?}");
                assert!(!ran.out.is_empty());
            }
            for end in ["png", "svg"] {
                let ran = run(&[command, &file, "-o", &bench.name(&format!("x.{end}"))]);
                assert_eq!(ran.status, 0, "{name} {command} {end}: {}", ran.err);
            }
        }
        for command in ["info", "raw", "verify"] {
            assert_eq!(run(&[command, &file]).status, 0, "{name} {command}");
        }
    }
}

#[test]
fn help_lists_what_exists() {
    let ran = run(&["--help"]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    for command in
        ["info", "heatmap", "import", "wss", "simulate", "compare", "raw", "verify", "repair"]
    {
        assert!(ran.out.contains(&format!("  {command} ")), "{}", ran.out);
    }
}
