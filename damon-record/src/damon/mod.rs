//! The kernel's DAMON as files and events; knows neither sessions nor backends.
//!
//! * [`sysfs`] — its directory tree below `/sys/kernel/mm/damon/admin`: reading, and plans of what to write.
//! * [`own`] — who may touch what, and how everything is restored whatever happens.
//! * [`iomem`] — which physical addresses are memory.

#[doc(hidden)]
pub mod fake;
pub mod iomem;
pub mod own;
pub mod sysfs;
