//! The recorder: targets, backends, the monitor engine, sessions.

pub mod backend;
pub mod monitor;
pub mod sys;
