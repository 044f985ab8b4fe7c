//! `docs/FORMAT.md` tells the truth: its example decodes to what it says, and its numbers are the constants.

use crate::common::{Content, StoredBlock, blocks_of, read_indexed, read_stream};
use crate::fuzz_bodies::crc32;
use damon_format::layout::{
    BlockEntry, BlockHeader, BlockKind, FileHeader, Footer, MAJOR, MAX_FRAME_RAW, MAX_FRAME_STORED,
    MAX_PROBES, MAX_RECORD, MAX_REGIONS, MAX_WINDOW_LOG, MINOR,
};
use damon_format::{
    AccessKind, Attrs, Backend, ClockAnchor, Completeness, Granularity, IndexedReader, Note,
    Record, RecordingInfo, Region, Sampling, Snapshot, TargetId, TraceWriter, WriterOptions,
    verify,
};
use std::path::Path;

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/FORMAT.md");
    std::fs::read_to_string(path).unwrap()
}

fn description() -> RecordingInfo {
    RecordingInfo {
        tool: "demo".into(),
        tool_version: "1".into(),
        host: "h".into(),
        kernel: "6.12".into(),
        arch: "x86_64".into(),
        page_size: 4096,
        clock: ClockAnchor { monotonic_ns: 1_000_000_000, realtime_ns: 1_700_000_000_000_000_000 },
        command_line: vec!["demo".into()],
        backend: Backend {
            name: "damon".into(),
            access: AccessKind::ReadWrite,
            granularity: Granularity::Region,
            exact: false,
            reason: "example".into(),
        },
        attrs: Attrs {
            sample_us: 5_000,
            aggr_us: 100_000,
            update_us: 1_000_000,
            min_nr_regions: 10,
            max_nr_regions: 1_000,
        },
    }
}

fn content() -> Content {
    let sampling = Sampling { sample_us: 5_000, aggr_us: 100_000, max_nr_accesses: 20 };
    let region = |start, end, nr_accesses, age| Region { start, end, nr_accesses, age };
    let snapshot = |number: u64, regions| {
        let start = 1_000_000_000 + number * 100_000_000;
        Snapshot::new(TargetId(0), start, start + 100_000_000, sampling, regions)
    };
    Content {
        snapshots: vec![
            snapshot(0, vec![region(0x1_0000, 0x1_a000, 20, 1), region(0x1_a000, 0x7_e000, 0, 0)]),
            snapshot(
                1,
                vec![
                    region(0x1_0000, 0x1_a000, 20, 2),
                    region(0x1_a000, 0x3_8000, 5, 0),
                    region(0x3_8000, 0x7_e000, 0, 1),
                ],
            ),
            snapshot(2, vec![region(0x1_0000, 0x1_a000, 19, 3), region(0x1_a000, 0x7_e000, 0, 4)]),
        ],
        records: vec![Record::Note(Note { time_ns: 1_300_000_000, text: "hi".into() })],
    }
}

fn written() -> Vec<u8> {
    let mut writer =
        TraceWriter::create(Vec::new(), &description(), WriterOptions::default()).unwrap();
    for snapshot in &content().snapshots {
        writer.snapshot(snapshot).unwrap();
    }
    for record in &content().records {
        writer.record(record).unwrap();
    }
    writer.finish().unwrap()
}

/// The bytes of all blocks fenced as `hex`: an offset, bytes, and after a `;` words.
fn dump(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```hex";
            continue;
        }
        if !inside {
            continue;
        }
        let data = line.split(';').next().unwrap();
        let mut words = data.split_whitespace();
        let Some(offset) = words.next() else { continue };
        let offset = usize::from_str_radix(offset, 16).unwrap();
        assert_eq!(offset, bytes.len(), "the offset of: {line}");
        bytes.extend(words.map(|word| u8::from_str_radix(word, 16).unwrap()));
    }
    bytes
}

#[test]
fn the_example_decodes_to_what_the_document_says() {
    let trace = dump(&document());
    assert!(trace.len() > 300, "the example is missing");
    let (stream, damage, finished) = read_stream(&trace);
    assert!(damage.is_empty() && finished);
    assert_eq!(stream, content());
    assert_eq!(read_indexed(trace.clone()), content());
    let reader = IndexedReader::open(trace.clone()).unwrap();
    assert_eq!(reader.info(), &description());
    assert_eq!(reader.completeness(), Completeness::Complete);
    assert_eq!(verify(&trace).unwrap().damage, []);
}

/// The compressed bytes may differ between versions of zstd, and with them the lengths in index and footer;
/// everything else must be the writer's bytes.
#[test]
fn the_example_is_what_the_writer_writes() {
    let (told, real) = (dump(&document()), written());
    assert_eq!(told[..FileHeader::LEN], real[..FileHeader::LEN]);
    let (told_blocks, real_blocks) = (blocks_of(&told), blocks_of(&real));
    assert_eq!(told_blocks.len(), real_blocks.len());
    for (told, real) in told_blocks.iter().zip(&real_blocks) {
        assert_eq!(told.header, real.header);
        match told.header.kind {
            BlockKind::DATA => assert_eq!(told.raw(), real.raw()),
            BlockKind::INDEX => assert_eq!(entries(told), entries(real)),
            _ => assert_eq!(told.frames, real.frames),
        }
    }
    let footer = |trace: &[u8]| Footer::decode(&trace[trace.len() - Footer::LEN..]).unwrap();
    assert_eq!(footer(&told).entries, footer(&real).entries);
}

/// Index entries without what depends on the compressor.
fn entries(block: &StoredBlock) -> Vec<BlockEntry> {
    let entries = block.frames.iter().flat_map(|frame| frame.chunks(BlockEntry::LEN));
    entries
        .map(|bytes| BlockEntry { stored_len: 0, ..BlockEntry::decode(bytes).unwrap() })
        .collect()
}

/// The table that takes the section apart has each bit once, in order, where it says.
#[test]
fn the_bits_of_the_example_are_those_of_the_table() {
    let text = document();
    let (_, table) = text.split_once("| from | bits | code | means |").unwrap();
    let mut told = String::new();
    for line in table.lines().skip(2) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells[1].parse(), Ok(told.len()), "the position of: {line}");
        told.extend(cells[2].chars().filter(|bit| "01".contains(*bit)));
    }
    let section = &dump(&text)[0xc9..0xdf];
    let bits = section.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1));
    let real: String = bits.map(|bit| if bit == 1 { '1' } else { '0' }).collect();
    assert_eq!(told, real);
    let mut plain = text.lines().skip_while(|line| !line.starts_with("00000000 00010000"));
    let plain: String = plain.by_ref().take(3).collect();
    assert_eq!(plain.replace(' ', ""), real);
}

#[test]
fn the_numbers_in_the_document_are_the_constants() {
    let text = document();
    let limits = [
        ("major version", u64::from(MAJOR)),
        ("minor version", u64::from(MINOR)),
        ("file header", FileHeader::LEN as u64),
        ("block header", BlockHeader::LEN as u64),
        ("index entry", BlockEntry::LEN as u64),
        ("footer", Footer::LEN as u64),
        ("stored frame", u64::from(MAX_FRAME_STORED)),
        ("decompressed frame", MAX_FRAME_RAW as u64),
        ("regions", MAX_REGIONS as u64),
        ("probe columns", MAX_PROBES as u64),
        ("zstd window", 1 << MAX_WINDOW_LOG),
        ("record", MAX_RECORD as u64),
    ];
    for (name, value) in limits {
        let row = format!("| {name} | {value} |");
        assert!(text.contains(&row), "docs/FORMAT.md lacks the row: {row}");
    }
}

#[test]
fn the_checksum_of_the_document_is_the_one_of_the_format() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    assert!(document().contains("0xcbf43926"));
    let header = FileHeader { major: 1, minor: 0, identity: 9 }.encode();
    assert_eq!(header[28..], crc32(&header[..28]).to_le_bytes());
}

#[test]
#[ignore = "prints the bytes from which the document's example is annotated"]
fn print_the_example() {
    for (number, line) in written().chunks(16).enumerate() {
        println!("{:04x}  {line:02x?}", number * 16);
    }
    for block in blocks_of(&written()) {
        println!("{:?} {:02x?} raw {:02x?}", block.header, block.frames, block.raw());
    }
}
