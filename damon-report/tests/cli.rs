//! The program as people and scripts meet it: output, exit statuses, sentences.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

struct Ran {
    status: i32,
    out: String,
    err: String,
}

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_damon-report"));
    command.args(args).env_remove("COLUMNS").env_remove("NO_COLOR");
    command
}

fn ran(output: &Output) -> Ran {
    Ran {
        status: output.status.code().unwrap(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn run(args: &[&str]) -> Ran {
    ran(&program(args).stdin(Stdio::null()).output().unwrap())
}

fn run_with_stdin(args: &[&str], input: &[u8]) -> Ran {
    let mut child = program(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    ran(&child.wait_with_output().unwrap())
}

/// A directory that holds `work.damon` and whatever else a test needs.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        bench.put("work.damon", &common::ten_seconds());
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

/// Compares with `testdata/report/NAME`. A missing file fails like a different one.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/report").join(name);
    if std::env::var_os("DAMON_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == text,
        "{} differs; look at the new text and, if it is right, run the tests with DAMON_BLESS=1\n\
         --- expected\n{expected}\n--- found\n{text}",
        path.display()
    );
}

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

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
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
fn every_text_says_what_the_numbers_rest_on() {
    let bench = Bench::new();
    let file = bench.name("work.damon");
    for command in ["info", "heatmap", "wss", "raw"] {
        let ran = run(&[command, &file]);
        assert!(ran.out.contains("writes only, page, sampled"), "{command}: {}", ran.out);
    }
}

#[test]
fn json_is_versioned_and_says_what_it_rests_on() {
    let bench = Bench::new();
    let file = bench.name("work.damon");
    for command in ["info", "heatmap", "wss", "verify"] {
        let ran = run(&[command, &file, "--format", "json"]);
        assert_eq!(ran.status, 0, "{command}: {}", ran.err);
        let value = json(&ran.out);
        assert_eq!(value["format"], 1, "{command}");
        assert_eq!(value["report"], command);
        assert_eq!(value["access"]["kind"], "write");
        assert_eq!(value["access"]["granularity"], "page");
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
fn pictures_are_the_same_each_time() {
    let bench = Bench::new();
    let file = bench.name("work.damon");
    let kinds = [("a.png", "b.png", &b"\x89PNG"[..]), ("a.svg", "b.svg", b"<")];
    for (command, (a, b, magic)) in
        ["heatmap", "wss"].into_iter().flat_map(|c| kinds.map(|kind| (c, kind)))
    {
        for (name, threads) in [(a, "1"), (b, "5")] {
            let ran = program(&[command, &file, "-o", &bench.name(name)])
                .env("RAYON_NUM_THREADS", threads)
                .output()
                .unwrap();
            assert_eq!(ran.status.code(), Some(0));
        }
        let (a, b) = (fs::read(bench.path(a)).unwrap(), fs::read(bench.path(b)).unwrap());
        assert!(a.starts_with(magic) && a == b);
    }
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
fn standard_input_gives_what_the_file_gives() {
    let bench = Bench::new();
    let file = bench.name("work.damon");
    let from_file = run(&["wss", &file]);
    let from_pipe = run_with_stdin(&["wss", "-"], &common::ten_seconds());
    assert_eq!((from_pipe.status, from_pipe.err.as_str()), (0, ""));
    assert_eq!(from_pipe.out, from_file.out);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let bench = Bench::new();
    let mut child = program(&["raw", &bench.name("work.damon"), "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = ran(&child.wait_with_output().unwrap());
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
}

/// Rust's runtime puts `/dev/null` where standard output was closed, and its handle hides `EBADF`.
#[test]
fn a_standard_output_that_is_closed_or_not_for_writing_is_an_output_error() {
    let bench = Bench::new();
    let file = bench.name("work.damon");
    let run = |words: &str| {
        let script = format!("exec \"$0\" {words}");
        let program = env!("CARGO_BIN_EXE_damon-report");
        ran(&Command::new("sh").args(["-c", &script, program, &file]).output().unwrap())
    };
    let closed = run("wss \"$1\" >&-");
    assert_eq!(closed.status, 5);
    assert!(closed.err.contains("standard output: it was closed"), "{}", closed.err);
    assert_eq!(run("--help >&-").status, 5);
    assert_eq!(run("wss \"$1\" 1</dev/null").status, 5);
    assert_eq!(run("wss \"$1\" >/dev/null").status, 0);
    assert_eq!(run("wss \"$1\" 1<>/dev/null").status, 0);
}

#[test]
fn a_full_disk_is_an_output_error() {
    let bench = Bench::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = program(&["raw", &bench.name("work.damon")]).stdout(full).output().unwrap();
    let ran = ran(&output);
    assert_eq!(ran.status, 5);
    assert!(ran.err.starts_with("damon-report: cannot write to standard output: "), "{}", ran.err);
    let unwritable = run(&["heatmap", &bench.name("work.damon"), "-o", "/nowhere/x.png"]);
    assert_eq!(unwritable.status, 5);
    assert!(unwritable.err.contains("/nowhere/x.png: cannot write: "), "{}", unwritable.err);
}

#[test]
fn wrong_usage_is_told_apart_from_wrong_input() {
    let bench = Bench::new();
    let file = bench.name("work.damon");
    let cases: [(&[&str], &str); 12] = [
        (&["judge", &file], "unrecognized subcommand 'judge'"),
        (&["compare", &file], "--new <NEW>"),
        (&["wss"], "required arguments were not provided"),
        (&["wss", &file, "--time", "10"], "`10` is no time range"),
        (&["wss", &file, "--time", "20s.."], "outside the recording, which lasts 10.000 s"),
        (&["wss", &file, "--time", "5s..5s"], "the time range 5s..5s ends before"),
        (&["wss", &file, "--address", "0..1000"], "nothing was monitored at the addresses 0..1000"),
        (&["wss", &file, "--target", "none"], "no target `none`; it has 0 (pid 4711, work)"),
        (&["heatmap", &file, "-o", "x.gif"], "x.gif: a picture's name must end in .png or .svg"),
        (&["heatmap", &file, "-o", "x.png", "--size", "3x3"], "3x3 pixels cannot be drawn"),
        (&["heatmap", &file, "--columns", "0", "--format", "csv"], "a number from 1 to 10000"),
        (&["info", &file, "--format", "csv"], "invalid value 'csv'"),
    ];
    for (args, sentence) in cases {
        let ran = run(args);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(sentence), "{args:?}: {}", ran.err);
    }
}

#[test]
fn input_of_no_use_gets_one_sentence_and_status_4() {
    let bench = Bench::new();
    let whole = common::ten_seconds();
    let mut newer = whole.clone();
    newer[8..10].copy_from_slice(&99_u16.to_le_bytes());
    let crc = crc_of_header(&newer);
    newer[28..32].copy_from_slice(&crc.to_le_bytes());
    let nothing = common::writer(&common::info()).finish().unwrap();
    let mut one = common::writer(&common::info());
    one.record(&common::started(0, 1, "x")).unwrap();
    let no_snapshots = one.finish().unwrap();
    let cases = [
        (bench.put("empty", b""), "the file is empty"),
        (
            bench.put("text", b"hello, this is no trace at all\n"),
            "neither a trace nor a recording of another tool",
        ),
        (bench.put("short", &whole[..20]), "the trace ends at byte 20, inside its head"),
        (bench.put("newer", &newer), "format version 99.1"),
        (bench.put("nothing", &nothing), "the trace holds no snapshots"),
        (bench.put("none", &no_snapshots), "the trace holds no snapshots"),
        (bench.name("missing"), "cannot read: No such file"),
        (bench.name("."), "is a directory"),
    ];
    for (file, sentence) in cases {
        for command in ["wss", "heatmap"] {
            let ran = run(&[command, &file, "--format", "json"]);
            assert_eq!((ran.status, ran.out.as_str()), (4, ""), "{file}: {}", ran.err);
            let said = ran.err.to_lowercase();
            assert!(said.contains(&sentence.to_lowercase()), "{file}: {}", ran.err);
            assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        }
    }
    let info = run(&["info", &bench.name("nothing")]);
    assert_eq!(info.status, 0, "{}", info.err);
    assert!(info.out.contains("snapshots    0"), "{}", info.out);
}

/// CRC-32 of the file header but for the checksum itself.
fn crc_of_header(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in &bytes[..28] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// A trace of which one byte in the middle is wrong.
fn damaged() -> Vec<u8> {
    let mut bytes = common::ten_seconds();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    bytes
}

#[test]
fn a_damaged_trace_is_used_as_far_as_it_goes() {
    let bench = Bench::new();
    let file = bench.put("damaged", &damaged());
    let verify = run(&["verify", &file]);
    assert_eq!((verify.status, verify.err.as_str()), (4, ""));
    assert!(verify.out.contains(": byte "), "{}", verify.out);
    let as_json = run(&["verify", &file, "--format", "json"]);
    assert_eq!(as_json.status, 4);
    assert!(!json(&as_json.out)["damage"].as_array().unwrap().is_empty());

    for command in ["info", "wss", "raw"] {
        let ran = run(&[command, &file]);
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(ran.err.starts_with("warning: "), "{command}: {}", ran.err);
        assert!(ran.err.contains(": byte "), "{command}: {}", ran.err);
        assert!(!ran.out.is_empty());
    }
}

#[test]
fn a_truncated_trace_is_used_up_to_its_end() {
    let bench = Bench::new();
    let whole = common::ten_seconds();
    let file = bench.put("cut", &whole[..whole.len() * 2 / 3]);
    let wss = run(&["wss", &file]);
    assert_eq!(wss.status, 0, "{}", wss.err);
    assert!(wss.err.contains("everything before is used"), "{}", wss.err);
    assert_eq!(run(&["verify", &file]).status, 4);
    let info = run(&["info", &file]);
    assert!(info.out.contains("interrupted"), "{}", info.out);
}

#[test]
fn repair_writes_a_new_file_that_verifies() {
    let bench = Bench::new();
    let file = bench.put("damaged", &damaged());
    let output = bench.name("repaired");
    let repair = run(&["repair", &file, "-o", &output]);
    assert_eq!((repair.status, repair.err.as_str()), (0, ""));
    assert!(repair.out.contains("snapshots") && repair.out.contains(": byte "), "{}", repair.out);
    assert_eq!(fs::read(bench.path("damaged")).unwrap(), damaged());
    assert_eq!(run(&["verify", &output]).status, 0);

    let again = run(&["repair", &file, "-o", &output]);
    assert_eq!(again.status, 5);
    assert!(again.err.contains("exists already"), "{}", again.err);
    assert_eq!(run(&["repair", &file, "-o", &output, "--force"]).status, 0);

    let itself = run(&["repair", &file, "-o", &file, "--force"]);
    assert_eq!(itself.status, 2);
    assert!(itself.err.contains("which is never changed"), "{}", itself.err);

    let text = bench.put("text", b"no trace at all, only some words in a file");
    let nothing = bench.name("nothing-to-repair");
    assert_eq!(run(&["repair", &text, "-o", &nothing]).status, 4);
    // The first block and garbage: the recording is recognised, and nothing of it is left.
    let head = &common::ten_seconds()[..300];
    let head = bench.put("head", &[head, &[0xff; 64]].concat());
    let repair = run(&["repair", &head, "-o", &nothing]);
    assert_eq!((repair.status, repair.err.contains("no snapshot could be read")), (4, true));
    let left = fs::read_dir(bench.directory.path()).unwrap();
    let names: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|n| n.to_string_lossy().starts_with("nothing")), "{names:?}");
}

#[test]
fn repair_works_between_pipes() {
    let ran = {
        let mut child = program(&["repair", "-", "-o", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&damaged()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert_eq!(ran.status.code(), Some(0));
    let bench = Bench::new();
    let file = bench.put("piped", &ran.stdout);
    assert_eq!(run(&["verify", &file]).status, 0);
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
