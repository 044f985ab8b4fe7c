//! Small files that hold very much once decoded: no command takes more memory for them than a stated ceiling.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use clap::CommandFactory as _;
use common::{BEGIN, SECOND, info, started};
use damon_format::{
    Mapping, MappingsChanged, Note, Permissions, Record, Region, Sampling, Snapshot, TargetId,
    TraceWriter, WriterOptions,
};
use damon_report::cli::Cli;
use damon_report::exit::Exit;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What any command may take for any file of a few thousand bytes, beside the program itself and its libraries.
const CEILING: u64 = 64 << 20;

/// Files of this size are small.
const SMALL: usize = 1 << 16;

/// One block, in frames as large as can be.
fn packed(write: impl FnOnce(&mut TraceWriter<Vec<u8>>)) -> Vec<u8> {
    let mut options = WriterOptions::default();
    options.flush_interval_ns = u64::MAX;
    options.frame_bytes = usize::MAX;
    options.block_rows = u64::MAX;
    options.block_span_ns = u64::MAX;
    options.level = 9;
    options.window_log = 20;
    let mut info = info();
    info.backend.access = damon_format::AccessKind::ReadWrite;
    let mut writer = TraceWriter::create(Vec::new(), &info, options).unwrap();
    writer.record(&started(0, 1, "hostile")).unwrap();
    write(&mut writer);
    writer.finish().unwrap()
}

/// The `index`-th snapshot of a target with so many regions of a page, in which nothing ever happens.
fn quiet(target: u32, index: u32, regions: u64) -> Snapshot {
    let start = BEGIN + u64::from(index) * SECOND / 10;
    let region = |page: u64| Region {
        start: page << 12,
        end: (page + 1) << 12,
        nr_accesses: u32::from(page.is_multiple_of(2)),
        age: index,
    };
    let sampling = Sampling::from_intervals(5_000, 100_000);
    let regions = (1..=regions).map(region).collect();
    Snapshot::new(TargetId(target), start, start + SECOND / 10, sampling, regions)
}

/// Each holds at least three times the ceiling in some form that a command might keep.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let note = |_| Record::Note(Note { time_ns: BEGIN, text: String::new() });
    let mappings = |number: u64| {
        let mapping = |index: u64| Mapping {
            start: index << 20,
            end: (index + 1) << 20,
            permissions: Permissions { read: true, write: true, execute: false, shared: false },
            offset: 0,
            inode: 0,
            name: "/".repeat(900),
        };
        let (target, time_ns) = (TargetId(0), BEGIN);
        let added = (number * 4096..(number + 1) * 4096).map(mapping).collect();
        Record::MappingsChanged(MappingsChanged { target, time_ns, removed: Vec::new(), added })
    };
    vec![
        (
            "regions",
            packed(|writer| {
                let mut snapshot = quiet(0, 0, 4000);
                for index in 0..2000 {
                    snapshot = Snapshot { regions: snapshot.regions, ..quiet(0, index, 0) };
                    snapshot.regions.iter_mut().for_each(|region| region.age = index);
                    writer.snapshot(&snapshot).unwrap();
                }
            }),
        ),
        (
            "snapshots",
            packed(|writer| {
                (0..1_500_000).for_each(|index| writer.snapshot(&quiet(0, index, 0)).unwrap());
            }),
        ),
        (
            "targets apart",
            packed(|writer| {
                for target in 0..2 {
                    (0..1500)
                        .for_each(|index| writer.snapshot(&quiet(target, index, 1000)).unwrap());
                }
            }),
        ),
        (
            "many targets",
            packed(|writer| {
                for index in 0..40 {
                    (0..4000).for_each(|target| writer.snapshot(&quiet(target, index, 3)).unwrap());
                }
            }),
        ),
        (
            "scales",
            packed(|writer| {
                for index in 0..4000 {
                    let sampling = Sampling::from_intervals(5_000, 100_000 + u64::from(index));
                    writer.snapshot(&Snapshot { sampling, ..quiet(0, index, 2) }).unwrap();
                }
            }),
        ),
        (
            "records",
            packed(|writer| {
                (0..2_000_000).map(note).for_each(|note| writer.record(&note).unwrap());
                writer.snapshot(&quiet(0, 0, 5)).unwrap();
            }),
        ),
        (
            "mappings",
            packed(|writer| {
                (0..60).for_each(|number| writer.record(&mappings(number)).unwrap());
                writer.snapshot(&quiet(0, 0, 5)).unwrap();
            }),
        ),
    ]
}

/// Each command, and the same ones where they go other ways; `FILE` and `OUT` are replaced.
const WALKS: [&str; 36] = [
    "info FILE",
    "summary FILE",
    "summary FILE -o OUT.folder",
    "heatmap FILE",
    "heatmap FILE -o OUT.png",
    "heatmap FILE --format json",
    "wss FILE",
    "wss FILE --format json --time 1%..",
    "wss FILE -o OUT.png",
    "mappings FILE",
    "footprint FILE",
    "idle FILE",
    "regions FILE",
    "regions FILE --at 50%",
    "histogram FILE",
    "times FILE",
    "nr-regions FILE",
    "bandwidth FILE",
    "simulate FILE --schemes SCHEMES",
    "simulate FILE --schemes SCHEMES --time 1%.. --format json",
    "simulate FILE --schemes SCHEMES --applied --format json",
    "simulate FILE --schemes SCHEMES --emit sysfs",
    "simulate FILE --schemes SCHEMES --sweep age=500ms|1s",
    "simulate FILE --schemes SCHEMES --sweep quota=1MiB..16MiB*2",
    "compare FILE --new FILE",
    "raw FILE",
    "raw FILE --format jsonl",
    "verify FILE",
    "repair FILE -o OUT.damon",
    "slice FILE --time 10%..20% -o OUT.damon",
    "merge FILE -o OUT.damon",
    "adjust FILE --aggr 1s -o OUT.damon",
    "export FILE --to csv -o OUT.csv",
    "export FILE --to damo -o OUT.json",
    "export FILE --to perf-script -o OUT.txt",
    "import FILE -o OUT.damon",
];

const SCHEMES: &str = r#"[{"action": "pageout", "access_pattern": {"nr_accesses": {"max": "0 %"}, "age": {"min": "500 ms"}},
    "quotas": {"sz_bytes": "4 MiB", "reset_interval_ms": "1 s"}}]"#;

#[test]
fn all_commands_are_walked() {
    let walked: BTreeSet<&str> = WALKS.iter().filter_map(|walk| walk.split(' ').next()).collect();
    let command = Cli::command();
    let all = command.get_subcommands().map(clap::Command::get_name);
    let missing: Vec<&str> = all.filter(|name| !walked.contains(name)).collect();
    assert_eq!(missing, ["completions", "man"], "they read no recording");
}

/// Runs in a process of its own, whose address space is limited; prints what each walk took.
#[test]
#[ignore = "run by no_command_takes_more_than_the_ceiling in a child process"]
fn walk_one_file() {
    let folder = std::env::var_os("HOSTILE_FOLDER").unwrap();
    let folder = Path::new(&folder);
    let [file, schemes, out] = ["file.damon", "schemes.json", "out"].map(|name| folder.join(name));
    for walk in WALKS {
        reset_peak();
        let before = memory("VmHWM:");
        let put = |word: &str| -> OsString {
            match word {
                "FILE" => file.clone().into(),
                "SCHEMES" => schemes.clone().into(),
                _ => word.replace("OUT", out.to_str().unwrap()).into(),
            }
        };
        let mut args = vec!["damon-report".into()];
        args.extend(walk.split(' ').map(put));
        if walk.contains("OUT") && !walk.contains(".folder") {
            args.push("--force".into());
        }
        let mut err = Vec::new();
        let exit = damon_report::commands::run(args, &mut std::io::sink(), &mut err);
        let took = memory("VmHWM:").saturating_sub(before);
        let said = String::from_utf8_lossy(&err);
        println!("took {took} {exit:?} {walk}: {}", said.lines().next().unwrap_or_default());
        assert!(exit != Exit::Usage || said.contains("holds no"), "{walk}: {said}");
    }
}

/// Peaks are of what follows.
fn reset_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn no_command_takes_more_than_the_ceiling() {
    let mut failed = Vec::new();
    for (name, trace) in files() {
        assert!(trace.len() < SMALL, "{name}: {} bytes", trace.len());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file.damon"), trace).unwrap();
        fs::write(folder.path().join("schemes.json"), SCHEMES).unwrap();
        // 2 GiB of address space: an allocation by a claimed length fails at once.
        let output = Command::new("sh")
            .args(["-c", "ulimit -v 2097152; exec \"$0\" --exact \"$1\" --ignored --nocapture"])
            .arg(std::env::current_exe().unwrap())
            .arg("walk_one_file")
            .env("HOSTILE_FOLDER", folder.path())
            .env("RAYON_NUM_THREADS", "2")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let walks = text.lines().filter_map(|line| line.strip_prefix("took "));
        let peaks: Vec<(u64, &str)> = walks
            .filter_map(|line| line.split_once(' '))
            .map(|(bytes, walk)| (bytes.parse().unwrap(), walk))
            .collect();
        for (bytes, walk) in &peaks {
            println!("{name}: {} MiB: {walk}", bytes >> 20);
            if *bytes >= CEILING {
                failed.push(format!("{name}: {} MiB: {walk}", bytes >> 20));
            }
        }
        let is_through = output.status.success() && peaks.len() == WALKS.len();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(is_through, "{name}: {text}\n{said}");
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
