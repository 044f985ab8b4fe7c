//! A part of the time reads a part of the file, and says the same as if all had been read.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use common::{BEGIN, HEAP, LIBRARY, MIB, SECOND, started};
use damon_format::layout::{BlockHeader, Footer, FrameHeader};
use damon_format::{
    BlockEntry, EffectiveQuota, IndexedReader, IntervalsChanged, KdamondCpu, Lost, Mapping,
    MappingsChanged, Mark, MemorySample, Note, Permissions, PressureSample, ProbeColumn,
    ProbeColumns, ProportionalMemory, Record, Region, Sampling, SchemeInstalled, SchemeStats,
    Snapshot, SystemMemory, TargetExecuted, TargetExited, TargetId, TraceWriter, WriterOptions,
};
use damon_report::analysis::load::Trace;
use damon_report::analysis::overview::Overview;
use damon_report::analysis::select::{Query, Selection, TimeSpec};
use damon_report::analysis::source::Source;
use damon_report::analysis::view::View;
use damon_report::commands;
use proptest::prelude::*;
use std::ffi::OsString;
use std::fs;
use std::ops::Range;

/// What one call said.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    exit: String,
    out: String,
    err: String,
}

fn run(args: &[&str]) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = ["damon-report"].iter().chain(args).map(OsString::from);
    let exit = format!("{:?}", commands::run(args, &mut out, &mut err));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { exit, out: text(out), err: text(err) }
}

/// The trace with an index that does not tell of lasting records.
fn silent(trace: &[u8]) -> Vec<u8> {
    let mut entries = IndexedReader::open(trace.to_vec()).unwrap().blocks().to_vec();
    for block in &mut entries {
        block.lasting = None;
    }
    let footer = trace.len() - Footer::LEN;
    let index = Footer::decode(&trace[footer..]).unwrap().index_offset;
    let mut changed = trace[..usize::try_from(index).unwrap() + BlockHeader::LEN].to_vec();
    let sequence = u32::try_from(entries.len()).unwrap() + 1;
    let payload: Vec<u8> = entries.iter().flat_map(BlockEntry::encode).collect();
    FrameHeader::for_payload(sequence, 0, &payload).encode(&mut changed);
    changed.extend(payload);
    changed.extend(&trace[footer..]);
    changed
}

fn mapping(start: u64, pages: u64, name: &str) -> Mapping {
    Mapping {
        start,
        end: start + pages * 4096,
        permissions: Permissions { read: true, write: true, ..Permissions::default() },
        offset: 0,
        inode: 0,
        name: name.into(),
    }
}

/// One of everything, of a target at a time.
fn record(kind: u8, number: u32, time_ns: u64) -> Record {
    let target = TargetId(number);
    let some = u64::from(number) + time_ns % 97;
    match kind {
        0 | 1 => Record::Memory(MemorySample {
            target,
            time_ns,
            rss: some * MIB,
            swap: some * 4096,
            virtual_size: some << 30,
            minor_faults: time_ns / 1_000_000,
            major_faults: time_ns / 1_000_000_000,
        }),
        2 => Record::Pressure(PressureSample { time_ns, some_us: time_ns / 1000, full_us: some }),
        3 => Record::SystemMemory(SystemMemory {
            time_ns,
            total: 1 << 30,
            free: some * MIB,
            available: some * MIB,
            swap_total: 1 << 30,
            swap_free: some,
        }),
        4 => Record::MappingsChanged(MappingsChanged {
            target,
            time_ns,
            removed: vec![HEAP],
            added: vec![mapping(HEAP, some, if some.is_multiple_of(2) { "[heap]" } else { "" })],
        }),
        5 => Record::TargetExecuted(TargetExecuted {
            target,
            time_ns,
            comm: format!("exec{some}"),
            exe: format!("/bin/exec{some}"),
        }),
        6 => Record::TargetExited(TargetExited { target, time_ns, wait_status: None }),
        7 => {
            let mut attrs = common::info().attrs;
            attrs.max_nr_regions += number;
            Record::IntervalsChanged(IntervalsChanged { time_ns, attrs, reason: "!".into() })
        }
        8 => Record::Mark(Mark { time_ns, text: format!("mark {some}") }),
        9 => Record::Lost(Lost { target: None, time_ns, count: some, what: "events".into() }),
        10 => Record::KdamondCpu(KdamondCpu { time_ns, thread: number, cpu_us: time_ns / 3000 }),
        11 => Record::SchemeInstalled(SchemeInstalled {
            time_ns,
            scheme: number,
            json: r#"{"action": "stat"}"#.into(),
            by: "kernel".into(),
        }),
        12 => Record::EffectiveQuota(EffectiveQuota { time_ns, scheme: number, bytes: some }),
        13 => Record::SchemeStats(SchemeStats {
            time_ns,
            scheme: number,
            nr_tried: some,
            sz_tried: some,
            nr_applied: 0,
            sz_applied: 0,
            qt_exceeds: 0,
            sz_ops_filter_passed: None,
            nr_snapshots: None,
        }),
        14 => Record::ProbeColumns(ProbeColumns {
            time_ns,
            target,
            columns: vec![ProbeColumn { name: format!("probe{some}"), unit: 1 }],
        }),
        15 => Record::ProportionalMemory(ProportionalMemory {
            target,
            time_ns,
            pss: some * MIB,
            swap_pss: some * 4096,
        }),
        _ => Record::Note(Note { time_ns, text: format!("note {some}") }),
    }
}

fn snapshot(number: u32, time_ns: u64) -> Snapshot {
    let some = u32::try_from(time_ns / 1_000_000 % 23).unwrap();
    let region = |start, end, nr_accesses, age| Region { start, end, nr_accesses, age };
    let regions = vec![
        region(HEAP, HEAP + 4 * MIB, some.min(20), 0),
        region(HEAP + 4 * MIB, HEAP + 8 * MIB, 0, some),
        region(LIBRARY, LIBRARY + MIB, some / 8, 1),
    ];
    let sampling = Sampling::from_intervals(5_000, 100_000);
    Snapshot::new(TargetId(number), time_ns, time_ns + SECOND / 10, sampling, regions)
}

/// Three processes over some seconds, in blocks of about half a second.
fn trace(events: &[(u8, u32, u64)]) -> Vec<u8> {
    trace_with_gap(events, 60..60)
}

/// The same without snapshots in some tenths of a second, but for one of the third process that goes from the first of these
/// until a second after them: its block reaches back over others.
fn trace_with_gap(events: &[(u8, u32, u64)], gap: Range<u64>) -> Vec<u8> {
    let mut options = WriterOptions::default();
    options.flush_interval_ns = 200_000_000;
    // With a gap, each frame is a block, and one ends where the gap begins.
    options.block_span_ns = if gap.is_empty() { 500_000_000 } else { 100_000_000 };
    let mut writer = TraceWriter::create(Vec::new(), &common::info(), options).unwrap();
    for target in 0..3 {
        writer.record(&started(target, 100 + target, "work")).unwrap();
        writer
            .record(&Record::MappingsChanged(MappingsChanged {
                target: TargetId(target),
                time_ns: BEGIN,
                removed: vec![],
                added: vec![mapping(HEAP, 3000, "[heap]"), mapping(LIBRARY, 256, "/lib/x.so")],
            }))
            .unwrap();
    }
    let mut events = events.iter().peekable();
    for step in 0..60 {
        let time_ns = BEGIN + step * SECOND / 10;
        while let Some((kind, number, at)) = events.next_if(|event| BEGIN + event.2 <= time_ns) {
            writer.record(&record(*kind, *number, BEGIN + at)).unwrap();
        }
        if gap.contains(&step) {
            writer.flush().unwrap();
            continue;
        }
        if step == gap.end + 9 {
            let (start_ns, end_ns) = (BEGIN + gap.start * SECOND / 10, time_ns + SECOND / 10);
            writer.snapshot(&Snapshot { start_ns, end_ns, ..snapshot(2, time_ns) }).unwrap();
        }
        let is_busy = !gap.is_empty() && (gap.start..gap.end + 10).contains(&step);
        for number in 0..if is_busy { 2 } else { 3 } {
            writer.snapshot(&snapshot(number, time_ns)).unwrap();
        }
    }
    writer.finish().unwrap()
}

fn events() -> impl Strategy<Value = Vec<(u8, u32, u64)>> {
    let sparse = (0_u8..17, 0_u32..3, 0_u64..6 * SECOND);
    prop::collection::vec(sparse, 0..40).prop_map(|mut list| {
        list.sort_by_key(|event| event.2);
        list
    })
}

/// Each analysis in the form that tells most; TRACE and TIME stand for what they say.
const COMMANDS: [&str; 20] = [
    "info TRACE TIME --format json",
    "summary TRACE TIME --format json",
    "heatmap TRACE TIME --format json",
    "heatmap TRACE TIME --columns 90 --rows 30 --color never",
    "wss TRACE TIME --format json",
    "wss TRACE TIME --columns 90",
    "footprint TRACE TIME --format json",
    "mappings TRACE TIME --format json",
    "idle TRACE TIME --format json",
    "regions TRACE TIME --format json",
    "regions TRACE TIME --columns 90",
    "histogram TRACE TIME --format json",
    "times TRACE TIME --max-rate 10% --format json",
    "nr-regions TRACE TIME --format json",
    "bandwidth TRACE TIME --format json",
    "raw TRACE TIME --format json",
    "raw TRACE TIME --format damo",
    "simulate TRACE TIME --schemes SCHEMES --accept-write-only --format json",
    "wss TRACE TIME --target 101 --format json",
    "mappings TRACE TIME --mapping heap --format json",
];

const SCHEMES: &str = r#"[{"action": "pageout",
    "access_pattern": {"nr_accesses": {"max": "0 %"}, "age": {"min": "500 ms"}},
    "quotas": {"sz_bytes": "1 M", "reset_interval_ms": "200 ms",
        "goals": [{"metric": "some_mem_psi_us", "target_value": "1000"}]}}]"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_part_of_the_time_says_the_same_whatever_is_passed_over(
        events in events(),
        from in 0_u64..59,
        length in 1_u64..20,
        gap in prop_oneof![Just(60..60), (0_u64..35, 3_u64..15).prop_map(|(at, length)| at..at + length)],
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name).to_str().unwrap().to_owned();
        let (file, schemes) = (path("work.damon"), path("schemes.json"));
        fs::write(&schemes, SCHEMES).unwrap();
        let time = format!("--time={}ms..{}ms", from * 100, (from + length) * 100);
        let all = |trace: &[u8]| {
            fs::write(&file, trace).unwrap();
            COMMANDS.map(|command| {
                let args = command.split(' ').map(|word| match word {
                    "TRACE" => file.as_str(),
                    "TIME" => time.as_str(),
                    "SCHEMES" => schemes.as_str(),
                    word => word,
                });
                let said = run(&args.collect::<Vec<_>>());
                let may_lack = [
                    "no memory sizes were recorded",
                    "no mapping is called",
                    "does not tell",
                    "holds no snapshots",
                ];
                let is_fine = said.exit == "Success" && said.out.len() > 20
                    || may_lack.iter().any(|what| said.err.contains(what));
                assert!(is_fine, "{command} {time}: {said:?}");
                said
            })
        };
        let trace = trace_with_gap(&events, gap);
        let (told, read) = (all(&trace), all(&silent(&trace)));
        for (command, (told, read)) in COMMANDS.iter().zip(told.iter().zip(&read)) {
            prop_assert_eq!(told, read, "{} {}", command, time);
        }
    }

    #[test]
    fn a_moment_says_the_same_as_where_all_is_read(events in events(), at in 0_u64..60) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("work.damon");
        fs::write(&file, trace(&events)).unwrap();
        let (file, at) = (file.to_str().unwrap(), format!("--at={}ms", at * 100 + 50));
        for command in ["regions", "idle", "histogram"] {
            let args = [command, file, at.as_str(), "--format", "json"];
            let narrow = run(&args);
            prop_assert_eq!(narrow.exit.as_str(), "Success", "{} {}: {}", command, at, narrow.err);
            let everywhere = ["--address", "0..ffffffffffffffff"];
            prop_assert_eq!(&narrow, &run(&[&args[..], &everywhere].concat()), "{} {}", command, at);
            // What was resident at the moment, not in whatever was read to find it.
            let said: serde_json::Value = serde_json::from_str(&narrow.out).unwrap();
            let Some(at_ns) = said["at_ns"].as_u64() else { continue };
            for sample in said["resident"].as_array().into_iter().flatten() {
                let apart = sample["time_ns"].as_u64().unwrap().abs_diff(at_ns);
                prop_assert!(apart <= SECOND / 10, "{} {}: {}", command, at, sample);
            }
        }
        let last = ["regions", file, "--format", "csv"];
        prop_assert_eq!(run(&last), run(&[&last[..], &["--address", "0.."]].concat()));
    }
}

/// The newest value before a part is found where the next block has one that is newer than the part, and neither lies in it.
#[test]
fn a_part_between_two_blocks_knows_what_held_before_it() {
    let seconds =
        |at: f64| u64::try_from(std::time::Duration::from_secs_f64(at).as_nanos()).unwrap();
    let events = [(0, 0, seconds(0.05)), (0, 0, seconds(2.0)), (0, 0, seconds(3.5))];
    let trace = trace_with_gap(&events, 20..35);
    let blocks = IndexedReader::open(trace.clone()).unwrap().blocks().to_vec();
    let (from, to) = (BEGIN + seconds(2.5), BEGIN + seconds(3.0));
    let next = blocks.iter().position(|block| block.end_ns >= from).unwrap();
    let told = (blocks[next].start_ns > to, blocks[next - 1].lasting);
    assert_eq!(told, (true, Some(0)), "{blocks:?}");
    assert!(blocks[next + 1..].iter().any(|block| block.start_ns < from), "one reaches back");
    let (_directory, file) = common::program::bench(&trace);
    for command in ["footprint", "wss"] {
        let args = [command, file.as_str(), "--time=2500ms..3000ms", "--format=csv"];
        let told = run(&args);
        let rss = (BEGIN + seconds(2.0)) % 97 * MIB;
        assert!(told.out.contains(&rss.to_string()), "{command}: {told:?}");
    }
}

/// Selections of targets, addresses and mappings in a part of the time are those that all of the trace gives.
#[test]
fn what_is_selected_in_a_part_of_the_time_is_the_same_as_where_all_is_known() {
    let events = [(5, 1, SECOND), (6, 2, 2 * SECOND), (4, 0, 3 * SECOND)];
    let bytes = trace(&events);
    let trace = Trace::from_source("test".into(), Source::memory(bytes)).unwrap();
    let all = Overview::read(&trace, &Selection::everything());
    let time: TimeSpec = "4s..4.5s".parse().unwrap();
    let query = |target: Option<&str>, address: &[&str], mapping: &[&str]| Query {
        time: Some(time.clone()),
        address: address.iter().map(|text| text.parse().unwrap()).collect(),
        mapping: mapping.iter().map(|&text| text.to_owned()).collect(),
        target: target.map(str::to_owned),
    };
    let low = format!("{HEAP:x}..{:x}", HEAP + MIB);
    for query in [
        query(Some("101"), &[], &[]),
        query(Some("2"), &[], &[]),
        query(Some("work"), &[&low], &[]),
        query(None, &[&low, "7fff00000000.."], &[]),
        query(Some("100"), &["7fff00000000.."], &["x.so"]),
        query(None, &[], &["x.so"]),
    ] {
        let view = View::new(&trace, &query).unwrap();
        assert_eq!(view.selection, query.resolve(&all).unwrap(), "{query:?}");
        assert_eq!(view.whole, all.span());
        assert!(view.overview.snapshots() > 0 && view.overview.snapshots() < all.snapshots() / 4);
    }
    for query in [
        query(Some("nobody"), &[], &[]),
        query(None, &["1000..2000"], &[]),
        query(None, &[], &["nothing"]),
    ] {
        assert_eq!(View::new(&trace, &query).unwrap_err(), query.resolve(&all).unwrap_err());
    }
}

/// A trace whose third block is damaged: it has snapshots and a sample of memory that the next block follows up.
fn damaged() -> (Vec<u8>, u64) {
    let samples: Vec<(u8, u32, u64)> =
        (0..60).flat_map(|i| (0..3).map(move |target| (0, target, i * SECOND / 10))).collect();
    let mut trace = trace(&samples);
    let blocks = IndexedReader::open(trace.clone()).unwrap().blocks().to_vec();
    let lasting: Vec<u32> = blocks.iter().map(|block| block.lasting.unwrap()).collect();
    assert!(blocks.len() > 8 && lasting[0] > 5 && lasting[1..8].iter().all(|&n| n == 0));
    let third = &blocks[2];
    let at = usize::try_from(third.offset + third.stored_len / 2).unwrap();
    trace[at] ^= 1;
    (trace, third.end_ns - BEGIN)
}

#[test]
fn damage_is_told_by_who_reads_it() {
    let (trace, end_ns) = damaged();
    let (_directory, file) = common::program::bench(&trace);
    let far = format!("--time={}ns..", end_ns + 2 * SECOND);
    // Somebody who looks at one moment does not read it, wherever that is found by the index.
    let moment = format!("--at={}ns", end_ns + 2 * SECOND);
    for command in ["regions", "histogram"] {
        let told = run(&[command, &file, &moment]);
        assert_eq!((told.exit.as_str(), told.err.as_str()), ("Success", ""), "{command}");
    }
    let told = run(&["regions", &file, &far]);
    assert_eq!((told.exit.as_str(), told.err.as_str()), ("Success", ""));
    assert!(told.out.contains("[heap]"), "names are from the first block: {}", told.out);
    for args in [
        &["regions", &file, "--time=..2s"][..],
        &["info", &file, &far],
        &["heatmap", &file],
        &["wss", &file, &far, "--target", "101"],
    ] {
        let told = run(args);
        let is_told = told.err.contains("fails its checksum");
        assert_eq!(is_told, args[0] != "wss", "{args:?}: {}", told.err);
    }
    // The index of such a trace does not deny that records matter, so that the block is read.
    let (_directory, file) = common::program::bench(&silent(&damaged().0));
    assert!(run(&["regions", &file, &far]).err.contains("fails its checksum"));
}
