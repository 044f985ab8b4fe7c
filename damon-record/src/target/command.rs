//! A command started to be recorded from its first instruction.
//!
//! The child waits before its exec, is stopped at its first instruction by `PTRACE_EVENT_EXEC` while it
//! is attached to, and goes on when the recorder says so, or when the recorder dies.

use crate::exit::{ExitCode, Failure};
use crate::sys::spawn::{Held, Inherited, spawn_held};
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

/// Where exec searches when there is no `PATH`.
const USUAL_PATH: &str = "/bin:/usr/bin";

/// How a command ended: the raw wait status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended(pub i32);

impl Ended {
    /// The exit status to pass on.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::of_command(ExitStatus::from_raw(self.0))
    }
}

fn ended(status: WaitStatus) -> Option<Ended> {
    match status {
        WaitStatus::Exited(_, code) => Some(Ended((code & 0xff) << 8)),
        WaitStatus::Signaled(_, signal, core) => {
            Some(Ended(signal as i32 | if core { 0x80 } else { 0 }))
        }
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Stopped at the first instruction of its program.
    Stopped,
    Running,
    Ended(Ended),
}

/// The command.
#[derive(Debug)]
pub struct Command {
    pid: Pid,
    name: String,
    state: State,
}

impl Command {
    /// Starts `words` and stops it at the first instruction of its program. Where tracing is not
    /// allowed it runs already when this returns.
    pub fn start(words: Vec<OsString>, inherited: &Inherited) -> Result<Self, Failure> {
        let name =
            words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        let words: Vec<CString> = words
            .into_iter()
            .map(|word| CString::new(word.into_vec()))
            .collect::<Result<_, _>>()
            .map_err(|_nul| Failure::Usage("the command contains a zero byte".into()))?;
        let held = spawn_held(&words, inherited).map_err(|error| {
            Failure::CannotObserve(format!("cannot start a process for {name}: {error}"))
        })?;
        let pid = held.pid();
        let lost = |error: Errno| {
            Failure::CannotObserve(format!("lost control of {name} (pid {pid}): {error}"))
        };
        let state = to_first_instruction(held, &name, lost)?;
        Ok(Self { pid, name, state })
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// The word it was started with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its program may have executed an instruction.
    pub fn has_begun(&self) -> bool {
        self.state != State::Stopped
    }

    /// Lets it run.
    pub fn resume(&mut self) {
        if self.state == State::Stopped {
            let _gone_is_fine = kill(self.pid, Signal::SIGCONT);
            self.state = State::Running;
        }
    }

    /// The recorder cannot go on. A command that has not executed an instruction is ended; any other
    /// is left alone.
    pub fn abandon(mut self) {
        if self.state == State::Stopped {
            let _gone_is_fine = kill(self.pid, Signal::SIGKILL);
            self.state = State::Running;
            let _status = self.wait();
        }
    }

    /// Its status if it has ended.
    pub fn try_wait(&mut self) -> Option<Ended> {
        self.wait_with(Some(WaitPidFlag::WNOHANG))
    }

    /// Waits until it ends.
    pub fn wait(&mut self) -> Option<Ended> {
        self.resume();
        self.wait_with(None)
    }

    fn wait_with(&mut self, flags: Option<WaitPidFlag>) -> Option<Ended> {
        if let State::Ended(status) = self.state {
            return Some(status);
        }
        loop {
            match waitpid(self.pid, flags) {
                Ok(status) => {
                    let end = ended(status);
                    if let Some(end) = end {
                        self.state = State::Ended(end);
                    } else if flags.is_none() {
                        continue;
                    }
                    return end;
                }
                Err(Errno::EINTR) => {}
                Err(_) => return None,
            }
        }
    }
}

fn to_first_instruction(
    held: Held,
    name: &str,
    lost: impl Fn(Errno) -> Failure,
) -> Result<State, Failure> {
    let pid = held.pid();
    let traced = ptrace::seize(pid, ptrace::Options::PTRACE_O_TRACEEXEC).is_ok();
    let released = held
        .release()
        .map_err(|error| Failure::CannotObserve(format!("cannot start {name}: {error}")))?;
    if !traced {
        return match released.executed() {
            Ok(()) => Ok(State::Running),
            Err(errno) => {
                let _reaped = waitpid(pid, None);
                Err(cannot_execute(name, errno))
            }
        };
    }
    loop {
        let status = match waitpid(pid, Some(WaitPidFlag::__WALL)) {
            Err(Errno::EINTR) => continue,
            other => other.map_err(&lost)?,
        };
        match status {
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => break,
            WaitStatus::PtraceEvent(..) => ptrace::cont(pid, None).map_err(&lost)?,
            WaitStatus::Stopped(_, signal) => ptrace::cont(pid, signal).map_err(&lost)?,
            status => {
                if let Some(end) = ended(status) {
                    return match released.executed() {
                        Err(errno) => Err(cannot_execute(name, errno)),
                        Ok(()) => Ok(State::Ended(end)),
                    };
                }
            }
        }
    }
    // The stop signal is pending when tracing ends, so that no instruction runs in between.
    kill(pid, Signal::SIGSTOP).map_err(&lost)?;
    ptrace::detach(pid, None).map_err(&lost)?;
    loop {
        match waitpid(pid, Some(WaitPidFlag::WUNTRACED)) {
            Err(Errno::EINTR) => {}
            Ok(status) => {
                if let Some(end) = ended(status) {
                    return Ok(State::Ended(end));
                }
                return Ok(State::Stopped);
            }
            Err(error) => return Err(lost(error)),
        }
    }
}

fn cannot_execute(name: &str, errno: Errno) -> Failure {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => Failure::NotFound(format!(
            "command not found: {name}; give its path, or check the spelling and PATH"
        )),
        // What exec says too when a directory of PATH may not be searched and no other has the program.
        Errno::EACCES if !is_anywhere(name) => cannot_execute(name, Errno::ENOENT),
        Errno::EACCES => Failure::NotExecutable(format!(
            "cannot execute {name}: permission denied; is it a program, and executable (chmod +x)?"
        )),
        errno => Failure::NotExecutable(format!("cannot execute {name}: {}", errno.desc())),
    }
}

/// Whether there is a file of this name, by its path or in a directory of `PATH`.
fn is_anywhere(name: &str) -> bool {
    if name.contains('/') {
        return true;
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into());
    std::env::split_paths(&path).any(|folder| folder.join(name).symlink_metadata().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet};

    fn start(words: &[&str]) -> Result<Command, Failure> {
        let inherited = Inherited {
            mask: SigSet::empty(),
            file_size: SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty()),
            variables: Vec::new(),
            stdout_is_taken: false,
        };
        Command::start(words.iter().map(OsString::from).collect(), &inherited)
    }

    #[test]
    fn the_program_is_loaded_and_has_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("ran");
        let mut command = start(&["touch", mark.to_str().unwrap()]).unwrap();
        let proc = crate::proc::ProcRoot::default();
        assert_eq!(proc.stat(command.pid()).unwrap().comm, "touch");
        assert!(proc.stat(command.pid()).unwrap().is_stopped());
        assert_eq!(proc.status(command.pid()).unwrap().tracer_pid, 0);
        assert!(!mark.exists());
        assert_eq!(command.wait(), Some(Ended(0)));
        assert!(mark.exists());
    }

    #[test]
    fn an_abandoned_command_never_runs() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("ran");
        start(&["touch", mark.to_str().unwrap()]).unwrap().abandon();
        assert!(!mark.exists());
    }

    #[test]
    fn statuses_are_passed_on() {
        let code = |script| {
            let mut command = start(&["sh", "-c", script]).unwrap();
            command.wait().unwrap().exit_code().number()
        };
        assert_eq!(code("exit 7"), 7);
        assert_eq!(code("kill -9 $$"), 137);
    }

    #[test]
    fn commands_that_cannot_start_say_why() {
        assert!(matches!(start(&["/nonexistent/x"]), Err(Failure::NotFound(_))));
        assert!(matches!(start(&["/etc/passwd"]), Err(Failure::NotExecutable(_))));
        assert!(matches!(start(&["a\0b"]), Err(Failure::Usage(_))));
    }
}
