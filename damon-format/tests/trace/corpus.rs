//! Damaged files, each with the exact words that a user sees and with what is still readable.
//!
//! Complete by construction: a file without a row here fails, and so does a row without its file.

use crate::common::{Content, blocks_of, read_stream, small, write};
use damon_format::layout::{BlockEntry, BlockHeader, BlockKind, FileHeader, Footer, FrameHeader};
use damon_format::{Completeness, IndexedReader, Record, WriterOptions, recover, verify};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const BLESS: &str = "DAMON_FORMAT_BLESS";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/damaged")
}

/// One file: how it was made, and what must be said of it.
struct Case {
    name: &'static str,
    make: fn(&Base) -> Vec<u8>,
    expected: &'static str,
}

/// A whole trace of several blocks, and where its pieces are.
struct Base {
    trace: Vec<u8>,
    info_frame: usize,
    blocks: Vec<BlockEntry>,
    index: usize,
    footer: usize,
}

impl Base {
    fn new() -> Self {
        let mut options = WriterOptions::default();
        options.flush_interval_ns = 0;
        options.block_rows = 3;
        let trace = write(&small(), options);
        let blocks = IndexedReader::open(trace.clone()).unwrap().blocks().to_vec();
        let footer = trace.len() - Footer::LEN;
        let index = Footer::decode(&trace[footer..]).unwrap().index_offset;
        Self {
            info_frame: FileHeader::LEN + BlockHeader::LEN,
            index: usize::try_from(index).unwrap(),
            blocks,
            footer,
            trace,
        }
    }

    fn block(&self, number: usize) -> std::ops::Range<usize> {
        let start = usize::try_from(self.blocks[number].offset).unwrap();
        start..start + usize::try_from(self.blocks[number].stored_len).unwrap()
    }

    fn flipped(&self, at: usize) -> Vec<u8> {
        let mut trace = self.trace.clone();
        trace[at] ^= 0x10;
        trace
    }

    fn cut(&self, length: usize) -> Vec<u8> {
        self.trace[..length].to_vec()
    }

    /// The trace up to its first data block, then these blocks of one frame each; no index.
    fn with_blocks(&self, blocks: &[(BlockKind, bool, Vec<u8>)]) -> Vec<u8> {
        let mut trace = self.cut(self.block(0).start);
        for (sequence, (kind, optional, payload)) in (1..).zip(blocks) {
            let start_ns = 5_000_000_000;
            let header = BlockHeader { kind: *kind, optional: *optional, sequence, start_ns };
            trace.extend(header.encode());
            FrameHeader::for_payload(sequence, 0, payload).encode(&mut trace);
            trace.extend(payload);
        }
        trace
    }

    /// Sections under valid checksums, and a good block after them.
    fn with_sections(&self, raw: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(17).unwrap();
        std::io::Write::write_all(&mut encoder, raw).unwrap();
        self.with_payload(encoder.finish().unwrap())
    }

    fn with_payload(&self, payload: Vec<u8>) -> Vec<u8> {
        let good = blocks_of(&self.trace)[1].frames[0].clone();
        self.with_blocks(&[(BlockKind::DATA, false, payload), (BlockKind::DATA, false, good)])
    }

    /// The index with its entries changed, under valid checksums.
    fn with_index(&self, change: fn(&mut Vec<BlockEntry>)) -> Vec<u8> {
        let mut entries = self.blocks.clone();
        change(&mut entries);
        let sequence = u32::try_from(self.blocks.len()).unwrap() + 1;
        let payload: Vec<u8> = entries.iter().flat_map(BlockEntry::encode).collect();
        let mut trace = self.cut(self.index + BlockHeader::LEN);
        FrameHeader::for_payload(sequence, 0, &payload).encode(&mut trace);
        trace.extend(payload);
        trace.extend(&self.trace[self.footer..]);
        trace
    }

    fn with_footer(&self, change: fn(&mut Footer)) -> Vec<u8> {
        let mut footer = Footer::decode(&self.trace[self.footer..]).unwrap();
        change(&mut footer);
        let mut trace = self.cut(self.footer);
        trace.extend(footer.encode());
        trace
    }
}

/// A section of snapshots of target 0: 5 ms, 100 ms, 20, pages of 4096, and these probes, number and bits.
fn snapshots(probes: u16, tail: &[u8]) -> Vec<u8> {
    let mut body = vec![0x0f, 0x88, 0x27, 0xa0, 0x8d, 0x06, 20, 12];
    // A varint of two bytes, the first one marked as not the last.
    let [low, high] = (probes % 128 + probes / 128 * 256).to_le_bytes();
    body.extend([low | 0x80, high]);
    body.extend(tail);
    [vec![u8::try_from(body.len() << 1 | 1).unwrap()], body].concat()
}

#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    macro_rules! cases {
        ($($name:literal, $make:expr, $expected:expr;)*) => {
            vec![$( Case { name: $name, make: $make, expected: $expected } ),*]
        };
    }
    cases! {
        "empty", |_| Vec::new(),
            "cannot be opened: the file is empty: nothing was recorded, or the recorder could not write";
        "not-a-trace", |_| b"PERFILE2 is the magic of another tool's format".to_vec(),
            "cannot be opened: not a DAMON trace: the first bytes are not the format's magic";
        "text-mode-transfer", |base| {
            let mut trace = base.trace.clone();
            trace.remove(4);
            trace
        },
            "cannot be opened: not a DAMON trace: the first bytes are not the format's magic";
        "cut-in-magic", |base| base.cut(5),
            "cannot be opened: the trace ends at byte 5, inside its head: nothing was recorded yet";
        "cut-in-header", |base| base.cut(20),
            "cannot be opened: the trace ends at byte 20, inside its head: nothing was recorded yet";
        "cut-behind-header", |base| base.cut(FileHeader::LEN),
            "cannot be opened: the trace ends at byte 32, inside its head: nothing was recorded yet";
        "cut-in-info-header", |base| base.cut(FileHeader::LEN + 10),
            "cannot be opened: the trace ends at byte 32, inside its head: nothing was recorded yet";
        "cut-in-info-frame", |base| base.cut(base.info_frame + 40),
            "cannot be opened: the trace ends at byte 56, inside its head: nothing was recorded yet";
        "cut-behind-info", |base| base.cut(base.block(0).start),
            "Interrupted, 0 snapshots, 0 records";
        "cut-in-block-header", |base| base.cut(base.block(1).start + 9),
            "Interrupted, 1 snapshots, 1 records\n\
            byte 278, block 1: the file ends here inside a frame, bytes missing: 15 or more";
        "cut-behind-block-header", |base| base.cut(base.block(1).start + BlockHeader::LEN),
            "Interrupted, 1 snapshots, 1 records";
        "cut-in-frame-head", |base| base.cut(base.block(1).start + BlockHeader::LEN + 3),
            "Interrupted, 1 snapshots, 1 records\n\
            byte 302, block 2: the file ends here inside a frame, bytes missing: 21 or more";
        "cut-in-frame", |base| base.cut(base.block(1).end - 1),
            "Interrupted, 1 snapshots, 1 records\n\
            byte 302, block 2: the file ends here inside a frame, bytes missing: 1 or more";
        "cut-between-blocks", |base| base.cut(base.block(1).end),
            "Interrupted, 2 snapshots, 1 records";
        "cut-in-index", |base| base.cut(base.index + 60),
            "Interrupted, 5 snapshots, 2 records\n\
            byte 548, block 5: the file ends here inside a frame, bytes missing: 194 or more";
        "cut-before-footer", |base| base.cut(base.footer),
            "Interrupted, 5 snapshots, 2 records";
        "cut-in-footer", |base| base.cut(base.footer + 23),
            "Interrupted, 5 snapshots, 2 records\n\
            byte 778, block 5: the file ends here inside a frame, bytes missing: 1 or more";
        "flip-in-magic", |base| base.flipped(1),
            "cannot be opened: not a DAMON trace: the first bytes are not the format's magic";
        "flip-in-version", |base| base.flipped(8),
            "cannot be opened: the file header is damaged (checksum mismatch)";
        "flip-in-header-checksum", |base| base.flipped(30),
            "cannot be opened: the file header is damaged (checksum mismatch)";
        "flip-in-info-header", |base| base.flipped(FileHeader::LEN + 8),
            "cannot be opened: the description of the recording is damaged: byte 32: skipped what is no block, bytes: 145";
        "flip-in-info", |base| base.flipped(base.info_frame + 20),
            "cannot be opened: the description of the recording is damaged: byte 56, block 0: a frame of 115 bytes fails its checksum; the rest of this block is lost";
        "flip-in-block-magic", |base| base.flipped(base.block(1).start),
            "Damaged, 4 snapshots, 2 records\n\
            byte 278, block 1: skipped what is no block, bytes: 75\n\
            byte 353, block 3: blocks missing before this one: 1";
        "flip-in-block-sequence", |base| base.flipped(base.block(1).start + 8),
            "Damaged, 4 snapshots, 2 records\n\
            byte 278, block 1: skipped what is no block, bytes: 75\n\
            byte 353, block 3: blocks missing before this one: 1";
        "flip-in-frame-length", |base| base.flipped(base.block(1).start + BlockHeader::LEN + 1),
            "Damaged, 4 snapshots, 2 records\n\
            byte 302, block 2: a frame of 61 bytes fails its checksum; the rest of this block is lost";
        "flip-in-frame-checksum", |base| base.flipped(base.block(1).start + BlockHeader::LEN + 2),
            "Damaged, 4 snapshots, 2 records\n\
            byte 302, block 2: a frame of 45 bytes fails its checksum; the rest of this block is lost";
        "flip-in-payload", |base| base.flipped(base.block(1).end - 3),
            "Damaged, 4 snapshots, 2 records\n\
            byte 302, block 2: a frame of 45 bytes fails its checksum; the rest of this block is lost";
        "flip-in-index-header", |base| base.flipped(base.index + 9),
            "Damaged, 5 snapshots, 2 records\n\
            byte 524, block 4: skipped what is no block, bytes: 254\n\
            byte 802: the index is unusable (the index block is damaged); it was rebuilt from the blocks";
        "flip-in-index-entry", |base| base.flipped(base.index + 50),
            "Damaged, 5 snapshots, 2 records\n\
            byte 548, block 5: a frame of 224 bytes fails its checksum; the rest of this block is lost\n\
            byte 802: the index is unusable (the index block is damaged); it was rebuilt from the blocks";
        "flip-in-footer", |base| base.flipped(base.footer + 9),
            "Damaged, 5 snapshots, 2 records\n\
            byte 778, block 5: skipped what is no block, bytes: 24";
        "flip-in-footer-magic", |base| base.flipped(base.footer),
            "Damaged, 5 snapshots, 2 records\n\
            byte 778, block 5: skipped what is no block, bytes: 24";
        "first-block-missing", |base| {
            let mut trace = base.trace.clone();
            trace.drain(FileHeader::LEN..base.block(0).start);
            trace
        },
            "cannot be opened: the description of the recording is damaged: byte 32, block 1: blocks missing before this one: 1";
        "block-missing", |base| {
            let mut trace = base.trace.clone();
            trace.drain(base.block(1));
            trace
        },
            "Damaged, 4 snapshots, 2 records\n\
            byte 278, block 3: blocks missing before this one: 1\n\
            byte 727: the index is unusable (the index block is damaged); it was rebuilt from the blocks";
        "block-twice", |base| {
            let block = base.trace[base.block(1)].to_vec();
            let at = base.block(1).end;
            [&base.trace[..at], &block, &base.trace[at..]].concat()
        },
            "Damaged, 5 snapshots, 2 records\n\
            byte 353, block 2: skipped what is no block, bytes: 75\n\
            byte 877: the index is unusable (the index block is damaged); it was rebuilt from the blocks";
        "blocks-swapped", |base| {
            let (first, second) = (base.block(0), base.block(1));
            let t = &base.trace;
            [&t[..first.start], &t[second.clone()], &t[first], &t[second.end..]].concat()
        },
            "Damaged, 4 snapshots, 1 records\n\
            byte 177, block 2: blocks missing before this one: 1\n\
            byte 252, block 2: skipped what is no block, bytes: 101";
        "trailing-garbage", |base| [base.trace.as_slice(), b"\n[the end of a log]\n"].concat(),
            "Damaged, 5 snapshots, 2 records\n\
            byte 802: skipped what is no block, bytes: 20";
        "trailing-zeros", |base| [base.trace.as_slice(), &[0; 512]].concat(),
            "Damaged, 5 snapshots, 2 records\n\
            byte 802: skipped what is no block, bytes: 512";
        "zeros-behind-a-crash", |base| {
            let mut trace = base.cut(base.block(1).end);
            trace.extend([0; 512]);
            trace
        },
            "Damaged, 2 snapshots, 1 records\n\
            byte 353, block 2: skipped what is no block, bytes: 512";
        "two-traces-in-a-row", |base| [base.trace.as_slice(), &base.trace].concat(),
            "Damaged, 5 snapshots, 2 records\n\
            byte 802: skipped what is no block, bytes: 778\n\
            byte 1604: the index is unusable (the index block is damaged); it was rebuilt from the blocks";
        "newer-major-version", |base| {
            let mut trace = base.trace.clone();
            let header = FileHeader { major: 2, minor: 3, identity: 1 };
            trace[..FileHeader::LEN].copy_from_slice(&header.encode());
            trace
        },
            "cannot be opened: the trace has format version 2.3; this program reads versions up to 1.x: update damon-report";
        "newer-minor-version", |base| {
            let mut trace = base.trace.clone();
            let header = FileHeader { major: 1, minor: 9, identity: 1 };
            trace[..FileHeader::LEN].copy_from_slice(&header.encode());
            trace
        },
            "Complete, 5 snapshots, 2 records";
        "unknown-required-block", |base| base.with_blocks(&[
            (BlockKind(9), false, b"from the future".to_vec()),
            (BlockKind::DATA, false, blocks_of(&base.trace)[1].frames[0].clone()),
        ]),
            "Damaged, 0 snapshots, 1 records\n\
            byte 177, block 1: block kind 9: written by a later version; update damon-report";
        "unknown-optional-block", |base| base.with_blocks(&[
            (BlockKind(9), true, b"from the future".to_vec()),
            (BlockKind::DATA, false, blocks_of(&base.trace)[1].frames[0].clone()),
        ]),
            "Interrupted, 0 snapshots, 1 records";
        "unknown-required-section", |base| base.with_sections(&[4, 2, 7]),
            "Damaged, 0 snapshots, 1 records\n\
            byte 201, block 1: section kind 2: written by a later version; update damon-report";
        "unknown-optional-section", |base| base.with_sections(&[4, 64, 7]),
            "Interrupted, 0 snapshots, 1 records";
        "unknown-record", |base| base.with_sections(&[6, 1, 99, 7]),
            "Interrupted, 0 snapshots, 1 records";
        "zstd-garbage", |base| base.with_payload(vec![0x55; 60]),
            "Damaged, 0 snapshots, 1 records\n\
            byte 201, block 1: the compressed data cannot be decoded: Unknown frame descriptor";
        "zstd-bomb", |base| base.with_sections(&vec![0; 1 << 24]),
            "Damaged, 0 snapshots, 1 records\n\
            byte 201, block 1: the compressed data cannot be decoded: it expands beyond the format's limit";
        "zstd-window-too-large", |base| {
            base.with_payload(vec![0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0])
        },
            "Damaged, 0 snapshots, 1 records\n\
            byte 201, block 1: the compressed data cannot be decoded: Frame requires too much memory for decoding";
        "section-cut-off", |base| base.with_sections(&[0xff, 0xff, 0x03, 1]),
            "Damaged, 0 snapshots, 1 records\n\
            byte 201, block 1: the data violate the format: a section is cut off";
        "section-without-scale", |base| base.with_sections(&[5, 0x0b, 0]),
            "Damaged, 0 snapshots, 1 records\n\
            byte 201, block 1: the data violate the format: a section of snapshots makes no sense";
        "section-with-many-probes", |base| base.with_sections(&snapshots(257, &[0])),
            "Damaged, 0 snapshots, 1 records\n\
            byte 201, block 1: the data violate the format: a section of snapshots makes no sense";
        "section-with-many-snapshots", |base| {
            base.with_sections(&snapshots(0, &[0xff, 0xff, 0xff, 0x7f, 1]))
        },
            "Damaged, 0 snapshots, 1 records\n\
            byte 201, block 1: the data violate the format: a section of snapshots makes no sense";
        "section-with-bits-left", |base| base.with_sections(&snapshots(0, &[0, 1])),
            "Damaged, 0 snapshots, 1 records\n\
            byte 201, block 1: the data violate the format: a section of snapshots makes no sense";
        "section-with-bits-missing", |base| base.with_sections(&snapshots(0, &[1])),
            "Damaged, 0 snapshots, 1 records\n\
            byte 201, block 1: the data violate the format: a section of snapshots makes no sense";
        "section-with-parent-missing", |base| {
            // Duration 0; one region; as predicted, from nothing.
            base.with_sections(&snapshots(0, &[1, 0x01, 0x05]))
        },
            "Damaged, 0 snapshots, 1 records\n\
            byte 201, block 1: the data violate the format: a section of snapshots makes no sense";
        "record-with-hostile-length", |base| {
            let text = [11, 5, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
            base.with_sections(&[&[24, 1], text.as_slice()].concat())
        },
            "Damaged, 0 snapshots, 1 records\n\
            byte 201, block 1: the data violate the format: a record cannot be read: it claims more than the format allows";
        "record-with-unknown-enumerator", |base| {
            base.with_sections(&[26, 1, 1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0])
        },
            "Damaged, 0 snapshots, 1 records\n\
            byte 201, block 1: the data violate the format: a record cannot be read: unknown TargetKind";
        "record-not-utf8", |base| base.with_sections(&[10, 1, 11, 5, 1, 0xff]),
            "Damaged, 0 snapshots, 1 records\n\
            byte 201, block 1: the data violate the format: a record cannot be read: a text is not UTF-8";
        "hostile-frame-length", |base| {
            let mut trace = base.cut(base.block(1).end);
            trace.extend([0xa0, 0xff, 0xff, 0xff, 1, 2, 3, 4]);
            trace
        },
            "Interrupted, 2 snapshots, 1 records\n\
            byte 353, block 2: the file ends here inside a frame, bytes missing: 16777215 or more";
        "hostile-info", |base| {
            let mut trace = base.cut(FileHeader::LEN + BlockHeader::LEN);
            let payload = [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
            FrameHeader::for_payload(0, 0, &payload).encode(&mut trace);
            trace.extend(payload);
            trace
        },
            "cannot be opened: the description of the recording is damaged: byte 56, block 0: the data violate the format: it claims more than the format allows";
        "index-that-lies-about-offsets", |base| base.with_index(|entries| entries[1].offset += 1),
            "Damaged, 5 snapshots, 2 records\n\
            byte 802: the index is unusable (its entries do not fit the file); it was rebuilt from the blocks";
        "index-that-lies-about-rows", |base| base.with_index(|entries| entries[1].rows += 1),
            "Damaged, 5 snapshots, 2 records\n\
            byte 802: the index is unusable (it does not describe what block 2 holds); it was rebuilt from the blocks";
        "index-that-lies-about-times", |base| base.with_index(|entries| {
            entries[1].end_ns = entries[1].start_ns;
        }),
            "Damaged, 5 snapshots, 2 records\n\
            byte 802: the index is unusable (it does not describe what block 2 holds); it was rebuilt from the blocks";
        "index-that-lies-about-lasting-records", |base| base.with_index(|entries| entries[0].lasting = Some(0)),
            "Damaged, 5 snapshots, 2 records\n\
            byte 802: the index is unusable (it does not describe what block 1 holds); it was rebuilt from the blocks";
        "index-with-an-entry-missing", |base| base.with_index(|entries| entries.truncate(2)),
            "Damaged, 5 snapshots, 2 records\n\
            byte 690: the index is unusable (the index has another number of entries than announced); it was rebuilt from the blocks";
        "footer-that-points-outside", |base| base.with_footer(|footer| footer.index_offset = 1 << 40),
            "Damaged, 5 snapshots, 2 records\n\
            byte 802: the index is unusable (the footer points outside the file); it was rebuilt from the blocks";
        "footer-that-points-to-data", |base| base.with_footer(|footer| footer.index_offset -= 30),
            "Damaged, 5 snapshots, 2 records\n\
            byte 802: the index is unusable (the index block is damaged); it was rebuilt from the blocks";
        "footer-with-many-entries", |base| base.with_footer(|footer| footer.entries = u32::MAX),
            "Damaged, 5 snapshots, 2 records\n\
            byte 802: the index is unusable (the index has another number of entries than announced); it was rebuilt from the blocks";
    }
}

/// What a user is told of a file, and what is left of it.
fn told(trace: &Vec<u8>) -> String {
    let report = match verify(trace) {
        Ok(report) => report,
        Err(error) => return format!("cannot be opened: {error}"),
    };
    let mut text = format!(
        "{:?}, {} snapshots, {} records",
        report.completeness, report.snapshots, report.records
    );
    for damage in &report.damage {
        write!(text, "\n{damage}").unwrap();
    }
    text
}

#[test]
fn every_damaged_file_is_described_exactly() {
    let base = Base::new();
    let mut wrong = String::new();
    for case in cases() {
        let path = folder().join(format!("{}.damon", case.name));
        if !path.exists() && std::env::var_os(BLESS).is_some() {
            std::fs::write(&path, (case.make)(&base)).unwrap();
        }
        let trace = std::fs::read(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; {BLESS}=1 makes files that are missing", path.display())
        });
        assert!(trace.len() < 4096, "{} is too large", case.name);
        let found = told(&trace);
        if found != case.expected {
            writeln!(wrong, "@@ {}\n{found}", case.name).unwrap();
        }
    }
    assert!(wrong.is_empty(), "these are told otherwise:\n{wrong}");
}

#[test]
fn the_folder_and_the_table_have_the_same_files() {
    let named: BTreeSet<String> = cases().iter().map(|c| format!("{}.damon", c.name)).collect();
    assert_eq!(named.len(), cases().len(), "a name is used twice");
    let there: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, named);
}

#[test]
fn what_is_left_is_read_the_same_way_by_all() {
    for case in cases() {
        let trace = std::fs::read(folder().join(format!("{}.damon", case.name))).unwrap();
        let Ok(report) = verify(&trace) else {
            assert!(IndexedReader::open(trace.clone()).is_err(), "{}", case.name);
            assert!(recover(trace.as_slice(), Vec::new()).is_err(), "{}", case.name);
            continue;
        };
        let (streamed, _, _) = read_stream(&trace);
        let reader = IndexedReader::open(trace.clone()).unwrap();
        let mut visited = Content::default();
        for block in reader.blocks() {
            let _damage = reader.visit_block(block, &mut visited);
        }
        // With a good index, blocks are taken to be where it says, and only there.
        let believed = case.name == "blocks-swapped";
        assert_eq!(visited == streamed, !believed, "{}", case.name);
        assert!(visited.snapshots.iter().all(|snapshot| streamed.snapshots.contains(snapshot)));
        let (saved, repaired) = recover(trace.as_slice(), Vec::new()).unwrap();
        assert_eq!(saved.snapshots, report.snapshots, "{}", case.name);
        let check = verify(&repaired).unwrap();
        assert_eq!((check.completeness, check.damage), (Completeness::Complete, vec![]));
        let (mut recovered, _, _) = read_stream(&repaired);
        recovered.records.retain(|record| !matches!(record, Record::Lost(_)));
        assert_eq!(recovered, streamed, "{}", case.name);
    }
}
