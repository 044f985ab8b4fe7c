//! The binary record of old damo.

use crate::collect::Collected;
use damon_report::import::damo_record::read;
use damon_report::import::{ImportError, ImportOptions, Kind, sniff};

/// Blocks of one snapshot each: end, target, rows.
type Block = (u64, u64, Vec<(u64, u64, i64)>);

pub fn bytes(version: u32, blocks: &[Block]) -> Vec<u8> {
    let mut out = Vec::new();
    if version > 0 {
        out.extend(b"damon_recfmt_ver");
        out.extend(version.to_le_bytes());
    }
    for (end, target, rows) in blocks {
        out.extend((end / 1_000_000_000).to_le_bytes());
        out.extend((end % 1_000_000_000).to_le_bytes());
        out.extend(1_u32.to_le_bytes());
        if version == 1 {
            out.extend(u32::try_from(*target).unwrap().to_le_bytes());
        } else {
            out.extend(target.to_le_bytes());
        }
        out.extend(u32::try_from(rows.len()).unwrap().to_le_bytes());
        for (start, end, nr_accesses) in rows {
            out.extend(start.to_le_bytes());
            out.extend(end.to_le_bytes());
            out.extend(&nr_accesses.to_le_bytes()[..4]);
        }
    }
    out
}

fn import(bytes: &[u8]) -> (Collected, Result<(), ImportError>) {
    let mut found = Collected::default();
    let result = read(bytes, &ImportOptions::default(), &mut found);
    (found, result)
}

pub fn sample() -> Vec<Block> {
    let at = |index: u64| 50_000_000_000 + index * 101_000_000;
    let rows = |index: i64| vec![(0x1000, 0x3000, index), (0x7fff_0000_0000, 0x7fff_0000_1000, 0)];
    vec![
        (at(0), 42, rows(1)),
        (at(1), 42, rows(2)),
        (at(3), 42, rows(3)),
        (at(0), 43, rows(4)),
        (at(1), 43, vec![]),
        (at(2), 43, vec![(0, 0, -1)]),
    ]
}

#[test]
fn all_versions_are_read() {
    for version in 0..3 {
        let bytes = bytes(version, &sample());
        assert_eq!(sniff(&bytes), Kind::DamoRecord, "version {version}");
        let (found, result) = import(&bytes);
        result.unwrap();
        let times: Vec<_> =
            found.snapshots.iter().map(|s| (s.target.0, s.start_ns, s.end_ns)).collect();
        let at = |index: u64| 50_000_000_000 + index * 101_000_000;
        let expected = [
            // The first lasts as long as the others on average, which are one and two long.
            (0, at(0) - 151_500_000, at(0)),
            (0, at(0), at(1)),
            (0, at(1), at(3)),
            (1, at(0) - 101_000_000, at(0)),
            (1, at(0), at(1)),
        ];
        assert_eq!(times, expected, "the snapshot that only marks an end is none");
        assert!(found.snapshots.iter().all(|s| !s.has_ages && s.sampling.max_nr_accesses == 20));
        assert_eq!(found.rows()[0], (0x1000, 0x3000, 1, 0));
        let notes = found.notes();
        assert!(notes.iter().any(|n| n.contains("intervals")), "{notes:?}");
        assert!(
            notes.iter().any(|n| n.contains("first snapshot of target 42 begins")),
            "{notes:?}"
        );
    }
}

#[test]
fn bad_ones_are_refused_with_a_place() {
    let good = bytes(2, &sample());
    let refused = |bytes: &[u8]| import(bytes).1.unwrap_err().to_string();
    assert_eq!(
        refused(&good[..56]),
        "byte 52: expected a region, found the end of the file",
        "the first region of the first block is cut"
    );
    let mut version = good.clone();
    version[16] = 9;
    assert_eq!(
        refused(&version),
        "byte 16: expected version 1 or 2 of the format, found version 9"
    );
    let mut many = good.clone();
    many[48..52].fill(0xff);
    assert!(
        refused(&many).starts_with("byte 48: expected at most 262144 regions, found 4294967295")
    );
    let mut late = good;
    late[20..28].fill(0xff);
    assert!(refused(&late).starts_with("byte 20: expected a time, found 18446744073709551615 s"));
    assert_eq!(refused(&[]), "damo's binary record without a snapshot");
}

#[test]
fn no_cut_and_no_flip_does_harm() {
    for version in 0..3 {
        let whole = bytes(version, &sample());
        for at in 0..whole.len() {
            drop(import(&whole[..at]));
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                drop(import(&flipped));
            }
        }
    }
}
