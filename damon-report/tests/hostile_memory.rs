//! Small files that hold very much once decoded: no command takes more memory for them than a stated ceiling.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use clap::CommandFactory as _;
use common::by_hand::{block_behind, quiet};
use common::program::peak_memory;
use common::{BEGIN, SECOND, info, started};
use damon_format::{
    AccessKind, Mapping, MappingsChanged, Note, Permissions, Record, RecordingInfo, Region,
    Sampling, Snapshot, TargetId, TraceWriter, WriterOptions,
};
use damon_report::cli::Cli;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What any command may take for any file of a few thousand bytes, beside the program itself and its libraries.
const CEILING: u64 = 64 << 20;

/// Files of this size are small.
const SMALL: usize = 1 << 16;

fn recording() -> RecordingInfo {
    let mut info = info();
    info.backend.access = AccessKind::ReadWrite;
    info
}

/// One block, in frames as large as can be.
fn packed(write: impl FnOnce(&mut TraceWriter<Vec<u8>>)) -> Vec<u8> {
    let mut options = WriterOptions::default();
    options.flush_interval_ns = u64::MAX;
    options.frame_bytes = usize::MAX;
    options.block_rows = u64::MAX;
    options.block_span_ns = u64::MAX;
    options.level = 9;
    options.window_log = 20;
    let mut writer = TraceWriter::create(Vec::new(), &recording(), options).unwrap();
    writer.record(&started(0, 1, "hostile")).unwrap();
    write(&mut writer);
    writer.finish().unwrap()
}

fn snapshot(target: u32, index: u32, regions: u64) -> Snapshot {
    let start = BEGIN + u64::from(index) * SECOND / 10;
    let page = |page: u64| Region {
        start: page << 12,
        end: (page + 1) << 12,
        nr_accesses: u32::from(page.is_multiple_of(2)),
        age: index,
    };
    let sampling = Sampling::from_intervals(5_000, 100_000);
    let regions = (1..=regions).map(page).collect();
    Snapshot::new(TargetId(target), start, start + SECOND / 10, sampling, regions)
}

/// A recording of one block with these sections.
fn one_block(sections: &[Vec<u8>]) -> Vec<u8> {
    block_behind(packed(|_| {}), BEGIN, sections)
}

/// Each holds more than the ceiling in some form that a command might keep.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let note = Record::Note(Note { time_ns: BEGIN, text: String::new() });
    let mappings = |number: u64| {
        let mapping = |index: u64| Mapping {
            start: index << 20,
            end: (index + 1) << 20,
            permissions: Permissions { read: true, write: true, execute: false, shared: false },
            offset: 0,
            inode: 0,
            name: format!("/{number}/{index}{}", "/".repeat(15_000)),
        };
        let (target, time_ns) = (TargetId(0), BEGIN);
        let added = (number * 250..(number + 1) * 250).map(mapping).collect();
        Record::MappingsChanged(MappingsChanged { target, time_ns, removed: Vec::new(), added })
    };
    let empty: Vec<Vec<u8>> = (0..16).map(|part| quiet(0, part == 0, 1 << 16, 0)).collect();
    vec![
        (
            "many targets",
            packed(|writer| {
                for index in 0..20 {
                    (0..1000).for_each(|t| writer.snapshot(&snapshot(t, index, 3)).unwrap());
                }
            }),
        ),
        (
            "scales",
            packed(|writer| {
                for index in 0..2000 {
                    let sampling = Sampling::from_intervals(5_000, 100_000 + u64::from(index));
                    writer.snapshot(&Snapshot { sampling, ..snapshot(0, index, 2) }).unwrap();
                }
            }),
        ),
        (
            "records",
            packed(|writer| {
                (0..700_000).for_each(|_| writer.record(&note).unwrap());
                writer.snapshot(&snapshot(0, 0, 5)).unwrap();
            }),
        ),
        (
            "mappings",
            packed(|writer| {
                (0..24).for_each(|number| writer.record(&mappings(number)).unwrap());
                writer.snapshot(&snapshot(0, 0, 5)).unwrap();
            }),
        ),
        ("targets apart", one_block(&[0, 1].map(|target| quiet(target, true, 700, 1000)))),
        ("snapshots", one_block(&empty)),
        ("regions", one_block(&[quiet(0, true, 1500, 2000)])),
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
    "simulate FILE --schemes SCHEMES --sweep quota=1MiB|16MiB",
    "compare FILE --new FILE",
    "raw FILE --time 10%..15%",
    "raw FILE --time 10%..15% --format json",
    "verify FILE",
    "repair FILE -o OUT.damon --force",
    "slice FILE --time 10%..20% -o OUT.damon --force",
    "merge FILE -o OUT.damon --force",
    "adjust FILE --aggr 1s -o OUT.damon --force",
    "export FILE --time 10%..15% --to csv -o OUT.csv --force",
    "export FILE --time 10%..15% --to damo -o OUT.json --force",
    "export FILE --time 10%..15% --to perf-script -o OUT.txt --force",
    "import FILE -o OUT.damon --force",
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

/// Runs in a process of its own, whose address space is limited; prints what the walk took.
#[test]
#[ignore = "run by no_command_takes_more_than_the_ceiling in child processes"]
fn one_walk() {
    let folder = std::env::var_os("HOSTILE_FOLDER").unwrap();
    let walk = std::env::var("HOSTILE_WALK").unwrap();
    let folder = Path::new(&folder);
    let [file, schemes] = ["file.damon", "schemes.json"].map(|name| folder.join(name));
    let out = folder.join(std::env::var_os("HOSTILE_OUT").unwrap());
    let put = |word: &str| -> OsString {
        match word {
            "FILE" => file.clone().into(),
            "SCHEMES" => schemes.clone().into(),
            _ => word.replace("OUT", out.to_str().unwrap()).into(),
        }
    };
    let mut args = vec!["damon-report".into()];
    args.extend(walk.split(' ').map(put));
    let before = peak_memory();
    let exit = damon_report::commands::run(args, &mut std::io::sink(), &mut std::io::stderr());
    println!("took {} {exit:?}", peak_memory().saturating_sub(before));
}

#[test]
fn no_command_takes_more_than_the_ceiling() {
    let mut failed = Vec::new();
    for (name, trace) in files() {
        assert!(trace.len() < SMALL, "{name}: {} bytes", trace.len());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file.damon"), trace).unwrap();
        fs::write(folder.path().join("schemes.json"), SCHEMES).unwrap();
        // Most of the time goes into a debug build's decoding in one thread: several walks side by side.
        let found = WALKS.par_iter().enumerate().filter_map(|(number, walk)| {
            // 2 GiB of address space: an allocation by a claimed length fails at once.
            let output = Command::new("sh")
                .args(["-c", "ulimit -v 2097152; exec \"$0\" --exact \"$1\" --ignored --nocapture"])
                .arg(std::env::current_exe().unwrap())
                .arg("one_walk")
                .env("HOSTILE_FOLDER", folder.path())
                .env("HOSTILE_OUT", format!("out{number}"))
                .env("HOSTILE_WALK", walk)
                .env("RAYON_NUM_THREADS", "2")
                .env("RUST_BACKTRACE", "0")
                .output()
                .unwrap();
            let (text, said) =
                [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).into();
            let took = text.lines().find_map(|line| line.split_once("took ")).map(|(_, took)| took);
            let took = took.and_then(|took| took.split_once(' '));
            let bytes = took.and_then(|(bytes, _)| bytes.parse::<u64>().ok());
            let is_right = match took {
                None => false,
                // It may have nothing that is asked for, but it was asked rightly.
                Some(_) => output.status.success() && !said.contains("--help"),
            };
            println!("{name}: {} MiB: {walk}", bytes.unwrap_or(0) >> 20);
            let is_good = is_right && bytes.is_some_and(|bytes| bytes < CEILING);
            (!is_good).then(|| format!("{name}: {walk}: {text} {said}"))
        });
        failed.extend(found.collect::<Vec<String>>());
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
