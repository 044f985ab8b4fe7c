//! The recorder: targets, backends, the monitor engine, sessions.

pub mod monitor;
pub mod sys;
