//! The backend `pte` against real processes on this machine. Where it cannot work (not root, no BTF, …),
//! each test prints why and passes.
#![allow(clippy::print_stdout, reason = "why a test was skipped, and what was found: --nocapture")]

#[cfg(test)]
mod common;
#[cfg(test)]
mod lives;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod program;
