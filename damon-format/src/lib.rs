//! The DAMON trace: vocabulary, bytes, writer, readers, recovery.
//!
//! This crate starts no thread and calls the system only through the `Read`, `Write` and
//! [`ReadAt`] it is given. `docs/FORMAT.md` is the byte-level specification.
//!
//! * [`TraceWriter`] appends snapshots and records to a sink.
//! * [`StreamReader`] reads front to back, also from a pipe; [`IndexedReader`] reads any block in any
//!   order, from several threads. Both hand what they decode to a [`Visitor`], in constant memory.
//! * [`verify()`] checks every byte; [`recover()`] copies what is readable of a damaged trace.
//! * [`decimal`]: numbers as people write them, in front of a unit.
//! * [`damos`]: schemes (what to do to memory of which access pattern) as data.
//!
//! No input makes this crate panic. What decoding allocates is bounded, see [`layout`] for the limits; only the
//! index and the list of damage grow with the file, by tens of bytes for each block or damaged place.

mod bits;
mod block;
mod columns;
pub mod damos;
pub mod decimal;
mod error;
mod indexed;
mod lasting;
pub mod layout;
mod parts;
mod read_at;
mod record;
mod recover;
mod scan;
mod section;
mod snapshot;
mod state;
mod store;
mod stream;
mod stream_codec;
mod varint;
mod verify;
mod visit;
mod wire;
mod writer;

pub use error::{Damage, DamageKind, OpenError, WriteError};
pub use indexed::{Completeness, IndexedReader};
pub use lasting::{Lasting, Series};
pub use layout::BlockEntry;
pub use parts::{PartChain, PartGap};
pub use read_at::ReadAt;
pub use record::*;
pub use recover::{RecoverError, RecoveryReport, recover};
pub use snapshot::*;
pub use state::{State, mappings_changed};
pub use stream::StreamReader;
pub use verify::{VerifyReport, verify};
pub use visit::Visitor;
pub use writer::{TraceWriter, Workspace, WriterOptions};
