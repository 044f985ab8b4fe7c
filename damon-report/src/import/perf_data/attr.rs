//! `struct perf_event_attr` (`perf_event_open(2)`): what a recording's events are, and what their samples hold.

use super::unexpected;
use crate::import::ImportError;

/// `PERF_TYPE_TRACEPOINT`.
const TRACEPOINT: u32 = 2;

/// Bits of `sample_type`.
pub(super) mod holds {
    pub(in super::super) const IP: u64 = 1;
    pub(in super::super) const TID: u64 = 1 << 1;
    pub(in super::super) const TIME: u64 = 1 << 2;
    pub(in super::super) const ADDR: u64 = 1 << 3;
    pub(in super::super) const READ: u64 = 1 << 4;
    pub(in super::super) const CALLCHAIN: u64 = 1 << 5;
    pub(in super::super) const ID: u64 = 1 << 6;
    pub(in super::super) const CPU: u64 = 1 << 7;
    pub(in super::super) const PERIOD: u64 = 1 << 8;
    pub(in super::super) const STREAM_ID: u64 = 1 << 9;
    pub(in super::super) const RAW: u64 = 1 << 10;
    pub(in super::super) const IDENTIFIER: u64 = 1 << 16;
}

/// Bits of `read_format`.
mod reads {
    pub(super) const TIMES: [u64; 2] = [1, 2];
    pub(super) const ID: u64 = 4;
    pub(super) const GROUP: u64 = 8;
    pub(super) const LOST: u64 = 16;
}

/// Bits after `read_format`.
const SAMPLE_ID_ALL: u64 = 1 << 18;
const USE_CLOCKID: u64 = 1 << 25;

/// What is needed of an event's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attr {
    pub(super) is_tracepoint: bool,
    /// Number of the tracepoint.
    pub(super) config: u64,
    pub(super) sample_type: u64,
    read_format: u64,
    /// Whether other records than samples have identity and time, too.
    pub(super) sample_id_all: bool,
    /// Clock of the times; `None`: perf's own.
    pub(super) clock: Option<i32>,
}

impl Attr {
    /// `bytes` begin with the structure, which stands at `at`, and may be longer.
    pub(super) fn parse(bytes: &[u8], at: u64) -> Result<Self, ImportError> {
        let short = || unexpected(at, "attributes of an event", "the end");
        let u32_at = |offset: usize| {
            let chunk = bytes.get(offset..).and_then(|rest| rest.first_chunk());
            chunk.map(|chunk| u32::from_le_bytes(*chunk)).ok_or_else(short)
        };
        let u64_at = |offset: usize| {
            let chunk = bytes.get(offset..).and_then(|rest| rest.first_chunk());
            chunk.map(|chunk| u64::from_le_bytes(*chunk)).ok_or_else(short)
        };
        let flags = u64_at(40)?;
        let clock = if flags & USE_CLOCKID == 0 { None } else { Some(u32_at(92)?.cast_signed()) };
        Ok(Self {
            is_tracepoint: u32_at(0)? == TRACEPOINT,
            config: u64_at(8)?,
            sample_type: u64_at(24)?,
            read_format: u64_at(32)?,
            sample_id_all: flags & SAMPLE_ID_ALL != 0,
            clock,
        })
    }

    /// Where a sample's event id is in its body.
    pub(super) fn id_offset(&self) -> Option<usize> {
        if self.sample_type & holds::IDENTIFIER != 0 {
            return Some(0);
        }
        let before = [holds::IP, holds::TID, holds::TIME, holds::ADDR];
        (self.sample_type & holds::ID != 0).then(|| self.words(&before) * 8)
    }

    /// Where a sample's time is in its body.
    pub(super) fn time_offset(&self) -> Option<usize> {
        let before = [holds::IDENTIFIER, holds::IP, holds::TID];
        (self.sample_type & holds::TIME != 0).then(|| self.words(&before) * 8)
    }

    /// The time at the end of a record that is no sample.
    pub(super) fn trailing_time(&self, body: &[u8]) -> Option<u64> {
        if !self.sample_id_all || self.sample_type & holds::TIME == 0 {
            return None;
        }
        let from_time = [holds::TIME, holds::ID, holds::STREAM_ID, holds::CPU, holds::IDENTIFIER];
        let begin = body.len().checked_sub(self.words(&from_time) * 8)?;
        Some(u64::from_le_bytes(*body.get(begin..)?.first_chunk()?))
    }

    /// What the tracepoint wrote, in a sample's body. `None`: nothing, or the body ends before.
    #[inline]
    pub(super) fn raw<'a>(&self, body: &'a [u8]) -> Option<&'a [u8]> {
        if self.sample_type & holds::RAW == 0 {
            return None;
        }
        let fixed = [
            holds::IDENTIFIER,
            holds::IP,
            holds::TID,
            holds::TIME,
            holds::ADDR,
            holds::ID,
            holds::STREAM_ID,
            holds::CPU,
            holds::PERIOD,
        ];
        let mut rest = body.get(self.words(&fixed) * 8..)?;
        if self.sample_type & holds::READ != 0 {
            rest = rest.get(self.read_words(rest)?.checked_mul(8)?..)?;
        }
        if self.sample_type & holds::CALLCHAIN != 0 {
            let depth = usize::try_from(u64::from_le_bytes(*rest.first_chunk()?)).ok()?;
            rest = rest.get(depth.checked_add(1)?.checked_mul(8)?..)?;
        }
        let size = usize::try_from(u32::from_le_bytes(*rest.first_chunk()?)).ok()?;
        rest.get(4..)?.get(..size)
    }

    /// How many of these the samples hold.
    #[inline]
    fn words(&self, kinds: &[u64]) -> usize {
        kinds.iter().filter(|kind| self.sample_type & **kind != 0).count()
    }

    /// Words of what `PERF_SAMPLE_READ` brings.
    fn read_words(&self, rest: &[u8]) -> Option<usize> {
        let has = |bit: u64| usize::from(self.read_format & bit != 0);
        let times = reads::TIMES.iter().map(|bit| has(*bit)).sum::<usize>();
        let each = 1 + has(reads::ID) + has(reads::LOST);
        if self.read_format & reads::GROUP == 0 {
            return Some(times + each);
        }
        let values = usize::try_from(u64::from_le_bytes(*rest.first_chunk()?)).ok()?;
        values.checked_mul(each)?.checked_add(1 + times)
    }
}
