use super::super::fake_ring::FakeRing;
use super::*;

/// A sample, owned: time, thread, CPU, raw data.
type Seen = (u64, i32, u32, Vec<u8>);

#[derive(Debug, Default, PartialEq)]
struct Told {
    samples: Vec<Seen>,
    lost: Vec<(Option<u64>, u64)>,
    damaged: Vec<u64>,
    tasks: Vec<Task>,
}

impl Told {
    fn hear(&mut self, record: Record<'_>) -> ControlFlow<()> {
        match record {
            Record::Sample(s) => self.samples.push((s.time_ns, s.tid, s.cpu, s.raw.to_vec())),
            Record::Lost { time_ns, count } => self.lost.push((time_ns, count)),
            Record::Damaged { bytes } => self.damaged.push(bytes),
            Record::Task(task) => self.tasks.push(task),
        }
        ControlFlow::Continue(())
    }
}

fn drain(ring: &FakeRing) -> Told {
    let mut told = Told::default();
    let ended = Reader::default().drain(ring.memory().unwrap(), |record| told.hear(record));
    assert_eq!(ended, ControlFlow::Continue(()));
    assert_eq!(ring.tail(), ring.head(), "what was there is taken");
    told
}

/// Raw data of a length whose record needs no padding.
fn raw(length: usize, seed: usize) -> Vec<u8> {
    (0..length * WORD + 4).map(|i| u8::try_from((i * 7 + seed) & 0xff).unwrap()).collect()
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn header(kind: u32, size: u16) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&kind.to_ne_bytes());
    bytes[6..].copy_from_slice(&size.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

#[test]
fn a_sample_comes_out_as_it_went_in_wherever_the_ring_wraps() {
    const RING: usize = if cfg!(miri) { 128 } else { 256 };
    for start in (0..RING as u64).step_by(8) {
        for length in (0..=RING / WORD - 6).step_by(if cfg!(miri) { 5 } else { 1 }) {
            // Also where the counters themselves wrap.
            for position in [start, start.wrapping_sub(RING as u64)] {
                let ring = FakeRing::new(RING, position);
                let raw = raw(length, 3);
                assert!(ring.sample(u64::MAX - 5, 77, 3, &raw));
                let samples = vec![(u64::MAX - 5, 77, 3, raw)];
                assert_eq!(drain(&ring), Told { samples, ..Told::default() });
            }
        }
    }
}

#[test]
fn raw_data_that_do_not_fill_their_words_come_with_padding() {
    let ring = FakeRing::new(256, 0);
    assert!(ring.sample(1, 2, 3, &[7; 48]));
    let (_, _, _, raw) = drain(&ring).samples.remove(0);
    assert_eq!((raw.len(), &raw[..48]), (52, &[7; 48][..]));
}

#[test]
fn threads_that_begin_and_end_come_out_as_they_went_in() {
    let ring = FakeRing::new(256, 232);
    let born = Task { time_ns: u64::MAX, began: true, pid: 7, parent: 5, tid: 9 };
    let gone = Task { time_ns: 1, began: false, pid: 0, parent: -1, tid: 9 };
    assert!(ring.task(&born) && ring.sample(3, 1, 0, &raw(1, 0)) && ring.task(&gone));
    let told = drain(&ring);
    assert_eq!(told.tasks, [born, gone]);
    assert_eq!((told.samples.len(), told.damaged.len()), (1, 0));
    // One that is cut short.
    let ring = FakeRing::new(256, 0);
    assert!(ring.bytes(&words(&[header(PERF_RECORD_EXIT, 24), 1, 2])));
    assert_eq!(drain(&ring), Told { damaged: vec![24], ..Told::default() });
}

#[test]
fn every_sample_is_seen_or_told_to_be_lost() {
    let ring = FakeRing::new(1024, 40);
    let mut told = Told::default();
    let mut reader = Reader::default();
    for i in 0..500 {
        let _room = ring.sample(i, 1, 0, &raw(5, 0));
        if i % 23 == 0 {
            let _continue = reader.drain(ring.memory().unwrap(), |record| told.hear(record));
        }
    }
    let _continue = reader.drain(ring.memory().unwrap(), |record| told.hear(record));
    // The loss is told before the next sample that finds room.
    assert!(ring.sample(500, 1, 0, &raw(5, 0)));
    let _continue = reader.drain(ring.memory().unwrap(), |record| told.hear(record));
    let lost: u64 = told.lost.iter().map(|(_, count)| count).sum();
    assert!(lost > 100);
    assert_eq!(lost, ring.dropped());
    assert_eq!(told.samples.len() as u64 + lost, 501);
    assert!(told.lost.iter().all(|(time, _)| time.is_some()));
    assert!(told.samples.is_sorted_by_key(|(time, ..)| *time));
}

#[test]
fn both_kinds_of_loss_are_understood_with_and_without_their_time() {
    let ring = FakeRing::new(512, 0);
    assert!(ring.bytes(&words(&[header(PERF_RECORD_LOST, 24), 9, 5])));
    assert!(ring.bytes(&words(&[header(PERF_RECORD_LOST, 48), 9, 6, 0, 1234, 0])));
    assert!(ring.bytes(&words(&[header(PERF_RECORD_LOST_SAMPLES, 16), 7])));
    assert!(ring.bytes(&words(&[header(PERF_RECORD_LOST_SAMPLES, 40), 8, 0, 99, 0])));
    let lost = vec![(None, 5), (Some(1234), 6), (None, 7), (Some(99), 8)];
    assert_eq!(drain(&ring), Told { lost, ..Told::default() });
}

#[test]
fn other_records_are_passed_over() {
    let ring = FakeRing::new(256, 0);
    assert!(ring.bytes(&words(&[header(5, 16), 1, header(77, 8)])));
    assert!(ring.sample(1, 2, 3, &raw(1, 1)));
    let told = drain(&ring);
    assert_eq!((told.samples.len(), told.lost.len(), told.damaged.len()), (1, 0, 0));
}

#[test]
fn impossible_sizes_end_the_drain_and_not_the_ring() {
    for size in [0, 4, 7, 12, 33, 40, 65528, 65535] {
        let ring = FakeRing::new(128, 88);
        assert!(ring.bytes(&words(&[header(PERF_RECORD_SAMPLE, size), 0, 0, 0])));
        assert_eq!(drain(&ring), Told { damaged: vec![32], ..Told::default() }, "{size}");
        assert!(ring.sample(1, 2, 3, &raw(1, 1)));
        assert_eq!(drain(&ring).samples.len(), 1);
    }
}

#[test]
fn a_sample_that_claims_more_data_than_it_has_costs_only_itself() {
    let ring = FakeRing::new(256, 0);
    for claimed in [5, u64::from(u32::MAX)] {
        assert!(ring.bytes(&words(&[header(PERF_RECORD_SAMPLE, 40), 0, 0, 0, claimed])));
    }
    assert!(ring.bytes(&words(&[header(PERF_RECORD_SAMPLE, 16), 0])));
    assert!(ring.sample(1, 2, 3, &raw(1, 1)));
    let told = drain(&ring);
    assert_eq!((told.samples.len(), told.damaged), (1, vec![40, 40, 16]));
}

#[test]
fn a_head_that_cannot_be_is_caught_up_with() {
    let ring = FakeRing::new(128, 0);
    assert!(ring.sample(1, 2, 3, &raw(1, 1)));
    ring.corrupt_head(129);
    assert_eq!(drain(&ring), Told { damaged: vec![129], ..Told::default() });
    // Off the words' borders nothing makes sense any more, but nothing is read outside of the ring either.
    ring.corrupt_head(136);
    assert_eq!(drain(&ring).damaged, [7]);
    ring.corrupt_head(0);
    assert_eq!(drain(&ring).damaged, [136_u64.wrapping_neg()]);
}

#[test]
fn rings_are_powers_of_two() {
    let [head, tail] = [AtomicU64::new(0), AtomicU64::new(0)];
    let words: Vec<AtomicU64> = (0..8).map(AtomicU64::new).collect();
    for length in [0, 3, 5, 6, 7] {
        assert!(Memory::new(&head, &tail, &words[..length]).is_none());
    }
    assert_eq!(Memory::new(&head, &tail, &words).unwrap().capacity(), 64);
}

#[test]
fn the_tail_moves_once_and_also_when_the_listener_stops_or_panics() {
    let ring = FakeRing::new(1024, 0);
    let size = 40;
    for i in 0..6 {
        assert!(ring.sample(i, 1, 0, &raw(0, 0)));
    }
    let mut reader = Reader::default();
    let mut heard = 0;
    let stopped = reader.drain(ring.memory().unwrap(), |_| {
        assert_eq!(ring.tail(), 0, "nothing is given back while records are read");
        heard += 1;
        if heard == 2 { ControlFlow::Break("enough") } else { ControlFlow::Continue(()) }
    });
    assert_eq!((stopped, ring.tail()), (ControlFlow::Break("enough"), 2 * size));

    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        reader.drain(ring.memory().unwrap(), |record| -> ControlFlow<()> {
            assert!(!matches!(record, Record::Sample(Sample { time_ns: 4, .. })), "on purpose");
            ControlFlow::Continue(())
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(ring.tail(), 5 * size, "the record that was too much does not come again");
    assert_eq!(drain(&ring).samples.len(), 1);
}

#[test]
fn records_written_during_a_drain_wait_for_the_next() {
    let ring = FakeRing::new(1024, 0);
    assert!(ring.sample(0, 1, 0, &raw(0, 0)));
    let mut seen = Vec::new();
    let mut reader = Reader::default();
    for _ in 0..3 {
        let _continue = reader.drain(ring.memory().unwrap(), |record| {
            if let Record::Sample(sample) = record {
                seen.push(sample.time_ns);
                assert!(ring.sample(sample.time_ns + 1, 1, 0, &raw(0, 0)));
            }
            ControlFlow::<()>::Continue(())
        });
    }
    assert_eq!(seen, [0, 1, 2]);
}

#[test]
fn a_writer_in_another_thread_is_followed_without_a_tear() {
    let samples = if cfg!(miri) { 60 } else { 50_000 };
    let ring = FakeRing::new(512, 8);
    let mut next = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..samples {
                let length = usize::try_from(i % 9).unwrap();
                while !ring.bytes(&whole(i, length)) {
                    std::thread::yield_now();
                }
            }
        });
        let mut reader = Reader::default();
        while next < samples {
            let _continue = reader.drain(ring.memory().unwrap(), |record| {
                let Record::Sample(sample) = record else { panic!("{record:?}") };
                assert_eq!(sample.time_ns, next);
                let length = usize::try_from(next % 9).unwrap();
                assert_eq!(sample.raw, raw(length, usize::try_from(next).unwrap()));
                next += 1;
                ControlFlow::<()>::Continue(())
            });
            std::thread::yield_now();
        }
    });
    assert_eq!(next, samples);
}

/// A sample record as bytes, for writers that wait for room instead of dropping.
fn whole(number: u64, length: usize) -> Vec<u8> {
    let raw = raw(length, usize::try_from(number).unwrap());
    let size = u16::try_from(36 + raw.len()).unwrap();
    let mut record = words(&[header(PERF_RECORD_SAMPLE, size), 0, number, 0]);
    record.extend(u32::try_from(raw.len()).unwrap().to_ne_bytes());
    record.extend(raw);
    record
}

#[test]
fn whatever_is_in_the_ring_the_drain_ends_where_the_writer_was() {
    // xorshift: the same rubbish every time, also where proptest is too slow.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..if cfg!(miri) { 20 } else { 5_000 } {
        let ring = FakeRing::new(256, random() & !7);
        for _ in 0..random() % 33 {
            // Often something that looks like a record.
            let kind = [2, 9, 13, 5][usize::try_from(random() % 4).unwrap()];
            let size = u16::try_from(random() % 10 * 8).unwrap();
            let word = if random() % 2 == 0 { header(kind, size) } else { random() };
            let _room = ring.bytes(&word.to_ne_bytes());
        }
        let there = ring.head() - ring.tail();
        let told = drain(&ring);
        assert!(told.damaged.iter().sum::<u64>() <= there);
    }
}
