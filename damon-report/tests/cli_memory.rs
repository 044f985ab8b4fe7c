//! The commands about mappings and sizes as people and scripts meet them.

mod common;

use common::MIB;
use common::program::{assert_folded, bench, golden, run};
use damon_format::{MemorySample, ProportionalMemory, Record, TargetId};
use std::fs;

const COMMANDS: [&[&str]; 3] = [&["mappings"], &["idle"], &["wss", "--windows"]];

#[test]
fn texts_are_as_agreed() {
    let (_directory, file) = bench(&common::ten_seconds());
    let cases: [(&str, &[&str]); 12] = [
        ("footprint.txt", &["footprint"]),
        ("footprint.csv", &["footprint", "--format", "csv", "--time", "..3s"]),
        ("wss-windows.txt", &["wss", "--windows"]),
        ("wss-windows.csv", &["wss", "--windows", "--format", "csv", "--time", "..1s"]),
        ("wss-targets.txt", &["wss", "--per-target", "--columns", "80"]),
        ("wss-damo.txt", &["wss", "--compat", "damo"]),
        ("mappings.txt", &["mappings"]),
        ("mappings-kind.txt", &["mappings", "--group", "kind", "--top", "1", "--idle", "2s"]),
        ("mappings.csv", &["mappings", "--format", "csv", "--sort", "idle"]),
        ("idle.txt", &["idle"]),
        ("idle-at.txt", &["idle", "--at", "3.2s"]),
        ("idle-damo.txt", &["idle", "--compat", "damo", "--at", "7s"]),
    ];
    for (name, args) in cases {
        let ran = run(&[args, &[&file]].concat(), "2");
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{name}");
        golden(name, &ran.out);
    }
}

#[test]
fn tables_are_as_wide_as_asked_for() {
    let (_directory, file) = bench(&common::ten_seconds());
    let cases: [(&[&str], usize); 5] = [
        (&["mappings"], 50),
        (&["footprint"], 40),
        (&["idle"], 24),
        (&["wss", "--windows"], 60),
        (&["times", "--max-rate", "0%"], 30),
    ];
    for (command, columns) in cases {
        let whole = run(&[command, &[&file]].concat(), "1").out;
        let asked = columns.to_string();
        let narrow = run(&[command, &[&file, "--columns", &asked]].concat(), "1").out;
        assert_folded(&whole, &narrow, columns);
    }
}

#[test]
fn what_is_shared_in_proportion_is_shown_where_it_was_recorded() {
    let mut writer = common::writer(&common::info());
    for (target, comm) in [(0, "one"), (1, "two")] {
        writer.record(&common::started(target, 4711 + target, comm)).unwrap();
    }
    for (i, snapshot) in (0..).zip(common::snapshots(0, 20)) {
        let time_ns = snapshot.end_ns;
        writer.snapshot(&snapshot).unwrap();
        if i % 10 == 0 {
            for target in [0, 1].map(TargetId) {
                let (rss, pss) = (12 * MIB, 8 * MIB);
                let (swap, virtual_size, minor_faults, major_faults) = (0, 2 * rss, 0, 0);
                writer
                    .record(&Record::Memory(MemorySample {
                        target,
                        time_ns,
                        rss,
                        swap,
                        virtual_size,
                        minor_faults,
                        major_faults,
                    }))
                    .unwrap();
                let shared = ProportionalMemory { target, time_ns, pss, swap_pss: 4096 };
                writer.record(&Record::ProportionalMemory(shared)).unwrap();
            }
        }
    }
    let (directory, file) = bench(&writer.finish().unwrap());
    golden("footprint-shared.txt", &run(&["footprint", &file], "2").out);
    let csv = run(&["footprint", &file, "--format", "csv"], "2").out;
    let columns = csv.lines().next().unwrap().split(',').count();
    assert!(csv.lines().all(|line| line.split(',').count() == columns), "{csv}");
    let first = common::BEGIN + common::SECOND / 10;
    for line in
        [format!("{first},1,,,,,,,8388608,4096"), format!("{first},all,,,,,,,16777216,8192")]
    {
        assert!(csv.lines().any(|one| one == line), "{line}\n{csv}");
    }
    let json = run(&["footprint", &file, "--format", "json"], "2").out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["sizes"]["pss"]["mean"], 16_777_216.0);
    assert_eq!(json["targets"][1]["proportional"][0]["pss"], 8_388_608);
    // Traces made of this one have it, too.
    let merged = directory.path().join("merged.damon");
    let ran = run(&["slice", &file, "--time", "500ms..", "-o", merged.to_str().unwrap()], "2");
    assert_eq!(ran.status, 0, "{}", ran.err);
    let text = run(&["footprint", merged.to_str().unwrap()], "2").out;
    assert!(text.contains("proportional"), "{text}");
}

#[test]
fn the_picture_of_a_footprint_is_as_agreed() {
    let (directory, file) = bench(&common::ten_seconds());
    let path = directory.path().join("x.svg");
    let drawn = run(&["footprint", &file, "-o", path.to_str().unwrap(), "--size", "700x300"], "2");
    assert_eq!((drawn.status, drawn.err.as_str()), (0, ""));
    golden("pictures/footprint.svg", &fs::read_to_string(path).unwrap());
}

#[test]
fn recordings_without_regions_duration_or_ages_are_no_reason_to_fail() {
    let mut nothing_mapped = common::snapshots(0, 3);
    for snapshot in &mut nothing_mapped {
        snapshot.regions.clear();
    }
    let mut no_time = common::snapshots(0, 1);
    no_time[0].end_ns = no_time[0].start_ns;
    let mut no_ages = common::snapshots(0, 3);
    for snapshot in &mut no_ages {
        snapshot.has_ages = false;
    }
    for (name, snapshots) in
        [("nothing", nothing_mapped), ("no time", no_time), ("no ages", no_ages)]
    {
        let mut writer = common::writer(&common::info());
        for snapshot in &snapshots {
            writer.snapshot(snapshot).unwrap();
        }
        let (directory, file) = bench(&writer.finish().unwrap());
        let picture = directory.path().join("x.png");
        for command in COMMANDS {
            for extra in [
                &["--format", "text"][..],
                &["--format", "json"],
                &["--format", "csv"],
                &["-o", picture.to_str().unwrap()],
            ] {
                let ran = run(&[command, &[&file], extra].concat(), "2");
                if name == "no ages" && command[0] == "idle" {
                    assert_eq!((ran.status, ran.out.as_str()), (4, ""), "{}", ran.err);
                    assert!(ran.err.contains("idle times are not known"), "{}", ran.err);
                } else {
                    let ended = (ran.status, ran.err.as_str());
                    assert_eq!(ended, (0, ""), "{name} {command:?} {extra:?}");
                }
            }
        }
        let sorted = run(&["mappings", &file, "--sort", "idle"], "2");
        assert_eq!(sorted.status, if name == "no ages" { 4 } else { 0 }, "{}", sorted.err);
    }
}

#[test]
fn what_a_report_calls_a_mapping_selects_it() {
    let (_directory, file) = bench(&common::ten_seconds());
    let json = |args: &[&str]| -> serde_json::Value {
        let ran = run(&[args, &["--format", "json"]].concat(), "2");
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{args:?}");
        serde_json::from_str(&ran.out).unwrap()
    };
    let all = json(&["mappings", &file]);
    let groups = all["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2);
    for group in groups {
        let one = json(&["mappings", &file, "--mapping", group["label"].as_str().unwrap()]);
        assert_eq!(one["groups"].as_array().unwrap().len(), 1, "{group}");
        for key in ["label", "size", "heat", "touched", "expected", "idle"] {
            assert_eq!(one["groups"][0][key], group[key], "{key} of {group}");
        }
    }
    let csv = run(&["mappings", &file, "--format", "csv"], "2").out;
    let labels: Vec<&str> = csv.lines().map(|line| line.rsplit(',').next().unwrap()).collect();
    assert_eq!(labels, ["label", "[heap]", "/usr/lib/libwork.so.1 +0x0..0x400000"]);
}

#[test]
fn what_is_named_and_was_not_monitored_is_told_from_what_was() {
    let (_directory, file) = bench(&common::ten_seconds());
    let ran = run(&["wss", &file, "--mapping", "heap", "--address", "7fff00000000-"], "2");
    assert_eq!(ran.status, 2);
    for part in ["nothing was monitored in heap at 7fff00000000-", "[heap]", "libwork.so.1", "0x"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
}

#[test]
fn raw_regions_are_cut_where_exported_ones_are() {
    let (_directory, file) = bench(&common::ten_seconds());
    // From the middle of a region to the middle of another one, and a piece of a third.
    let (from, to) = (common::HEAP + MIB, common::HEAP + 6 * MIB);
    let middle = format!("{from:x}-{to:x}");
    let end = format!("{:x}..{:x}", common::HEAP + 13 * MIB, common::HEAP + 14 * MIB);
    let part = ["--address", &middle, "--address", &end, "--time", "4s..6s"];
    let raw = run(&[&["raw", &file, "--format", "csv"], &part[..]].concat(), "2").out;
    let exported =
        run(&[&["export", &file, "--to", "csv", "-o", "-"], &part[..]].concat(), "2").out;
    assert_eq!(raw, exported);
    let first: Vec<u64> =
        raw.lines().nth(1).unwrap().split(',').map(|n| n.parse().unwrap()).collect();
    assert_eq!(first[6..8], [from, common::HEAP + 4 * MIB]);
    // JSON has the same pieces, and bytes add up to what the selection holds.
    let lines = run(&[&["raw", &file, "--format", "json"], &part[..]].concat(), "2").out;
    let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let size = |region: &serde_json::Value| {
        region["end"].as_u64().unwrap() - region["start"].as_u64().unwrap()
    };
    let sizes = lines
        .filter(|line| !line["snapshot"].is_null())
        .map(|line| line["snapshot"]["regions"].as_array().unwrap().iter().map(size).sum::<u64>());
    let sizes: Vec<u64> = sizes.collect();
    assert_eq!(sizes, vec![6 * MIB; sizes.len()]);
    let text = run(&[&["raw", &file], &part[..]].concat(), "2").out;
    assert_eq!(text.matches(" 1.00 MiB nr_accesses").count(), sizes.len());
}

#[test]
fn idle_times_of_aggregations_that_took_longer_are_put_right_in_words() {
    let slow = |stretched: u64| {
        let mut writer = common::writer(&common::info());
        writer.record(&common::started(0, 4711, "work")).unwrap();
        for mut snapshot in common::snapshots(0, 20) {
            let offset = snapshot.start_ns - common::BEGIN;
            let length = snapshot.end_ns - snapshot.start_ns;
            snapshot.start_ns = common::BEGIN + offset * stretched / 100;
            snapshot.end_ns = snapshot.start_ns + length * stretched / 100;
            writer.snapshot(&snapshot).unwrap();
        }
        writer.finish().unwrap()
    };
    let said = |stretched| {
        let (_directory, file) = bench(&slow(stretched));
        run(&["idle", &file], "2").out
    };
    let text = said(130);
    let line = "took 130 ms on average, and not 100 ms:\nidle times were 1.30 times as long";
    assert!(text.contains(line), "{text}");
    assert!(!said(102).contains("aggregations took"));
}

#[test]
fn guessed_intervals_are_called_guessed_wherever_they_are_told() {
    let (directory, file) = bench(&common::ten_seconds());
    let name = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (script, told) = (name("work.txt"), name("told.damon"));
    assert_eq!(run(&["export", &file, "--to", "perf-script", "-o", &script], "1").status, 0);
    let known = ["import", &script, "-o", &told, "--sample", "5ms", "--aggr", "100ms"];
    assert_eq!(run(&known, "1").status, 0);
    let guessed = "sample 5 ms, aggregate 100 ms (guessed)\n";
    for command in
        [&["wss"][..], &["idle"], &["mappings"], &["regions"], &["histogram"], &["summary"]]
    {
        let said = |file: &str| run(&[command, &[file]].concat(), "2").out;
        assert!(said(&script).contains(guessed), "{command:?}: {}", said(&script));
        assert!(
            !said(&told).contains("guessed") && !said(&file).contains("guessed"),
            "{command:?}"
        );
        let is_guessed = |file: &str| {
            let ran = run(&[command, &[file, "--format", "json"]].concat(), "2");
            let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
            value["selected"]["intervals_guessed"].as_bool()
        };
        assert_eq!([&script, &told, &file].map(|f| is_guessed(f)), [true, false, false].map(Some));
    }
    let part = run(&["wss", &script, "--time", "4s..6s"], "2").out;
    assert!(part.contains(guessed), "{part}");
}

#[test]
fn comparisons_say_which_recordings_have_guessed_intervals() {
    let (directory, file) = bench(&common::ten_seconds());
    let name = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (script, told) = (name("work.txt"), name("told.damon"));
    assert_eq!(run(&["export", &file, "--to", "perf-script", "-o", &script], "1").status, 0);
    let known = ["import", &script, "-o", &told, "--sample", "5ms", "--aggr", "100ms"];
    assert_eq!(run(&known, "1").status, 0);
    let compared = |sides: [&str; 2], format: &str| {
        let ran = run(&["compare", sides[0], "--new", sides[1], "--format", format], "2");
        assert!(!ran.out.is_empty(), "{sides:?}: {}", ran.err);
        ran.out
    };
    for (sides, guessed, said) in [
        ([&told, &told], [false, false], ""),
        ([&told, &script], [false, true], " (guessed in 1 of 2 recordings)"),
        ([&script, &script], [true, true], " (guessed)"),
    ] {
        let sides = sides.map(String::as_str);
        for (format, end) in [("text", ""), ("markdown", "<br>")] {
            let text = compared(sides, format);
            let line = format!(", sample 5 ms, aggregate 100 ms{said}{end}\n");
            assert!(text.contains(&line), "{line}: {text}");
        }
        let json: serde_json::Value = serde_json::from_str(&compared(sides, "json")).unwrap();
        let found = ["base", "new"].map(|side| json[side][0]["intervals_guessed"].as_bool());
        assert_eq!(found, guessed.map(Some));
    }
}

#[test]
fn wrong_usage_gets_one_sentence() {
    let (_directory, file) = bench(&common::ten_seconds());
    let cases: [(&[&str], &str); 8] = [
        (&["wss", "--skip", "3"], "required arguments were not provided"),
        (&["wss", "--windows", "--per-target"], "cannot be used with"),
        (&["wss", "--compat", "damo", "--skip", "100"], "--skip says how many are"),
        (&["idle", "--at", "soon"], "`soon` is no moment"),
        (&["idle", "--at", "11s"], "outside the recording, which lasts 10.000 s"),
        (&["mappings", "--idle", "10"], "write a number with its unit"),
        (&["mappings", "-o", "x.gif"], "x.gif: a picture's name must end in .png or .svg"),
        (&["idle", "-o", "x.png", "--size", "3x3"], "3x3 pixels cannot be drawn"),
    ];
    for (args, sentence) in cases {
        let ran = run(&[args, &[&file]].concat(), "1");
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(sentence), "{args:?}: {}", ran.err);
    }
}
