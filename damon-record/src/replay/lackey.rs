//! Folds the memory trace of valgrind's tool "lackey" into a touch log, as it comes: the text is some
//! gigabytes for a second of a program's life and is never stored.
//!
//! Lines are `I  04000a00,3` (an instruction fetched), ` L 1ffeffe7e0,8` (load), ` S …` (store), ` M …` (load
//! and store): address in hexadecimal, size in bytes. There are no times; the clock is the number of
//! instructions, of which a stated number make a second.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read as _, Write};

use super::log::{Area, Head, LogWriter};
use crate::monitor::AddressRange;

/// Instructions that count as a second, unless said otherwise: a small program then lasts some seconds, as a
/// recording with usual intervals needs.
pub const DEFAULT_RATE: u64 = 1_000_000;
/// Resolution of the clock.
const QUANTUM_NS: u64 = 1_000_000;
const SECOND_NS: u64 = 1_000_000_000;
const PAGE_SIZE: u64 = 4096;
/// Longest line that can be a record.
const MAX_LINE: u64 = 256;
/// Touched pages no farther apart than this belong to one area: what is mapped is not known.
const AREA_GAP: u64 = 1 << 20;

/// Why folding failed.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The trace cannot be read.
    #[error("cannot read the trace: {0}")]
    Read(io::Error),
    /// The log cannot be written.
    #[error("cannot write the touches: {0}")]
    Write(io::Error),
    /// There was nothing to fold.
    #[error(
        "no memory access in {lines} lines: give it what `valgrind --tool=lackey --trace-mem=yes` writes"
    )]
    NoTrace {
        /// Lines read.
        lines: u64,
    },
}

/// What was folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Instructions.
    pub instructions: u64,
    /// Loads and stores.
    pub accesses: u64,
    /// Lines that are neither accesses nor valgrind's own words.
    pub strange: u64,
    /// Different pages.
    pub pages: u64,
}

/// Reads a trace to its end; `rate` instructions are a second.
pub fn fold<W: Write>(
    mut input: impl BufRead,
    out: W,
    name: &str,
    rate: u64,
) -> Result<Folded, FoldError> {
    let rate = rate.max(1);
    let head = Head {
        page_size: PAGE_SIZE,
        quantum_ns: QUANTUM_NS,
        name: name.into(),
        clock: format!("{rate} instructions are one second"),
    };
    let mut log = LogWriter::create(out, head).map_err(FoldError::Write)?;
    let time = |instructions: u64| {
        let ns = u128::from(instructions) * u128::from(SECOND_NS) / u128::from(rate);
        u64::try_from(ns).unwrap_or(u64::MAX)
    };
    let (mut folded, mut pages) = (Folded::default(), BTreeSet::new());
    let (mut lines, mut last) = (0_u64, u64::MAX);
    let mut line = Vec::new();
    loop {
        line.clear();
        let limited = (&mut input).take(MAX_LINE).read_until(b'\n', &mut line);
        if limited.map_err(FoldError::Read)? == 0 {
            break;
        }
        lines += 1;
        let Some(record) = Access::parse(&line) else {
            folded.strange += u64::from(!line.starts_with(b"==") && !line.starts_with(b"--"));
            continue;
        };
        let now = time(folded.instructions);
        if record.instruction {
            folded.instructions += 1;
        } else {
            folded.accesses += 1;
        }
        let end = record.address.saturating_add(record.size.max(1) - 1) / PAGE_SIZE;
        for page in record.address / PAGE_SIZE..=end {
            if page != last {
                pages.insert(page);
                last = page;
            }
            let kinds = [record.read.then_some(false), record.written.then_some(true)];
            for write in kinds.into_iter().flatten() {
                log.touch(now, page * PAGE_SIZE, write).map_err(FoldError::Write)?;
            }
        }
    }
    if pages.is_empty() {
        return Err(FoldError::NoTrace { lines });
    }
    folded.pages = pages.len() as u64;
    let end = time(folded.instructions);
    log.finish(end, &areas(&pages)).map_err(FoldError::Write)?;
    Ok(folded)
}

/// Touched pages with the small gaps between them.
fn areas(pages: &BTreeSet<u64>) -> Vec<Area> {
    let mut areas: Vec<Area> = Vec::new();
    for page in pages {
        let (start, end) = (page * PAGE_SIZE, page.saturating_add(1).saturating_mul(PAGE_SIZE));
        match areas.last_mut() {
            Some(area) if start - area.range.end <= AREA_GAP => area.range.end = end,
            _ => areas.push(Area { range: AddressRange { start, end }, name: String::new() }),
        }
    }
    areas
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Access {
    instruction: bool,
    read: bool,
    written: bool,
    address: u64,
    size: u64,
}

impl Access {
    fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?.trim_end();
        let (kind, place) = text.split_at_checked(3)?;
        let (instruction, read, written) = match kind {
            "I  " => (true, true, false),
            " L " => (false, true, false),
            " S " => (false, false, true),
            " M " => (false, true, true),
            _ => return None,
        };
        let (address, size) = place.split_once(',')?;
        let address = u64::from_str_radix(address, 16).ok()?;
        // The largest accesses save all registers at once: some kilobytes.
        let size = size.parse().ok().filter(|size| *size <= 1 << 16)?;
        Some(Self { instruction, read, written, address, size })
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::{LogReader, Touched};
    use super::*;

    const TRACE: &str = "==12== Lackey, an example Valgrind tool\n\
        I  04000a00,3\n L 1ffeffe7e0,8\nI  04000a03,5\n S 04022ffc,8\nI  04000a08,2\n M 04031000,4\n\
        ==12== \nnonsense\n";

    type Quanta = Vec<(u64, Touched)>;

    /// What was folded, the touches with their quanta, and start and end of each area.
    fn fold_text(text: &str, rate: u64) -> (Folded, Quanta, Vec<(u64, u64)>) {
        let mut bytes = Vec::new();
        let folded = fold(text.as_bytes(), &mut bytes, "x", rate).unwrap();
        let mut reader = LogReader::open(bytes.as_slice()).unwrap();
        let (mut all, mut touched) = (Vec::new(), Vec::new());
        while let Some(quantum) = reader.quantum(&mut touched).unwrap() {
            all.extend(touched.iter().map(|t| (quantum, *t)));
        }
        let areas = reader.tail().unwrap().areas;
        (folded, all, areas.iter().map(|area| (area.range.start, area.range.end)).collect())
    }

    #[test]
    fn instructions_are_the_clock_and_an_access_may_touch_two_pages() {
        // One instruction each millisecond.
        let (folded, touched, areas) = fold_text(TRACE, 1000);
        let expected = Folded { instructions: 3, accesses: 3, strange: 1, pages: 5 };
        assert_eq!(folded, expected);
        let page = |start, pages: u64, read, written| Touched {
            start,
            end: start + pages * 4096,
            read,
            written,
        };
        let expected = [
            (0, page(0x400_0000, 1, true, false)),
            (1, page(0x400_0000, 1, true, false)),
            (1, page(0x1f_feff_e000, 1, true, false)),
            (2, page(0x400_0000, 1, true, false)),
            (2, page(0x402_2000, 2, false, true)),
            (3, page(0x403_1000, 1, true, true)),
        ];
        assert_eq!(touched, expected);
        let ends = [(0x400_0000, 0x403_2000), (0x1f_feff_e000, 0x1f_feff_f000)];
        assert_eq!(areas, ends);
    }

    #[test]
    fn text_that_is_no_trace_is_told_so() {
        for text in ["", "hello\n", "==1== Lackey\n", " L zz,8\n", " L 10\n", "I  10,99999999\n"] {
            let error = fold(text.as_bytes(), Vec::new(), "x", 1).unwrap_err();
            assert!(error.to_string().contains("--trace-mem=yes"), "{error}");
        }
    }

    #[test]
    fn an_endless_line_is_read_in_pieces() {
        let mut text = "x".repeat(100_000);
        text.push('\n');
        text.push_str(TRACE);
        let (folded, ..) = fold_text(&text, 1);
        assert_eq!(folded.instructions, 3);
        assert!(folded.strange > 100);
    }
}
