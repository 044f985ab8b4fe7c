//! What the index says of records that matter later: enough for a reader that passes over the other blocks, and checked.

use crate::common::{Content, Item, write};
use damon_format::layout::{BlockEntry, BlockHeader, FileHeader, Footer, FrameHeader};
use damon_format::{
    IndexedReader, Lasting, MemorySample, Note, PressureSample, ProportionalMemory, Record, Region,
    Sampling, Series, Snapshot, TargetExited, TargetId, WriterOptions, recover, verify,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn items() -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec((0_u8..9, 0_u32..3, 0_u64..400_000_000), 1..60).prop_map(|list| {
        let mut time_ns = 5_000_000_000_u64;
        let item = |(kind, number, step)| {
            time_ns += step;
            let target = TargetId(number);
            Item::Record(match kind {
                0 => Record::Note(Note { time_ns, text: String::new() }),
                1 | 2 => Record::Memory(MemorySample {
                    target,
                    time_ns,
                    rss: time_ns,
                    swap: 0,
                    virtual_size: 0,
                    minor_faults: 0,
                    major_faults: 0,
                }),
                3 => Record::Pressure(PressureSample { time_ns, some_us: time_ns, full_us: 0 }),
                4 => Record::TargetExited(TargetExited { target, time_ns, wait_status: None }),
                8 => Record::ProportionalMemory(ProportionalMemory {
                    target,
                    time_ns,
                    pss: time_ns,
                    swap_pss: 0,
                }),
                _ => {
                    let sampling = Sampling::from_intervals(5_000, 100_000);
                    let region = Region { start: 0x1000, end: 0x9000, nr_accesses: 1, age: 2 };
                    let regions = vec![region; usize::from(kind > 5)];
                    let end_ns = time_ns + 1000;
                    return Item::Snapshot(Snapshot::new(
                        target, time_ns, end_ns, sampling, regions,
                    ));
                }
            })
        };
        list.into_iter().map(item).collect()
    })
}

fn options(flush_ns: u64) -> WriterOptions {
    let mut options = WriterOptions::default();
    options.flush_interval_ns = flush_ns;
    options.block_rows = 2;
    options.block_span_ns = 900_000_000;
    options
}

fn records(reader: &IndexedReader<Vec<u8>>, block: &BlockEntry) -> Vec<Record> {
    let mut content = Content::default();
    reader.visit_records(block, &mut content).unwrap();
    content.records
}

/// What is known at the end of these records: all that lasts from its time on, and the newest of each series.
fn known<'a>(
    records: impl Iterator<Item = &'a Record>,
) -> (Vec<&'a Record>, BTreeMap<Series, &'a Record>) {
    let (mut lasting, mut newest) = (Vec::new(), BTreeMap::new());
    for record in records {
        match record.lasting() {
            Lasting::Moment => {}
            Lasting::FromThenOn => lasting.push(record),
            Lasting::UntilNext(series) => {
                newest.insert(series, record);
            }
        }
    }
    (lasting, newest)
}

/// The trace with its index entries changed.
fn with_index(trace: &[u8], change: impl FnMut(&mut BlockEntry)) -> Vec<u8> {
    let mut entries = IndexedReader::open(trace.to_vec()).unwrap().blocks().to_vec();
    entries.iter_mut().for_each(change);
    let footer = trace.len() - Footer::LEN;
    let index = Footer::decode(&trace[footer..]).unwrap().index_offset;
    let mut changed = trace[..usize::try_from(index).unwrap() + BlockHeader::LEN].to_vec();
    let sequence = u32::try_from(entries.len()).unwrap() + 1;
    let payload: Vec<u8> = entries.iter().flat_map(BlockEntry::encode).collect();
    FrameHeader::for_payload(sequence, 0, &payload).encode(&mut changed);
    changed.extend(payload);
    changed.extend(&trace[footer..]);
    changed
}

proptest! {
    #[test]
    fn blocks_without_lasting_records_can_be_passed_over(items in items(), flush in 1_u64..1_000_000_000) {
        let trace = write(&items, options(flush));
        let reader = IndexedReader::open(trace).unwrap();
        let all: Vec<Vec<Record>> = reader.blocks().iter().map(|b| records(&reader, b)).collect();
        for at in 0..reader.blocks().len() {
            let everything = known(all[..at].iter().flatten());
            let read = (0..at).filter(|&i| i + 1 == at || reader.blocks()[i].lasting != Some(0));
            let some: Vec<&Record> = read.flat_map(|i| &all[i]).collect();
            prop_assert_eq!(known(some.into_iter()), everything);
        }
    }

    #[test]
    fn all_who_make_an_index_agree(items in items(), flush in 1_u64..1_000_000_000) {
        let trace = write(&items, options(flush));
        let told = IndexedReader::open(trace.clone()).unwrap().blocks().to_vec();
        prop_assert!(told.iter().all(|block| block.lasting.is_some_and(|n| n <= block.records)));
        prop_assert_eq!(verify(&trace).unwrap().damage, []);
        let cut = IndexedReader::open(trace[..trace.len() - 1].to_vec()).unwrap();
        prop_assert_eq!(cut.blocks(), told);
        prop_assert_eq!(recover(trace.as_slice(), Vec::new()).unwrap().1, trace);
    }

    #[test]
    fn an_index_need_not_tell_but_must_not_lie(items in items(), which in any::<prop::sample::Index>(), by in 1_u32..3) {
        let trace = write(&items, options(500_000_000));
        let silent = with_index(&trace, |block| block.lasting = None);
        prop_assert_eq!(verify(&silent).unwrap().damage, []);
        let blocks = IndexedReader::open(trace.clone()).unwrap().blocks().len();
        let sequence = u32::try_from(which.index(blocks)).unwrap() + 1;
        let lie = |block: &mut BlockEntry| {
            if block.sequence == sequence {
                block.lasting = block.lasting.map(|told| told.checked_sub(by).unwrap_or(told + by));
            }
        };
        let damage = verify(&with_index(&trace, lie)).unwrap().damage;
        let [only] = damage.as_slice() else { panic!("{damage:?}") };
        let what = format!("it does not describe what block {sequence} holds");
        prop_assert!(only.to_string().contains(&what), "{}", only);
    }
}

#[test]
fn traces_of_other_versions_are_recovered_without_telling() {
    let note = Item::Record(Record::Note(Note { time_ns: 6_000_000_000, text: "!".into() }));
    let trace = write(&[note], WriterOptions::default());
    let of_version = |minor| {
        let header = FileHeader::decode(trace.first_chunk().unwrap()).unwrap();
        let mut other = FileHeader { minor, ..header }.encode().to_vec();
        other.extend(&trace[FileHeader::LEN..]);
        let (_, copy) = recover(other.as_slice(), Vec::new()).unwrap();
        IndexedReader::open(copy).unwrap().blocks()[0].lasting
    };
    assert_eq!([0, 1, 2].map(of_version), [None, Some(1), None]);
}
