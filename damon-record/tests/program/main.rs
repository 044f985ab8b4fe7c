//! The program as its users meet it: real processes, real files, exit statuses.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "what was skipped, and why")]

mod bad_input;
mod common;
mod generated;
mod killed;
mod marks;
mod marks_compared;
mod parts;
mod parts_killed;
mod recording;
mod targets;
