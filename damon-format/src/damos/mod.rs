//! DAMOS: DAMON-based operation schemes as data.
//!
//! * [`kernel`] — one scheme in the units of the kernel's sysfs files. Whoever installs, applies or
//!   simulates schemes takes this.

pub mod kernel;
mod keywords;
