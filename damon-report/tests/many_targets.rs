//! Recordings of thousands of processes: a build whose compilers come and go, forked children that share what they have mapped.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use common::program::peak_memory;
use common::{BEGIN, SECOND, info, started};
use damon_format::{
    AccessKind, Mapping, MappingsChanged, MemorySample, Permissions, Record, Region, Sampling,
    Snapshot, TargetExited, TargetId, TraceWriter, WriterOptions,
};
use std::fs;
use std::process::Command;

const PROCESSES: u32 = 2_000;
const MAPPINGS: u64 = 300;

/// Where the libraries of a process are: each elsewhere after an exec, all at the same place in forked children.
fn base(process: u32, library: u64, forked: bool) -> u64 {
    let seed = if forked { 0 } else { u64::from(process) };
    let random = (seed * 1000 + library).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 36;
    0x7f00_0000_0000 + (random << 12) % (1 << 39) / 8 * 8
}

fn mappings(process: u32, forked: bool) -> Vec<Mapping> {
    let mut list: Vec<Mapping> = (0..MAPPINGS)
        .map(|index| {
            let (library, part) = (index / 5, index % 5);
            let start = (base(process, library, forked) & !0xf_ffff)
                + (library << 41 >> 8 << 1)
                + (part << 14);
            Mapping {
                start,
                end: start + (1 << 14),
                permissions: Permissions {
                    read: true,
                    write: part == 4,
                    execute: part == 1,
                    shared: false,
                },
                offset: part << 14,
                inode: 100_000 + library * 37,
                name: format!(
                    "/usr/lib/x86_64-linux-gnu/libsomething-{library}.so.{}",
                    library % 7
                ),
            }
        })
        .collect();
    list.sort_by_key(|mapping| mapping.start);
    list
}

/// Processes that live for as many aggregations, eight at a time.
fn build(forked: bool, lives: u64) -> Vec<u8> {
    let mut info = info();
    info.backend.access = AccessKind::ReadWrite;
    let mut writer = TraceWriter::create(Vec::new(), &info, WriterOptions::default()).unwrap();
    let step = SECOND / 10;
    for process in 0..PROCESSES {
        let target = TargetId(process);
        let time_ns = BEGIN + u64::from(process) / 8 * lives * step;
        let Record::TargetStarted(start) = started(process, 10_000 + process, "cc1plus") else {
            return Vec::new();
        };
        writer
            .record(&Record::TargetStarted(damon_format::TargetStarted { time_ns, ..start }))
            .unwrap();
        let added = mappings(process, forked);
        writer
            .record(&Record::MappingsChanged(MappingsChanged {
                target,
                time_ns,
                removed: Vec::new(),
                added: added.clone(),
            }))
            .unwrap();
        let rss = u64::from(process % 100) << 20;
        let memory = MemorySample {
            target,
            time_ns,
            rss,
            swap: 0,
            virtual_size: rss * 2,
            minor_faults: 9,
            major_faults: 0,
        };
        writer.record(&Record::Memory(memory)).unwrap();
        for index in 0..lives {
            let start = time_ns + index * step;
            let regions = added.iter().step_by(30).map(|mapping| Region {
                start: mapping.start,
                end: mapping.end,
                nr_accesses: u32::try_from((mapping.start >> 14) % 20).unwrap(),
                age: u32::try_from(index).unwrap(),
            });
            let sampling = Sampling::from_intervals(5_000, 100_000);
            writer
                .snapshot(&Snapshot::new(target, start, start + step, sampling, regions.collect()))
                .unwrap();
        }
        let end = time_ns + lives * step;
        writer
            .record(&Record::TargetExited(TargetExited {
                target,
                time_ns: end,
                wait_status: Some(0),
            }))
            .unwrap();
    }
    writer.finish().unwrap()
}

/// Reports of them use all that was recorded: none takes it for a file that claims to hold more than it can.
#[test]
fn forked_children_with_equal_mappings_are_no_reason_for_distrust() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("build.damon");
    let trace = build(true, 2);
    // Each child's mappings take 31 KiB of memory, and it takes less than 400 bytes of the file.
    assert!(trace.len() < 400 * PROCESSES as usize, "{}", trace.len());
    fs::write(&file, trace).unwrap();
    for command in ["info", "wss", "footprint", "mappings"] {
        let args = ["damon-report", command, file.to_str().unwrap()].map(std::ffi::OsString::from);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = damon_report::commands::run(args, &mut out, &mut err);
        let said = String::from_utf8(err).unwrap();
        assert_eq!((format!("{exit:?}").as_str(), said.as_str()), ("Success", ""), "{command}");
        let out = String::from_utf8(out).unwrap();
        assert!(command != "mappings" || out.contains("libsomething-7.so"), "{out}");
    }
}

const SCHEME: &str = r#"[{"action": "pageout", "access_pattern": {"age": {"min": "100 ms"}}}]"#;

/// Runs in a process of its own; prints what the command took.
#[test]
#[ignore = "run by mappings_of_thousands_of_processes_take_little_memory in child processes"]
fn one_command() {
    let words = std::env::var("MANY_TARGETS").unwrap();
    let args = words.split(' ').map(std::ffi::OsString::from);
    let before = peak_memory();
    let exit = damon_report::commands::run(args, &mut std::io::sink(), &mut std::io::stderr());
    println!("took {} {exit:?}", peak_memory().saturating_sub(before));
}

/// 600,000 mappings, each at another address. As they are read they would take 75 MiB, and their groups several times as much.
#[test]
fn mappings_of_thousands_of_processes_take_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let [file, schemes] = ["build.damon", "schemes.json"].map(|name| folder.path().join(name));
    fs::write(&file, build(false, 2)).unwrap();
    fs::write(&schemes, SCHEME).unwrap();
    let [file, schemes] = [&file, &schemes].map(|path| path.to_str().unwrap());
    for (command, most) in [
        (format!("info {file}"), 50),
        (format!("wss {file} --mapping libsomething-7.so.0"), 80),
        (format!("mappings {file}"), 90),
        (format!("summary {file}"), 130),
        (format!("simulate {file} --schemes {schemes} --accept-write-only"), 110),
        (format!("compare {file} --new {file}"), 170),
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "one_command", "--ignored", "--nocapture"])
            .env("MANY_TARGETS", format!("damon-report {command}"))
            .env("RAYON_NUM_THREADS", "2")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let took = text.lines().find_map(|line| line.split_once("took ")).map(|(_, took)| took);
        let (bytes, exit) = took.and_then(|took| took.split_once(' ')).unwrap();
        let mib = bytes.parse::<u64>().unwrap() >> 20;
        println!("{mib} MiB {exit}: {command}");
        assert!(mib < most, "{command}: {text}");
        assert!(["Success", "Inconclusive"].contains(&exit), "{command}: {text}");
    }
}
