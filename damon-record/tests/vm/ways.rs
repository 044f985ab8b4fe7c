//! How what the kernel counts gets to us where not everything is allowed.

use crate::damon::{DAMON, recording};
use crate::machine::Section;
use crate::pte::CONFIDENTIAL;
use crate::verdict::{Recording, judge};
use damon_format::Record;

/// Root without the capabilities for perf (`CAP_SYS_ADMIN`, and 38: `CAP_PERFMON`); the workload has not more, so that
/// it may be looked at.
pub(crate) const PERF_FORBIDDEN: (&str, &str) = (
    "perf-forbidden",
    "before=$(tree)
    /root/setpriv --bounding-set -sys_admin,-cap_38 sh -euc '. /root/prelude.sh; recorded 6s --backend damon --sample 20ms --aggr 200ms'
    restored
    ls /sys/kernel/tracing/instances",
);

/// On a machine that is locked down for confidentiality.
pub(crate) const TRACING_FORBIDDEN: (&str, &str) = (
    "tracing-forbidden",
    r#"before=$(tree)
    recorded 6s --backend damon --sample 20ms --aggr 200ms
    restored
    damon-workload /root/workload.txt --duration 2m >/dev/null &
    workload=$!
    sleep 1000 &
    other=$!
    for how in INT KILL; do
        damon-record -q --force -o killed.damon --backend damon "$workload" &
        recorder=$!
        sleep 1
        kill -$how $recorder
        while [ $how = INT ] && kill -INT $recorder 2>/dev/null; do
            sleep 0.05
        done
        wait $recorder || true
        restored
    done
    damon-record -q -d 1s -o several.damon --backend damon "$workload" $other
    restored
    damon-record -q -d 1s -o auto.damon "$workload" $other
    somebodys_kdamond vaddr "$workload"
    damon-record -q -d 1s -o attached.damon --backend attach || echo "refused with $?"
    kill $workload $other"#,
);

/// The notes that contain these words.
fn notes<'a>(recording: &'a Recording, words: &str) -> Vec<&'a str> {
    let note = |record: &'a Record| match record {
        Record::Note(note) if note.text.contains(words) => Some(note.text.as_str()),
        _ => None,
    };
    recording.records.iter().filter_map(note).collect()
}

#[test]
fn without_perf_a_private_instance_brings_the_events() {
    let Some(section) = DAMON.section("perf-forbidden").map(Section::ok) else {
        return;
    };
    let recording = recording(&section);
    let way = notes(&recording, "private tracing instance");
    assert!(way.len() == 1 && way[0].contains("not by perf"), "{way:?}");
    assert!(!section.stdout.contains("damon-record-"), "left behind: {}", section.stdout);
    let found = judge(&section, 10);
    assert!(found.written >= 0.75 && found.read >= 0.75 && found.cold <= 0.15, "{found:?}");
}

#[test]
fn without_tracing_the_kernel_lists_its_regions() {
    let Some(section) = CONFIDENTIAL.section("tracing-forbidden").map(Section::ok) else {
        return;
    };
    let recording = recording(&section);
    let way = notes(&recording, "schemes/0/tried_regions");
    assert!(way.len() == 1 && way[0].contains("not by perf or tracefs"), "{way:?}");
    assert!(way[0].contains("locked down"), "the reason is said: {way:?}");
    let of_schemes =
        |record: &Record| matches!(record, Record::SchemeInstalled(_) | Record::SchemeStats(_));
    assert!(!recording.records.iter().any(of_schemes), "the scheme is nobody's business");
    let snapshots = recording.snapshots.len();
    assert!(snapshots >= 22, "only {snapshots} snapshots of some 29 aggregations");
    let found = judge(&section, 10);
    assert!(found.written >= 0.75 && found.read >= 0.75 && found.cold <= 0.15, "{found:?}");
}

#[test]
fn without_tracing_one_process_is_recorded_and_nobody_elses_kdamond() {
    let Some(section) = CONFIDENTIAL.section("tracing-forbidden").map(Section::ok) else {
        return;
    };
    let several = Recording::read(&section.path("several.damon"));
    let targets = several.records.iter().filter(|r| matches!(r, Record::TargetStarted(_))).count();
    assert_eq!((targets, notes(&several, "one process only").len()), (1, 1));
    let auto = Recording::read(&section.path("auto.damon"));
    assert_ne!(auto.info.backend.name, "damon", "auto prefers one that can record all of them");
    assert!(auto.info.backend.reason.contains("one process only"), "{}", auto.info.backend.reason);
    assert!(section.stdout.contains("refused with 3"), "{}", section.stdout);
    assert!(!section.path("attached.damon").exists());
}
