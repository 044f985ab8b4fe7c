//! Who is recorded: a running process, or a command that is started for it.

mod command;
mod resolve;

pub use command::{Command, Ended};
pub use resolve::{Resolved, TargetError, resolve};
