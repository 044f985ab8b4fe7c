//! The files of `/sys/kernel/mm/damon/admin` (`Documentation/admin-guide/mm/damon/usage.rst`), typed.
//!
//! A [`Tree`] reads and writes one file at a time, below any root. [`Admin`], [`Kdamond`] and [`Context`] give
//! the files their meaning. What a whole set-up writes is a [`Plan`], which can be looked at before
//! anything is written.
//!
//! Whether a kernel can do something is decided by the presence of its files, never by a release number:
//! distributions bring features back to older releases. Directories are held open, so that what is written
//! below them can never reach directories that somebody else has made anew under the same name.

mod admin;
pub(in crate::damon) mod change;
mod context;
mod error;
mod files;
mod plan;
pub(in crate::damon) mod schemes;
#[cfg(test)]
mod tests;
mod tree;
mod wanted;

pub use admin::{Admin, Command, Kdamond, State};
pub use context::{Context, IntervalsGoal, Operations};
pub use error::TreeError;
pub use files::Files;
pub use plan::{Feature, Plan, Planned, Step, When};
pub use schemes::{SchemeFiles, SchemeStats};
pub use tree::{KERNEL_ROOT, Tree};
pub use wanted::{Target, Wanted, WantedError};
