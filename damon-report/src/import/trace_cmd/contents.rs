//! What a recording holds beside its events, whatever the version.

use super::inflate::Packing;
use super::options::Options;
use crate::import::ImportError;
use crate::import::tracepoints::{Bytes, Names, Tracing, unexpected};
use std::io::Read;

/// CPUs of all buffers together; Linux has at most 8192.
pub(super) const MAX_BUFFERS: usize = 1 << 14;
/// Longest list of processes' names that is read.
pub(super) const MAX_NAMES: u64 = 64 << 20;

/// Everything but the events.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) tracing: Tracing,
    pub(super) options: Options,
    pub(super) names: Names,
    pub(super) buffers: Vec<Buffer>,
}

/// The events of one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffer {
    /// `[offset, offset + size)` of the file.
    pub(super) offset: u64,
    pub(super) size: u64,
    /// Bytes of a page of the ring buffer.
    pub(super) page_size: u32,
    /// How its chunks are compressed; `None`: pages as they are.
    pub(super) packing: Option<Packing>,
}

impl Contents {
    /// Nothing yet, of a machine with pages of this size.
    pub(super) fn new(page_size: u32) -> Self {
        Self {
            tracing: Tracing { page_size, ..Tracing::default() },
            options: Options::default(),
            names: Names::new("-"),
            buffers: Vec::new(),
        }
    }

    /// Adds the buffer of a CPU, described at `at`.
    pub(super) fn buffer(&mut self, buffer: Buffer, at: u64) -> Result<(), ImportError> {
        if self.buffers.len() >= MAX_BUFFERS {
            return Err(unexpected(at, "at most 16384 buffers of CPUs", "more"));
        }
        self.buffers.push(buffer);
        Ok(())
    }

    /// Names of threads: `PID NAME`, a line each.
    pub(super) fn names(&mut self, from: &mut Bytes<impl Read>) -> Result<(), ImportError> {
        let length = from.u64("names of processes")?;
        let text = from.vec(length, MAX_NAMES, "names of processes")?;
        for line in text.split(|byte| *byte == b'\n') {
            let Some(space) = line.iter().position(|byte| *byte == b' ') else { continue };
            let (pid, name) = line.split_at(space);
            let pid = std::str::from_utf8(pid).ok().and_then(|pid| pid.parse().ok());
            if let Some(pid) = pid {
                self.names.learn(pid, name.trim_ascii());
            }
        }
        Ok(())
    }
}
