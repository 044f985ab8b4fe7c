//! Traces out of traces: cutting and joining lose nothing, and adding up conserves what was counted.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use common::{BEGIN, HEAP, MIB, SECOND, info, snapshots, started, writer};
use damon_format::{
    Finished, Lost, Mapping, MappingsChanged, Mark, Part, Permissions, Record, RecordingInfo,
    Snapshot, SnapshotView, State, StreamReader, TargetId, Visitor,
};
use damon_report::analysis::load::Trace;
use damon_report::analysis::overview::Overview;
use damon_report::analysis::select::{Query, Selection};
use damon_report::analysis::source::Source;
use damon_report::transform::{Clocks, Input, TransformError, adjust, merge, slice};
use proptest::prelude::*;

/// All there is in a trace; snapshots by target, since their order among targets is the writer's business.
#[derive(Debug, Default, PartialEq)]
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

impl Content {
    fn of(bytes: &[u8]) -> Self {
        let mut reader = StreamReader::new(bytes).unwrap();
        let mut content = Self::default();
        reader.visit(&mut content);
        assert_eq!(reader.damage(), []);
        assert!(reader.is_finished());
        content.snapshots.sort_by_key(|s| (s.target, s.start_ns));
        content
    }

    /// Without what says how the trace came to be.
    fn recorded(mut self) -> Self {
        self.records.retain(|r| !matches!(r, Record::Part(_) | Record::Note(_)));
        self
    }

    fn has_lost(&self) -> Option<&Lost> {
        self.records.iter().find_map(|record| match record {
            Record::Lost(lost) => Some(lost),
            _ => None,
        })
    }
}

fn trace(name: &str, bytes: &[u8]) -> Trace {
    Trace::from_source(name.into(), Source::memory(bytes.to_vec())).unwrap()
}

fn cut(bytes: &[u8], time: &str, target: Option<&str>) -> Result<Vec<u8>, TransformError> {
    let trace = trace("work.damon", bytes);
    let all = Overview::read(&trace, &Selection::everything());
    let time = (!time.is_empty()).then(|| time.parse().unwrap());
    let query = Query { time, target: target.map(Into::into), ..Query::default() };
    let selection = query.resolve(&all).unwrap();
    slice(&trace, &all, &selection, Vec::new()).map(|(_, bytes)| bytes)
}

fn join(parts: &[&[u8]], clocks: Clocks) -> Result<Vec<u8>, TransformError> {
    let input =
        |(i, bytes): (usize, &&[u8])| Input::new(trace(&format!("{i}.damon"), bytes)).unwrap();
    let inputs: Vec<Input> = parts.iter().enumerate().map(input).collect();
    merge(&inputs, clocks, Vec::new()).map(|(_, bytes)| bytes)
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    join(parts, Clocks::Compared).unwrap()
}

fn mapping(start: u64, pages: u64) -> Mapping {
    Mapping {
        start,
        end: start + pages * 4096,
        permissions: Permissions::default(),
        offset: 0,
        inode: 0,
        name: format!("map-{start:x}"),
    }
}

fn mapped(target: u32, time_ns: u64, removed: &[u64], added: &[u64]) -> Record {
    Record::MappingsChanged(MappingsChanged {
        target: TargetId(target),
        time_ns,
        removed: removed.to_vec(),
        added: added.iter().map(|start| mapping(*start, 4)).collect(),
    })
}

/// Ten seconds of two processes with everything that happens to processes.
fn two_processes(info: &RecordingInfo, begin: u64) -> Vec<u8> {
    let mut writer = writer(info);
    let shift = begin - BEGIN;
    let mut early = started(0, 4711, "work");
    if let Record::TargetStarted(started) = &mut early {
        started.time_ns = begin - 5;
    }
    writer.record(&early).unwrap();
    writer.record(&started(1, 4712, "more")).unwrap();
    writer.record(&mapped(0, begin - 3, &[], &[HEAP, HEAP + MIB])).unwrap();
    writer.record(&mapped(1, begin, &[], &[HEAP + 2 * MIB])).unwrap();
    let (one, two) = (snapshots(0, 100), snapshots(1, 100));
    for (i, (mut one, mut two)) in (0_u64..).zip(one.into_iter().zip(two)) {
        one.start_ns += shift;
        one.end_ns += shift;
        two.start_ns += shift + 30_000_000;
        two.end_ns += shift + 30_000_000;
        let now = one.end_ns;
        writer.snapshot(&one).unwrap();
        writer.snapshot(&two).unwrap();
        if i % 7 == 3 {
            let text = format!("mark {i}");
            writer.record(&Record::Mark(Mark { time_ns: now, text })).unwrap();
            let (old, new) = (HEAP + (10 + i) * MIB, HEAP + (17 + i) * MIB);
            let old: &[u64] = if i == 3 { &[] } else { &[old] };
            writer.record(&mapped(1, now, old, &[new])).unwrap();
        }
    }
    let finished = Finished {
        time_ns: begin + 11 * SECOND,
        reason: "the target exited".into(),
        recorder_cpu_us: 50_000,
    };
    writer.record(&Record::Finished(finished)).unwrap();
    writer.finish().unwrap()
}

fn whole() -> Vec<u8> {
    two_processes(&info(), BEGIN)
}

#[test]
fn a_slice_says_by_itself_what_holds_at_its_begin() {
    let bytes = whole();
    let content = Content::of(&cut(&bytes, "5s..8s", None).unwrap());
    let from = BEGIN + 5 * SECOND;
    assert!(content.snapshots.iter().all(|s| (from..from + 3 * SECOND).contains(&s.start_ns)));
    assert_eq!(content.snapshots.len(), 60);
    let Some(Record::Part(part)) = content.records.first() else { panic!() };
    let mut expected = State::default();
    for record in Content::of(&bytes).records.iter().filter(|r| r.time_ns() < from) {
        expected.apply(record);
    }
    let repeated = &content.records[1..=usize::try_from(part.repeated).unwrap()];
    let expected: Vec<Record> = expected.records().collect();
    assert_eq!(repeated[..repeated.len() - 1], expected);
    assert!(
        matches!(repeated.last(), Some(Record::Note(n)) if n.text.contains("5.000 s to 8.000 s"))
    );
    // Marks of this time and no other; an end that says that it is not the recording's.
    let marks = content.records.iter().filter(|r| matches!(r, Record::Mark(_)));
    let expected =
        (0..100_u64).filter(|i| i % 7 == 3).filter(|i| (50..80).contains(&(i + 1))).count();
    assert_eq!(marks.count(), expected);
    assert!(
        matches!(content.records.last(), Some(Record::Finished(f)) if f.reason.contains("cut"))
    );
}

#[test]
fn what_happens_at_a_cut_belongs_to_the_part_that_begins_there() {
    // The end of the 46th snapshot, at which a mark was set.
    let at = BEGIN + 4_600_000_000;
    let marked = |time: &str| {
        let content = Content::of(&cut(&whole(), time, None).unwrap());
        content.records.iter().any(|r| matches!(r, Record::Mark(mark) if mark.time_ns == at))
    };
    assert_eq!((marked("..4.6s"), marked("4.6s..")), (false, true));
}

#[test]
fn a_slice_of_one_target_does_not_name_the_other() {
    let content = Content::of(&cut(&whole(), "2s..", Some("4712")).unwrap());
    assert!(content.snapshots.iter().all(|s| s.target == TargetId(1)));
    assert!(content.records.iter().all(|r| r.target().is_none_or(|t| t == TargetId(1))));
    assert!(content.records.iter().any(|r| matches!(r, Record::MappingsChanged(_))));
}

#[test]
fn a_hole_between_slices_is_recorded_as_lost() {
    let bytes = whole();
    let parts = [cut(&bytes, "..3s", None).unwrap(), cut(&bytes, "4s..", None).unwrap()];
    let content = Content::of(&joined(&[&parts[1], &parts[0]]));
    let lost = content.has_lost().unwrap();
    assert_eq!((lost.count, lost.time_ns), (20, BEGIN + 4 * SECOND));
    assert_eq!(content.snapshots.len(), 180);
    // What is mapped at the end is known in spite of the hole.
    let state = |records: &[Record]| {
        let mut state = State::default();
        for record in records {
            state.apply(record);
        }
        state.records().filter(|r| matches!(r, Record::MappingsChanged(_))).collect::<Vec<_>>()
    };
    assert_eq!(state(&content.records), state(&Content::of(&bytes).records));
}

#[test]
fn nothing_is_taken_twice() {
    let bytes = whole();
    let (a, b) = (cut(&bytes, "..6s", None).unwrap(), cut(&bytes, "5s..", None).unwrap());
    for (one, other) in [(&a, &b), (&a, &a), (&bytes, &bytes)] {
        let error = join(&[one, other], Clocks::Trusted).unwrap_err();
        assert!(matches!(error, TransformError::Mismatch(_)), "{error}");
    }
}

#[test]
fn recordings_of_one_process_become_one_target() {
    let mut later = info();
    let begin = BEGIN + 60 * SECOND;
    later.clock.monotonic_ns += 60 * SECOND;
    later.clock.realtime_ns += 60 * SECOND;
    later.attrs.max_nr_regions = 77;
    let merged = Content::of(&joined(&[&two_processes(&later, begin), &whole()]));
    assert_eq!(merged.snapshots.len(), 400);
    assert_eq!(merged.snapshots.iter().filter(|s| s.target == TargetId(0)).count(), 200);
    let count = |f: fn(&Record) -> bool| merged.records.iter().filter(|r| f(r)).count();
    assert_eq!(count(|r| matches!(r, Record::TargetStarted(_))), 2);
    assert_eq!(count(|r| matches!(r, Record::Finished(f) if f.recorder_cpu_us == 100_000)), 1);
    assert_eq!(
        count(|r| matches!(r, Record::IntervalsChanged(c) if c.attrs.max_nr_regions == 77)),
        1
    );
    assert_eq!(count(|r| matches!(r, Record::Note(n) if n.text.contains("not recorded"))), 1);
    // The second says all its mappings; what it does not name is gone.
    let mut state = State::default();
    merged.records.iter().for_each(|record| state.apply(record));
    let mut alone = State::default();
    Content::of(&two_processes(&later, begin)).records.iter().for_each(|r| alone.apply(r));
    let mappings = |state: &State| {
        let all = state.records().filter_map(|r| match r {
            Record::MappingsChanged(m) => Some((m.target, m.added)),
            _ => None,
        });
        all.collect::<Vec<_>>()
    };
    assert_eq!(mappings(&state), mappings(&alone));
}

#[test]
fn another_process_with_the_same_pid_is_another_target() {
    let mut other = writer(&info());
    let mut record = started(0, 4711, "later");
    if let Record::TargetStarted(started) = &mut record {
        started.start_ticks = 999_999;
    }
    other.record(&record).unwrap();
    for mut snapshot in snapshots(0, 5) {
        snapshot.start_ns += 60 * SECOND;
        snapshot.end_ns += 60 * SECOND;
        other.snapshot(&snapshot).unwrap();
    }
    let merged = Content::of(&joined(&[&whole(), &other.finish().unwrap()]));
    assert_eq!(merged.snapshots.iter().filter(|s| s.target == TargetId(2)).count(), 5);
}

#[test]
fn what_does_not_belong_together_is_refused_with_its_name_and_reason() {
    let begin = BEGIN + 60 * SECOND;
    let with = |change: &dyn Fn(&mut RecordingInfo)| {
        let mut info = info();
        change(&mut info);
        let mut writer = writer(&info);
        for mut snapshot in snapshots(0, 5) {
            snapshot.start_ns += begin - BEGIN;
            snapshot.end_ns += begin - BEGIN;
            writer.snapshot(&snapshot).unwrap();
        }
        writer.finish().unwrap()
    };
    let whole = whole();
    let refused = |other: Vec<u8>, clocks| match join(&[&whole, &other], clocks) {
        Err(TransformError::Mismatch(why)) => {
            assert!(why.starts_with("0.damon and 1.damon: "), "{why}");
            why
        }
        other => panic!("{other:?}"),
    };
    assert!(
        refused(with(&|i| i.host = "elsewhere".into()), Clocks::Compared).contains("elsewhere")
    );
    let restarted = with(&|i| i.clock.realtime_ns += 3600 * SECOND);
    assert!(refused(restarted.clone(), Clocks::Compared).contains("3600 s apart"));
    assert!(join(&[&whole, &restarted], Clocks::Trusted).is_ok());
    let pages = refused(with(&|i| i.page_size = 16_384), Clocks::Compared);
    assert!(pages.contains("pages of 4096 and of 16384 bytes"), "{pages}");
    let exact = with(&|i| i.backend.exact = true);
    assert!(refused(exact, Clocks::Trusted).contains("sampled"));
}

#[test]
fn adjusted_counts_and_ages_are_those_of_the_longer_interval() {
    let bytes = whole();
    let before = Content::of(&bytes);
    let input = trace("work.damon", &bytes);
    let all = Overview::read(&input, &Selection::everything());
    let (written, bytes) = adjust(&input, &all, 300_000, Vec::new()).unwrap();
    let after = Content::of(&bytes);
    // 100 snapshots in threes, and one that is left.
    assert_eq!((written.snapshots, after.snapshots.len()), (68, 68));
    let total = |content: &Content| -> u64 {
        let regions = content.snapshots.iter().flat_map(|s| &s.regions);
        regions.map(|r| r.size() * u64::from(r.nr_accesses)).sum()
    };
    assert_eq!(total(&before), total(&after));
    let first = &after.snapshots[0];
    assert_eq!((first.sampling.aggr_us, first.sampling.max_nr_accesses), (300_000, 60));
    assert_eq!(first.end_ns - first.start_ns, 3 * SECOND / 10);
    let last = after.snapshots.iter().rfind(|s| s.target == TargetId(0)).unwrap();
    assert_eq!((last.sampling.aggr_us, last.sampling.max_nr_accesses), (100_000, 20));
    // Old age 29 at the end of the tenth group: 30 old intervals, 10 new ones.
    assert!(after.snapshots[9].regions.iter().all(|r| r.age == 9));
    let records = |c: Content| {
        let mut records = c.recorded().records;
        records.retain(|r| !matches!(r, Record::IntervalsChanged(_)));
        records
    };
    assert_eq!(records(before), records(after));
    let error = adjust(&input, &all, 100_000, Vec::new()).unwrap_err();
    assert!(error.to_string().contains("100 ms already"), "{error}");
}

#[test]
fn a_pause_is_not_counted_as_monitored() {
    let mut pausing = writer(&info());
    for (i, mut snapshot) in snapshots(0, 8).into_iter().enumerate() {
        if i >= 5 {
            snapshot.start_ns += 10 * SECOND;
            snapshot.end_ns += 10 * SECOND;
        }
        pausing.snapshot(&snapshot).unwrap();
    }
    let input = trace("pausing", &pausing.finish().unwrap());
    let all = Overview::read(&input, &Selection::everything());
    let (_, bytes) = adjust(&input, &all, 1_000_000, Vec::new()).unwrap();
    let lengths: Vec<u64> =
        Content::of(&bytes).snapshots.iter().map(|s| s.end_ns - s.start_ns).collect();
    assert_eq!(lengths, [5 * SECOND / 10, 3 * SECOND / 10]);
}

#[test]
fn the_first_part_keeps_saying_which_it_is_unless_it_is_the_first_of_all() {
    let parts = |content: &Content| -> Vec<Part> {
        let parts = content.records.iter().filter_map(|r| match r {
            Record::Part(part) => Some(*part),
            _ => None,
        });
        parts.collect()
    };
    let bytes = whole();
    let (a, b) = (cut(&bytes, "2s..4s", None).unwrap(), cut(&bytes, "4s..", None).unwrap());
    let merged = Content::of(&joined(&[&a, &b]));
    assert_eq!(parts(&merged), parts(&Content::of(&a)));
    let a = cut(&bytes, "..4s", None).unwrap();
    assert_eq!(parts(&Content::of(&joined(&[&a, &b]))), []);
}

/// Cuts on a millisecond, inside of snapshots as well as between them.
fn cuts() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::btree_set(1_u64..9_900, 1..4).prop_map(|set| set.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_was_cut_and_joined_is_what_it_was(cuts in cuts(), rotate in 0_usize..4) {
        let bytes = whole();
        let mut edges: Vec<String> = cuts.iter().map(|ms| format!("{ms}ms")).collect();
        edges.insert(0, String::new());
        edges.push(String::new());
        let mut parts = Vec::new();
        for pair in edges.windows(2) {
            match cut(&bytes, &format!("{}..{}", pair[0], pair[1]), None) {
                Ok(part) => parts.push(part),
                // Nothing begins between two cuts that are close: then the parts are not all there.
                Err(_) => return Ok(()),
            }
        }
        let places = parts.len();
        parts.rotate_left(rotate % places);
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(Content::of(&joined(&parts)).recorded(), Content::of(&bytes).recorded());
    }

    #[test]
    fn a_slice_of_a_slice_is_a_slice(a in 0_u64..4_000, b in 1_u64..3_000, c in 1_u64..3_000) {
        let bytes = whole();
        let outer = cut(&bytes, &format!("{a}ms..9900ms"), None).unwrap();
        let first = Content::of(&outer).snapshots.iter().map(|s| s.start_ns).min().unwrap();
        let from = (first - BEGIN) / 1_000_000;
        let inner = cut(&outer, &format!("{b}ms..{}ms", b + c + 100), None).unwrap();
        let (from, to) = (from + b, from + b + c + 100);
        let direct = cut(&bytes, &format!("{from}ms..{to}ms"), None).unwrap();
        let (inner, direct) = (Content::of(&inner), Content::of(&direct));
        let part = |c: &Content| match c.records.first() {
            Some(Record::Part(part)) => (part.recording, part.number, part.first_snapshot),
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(part(&inner), part(&direct));
        prop_assert_eq!(inner.recorded(), direct.recorded());
    }
}
