//! The kernel's DAMON as files and events; knows neither sessions nor backends.
//!
//! * [`sysfs`] — its directory tree below `/sys/kernel/mm/damon/admin`: reading, and plans of what to write.
//! * [`own`] — who may touch what, and how everything is restored whatever happens.
//! * [`Running`] — a kdamond of ours: set up, started, changed, released.
//! * [`events`] — what its tracepoints tell, put together to snapshots.
//! * [`modules`] — what the kernel's own users of DAMON tell of themselves.
//! * [`iomem`] — which physical addresses are memory.

pub mod collect;
pub mod events;
#[doc(hidden)]
pub mod fake;
pub mod iomem;
pub mod modules;
pub mod own;
mod running;
pub mod sysfs;

pub use running::{ChangeError, Running, StartError, Turn};
