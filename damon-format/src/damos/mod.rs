//! DAMOS: DAMON-based operation schemes as data.
//!
//! * [`Schemes`] — what people write: damo's JSON, in per cent and times.
//! * [`kernel`] — one scheme in the units of the kernel's sysfs files. Whoever installs, applies or
//!   simulates schemes takes this.
//! * [`text`] — single numbers of that language.
//! * [`rules`] — the kernel's arithmetic of applying them.
//! * [`sysfs`] — what is written into which files to install them.

pub mod kernel;
mod keywords;
mod number;
mod read;
pub mod rules;
#[cfg(test)]
mod samples;
mod scheme;
mod suggest;
pub mod sysfs;
pub mod text;
mod words;
mod write;

pub use read::ReadError;
pub use scheme::{Age, Frequency, Scheme, Schemes, SchemesError, UnitError};
pub use suggest::suggestion;
