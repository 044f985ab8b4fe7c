//! Where one part ends and the next begins nothing is lost, nothing doubled, and nothing has to be known from
//! before.

use super::super::place::Place;
use super::testing::{Reader, histories, mapping, started};
use super::*;
use crate::monitor::synthetic::{Config, recording_info, snapshots};
use crate::plan::{OutputPlan, Rotation};
use damon_format::{
    Completeness, Finished, IndexedReader, IntervalsChanged, MappingsChanged, Note, PartChain,
    RecordingInfo, Region, Sampling, SnapshotView, TargetExited, Visitor, verify,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What one part holds.
#[derive(Debug, Default)]
struct Content {
    snapshots: Vec<Snapshot>,
    records: Vec<Record>,
}

impl Visitor for Content {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.snapshots.push(snapshot.to_snapshot());
    }

    fn record(&mut self, record: Record) {
        self.records.push(record);
    }
}

#[derive(Debug)]
struct PartRead {
    bytes: u64,
    info: RecordingInfo,
    part: damon_format::Part,
    repeated: Vec<Record>,
    content: Content,
    /// The reason for which it ended.
    end: Option<String>,
}

/// Reads a part, of which everything must be valid.
fn read_part(path: &Path) -> PartRead {
    let bytes = fs::read(path).unwrap();
    let report = verify(&bytes).unwrap();
    assert_eq!(report.damage, vec![], "{}", path.display());
    let reader = IndexedReader::open(bytes.clone()).unwrap();
    let mut content = Content::default();
    for block in reader.blocks() {
        reader.visit_block(block, &mut content).unwrap();
    }
    let Record::Part(part) = content.records.remove(0) else { panic!("{:?}", content.records) };
    let repeated = content.records.drain(..part.repeated as usize).collect();
    let mut end = None;
    if report.completeness == Completeness::Complete {
        let Some(Record::Finished(last)) = content.records.pop() else { panic!("has no end") };
        end = Some(last.reason);
    }
    let bytes = bytes.len() as u64;
    PartRead { bytes, info: reader.info().clone(), part, repeated, content, end }
}

fn names(dir: &Path) -> Names {
    Names::of(&dir.join("x.damon"))
}

fn paths(dir: &Path) -> Vec<PathBuf> {
    names(dir).parts().unwrap().into_iter().map(|number| names(dir).part(number)).collect()
}

fn read_all(dir: &Path) -> Vec<PartRead> {
    let parts: Vec<PartRead> = paths(dir).iter().map(|path| read_part(path)).collect();
    let mut chain = PartChain::default();
    for part in &parts {
        chain.follow(&part.part, part.content.snapshots.len() as u64).unwrap();
    }
    parts
}

fn create(dir: &Path, rotation: Rotation, force: bool, info: &RecordingInfo) -> Trace {
    let output = OutputPlan::File { path: dir.join("x.damon"), force };
    let place = Place::check(&output, Some(&rotation)).unwrap();
    Trace::create(&place, info).unwrap().with_clock_of_data()
}

fn info() -> RecordingInfo {
    let mut info = recording_info(&Config::with_regions(20));
    info.clock.monotonic_ns = 0;
    info.clock.realtime_ns = 1 << 60;
    info
}

/// Ends it as sessions do.
fn finish(mut trace: Trace, time_ns: u64) -> Outcome {
    let finished = Finished { time_ns, reason: "the end".into(), recorder_cpu_us: 5 };
    trace.record(&Record::Finished(finished)).unwrap();
    trace.finish().unwrap()
}

#[derive(Clone, Debug)]
enum Given {
    Snapshot(Snapshot),
    Record(Record),
}

/// Records of all kinds that matter with snapshots between them, 100 ms apart.
fn streams() -> impl Strategy<Value = Vec<Given>> {
    let regions = prop::collection::vec((1_u64..50, 1_u64..50, 0_u32..20, 0_u32..9), 0..60);
    let snapshots = prop::collection::vec((0_u32..4, regions), 0..120);
    (histories(30), snapshots).prop_map(|(records, snapshots)| {
        let (mut given, mut now) = (Vec::new(), 0);
        let mut records = records.into_iter();
        for (target, regions) in snapshots {
            let start_ns = now;
            now += 100_000_000;
            let mut end = 0;
            let regions = regions
                .into_iter()
                .map(|(gap, size, nr_accesses, age)| {
                    let start = end + gap * 4096;
                    end = start + size * 4096;
                    Region { start, end, nr_accesses, age }
                })
                .collect();
            let sampling = Sampling::from_intervals(5_000, 100_000);
            let target = TargetId(target);
            given.push(Given::Snapshot(Snapshot::new(target, start_ns, now, sampling, regions)));
            // The histories' times are small: the order is what counts.
            given.extend(records.next().map(Given::Record));
        }
        given
    })
}

fn by_target(snapshots: impl Iterator<Item = Snapshot>) -> Vec<Snapshot> {
    let mut all: Vec<Snapshot> = snapshots.collect();
    all.sort_by_key(|snapshot| snapshot.target);
    all
}

fn check_concatenation(given: &[Given], parts: &[PartRead]) {
    let stored = parts.iter().flat_map(|part| part.content.snapshots.clone());
    let wanted = given.iter().filter_map(|given| match given {
        Given::Snapshot(snapshot) => Some(snapshot.clone()),
        Given::Record(_) => None,
    });
    assert_eq!(by_target(stored), by_target(wanted));

    let wanted: Vec<Record> = given
        .iter()
        .filter_map(|given| match given {
            Given::Record(record) => Some(Item::of(record)),
            Given::Snapshot(_) => None,
        })
        .flatten()
        .filter_map(|item| if let Item::Record(record) = item { Some(record) } else { None })
        .collect();
    let (mut before, mut reader) = (Vec::new(), Reader::default());
    for part in parts {
        // What a part repeats is what all parts before it say.
        assert_eq!(Reader::of(part.repeated.clone()), reader);
        let attrs = before.iter().rev().find_map(|record| match record {
            Record::IntervalsChanged(changed) => Some(changed.attrs),
            _ => None,
        });
        assert_eq!(part.info.attrs, attrs.unwrap_or(info().attrs), "attributes as they are now");
        part.content.records.iter().for_each(|record| reader.read(record.clone()));
        before.extend(part.content.records.iter().cloned());
    }
    assert_eq!(before, wanted);
    for (index, part) in parts.iter().enumerate() {
        let goes_on = format!("part {} is over, the recording goes on in ", index + 1);
        let end = part.end.clone().unwrap();
        assert!(end == "the end" && index + 1 == parts.len() || end.starts_with(&goes_on), "{end}");
        assert_eq!(part.part.recording, 1 << 60);
        assert_eq!(part.info.clock.monotonic_ns + (1 << 60), part.info.clock.realtime_ns);
        assert_eq!(part.info.command_line, info().command_line);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn all_parts_together_are_exactly_what_was_handed_over(
        given in streams(),
        size in prop::option::of(500_u64..6000),
        seconds in prop::option::of(1_u64..6),
        keeps in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let time = seconds.or(size.is_none().then_some(3)).map(Duration::from_secs);
        let rotation = Rotation { size, time, keep: None };
        let mut trace = create(dir.path(), rotation, false, &info());
        let keeps: BTreeSet<usize> = match given.len() {
            0 => BTreeSet::new(),
            len => keeps.iter().map(|at| at.index(len)).collect(),
        };
        let mut last_ns = 0;
        for (index, one) in given.iter().enumerate() {
            match one {
                Given::Snapshot(snapshot) => {
                    last_ns = snapshot.end_ns;
                    trace.snapshot(snapshot).unwrap();
                }
                Given::Record(record) => trace.record(record).unwrap(),
            }
            if keeps.contains(&index) {
                let set = names(dir.path()).free_set().unwrap();
                trace.keep().unwrap();
                let kept = (1..).map(|number| names(dir.path()).kept(set, number));
                let kept: Vec<PartRead> =
                    kept.take_while(|path| path.exists()).map(|path| read_part(&path)).collect();
                // Everything up to here, in parts that are over.
                prop_assert!(kept.iter().all(|part| part.end.is_some()));
                let stored = kept.iter().map(|part| part.content.snapshots.len() as u64).sum::<u64>();
                prop_assert_eq!(stored, trace.snapshots());
            }
        }
        let total = trace.snapshots();
        let outcome = finish(trace, last_ns);
        let mut parts = read_all(dir.path());
        prop_assert_eq!(outcome.bytes, parts.iter().map(|part| part.bytes).sum::<u64>());
        prop_assert_eq!(total, parts.iter().map(|p| p.content.snapshots.len() as u64).sum::<u64>());
        let words = outcome.words.iter().filter(|word| !matches!(word, Word::Detail(_)));
        prop_assert_eq!(words.count(), keeps.len());
        for part in &mut parts {
            part.content.records.retain(|r| !matches!(r, Record::Note(n) if n.text.starts_with("SIGUSR1")));
        }
        check_concatenation(&given, &parts);
        if let Some(seconds) = seconds.filter(|_| size.is_none() && keeps.is_empty()) {
            // No part lasts longer, and each ends where the next one was due.
            for part in &parts {
                let step = seconds * 1_000_000_000;
                let ends: Vec<u64> = part.content.snapshots.iter().map(|s| (s.end_ns - 1) / step).collect();
                prop_assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:?}");
            }
        }
    }
}

/// A recording that looks like one: a process with a thousand mappings, of which some change.
fn long_recording(regions: u32) -> impl Iterator<Item = Given> {
    let mut config = Config::with_regions(regions);
    config.start_ns = 0;
    let target = TargetId(0);
    let begin = [
        Given::Record(Record::Note(Note { time_ns: 0, text: "side effect: none".into() })),
        Given::Record(started(0, 0)),
        Given::Record(Record::MappingsChanged(MappingsChanged {
            target,
            time_ns: 0,
            removed: Vec::new(),
            added: (0..1000).map(|i| mapping(i * 3, 2)).collect(),
        })),
    ];
    let data = snapshots(config).unwrap().enumerate().flat_map(move |(index, snapshot)| {
        let time_ns = snapshot.end_ns;
        let page = index as u64 % 1000 * 3;
        let changed = MappingsChanged {
            target,
            time_ns,
            removed: vec![page * 4096],
            added: vec![mapping(page, 1 + index as u64 / 1000 % 2)],
        };
        let changed = (index % 10 == 9).then_some(Given::Record(Record::MappingsChanged(changed)));
        std::iter::once(Given::Snapshot(snapshot)).chain(changed)
    });
    begin.into_iter().chain(data)
}

fn hand_over(trace: &mut Trace, given: &Given) {
    match given {
        Given::Snapshot(snapshot) => trace.snapshot(snapshot).unwrap(),
        Given::Record(record) => trace.record(record).unwrap(),
    }
}

fn disk_use(dir: &Path) -> u64 {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn a_flight_recorder_stays_within_its_cap_at_any_moment() {
    const SIZE: u64 = 64 << 10;
    let dir = tempfile::tempdir().unwrap();
    let rotation = Rotation { size: Some(SIZE), time: None, keep: Some(3) };
    let mut trace = create(dir.path(), rotation, false, &info());
    let (mut most, mut state) = (0, 0);
    for given in long_recording(100) {
        hand_over(&mut trace, &given);
        most = most.max(disk_use(dir.path()));
        if state == 0 && names(dir.path()).part(2).exists() {
            // It has next to nothing of its own yet.
            state = fs::metadata(names(dir.path()).part(2)).unwrap().len();
        }
        if names(dir.path()).part(7).exists() {
            break;
        }
    }
    // While the oldest part goes, the newest holds nothing but what it repeats.
    println!("at most {most} of {} bytes, and {state} that a part repeats", 3 * SIZE);
    assert!(most <= 3 * SIZE + state, "{most} of {}, state {state}", 3 * SIZE);
    finish(trace, u64::MAX);
    let parts = read_all(dir.path());
    assert_eq!(parts.iter().map(|p| p.part.number).collect::<Vec<_>>(), [5, 6, 7]);
    for part in &parts[..2] {
        assert!(part.bytes <= SIZE, "{}", part.bytes);
        assert!(part.bytes >= SIZE / 100 * 97, "not nearly full: {}", part.bytes);
        assert_eq!(Reader::of(part.repeated.clone()).targets_with_mappings(), vec![1000]);
    }
}

#[test]
fn a_part_that_repeats_very_much_still_has_room_for_data_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let rotation = Rotation { size: Some(4000), time: None, keep: None };
    let mut trace = create(dir.path(), rotation, false, &info());
    let given: Vec<Given> = long_recording(20).take(700).collect();
    for given in &given {
        hand_over(&mut trace, given);
    }
    finish(trace, 70_000_000_000);
    let parts = read_all(dir.path());
    assert!(parts.len() < 60, "{} parts", parts.len());
    check_concatenation(&given, &parts);
}

#[test]
fn without_a_directory_the_present_part_goes_on_and_later_there_is_a_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let (here, away) = (dir.path().join("here"), dir.path().join("away"));
    fs::create_dir(&here).unwrap();
    let rotation = Rotation { size: Some(20_000), time: Some(Duration::from_secs(30)), keep: None };
    let mut trace = create(&here, rotation, false, &info());
    let given: Vec<Given> = long_recording(40).take(3000).collect();
    let mut said = Vec::new();
    for (index, given) in given.iter().enumerate() {
        match index {
            200 => fs::rename(&here, &away).unwrap(),
            1800 => fs::rename(&away, &here).unwrap(),
            _ => {}
        }
        hand_over(&mut trace, given);
        let Files::Several(parts) = &mut trace.file else { panic!("one file") };
        said.extend(parts.words().drain(..).filter(|word| !matches!(word, Word::Detail(_))));
    }
    finish(trace, 300_000_000_000);
    let [Word::Error(text)] = said.as_slice() else { panic!("said once: {said:?}") };
    assert!(text.contains("the directory is gone") && text.contains("goes on in"), "{text}");
    let mut parts = read_all(&here);
    assert!(parts.len() > 4, "{}", parts.len());
    let mut notes = 0;
    for part in &mut parts {
        part.content.records.retain(|record| {
            let failed = matches!(record, Record::Note(note) if note.text == *text);
            notes += usize::from(failed);
            !failed
        });
    }
    assert_eq!(notes, 1, "and recorded once");
    check_concatenation(&given, &parts);
}

#[test]
fn what_is_kept_has_everything_up_to_then_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let rotation = Rotation { size: Some(30_000), time: None, keep: Some(3) };
    let mut trace = create(dir.path(), rotation, false, &info());
    trace.keep().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing to keep");
    let given: Vec<Given> = long_recording(60).take(4000).collect();
    for (index, given) in given.iter().enumerate() {
        hand_over(&mut trace, given);
        if index == 2000 {
            trace.keep().unwrap();
            // Nothing new: another set of the parts that are left.
            trace.keep().unwrap();
        }
    }
    finish(trace, u64::MAX);
    let numbers = names(dir.path()).parts().unwrap();
    assert_eq!(numbers.len(), 3);
    let before = given[..=2000].iter().filter(|g| matches!(g, Given::Snapshot(_))).count() as u64;
    let mut parts = Vec::new();
    for number in 0..numbers[0] {
        let (one, two) = (names(dir.path()).kept(1, number), names(dir.path()).kept(2, number));
        if one.exists() {
            parts.push(read_part(&one));
        }
        if two.exists() {
            assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
        }
    }
    assert_eq!(parts.len(), 3);
    assert_eq!(names(dir.path()).free_set().unwrap(), 3);
    let last = parts.last().unwrap();
    assert!(last.end.as_ref().unwrap().contains("goes on in"));
    assert_eq!(last.part.first_snapshot + last.content.snapshots.len() as u64, before);
}

#[test]
fn one_file_is_flushed_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let output = OutputPlan::File { path: dir.path().join("x"), force: false };
    let mut trace = Trace::create(&Place::check(&output, None).unwrap(), &info()).unwrap();
    let given: Vec<Given> = long_recording(20).take(8).collect();
    for given in &given {
        hand_over(&mut trace, given);
    }
    let file = IndexedReader::open(File::open(dir.path().join("x")).unwrap()).unwrap();
    assert!(file.blocks().is_empty(), "nothing is flushed yet");
    trace.keep().unwrap();
    let file = IndexedReader::open(File::open(dir.path().join("x")).unwrap()).unwrap();
    assert_eq!(file.blocks()[0].snapshots, 5);
    assert!(matches!(trace.words.as_slice(), [Word::Say(text)] if text.contains("5 snapshots")));
}

#[test]
fn targets_that_are_gone_and_attributes_that_were_are_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let rotation = Rotation { time: Some(Duration::from_secs(10)), ..Rotation::default() };
    let mut trace = create(dir.path(), rotation, false, &info());
    let exited = |target, time_ns| {
        Record::TargetExited(TargetExited { target: TargetId(target), time_ns, wait_status: None })
    };
    let changed = |time_ns, sample_us| {
        let attrs = damon_format::Attrs { sample_us, ..info().attrs };
        Record::IntervalsChanged(IntervalsChanged { time_ns, attrs, reason: "why".into() })
    };
    let second = 1_000_000_000;
    for target in 0..4 {
        trace.record(&started(target, u64::from(target) * second)).unwrap();
    }
    trace.record(&changed(4 * second, 10_000)).unwrap();
    trace.record(&exited(1, 5 * second)).unwrap();
    trace.forget(TargetId(2)).unwrap();
    trace.record(&changed(9 * second, 20_000)).unwrap();
    // Pending when the next part begins, and all the same not repeated but in the part before.
    trace.record(&exited(3, 9 * second + 1)).unwrap();
    trace.record(&Record::Note(Note { time_ns: 10 * second + 1, text: "new".into() })).unwrap();
    finish(trace, 10 * second + 1);
    let last = read_part(&names(dir.path()).part(2));
    assert_eq!(last.part.time_ns, 9 * second + 1);
    assert_eq!(last.repeated, [started(0, 0), changed(9 * second, 20_000)]);
    assert_eq!(last.info.attrs.sample_us, 20_000);
    assert_eq!(last.content.records.len(), 1);
}

#[test]
fn older_parts_stay_until_there_is_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let rotation = Rotation { size: Some(100_000), ..Rotation::default() };
    let first = create(dir.path(), rotation, false, &info());
    finish(first, 1);
    let output = |force| OutputPlan::File { path: dir.path().join("x.damon"), force };
    Place::check(&output(false), Some(&rotation)).unwrap_err();
    drop(Place::check(&output(true), Some(&rotation)).unwrap());
    assert_eq!(paths(dir.path()), [names(dir.path()).part(1)]);
    let second = create(dir.path(), rotation, true, &info());
    assert_eq!(paths(dir.path()), [names(dir.path()).part(2)]);
    let outcome = second.finish().unwrap();
    assert_eq!(outcome.count.as_deref(), Some("1 part"));
    assert_eq!(outcome.look_at, None, "no snapshot");
}
