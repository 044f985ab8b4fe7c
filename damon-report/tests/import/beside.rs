//! Files that damo writes beside a recording.

use crate::collect::{Collected, snapshots};
use crate::damo_text::text;
use damon_format::{Record, Sampling, TargetId, TargetKind};
use damon_report::import::damo_json::read;
use damon_report::import::{Beside, ImportOptions, SideFiles};
use std::io::Cursor;

const KDAMONDS: &str = r#"[{"state": "on", "pid": 9, "contexts": [{"ops": "vaddr",
    "targets": [{"pid": 4711, "regions": []}, {"pid": "4,712"}],
    "intervals": {"sample_us": "5 ms", "aggr_us": "100 ms", "ops_update_us": "2 s"},
    "nr_regions": {"min": "10", "max": "1,000"},
    "schemes": [{"action": "pageout"}, {"action": "stat"}]}]}]"#;
const MEMORY: &str = r#"[
    {"time": 1790000001.5, "footprints": [
        {"pid": 4711, "footprint": {"size": 100, "resident": 10, "shared": 1}},
        {"pid": 99, "footprint": {"size": 1, "resident": 1}},
        {"pid": null, "footprint": {"total": 1000, "free": 500, "available": 700}}]},
    {"time": 1790000002.5, "footprints": [
        {"pid": 4711, "footprint": {"size": 0, "resident": 0, "shared": 0}}]}]"#;
const MAPS: &str = r#"[
    {"time": 1790000001.5, "procvmas": [{"pid": 4711, "vmas": [
        {"start": 4096, "end": 8192, "name": "/usr/bin/work"}, {"start": 8192, "end": 12288, "name": "0"}]}]},
    {"time": 1790000002.5, "procvmas": [{"pid": 4711, "vmas": [
        {"start": 4096, "end": 8192, "name": "/usr/bin/work"}, {"start": 16384, "end": 20480, "name": "[heap]"}]}]}]"#;
const STATS: &str = r#"[{"time": 1790000001.6, "proc_stats": [
    {"fields": ["9", "(kdamond.0)", "S", "2", "0", "0", "0", "-1", "0", "0", "0", "0", "0", "0", "25"]},
    {"fields": ["4711", "(work)", "R", "1", "1", "1", "0", "-1", "0", "120", "0", "7", "0", "30", "12"]}]}]"#;

fn import(start_ns: u64, files: SideFiles) -> Collected {
    let mut made = snapshots(&[2, 2, 2]);
    let shift = made[0].start_ns;
    for one in &mut made {
        one.start_ns = one.start_ns - shift + start_ns;
        one.end_ns = one.end_ns - shift + start_ns;
    }
    let text = text(Some(Sampling::from_intervals(5_000, 100_000)), "0", made);
    let mut found = Collected::default();
    let mut sink = Beside::new(files, &mut found);
    read(Cursor::new(text.into_bytes()), false, &ImportOptions::default(), &mut sink).unwrap();
    sink.finish().unwrap();
    found
}

fn all() -> SideFiles {
    let mut files = SideFiles::default();
    for (suffix, text) in [
        (".kdamonds", KDAMONDS),
        (".mem_footprint", MEMORY),
        (".vmas", MAPS),
        (".proc_stats", STATS),
    ] {
        files.add(suffix, text.as_bytes()).unwrap();
    }
    files
}

#[test]
fn parameters_memory_and_mappings_are_taken_over() {
    let start = 1_790_000_001_000_000_000;
    let found = import(start, all());
    let attrs = found.info.as_ref().unwrap().attrs;
    assert_eq!(
        (attrs.update_us, attrs.min_nr_regions, attrs.max_nr_regions),
        (2_000_000, 10, 1000)
    );
    let started = found.started()[0];
    assert_eq!((started.pid, started.kind), (4711, TargetKind::Process));
    let schemes = found.records.iter().filter_map(|record| match record {
        Record::SchemeInstalled(one) => Some((one.scheme, one.json.as_str())),
        _ => None,
    });
    assert!(schemes.eq([(0, r#"{"action":"pageout"}"#), (1, r#"{"action":"stat"}"#)]));
    let memory: Vec<_> = found
        .records
        .iter()
        .filter_map(|r| match r {
            Record::Memory(one) => Some(one),
            _ => None,
        })
        .collect();
    assert_eq!(memory.len(), 1, "other processes and those that ended have none");
    assert_eq!((memory[0].target, memory[0].time_ns), (TargetId(0), start + 500_000_000));
    assert_eq!((memory[0].rss, memory[0].virtual_size), (40_960, 409_600));
    assert_eq!((memory[0].minor_faults, memory[0].major_faults), (120, 7));
    assert!(found.records.iter().any(|r| matches!(r, Record::SystemMemory(one) if one.total == 1_024_000 && one.available == 716_800)));
    assert!(
        found.records.iter().any(
            |r| matches!(r, Record::KdamondCpu(one) if one.thread == 9 && one.cpu_us == 250_000)
        )
    );
    let changes: Vec<_> = found
        .records
        .iter()
        .filter_map(|r| match r {
            Record::MappingsChanged(one) => Some(one),
            _ => None,
        })
        .collect();
    let names: Vec<_> = changes[0].added.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["/usr/bin/work", ""], "what is named by its inode has no name");
    assert_eq!((changes[1].removed.as_slice(), changes[1].added.len()), ([8192].as_slice(), 1));
    assert_eq!(changes[1].added[0].name, "[heap]");
    assert!(!found.notes().iter().any(|n| n.contains("another clock")));
}

#[test]
fn another_clock_is_said_and_both_end_together() {
    let found = import(539_000_000_000, all());
    let end = found.snapshots[2].end_ns;
    let times: Vec<u64> = found
        .records
        .iter()
        .filter_map(|r| match r {
            Record::MappingsChanged(one) => Some(one.time_ns),
            _ => None,
        })
        .collect();
    assert_eq!(times, [end - 1_000_000_000, end]);
    assert!(found.notes().iter().any(|n| n.contains("both are taken to end at the same moment")));
}

#[test]
fn a_physical_target_is_told_by_its_operations() {
    let mut files = SideFiles::default();
    let text = r#"[{"pid": 9, "contexts": [{"ops": "paddr", "targets": [{"pid": null}]}]}]"#;
    files.add(".kdamonds", text.as_bytes()).unwrap();
    let found = import(539_000_000_000, files);
    let started = &found.started()[0];
    assert_eq!((started.kind, started.comm.as_str()), (TargetKind::Physical, ""));
}

#[test]
fn files_are_found_beside_and_bad_ones_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let recording = directory.path().join("damon.data");
    std::fs::write(directory.path().join("damon.data.kdamonds"), KDAMONDS).unwrap();
    std::fs::write(directory.path().join("damon.data.vmas"), "{nonsense").unwrap();
    let found = import(539_000_000_000, SideFiles::read(&recording));
    let notes = found.notes();
    assert!(notes.iter().any(|n| n.ends_with("were used: .kdamonds")), "{notes:?}");
    assert!(
        notes.iter().any(|n| n.contains("the file .vmas") && n.contains("left out")),
        "{notes:?}"
    );
}

#[test]
fn of_a_bad_file_nothing_is_used_and_of_good_ones_no_more_than_changes() {
    let start = 1_790_000_001_000_000_000;
    let bad = [
        "",
        "[",
        "{}",
        "7",
        "null",
        "[] []",
        "\u{1}",
        "[{\"time\": 1}, {\"time\": 2",
        "[1e999]",
        "[{\"a\": \"\\x\"}]",
    ];
    for suffix in [".kdamonds", ".mem_footprint", ".vmas", ".proc_stats"] {
        let whole = match suffix {
            ".kdamonds" => KDAMONDS,
            ".mem_footprint" => MEMORY,
            ".vmas" => MAPS,
            _ => STATS,
        };
        let cut = &whole[..whole.len() - 1];
        let mut files = SideFiles::default();
        for text in bad.iter().copied().chain([cut]) {
            assert!(files.add(suffix, text.as_bytes()).is_err(), "{suffix} {text:?}");
        }
        assert!(files.add(suffix, &[whole.as_bytes(), b"\xff"].concat()[..]).is_err());
        let (with, without) = (import(start, files), import(start, SideFiles::default()));
        assert_eq!((with.records, with.info), (without.records, without.info), "{suffix}");
        // What is no sample, and numbers that are too large, are passed over.
        let odd = r#"[null, 7, {"time": "x"}, {"time": -1}, {"time": 1e300}, {"time": 99999999999999999999999},
            {"time": 1790000001, "footprints": {}, "procvmas": [null, {"pid": 4711, "vmas": [{"start": 5, "end": 5},
            {"start": 99999999999999999999999999, "end": 1}]}], "proc_stats": [{"fields": [[]]}]}]"#;
        let mut files = SideFiles::default();
        files.add(suffix, odd.as_bytes()).unwrap();
        let found = import(start, files);
        assert!(found.snapshots.len() == 3, "{suffix}");
    }
    // The same mappings a hundred times, and then others.
    let same = |second: u64| {
        format!(
            r#"{{"time": {second}, "procvmas": [{{"pid": 1, "vmas": [{{"start": 0, "end": 9}}]}},
            {{"pid": 4711, "vmas": [{{"start": 4096, "end": 8192, "name": "/x"}}]}}]}}"#
        )
    };
    let samples: Vec<String> = (1_790_000_001..1_790_000_101).map(same).collect();
    let text = format!("[{}]", samples.join(",")).replace(
        "1790000100, \"procvmas\": [{\"pid\": 1",
        "1790000100, \"procvmas\": [{\"pid\": 2",
    );
    let mut files = SideFiles::default();
    files.add(".kdamonds", KDAMONDS.as_bytes()).unwrap();
    files.add(".vmas", text.as_bytes()).unwrap();
    let found = import(start, files);
    let changes = found.records.iter().filter(|r| matches!(r, Record::MappingsChanged(_)));
    assert_eq!(changes.count(), 1);
}

#[test]
fn mappings_that_were_written_out_of_order_are_put_in_order_and_no_change_is_lost() {
    let start = 1_790_000_001_000_000_000;
    let sample = |second: u64, name: &str| {
        let vma = format!(r#"{{"start": 4096, "end": 8192, "name": "{name}"}}"#);
        let time = 1_790_000_000 + second;
        format!(r#"{{"time": {time}, "procvmas": [{{"pid": 4711, "vmas": [{vma}]}}]}}"#)
    };
    let told = |order: &[u64]| -> Vec<(u64, String)> {
        let name = |second| if second == 3 { "/other" } else { "/same" };
        let samples: Vec<String> = order.iter().map(|s| sample(*s, name(*s))).collect();
        let mut files = SideFiles::default();
        files.add(".kdamonds", KDAMONDS.as_bytes()).unwrap();
        files.add(".vmas", format!("[{}]", samples.join(",")).as_bytes()).unwrap();
        let found = import(start, files);
        let changes = found.records.iter().filter_map(|record| match record {
            Record::MappingsChanged(one) => Some((one.time_ns, one.added[0].name.clone())),
            _ => None,
        });
        changes.collect()
    };
    let right = [(1, "/same"), (3, "/other"), (4, "/same")];
    let right = right.map(|(second, name)| (start + (second - 1) * 1_000_000_000, name.to_owned()));
    // The second and the fourth sample are alike, and only the one between them tells that the latter is a change.
    for order in [[1, 2, 3, 4, 5], [1, 2, 4, 5, 3], [5, 4, 3, 2, 1], [2, 5, 3, 1, 4]] {
        assert_eq!(told(&order), right, "{order:?}");
    }
}
