//! The program: `import`, and other commands on recordings of other tools.

use crate::collect::snapshots;
use crate::damo_text::{compress, text};
use damon_format::Sampling;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_damon-report"))
        .args(args)
        .env_remove("COLUMNS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its input need not read all of it.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn recording() -> Vec<u8> {
    let usual = Some(Sampling::from_intervals(5_000, 100_000));
    compress(text(usual, "0", snapshots(&[12; 50])).as_bytes())
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap() };
        fs::write(place.directory.path().join("damon.data"), recording()).unwrap();
        place
    }

    fn name(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_trace_is_made_once_and_for_its_owner() {
    let place = Place::new();
    let (from, to) = (place.name("damon.data"), place.name("x.damon"));
    let (status, out, err) = said(&run(&["import", &from, "-o", &to], b""));
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.contains("50 snapshots, 600 region rows"), "{out}");
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    let trace = fs::read(&to).unwrap();
    assert!(damon_format::verify(&trace).unwrap().damage.is_empty());
    let (status, _, err) = said(&run(&["import", &from, "-o", &to], b""));
    assert_eq!(status, 5);
    assert!(err.contains("--force"), "{err}");
    assert_eq!(said(&run(&["import", &from, "-o", &to, "--force"], b"")).0, 0);
    assert_eq!(fs::read(&to).unwrap(), trace);
    let piped = run(&["import", "-", "-o", "-"], &recording());
    assert_eq!((piped.status.code(), piped.stdout == trace), (Some(0), true));
    assert_eq!(place.files(), ["damon.data", "x.damon"]);
    let (status, _, err) = said(&run(&["import", &to, "-o", &place.name("y")], b""));
    assert_eq!(status, 4);
    assert!(err.contains("this is a trace already"), "{err}");
}

#[test]
fn every_command_reads_them_directly() {
    let place = Place::new();
    let (from, to) = (place.name("damon.data"), place.name("x.damon"));
    assert_eq!(said(&run(&["import", &from, "-o", &to], b"")).0, 0);
    for args in [&["wss", "--format", "csv"][..], &["raw"], &["heatmap"]] {
        let with = |file: &str| run(&[args, &[file]].concat(), b"");
        let (direct, imported) = (with(&from), with(&to));
        assert_eq!(direct.status.code(), Some(0), "{args:?}");
        assert_eq!(said(&direct).1, said(&imported).1, "{args:?}");
        let piped = run(&[args, &["-"]].concat(), &recording());
        assert_eq!(said(&piped).1, said(&direct).1, "{args:?}");
    }
    assert_eq!(said(&run(&["verify", &from], b"")).0, 0);
    assert_eq!(place.files(), ["damon.data", "x.damon"]);
}

#[test]
fn info_says_what_it_was_and_what_is_not_known() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/import/damo-3.4.3.json");
    let file = file.to_str().unwrap();
    let (status, out, err) = said(&run(&["info", file], b""));
    assert_eq!((status, err.as_str()), (0, ""));
    for part in [
        "damo's json; ",
        "began        unknown: the recording does not tell the wall clock",
        "machine      unknown; ",
        "intervals    sample 5 ms, aggregate 100 ms, update 1 s\n",
        "a sampling interval of 5 ms is assumed",
        "target       0: target 0; 2 snapshots",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    assert!(!out.contains("1970"), "{out}");
    let (_, out, _) = said(&run(&["info", "--format", "json", file], b""));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["imported_from"], "damo-json");
    assert_eq!(json["began_realtime_ns"], serde_json::Value::Null);
    assert!(json["notes"].as_array().unwrap().len() >= 3);
}

#[test]
fn intervals_can_be_told_and_need_a_unit() {
    let place = Place::new();
    let old = text(None, "0", snapshots(&[3; 5]));
    let to = place.name("x.damon");
    let told = ["import", "-", "-o", &to, "--sample", "2ms", "--aggr", "100 ms"];
    assert_eq!(said(&run(&told, old.as_bytes())).0, 0);
    let (_, out, _) = said(&run(&["info", &to], b""));
    assert!(out.contains("sample 2 ms, aggregate 100 ms") && !out.contains("guessed"), "{out}");
    let (status, _, err) = said(&run(&["import", "-", "-o", &to, "--aggr", "100"], b""));
    assert_eq!(status, 2);
    assert!(err.contains("a number with its unit"), "{err}");
}

#[test]
fn bad_input_is_named_with_its_place_and_leaves_nothing() {
    let place = Place::new();
    let whole = recording();
    let cut = place.name("cut");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let to = place.name("x.damon");
    fs::write(&to, "precious").unwrap();
    let (status, out, err) = said(&run(&["import", &cut, "-o", &to, "--force"], b""));
    assert_eq!((status, out.as_str()), (4, ""));
    assert!(err.contains("cut: byte ") && err.contains("the end of the input"), "{err}");
    assert_eq!(fs::read(&to).unwrap(), b"precious");
    assert_eq!(place.files(), ["cut", "damon.data", "x.damon"]);
    let (status, _, err) = said(&run(&["wss", &cut], b""));
    assert_eq!(status, 4);
    assert!(err.contains("expected more of the zlib stream"), "{err}");
    let (status, _, err) = said(&run(&["info", "-"], b"[{\"snapshots\": 7}]"));
    assert_eq!(status, 4);
    assert!(err.contains("standard input: byte 15: expected ["), "{err}");
    let (status, _, err) = said(&run(&["info", "-"], b"PERFILE2...."));
    assert_eq!(status, 4);
    assert!(err.contains("standard input: byte 8: expected"), "{err}");
}

#[test]
fn what_perf_has_recorded_is_read_directly_too() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/import/perf");
    let rows = |name: &str| {
        let path = beside.join(name);
        let ran = run(&["raw", "--format", "csv", path.to_str().unwrap()], b"");
        let (status, out, err) = said(&ran);
        assert_eq!((status, err.as_str()), (0, ""), "{name}");
        out.lines()
            .map(|line| line.split(',').skip(6).collect::<Vec<_>>().join(","))
            .collect::<Vec<_>>()
    };
    let text = rows("plain.txt");
    assert!(text.len() > 100);
    assert_eq!(text, rows("plain.data"), "perf script shows what perf record has stored");
    let through_pipe = run(&["wss", "-"], &fs::read(beside.join("pipe.data")).unwrap());
    assert_eq!(through_pipe.status.code(), Some(0));
}

#[test]
fn bytes_that_passed_filters_go_back_to_damo_as_they_came() {
    let place = Place::new();
    let region = |start: u32, hits: &str, passed: &str| {
        format!(
            r#"{{"start": {start}, "end": {}, "nr_accesses": {{"samples": 1}}, "age": {{"aggr_intervals": 1}},
            "probe_hits": {hits}, "sz_filter_passed": "{passed}"}}"#,
            start + 8_388_608
        )
    };
    let text = format!(
        r#"[{{"intervals": {{"sample_us": 1, "aggr_us": 2}}, "target_id": 0, "snapshots": [
        {{"start_time": 0, "end_time": 9, "regions": [{}, {}]}}]}}]"#,
        region(0, "[4, 5]", "1 MiB"),
        region(8_388_608, "[0, 7]", "0 B")
    );
    let (from, to) = (place.name("x.json"), place.name("x.damon"));
    fs::write(&from, text).unwrap();
    assert_eq!(said(&run(&["import", &from, "-o", &to], b"")).0, 0);
    let back = run(&["export", &to, "--to", "damo-json", "-o", "-"], b"");
    let back: serde_json::Value = serde_json::from_slice(&back.stdout).unwrap();
    let regions = &back[0]["snapshots"][0]["regions"];
    for (index, (hits, passed)) in [([4, 5], "1048576"), ([0, 7], "0 B")].iter().enumerate() {
        assert_eq!(regions[index]["probe_hits"], serde_json::json!(hits));
        assert_eq!(regions[index]["sz_filter_passed"], *passed);
    }
}

#[test]
fn files_of_trace_cmd_are_read_like_its_text_and_damaged_ones_are_refused_with_their_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/import/trace-cmd");
    for version in ["version6", "version7"] {
        let file = |end: &str| folder.join(format!("{version}.{end}")).to_str().unwrap().to_owned();
        for args in [&["wss", "--format", "csv"][..], &["heatmap"], &["regions"]] {
            let of = |end: &str| said(&run(&[args, &[file(end).as_str()]].concat(), b""));
            let (status, out, err) = of("dat");
            assert_eq!((status, err.as_str()), (0, ""), "{args:?}");
            assert_eq!(out, of("txt").1, "{args:?}");
        }
        let (_, out, _) = said(&run(&["info", &file("dat")], b""));
        assert!(out.contains("trace-cmd's trace.dat"), "{out}");
        let place = Place::new();
        let bytes = fs::read(file("dat")).unwrap();
        fs::write(place.name("cut.dat"), &bytes[..bytes.len() / 2]).unwrap();
        let out = place.name("x.damon");
        let (status, _, err) = said(&run(&["import", &place.name("cut.dat"), "-o", &out], b""));
        assert_eq!(status, 4);
        assert!(err.contains("cut.dat: byte ") && err.contains(", found "), "{err}");
        assert_eq!(place.files(), ["cut.dat", "damon.data"]);
        let (status, _, err) = said(&run(&["wss", "-"], &bytes));
        assert_eq!(status, 4);
        assert!(err.contains("name the file"), "{err}");
    }
}
