//! Files whose checksums match but whose content lies: bounded memory, an error, no panic.

use crate::common::{Content, info, small, write};
use damon_format::layout::{
    BlockEntry, BlockHeader, BlockKind, FileHeader, Footer, FrameHeader, MAX_REGIONS,
    MAX_WINDOW_LOG,
};
use damon_format::{
    Damage, DamageKind, IndexedReader, StreamReader, WriterOptions, recover, verify,
};
use proptest::prelude::*;
use std::process::Command;

/// What reading any file may add to a process, as `layout`'s limits allow: a stored and a decompressed
/// frame, the regions of one block twice, a zstd window, and what a record decodes to.
const CEILING: u64 = 64 << 20;

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
    out
}

/// Anything but snapshots.
fn section(kind: u64, body: &[u8]) -> Vec<u8> {
    let body = [varint(kind), body.to_vec()].concat();
    [varint((body.len() as u64) << 1), body].concat()
}

/// A section of snapshots with ages: target, scale, number of snapshots, bits.
fn snapshots(target: u64, probes: u64, count: u64, bits: &[u8]) -> Vec<u8> {
    let mut body = varint(target << 4 | 0b0101);
    for number in [5_000, 100_000, 20, 12, probes, count] {
        body.extend(varint(number));
    }
    body.extend(bits);
    [varint((body.len() as u64) << 1 | 1), body].concat()
}

/// Bits in the order in which they are read, as text, to bytes.
fn bits(text: &str) -> Vec<u8> {
    let bits: Vec<u8> = text.bytes().filter(|b| b"01".contains(b)).map(|b| b - b'0').collect();
    bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |sum, bit| sum << 1 | bit)).collect()
}

/// The Exp-Golomb code of a number.
fn golomb(value: u64, order: u32) -> String {
    let x = u128::from(value) + (1 << order);
    let low = (0..x.ilog2()).map(|bit| if x >> bit & 1 == 1 { '1' } else { '0' });
    "0".repeat((x.ilog2() - order) as usize) + "1" + &low.collect::<String>()
}

/// Start, duration and number of regions of a snapshot: the first two as zigzag differences.
fn head(start: u64, duration: u64, regions: u64) -> String {
    golomb(start, 6) + &golomb(duration, 6) + &golomb(regions << 1, 2)
}

/// One region of that many granules, counter and age as predicted.
fn granules(count: u64) -> String {
    format!("1111 00 1110 {}", golomb(count, 8))
}

/// The head of a good trace, then one data block with these frames, stored as they are.
fn trace_of_stored(frames: &[Vec<u8>]) -> Vec<u8> {
    let good = write(&[], WriterOptions::default());
    let index = IndexedReader::open(good.clone()).unwrap();
    assert!(index.blocks().is_empty());
    // An empty index is a block with a frame that has no payload.
    let head = good.len() - Footer::LEN - BlockHeader::LEN - 6;
    let mut trace = good[..head].to_vec();
    let block = BlockHeader {
        kind: BlockKind::DATA,
        optional: false,
        sequence: 1,
        start_ns: 5_000_000_000,
    };
    trace.extend(block.encode());
    for (number, payload) in (0..).zip(frames) {
        FrameHeader::for_payload(1, number, payload).encode(&mut trace);
        trace.extend(payload);
    }
    trace
}

fn trace_of(raw: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(MAX_WINDOW_LOG).unwrap();
    std::io::Write::write_all(&mut encoder, raw).unwrap();
    trace_of_stored(&[encoder.finish().unwrap()])
}

/// One snapshot of regions of one granule.
fn wide(target: u64, regions: usize) -> Vec<u8> {
    let text = head(0, 200, regions as u64) + &granules(1).repeat(regions);
    snapshots(target, 0, 1, &bits(&text))
}

fn hostile_files() -> Vec<(&'static str, Vec<u8>)> {
    let one = |text: &str| trace_of(&snapshots(0, 0, 1, &bits(text)));
    let bomb = vec![0; 1 << 28];
    let many_targets: Vec<u8> = (0..64).flat_map(|target| wide(target, MAX_REGIONS / 2)).collect();
    // Each target is wide once and empty ever after.
    let fading_targets: Vec<Vec<u8>> = (0..16)
        .map(|target| {
            let (heads, rows) = (head(0, 200, 100_000), granules(1).repeat(100_000));
            let second = golomb(0, 6) + &golomb(0, 6) + &golomb((100_000 << 1) - 1, 2);
            snapshots(target, 0, 2, &bits(&(heads + &second + &rows)))
        })
        .collect();
    let idle_targets: Vec<u8> = (0..100_000).flat_map(|target| wide(target, 0)).collect();
    let mut promised = trace_of(&[]);
    promised.extend([0xa0, 0xff, 0xff, 0xff, 1, 2, 3, 4]);
    let mut footer = trace_of(&[]);
    let index_offset = footer.len() as u64 - 30;
    footer.extend(Footer { index_offset, entries: u32::MAX }.encode());
    let mut outside = trace_of(&[]);
    outside.extend(Footer { index_offset: u64::MAX - 3, entries: 1 }.encode());
    // A frame header that asks for a window of 2 GiB, then an empty last block.
    let window = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00];
    let mut text = vec![11, 5];
    text.extend([0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    let mut mappings = vec![5, 0, 0];
    mappings.extend([0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    // Each head claims the bytes of all that follow.
    let mut nested = trace_of(&[]);
    for sequence in 2..20_000 {
        let kind = BlockKind::DATA;
        nested.extend(BlockHeader { kind, optional: false, sequence, start_ns: 0 }.encode());
        nested.extend([0xa0, 0xff, 0xff, 0xff, 1, 2, 3, 4]);
    }
    vec![
        ("frames in frames", nested),
        ("a frame that promises 16 MiB", promised),
        ("a decompression bomb", trace_of(&bomb)),
        ("a window of 2 GiB", trace_of_stored(&[window])),
        ("not zstd", trace_of_stored(&[vec![0x55; 40]])),
        ("a section longer than the frame", trace_of(&[0xff, 0xff, 0xff, 0xff, 0x0f, 7])),
        ("a huge number of snapshots", trace_of(&snapshots(0, 0, u64::MAX, &[0xff; 64]))),
        ("as many snapshots as bits", trace_of(&snapshots(0, 0, 1 << 20, &[0xff; 1 << 21]))),
        ("a huge number of regions", one(&(head(0, 200, 1 << 40) + &granules(1)))),
        ("more regions than allowed", trace_of(&wide(0, MAX_REGIONS + 1))),
        ("as many regions as allowed", trace_of(&wide(0, MAX_REGIONS))),
        ("too many regions over all targets", trace_of(&many_targets)),
        ("targets that were wide once", trace_of(&fading_targets.concat())),
        ("targets with very many probes", {
            let targets: Vec<Vec<u8>> =
                (0..200).map(|t| snapshots(t, (1 << 18) - 1, 1, &bits(&head(0, 200, 0)))).collect();
            trace_of(&targets.concat())
        }),
        ("too many targets", trace_of(&idle_targets)),
        ("a huge number of probes", trace_of(&snapshots(0, 1 << 40, 1, &[0xff; 8]))),
        ("probes times regions", {
            let text = head(0, 200, 60_000) + &granules(1).repeat(60_000);
            trace_of(&snapshots(0, 200, 1, &bits(&text)))
        }),
        ("a time that overflows", one(&head(u64::MAX - 1, u64::MAX - 1, 0))),
        ("a region that overflows", one(&(head(0, 200, 1) + &granules(u64::MAX)))),
        ("an empty region", one(&(head(0, 200, 1) + &granules(0)))),
        ("a run of regions that do not exist", one(&(head(0, 200, 9) + &"0".repeat(9)))),
        ("a parent that does not exist", one(&(head(0, 200, 1) + "1111 00 0 10"))),
        ("a parent beyond all numbers", {
            one(&(head(0, 200, 1) + "1111 00 0 11" + &golomb(u64::MAX, 0)))
        }),
        ("ten tenths of a tenth", one(&(head(0, 200, 1) + "1111 00 110 10 01010101"))),
        ("an age below zero", {
            let region = granules(1).replacen("00", "01", 1);
            one(&(head(0, 200, 1) + &region + &golomb(0, 2)))
        }),
        ("a counter beyond 32 bits", {
            let region = granules(1).replacen("00", "10", 1);
            one(&(head(0, 200, 1) + &region + &golomb(1 << 40, 1)))
        }),
        ("bits after the last snapshot", trace_of(&snapshots(0, 0, 0, &[0, 1]))),
        ("a text of 2^63 bytes", trace_of(&section(1, &text))),
        ("2^63 mappings", trace_of(&section(1, &mappings))),
        ("an unknown section that may not be skipped", trace_of(&section(2, &[]))),
        ("an index of 2^32 entries", footer),
        ("an index outside the file", outside),
    ]
}

fn read_every_way(trace: &[u8]) {
    let mut content = Counter::default();
    if let Ok(mut reader) = StreamReader::new(trace) {
        reader.visit(&mut content);
    }
    if let Ok(reader) = IndexedReader::open(trace.to_vec()) {
        for block in reader.blocks() {
            let _damage = reader.visit_block(block, &mut content);
        }
    }
    drop(verify(&trace.to_vec()));
    drop(recover(trace, std::io::sink()));
}

#[derive(Default)]
struct Counter(u64);

impl damon_format::Visitor for Counter {
    fn snapshot(&mut self, snapshot: &damon_format::SnapshotView<'_>) {
        self.0 += snapshot.len() as u64;
    }
}

/// Runs in a process of its own, whose address space the kernel limits; prints its peak memory.
#[test]
#[ignore = "run by hostile_files_stay_below_the_memory_ceiling in a child process"]
fn read_hostile_files() {
    let folder = std::env::var_os("HOSTILE_FILES").unwrap();
    let before = peak_memory();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = std::fs::File::open(entry.unwrap().path()).unwrap();
        if let Ok(reader) = IndexedReader::open(&file) {
            for block in reader.blocks() {
                let _damage = reader.visit_block(block, &mut Counter::default());
            }
        }
        drop(verify(&file));
        drop(recover(&file, std::io::sink()));
    }
    println!("peak {}", peak_memory() - before);
}

fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn hostile_files_stay_below_the_memory_ceiling() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (_, trace)) in hostile_files().into_iter().enumerate() {
        std::fs::write(folder.path().join(number.to_string()), trace).unwrap();
    }
    // 2 GiB of address space: an allocation by a claimed length fails at once.
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 2097152; exec \"$0\" --exact \"$1\" --ignored --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg("hostile::read_hostile_files")
        .env("HOSTILE_FILES", folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let peak = text.lines().find_map(|line| line.split_once("peak ")).unwrap().1;
    let peak: u64 = peak.trim().parse().unwrap();
    assert!(peak > 1 << 20 && peak < CEILING, "reading hostile files took {peak} bytes");
}

#[test]
fn each_lie_is_reported_as_damage() {
    for (name, trace) in hostile_files() {
        let report = verify(&trace).unwrap();
        let honest = match name {
            "as many regions as allowed" => Some(MAX_REGIONS as u64),
            "targets that were wide once" => Some(16 * 100_000),
            _ => None,
        };
        assert_eq!(report.damage.is_empty(), honest.is_some(), "{name}: {:?}", report.damage);
        if let Some(rows) = honest {
            assert_eq!(report.rows, rows, "{name}");
        }
    }
}

#[test]
fn unknown_optional_parts_are_skipped() {
    let known = section(1, &[[11].as_slice(), &varint(9), &[2, b'h', b'i']].concat());
    let raw = [section(64, b"from the future"), section(1, &[77, 1, 2, 3]), known].concat();
    let mut trace = trace_of(&raw);
    let block = BlockHeader { kind: BlockKind(9), optional: true, sequence: 2, start_ns: 0 };
    trace.extend(block.encode());
    FrameHeader::for_payload(2, 0, b"from the future").encode(&mut trace);
    trace.extend(b"from the future");
    let mut content = Content::default();
    let mut reader = StreamReader::new(trace.as_slice()).unwrap();
    reader.visit(&mut content);
    assert_eq!(reader.damage(), []);
    assert_eq!(content.records.len(), 1);
    assert_eq!(content.records[0].time_ns(), 9);
}

/// A trace of one block, which holds nothing that this version understands, and an index that says this of it.
fn listed(minor: u16, change: impl FnOnce(&mut BlockEntry)) -> Vec<u8> {
    let mut trace = trace_of(&section(64, b"from the future"));
    let header = FileHeader::decode(trace.first_chunk().unwrap()).unwrap();
    trace.splice(..FileHeader::LEN, FileHeader { minor, ..header }.encode());
    let offset = (trace_of_stored(&[]).len() - BlockHeader::LEN) as u64;
    let index_offset = trace.len() as u64;
    let mut entry = BlockEntry {
        offset,
        stored_len: index_offset - offset,
        start_ns: 5,
        end_ns: 6,
        rows: 0,
        snapshots: 0,
        records: 0,
        sequence: 1,
        lasting: Some(0),
    };
    change(&mut entry);
    let kind = BlockKind::INDEX;
    trace.extend(BlockHeader { kind, optional: false, sequence: 2, start_ns: 0 }.encode());
    FrameHeader::for_payload(2, 0, &entry.encode()).encode(&mut trace);
    trace.extend(entry.encode());
    trace.extend(Footer { index_offset, entries: 1 }.encode());
    trace
}

#[test]
fn an_index_must_not_count_what_is_not_there() {
    let lies: [fn(&mut BlockEntry); 4] = [
        |entry| entry.rows = 1,
        |entry| entry.snapshots = 1 << 31,
        |entry| entry.records = 1,
        |entry| entry.lasting = Some(1),
    ];
    assert_eq!(verify(&listed(1, |_| {})).unwrap().damage, [], "it may be listed");
    for lie in lies {
        let damage = verify(&listed(1, lie)).unwrap().damage;
        assert!(
            matches!(damage.as_slice(), [Damage { kind: DamageKind::Index(_), .. }]),
            "{damage:?}"
        );
        let later = verify(&listed(2, lie)).unwrap().damage;
        assert_eq!(later, [], "a later version knows what it counts");
    }
}

#[test]
fn an_unknown_required_block_is_refused_with_a_sentence() {
    let mut trace = trace_of(&[]);
    let block = BlockHeader { kind: BlockKind(9), optional: false, sequence: 2, start_ns: 0 };
    trace.extend(block.encode());
    let report = verify(&trace).unwrap();
    let text = report.damage[0].to_string();
    assert!(text.contains("block kind 9") && text.contains("later version"), "{text}");
}

#[test]
fn a_hostile_description_is_an_error() {
    let mut trace = FileHeader { major: 1, minor: 0, identity: 0 }.encode().to_vec();
    let block = BlockHeader { kind: BlockKind::INFO, optional: false, sequence: 0, start_ns: 0 };
    trace.extend(block.encode());
    let payload = [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    FrameHeader::for_payload(0, 0, &payload).encode(&mut trace);
    trace.extend(payload);
    assert!(IndexedReader::open(trace).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Random bytes under valid checksums reach the innermost decoders.
    #[test]
    fn arbitrary_sections(raw in prop::collection::vec(any::<u8>(), 0..300)) {
        read_every_way(&trace_of(&raw));
    }

    #[test]
    fn arbitrary_bits(count in 0_u64..5, raw in prop::collection::vec(any::<u8>(), 0..60)) {
        read_every_way(&trace_of(&snapshots(0, 1, count, &raw)));
    }

    #[test]
    fn arbitrary_changes_to_a_trace(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut trace = write(&small(), WriterOptions::default());
        for (at, byte) in changes {
            let at = at.index(trace.len());
            trace[at] = byte;
        }
        trace.truncate(cut.index(trace.len()) + 1);
        read_every_way(&trace);
    }
}

#[test]
fn the_description_survives_in_full() {
    let trace = write(&[], WriterOptions::default());
    assert_eq!(IndexedReader::open(trace).unwrap().info(), &info());
}
