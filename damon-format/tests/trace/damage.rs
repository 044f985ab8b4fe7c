//! Damaged, cut and hostile files: nothing panics, nothing is silently different, nothing complete is lost.

use crate::common::{Content, Item, content_of, info, read_stream, small, write};
use damon_format::layout::{BlockHeader, BlockKind, FileHeader, FrameHeader};
use damon_format::{
    Completeness, DamageKind, IndexedReader, Record, TraceWriter, WriterOptions, recover, verify,
};

/// Several blocks of several frames.
fn small_trace() -> Vec<u8> {
    let mut options = WriterOptions::default();
    options.flush_interval_ns = 0;
    options.block_rows = 3;
    write(&small(), options)
}

/// End offsets of all frames, by the layout alone, and what had been written by then.
fn frame_ends(trace: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = FileHeader::LEN;
    while at < trace.len() {
        if BlockHeader::decode(&trace[at..]).is_some() {
            at += BlockHeader::LEN;
        } else if FrameHeader::begins_with(trace[at]) {
            let header = FrameHeader::decode(&trace[at..]).unwrap();
            at += header.stored_len() + header.length as usize;
            ends.push(at);
        } else {
            break;
        }
    }
    ends
}

/// With one item per frame, the complete frames of a prefix tell which items it holds.
fn prefix_content(ends: &[usize], length: usize) -> Content {
    let items = small();
    // The first frame is the description, the last one the index.
    let complete = ends.iter().filter(|&&end| end <= length).count().saturating_sub(1);
    content_of(&items[..complete.min(items.len())])
}

#[test]
fn truncation_at_every_byte_keeps_exactly_the_complete_frames() {
    let trace = small_trace();
    let ends = frame_ends(&trace);
    assert_eq!(ends.len(), small().len() + 2, "one item per frame, description and index");
    for length in 0..trace.len() {
        let cut = &trace[..length];
        if length < ends[0] {
            assert!(IndexedReader::open(cut.to_vec()).is_err(), "{length}");
            assert!(recover(cut, Vec::new()).is_err(), "{length}");
            continue;
        }
        let expected = prefix_content(&ends, length);
        let (content, _, finished) = read_stream(cut);
        assert_eq!(content, expected, "stream of {length} bytes");
        assert!(!finished);

        let reader = IndexedReader::open(cut.to_vec()).unwrap();
        assert_eq!(reader.completeness(), Completeness::Interrupted, "{length}");
        let mut content = Content::default();
        for block in reader.blocks() {
            reader.visit_block(block, &mut content).unwrap();
        }
        assert_eq!(content, expected, "blocks of {length} bytes");

        let (report, repaired) = recover(cut, Vec::new()).unwrap();
        let (mut content, damage, finished) = read_stream(&repaired);
        assert!(damage.is_empty() && finished, "{length}: {damage:?}");
        assert_eq!(report.snapshots, expected.snapshots.len() as u64);
        content.records.retain(|record| !matches!(record, Record::Lost(_)));
        assert_eq!(content, expected, "recovered from {length} bytes");
        assert_eq!(verify(&repaired).unwrap().completeness, Completeness::Complete);
    }
}

#[test]
fn every_single_bit_flip_is_noticed() {
    let trace = small_trace();
    let (whole, _, _) = read_stream(&trace);
    for bit in 0..trace.len() * 8 {
        let mut flipped = trace.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let Ok(report) = verify(&flipped) else {
            continue;
        };
        assert_eq!(report.completeness, Completeness::Damaged, "bit {bit}");
        assert!(!report.damage.is_empty(), "bit {bit}");
        let (content, _, _) = read_stream(&flipped);
        assert!(is_part_of(&content, &whole), "bit {bit} changed a value");
        // Recovery walks the file as the stream reader does; a part of the bits shows that.
        if bit % 7 != 0 {
            continue;
        }
        let (_, repaired) = recover(flipped.as_slice(), Vec::new()).unwrap();
        let (content, damage, finished) = read_stream(&repaired);
        assert!(damage.is_empty() && finished, "bit {bit}");
        assert!(is_part_of(&content, &whole), "bit {bit} changed a recovered value");
    }
}

fn is_part_of(part: &Content, whole: &Content) -> bool {
    part.snapshots.iter().all(|s| whole.snapshots.contains(s))
        && part.records.iter().all(|r| matches!(r, Record::Lost(_)) || whole.records.contains(r))
}

#[test]
fn damage_in_one_block_leaves_the_others_readable() {
    let trace = small_trace();
    let reader = IndexedReader::open(trace.clone()).unwrap();
    let blocks = reader.blocks().to_vec();
    assert!(blocks.len() >= 3);
    for victim in &blocks {
        let mut damaged = trace.clone();
        // The block's last byte lies in its last frame.
        let last = usize::try_from(victim.offset + victim.stored_len).unwrap() - 1;
        damaged[last] ^= 0xff;
        let reader = IndexedReader::open(damaged.clone()).unwrap();
        for block in &blocks {
            let mut content = Content::default();
            let result = reader.visit_block(block, &mut content);
            assert_eq!(result.is_err(), block == victim);
            if let Err(damage) = result {
                assert!(matches!(damage.kind, DamageKind::FrameChecksum { .. }), "{damage}");
                assert_eq!(damage.block, Some(victim.sequence));
            }
        }
        let (_, damage, finished) = read_stream(&damaged);
        assert_eq!(damage.len(), 1);
        assert!(finished);
    }
}

#[test]
fn a_missing_block_is_counted() {
    let trace = small_trace();
    let blocks = IndexedReader::open(trace.clone()).unwrap().blocks().to_vec();
    let from = usize::try_from(blocks[1].offset).unwrap();
    let to = from + usize::try_from(blocks[1].stored_len).unwrap();
    let mut cut = trace;
    cut.drain(from..to);
    let (_, damage, _) = read_stream(&cut);
    assert!(damage.iter().any(|d| d.kind == DamageKind::MissingBlocks { count: 1 }), "{damage:?}");
    let reader = IndexedReader::open(cut).unwrap();
    assert_eq!(reader.completeness(), Completeness::Damaged);
    assert_eq!(reader.blocks().len(), blocks.len() - 1);
}

#[test]
fn a_later_major_version_is_refused_with_its_number() {
    let mut trace = small_trace();
    let header = FileHeader { major: 2, minor: 7, identity: 0 };
    trace[..FileHeader::LEN].copy_from_slice(&header.encode());
    let message = IndexedReader::open(trace).unwrap_err().to_string();
    assert!(message.contains("version 2.7"), "{message}");
}

#[test]
fn foreign_files_are_told_apart() {
    let message = |bytes: &[u8]| IndexedReader::open(bytes.to_vec()).unwrap_err().to_string();
    assert!(message(b"").contains("empty"));
    assert!(message(b"hello, this is a text file").contains("not a DAMON trace"));
    assert!(message(&small_trace()[..20]).contains("ends at byte 20"));
    let mut damaged = small_trace();
    damaged[9] ^= 1;
    assert!(message(&damaged).contains("header is damaged"));
}

/// A sink that fails after some bytes, as a full disk does.
struct Full {
    stored: std::rc::Rc<std::cell::RefCell<Vec<u8>>>,
    room: usize,
}

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut stored = self.stored.borrow_mut();
        let room = self.room - stored.len();
        if room == 0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let part = &bytes[..room.min(bytes.len())];
        stored.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_at_any_byte_leaves_a_valid_trace() {
    let trace = small_trace();
    let ends = frame_ends(&trace);
    let mut options = WriterOptions::default();
    options.flush_interval_ns = 0;
    options.block_rows = 3;
    for room in ends[0]..trace.len() {
        let stored = std::rc::Rc::default();
        let sink = Full { stored: std::rc::Rc::clone(&stored), room };
        let mut writer = TraceWriter::create(sink, &info(), options).unwrap();
        let mut failed = false;
        for item in small() {
            let result = match &item {
                Item::Snapshot(snapshot) => writer.snapshot(snapshot),
                Item::Record(record) => writer.record(record),
            };
            assert!(!failed || result.is_err(), "a write after a failed one succeeded");
            failed |= result.is_err();
        }
        assert!(writer.finish().is_err());
        let (content, _, _) = read_stream(&stored.borrow());
        assert_eq!(content, prefix_content(&ends, room), "{room} bytes of room");
    }
}

#[test]
fn a_file_of_nothing_but_damage_is_recovered_to_a_whole_trace() {
    let trace = small_trace();
    let mut bytes = trace[..frame_ends(&trace)[0]].to_vec();
    // Every other block is missing, and those that are there have no frame.
    for sequence in (2..400_000).step_by(2) {
        let header = BlockHeader { kind: BlockKind::DATA, optional: false, sequence, start_ns: 0 };
        bytes.extend(header.encode());
    }
    let (report, repaired) = recover(bytes.as_slice(), Vec::new()).unwrap();
    assert_eq!(report.damage.len(), 199_999);
    let check = verify(&repaired).unwrap();
    assert_eq!((check.completeness, check.damage), (Completeness::Complete, vec![]));
    let (content, _, _) = read_stream(&repaired);
    let lost: u64 = content
        .records
        .iter()
        .map(|record| match record {
            Record::Lost(lost) => lost.count,
            _ => 0,
        })
        .sum();
    assert_eq!(lost, 199_999);
}
