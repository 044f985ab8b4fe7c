//! The program as its users meet it: real processes, real files, exit statuses.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_input;
mod common;
mod killed;
mod recording;
mod targets;
