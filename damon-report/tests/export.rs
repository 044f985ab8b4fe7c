//! Recordings in the forms of other tools hold the same numbers, and files appear whole or not at all.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use common::{BEGIN, MIB, SECOND, info, snapshots, started, writer};
use damon_format::{Record, RecordingInfo, Snapshot, TargetId};
use damon_report::import::{ImportError, ImportOptions, Sink, trace_text};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new(snapshots: &[Snapshot]) -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        let mut writer = writer(&info());
        writer.record(&started(0, 4711, "work")).unwrap();
        for snapshot in snapshots {
            writer.snapshot(snapshot).unwrap();
        }
        fs::write(bench.path("work.damon"), writer.finish().unwrap()).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn run(&self, line: &str, input: &[u8]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_damon-report"))
            .args(line.split_whitespace())
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that refuses its arguments does not read.
        let _unread = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// What a command writes to standard output.
    fn out(&self, line: &str) -> Vec<u8> {
        let ran = self.run(line, b"");
        assert_eq!(ran.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    }

    fn text(&self, line: &str) -> String {
        String::from_utf8(self.out(line)).unwrap()
    }

    fn refused(&self, line: &str, status: i32) -> String {
        let ran = self.run(line, b"");
        let words = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(status), "{line}: {words}");
        words
    }
}

/// Two targets whose snapshots alternate, the second one later and without its first region.
fn two_targets() -> Vec<Snapshot> {
    let (one, two) = (snapshots(0, 40), snapshots(1, 40));
    let two = two.into_iter().map(|mut snapshot| {
        snapshot.start_ns += 7;
        snapshot.end_ns += 7;
        snapshot.regions.remove(0);
        snapshot.probes = vec![vec![5, 6, 7]];
        snapshot
    });
    one.into_iter().zip(two).flat_map(|(one, two)| [one, two]).collect()
}

fn number(text: &Value) -> u64 {
    text.as_str().unwrap().replace(',', "").parse().unwrap()
}

/// What damo's form says, by a reader of its own.
fn of_damo(text: &str) -> Vec<Snapshot> {
    let records: Value = serde_json::from_str(text).unwrap();
    let mut all = Vec::new();
    for record in records.as_array().unwrap() {
        let target = u32::try_from(record["target_id"].as_u64().unwrap()).unwrap();
        let (sample, aggr) =
            (number(&record["intervals"]["sample_us"]), number(&record["intervals"]["aggr_us"]));
        for snapshot in record["snapshots"].as_array().unwrap() {
            let small = |value: u64| u32::try_from(value).unwrap();
            let mut probes: Vec<Vec<u32>> = Vec::new();
            let regions = snapshot["regions"].as_array().unwrap().iter().map(|region| {
                let hits = region["probe_hits"].as_array().unwrap();
                probes.resize(hits.len(), Vec::new());
                for (probe, hit) in probes.iter_mut().zip(hits) {
                    probe.push(small(hit.as_u64().unwrap()));
                }
                let samples = region["nr_accesses"]["samples"].as_u64().unwrap();
                assert_eq!(region["nr_accesses"]["percent"], samples * 100 / (aggr / sample));
                damon_format::Region {
                    start: number(&region["start"]),
                    end: number(&region["end"]),
                    nr_accesses: small(samples),
                    age: small(number(&region["age"]["aggr_intervals"])),
                }
            });
            let regions: Vec<_> = regions.collect();
            let total: u64 = regions.iter().map(damon_format::Region::size).sum();
            assert_eq!(number(&snapshot["total_bytes"]), total);
            let mut snapshot = Snapshot::new(
                TargetId(target),
                number(&snapshot["start_time"]),
                number(&snapshot["end_time"]),
                damon_format::Sampling::from_intervals(sample, aggr),
                regions,
            );
            snapshot.probes = probes;
            all.push(snapshot);
        }
    }
    all
}

#[test]
fn damos_file_has_all_targets_one_after_the_other() {
    let mut expected = two_targets();
    let bench = Bench::new(&expected);
    let text = bench.text("export work.damon --to damo-json -o -");
    expected.sort_by_key(|s| s.target);
    assert_eq!(of_damo(&text), expected);
    // Four spaces a level, as damo writes it, and the same text compressed.
    assert!(text.starts_with("[\n    {\n        \"kdamond_idx\": 0,\n"), "{}", &text[..60]);
    let packed = bench.out("export work.damon --to damo -o -");
    let mut inflated = String::new();
    flate2::read::ZlibDecoder::new(&packed[..]).read_to_string(&mut inflated).unwrap();
    assert!(inflated == text && packed[0] == 0x78);
}

#[test]
fn what_was_not_observed_is_null_empty_or_refused_and_never_0() {
    let mut without = snapshots(0, 3);
    for snapshot in &mut without {
        snapshot.has_ages = false;
        snapshot.regions.iter_mut().for_each(|region| region.age = 0);
    }
    let bench = Bench::new(&without);
    let words = bench.refused("export work.damon --to perf-script -o work.txt", 2);
    assert!(words.contains("3 of 3 snapshots") && words.contains("--to damo"), "{words}");
    assert_eq!(bench.names(), ["work.damon"]);
    let damo: Value =
        serde_json::from_str(&bench.text("export work.damon --to damo-json -o -")).unwrap();
    let age = &damo[0]["snapshots"][0]["regions"][0]["age"];
    assert!(age["aggr_intervals"].is_null() && age["usec"].is_null());
    let csv = bench.text("export work.damon --to csv -o -");
    assert!(csv.lines().skip(1).all(|line| line.ends_with(',')), "{csv}");
    let jsonl = bench.text("export work.damon --to jsonl -o -");
    assert_eq!(jsonl.matches("\"age\":null").count(), 12);
    assert!(bench.text("raw work.damon --format damo").contains("         20    -1\n"));
}

#[test]
fn perf_script_has_a_line_for_each_region() {
    let expected = two_targets();
    let bench = Bench::new(&expected);
    let text = bench.text("export work.damon --to perf-script -o -");
    let mut found = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words.len(), words[4]), (10, "damon:damon_aggregated:"), "{line}");
        let value = |at: usize, key: &str| words[at].strip_prefix(key).unwrap().to_owned();
        let time: f64 = words[3].trim_end_matches(':').parse().unwrap();
        found.push((time, value(5, "target_id="), value(6, "nr_regions="), words[7..].join(" ")));
    }
    assert_eq!(found.len(), 40 * 4 + 40 * 3);
    let (time, target, count, region) = &found[0];
    let first = expected[0].regions[0];
    assert!((time - 5000.1).abs() < 1e-9);
    assert_eq!((target.as_str(), count.as_str()), ("0", "4"));
    assert_eq!(*region, format!("{}-{}: 20 0", first.start, first.end));
    // A reader of one snapshot could not know how long it took.
    let bench = Bench::new(&snapshots(0, 1));
    let text = bench.text("export work.damon --to perf-script -o -");
    let last = text.lines().last().unwrap();
    assert!(last.contains(" 5000.200000: ") && last.ends_with("nr_regions=1 0-0: -1 -1"), "{last}");
}

#[test]
fn tables_hold_what_is_selected_cut_to_it() {
    let bench = Bench::new(&two_targets());
    let part = "--time 1s..2s --target 1 --address 555500000000..5555008fffff";
    let csv = bench.text(&format!("export work.damon --to csv {part} -o -"));
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].ends_with(",start,end,nr_accesses,age,probe_0"), "{}", lines[0]);
    let column = |line: &str, at: usize| line.split(',').nth(at).unwrap().parse::<u64>().unwrap();
    // One of the second target's regions is inside, in part; the first snapshot only touches the time.
    assert_eq!(lines.len(), 1 + 11);
    for line in &lines[1..] {
        assert_eq!((column(line, 0), column(line, 10)), (1, 5));
        assert_eq!(column(line, 7), 0x5555_0000_0000 + 0x8f_ffff);
        assert!(column(line, 2) > BEGIN + SECOND && column(line, 1) < BEGIN + 2 * SECOND);
    }
    let jsonl = bench.text(&format!("export work.damon --to jsonl {part} -o -"));
    let values: Vec<Value> = jsonl.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((&values[0]["recording"]["format"], values.len()), (&1.into(), 1 + 11));
    assert_eq!(values[1]["snapshot"]["regions"][0]["start"], 0x5555_0000_0000_u64 + 4 * MIB);
}

#[test]
fn files_appear_whole_private_and_in_nobodys_place() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new(&two_targets());
    let lines = [
        "export work.damon --to csv",
        "slice work.damon --time 1s..",
        "merge work.damon",
        "adjust work.damon --aggr 1s",
    ];
    for line in lines {
        let said = bench.text(&format!("{line} -o new"));
        assert!(said.starts_with("new: ") && said.contains(" snapshots, "), "{said}");
        let mode = fs::metadata(bench.path("new")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{line}");
        let there = fs::read(bench.path("new")).unwrap();
        assert!(bench.refused(&format!("{line} -o new"), 5).contains("--force"));
        assert_eq!(fs::read(bench.path("new")).unwrap(), there);
        bench.out(&format!("{line} -o new --force"));
        assert!(
            bench.refused(&format!("{line} -o work.damon --force"), 2).contains("the input itself")
        );
        assert!(bench.refused(&format!("{line} -o missing/new"), 5).contains("missing/new"));
        fs::remove_file(bench.path("new")).unwrap();
        assert_eq!(bench.names(), ["work.damon"], "{line}");
    }
}

#[test]
fn useless_input_is_named_and_leaves_no_file() {
    let bench = Bench::new(&[]);
    let whole = fs::read(bench.path("work.damon")).unwrap();
    fs::write(bench.path("text"), "no trace at all").unwrap();
    fs::write(bench.path("empty"), "").unwrap();
    fs::write(bench.path("head"), &whole[..40]).unwrap();
    for input in ["text", "empty", "head", "work.damon", "missing"] {
        for line in ["export # --to damo", "slice #", "merge #", "adjust # --aggr 1s"] {
            let line = line.replace('#', input) + " -o new";
            assert!(bench.refused(&line, 4).contains(input), "{line}");
            assert!(!bench.names().iter().any(|name| name.starts_with("new")), "{line}");
        }
    }
}

#[test]
fn damage_is_said_and_the_rest_is_used_and_marked() {
    let bench = Bench::new(&two_targets());
    let mut bytes = fs::read(bench.path("work.damon")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(bench.path("broken"), bytes).unwrap();
    for line in ["slice broken", "merge broken", "adjust broken --aggr 300ms"] {
        let ran = bench.run(&format!("{line} -o - "), b"");
        assert_eq!(ran.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&ran.stderr).contains("warning: broken: byte"), "{line}");
        let json = bench.run("info - --format json", &ran.stdout);
        assert!(String::from_utf8_lossy(&json.stdout).contains("broken is damaged"), "{line}");
    }
}

#[test]
fn parts_are_read_as_one_through_a_pipe() {
    let bench = Bench::new(&two_targets());
    bench.out("slice work.damon --time ..1.5s -o a");
    bench.out("slice work.damon --time 1.5s..2.2s -o b");
    bench.out("slice work.damon --time 2.2s.. -o c");
    let merged = bench.out("merge c a b -o -");
    let piped = bench.run("wss - --format csv", &merged);
    assert_eq!(piped.status.code(), Some(0));
    assert_eq!(String::from_utf8(piped.stdout).unwrap(), bench.text("wss work.damon --format csv"));
}

#[test]
fn completions_and_manual_pages_know_all_commands() {
    let bench = Bench::new(&[]);
    for shell in ["bash", "zsh", "fish"] {
        let script = bench.text(&format!("completions {shell}"));
        assert!(["heatmap", "slice", "aggr"].iter().all(|word| script.contains(word)), "{shell}");
    }
    // A directory that is not there is made.
    let written = bench.text("man --dir new/man1");
    assert!(written.lines().any(|line| line.ends_with("damon-report-merge.1")));
    let page = fs::read_to_string(bench.path("new/man1/damon-report-merge.1")).unwrap();
    assert!(page.contains(".TH damon-report-merge 1") && page.contains("same\\-clock"), "{page}");
    assert!(bench.text("man").contains("damon\\-report\\-adjust(1)"));
    let examples =
        page.split_once(".SH EXTRA\n.nf\n").and_then(|(_, behind)| behind.split_once(".fi"));
    assert!(examples.is_some_and(|(lines, _)| lines.contains("damon\\-report merge")), "{page}");
}

#[test]
fn damos_file_that_we_import_is_exported_again_as_it_was() {
    let bench = Bench::new(&two_targets());
    let text = bench.text("export work.damon --to damo-json -o -");
    bench.out("export work.damon --to damo -o damon.data");
    bench.out("import damon.data -o again.damon");
    let again = bench.text("export again.damon --to damo-json -o -");
    assert_eq!(of_damo(&again), of_damo(&text));
    let numbers = |name: &str| bench.text(&format!("export {name} --to csv -o -"));
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(Into::into).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(numbers("again.damon")), sorted(numbers("work.damon")));
}

/// What an importer tells.
#[derive(Default)]
struct Told(Vec<Snapshot>);

impl Sink for Told {
    fn begin(&mut self, _: RecordingInfo) -> Result<(), ImportError> {
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), ImportError> {
        self.0.push(snapshot.clone());
        Ok(())
    }

    fn record(&mut self, _: Record) -> Result<(), ImportError> {
        Ok(())
    }
}

#[test]
fn our_importer_reads_the_lines_that_we_export() {
    for expected in [two_targets(), snapshots(0, 1)] {
        let bench = Bench::new(&expected);
        let lines = bench.out("export work.damon --to perf-script -o -");
        let options = ImportOptions { sample_us: Some(5_000), aggr_us: Some(100_000) };
        let mut told = Told::default();
        trace_text::read(&lines[..], &options, &mut told).unwrap();
        // Lines have microseconds, and no begin of the first snapshot.
        let numbers = |snapshots: &[Snapshot]| {
            let all = snapshots.iter().map(|s| (s.target, s.end_ns / 1000, s.regions.clone()));
            let mut all: Vec<_> = all.collect();
            all.sort_by_key(|(target, end, _)| (*target, *end));
            all
        };
        assert_eq!(numbers(&told.0), numbers(&expected));
    }
}
