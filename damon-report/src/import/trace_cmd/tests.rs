mod greedy;
pub(super) mod made;

use super::*;
use crate::import::collected::Collected;
use crate::import::trace_text;
use damon_format::{Record, TargetId};
use made::{Made, REGIONS, Version};
use proptest::prelude::*;

const SIX: &[u8] = include_bytes!("../../../../testdata/import/trace-cmd/version6.dat");
const SEVEN: &[u8] = include_bytes!("../../../../testdata/import/trace-cmd/version7.dat");
/// What `trace-cmd report -t` makes of them.
const TEXT_OF_SIX: &[u8] = include_bytes!("../../../../testdata/import/trace-cmd/version6.txt");
const TEXT_OF_SEVEN: &[u8] = include_bytes!("../../../../testdata/import/trace-cmd/version7.txt");

const VERSIONS: [Version; 4] =
    [Version::Six, Version::Seven("none"), Version::Seven("zstd"), Version::Seven("zlib")];

fn imported(bytes: &[u8]) -> Result<Collected, ImportError> {
    Collected::of(|options, sink| read(bytes, options, sink))
}

fn refused(bytes: &[u8]) -> String {
    imported(bytes).unwrap_err().to_string()
}

fn but_notes(records: &[Record]) -> Vec<&Record> {
    records.iter().filter(|record| !matches!(record, Record::Note(_))).collect()
}

#[test]
fn recordings_hold_what_trace_cmd_prints_of_them() {
    for (bytes, text, clock) in [
        (SIX, TEXT_OF_SIX, "CLOCK_MONOTONIC"),
        (SEVEN, TEXT_OF_SEVEN, "the tracer's clock \"local\""),
    ] {
        let found = imported(bytes).unwrap();
        let text = Collected::of(|options, sink| trace_text::read(text, options, sink)).unwrap();
        assert!(found.snapshots.len() >= 10, "{}", found.snapshots.len());
        assert_eq!(found.snapshots, text.snapshots);
        assert_eq!(but_notes(&found.records), but_notes(&text.records));
        let applied = |record: &&Record| matches!(record, Record::SchemeApplied(_));
        assert!(found.records.iter().filter(applied).count() > 1);
        assert_eq!(found.lost(), []);
        let info = found.info.as_ref().unwrap();
        assert_eq!(
            (info.host.as_str(), info.kernel.as_str(), info.arch.as_str(), info.page_size),
            ("damon-vm", "6.12.117+deb12-cloud-amd64", "x86_64", 4096)
        );
        let said = format!("times are those of {clock}; wall-clock times are unknown");
        assert!(found.notes().contains(&said), "{}", found.notes());
    }
}

#[test]
fn all_versions_and_any_distribution_over_cpus_tell_the_same() {
    let wanted = imported(&Made::default().bytes()).unwrap();
    assert_eq!(wanted.snapshots.len(), 20);
    let complete = |snapshot: &damon_format::Snapshot| {
        snapshot.regions.len() == REGIONS && snapshot.target == TargetId(0) && snapshot.has_ages
    };
    assert!(wanted.snapshots.iter().all(complete));
    let clock = wanted.info.as_ref().unwrap().clock;
    assert_eq!((clock.monotonic_ns, clock.realtime_ns), (0, 100_000_000_000));
    for version in VERSIONS {
        for (cpus, in_a_row) in [(1, 1), (2, 1), (3, 7), (40, 2)] {
            for others in [false, true] {
                let made = Made { version, cpus, in_a_row, others, ..Made::default() };
                let found = imported(&made.bytes()).unwrap();
                assert_eq!(found.snapshots, wanted.snapshots, "{made:?}");
                assert_eq!(but_notes(&found.records), but_notes(&wanted.records));
                assert_eq!(found.info.unwrap().host, "farm");
            }
        }
    }
}

#[test]
#[ignore = "writes seeds of the fuzz target; run by hand when there are none"]
fn plant_seeds() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/fuzz/events");
    std::fs::create_dir_all(&folder).unwrap();
    for (version, name) in VERSIONS.iter().zip(["dat-6", "dat-7", "dat-7-zstd", "dat-7-zlib"]) {
        let made =
            Made { version: *version, cpus: 2, others: true, lost_at: Some(7), ..Made::default() };
        let bytes = Made { aggregations: 4, ..made }.bytes();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

#[test]
fn lost_events_cost_the_snapshots_they_belong_to() {
    let whole = imported(&Made::default().bytes()).unwrap().snapshots;
    for version in VERSIONS {
        let made = Made { version, lost_at: Some(4 * REGIONS + 1), ..Made::default() };
        let found = imported(&made.bytes()).unwrap();
        let lost = found.lost();
        assert!(lost.contains(&(LOST, 3)), "{lost:?}");
        let kept: Vec<_> =
            whole.iter().enumerate().filter(|(i, _)| *i != 4).map(|(_, s)| &s.regions).collect();
        assert_eq!(found.snapshots.iter().map(|s| &s.regions).collect::<Vec<_>>(), kept);
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_a_reason_and_a_place() {
    assert_eq!(refused(b""), "byte 0: expected descriptions of tracepoints, found the end");
    assert!(refused(b"\x17\x08\x44tracing5\0\0\x08\0\x10\0\0").contains("version 5"));
    assert!(refused(b"\x17\x08\x44tracing6\0\x01\x08").contains("big-endian"));
    assert!(refused(b"\x17\x08\x44tracing7\0\0\x08\0\x10\0\0lz9\x001\0").contains("\"lz9\""));
    for version in VERSIONS {
        let none = Made { version, damon: false, ..Made::default() };
        assert!(refused(&none.bytes()).contains("no events of DAMON"), "{version:?}");
        let counter = Made { version, clock: "counter", ..Made::default() };
        assert!(refused(&counter.bytes()).contains("clock counter"), "{version:?}");
    }
    let same = Made { cpus: 2, cpu_count: Some(2), ..Made::default() };
    assert_eq!(imported(&same.bytes()).unwrap().snapshots.len(), 20);
    let error = refused(&Made { cpu_count: Some(3), ..same }.bytes());
    assert!(error.contains("buffers of 2 CPUs and an instance with 3"), "{error}");
    let error = read_stream(SIX).unwrap_err().to_string();
    assert!(error.contains("name the file"), "{error}");
    // A list of options that names itself.
    let mut endless = Made { version: Version::Seven("none"), ..Made::default() }.bytes();
    let place = endless[27..35].to_vec();
    let end = endless.len();
    endless[end - 8..].copy_from_slice(&place);
    assert!(refused(&endless).contains("256 lists"), "{}", refused(&endless));
}

#[test]
fn a_recording_cut_anywhere_is_refused() {
    for version in VERSIONS {
        let bytes = Made { version, aggregations: 2, cpus: 2, ..Made::default() }.bytes();
        for cut in 0..bytes.len() {
            let error = refused(&bytes[..cut]);
            assert!(error.starts_with("byte "), "{version:?} cut at byte {cut}: {error}");
        }
    }
    for bytes in [SIX, SEVEN] {
        let whole = imported(bytes).unwrap().snapshots;
        for cut in (0..bytes.len()).step_by(97) {
            match imported(&bytes[..cut]) {
                // Version 7 ends with names of its sections, which nobody needs.
                Ok(found) => assert_eq!(found.snapshots, whole, "cut at byte {cut}"),
                Err(error) => assert!(error.to_string().starts_with("byte "), "{cut}: {error}"),
            }
        }
    }
}

#[test]
fn many_cpus_with_large_pages_are_refused_before_memory_is_taken() {
    let mut bytes = Made { cpus: 40, ..Made::default() }.bytes();
    bytes[14..18].copy_from_slice(&(1_u32 << 24).to_le_bytes());
    let error = refused(&bytes);
    assert!(
        error.contains("expected a page of the ring buffer, found 16777216 bytes, of 40 CPUs"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens to a recording: an answer, and snapshots that a trace can hold (the sink asserts it).
    #[test]
    fn damaged_recordings_do_no_harm(
        which in 0_usize..6,
        area in 0_usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        huge in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = match which {
            0 => SIX.to_vec(),
            1 => SEVEN.to_vec(),
            made => {
                let version = VERSIONS[made - 2];
                Made { version, cpus: 2, others: true, aggregations: 4, ..Made::default() }.bytes()
            }
        };
        // Some of the damage to what is read first, and some to what version 7 has last.
        let length = bytes.len();
        let (begin, end) = [(0, length), (0, length.min(600)), (length.saturating_sub(600), length)][area];
        for (at, byte) in changes {
            bytes[begin + at.index(end - begin)] = byte;
        }
        if let Some(at) = huge {
            let at = begin + at.index(end - begin - 8);
            bytes[at..at + 8].fill(0xff);
        }
        let _any_answer = imported(&bytes);
    }
}
