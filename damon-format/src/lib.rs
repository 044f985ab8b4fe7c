//! The DAMON trace: vocabulary, bytes, writer, readers, recovery.
//!
//! This crate starts no thread and calls the system only through the `Read`, `Write` and
//! [`ReadAt`] it is given. `docs/FORMAT.md` is the byte-level specification.

mod record;
mod snapshot;
mod visit;

pub use record::*;
pub use snapshot::*;
pub use visit::Visitor;
