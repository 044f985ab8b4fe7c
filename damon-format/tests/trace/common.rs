//! Traces for the integration tests.

use damon_format::layout::{BlockHeader, BlockKind, FileHeader, Footer, FrameHeader};
use damon_format::{
    AccessKind, Attrs, Backend, ClockAnchor, Granularity, IndexedReader, ReadAt, Record,
    RecordingInfo, Region, Sampling, Snapshot, SnapshotView, StreamReader, TargetId, TraceWriter,
    Visitor, WriterOptions,
};
use proptest::prelude::*;
use zstd::stream::raw::{InBuffer, Operation as _, OutBuffer};

/// A description with every field set.
pub fn info() -> RecordingInfo {
    RecordingInfo {
        tool: "damon-record".into(),
        tool_version: "0.1.0".into(),
        host: "host".into(),
        kernel: "6.12.0".into(),
        arch: "x86_64".into(),
        page_size: 4096,
        clock: ClockAnchor { monotonic_ns: 5_000_000_000, realtime_ns: 1_700_000_000_000_000_000 },
        command_line: vec!["damon-record".into(), "--".into(), "true".into()],
        backend: Backend {
            name: "writes".into(),
            access: AccessKind::Write,
            granularity: Granularity::Page,
            exact: false,
            reason: "a test".into(),
        },
        attrs: Attrs {
            sample_us: 5_000,
            aggr_us: 100_000,
            update_us: 1_000_000,
            min_nr_regions: 10,
            max_nr_regions: 1000,
        },
    }
}

/// Everything a trace holds, in the order in which it was handed out.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub struct Content {
    pub snapshots: Vec<Snapshot>,
    pub records: Vec<Record>,
}

impl Visitor for Content {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.snapshots.push(snapshot.to_snapshot());
    }

    fn record(&mut self, record: Record) {
        self.records.push(record);
    }
}

impl Content {
    /// Snapshots by target; the order inside a target is guaranteed, that between targets is not.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.snapshots.sort_by_key(|s| s.target);
        self
    }
}

pub fn write(items: &[Item], options: WriterOptions) -> Vec<u8> {
    let mut writer = TraceWriter::create(Vec::new(), &info(), options).unwrap();
    for item in items {
        match item {
            Item::Snapshot(snapshot) => writer.snapshot(snapshot).unwrap(),
            Item::Record(record) => writer.record(record).unwrap(),
        }
    }
    writer.finish().unwrap()
}

pub fn read_stream(bytes: &[u8]) -> (Content, Vec<damon_format::Damage>, bool) {
    let mut content = Content::default();
    let mut reader = StreamReader::new(bytes).unwrap();
    reader.visit(&mut content);
    let finished = reader.is_finished();
    (content, reader.damage().to_vec(), finished)
}

pub fn read_indexed(source: impl ReadAt) -> Content {
    let reader = IndexedReader::open(source).unwrap();
    let mut content = Content::default();
    for block in reader.blocks() {
        reader.visit_block(block, &mut content).unwrap();
    }
    content
}

/// A visitor that does not look at ages.
#[derive(Default)]
struct Ageless(Content);

impl Visitor for Ageless {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.0.snapshot(snapshot);
    }

    fn wants_ages(&self) -> bool {
        false
    }

    fn record(&mut self, record: Record) {
        self.0.record(record);
    }
}

/// What [`read_indexed`] finds, for somebody who does not look at ages.
pub fn read_without_ages(source: impl ReadAt) -> Content {
    let reader = IndexedReader::open(source).unwrap();
    let mut content = Ageless::default();
    for block in reader.blocks() {
        reader.visit_block(block, &mut content).unwrap();
    }
    content.0
}

impl Content {
    /// The same with all ages 0.
    #[must_use]
    pub fn without_ages(mut self) -> Self {
        let regions = self.snapshots.iter_mut().flat_map(|snapshot| &mut snapshot.regions);
        regions.for_each(|region| region.age = 0);
        self
    }
}

#[derive(Debug, Clone)]
pub enum Item {
    Snapshot(Snapshot),
    Record(Record),
}

pub fn content_of(items: &[Item]) -> Content {
    let mut content = Content::default();
    for item in items {
        match item.clone() {
            Item::Snapshot(snapshot) => content.snapshots.push(snapshot),
            Item::Record(record) => content.records.push(record),
        }
    }
    content
}

/// A few snapshots that resemble DAMON's, with cuts, merges, ages and a gap.
pub fn small() -> Vec<Item> {
    let sampling = Sampling::from_intervals(5_000, 100_000);
    let page = 4096;
    let region = |start: u64, end: u64, nr_accesses, age| Region {
        start: start * page,
        end: end * page,
        nr_accesses,
        age,
    };
    let snapshot = |number: u64, regions| {
        let start = 5_000_000_000 + number * 100_123_000;
        Item::Snapshot(Snapshot::new(TargetId(0), start, start + 100_123_000, sampling, regions))
    };
    let note = |time_ns, text: &str| {
        Item::Record(Record::Note(damon_format::Note { time_ns, text: text.into() }))
    };
    vec![
        note(5_000_000_000, "begin"),
        snapshot(0, vec![region(10, 110, 0, 1), region(110, 200, 20, 1), region(500, 600, 3, 0)]),
        snapshot(1, vec![region(10, 110, 0, 2), region(110, 200, 20, 2), region(500, 600, 4, 0)]),
        snapshot(2, vec![region(10, 40, 0, 3), region(40, 200, 12, 0), region(500, 510, 4, 1)]),
        snapshot(3, vec![]),
        snapshot(4, vec![region(1, 2, 1, 1)]),
        note(5_600_000_000, "end"),
    ]
}

/// Arbitrary but valid snapshots of one target; regions need not be page aligned.
pub fn regions() -> impl Strategy<Value = Vec<Region>> {
    let step = prop_oneof![Just(0), 1_u64..5, Just(4096), 1_u64..(1 << 40)];
    let size = prop_oneof![1_u64..4, (1_u64..2000).prop_map(|p| p * 4096), 1_u64..(1 << 40)];
    prop::collection::vec((step, size, any::<u32>(), any::<u32>()), 0..30).prop_map(|rows| {
        let mut position = 0_u64;
        rows.into_iter()
            .map(|(step, size, nr_accesses, age)| {
                let start = position + step;
                position = start + size;
                Region { start, end: position, nr_accesses, age }
            })
            .collect()
    })
}

/// A block by the layout alone; its checksums have been tested by others.
pub struct StoredBlock {
    pub header: BlockHeader,
    pub frames: Vec<Vec<u8>>,
}

impl StoredBlock {
    /// What each frame of a data block holds, decompressed.
    pub fn raw(&self) -> Vec<Vec<u8>> {
        if self.header.kind != BlockKind::DATA {
            return Vec::new();
        }
        let mut decoder = zstd::stream::raw::Decoder::new().unwrap();
        self.frames
            .iter()
            .map(|frame| {
                let mut raw = Vec::with_capacity(1 << 20);
                let mut input = InBuffer::around(frame.as_slice());
                let mut output = OutBuffer::around(&mut raw);
                decoder.run(&mut input, &mut output).unwrap();
                assert_eq!(input.pos(), frame.len());
                raw
            })
            .collect()
    }
}

/// The blocks of a whole trace.
pub fn blocks_of(trace: &[u8]) -> Vec<StoredBlock> {
    let mut blocks: Vec<StoredBlock> = Vec::new();
    let mut at = FileHeader::LEN;
    while at < trace.len() - Footer::LEN {
        if let Some(header) = BlockHeader::decode(&trace[at..]) {
            blocks.push(StoredBlock { header, frames: Vec::new() });
            at += BlockHeader::LEN;
            continue;
        }
        let frame = FrameHeader::decode(&trace[at..]).unwrap();
        at += frame.stored_len();
        let payload = trace[at..at + frame.length as usize].to_vec();
        at += payload.len();
        blocks.last_mut().unwrap().frames.push(payload);
    }
    blocks
}
