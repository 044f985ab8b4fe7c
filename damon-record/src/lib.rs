//! The recorder: targets, backends, the monitor engine, sessions.

pub mod actuate;
pub mod app;
pub mod backend;
pub mod cli;
pub mod damon;
pub mod doctor;
pub mod exit;
pub mod host;
pub mod marks;
pub mod monitor;
pub mod plan;
pub mod proc;
pub mod replay;
pub mod session;
pub mod sys;
pub mod target;
pub mod units;
pub mod workload;
