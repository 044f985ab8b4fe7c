//! What the kernel's DAMON tells by its tracepoints: `format` files, binary events, and snapshots put together
//! from bursts of them. No system call and no clock; `collect` brings the bytes.

mod burst;
mod catalog;
mod decode;
#[doc(hidden)]
pub mod fake;
mod format;

pub use burst::{Assembled, Assembler};
pub use catalog::{Catalog, CatalogError, Listed};
pub use decode::{Decoder, Event, EventKind, LayoutError, Undecodable};
pub(in crate::damon) use format::parse_fields;
pub use format::{Field, Format, FormatError};
