//! What each fuzz target does with its bytes. The targets in `damon-format/fuzz` include this file, and
//! `fuzz_replay.rs` runs the committed seeds through it on any compiler.
#![allow(dead_code, reason = "each fuzz target uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed check panics")]

use damon_format::layout::{
    BLOCK_MAGIC, BlockHeader, BlockKind, FILE_MAGIC, FOOTER_MAGIC, FileHeader, Footer, FrameHeader,
};
use damon_format::{
    Completeness, IndexedReader, Record, RecordingInfo, Snapshot, SnapshotView, StreamReader,
    TraceWriter, Visitor, WriterOptions, recover, verify,
};
use std::io::Write as _;

/// Rows beyond which content is no longer compared, only counted.
const COMPARED_ROWS: usize = 20_000;

/// All readers and `verify`, on the bytes as they are and with their checksums made right.
pub fn reader(data: &[u8]) {
    read_every_way(data);
    read_every_way(&resealed(data));
}

/// `recover`: what it writes is whole, and holds nothing that the readers do not find.
pub fn recovery(data: &[u8]) {
    recover_and_compare(data);
    recover_and_compare(&resealed(data));
}

/// Arbitrary sections under valid checksums. The first byte says how: bit 0, as the bits of snapshots
/// rather than as sections; bit 1, as what the zstd stream should be rather than what it holds; the other
/// bits cut the data into two frames.
pub fn sections(data: &[u8]) {
    let Some((&how, data)) = data.split_first() else { return };
    let raw = if how & 1 == 1 { snapshot_sections(data) } else { data.to_vec() };
    let (first, second) = raw.split_at(raw.len() * usize::from(how >> 2) / 64);
    let frames =
        if how & 2 == 2 { [first.to_vec(), second.to_vec()] } else { compressed(first, second) };
    let trace = trace_of_frames(&frames);
    let content = read_every_way(&trace);
    recover_and_compare(&trace);
    if let Some(content) = content {
        rewrite(&content);
    }
}

/// Each byte 0xee begins a section of its own, whose first byte says what it has; the first one states a
/// scale.
fn snapshot_sections(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, bits) in data.split(|&byte| byte == 0xee).enumerate() {
        let Some((&head, bits)) = bits.split_first() else { continue };
        let scale = if number == 0 { 4 } else { head & 4 };
        let mut body = vec![(head & 0x13) | scale | 8];
        if scale != 0 {
            body.extend([5, 100, 20, head >> 5, head >> 7]);
        }
        body.push(head >> 2 & 3);
        body.extend(bits);
        varint((body.len() as u64) << 1 | 1, &mut out);
        out.extend(body);
    }
    out
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// One zstd stream with a flush point after each part.
fn compressed(first: &[u8], second: &[u8]) -> [Vec<u8>; 2] {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(17).unwrap();
    encoder.write_all(first).unwrap();
    encoder.flush().unwrap();
    let cut = encoder.get_ref().len();
    encoder.write_all(second).unwrap();
    encoder.flush().unwrap();
    let all = encoder.get_ref();
    [all[..cut].to_vec(), all[cut..].to_vec()]
}

/// A file header, a description and one data block with these frames; no index.
fn trace_of_frames(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut trace = head();
    let block =
        BlockHeader { kind: BlockKind::DATA, optional: false, sequence: 1, start_ns: 5_000 };
    trace.extend(block.encode());
    for (number, payload) in (0..).zip(frames) {
        FrameHeader::for_payload(1, number, payload).encode(&mut trace);
        trace.extend(payload);
    }
    trace
}

/// The head of a trace whose description is as short as can be.
fn head() -> Vec<u8> {
    let mut trace = FileHeader { major: 1, minor: 0, identity: 7 }.encode().to_vec();
    let block = BlockHeader { kind: BlockKind::INFO, optional: false, sequence: 0, start_ns: 0 };
    trace.extend(block.encode());
    // Five empty texts, page size 16, two clocks, no command line, a nameless backend, five attributes.
    let info =
        [[0; 5].as_slice(), &[16, 0, 0, 0], &[0, 1, 1, 0, 0], &[5, 100, 250, 10, 100]].concat();
    FrameHeader::for_payload(0, 0, &info).encode(&mut trace);
    trace.extend(info);
    trace
}

/// `data` with every checksum made right, as far as its pieces can be told apart: the fuzzer cannot guess
/// them.
pub fn resealed(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    seal(&mut bytes, 0, FileHeader::LEN, &FILE_MAGIC);
    let mut at = FileHeader::LEN;
    let mut place = (0, 0);
    while at < bytes.len() {
        if seal(&mut bytes, at, BlockHeader::LEN, &BLOCK_MAGIC) {
            let sequence = BlockHeader::decode(&bytes[at..]).map_or(0, |header| header.sequence);
            place = (sequence, 0);
            at += BlockHeader::LEN;
        } else if seal(&mut bytes, at, Footer::LEN, &FOOTER_MAGIC) {
            at += Footer::LEN;
        } else if let Some(frame) = FrameHeader::decode(&bytes[at..]) {
            let begin = at + frame.stored_len();
            let end = (begin + frame.length as usize).min(bytes.len());
            let Some(payload) = bytes.get(begin..end) else { break };
            let crc = FrameHeader::checksum(place.0, place.1, payload);
            bytes[begin - 4..begin].copy_from_slice(&crc.to_le_bytes());
            place.1 += 1;
            at = end;
        } else {
            at += 1;
        }
    }
    bytes
}

/// Puts the checksum at the end of a piece of `len` bytes that begins with `magic`.
fn seal(bytes: &mut [u8], at: usize, len: usize, magic: &[u8]) -> bool {
    let Some(piece) = bytes.get_mut(at..at + len).filter(|piece| piece.starts_with(magic)) else {
        return false;
    };
    let crc = crc32(&piece[..len - 4]);
    piece[len - 4..].copy_from_slice(&crc.to_le_bytes());
    true
}

/// CRC-32 bit by bit: slow, short, and independent of the crate under test.
pub fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes
        .iter()
        .fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

/// Everything a trace holds while that is not too much, and how much it is.
#[derive(Debug, Default, PartialEq)]
struct Found {
    snapshots: Vec<Snapshot>,
    records: Vec<Record>,
    rows: usize,
    counts: (u64, u64),
}

impl Found {
    fn is_whole(&self) -> bool {
        self.rows <= COMPARED_ROWS && self.snapshots.len() as u64 == self.counts.0
    }
}

impl Visitor for Found {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.rows += snapshot.len();
        self.counts.0 += 1;
        assert!(snapshot.start_ns <= snapshot.end_ns && snapshot.sampling.max_nr_accesses > 0);
        assert!(snapshot.regions().all(|region| region.start < region.end), "an empty region");
        let ordered = snapshot.ends.iter().zip(snapshot.starts.iter().skip(1));
        assert!(ordered.into_iter().all(|(end, start)| end <= start), "regions overlap");
        assert!(snapshot.probes.iter().all(|column| column.len() == snapshot.len()));
        if self.rows <= COMPARED_ROWS && self.snapshots.len() < COMPARED_ROWS {
            self.snapshots.push(snapshot.to_snapshot());
        }
    }

    fn record(&mut self, record: Record) {
        self.counts.1 += 1;
        self.records.push(record);
    }
}

/// The stream's content, if the bytes are a trace at all.
fn read_every_way(trace: &[u8]) -> Option<Found> {
    let Ok(mut stream) = StreamReader::new(trace) else {
        assert!(IndexedReader::open(trace.to_vec()).is_err());
        assert!(verify(&trace.to_vec()).is_err());
        return None;
    };
    let mut streamed = Found::default();
    stream.visit(&mut streamed);
    let report = verify(&trace.to_vec()).unwrap();
    let indexed = IndexedReader::open(trace.to_vec()).unwrap();
    let mut visited = Found::default();
    let mut whole = true;
    for block in indexed.blocks() {
        whole &= indexed.visit_block(block, &mut visited).is_ok();
    }
    if report.damage.is_empty() {
        assert_eq!(stream.damage(), []);
        assert!(whole, "a block of a good trace cannot be visited");
        assert_eq!(visited, streamed, "the readers disagree");
        assert_eq!((report.snapshots, report.records), streamed.counts);
        assert_eq!(stream.is_finished(), report.completeness == Completeness::Complete);
    } else {
        let cut_off = report.completeness == Completeness::Interrupted;
        assert!(cut_off || report.completeness == Completeness::Damaged);
    }
    Some(streamed)
}

fn recover_and_compare(trace: &[u8]) {
    let Ok((report, repaired)) = recover(trace, Vec::new()) else {
        assert!(StreamReader::new(trace).is_err());
        return;
    };
    let check = verify(&repaired).unwrap();
    assert_eq!(check.damage, [], "a recovered trace is damaged");
    assert_eq!(check.completeness, Completeness::Complete);
    assert_eq!((check.snapshots, check.rows), (report.snapshots, report.rows));
    let mut before = Found::default();
    StreamReader::new(trace).unwrap().visit(&mut before);
    let mut after = Found::default();
    let mut stream = StreamReader::new(repaired.as_slice()).unwrap();
    stream.visit(&mut after);
    let original = StreamReader::new(trace).unwrap();
    assert_eq!(stream.info(), original.info());
    if before.is_whole() {
        assert!(is_subsequence(&after.snapshots, &before.snapshots), "invented snapshots");
    }
    let added = usize::from(!report.damage.is_empty()) * report.damage.len().min(1001);
    let kept = after.records.len() - added;
    assert!(is_subsequence(&after.records[..kept], &before.records), "invented records");
    assert!(after.records[kept..].iter().all(|record| matches!(record, Record::Lost(_))));
}

fn is_subsequence<T: PartialEq>(part: &[T], whole: &[T]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|item| rest.any(|other| other == item))
}

/// Whatever can be decoded can be stored again and comes back the same.
fn rewrite(content: &Found) {
    if !content.is_whole() {
        return;
    }
    let mut trace = Vec::new();
    let info = info();
    let mut writer = TraceWriter::create(&mut trace, &info, WriterOptions::default()).unwrap();
    for snapshot in &content.snapshots {
        writer.snapshot(snapshot).unwrap();
    }
    for record in &content.records {
        writer.record(record).unwrap();
    }
    writer.finish().unwrap();
    let mut again = Found::default();
    StreamReader::new(trace.as_slice()).unwrap().visit(&mut again);
    let sorted = |snapshots: &[Snapshot]| {
        let mut snapshots = snapshots.to_vec();
        snapshots.sort_by_key(|snapshot| snapshot.target);
        snapshots
    };
    assert_eq!(sorted(&again.snapshots), sorted(&content.snapshots));
    assert_eq!(again.records, content.records);
}

fn info() -> RecordingInfo {
    let head = head();
    StreamReader::new(head.as_slice()).unwrap().info().clone()
}
