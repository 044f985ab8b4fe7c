//! Every kind of bad input for every importer, as the program's user meets it: exit status, place, what was expected there,
//! and that nothing half written is left.

use crate::collect::snapshots;
use crate::damo_record::{bytes as record, sample};
use crate::damo_text::{compress, text};
use damon_format::Sampling;
use damon_report::commands;
use damon_report::exit::Exit;
use damon_report::import::{Kind, sniff};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// One of the forms that are read.
struct Form {
    name: &'static str,
    kind: Kind,
    whole: Vec<u8>,
    /// Whatever is cut off at the end is noticed, because the form says where it ends.
    knows_its_end: bool,
}

/// What ftrace's `trace` file has, with lines of others between.
const FTRACE: &str = "# tracer: nop\n#\n# entries-in-buffer/entries-written: 9/9   #P:2\n\
    #           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n";

fn ftrace() -> Vec<u8> {
    let mut text = FTRACE.to_owned();
    for aggregation in 0..6_u64 {
        let ms = 10_000 + aggregation * 102;
        let (s, ms) = (ms / 1000, ms % 1000);
        writeln!(text, "  <idle>-0  [001] d..3. {s}.{ms:03}000: sched_wakeup: comm=x").unwrap();
        for region in 0..3 {
            let (start, end) = (region * 8192, region * 8192 + 8192);
            writeln!(
                text,
                "  kdamond.0-77  [000] ..... {s}.{ms:03}{region:03}: damon_aggregated: target_id=0 nr_regions=3 \
                 {start}-{end}: {} {aggregation}",
                region * 5
            )
            .unwrap();
        }
    }
    text.into_bytes()
}

fn forms() -> Vec<Form> {
    let kept = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/import");
        fs::read(folder.join(name)).unwrap()
    };
    let json = text(Some(Sampling::from_intervals(5_000, 100_000)), "0", snapshots(&[3; 6]));
    let json = json.into_bytes();
    let list: [(&'static str, Kind, Vec<u8>, bool); 13] = [
        ("json_compressed", Kind::DamoJsonCompressed, compress(&json), true),
        ("json", Kind::DamoJson, json, true),
        ("record v0", Kind::DamoRecord, record(0, &sample()), false),
        ("record v1", Kind::DamoRecord, record(1, &sample()), false),
        ("record v2", Kind::DamoRecord, record(2, &sample()), false),
        ("perf script", Kind::TraceText, kept("perf/plain.txt"), false),
        ("trace-cmd report", Kind::TraceText, kept("trace-cmd/version6.txt"), false),
        ("ftrace", Kind::TraceText, ftrace(), false),
        ("perf.data", Kind::PerfData, kept("perf/plain.data"), true),
        ("perf.data of a pipe", Kind::PerfData, kept("perf/pipe.data"), false),
        ("perf.data compressed", Kind::PerfData, kept("perf/compressed.data"), true),
        ("trace.dat 6", Kind::TraceCmdData, kept("trace-cmd/version6.dat"), true),
        // It ends with the names of its sections, which nobody needs.
        ("trace.dat 7", Kind::TraceCmdData, kept("trace-cmd/version7.dat"), false),
    ];
    list.map(|(name, kind, whole, knows_its_end)| Form { name, kind, whole, knows_its_end }).into()
}

fn form(name: &str) -> Form {
    forms().into_iter().find(|form| form.name == name).unwrap()
}

fn run(args: &[&str]) -> (Exit, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = std::iter::once("damon-report").chain(args.iter().copied()).map(OsString::from);
    let exit = commands::run(args, &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (exit, text(out), text(err))
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The trace that an import makes of such a file; or what the program says, which is always one line with a place and
    /// what was expected there, or a sentence about the whole.
    fn import(&self, bytes: &[u8]) -> Result<damon_format::VerifyReport, String> {
        let (from, to) = (self.path("in"), self.path("out"));
        fs::write(&from, bytes).unwrap();
        let (exit, out, err) = run(&["import", from.to_str().unwrap(), "-o", to.to_str().unwrap()]);
        let mut left: Vec<_> = fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        match exit {
            Exit::Success => {
                assert_eq!((left, err.as_str()), (vec!["in".to_owned(), "out".to_owned()], ""));
                let trace = fs::read(&to).unwrap();
                fs::remove_file(&to).unwrap();
                let report = damon_format::verify(&trace).unwrap();
                assert!(report.damage.is_empty());
                Ok(report)
            }
            Exit::Input => {
                assert_eq!((left, out.as_str()), (vec!["in".to_owned()], ""));
                Err(checked(&err, from.to_str().unwrap(), bytes.len()))
            }
            other => panic!("{other:?}: {err}"),
        }
    }
}

/// Sentences about a whole input, in which no place is worse than others.
const OF_THE_WHOLE: [&str; 12] = [
    "neither a trace nor",
    "this is a trace already, or nothing that is known",
    "without a snapshot",
    "it holds no region that DAMON has told",
    "has all the regions that its events announce",
    "it has no events of DAMON",
    "it has no descriptions of tracepoints",
    "perf did not finish it",
    "its samples have no times",
    "big-endian",
    "and 6 and 7 can be read",
    "how its kernel's ring buffer is laid out is not described",
];

fn checked(err: &str, from: &str, length: usize) -> String {
    let said = err.strip_prefix("damon-report: ").and_then(|rest| rest.strip_prefix(from));
    let said = said.and_then(|rest| rest.strip_prefix(": ")).unwrap_or_else(|| panic!("{err}"));
    let said = said.strip_suffix('\n').unwrap();
    assert!(!said.contains(char::is_control) && said.len() < 1000, "{said}");
    if OF_THE_WHOLE.iter().any(|known| said.contains(known)) {
        return said.to_owned();
    }
    let (unit, rest) = said.split_once(' ').unwrap_or_else(|| panic!("no place: {said}"));
    let (number, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap());
    let place: usize = number.parse().unwrap_or_else(|_| panic!("no place: {said}"));
    let inflated = rest.starts_with(" of the uncompressed text: ");
    assert!(matches!(unit, "byte" | "line"), "{said}");
    // A place beyond the end is where something should be, and then it is said that the file is shorter.
    let ends =
        rest.contains(", found a file that ends at byte ") || rest.ends_with(", found the end");
    assert!(inflated || ends || place <= length, "{said}: there are {length} bytes");
    assert!(rest.contains(": expected ") && rest.contains(", found "), "{said}");
    said.to_owned()
}

#[test]
fn whole_ones_are_read() {
    let place = Place::new();
    for Form { name, kind, whole, .. } in forms() {
        assert_eq!(sniff(&whole), kind, "{name}");
        assert!(place.import(&whole).unwrap().snapshots > 3, "{name}");
    }
}

#[test]
fn cut_off() {
    let place = Place::new();
    for Form { name, whole, knows_its_end, .. } in forms() {
        let all = place.import(&whole).unwrap();
        let steps = (0..60).map(|i| whole.len() * i / 60);
        for cut in steps.chain((1..9).map(|less| whole.len() - less)) {
            match place.import(&whole[..cut]) {
                Ok(found) => {
                    assert!(found.snapshots <= all.snapshots, "{name} cut at {cut}");
                    // perf's last bytes say nothing of DAMON.
                    let lacks = found.snapshots < all.snapshots || found.rows < all.rows;
                    assert!(!(knows_its_end && lacks), "{name} cut at {cut} of {}", whole.len());
                }
                // `import` has checked what is said.
                Err(_said) => {}
            }
        }
    }
}

#[test]
fn flipped_bits() {
    let place = Place::new();
    for Form { name, kind, whole, .. } in forms() {
        let step = (whole.len() / 100).max(1);
        let mut refused = 0;
        for (index, at) in (0..whole.len()).step_by(step).enumerate() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (index % 8);
            refused += u32::from(place.import(&flipped).is_err());
        }
        // What has a checksum notices all of it, and every binary form the start of it; of a text a line is lost.
        let least = match kind {
            Kind::DamoJsonCompressed => whole.len() / step,
            Kind::TraceText => 0,
            _ => 1,
        };
        assert!(refused as usize >= least, "{name}: {refused}");
    }
}

#[test]
fn empty_or_nothing_but_the_begin() {
    let place = Place::new();
    assert!(place.import(b"").unwrap_err().contains("nothing that is known"));
    for Form { name, whole, .. } in forms() {
        for length in [1, 2, 4, 8, 10, 16, 17, 20] {
            assert!(place.import(&whole[..length]).is_err(), "{name}, {length} bytes");
        }
    }
}

/// Everywhere.
fn replaced(whole: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut changed = Vec::new();
    let mut rest = whole;
    while let Some(at) = rest.windows(old.len()).position(|window| window == old) {
        changed.extend(&rest[..at]);
        changed.extend(new);
        rest = &rest[at + old.len()..];
    }
    assert!(!changed.is_empty(), "it has no {}", old.escape_ascii());
    changed.extend(rest);
    changed
}

/// `new` at the place `at`.
fn put(whole: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut changed = whole.to_vec();
    changed[at..at + new.len()].copy_from_slice(new);
    changed
}

/// A form, what is done to it, and what is said of that.
type Case<'a> = (&'a str, &'a dyn Fn(&[u8]) -> Vec<u8>, &'a str);

fn table(cases: &[Case<'_>]) {
    let place = Place::new();
    for (name, change, expected) in cases {
        let whole = form(name).whole;
        let said = place.import(&change(&whole)).map(|found| found.snapshots).unwrap_err();
        assert!(said.contains(expected), "{name}: {said}\nand not: {expected}");
    }
    let untested: Vec<_> =
        forms().iter().map(|f| f.name).filter(|f| !cases.iter().any(|c| c.0 == *f)).collect();
    assert!(untested.is_empty(), "{untested:?}");
}

/// damo's json, with a change, as it is or compressed.
fn deflated(change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    compress(&change(&form("json").whole))
}

#[test]
fn wrong_types() {
    let list = |json: &[u8]| replaced(json, b"\"regions\": [", b"\"regions\": 7, \"x\": [");
    let apply = |text: &[u8]| replaced(text, b"target_idx=", b"target_idx=x");
    let word = |text: &[u8]| replaced(text, b"target_id=0", b"target_id=zero");
    let format =
        |data: &[u8]| replaced(data, b"unsigned long target_id", b"unsigned long target_no");
    let version = |record: &[u8]| put(record, 16, &[7]);
    table(&[
        ("json", &list, "expected [, the start of a list of regions, found \"7, "),
        ("json_compressed", &|_| deflated(list), "of the uncompressed text: expected [, the start"),
        // Its first eight bytes are seconds.
        ("record v0", &|record| put(record, 4, b"abcd"), "nothing that is known"),
        ("record v1", &version, "byte 16: expected version 1 or 2 of the format, found version 7"),
        ("record v2", &version, "byte 16: expected version 1 or 2 of the format, found version 7"),
        (
            "perf script",
            &|text| apply(&word(text)),
            "line 1: expected TIME: damon_aggregated: target_id=N",
        ),
        (
            "trace-cmd report",
            &|text| apply(&word(text)),
            "line 2: expected TIME: damon_aggregated: target_id=N",
        ),
        ("ftrace", &word, "line 6: expected TIME: damon_aggregated: target_id=N"),
        ("perf.data", &format, "expected the fields of damon_aggregated, found not all of them"),
        ("perf.data of a pipe", &format, "expected the fields of damon_aggregated, found not all"),
        ("perf.data compressed", &format, "expected the fields of damon_aggregated, found not all"),
        ("trace.dat 6", &format, "expected the fields of damon_aggregated, found not all of them"),
        ("trace.dat 7", &|data| put(data, 10, b"9"), "a trace.dat of version 9, and 6 and 7"),
    ]);
}

#[test]
fn huge_numbers() {
    const NUMBER: &[u8] = b"99999999999999999999999999";
    let all = [0xff; 8];
    let end =
        |json: &[u8]| replaced(json, b"\"end_time\": \"", &[b"\"end_time\": \"", NUMBER].concat());
    let target = |text: &[u8]| replaced(text, b"target_id=0", &[b"target_id=", NUMBER].concat());
    let apply = |text: &[u8]| replaced(text, b"target_idx=0", &[b"target_idx=", NUMBER].concat());
    // Behind magic and version: seconds, nanoseconds, number of targets; target, number of regions, 20 bytes each.
    let (seconds, regions) =
        ("expected a time, found 18446744073709551615 s", "expected at most 262144 regions");
    table(&[
        (
            "json",
            &end,
            "expected a time (\"5000\", \"5 ms\", \"1 m 2 s\"), found \"99999999999999999999",
        ),
        ("json_compressed", &|_| deflated(end), "uncompressed text: expected a time"),
        ("record v0", &|record| put(record, 72 + 28, &all[..4]), regions),
        ("record v1", &|record| put(record, 20, &all), seconds),
        ("record v2", &|record| put(record, 20, &all), seconds),
        ("perf script", &|text| apply(&target(text)), "line 1: expected TIME: damon_aggregated"),
        (
            "trace-cmd report",
            &|text| apply(&target(text)),
            "line 2: expected TIME: damon_aggregated",
        ),
        ("ftrace", &target, "line 6: expected TIME: damon_aggregated"),
        // The header: the size of attributes, their place, the size of all records.
        (
            "perf.data",
            &|data| put(data, 48, &all),
            "expected 18446744073709551615 bytes of records",
        ),
        ("perf.data compressed", &|data| put(data, 16, &all), "expected 80 to 4112 bytes"),
        // The size of the first record's attributes.
        ("perf.data of a pipe", &|data| put(data, 16 + 8 + 4, &all[..4]), "attributes of an event"),
        // The page size, and the place of the first options.
        ("trace.dat 6", &|data| put(data, 14, &all[..4]), "expected "),
        ("trace.dat 7", &|data| put(data, 27, &all), "expected "),
    ]);
}

#[test]
fn whatever_number_is_huge_somewhere() {
    let place = Place::new();
    for Form { whole, .. } in forms() {
        let step = (whole.len() / 70).max(1);
        for at in (0..whole.len() - 8).step_by(step) {
            // An answer or a place; `import` checks which.
            let _any_answer = place.import(&put(&whole, at, &[0xff; 8]));
            let _any_answer = place.import(&put(&whole, at, b"99999999"));
        }
    }
}

#[test]
fn what_is_no_utf8() {
    let place = Place::new();
    // In names it stands for itself, or for what cannot be shown.
    let json = |json: &[u8]| replaced(json, b"\"unknown\"", b"\"\xff\xfe\x80\"");
    let comm = |text: &[u8]| replaced(text, b"kdamond.0", b"kd\xff\xfe.0");
    let host = |text: &[u8]| [b"# hostname : \xff\xfe\n", text].concat();
    let arch = |data: &[u8]| replaced(data, b"x86_64", b"x\xff\xfe_64");
    let cases: [(&str, Vec<u8>); 8] = [
        ("json", json(&form("json").whole)),
        ("json_compressed", deflated(json)),
        ("perf script", host(&form("perf script").whole)),
        ("trace-cmd report", comm(&form("trace-cmd report").whole)),
        ("ftrace", comm(&form("ftrace").whole)),
        ("perf.data", arch(&form("perf.data").whole)),
        ("perf.data compressed", arch(&form("perf.data compressed").whole)),
        ("trace.dat 6", arch(&form("trace.dat 6").whole)),
    ];
    for (name, bytes) in cases {
        let whole = place.import(&form(name).whole).unwrap();
        let found = place.import(&bytes).unwrap_or_else(|said| panic!("{name}: {said}"));
        assert_eq!((found.snapshots, found.rows), (whole.snapshots, whole.rows), "{name}");
    }
    // In the place of something else it is shown in a way that no terminal obeys.
    let json = replaced(&form("json").whole, b"\"start_time\"", b"\xff\x1b\x9b");
    let said = place.import(&json).unwrap_err();
    assert!(said.contains("found \"\\xff\\x1b\\x9b: \\\"5398"), "{said}");
    let text = replaced(&form("ftrace").whole, b"target_id=0", b"\xff\xfe\x1b[31m");
    let said = place.import(&text).unwrap_err();
    assert!(said.contains("line 6: expected TIME") && !said.contains('\x1b'), "{said}");
}

#[test]
fn in_another_order() {
    let place = Place::new();
    // Snapshots of one target that go back in time are lost, and that is said; or the place is told.
    let swapped = |bytes: &[u8], at: [usize; 3]| {
        [&bytes[..at[0]], &bytes[at[1]..at[2]], &bytes[at[0]..at[1]], &bytes[at[2]..]].concat()
    };
    let json = form("json").whole;
    let begins: Vec<usize> = json
        .windows(15)
        .enumerate()
        .filter(|(_, window)| window.starts_with(b"\n            {\n"))
        .map(|(at, _)| at)
        .collect();
    assert_eq!(begins.len(), 6);
    let disordered = swapped(&json, [begins[1], begins[3], begins[5]]);
    let lines = |name: &str| {
        let whole = form(name).whole;
        let mut lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        let third = lines.len() / 3;
        lines.rotate_left(third);
        lines.concat()
    };
    let mut blocks = sample();
    blocks.swap(1, 2);
    let info = |bytes: &[u8]| {
        fs::write(place.path("in"), bytes).unwrap();
        let said = run(&["info", place.path("in").to_str().unwrap()]);
        fs::remove_file(place.path("in")).unwrap();
        said
    };
    let (from, to) = (place.path("in"), place.path("out"));
    fs::write(&from, &disordered).unwrap();
    let (exit, out, _) = run(&["import", from.to_str().unwrap(), "-o", to.to_str().unwrap()]);
    assert_eq!(exit, Exit::Success);
    assert!(
        out.contains("; lost: 2 snapshots, events or observations; `damon-report info`"),
        "{out}"
    );
    fs::remove_file(to).unwrap();
    for bytes in [disordered.clone(), compress(&disordered)] {
        let (exit, out, err) = info(&bytes);
        assert_eq!((exit, err.as_str()), (Exit::Success, ""));
        assert!(out.contains("go back in time, left out"), "{out}");
    }
    for version in 0..3 {
        let (exit, out, err) = info(&record(version, &blocks));
        assert_eq!((exit, err.as_str()), (Exit::Success, ""));
        assert!(out.contains("go back in time, left out"), "{out}");
    }
    for name in ["trace-cmd report", "ftrace"] {
        let said = place.import(&lines(name)).unwrap_err();
        assert!(
            said.starts_with("line ") && said.contains("in the order of time"),
            "{name}: {said}"
        );
    }
}
