//! Who is recorded: running processes, or a command that is started for it.

mod command;
mod resolve;
mod roster;

pub use command::{Command, Ended};
pub use resolve::{Resolved, TargetError, resolve};
pub use roster::{Candidate, Roster, RosterError};
