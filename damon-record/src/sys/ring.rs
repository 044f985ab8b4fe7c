//! Reading the ring through which the kernel hands over perf records (`perf_event_open(2)`, "MMAP layout").
//!
//! The kernel appends records and moves `head`; we read them and move `tail`, and what lies between belongs to us:
//! the kernel drops new records rather than overwriting unread ones, and says later how many it dropped.
//! Records are multiples of eight bytes in a ring that is a power of two, so a record may wrap around the end of
//! the ring, but only between words. All of this is safe code over atomics: the same code reads a mapping that the
//! kernel writes and a vector that a test writes.

#![expect(clippy::host_endian_bytes, reason = "the kernel writes its own words")]

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a word of the ring.
const WORD: usize = size_of::<u64>();
/// Bytes of `struct perf_event_header`: type, flags, size.
const HEADER: usize = 8;
/// Records' size is a 16-bit number.
const LONGEST: usize = 1 << 16;

/// Record types of `include/uapi/linux/perf_event.h`.
pub(super) const PERF_RECORD_LOST: u32 = 2;
pub(super) const PERF_RECORD_EXIT: u32 = 4;
pub(super) const PERF_RECORD_FORK: u32 = 7;
pub(super) const PERF_RECORD_SAMPLE: u32 = 9;
pub(super) const PERF_RECORD_LOST_SAMPLES: u32 = 13;

/// Where a ring is.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    head: &'a AtomicU64,
    tail: &'a AtomicU64,
    words: &'a [AtomicU64],
}

impl<'a> Memory<'a> {
    /// A ring of `words`; `None` unless their number is a power of two.
    ///
    /// `head`: bytes ever written, moved by the writer alone. `tail`: bytes ever read, moved by the reader alone.
    pub fn new(head: &'a AtomicU64, tail: &'a AtomicU64, words: &'a [AtomicU64]) -> Option<Self> {
        words.len().is_power_of_two().then_some(Self { head, tail, words })
    }

    /// Bytes it holds.
    pub fn capacity(&self) -> u64 {
        (self.words.len() as u64).saturating_mul(WORD as u64)
    }

    /// The words after `position` up to the end of the ring, and those before it.
    fn from(&self, position: u64) -> (&'a [AtomicU64], &'a [AtomicU64]) {
        let index = (position / (WORD as u64)) & (self.words.len() as u64).wrapping_sub(1);
        let index = usize::try_from(index).unwrap_or(0);
        let (before, behind) = self.words.split_at_checked(index).unwrap_or((self.words, &[]));
        (behind, before)
    }
}

/// One thing that a ring told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// An event.
    Sample(Sample<'a>),
    /// A thread began or ended.
    Task(Task),
    /// Records that the kernel dropped for want of room, somewhere between the record before and this one.
    Lost {
        /// When the kernel could tell, on the event's clock; `None` where it does not say.
        time_ns: Option<u64>,
        /// How many.
        count: u64,
    },
    /// Bytes that are no record. They are passed over, and if that is not possible, all that is there now.
    Damaged {
        /// How many.
        bytes: u64,
    },
}

/// One event as `sys::perf` asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'a> {
    /// When, in nanoseconds of the event's clock.
    pub time_ns: u64,
    /// In which thread, in the pid namespace of the one who opened the event; 0 or -1 where it has no number there.
    pub tid: i32,
    /// On which CPU.
    pub cpu: u32,
    /// What the tracepoint recorded, perhaps with some bytes of padding after it.
    pub raw: &'a [u8],
}

/// A thread that began or ended. Ids are those of the pid namespace of the one who opened the event; 0 or negative
/// where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// When, in nanoseconds of the event's clock.
    pub time_ns: u64,
    /// It began; otherwise it ended.
    pub began: bool,
    /// Its process.
    pub pid: i32,
    /// The process that made it if it began, that of its parent if it ended.
    pub parent: i32,
    /// The thread itself.
    pub tid: i32,
}

/// A reader of rings; keeps nothing but memory to put a record together in.
#[derive(Debug)]
pub struct Reader {
    record: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { record: vec![0; LONGEST] }
    }
}

/// What has been read, told to the writer when it goes out of scope, however that comes about.
struct Taken<'a> {
    tail: &'a AtomicU64,
    position: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // Release: the reads of the records come before the writer may use their room again.
        self.tail.store(self.position, Ordering::Release);
    }
}

impl Reader {
    /// Hands over the records that are there at the moment of the call, in the ring's order. Whatever ends it,
    /// `each` included, the records handed over are taken from the ring, all at once.
    pub fn drain<B>(
        &mut self,
        ring: Memory<'_>,
        mut each: impl FnMut(Record<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        // Acquire: what the writer wrote before it moved the head is seen. Only we move the tail.
        let head = ring.head.load(Ordering::Acquire);
        let mut taken = Taken { tail: ring.tail, position: ring.tail.load(Ordering::Relaxed) };
        while taken.position != head {
            let left = head.wrapping_sub(taken.position);
            let size = if left > ring.capacity() { None } else { self.fetch(ring, &taken, left) };
            // Each record leaves before it is looked at: one that `each` cannot bear does not come again.
            let Some(size) = size else {
                taken.position = head;
                return each(Record::Damaged { bytes: left });
            };
            taken.position = taken.position.wrapping_add(size as u64);
            if let Some(record) = self.record.get(..size).and_then(parse) {
                each(record)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Copies the record at the tail; its size, unless it claims one that no record of `left` bytes can have.
    #[inline]
    fn fetch(&mut self, ring: Memory<'_>, taken: &Taken<'_>, left: u64) -> Option<usize> {
        let (behind, wrapped) = ring.from(taken.position);
        let header = behind.first()?.load(Ordering::Relaxed).to_ne_bytes();
        let [.., low, high] = header;
        let size = usize::from(u16::from_ne_bytes([low, high]));
        if size < HEADER || !size.is_multiple_of(WORD) || size as u64 > left {
            return None;
        }
        let record = self.record.get_mut(..size)?;
        let (front, back) = record.split_at_mut(size.min(behind.len().saturating_mul(WORD)));
        copy(front, behind);
        copy(back, wrapped);
        Some(size)
    }
}

/// Fills `bytes`, a multiple of a word, with the first of `words`.
#[inline]
fn copy(bytes: &mut [u8], words: &[AtomicU64]) {
    for (bytes, word) in bytes.chunks_exact_mut(WORD).zip(words) {
        bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
    }
}

/// What a whole record says; `None` for one that is of no interest.
fn parse(record: &[u8]) -> Option<Record<'_>> {
    match u32_at(record, 0)? {
        PERF_RECORD_SAMPLE => Some(
            sample(record).map_or(Record::Damaged { bytes: record.len() as u64 }, Record::Sample),
        ),
        kind @ (PERF_RECORD_FORK | PERF_RECORD_EXIT) => Some(
            task(record, kind == PERF_RECORD_FORK)
                .map_or(Record::Damaged { bytes: record.len() as u64 }, Record::Task),
        ),
        // Behind their own fields follow thread, time and CPU (`sample_id_all`).
        PERF_RECORD_LOST => {
            Some(Record::Lost { time_ns: u64_at(record, 32), count: u64_at(record, 16)? })
        }
        PERF_RECORD_LOST_SAMPLES => {
            Some(Record::Lost { time_ns: u64_at(record, 24), count: u64_at(record, 8)? })
        }
        _ => None,
    }
}

/// Thread, time, CPU and raw data, in the order in which the kernel writes them whatever the order of asking.
fn sample(record: &[u8]) -> Option<Sample<'_>> {
    let bytes = usize::try_from(u32_at(record, 32)?).ok()?;
    Some(Sample {
        time_ns: u64_at(record, 16)?,
        tid: u32_at(record, 12)?.cast_signed(),
        cpu: u32_at(record, 24)?,
        raw: record.get(36..)?.get(..bytes)?,
    })
}

/// Process and parent, thread and parent's thread, time.
fn task(record: &[u8], began: bool) -> Option<Task> {
    let id = |at| u32_at(record, at).map(u32::cast_signed);
    Some(Task { time_ns: u64_at(record, 24)?, began, pid: id(8)?, parent: id(12)?, tid: id(16)? })
}

fn u32_at(record: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*record.get(at..)?.first_chunk()?))
}

fn u64_at(record: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*record.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests;
