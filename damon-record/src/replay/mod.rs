//! Replay: a monitor without a machine. A touch log says which pages a program touched when, on a clock of its
//! own; the monitor's engine samples it as it samples a process. Everything is deterministic, and the same log is
//! the exact truth: what is wrong in the result is the algorithm's own error.
//!
//! * [`log`] is the file of touches.
//! * [`lackey`] makes one from the output of `valgrind --tool=lackey --trace-mem=yes`;
//!   [`crate::workload::simulated`] makes one from a workload.
//! * [`perform`] lets the engine loose on a log; [`record`] writes what it finds as a recording
//!   (`damon-record --backend replay:FILE`).
//!
//! For development: `auto` never chooses it.

pub mod lackey;
pub mod log;
pub mod perform;
pub mod record;
mod varint;
