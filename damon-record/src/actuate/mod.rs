//! Schemes applied from user space, for kernels whose DAMON cannot: what the monitor finds at the end of
//! each aggregation is offered to the schemes by the kernel's own rules ([`damon_format::damos::rules`]), and
//! what they want is done with `process_madvise(2)`.
//!
//! * [`check()`] says which schemes that is possible for, [`explain`] what they will do, and
//!   [`vanished_bounds`] and [`in_vain`] what of them comes to nothing, with the kernel's DAMON as well.
//! * [`Actuator`] decides; [`Advise`] acts on one process; [`System`] knows the machine.
//!
//! What is different from the kernel: schemes are applied at aggregations only; memory is advised
//! where something is mapped, and counts as applied as far as the kernel takes the advice (the kernel's DAMON
//! counts a region wholly or not at all); the time quota is measured with a clock that resolves more than
//! ticks. After an action the monitor has to be told ([`Applied::resets`]), so that the memory begins a new
//! life there, too.

mod actuator;
mod advise;
mod check;
mod machine;

pub use actuator::{Actuator, Applied, Target};
pub use advise::{Advise, ByPidfd, permitted};
pub use check::{Circumstances, check, explain, in_vain, vanished_bounds};
pub use machine::{Machine, System};

#[cfg(test)]
mod tests;
