//! Exit statuses: the one place that turns an outcome into a number.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// 0: the recording is complete.
    Ok,
    /// 2: the command line makes no sense.
    Usage,
    /// 3: the target cannot be observed (permission, kernel, no such process).
    CannotObserve,
    /// 5: the recording cannot be written.
    Output,
    /// The status of the command that was recorded.
    Command(u8),
    /// 126: the command exists and cannot be executed.
    NotExecutable,
    /// 127: the command was not found.
    NotFound,
}

impl ExitCode {
    /// The number.
    pub fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Usage => 2,
            Self::CannotObserve => 3,
            Self::Output => 5,
            Self::Command(status) => status,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
        }
    }

    /// The status a shell would show for `status`: the command's own, or 128 + the signal that
    /// killed it.
    pub fn of_command(status: ExitStatus) -> Self {
        let number = match (status.code(), status.signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal,
            (None, None) => 255,
        };
        Self::Command(u8::try_from(number & 0xff).unwrap_or(255))
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.number().into()
    }
}

/// Why nothing, or not everything, was recorded. Each text says what is, what is needed, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The target cannot be observed.
    #[error("{0}")]
    CannotObserve(String),
    /// The recording cannot be written.
    #[error("{0}")]
    Output(String),
    /// The command exists and cannot be executed.
    #[error("{0}")]
    NotExecutable(String),
    /// The command was not found.
    #[error("{0}")]
    NotFound(String),
}

impl From<&Failure> for ExitCode {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Usage(_) => Self::Usage,
            Failure::CannotObserve(_) => Self::CannotObserve,
            Failure::Output(_) => Self::Output,
            Failure::NotExecutable(_) => Self::NotExecutable,
            Failure::NotFound(_) => Self::NotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_becomes_what_a_shell_shows() {
        let exited = |code: i32| ExitStatus::from_raw(code << 8);
        assert_eq!(ExitCode::of_command(exited(0)), ExitCode::Command(0));
        assert_eq!(ExitCode::of_command(exited(7)).number(), 7);
        assert_eq!(ExitCode::of_command(exited(255)).number(), 255);
        assert_eq!(ExitCode::of_command(ExitStatus::from_raw(9)).number(), 137);
        assert_eq!(ExitCode::of_command(ExitStatus::from_raw(2)).number(), 130);
        // Bit 7 says that a core was dumped; the signal is still 11.
        assert_eq!(ExitCode::of_command(ExitStatus::from_raw(0x8b)).number(), 139);
    }
}
