//! The workload generator: a program whose memory accesses are known, so that a monitor's findings
//! can be compared with the truth.
//!
//! A [`spec::Spec`] (a small text file, see `docs/WORKLOADS.md`) names areas and phases;
//! [`run`] performs the phases on an abstract machine and says what it really did; [`memory`] is
//! the machine with real memory and the real clock, [`simulated`] one that only writes touches down; [`truth`] is the account of it, written as
//! JSON lines and read back with queries for tests.

pub mod builtin;
pub mod cli;
pub mod driver;
pub mod memory;
pub mod number;
pub mod pattern;
pub mod problem;
pub mod ranges;
pub mod run;
pub mod simulated;
pub mod spec;
pub mod truth;
