//! Recordings of other tools: what becomes of them, and that none of them does harm.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]
#![allow(unreachable_pub, reason = "modules of one test binary share their helpers")]

mod collect;
#[path = "../common/damo_text.rs"]
mod damo_text;

mod beside;
mod command;
mod damo_json;
mod damo_record;
mod fuzz_bodies;
mod fuzz_replay;
mod hostile;
mod matrix;
