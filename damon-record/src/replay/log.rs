//! The touch log: for each quantum of time the pages that were touched in it.
//!
//! Numbers are LEB128, strings a length and UTF-8 bytes.
//!
//! ```text
//! head     8 bytes "\x89TOUCH\r\n", version (1), page size in bytes, quantum in nanoseconds,
//!          name of what was observed, what the clock means
//! quantum  1 + quanta without touches before it, number of runs (> 0), then for each run of pages:
//!          pages since the end of the previous run (of the quantum), pages * 4 + kind (1 read, 2 written, 3 both)
//! end      0, quanta in all, number of mappings, then for each: pages since the end of the previous
//!          one, pages (> 0), name
//! ```
//!
//! Runs and mappings ascend and are disjoint. A log without its end was cut off and is refused.

use std::io::{self, BufRead, Read, Write};

use super::varint;
use crate::monitor::AddressRange;

const MAGIC: &[u8; 8] = b"\x89TOUCH\r\n";
const VERSION: u64 = 1;
const MAX_TEXT_BYTES: u64 = 4096;
const MAX_PAGE_SIZE: u64 = 1 << 30;
/// Touches of one quantum that are kept before they are sorted; equal ones become one.
const PENDING: usize = 1 << 16;

/// What a log is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes, a power of two.
    pub page_size: u64,
    /// Nanoseconds, more than 0.
    pub quantum_ns: u64,
    /// Name of the program or workload.
    pub name: String,
    /// One sentence: what the clock means.
    pub clock: String,
}

/// Neighbouring pages that were touched in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// At least one read in each page.
    pub read: bool,
    /// At least one write in each page.
    pub written: bool,
}

/// Memory that the program had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// Where.
    pub range: AddressRange,
    /// For people.
    pub name: String,
}

/// The end of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Its length.
    pub quanta: u64,
    /// Ascending and disjoint.
    pub areas: Vec<Area>,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// Something else.
    #[error(
        "is no touch log; `damon-workload fold-lackey` and `damon-workload simulate` make them"
    )]
    NotALog,
    /// Made by another version.
    #[error("has version {0}; this program reads version 1: make it again")]
    Version(u64),
    /// The end is missing.
    #[error("is cut off; make it again")]
    CutOff,
    /// Impossible content.
    #[error("is damaged: {0}; make it again")]
    Damaged(&'static str),
}

impl From<io::Error> for LogError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::CutOff,
            io::ErrorKind::InvalidData => Self::Damaged("a number or text is impossible"),
            _ => Self::Read(error),
        }
    }
}

/// Writes a log.
#[derive(Debug)]
pub struct LogWriter<W> {
    out: W,
    head: Head,
    /// Quanta written, with those without touches.
    written: u64,
    quantum: u64,
    /// Page number, kind.
    pending: Vec<(u64, u8)>,
}

impl<W: Write> LogWriter<W> {
    /// Writes the head; a page size or quantum of 0 counts as 1.
    pub fn create(mut out: W, head: Head) -> io::Result<Self> {
        let head =
            Head { page_size: head.page_size.max(1), quantum_ns: head.quantum_ns.max(1), ..head };
        out.write_all(MAGIC)?;
        for number in [VERSION, head.page_size, head.quantum_ns] {
            varint::write(&mut out, number)?;
        }
        write_text(&mut out, &head.name)?;
        write_text(&mut out, &head.clock)?;
        Ok(Self { out, head, written: 0, quantum: 0, pending: Vec::new() })
    }

    /// The word at `address` was touched at `time_ns`; times that go back count as now.
    pub fn touch(&mut self, time_ns: u64, address: u64, write: bool) -> io::Result<()> {
        let quantum = time_ns / self.head.quantum_ns;
        if quantum > self.quantum {
            self.end_quantum()?;
            self.quantum = quantum;
        }
        let touch = (address / self.head.page_size, if write { 2 } else { 1 });
        if self.pending.last() != Some(&touch) {
            self.pending.push(touch);
        }
        if self.pending.len() >= PENDING {
            self.sort();
        }
        Ok(())
    }

    /// Ends the log at `end_ns`; `areas` ascend and are disjoint.
    pub fn finish(mut self, end_ns: u64, areas: &[Area]) -> io::Result<W> {
        self.end_quantum()?;
        varint::write(&mut self.out, 0)?;
        varint::write(&mut self.out, end_ns.div_ceil(self.head.quantum_ns).max(self.written))?;
        varint::write(&mut self.out, areas.len() as u64)?;
        let mut previous = 0;
        for area in areas {
            let (start, end) = self.pages(area.range);
            varint::write(&mut self.out, start.saturating_sub(previous))?;
            varint::write(&mut self.out, end.saturating_sub(start).max(1))?;
            write_text(&mut self.out, &area.name)?;
            previous = end;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn pages(&self, range: AddressRange) -> (u64, u64) {
        (range.start / self.head.page_size, range.end.div_ceil(self.head.page_size))
    }

    fn sort(&mut self) {
        self.pending.sort_unstable();
        self.pending.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 |= later.1;
            }
            same
        });
    }

    fn end_quantum(&mut self) -> io::Result<()> {
        self.sort();
        if self.pending.is_empty() {
            return Ok(());
        }
        varint::write(&mut self.out, 1 + self.quantum - self.written)?;
        self.written = self.quantum + 1;
        let joins = |a: &(u64, u8), b: &(u64, u8)| a.0 + 1 == b.0 && a.1 == b.1;
        varint::write(&mut self.out, self.pending.chunk_by(joins).count() as u64)?;
        let mut previous = 0;
        for run in self.pending.chunk_by(joins) {
            let Some(&(page, kind)) = run.first() else { continue };
            let pages = run.len() as u64;
            varint::write(&mut self.out, page - previous)?;
            varint::write(&mut self.out, pages * 4 + u64::from(kind))?;
            previous = page + pages;
        }
        self.pending.clear();
        Ok(())
    }
}

/// Reads a log.
#[derive(Debug)]
pub struct LogReader<R> {
    input: R,
    head: Head,
    /// The quantum after the last one read.
    next: u64,
    tail: Option<Tail>,
}

impl<R: BufRead> LogReader<R> {
    /// Reads the head.
    pub fn open(mut input: R) -> Result<Self, LogError> {
        let mut magic = [0; 8];
        match input.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(LogError::Read(error));
            }
            _ => return Err(LogError::NotALog),
        }
        let version = varint::read(&mut input)?;
        if version != VERSION {
            return Err(LogError::Version(version));
        }
        let page_size = varint::read(&mut input)?;
        if !page_size.is_power_of_two() || page_size > MAX_PAGE_SIZE {
            return Err(LogError::Damaged("the page size is impossible"));
        }
        let quantum_ns = varint::read(&mut input)?;
        if quantum_ns == 0 {
            return Err(LogError::Damaged("its quantum is 0"));
        }
        let name = read_text(&mut input)?;
        let clock = read_text(&mut input)?;
        let head = Head { page_size, quantum_ns, name, clock };
        Ok(Self { input, head, next: 0, tail: None })
    }

    /// What the log is about.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Puts the touches of the next quantum that has any into `touched`, ascending, and returns its number;
    /// nothing at the end.
    pub fn quantum(&mut self, touched: &mut Vec<Touched>) -> Result<Option<u64>, LogError> {
        touched.clear();
        if self.tail.is_some() {
            return Ok(None);
        }
        let step = varint::read(&mut self.input)?;
        if step == 0 {
            self.tail = Some(self.read_tail()?);
            return Ok(None);
        }
        let beyond = LogError::Damaged("it lasts for ever");
        let quantum = self.next.checked_add(step - 1).ok_or(beyond)?;
        self.next = quantum.saturating_add(1);
        let mut place = Place { page: 0, page_size: self.head.page_size };
        for _ in 0..varint::read(&mut self.input)? {
            let gap = varint::read(&mut self.input)?;
            let word = varint::read(&mut self.input)?;
            let range = place.next(gap, word / 4)?;
            if word.is_multiple_of(4) {
                return Err(LogError::Damaged("pages that were neither read nor written"));
            }
            touched.push(Touched {
                start: range.start,
                end: range.end,
                read: word & 1 != 0,
                written: word & 2 != 0,
            });
        }
        Ok(Some(quantum))
    }

    /// How long the log is; known when its end has been reached.
    pub fn quanta(&self) -> Option<u64> {
        self.tail.as_ref().map(|tail| tail.quanta)
    }

    /// Reads on to the end.
    pub fn tail(mut self) -> Result<Tail, LogError> {
        let mut touched = Vec::new();
        while self.quantum(&mut touched)?.is_some() {}
        self.tail.ok_or(LogError::CutOff)
    }

    fn read_tail(&mut self) -> Result<Tail, LogError> {
        let quanta = varint::read(&mut self.input)?;
        if quanta < self.next {
            return Err(LogError::Damaged("it ends before its last touch"));
        }
        let mut place = Place { page: 0, page_size: self.head.page_size };
        let mut areas = Vec::new();
        for _ in 0..varint::read(&mut self.input)? {
            let gap = varint::read(&mut self.input)?;
            let range = place.next(gap, varint::read(&mut self.input)?)?;
            areas.push(Area { range, name: read_text(&mut self.input)? });
        }
        Ok(Tail { quanta, areas })
    }
}

/// Walks upwards over pages.
struct Place {
    page: u64,
    page_size: u64,
}

impl Place {
    fn next(&mut self, gap: u64, pages: u64) -> Result<AddressRange, LogError> {
        let place = || {
            let first = self.page.checked_add(gap)?;
            let end = first.checked_add(pages)?;
            let start = first.checked_mul(self.page_size)?;
            Some((end, AddressRange { start, end: end.checked_mul(self.page_size)? }))
        };
        let (end, range) = place().ok_or(LogError::Damaged("an address beyond 64 bits"))?;
        if pages == 0 {
            return Err(LogError::Damaged("an empty range"));
        }
        self.page = end;
        Ok(range)
    }
}

fn write_text(out: &mut impl Write, text: &str) -> io::Result<()> {
    let mut end = text.len().min(usize::try_from(MAX_TEXT_BYTES).unwrap_or(usize::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or("");
    varint::write(out, text.len() as u64)?;
    out.write_all(text.as_bytes())
}

fn read_text(input: &mut impl Read) -> Result<String, LogError> {
    let length = varint::read(input)?;
    if length > MAX_TEXT_BYTES {
        return Err(LogError::Damaged("a text is too long"));
    }
    let mut text = String::new();
    let read = input.by_ref().take(length).read_to_string(&mut text)?;
    if read as u64 == length { Ok(text) } else { Err(LogError::CutOff) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head() -> Head {
        Head { page_size: 4096, quantum_ns: 1000, name: "p".into(), clock: "made up".into() }
    }

    fn area(start: u64, end: u64) -> Area {
        Area { range: AddressRange { start, end }, name: "a".into() }
    }

    fn written(touches: &[(u64, u64, bool)], end_ns: u64) -> Vec<u8> {
        let mut log = LogWriter::create(Vec::new(), head()).unwrap();
        for &(time, address, write) in touches {
            log.touch(time, address, write).unwrap();
        }
        log.finish(end_ns, &[area(0x1000, 0x3000), area(0x8000, 0x9000)]).unwrap()
    }

    /// Quantum, start, end, read, written.
    type Row = (u64, u64, u64, bool, bool);

    fn quanta(bytes: &[u8]) -> Result<Vec<Row>, LogError> {
        let mut reader = LogReader::open(bytes)?;
        let (mut all, mut touched) = (Vec::new(), Vec::new());
        while let Some(quantum) = reader.quantum(&mut touched)? {
            all.extend(touched.iter().map(|t| (quantum, t.start, t.end, t.read, t.written)));
        }
        Ok(all)
    }

    #[test]
    fn touches_of_a_quantum_become_runs_of_pages() {
        let touches = [
            (0, 0x2008, false),
            (999, 0x1000, true),
            (999, 0x2fff, true),
            (500, 0x1010, false),
            (5000, 0x8000, false),
            (5001, 0x1000, false),
        ];
        let bytes = written(&touches, 7001);
        let expected = [
            (0, 0x1000, 0x3000, true, true),
            (5, 0x1000, 0x2000, true, false),
            (5, 0x8000, 0x9000, true, false),
        ];
        assert_eq!(quanta(&bytes).unwrap(), expected);
        let reader = LogReader::open(bytes.as_slice()).unwrap();
        assert_eq!(reader.head(), &head());
        let tail = reader.tail().unwrap();
        assert_eq!(
            (tail.quanta, tail.areas),
            (8, vec![area(0x1000, 0x3000), area(0x8000, 0x9000)])
        );
    }

    #[test]
    fn whatever_is_cut_off_is_refused() {
        let bytes = written(&[(0, 0x2000, false), (5000, 0x9000, true)], 9000);
        for length in 0..bytes.len() {
            let error = LogReader::open(&bytes[..length]).and_then(LogReader::tail).unwrap_err();
            let expected = if length < 8 { "is no touch log" } else { "is cut off" };
            assert!(error.to_string().starts_with(expected), "{length}: {error}");
        }
    }

    #[test]
    fn a_time_that_goes_back_counts_as_now() {
        let bytes = written(&[(5000, 0x1000, false), (10, 0x2000, false)], 0);
        assert_eq!(quanta(&bytes).unwrap(), [(5, 0x1000, 0x3000, true, false)]);
    }

    proptest! {
        #[test]
        fn damaged_logs_do_not_panic(flips in proptest::collection::vec((0_usize..200, any::<u8>()), 1..4)) {
            let touches: Vec<_> = (0..40).map(|i| (i * 700, (i * 0x1357) & 0xf_ffff, i % 3 == 0)).collect();
            let mut bytes = written(&touches, 30_000);
            for (at, value) in flips {
                let at = at % bytes.len();
                bytes[at] ^= value;
            }
            let _any_answer_will_do = LogReader::open(bytes.as_slice()).and_then(LogReader::tail);
        }

        #[test]
        fn a_log_holds_exactly_the_pages_touched(
            mut touches in proptest::collection::vec((0_u64..20_000, 0_u64..0x4_0000, any::<bool>()), 0..200),
        ) {
            touches.sort_by_key(|touch| touch.0);
            let mut expected = std::collections::BTreeMap::new();
            for (time, address, write) in &touches {
                let kind: &mut (bool, bool) = expected.entry((time / 1000, address / 4096)).or_default();
                if *write { kind.1 = true } else { kind.0 = true }
            }
            let mut found = std::collections::BTreeMap::new();
            for (quantum, start, end, read, written) in quanta(&written(&touches, 0)).unwrap() {
                for page in start / 4096..end / 4096 {
                    found.insert((quantum, page), (read, written));
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
