//! DAMON's sysfs directory without DAMON, for tests: what `mm/damon/sysfs.c` answers to reads and writes, and a
//! list of everything that was written.
//!
//! A [`Fake`] lives in memory, or in a directory so that several processes share it. It keeps the kernel's own
//! copy of a running context apart from the files, as the kernel does: what is written counts from
//! `on` or `commit` on.

mod files;
mod kernel;
mod node;
mod running;
mod template;
mod tried;

pub use files::Fake;
pub use kernel::{Fault, Kernel, Moment, Written};
pub use running::{RunningCopy, TargetCopy};
