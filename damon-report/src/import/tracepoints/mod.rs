//! What binary recordings of tracepoints have in common, whoever made them: descriptions of events that the kernel wrote,
//! the bytes of events laid out by them, and threads that have names.

mod bytes;
mod format;
mod item;
mod layout;
mod span;
mod tracing;

pub(super) use bytes::Bytes;
pub(super) use format::{Field, fields};
pub(super) use item::{Item, Names, What};
pub(super) use layout::Layout;
pub(super) use span::Span;
pub(super) use tracing::{Preamble, Tracing, big_endian};

use super::{ImportError, Position};

/// Something else than expected at a byte of the input.
pub(super) fn unexpected(at: u64, expected: &str, found: &str) -> ImportError {
    ImportError::Unexpected {
        position: Position::Byte(at),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}
