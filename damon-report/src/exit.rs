//! How the program ends: the one place where a result becomes an exit status.

use crate::analysis::load::LoadError;
use crate::analysis::select::SelectError;
use std::io;
use std::process::ExitCode;

/// Exit statuses, the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// A comparison found that something got worse.
    Regression = 1,
    /// The command line asks for something that does not exist.
    Usage = 2,
    /// The input is damaged or no trace.
    Input = 4,
    /// Output could not be written.
    Output = 5,
    /// A comparison cannot tell.
    Inconclusive = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// The input is of no use.
    #[error("{0}")]
    Input(String),
    /// The input was read and found damaged; everything was said already.
    #[error("the trace is damaged")]
    Damaged,
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Stdout(#[from] io::Error),
    /// A file cannot be written.
    #[error("{0}")]
    Output(String),
}

impl Failure {
    /// The status to end with. A reader that has seen enough is no error.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Input(_) | Self::Damaged => Exit::Input,
            Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            Self::Stdout(_) | Self::Output(_) => Exit::Output,
        }
    }

    /// True when there is something left to say on standard error.
    pub fn is_worth_saying(&self) -> bool {
        !matches!(self, Self::Damaged) && self.exit() != Exit::Success
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<SelectError> for Failure {
    fn from(error: SelectError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Stdout(error.into())
    }
}
