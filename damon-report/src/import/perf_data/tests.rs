pub(super) mod made;

use super::*;
use crate::import::collected::Collected;
use crate::import::trace_text;
use damon_format::{Record, Snapshot, TargetId};
use made::{Cpu, Made, READ_FORMATS, SAMPLE_TYPES};
use proptest::prelude::*;

const PLAIN: &[u8] = include_bytes!("../../../../testdata/import/perf/plain.data");
const PIPE: &[u8] = include_bytes!("../../../../testdata/import/perf/pipe.data");
const COMPRESSED: &[u8] = include_bytes!("../../../../testdata/import/perf/compressed.data");
/// What `perf script --ns` makes of `plain.data`.
const SCRIPT: &[u8] = include_bytes!("../../../../testdata/import/perf/plain.txt");

fn imported(bytes: &[u8]) -> Result<Collected, ImportError> {
    Collected::of(|options, sink| read(bytes, options, sink))
}

fn refused(bytes: &[u8]) -> String {
    imported(bytes).unwrap_err().to_string()
}

/// End in milliseconds, regions, their bytes and samples.
fn outline(snapshots: &[Snapshot]) -> Vec<(u64, usize, u64, u32)> {
    let sums = |s: &Snapshot| {
        let bytes = s.regions.iter().map(damon_format::Region::size).sum();
        let samples = s.regions.iter().map(|region| region.nr_accesses).sum();
        (s.end_ns / 1_000_000, s.regions.len(), bytes, samples)
    };
    snapshots.iter().map(sums).collect()
}

fn but_notes(records: &[Record]) -> Vec<&Record> {
    records.iter().filter(|record| !matches!(record, Record::Note(_))).collect()
}

#[test]
fn a_recording_holds_what_perf_script_prints_of_it() {
    let found = imported(PLAIN).unwrap();
    let text = Collected::of(|options, sink| trace_text::read(SCRIPT, options, sink)).unwrap();
    assert_eq!(found.snapshots, text.snapshots);
    assert_eq!(but_notes(&found.records), but_notes(&text.records));
    let applied = |record: &&Record| matches!(record, Record::SchemeApplied(_));
    assert!(found.records.iter().filter(applied).count() > 0);
    let info = found.info.as_ref().unwrap();
    assert_eq!(
        (info.kernel.as_str(), info.arch.as_str(), info.page_size),
        ("6.18.44", "x86_64", 4096)
    );
    assert_eq!(info.command_line.first().map(String::as_str), Some("/usr/bin/perf"));
    let first = &found.snapshots[0];
    assert!(info.clock.realtime_ns > 1_700_000_000_000_000_000);
    assert!(first.end_ns.abs_diff(info.clock.monotonic_ns) < 60_000_000_000);
    assert!(found.notes().contains("times are those of CLOCK_MONOTONIC\n"), "{}", found.notes());
}

#[test]
fn real_recordings_of_all_kinds_are_read() {
    for (name, bytes) in [("plain", PLAIN), ("pipe", PIPE), ("compressed", COMPRESSED)] {
        let found = imported(bytes).unwrap();
        assert_eq!(found.lost(), [], "{name}");
        assert_eq!(outline(&found.snapshots), made::known(name), "{name}");
        assert!(found.snapshots.iter().all(|s| s.has_ages && s.target == TargetId(0)));
    }
    let stream = Collected::of(|options, sink| read_stream(PIPE, options, sink)).unwrap();
    assert_eq!(stream.snapshots, imported(PIPE).unwrap().snapshots);
    let error = Collected::of(|options, sink| read_stream(PLAIN, options, sink)).unwrap_err();
    assert!(error.to_string().contains("name the file"), "{error}");
}

#[test]
fn samples_may_hold_what_they_like() {
    let short = Made { aggregations: 2, ..Made::default() };
    let wanted = imported(&short.piped()).unwrap().snapshots;
    assert_eq!(wanted.len(), 2);
    for bits in 0..1 << SAMPLE_TYPES.len() {
        let chosen = |i: &usize| bits >> i & 1 == 1;
        let more = (0..SAMPLE_TYPES.len()).filter(chosen).map(|i| SAMPLE_TYPES[i]).sum::<u64>();
        for read_format in READ_FORMATS {
            if read_format != 0 && more & attr::holds::READ == 0 {
                continue;
            }
            let made = Made { more, read_format, ..short };
            assert_eq!(imported(&made.piped()).unwrap().snapshots, wanted, "{more:#x}");
        }
    }
    assert_eq!(imported(&short.file()).unwrap().snapshots, wanted);
}

#[test]
fn other_events_are_passed_over_and_told_apart_by_their_identity() {
    let wanted = imported(&Made::default().piped()).unwrap().snapshots;
    for more in [attr::holds::IDENTIFIER, attr::holds::ID] {
        let made = Made { more, others: true, ..Made::default() };
        assert_eq!(imported(&made.piped()).unwrap().snapshots, wanted);
        assert_eq!(imported(&made.file()).unwrap().snapshots, wanted);
    }
    let made = Made { others: true, ..Made::default() };
    assert!(refused(&made.piped()).contains("cannot be told apart"));
}

#[test]
fn the_buffers_of_several_cpus_are_put_into_order() {
    let wanted = imported(&Made::default().piped()).unwrap().snapshots;
    for rounds in [1, 3, 50, 1_000] {
        let made = Made { cpus: Cpu::Alternating { rounds }, ..Made::default() };
        assert_eq!(imported(&made.piped()).unwrap().snapshots, wanted, "{rounds} events a round");
    }
}

#[test]
fn lost_events_are_told_where_they_were_lost() {
    let made = Made { lost_at: Some(7 * made::REGIONS + 2), ..Made::default() };
    let found = imported(&made.piped()).unwrap();
    let lost = found.lost();
    assert_eq!(found.snapshots.len(), 19);
    assert_eq!(lost.iter().filter(|(what, n)| *n == 1 && what.contains("perf lost")).count(), 1);
    assert_eq!(lost.iter().filter(|(what, _)| what.contains("left out")).count(), 1);
}

#[test]
fn compressed_records_may_be_cut_anywhere() {
    let made = Made::default();
    let wanted = imported(&made.piped()).unwrap().snapshots;
    for piece in [1, 7, 1_000, 60_000] {
        for kind in [kinds::COMPRESSED, kinds::COMPRESSED2] {
            let bytes = made.compressed(piece, kind);
            assert_eq!(imported(&bytes).unwrap().snapshots, wanted, "{piece} bytes a record");
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_a_reason_and_a_place() {
    assert_eq!(refused(b""), "byte 0: expected a recording of perf (PERFILE2), found the end");
    assert!(refused(b"PERFFILE and more").starts_with("byte 0: "));
    assert!(refused(b"2ELIFREP\0\0\0\0").contains("big-endian"));
    let mut unfinished = PLAIN.to_vec();
    unfinished[48..56].fill(0);
    assert!(refused(&unfinished).contains("did not finish"));
    let mut huge = PLAIN.to_vec();
    huge[48..56].fill(0xff);
    assert!(refused(&huge).starts_with("byte 584: expected 18446744073709551615 bytes of records"));
    let mut tiny = Made::default().piped();
    let first = 16;
    tiny[first + 6..first + 8].fill(0);
    assert_eq!(
        refused(&tiny),
        "byte 16: expected a record of at least 8 bytes, found one of 0 bytes"
    );
    let none = Made { damon: false, ..Made::default() };
    assert!(refused(&none.piped()).contains("no events of DAMON"));
}

#[test]
fn a_recording_cut_anywhere_is_refused_or_ends_there() {
    let made = Made { aggregations: 2, ..Made::default() };
    let (file, pipe, packed) = (made.file(), made.piped(), made.compressed(700, kinds::COMPRESSED));
    for cut in 0..file.len() {
        assert!(imported(&file[..cut]).is_err(), "cut at byte {cut}");
    }
    for bytes in [pipe, packed] {
        let whole = imported(&bytes).unwrap().snapshots;
        for cut in 0..bytes.len() {
            if let Ok(found) = imported(&bytes[..cut]) {
                assert!(found.snapshots.len() <= whole.len());
                let same = found.snapshots.iter().zip(&whole).all(|(a, b)| a.regions == b.regions);
                assert!(same, "cut at byte {cut}");
            }
        }
    }
    for cut in (0..PLAIN.len()).step_by(97) {
        let _any_answer = imported(&PLAIN[..cut]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens to a recording: an answer, and snapshots that a trace can hold (the sink asserts it).
    #[test]
    fn damaged_recordings_do_no_harm(
        which in 0_usize..5,
        head in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        huge in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let made = Made { others: true, more: attr::holds::IDENTIFIER, ..Made::default() };
        let mut bytes = match which {
            0 => PLAIN.to_vec(),
            1 => PIPE.to_vec(),
            2 => COMPRESSED.to_vec(),
            3 => made.file(),
            _ => made.compressed(500, kinds::COMPRESSED),
        };
        // Half of the damage to what is read first.
        let area = if head { bytes.len().min(600) } else { bytes.len() };
        for (at, byte) in changes {
            bytes[at.index(area)] = byte;
        }
        if let Some(at) = huge {
            let at = at.index(area.saturating_sub(8).max(1));
            bytes[at..at + 8].fill(0xff);
        }
        let _any_answer = imported(&bytes);
        let _any_answer = Collected::of(|options, sink| read_stream(&*bytes, options, sink));
    }
}
