//! What can go wrong, each with its place in the file.

use serde::Serialize;
use std::io;

/// Why a trace could not be opened at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file could not be read.
    #[error("cannot read the trace: {0}")]
    Io(#[from] io::Error),
    /// The file has no bytes.
    #[error("the file is empty: nothing was recorded, or the recorder could not write")]
    Empty,
    /// The file does not begin with the magic bytes.
    #[error("not a DAMON trace: the first bytes are not the format's magic")]
    NotATrace,
    /// The file ends inside its header or its first block.
    #[error("the trace ends at byte {0}, inside its head: nothing was recorded yet")]
    TruncatedHead(u64),
    /// The file header fails its checksum.
    #[error("the file header is damaged (checksum mismatch)")]
    HeaderDamaged,
    /// The trace was written by a later major version.
    #[error(
        "the trace has format version {major}.{minor}; this program reads versions up to {}.x: \
         update damon-report",
        crate::layout::MAJOR
    )]
    NewerVersion {
        /// Major version found.
        major: u16,
        /// Minor version found.
        minor: u16,
    },
    /// The first block, which says what was recorded, is damaged.
    #[error("the description of the recording is damaged: {0}")]
    InfoDamaged(Damage),
}

/// A part of a trace that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("byte {offset}{}: {kind}", .block.map(|b| format!(", block {b}")).unwrap_or_default())]
pub struct Damage {
    /// Where in the file.
    pub offset: u64,
    /// Sequence number of the block it lies in, where known.
    pub block: Option<u32>,
    /// What is wrong there.
    pub kind: DamageKind,
}

/// What is wrong with a damaged part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DamageKind {
    /// Bytes that are neither a frame nor a block were skipped.
    #[error("skipped what is no block, bytes: {skipped}")]
    Unrecognised {
        /// How many.
        skipped: u64,
    },
    /// A frame's checksum does not match; the rest of its block is lost.
    #[error("a frame of {length} bytes fails its checksum; the rest of this block is lost")]
    FrameChecksum {
        /// Length as stored.
        length: u32,
    },
    /// The file ends inside a frame or header: an interrupted recording.
    #[error("the file ends here inside a frame, bytes missing: {missing} or more")]
    Truncated {
        /// At least this many bytes are missing.
        missing: u64,
    },
    /// Blocks are missing between two block numbers.
    #[error("blocks missing before this one: {count}")]
    MissingBlocks {
        /// How many.
        count: u32,
    },
    /// The compressed stream of a block cannot be decoded although its checksum matches.
    #[error("the compressed data cannot be decoded: {0}")]
    Compression(String),
    /// A section violates the format although its checksum matches.
    #[error("the data violate the format: {0}")]
    Malformed(String),
    /// Something this version does not know and may not skip.
    #[error("{0}: written by a later version; update damon-report")]
    Unsupported(String),
    /// The index or the footer is unusable; it was rebuilt from the blocks.
    #[error("the index is unusable ({0}); it was rebuilt from the blocks")]
    Index(String),
    /// The file could not be read.
    #[error("cannot read: {0}")]
    Io(String),
}

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The output failed; what was flushed before is a valid trace.
    #[error("cannot write the trace: {0}")]
    Io(#[from] io::Error),
    /// An earlier write failed; nothing more is accepted.
    #[error("the trace was abandoned after an earlier write error")]
    Abandoned,
    /// What is pending does not fit below [`TraceWriter::limit`](crate::TraceWriter::limit). It was dropped, and the
    /// trace can be ended in good order.
    #[error("the trace has reached the size set for it")]
    Full,
    /// The snapshot breaks a rule of the format.
    #[error("cannot store the snapshot: {0}")]
    Snapshot(&'static str),
    /// The record is too large.
    #[error("cannot store the record: {0}")]
    Record(String),
}
