//! Tests of the trace format from outside: one binary, one module per promise.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]
#![allow(unreachable_pub, reason = "modules of one test binary share their helpers")]

mod common;
mod corpus;
mod damage;
mod document;
mod fuzz_bodies;
mod fuzz_replay;
mod golden;
mod hostile;
mod lasting;
mod round_trip;
