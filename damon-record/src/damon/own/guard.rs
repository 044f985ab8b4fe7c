//! The recorder's side of the guard process.

use super::lock::Lock;
use super::serve::{DONE, GUARD_ARGUMENT, READY};
use crate::sys::{fdpass, pidfd};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to be ready.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take to go once it is told that it is no longer needed.
const END_LIMIT: Duration = Duration::from_secs(2);

/// The program that is started to guard: it must call
/// [`serve_if_asked`](super::serve_if_asked) first thing in its `main`, or
/// [`serve`](super::serve()) when it is started with these arguments.
#[derive(Clone, Debug)]
pub struct GuardProgram {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl GuardProgram {
    /// This very program, also after its file was replaced or deleted.
    pub fn this_program() -> Self {
        Self::program("/proc/self/exe", [GUARD_ARGUMENT])
    }

    /// Another program, for libraries and tests.
    pub fn program(
        path: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self { program: path.into(), arguments: arguments.into_iter().map(Into::into).collect() }
    }
}

/// Why there is no guard. Nothing was written to the tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// Its program cannot be started.
    #[error(
        "nothing is changed in the kernel's DAMON without a process that restores it if we are killed, and {} \
         cannot be started: {source}",
        program.display()
    )]
    Start {
        /// Its program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It did not get ready.
    #[error(
        "nothing is changed in the kernel's DAMON without a process that restores it if we are killed, and {} \
         did not get ready: {what}",
        program.display()
    )]
    NotReady {
        /// Its program.
        program: PathBuf,
        /// What happened instead.
        what: String,
    },
}

/// A process that restores the tree by the record in the lock file when we die, or drop this.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    socket: OwnedFd,
}

impl Guard {
    /// Starts it, and waits until nothing that ends us ends it, too.
    pub(super) fn start(program: &GuardProgram, lock: &Lock) -> Result<Self, GuardError> {
        let shown = &program.program;
        let not_ready = |what: String| GuardError::NotReady { program: shown.clone(), what };
        let by_errno = |errno: Errno| not_ready(errno.desc().to_owned());
        let (socket, theirs) = fdpass::pair().map_err(by_errno)?;
        let own_pid =
            i32::try_from(std::process::id()).map_err(|error| not_ready(error.to_string()))?;
        let own = pidfd::open(own_pid).map_err(by_errno)?;
        // Only the standard descriptors reach it, and our end of the socket is not among them.
        let child = Command::new(&program.program)
            .args(&program.arguments)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| GuardError::Start { program: shown.clone(), source })?;
        // From here on dropping it ends the process.
        let guard = Self { child, socket };
        let socket = guard.socket.as_fd();
        fdpass::send(socket, lock.path().as_os_str().as_bytes(), Some(lock.as_fd()))
            .and_then(|()| fdpass::send(socket, &[READY], Some(own.as_fd())))
            .map_err(|errno| not_ready(format!("it ended at once ({})", errno.desc())))?;
        if !readable_within(socket, START_LIMIT) {
            return Err(not_ready(format!("no answer within {START_LIMIT:?}")));
        }
        let mut answer = [0];
        match fdpass::receive(socket, &mut answer) {
            Ok((1, None)) if answer == [READY] => Ok(guard),
            Ok(_) => Err(not_ready("it ended at once; is it another program?".into())),
            Err(errno) => Err(by_errno(errno)),
        }
    }

    /// There is nothing to restore any more: it ends without writing.
    pub(super) fn dismiss(mut self) {
        // It may have been killed; then it is as good as dismissed.
        let _gone = fdpass::send(self.socket.as_fd(), &[DONE], None);
        let Some(process) =
            i32::try_from(self.child.id()).ok().and_then(|pid| pidfd::open(pid).ok())
        else {
            return;
        };
        // Stopped by somebody? Then it ends later.
        if readable_within(process.as_fd(), END_LIMIT) {
            let _reaped = self.child.wait();
        }
    }
}

fn readable_within(fd: BorrowedFd<'_>, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Err(Errno::EINTR) => {}
            result => return result.is_ok_and(|ready| ready > 0),
        }
    }
}
