//! The kernel's DAMON as files and events; knows neither sessions nor backends.
//!
//! * [`sysfs`] — its directory tree below `/sys/kernel/mm/damon/admin`: reading, and plans of what to write.
//! * [`iomem`] — which physical addresses are memory.

#[doc(hidden)]
pub mod fake;
pub mod iomem;
pub mod sysfs;
