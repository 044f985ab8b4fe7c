use super::*;
use damon_format::{
    Mapping, MappingsChanged, Permissions, Record, TargetExecuted, TargetKind, TargetStarted,
};
use proptest::prelude::*;

const T: TargetId = TargetId(0);
const K: u64 = 4096;
const M: u64 = 1 << 20;

fn mapping(start: u64, size: u64, name: &str) -> Mapping {
    let permissions = Permissions { read: true, write: true, ..Permissions::default() };
    Mapping { start, end: start + size, permissions, offset: 0, inode: 0, name: name.to_owned() }
}

fn guard(start: u64, size: u64) -> Mapping {
    Mapping { permissions: Permissions::default(), ..mapping(start, size, "") }
}

fn change(time_ns: u64, removed: &[u64], added: Vec<Mapping>) -> Record {
    let removed = removed.to_vec();
    Record::MappingsChanged(MappingsChanged { target: T, time_ns, removed, added })
}

fn at(layouts: &Layouts, time_ns: u64) -> Vec<(u64, String)> {
    let mut cursor = Cursor::new(layouts);
    let slots = cursor.at(T, time_ns);
    let label = |slot: &Slot| (slot.start, layouts.groups()[slot.group as usize].label());
    slots.iter().map(label).collect()
}

fn labels(records: &[Record], time_ns: u64) -> Vec<String> {
    let layouts = Layouts::new(&MappingHistory::of(records), GroupBy::Mapping);
    at(&layouts, time_ns).into_iter().map(|(_, label)| label).collect()
}

#[test]
fn moved_as_a_whole_a_process_has_the_same_groups() {
    let of = |base: u64| {
        labels(
            &[change(
                5,
                &[],
                vec![
                    mapping(base, M, "/bin/x"),
                    mapping(base + M, 2 * K, ""),
                    mapping(base + 8 * M, 3 * M, "[heap]"),
                    mapping(base + 100 * M, 64 * M, ""),
                    mapping(base + 200 * M, 64 * M, ""),
                    mapping(base + 300 * M, 4 * M, ""),
                    guard(base + 400 * M, K),
                    mapping(base + 400 * M + K, 8 * M - K, ""),
                    mapping(base + 500 * M, M, "[stack]"),
                ],
            )],
            9,
        )
    };
    let expected = [
        "/bin/x +0x0..0x100000",
        "/bin/x (bss)",
        "[heap]",
        "anonymous 64 MiB #1",
        "anonymous 64 MiB #0",
        "anonymous 4 MiB #0",
        "thread stack #0",
        "thread stack #0",
        "[stack]",
    ];
    assert_eq!(of(0x5555_0000_0000), expected);
    assert_eq!(of(0x0040_0000), expected);
}

#[test]
fn an_anonymous_mapping_stays_itself_while_it_grows_and_is_split() {
    let records = [
        change(0, &[], vec![mapping(10 * M, M, "")]),
        change(10, &[10 * M], vec![mapping(10 * M, 5 * M, "")]),
        change(20, &[10 * M], vec![mapping(10 * M, 2 * M, ""), mapping(12 * M, 4 * M, "")]),
    ];
    for time in [0, 10, 20] {
        let labels = labels(&records, time);
        assert!(labels.iter().all(|label| label == "anonymous 4 MiB #0"), "{labels:?}");
    }
}

#[test]
fn a_number_is_free_again_when_its_mapping_went() {
    let mut records = vec![change(0, &[], vec![mapping(900 * M, M, "")])];
    for i in 1..50 {
        let removed = if i == 1 { vec![] } else { vec![(i - 1) * 10 * M] };
        records.push(change(i, &removed, vec![mapping(i * 10 * M, M, "")]));
    }
    let layouts = Layouts::new(&MappingHistory::of(&records), GroupBy::Mapping);
    assert_eq!(layouts.groups().len(), 3, "nothing, the first, and whoever is the second");
    assert_eq!(at(&layouts, 30)[0], (300 * M, "anonymous 1 MiB #1".to_owned()));
}

#[test]
fn what_is_large_behind_a_library_is_not_its_bss() {
    let records = |exe: &str| {
        let started = Record::TargetStarted(TargetStarted {
            target: T,
            time_ns: 0,
            kind: TargetKind::Process,
            pid: 1,
            start_ticks: 0,
            parent: None,
            comm: "x".into(),
            exe: exe.into(),
        });
        [started, change(0, &[], vec![mapping(M, K, "/lib/a"), mapping(M + K, 512 * M, "")])]
    };
    assert_eq!(labels(&records("/bin/x"), 0)[1], "anonymous 512 MiB #0");
    assert_eq!(labels(&records("/lib/a"), 0)[1], "/lib/a (bss)");
}

#[test]
fn another_program_has_nothing_of_the_one_before() {
    let executed = Record::TargetExecuted(TargetExecuted {
        target: T,
        time_ns: 10,
        comm: "y".into(),
        exe: "/bin/y".into(),
    });
    let records = [
        change(5, &[], vec![mapping(M, M, "/bin/x")]),
        executed,
        change(12, &[], vec![mapping(3 * M, M, "/bin/y")]),
    ];
    let layouts = Layouts::new(&MappingHistory::of(&records), GroupBy::File);
    let starts = |time| at(&layouts, time).into_iter().map(|(s, _)| s / M).collect::<Vec<_>>();
    assert_eq!((starts(0), starts(9)), (vec![1], vec![1]), "before the first look as at it");
    assert_eq!((starts(10), starts(12)), (vec![], vec![3]));
    assert!(Cursor::new(&layouts).at(TargetId(9), 5).is_empty());
}

#[test]
fn any_moment_is_reached_from_any_other() {
    let mut records = Vec::new();
    for i in 0..3 * STEP as u64 + 7 {
        let removed = if i % 3 == 0 { vec![(i / 2) * M] } else { vec![] };
        records.push(change(i, &removed, vec![mapping(i * M, M, "/x")]));
    }
    let layouts = Layouts::new(&MappingHistory::of(&records), GroupBy::Mapping);
    let mut walking = Cursor::new(&layouts);
    for time in [0, 1, 255, 256, 257, 700, 775, 900, 512, 513, 3, 768, 767] {
        let fresh: Vec<Slot> = {
            let mut state = Vec::new();
            let changes = &layouts.targets[&T].changes;
            for change in changes.iter().filter(|change| change.time_ns <= time) {
                change.apply(&mut state);
            }
            state
        };
        assert_eq!(walking.at(T, time), fresh, "{time}");
        assert_eq!(Cursor::new(&layouts).at(T, time), fresh, "{time}");
    }
}

proptest! {
    /// Even if mappings overlap, as only damaged data have them.
    #[test]
    fn every_byte_is_in_exactly_one_piece(
        slots in prop::collection::vec((0_u64..1000, 1_u64..200), 0..20),
        sizes in prop::collection::vec((0_u64..100, 1_u64..100), 0..20),
    ) {
        let mut slots: Vec<Slot> = slots
            .iter()
            .zip(1..)
            .map(|(&(start, size), group)| Slot { start, end: start + size, group })
            .collect();
        slots.sort_by_key(|slot| slot.start);
        let mut regions = Vec::new();
        let mut address = 0;
        for (gap, size) in sizes {
            regions.push((address + gap, address + gap + size));
            address += gap + size;
        }
        let mut found = vec![0; regions.len()];
        let mut known = 0;
        let ranges = regions.iter().map(|(start, end)| *start..*end).enumerate();
        split(&slots, ranges, |index, size, group| {
            found[index] += size;
            known += if group == UNKNOWN { 0 } else { size };
        });
        let expected: Vec<u64> = regions.iter().map(|(start, end)| end - start).collect();
        prop_assert_eq!(found, expected);
        let is_known = |byte: u64| slots.iter().any(|s| s.start <= byte && byte < s.end);
        let naive = regions.iter().flat_map(|(s, e)| *s..*e).filter(|b| is_known(*b)).count();
        prop_assert_eq!(known, naive as u64);
    }
}
