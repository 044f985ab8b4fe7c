//! The commands about regions as people and scripts meet them.

mod common;

use common::program::{bench, golden, run};
use std::fs;
use std::path::Path;

const COMMANDS: [&str; 5] = ["regions", "histogram", "nr-regions", "bandwidth", "times"];

#[test]
fn texts_are_as_agreed() {
    let (_directory, file) = bench(&common::ten_seconds());
    let cases: [(&str, &[&str]); 14] = [
        ("regions.txt", &["regions"]),
        ("regions-1s.txt", &["regions", "--at", "1s", "--sort", "temperature", "--min-size", "5M"]),
        ("regions-damo.txt", &["regions", "--temperature", "0,100,100", "--top", "2"]),
        ("regions-boxes.txt", &["regions", "--style", "boxes", "--at", "48%", "--columns", "70"]),
        ("regions.csv", &["regions", "--format", "csv"]),
        ("histogram-rate.txt", &["histogram", "--bins", "10"]),
        ("histogram-age.txt", &["histogram", "--by", "age", "--cumulative"]),
        ("histogram-temperature.txt", &["histogram", "--by", "temperature", "--at", "90%"]),
        ("histogram.csv", &["histogram", "--by", "size", "--format", "csv"]),
        ("nr-regions.txt", &["nr-regions"]),
        ("nr-regions-damo.txt", &["nr-regions", "--compat", "damo"]),
        ("bandwidth.txt", &["bandwidth"]),
        ("times.txt", &["times", "--min-rate", "40%", "--min-age", "1s", "--min-bytes", "2M"]),
        ("times.csv", &["times", "--min-rate", "60%", "--format", "csv"]),
    ];
    for (name, args) in cases {
        let ran = run(&[args, &[&file]].concat(), "2");
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{name}");
        golden(name, &ran.out);
    }
}

#[test]
fn pictures_are_as_agreed() {
    let (directory, file) = bench(&common::ten_seconds());
    let path = directory.path().join("x.svg");
    let name = path.to_str().unwrap();
    let cases: [(&str, &[&str]); 3] = [
        ("pictures/histogram-rate.svg", &["--bins", "10"]),
        ("pictures/histogram-age.svg", &["--by", "age", "--cumulative"]),
        ("pictures/histogram-temperature.svg", &["--by", "temperature", "--bins", "12"]),
    ];
    for (picture, args) in cases {
        let usual = ["histogram", &file, "-o", name, "--size", "720x360"];
        let ran = run(&[&usual[..], args].concat(), "2");
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{picture}");
        golden(picture, &fs::read_to_string(&path).unwrap());
    }
}

#[test]
fn json_holds_what_the_text_rounds() {
    let (_directory, file) = bench(&common::ten_seconds());
    let json = |args: &[&str]| -> serde_json::Value {
        let ran = run(&[args, &[&file, "--format", "json"]].concat(), "2");
        serde_json::from_str(&ran.out).unwrap()
    };
    let regions = json(&["regions"]);
    assert_eq!(regions["rows"].as_array().unwrap().len(), 4);
    assert_eq!(regions["rows"][2]["mappings"][0]["name"], "[heap]");
    assert_eq!(regions["rows"][2]["temperature"], 2.5e9);
    assert_eq!(regions["total"]["hot"], 4 << 20);
    let counts = json(&["nr-regions"]);
    assert_eq!(counts["limits"][0]["max_nr_regions"], 1000);
    assert_eq!(counts["targets"][0]["samples"].as_array().unwrap().len(), 100);
    let times = json(&["times", "--min-rate", "60%"]);
    assert_eq!(times["intervals"][0]["end_ns"], 5_005_000_000_000_u64);
    assert_eq!(times["pattern"]["rate"]["min"], 0.6);
}

#[test]
fn wrong_usage_gets_a_sentence() {
    let (_directory, file) = bench(&common::ten_seconds());
    let cases: [(&[&str], &str); 14] = [
        (&["histogram", "--temperature", "1,2,3"], "say --by temperature"),
        (&["histogram", "--size", "800x600"], "--output"),
        (&["heatmap", "--resolution", "9x9"], "--output"),
        (&["heatmap", "--rows", "9", "-o", "x.png"], "cannot be used with"),
        (&["regions", "--at", "5"], "`5` is no moment"),
        (&["regions", "--at", "11s"], "outside the recording, which lasts 10.000 s"),
        (&["regions", "--at", "1s", "--time", "2s.."], "cannot be used with '--time"),
        (&["regions", "--min-rate", "0.5"], "`0.5` is no access rate: write per cent"),
        (&["regions", "--max-size", "5X"], "`5X` is no size"),
        (&["times", "--min-age", "5"], "`5` is no duration"),
        (
            &["times", "--min-rate", "50%", "--max-rate", "10%"],
            "no region can match: a least value is above the greatest one",
        ),
        (&["regions", "--temperature", "1,2"], "`1,2` is no temperature: write damo's"),
        (&["nr-regions", "--skip", "100"], "--skip 100: no target has more snapshots"),
        (&["histogram", "--log", "--linear"], "cannot be used with '--linear'"),
    ];
    for (args, sentence) in cases {
        let ran = run(&[args, &[&file]].concat(), "2");
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(sentence), "{args:?}: {}", ran.err);
    }
}

#[test]
fn limits_that_the_recording_does_not_tell_are_not_zero() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/damo/targets.data");
    let file = file.to_str().unwrap();
    let text = run(&["nr-regions", file], "2").out;
    assert!(text.ends_with("\nlimits: not in the recording\n"), "{text}");
    let json = run(&["nr-regions", file, "--format", "json"], "2").out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["limits"], serde_json::json!([]));
    assert!(json["total"]["above_max"].is_null() && json["total"]["below_min"].is_null());
    // With limits, what is above them is told.
    let (_directory, file) = bench(&common::ten_seconds());
    let json = run(&["nr-regions", &file, "--format", "json"], "2").out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["total"]["above_max"], &json["total"]["below_min"]),
        (&0.0.into(), &1.0.into())
    );
}

#[test]
fn no_region_at_all_is_said_and_not_a_table_of_nothing() {
    let (_directory, file) = bench(&common::ten_seconds());
    for style in ["table", "boxes"] {
        let text = run(&["regions", &file, "--min-size", "1T", "--style", style], "2").out;
        assert!(text.contains("\nno region is like that\n"), "{text}");
        assert!(
            text.contains("matching: 0 B in 0 regions: hot 0 B, cold 0 B, expected 0 B\n"),
            "{text}"
        );
    }
    let csv = run(&["regions", &file, "--min-size", "1T", "--format", "csv"], "2").out;
    assert_eq!(csv.lines().count(), 1);
}

/// As old kernels tell it.
fn without_ages() -> Vec<damon_format::Snapshot> {
    let mut list = common::snapshots(0, 3);
    for snapshot in &mut list {
        snapshot.has_ages = false;
    }
    list
}

#[test]
fn recordings_without_regions_duration_or_ages_are_no_reason_to_fail() {
    let mut nothing_mapped = common::snapshots(0, 3);
    for snapshot in &mut nothing_mapped {
        snapshot.regions.clear();
    }
    let mut no_time = common::snapshots(0, 1);
    no_time[0].end_ns = no_time[0].start_ns;
    for snapshots in [nothing_mapped, no_time, without_ages()] {
        let mut writer = common::writer(&common::info());
        for snapshot in &snapshots {
            writer.snapshot(snapshot).unwrap();
        }
        let (directory, file) = bench(&writer.finish().unwrap());
        for command in COMMANDS {
            for format in ["text", "json", "csv"] {
                let ran = run(&[command, &file, "--format", format], "2");
                assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{command} {format}");
                assert!(!ran.out.is_empty());
            }
        }
        for by in ["rate", "age", "size", "temperature"] {
            let picture = directory.path().join("x.png");
            let name = picture.to_str().unwrap();
            for more in [&[][..], &["--linear"], &["--cumulative", "--log"]] {
                let ran = run(&[&["histogram", &file, "--by", by, "-o", name], more].concat(), "2");
                assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{by} {more:?}");
            }
        }
    }
}

#[test]
fn ages_that_are_not_known_are_not_taken_for_zero() {
    let mut writer = common::writer(&common::info());
    for snapshot in without_ages() {
        writer.snapshot(&snapshot).unwrap();
    }
    let (_directory, file) = bench(&writer.finish().unwrap());
    let of = |args: &[&str]| run(&[args, &[&file]].concat(), "1").out;
    let ages = of(&["histogram", "--by", "age"]);
    assert!(ages.contains("since ages were not observed: 20.00 MiB"), "{ages}");
    let regions = of(&["regions", "--format", "csv"]);
    assert!(regions.lines().skip(1).all(|line| line.contains(",,,")), "{regions}");
    assert!(of(&["regions"]).contains("temperature is not known"));
    assert!(of(&["times", "--min-age", "0"]).contains("never"));
    assert!(of(&["times", "--min-rate", "1%"]).contains("100 % of the time"));
}

#[test]
fn colours_are_for_terminals_unless_asked_for() {
    let (_directory, file) = bench(&common::ten_seconds());
    for style in ["table", "boxes"] {
        let asked = run(&["regions", &file, "--style", style, "--color", "always"], "1");
        assert!(asked.out.contains("\x1b[") && asked.out.contains("\x1b[0m"), "{}", asked.out);
    }
    for command in ["nr-regions", "bandwidth"] {
        assert!(!run(&[command, &file, "--color", "always"], "1").out.is_ascii());
    }
}

/// With so few columns tables go on below; with none told, a pipe gets whole lines.
#[test]
fn tables_fit_into_narrow_windows_and_say_the_same() {
    let (_directory, file) = bench(&common::ten_seconds());
    let words = |text: &str| -> Vec<String> {
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.sort();
        words
    };
    let table = |columns: Option<&str>| {
        let narrow = columns.map_or_else(Vec::new, |n| vec!["--columns", n]);
        let args = [&["regions", &file, "--time", "..5s"][..], &narrow];
        let text = run(&args.concat(), "1").out;
        let begin = text.find("addresses").unwrap_or(0);
        let begin = text[..begin].rfind('\n').map_or(0, |at| at + 1);
        let end = text[begin..].find("\n\n").map_or(text.len(), |at| begin + at);
        text[begin..end].to_owned()
    };
    let whole = table(None);
    for columns in [40, 60, 80, 120] {
        let narrow = table(Some(&columns.to_string()));
        assert_eq!(words(&narrow), words(&whole), "{columns}\n{narrow}");
        let widest = narrow.lines().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= columns), "{columns}\n{narrow}");
    }
    golden("regions-40.txt", &run(&["regions", &file, "--columns", "40"], "1").out);
}
