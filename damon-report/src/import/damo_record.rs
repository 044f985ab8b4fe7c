//! The binary `record` of damo before 2.0.2, versions 0 (the kernel's own), 1 and 2.
//!
//! Little-endian, without padding: seconds and nanoseconds of the end (i64 each), number of targets (u32), and for
//! each its id (u64, in version 1 i32), number of regions (u32) and regions (start and end u64, accesses u32). There are
//! neither ages nor intervals, and no start of a snapshot but the end of the one before.

use super::assemble::{Assembler, StreamId};
use super::draft::Draft;
use super::{ImportError, ImportOptions, Position, Sink, SourceTarget};
use damon_format::layout::MAX_REGIONS;
use std::collections::BTreeMap;
use std::io::{BufReader, Read};

/// The first bytes of versions 1 and 2; version 0 has no mark.
pub const MARK: &[u8; 16] = b"damon_recfmt_ver";

/// Targets in one block; no recording has as many.
const MOST_TARGETS: u32 = 4096;
/// A time that is none: the year 2262 in seconds.
const MOST_SECONDS: u64 = u64::MAX / 2 / 1_000_000_000;

/// Whether this may be the start of a file of version 0.
pub fn begins_plausibly(begin: &[u8]) -> bool {
    let number = |from: usize, length: usize| -> Option<u64> {
        let bytes = begin.get(from..from.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let plausible = || {
        let (seconds, nanoseconds, targets) = (number(0, 8)?, number(8, 8)?, number(16, 4)?);
        let regions = number(28, 4)?;
        let head = seconds < MOST_SECONDS
            && nanoseconds < 1_000_000_000
            && (1..=u64::from(MOST_TARGETS)).contains(&targets)
            && regions <= MAX_REGIONS as u64
            && (seconds, nanoseconds) != (0, 0);
        // A first region that is none makes it something else.
        let region = regions == 0 || number(32, 8)? < number(40, 8)?;
        Some(head && region)
    };
    plausible().unwrap_or(false)
}

/// Reads a file of any version.
pub fn read(
    input: impl Read,
    options: &ImportOptions,
    sink: &mut dyn Sink,
) -> Result<(), ImportError> {
    let to = Assembler::new(sink, options, "damo's binary record");
    let bytes = Bytes { input: BufReader::with_capacity(1 << 16, input), at: 0 };
    Blocks { bytes, to, streams: BTreeMap::new(), version: 0, draft: Draft::default() }.read()
}

struct Blocks<'a, R> {
    bytes: Bytes<R>,
    to: Assembler<'a>,
    streams: BTreeMap<u64, StreamId>,
    version: u32,
    draft: Draft,
}

impl<R: Read> Blocks<'_, R> {
    fn read(mut self) -> Result<(), ImportError> {
        let mut time = [0; 16];
        let mut filled = self.bytes.fill(&mut time)?;
        if filled == time.len() && time == *MARK {
            self.version = self.bytes.u32("the version of the format")?;
            if !matches!(self.version, 1 | 2) {
                let found = format!("version {}", self.version);
                return Err(self.bytes.unexpected(4, "version 1 or 2 of the format", found));
            }
            filled = self.bytes.fill(&mut time)?;
        }
        // damo takes whatever is shorter than a time as the end.
        while filled == time.len() {
            self.block(time)?;
            filled = self.bytes.fill(&mut time)?;
        }
        self.to.finish()
    }

    fn block(&mut self, time: [u8; 16]) -> Result<(), ImportError> {
        let value = u128::from_le_bytes(time);
        let (seconds, nanoseconds) = (low(value), low(value >> 64));
        if seconds > MOST_SECONDS || nanoseconds >= 1_000_000_000 {
            let found = format!("{seconds} s and {nanoseconds} ns");
            return Err(self.bytes.unexpected(16, "a time", found));
        }
        let end_ns = seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds);
        let targets = self.bytes.u32("a number of targets")?;
        if targets > MOST_TARGETS {
            let expected = format!("at most {MOST_TARGETS} targets");
            return Err(self.bytes.unexpected(4, &expected, targets.to_string()));
        }
        for _ in 0..targets {
            self.target(end_ns)?;
        }
        Ok(())
    }

    fn target(&mut self, end_ns: u64) -> Result<(), ImportError> {
        let id = if self.version == 1 {
            u64::from(self.bytes.u32("a pid")?)
        } else {
            self.bytes.u64("the id of a target")?
        };
        let regions = self.bytes.u32("a number of regions")?;
        if regions as usize > MAX_REGIONS {
            let expected = format!("at most {MAX_REGIONS} regions");
            return Err(self.bytes.unexpected(4, &expected, regions.to_string()));
        }
        self.draft.clear();
        self.draft.end_ns = end_ns;
        self.draft.ageless = true;
        let mut mark = regions > 0;
        for _ in 0..regions {
            let (start, end) = (self.bytes.u64("a region")?, self.bytes.u64("a region's end")?);
            let nr_accesses = self.bytes.u32("a region's accesses")?;
            // The writer's sign that a snapshot is there only to end a record: one region 0-0 with -1.
            mark &= (start, end, nr_accesses) == (0, 0, u32::MAX);
            if !mark {
                self.draft.region(start, end, nr_accesses.into(), 0);
            }
        }
        if mark {
            return Ok(());
        }
        let stream = if let Some(stream) = self.streams.get(&id) {
            *stream
        } else {
            let named = SourceTarget { target: Some(id), ..SourceTarget::default() };
            let stream = self.to.open(named)?;
            self.streams.insert(id, stream);
            stream
        };
        self.to.snapshot(stream, &mut self.draft)
    }
}

fn low(value: u128) -> u64 {
    u64::try_from(value & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}

struct Bytes<R> {
    input: BufReader<R>,
    at: u64,
}

impl<R: Read> Bytes<R> {
    /// Fills `into` as far as there is something.
    fn fill(&mut self, into: &mut [u8]) -> Result<usize, ImportError> {
        let mut filled = 0;
        while let Some(room) = into.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.input.read(room) {
                Ok(0) => break,
                Ok(count) => filled = filled.saturating_add(count),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.at = self.at.saturating_add(filled as u64);
        Ok(filled)
    }

    fn all<const N: usize>(&mut self, expected: &str) -> Result<[u8; N], ImportError> {
        let mut bytes = [0; N];
        let filled = self.fill(&mut bytes)?;
        if filled == N {
            return Ok(bytes);
        }
        Err(self.unexpected(filled as u64, expected, "the end of the file".to_owned()))
    }

    fn u32(&mut self, expected: &str) -> Result<u32, ImportError> {
        Ok(u32::from_le_bytes(self.all(expected)?))
    }

    fn u64(&mut self, expected: &str) -> Result<u64, ImportError> {
        Ok(u64::from_le_bytes(self.all(expected)?))
    }

    /// Something else stands in the last `length` bytes.
    fn unexpected(&self, length: u64, expected: &str, found: String) -> ImportError {
        let position = Position::Byte(self.at.saturating_sub(length));
        ImportError::Unexpected { position, expected: expected.to_owned(), found }
    }
}
