//! A ring in ordinary memory, written as the kernel writes one; for tests and benchmarks of what reads rings.

#![expect(clippy::host_endian_bytes, reason = "the kernel writes its own words")]

use super::ring::{
    Memory, PERF_RECORD_EXIT, PERF_RECORD_FORK, PERF_RECORD_LOST, PERF_RECORD_SAMPLE, Task,
};
use std::sync::atomic::{AtomicU64, Ordering};

const WORD: usize = size_of::<u64>();

/// A ring and its writer. Writing takes `&self`, so that it can go on while somebody reads; one writer at a time.
#[derive(Debug)]
pub struct FakeRing {
    head: AtomicU64,
    tail: AtomicU64,
    words: Vec<AtomicU64>,
    /// Samples dropped that no record has told about.
    untold: AtomicU64,
    /// Samples dropped at all.
    dropped: AtomicU64,
}

impl FakeRing {
    /// An empty ring of at least `bytes`, whose counters start at `position` as if so many had gone through it.
    pub fn new(bytes: usize, position: u64) -> Self {
        let words = (bytes / WORD).next_power_of_two();
        Self {
            head: AtomicU64::new(position),
            tail: AtomicU64::new(position),
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            untold: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// What a reader sees.
    pub fn memory(&self) -> Option<Memory<'_>> {
        Memory::new(&self.head, &self.tail, &self.words)
    }

    /// Samples that found no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How far the reader says it is.
    pub fn tail(&self) -> u64 {
        self.tail.load(Ordering::Relaxed)
    }

    /// How far the writer is.
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    /// Moves the writer to `head` without writing anything: a ring that has gone wrong.
    pub fn corrupt_head(&self, head: u64) {
        self.head.store(head, Ordering::Release);
    }

    /// Writes one sample: header, thread, time, CPU, size and raw data, padded to words as the kernel pads them.
    /// First it tells about samples dropped before. False: there was no room and the sample is dropped.
    pub fn sample(&self, time_ns: u64, tid: i32, cpu: u32, raw: &[u8]) -> bool {
        let untold = self.untold.load(Ordering::Relaxed);
        let mut record = Vec::with_capacity(48 + raw.len());
        if untold > 0 {
            lost_record(&mut record, untold, time_ns, tid, cpu);
        }
        let at = record.len();
        let size = (36 + raw.len()).next_multiple_of(WORD);
        header(&mut record, PERF_RECORD_SAMPLE, size);
        record.extend(tid.to_ne_bytes());
        record.extend(tid.to_ne_bytes());
        record.extend(time_ns.to_ne_bytes());
        record.extend(cpu.to_ne_bytes());
        record.extend(0_u32.to_ne_bytes());
        let padded = u32::try_from(size - 36).unwrap_or(0);
        record.extend(padded.to_ne_bytes());
        record.extend(raw);
        record.resize(at + size, 0);
        let written = self.bytes(&record);
        if written {
            self.untold.store(0, Ordering::Relaxed);
        } else {
            self.untold.fetch_add(1, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        written
    }

    /// Writes that a thread began or ended, with thread, time and CPU after it, if there is room.
    pub fn task(&self, task: &Task) -> bool {
        let mut record = Vec::with_capacity(56);
        let kind = if task.began { PERF_RECORD_FORK } else { PERF_RECORD_EXIT };
        header(&mut record, kind, 56);
        for id in [task.pid, task.parent, task.tid, task.parent] {
            record.extend(id.to_ne_bytes());
        }
        record.extend(task.time_ns.to_ne_bytes());
        sample_id(&mut record, task.time_ns, task.tid, 0);
        self.bytes(&record)
    }

    /// Appends words, whatever they are, if there is room for all of them.
    pub fn bytes(&self, record: &[u8]) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        // Acquire: the reader has read what it gives back.
        let used = head.wrapping_sub(self.tail.load(Ordering::Acquire));
        let capacity = (self.words.len() * WORD) as u64;
        if used + record.len() as u64 > capacity {
            return false;
        }
        let mask = self.words.len() - 1;
        for (offset, chunk) in record.chunks(WORD).enumerate() {
            let mut bytes = [0; WORD];
            for (to, from) in bytes.iter_mut().zip(chunk) {
                *to = *from;
            }
            let at = usize::try_from(head / WORD as u64).unwrap_or(0).wrapping_add(offset) & mask;
            if let Some(word) = self.words.get(at) {
                word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
            }
        }
        self.head.store(head.wrapping_add(record.len() as u64), Ordering::Release);
        true
    }
}

fn header(record: &mut Vec<u8>, kind: u32, size: usize) {
    record.extend(kind.to_ne_bytes());
    record.extend(0_u16.to_ne_bytes());
    record.extend(u16::try_from(size).unwrap_or(0).to_ne_bytes());
}

/// A lost record with the sample's thread, time and CPU after it.
fn lost_record(record: &mut Vec<u8>, count: u64, time_ns: u64, tid: i32, cpu: u32) {
    header(record, PERF_RECORD_LOST, 48);
    record.extend(1_u64.to_ne_bytes());
    record.extend(count.to_ne_bytes());
    sample_id(record, time_ns, tid, cpu);
}

fn sample_id(record: &mut Vec<u8>, time_ns: u64, tid: i32, cpu: u32) {
    record.extend(tid.to_ne_bytes());
    record.extend(tid.to_ne_bytes());
    record.extend(time_ns.to_ne_bytes());
    record.extend(cpu.to_ne_bytes());
    record.extend(0_u32.to_ne_bytes());
}
