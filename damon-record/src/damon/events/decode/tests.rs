#![expect(clippy::host_endian_bytes, reason = "the kernel writes its own words")]

use super::super::fake;
use super::*;
use proptest::prelude::*;

const REGION: Region = Region { start: 0x1000, end: 0x7fff_0000_0000, nr_accesses: 20, age: 3 };

fn events() -> [Event; 5] {
    [
        Event::Aggregated { target: 1, nr_regions: 4, region: REGION, has_age: true },
        Event::BeforeApply { scheme: 2, target: 1, region: REGION, nr_regions: 9 },
        Event::IntervalsTuned { sample_us: 5_000 },
        Event::EffectiveQuota { scheme: 3, bytes: 1 << 40 },
        Event::SchemeStat {
            scheme: 1,
            stats: Stats {
                nr_tried: 2,
                sz_tried: 3,
                nr_applied: 4,
                sz_applied: 5,
                sz_ops_filter_passed: 6,
                qt_exceeds: 7,
                nr_snapshots: 8,
            },
        },
    ]
}

fn raw(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    fake::raw(77, event, &mut bytes);
    bytes
}

fn learnt(kind: EventKind, format: &str) -> Result<Decoder, LayoutError> {
    let mut decoder = Decoder::default();
    decoder.learn(kind, &Format::parse(format.as_bytes()).unwrap())?;
    Ok(decoder)
}

#[test]
fn every_kind_is_decoded_with_padding_behind_and_without() {
    let decoder = fake::decoder();
    for event in events() {
        let mut bytes = raw(&event);
        assert_eq!(decoder.decode(&bytes), Ok((77, event)));
        bytes.extend([0xff; 4]);
        assert_eq!(decoder.decode(&bytes), Ok((77, event)));
    }
}

#[test]
fn every_shorter_piece_is_too_short() {
    let decoder = fake::decoder();
    for event in events() {
        let bytes = raw(&event);
        for bytes in (0..bytes.len()).map(|length| &bytes[..length]) {
            assert_eq!(decoder.decode(bytes), Err(Undecodable::Short { bytes: bytes.len() }));
        }
    }
}

#[test]
fn fields_are_looked_for_where_the_kernel_says() {
    // A kernel of 32 bits with another order, without ages.
    let format = "ID: 9\n
        field:unsigned short common_type; offset:0; size:2; signed:0;\n
        field:int common_pid; offset:4; size:4; signed:1;\n
        field:unsigned long start; offset:8; size:4; signed:0;\n
        field:unsigned long end; offset:12; size:4; signed:0;\n
        field:unsigned int nr_accesses; offset:16; size:4; signed:0;\n
        field:unsigned int nr_regions; offset:20; size:4; signed:0;\n
        field:unsigned long target_id; offset:24; size:4; signed:0;\n";
    let decoder = learnt(EventKind::Aggregated, format).unwrap();
    let words: [u32; 7] = [0, u32::MAX, 0x1000, 0x2000, 5, 6, 7];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes[usize::from(cfg!(target_endian = "big"))] = 9;
    let region = Region { start: 0x1000, end: 0x2000, nr_accesses: 5, age: 0 };
    let event = Event::Aggregated { target: 7, nr_regions: 6, region, has_age: false };
    assert_eq!(decoder.decode(&bytes), Ok((-1, event)));
}

#[test]
fn a_missing_field_is_named_and_only_the_age_may_be_missing() {
    for kind in EventKind::ALL {
        let format = fake::format(kind);
        for name in Format::parse(format.as_bytes()).unwrap().names() {
            let without = format.replace(&format!(" {name};"), " renamed;");
            let unused = ["common_flags", "common_preempt_count", "context_idx", "age"];
            match learnt(kind, &without) {
                Ok(_) => assert!(unused.contains(&name), "{name}"),
                Err(LayoutError::MissingField { field }) => assert_eq!(field, name),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn events_that_begin_differently_cannot_be_told_apart() {
    let mut decoder = fake::decoder();
    let kind = EventKind::EffectiveQuota;
    for (field, from, to) in
        [("common_type", "offset:0;", "offset:2;"), ("common_pid", "offset:4;", "offset:0;")]
    {
        let format = Format::parse(fake::format(kind).replace(from, to).as_bytes()).unwrap();
        assert_eq!(decoder.learn(kind, &format), Err(LayoutError::OtherHeader { field }));
    }
}

#[test]
fn other_events_and_empty_regions_are_refused() {
    let mut bytes = raw(&events()[0]);
    assert_eq!(Decoder::default().decode(&bytes), Err(Undecodable::Unknown { id: 0 }));
    let quota =
        learnt(EventKind::EffectiveQuota, &fake::format(EventKind::EffectiveQuota)).unwrap();
    assert_eq!(quota.decode(&bytes), Err(Undecodable::Unknown { id: 767 }));
    bytes.copy_within(24..32, 32);
    let nothing = Undecodable::NoRegion { start: 0x1000, end: 0x1000 };
    assert_eq!(fake::decoder().decode(&bytes), Err(nothing));
}

#[test]
fn only_the_usual_layout_is_taken_for_it() {
    let format = fake::format(EventKind::Aggregated);
    assert_eq!(learnt(EventKind::Aggregated, &format).unwrap().usual, Some(767));
    // Something of each field is elsewhere or otherwise.
    for (from, to) in [
        ("signed:1", "signed:0"),
        ("offset:24;\tsize:8", "offset:32;\tsize:8"),
        ("offset:44;\tsize:4", "offset:44;\tsize:2"),
        (" age;", " old;"),
        ("ID: 767", "ID: 70000"),
    ] {
        let other = format.replace(from, to);
        assert_ne!(other, format);
        assert_eq!(learnt(EventKind::Aggregated, &other).unwrap().usual, None, "{from}");
    }
    let kind = EventKind::BeforeApply;
    assert_eq!(learnt(kind, &fake::format(kind)).unwrap().usual, None);
}

proptest! {
    #[test]
    fn the_usual_layout_is_read_as_any_other(
        mut bytes in prop::collection::vec(any::<u8>(), 0..64),
        kind in 766..769_u16,
        ordered: bool,
    ) {
        if let Some(id) = bytes.first_chunk_mut() {
            *id = kind.to_ne_bytes();
        }
        if let (true, Some(end)) = (ordered, bytes.get_mut(32..40)) {
            end.fill(0xff);
        }
        let decoder = fake::decoder();
        prop_assert_eq!(decoder.decode(&bytes), decoder.decode_any(&bytes));
    }

    #[test]
    fn any_bytes_are_borne(mut bytes in prop::collection::vec(any::<u8>(), 0..100), kind in 760..775_u16) {
        if let Some(id) = bytes.first_chunk_mut() {
            { *id = kind.to_ne_bytes(); }
        }
        if let Ok((_, Event::Aggregated { region, .. })) = fake::decoder().decode(&bytes) {
            prop_assert!(region.start < region.end);
        }
    }
}
