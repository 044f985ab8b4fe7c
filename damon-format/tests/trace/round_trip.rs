//! What is written is what is read.

use crate::common::{
    Content, Item, content_of, read_indexed, read_stream, read_without_ages, regions, small, write,
};
use damon_format::{
    Completeness, EffectiveQuota, IndexedReader, KdamondCpu, Mapping, MappingsChanged, Note, Part,
    Permissions, ProbeColumn, ProbeColumns, Record, Region, Sampling, SchemeApplied,
    SchemeInstalled, SchemeStats, Snapshot, SystemMemory, TargetId, TraceWriter, WriterOptions,
    verify,
};
use proptest::prelude::*;

fn options(flush_ns: u64, block_rows: u64) -> WriterOptions {
    let mut options = WriterOptions::default();
    options.flush_interval_ns = flush_ns;
    options.block_rows = block_rows;
    options
}

fn snapshots() -> impl Strategy<Value = Vec<Item>> {
    let one = (0_u32..3, regions(), any::<bool>(), 0_usize..3, 1_u64..2_000_000_000, 0..3_u8);
    prop::collection::vec(one, 0..20).prop_map(|list| {
        let mut clock = 5_000_000_000_u64;
        list.into_iter()
            .map(|(target, regions, has_ages, probes, step, scale)| {
                let start_ns = clock;
                clock += step;
                if scale == 2 {
                    let text = format!("{target} at {clock}");
                    return Item::Record(Record::Note(Note { time_ns: clock, text }));
                }
                let sampling = Sampling::from_intervals(5_000, 100_000 << scale);
                let regions: Vec<Region> = regions
                    .into_iter()
                    .map(|r| Region { age: if has_ages { r.age } else { 0 }, ..r })
                    .collect();
                let probes = vec![regions.iter().map(|r| r.nr_accesses / 2).collect(); probes];
                Item::Snapshot(Snapshot {
                    target: TargetId(target),
                    start_ns,
                    end_ns: clock,
                    sampling,
                    has_ages,
                    regions,
                    probes,
                })
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn any_snapshots(items in snapshots(), flush in 1_u64..5_000_000_000, rows in 1_u64..200) {
        let bytes = write(&items, options(flush, rows));
        let (stream, damage, finished) = read_stream(&bytes);
        prop_assert!(damage.is_empty() && finished);
        prop_assert_eq!(&stream.clone().sorted(), &content_of(&items).sorted());
        prop_assert_eq!(&read_indexed(bytes.as_slice().to_vec()), &stream);
        prop_assert_eq!(read_without_ages(bytes.as_slice().to_vec()), stream.without_ages());
        let report = verify(&bytes).unwrap();
        prop_assert_eq!(report.completeness, Completeness::Complete);
        prop_assert_eq!(report.damage, vec![]);
    }

    /// Cuts at tenths and merges, as DAMON makes them, take the short operations; they must be as exact as
    /// the general ones.
    #[test]
    fn damon_like_changes(
        cuts in prop::collection::vec((0_usize..40, 1_u64..10, 1_u64..10), 1..60),
        merges in prop::collection::vec((0_usize..40, 1_usize..30), 1..60),
        shift in 0_u32..14,
    ) {
        let granule = 1_u64 << shift;
        let mut regions = vec![Region {
            start: granule * 3,
            end: granule * 70_003,
            nr_accesses: 5,
            age: 0,
        }];
        let mut items = Vec::new();
        for (number, (cut, merge)) in cuts.iter().zip(merges.iter().cycle()).enumerate() {
            split(&mut regions, cut.0, cut.1, granule);
            split(&mut regions, cut.0, cut.2, granule);
            let start = merge.0.min(regions.len() - 1);
            let end = (start + merge.1).min(regions.len());
            if number % 3 == 0 {
                regions[start].end = regions[end - 1].end;
                regions.drain(start + 1..end);
            }
            for (index, region) in regions.iter_mut().enumerate() {
                region.nr_accesses = (region.nr_accesses + u32::try_from(index % 3).unwrap()) % 21;
                region.age += 1;
            }
            let start_ns = 5_000_000_000 + number as u64 * 100_000_000;
            let sampling = Sampling::from_intervals(5_000, 100_000);
            let end_ns = start_ns + 100_000_000;
            let target = TargetId(0);
            let snapshot = Snapshot::new(target, start_ns, end_ns, sampling, regions.clone());
            items.push(Item::Snapshot(snapshot));
        }
        let mut info = crate::common::info();
        info.page_size = u32::try_from(granule).unwrap();
        let mut writer =
            TraceWriter::create(Vec::new(), &info, WriterOptions::default()).unwrap();
        for item in &items {
            let Item::Snapshot(snapshot) = item else { continue };
            writer.snapshot(snapshot).unwrap();
        }
        let bytes = writer.finish().unwrap();
        prop_assert_eq!(read_without_ages(bytes.clone()), content_of(&items).without_ages());
        prop_assert_eq!(read_indexed(bytes), content_of(&items));
    }
}

fn split(regions: &mut Vec<Region>, index: usize, tenths: u64, granule: u64) {
    let index = index % regions.len();
    let region = regions[index];
    let left = region.size() * tenths / 10 / granule * granule;
    if left > 0 && left < region.size() {
        regions[index].end = region.start + left;
        regions.insert(index + 1, Region { start: region.start + left, ..region });
    }
}

#[test]
fn a_trace_without_data_is_complete() {
    let bytes = write(&[], WriterOptions::default());
    let reader = IndexedReader::open(bytes.clone()).unwrap();
    assert_eq!(reader.completeness(), Completeness::Complete);
    assert_eq!(reader.span(), None);
    assert_eq!(read_stream(&bytes).0, Content::default());
}

#[test]
fn every_second_is_flushed() {
    let mut writer =
        TraceWriter::create(Vec::new(), &crate::common::info(), WriterOptions::default()).unwrap();
    let head = writer.bytes_written();
    let mut last = 0;
    for number in 0..100_u64 {
        let start = 5_000_000_000 + number * 100_000_000;
        let region = Region { start: 0, end: 4096, nr_accesses: 1, age: 0 };
        let sampling = Sampling::from_intervals(5_000, 100_000);
        let end = start + 100_000_000;
        writer.snapshot(&Snapshot::new(TargetId(0), start, end, sampling, vec![region])).unwrap();
        if writer.bytes_written() > last.max(head) {
            last = writer.bytes_written();
            assert_eq!((number + 1) % 10, 0, "flushed after snapshot {number}");
        }
    }
    assert!(last > head);
}

#[test]
fn blocks_can_be_chosen_by_time() {
    let bytes = write(&small(), options(1, 3));
    let reader = IndexedReader::open(bytes).unwrap();
    assert!(reader.blocks().len() >= 3);
    let (from, to) = reader.span().unwrap();
    assert_eq!((from, to), (5_000_000_000, 5_600_000_000));
    let chosen: Vec<_> = reader.blocks_in(5_250_000_000..5_300_000_000).collect();
    assert!(!chosen.is_empty() && chosen.len() < reader.blocks().len());
    let mut content = Content::default();
    for block in chosen {
        reader.visit_block(block, &mut content).unwrap();
    }
    assert!(content.snapshots.iter().any(|s| s.start_ns == 5_200_246_000));
    assert_eq!(reader.blocks_in(9_000_000_000..10_000_000_000).count(), 0);
}

#[test]
fn invalid_snapshots_are_refused_and_change_nothing() {
    let mut writer =
        TraceWriter::create(Vec::new(), &crate::common::info(), WriterOptions::default()).unwrap();
    let sampling = Sampling::from_intervals(5_000, 100_000);
    let region = |start, end| Region { start, end, nr_accesses: 0, age: 0 };
    let good = Snapshot::new(TargetId(0), 10, 20, sampling, vec![region(0, 1)]);
    writer.snapshot(&good).unwrap();
    let none = Sampling { max_nr_accesses: 0, ..sampling };
    for bad in [
        Snapshot { end_ns: 5, ..good.clone() },
        Snapshot { sampling: none, ..good.clone() },
        Snapshot { regions: vec![region(5, 5)], ..good.clone() },
        Snapshot { regions: vec![region(5, 9), region(8, 10)], ..good.clone() },
        Snapshot { regions: vec![region(5, 9), region(1, 2)], ..good.clone() },
        Snapshot { probes: vec![vec![1, 2]], ..good.clone() },
        Snapshot { regions: (0..1 << 19).map(|i| region(i, i + 1)).collect(), ..good.clone() },
    ] {
        assert!(writer.snapshot(&bad).is_err());
    }
    let bytes = writer.finish().unwrap();
    assert_eq!(read_indexed(bytes).snapshots, vec![good]);
}

#[test]
fn ages_of_a_snapshot_without_ages_do_not_leak_into_predictions() {
    let sampling = Sampling::from_intervals(5_000, 100_000);
    let region = |age| vec![Region { start: 0, end: 4096, nr_accesses: 3, age }];
    let blind =
        Snapshot { has_ages: false, ..Snapshot::new(TargetId(0), 10, 20, sampling, region(77)) };
    let seeing = Snapshot::new(TargetId(0), 20, 30, sampling, region(5));
    let items = [Item::Snapshot(blind), Item::Snapshot(seeing)];
    let content = read_indexed(write(&items, WriterOptions::default()));
    assert_eq!(content.snapshots[0].regions, region(0));
    assert_eq!(content.snapshots[1].regions, region(5));
}

#[test]
fn more_mappings_than_a_record_holds_become_several_records() {
    let mapping = |number: u64| Mapping {
        start: number << 12,
        end: (number + 1) << 12,
        permissions: Permissions::default(),
        offset: 0,
        inode: 0,
        name: String::new(),
    };
    let added: Vec<Mapping> = (0..100_000).map(mapping).collect();
    let removed: Vec<u64> = (0..50_000).collect();
    let all = MappingsChanged {
        target: TargetId(0),
        time_ns: 9,
        removed: removed.clone(),
        added: added.clone(),
    };
    let items = [Item::Record(Record::MappingsChanged(all))];
    let content = read_indexed(write(&items, WriterOptions::default()));
    let mut read =
        MappingsChanged { target: TargetId(0), time_ns: 9, removed: Vec::new(), added: Vec::new() };
    for record in content.records {
        let Record::MappingsChanged(part) = record else { panic!("another record") };
        assert!(read.added.is_empty() || part.removed.is_empty(), "removed after adding");
        read.removed.extend(part.removed);
        read.added.extend(part.added);
    }
    assert_eq!((read.removed, read.added), (removed, added));
}

#[test]
fn a_record_that_no_reader_would_accept_is_refused_and_changes_nothing() {
    let mut writer =
        TraceWriter::create(Vec::new(), &crate::common::info(), WriterOptions::default()).unwrap();
    let note = |text: String| Record::Note(Note { time_ns: 1, text });
    writer.record(&note("before".into())).unwrap();
    assert!(writer.record(&note("x".repeat(1 << 22))).is_err());
    let removed = vec![0; 1 << 20];
    let lies = MappingsChanged { target: TargetId(0), time_ns: 1, removed, added: Vec::new() };
    assert!(writer.record(&Record::MappingsChanged(lies)).is_err());
    let content = read_indexed(writer.finish().unwrap());
    assert_eq!(content.records, [note("before".into())]);
}

/// Every kind of record that came with format version 1.1, optional fields both ways.
#[test]
fn records_of_version_1_1_survive() {
    let (time_ns, target) = (5, TargetId(3));
    let region = Region { start: 0x1000, end: 1 << 40, nr_accesses: 7, age: 300 };
    let stats = SchemeStats {
        time_ns,
        scheme: 1,
        nr_tried: 2,
        sz_tried: 3 << 33,
        nr_applied: 4,
        sz_applied: 5,
        qt_exceeds: 6,
        sz_ops_filter_passed: Some(7 << 33),
        nr_snapshots: Some(8),
    };
    let records = [
        Record::SchemeStats(stats),
        Record::SchemeStats(SchemeStats {
            sz_ops_filter_passed: None,
            nr_snapshots: None,
            ..stats
        }),
        Record::SystemMemory(SystemMemory {
            time_ns,
            total: 9 << 30,
            free: 1,
            available: 2,
            swap_total: 3,
            swap_free: 4,
        }),
        Record::KdamondCpu(KdamondCpu { time_ns, thread: 77, cpu_us: 1 << 40 }),
        Record::SchemeInstalled(SchemeInstalled {
            time_ns,
            scheme: 1,
            json: r#"{"action": "pageout"}"#.into(),
            by: "kernel".into(),
        }),
        Record::SchemeApplied(SchemeApplied {
            time_ns,
            scheme: 1,
            target,
            regions: vec![region, region],
        }),
        Record::Part(Part {
            time_ns,
            recording: u64::MAX,
            number: 3,
            first_snapshot: 1 << 40,
            repeated: 251,
        }),
        Record::EffectiveQuota(EffectiveQuota { time_ns, scheme: 1, bytes: 1 << 27 }),
        Record::ProbeColumns(ProbeColumns {
            time_ns,
            target: TargetId(300),
            columns: vec![
                ProbeColumn { name: ProbeColumn::HITS.into(), unit: 1 },
                ProbeColumn { name: ProbeColumn::PASSED.into(), unit: 4096 },
            ],
        }),
    ];
    let items: Vec<Item> = records.iter().cloned().map(Item::Record).collect();
    let (read, damage, finished) = read_stream(&write(&items, WriterOptions::default()));
    assert!(damage.is_empty() && finished);
    assert_eq!(read.records, records);
}

fn all_in(bytes: &[u8]) -> Content {
    let (content, damage, finished) = read_stream(bytes);
    assert!(damage.is_empty() && finished, "{damage:?}");
    assert_eq!(verify(&bytes.to_vec()).unwrap().damage, vec![]);
    content
}

proptest! {
    /// Whoever keeps what is pending loses and doubles nothing when a trace is full, and no trace is larger
    /// than it may be.
    #[test]
    fn a_limit_is_kept_and_what_does_not_fit_is_told(
        items in snapshots(),
        flush in 1_u64..3_000_000_000,
        rows in 1_u64..60,
        room in 0_u64..3000,
    ) {
        let create = || TraceWriter::create(Vec::new(), &crate::common::info(), options(flush, rows)).unwrap();
        let closing = Record::Note(Note { time_ns: 1, text: "closing".into() });
        let head = create().bytes_written();
        let (mut writer, mut pending, mut written) = (create(), Vec::new(), Vec::new());
        // With less room than the tail takes, nothing fits.
        let limit = head + 700 + room;
        writer.limit(Some(limit));
        let mut full = false;
        for item in &items {
            let frames = writer.frames();
            let added = match item {
                Item::Snapshot(snapshot) => writer.snapshot(snapshot),
                Item::Record(record) => writer.record(record),
            };
            match added {
                Ok(()) => {
                    pending.push(item.clone());
                    if !writer.has_pending() {
                        written.append(&mut pending);
                    } else if writer.frames() > frames {
                        let last = pending.len() - 1;
                        written.extend(pending.drain(..last));
                    }
                }
                Err(damon_format::WriteError::Full) => {
                    full = true;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        if !full {
            match writer.flush() {
                Ok(()) => written.append(&mut pending),
                Err(damon_format::WriteError::Full) => {}
                Err(error) => panic!("{error}"),
            }
        }
        writer.limit(None);
        writer.record(&closing).unwrap();
        let bytes = writer.finish().unwrap();
        prop_assert!(bytes.len() as u64 <= limit, "{} > {limit}", bytes.len());
        written.push(Item::Record(closing));
        prop_assert_eq!(all_in(&bytes).sorted(), content_of(&written).sorted());
    }
}
