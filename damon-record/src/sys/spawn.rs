//! Starting a command that waits, before it executes its program, until it is told to go on.
//!
//! `std::process::Command` cannot: its `spawn` returns only after the exec.
#![expect(unsafe_code, reason = "fork, and the few calls allowed between fork and exec")]

use nix::libc;
use nix::sys::signal::{SigAction, SigSet};
use nix::unistd::{ForkResult, Pid, fork, pipe2};
use nix::{errno::Errno, fcntl::OFlag};
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt as _;
use std::ptr;

/// What the command inherits although the recorder has changed it for itself.
#[derive(Debug)]
pub struct Inherited {
    /// Signal mask.
    pub mask: SigSet,
    /// Disposition of `SIGXFSZ`.
    pub file_size: SigAction,
    /// Variables of its environment beside those of the recorder.
    pub variables: Vec<(&'static str, OsString)>,
    /// Standard output belongs to the recorder: what the command prints there goes to standard error.
    pub stdout_is_taken: bool,
}

/// A forked process that has not executed its program yet.
#[derive(Debug)]
pub struct Held {
    pid: Pid,
    go: File,
    failure: File,
}

/// A command between [`Held::release`] and its exec.
#[derive(Debug)]
pub struct Released {
    failure: File,
}

impl Held {
    /// Process id of the command.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets it execute its program.
    pub fn release(mut self) -> io::Result<Released> {
        self.go.write_all(&[1])?;
        Ok(Released { failure: self.failure })
    }
}

impl Released {
    /// Waits until the exec has succeeded, or returns why it has not. Blocks while the exec is
    /// undecided.
    pub fn executed(mut self) -> Result<(), Errno> {
        let mut number = [0_u8; 4];
        match self.failure.read_exact(&mut number) {
            Ok(()) => Err(Errno::from_raw(i32::from_le_bytes(number))),
            // The write end was closed by the exec.
            Err(_closed) => Ok(()),
        }
    }
}

/// Forks `words[0]` with the arguments `words`, searched in `PATH`. The child waits for
/// [`Held::release`]; when the recorder dies first, it goes on all the same, and when the recorder dies
/// while the command is stopped, the kernel continues it (`PR_SET_PDEATHSIG` with `SIGCONT`).
///
/// Must be called while the process has one thread.
pub fn spawn_held(words: &[CString], inherited: &Inherited) -> io::Result<Held> {
    let Some(program) = words.first() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let mut arguments: Vec<*const libc::c_char> = words.iter().map(|w| w.as_ptr()).collect();
    arguments.push(ptr::null());
    let environment = environment(&inherited.variables);
    let mut variables: Vec<*const libc::c_char> = environment.iter().map(|v| v.as_ptr()).collect();
    variables.push(ptr::null());
    let recorder = libc::c_ulong::from(std::process::id());
    let (go_read, go_write) = pipe2(OFlag::O_CLOEXEC)?;
    let (failure_read, failure_write) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: the child calls nothing but async-signal-safe functions (`in_child`), so it does not
    // matter which locks were held at this moment.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            drop((go_read, failure_write));
            Ok(Held { pid: child, go: File::from(go_write), failure: File::from(failure_read) })
        }
        ForkResult::Child => in_child(
            program.as_ptr(),
            [&arguments, &variables],
            inherited,
            [go_read.as_raw_fd(), go_write.as_raw_fd()],
            &failure_write,
            recorder,
        ),
    }
}

/// The recorder's own environment with these `variables` in it.
fn environment(variables: &[(&'static str, OsString)]) -> Vec<CString> {
    let replaced = |name: &OsString| variables.iter().any(|(other, _)| name == other);
    let own = std::env::vars_os().filter(|(name, _)| !replaced(name));
    let more = variables.iter().map(|(name, value)| (OsString::from(name), value.clone()));
    let line = |(mut line, value): (OsString, OsString)| {
        line.push("=");
        line.push(value);
        // No environment holds a zero byte.
        CString::new(line.into_vec()).ok()
    };
    own.chain(more).filter_map(line).collect()
}

/// Between fork and exec: no allocation, no lock, no unwinding.
fn in_child(
    program: *const libc::c_char,
    [arguments, variables]: [&[*const libc::c_char]; 2],
    inherited: &Inherited,
    [go_read, go_write]: [RawFd; 2],
    failure: &OwnedFd,
    recorder: libc::c_ulong,
) -> ! {
    // SAFETY: closes this process's copy, which nothing here uses again; without it the read below
    // would never see the end of the pipe.
    unsafe { libc::close(go_write) };
    // SAFETY: integers by value only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGCONT, 0, 0, 0) };
    // SAFETY: integers by value only. Where Yama lets only ancestors trace, this lets in the recorder and
    // its children, such as the one that injects; elsewhere it fails, which does not matter.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, recorder, 0, 0, 0) };
    // SAFETY: the mask is valid for the call's duration; the old one is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, inherited.mask.as_ref(), ptr::null_mut()) };
    // SAFETY: SIG_DFL runs no code of ours. Rust's runtime ignores SIGPIPE; commands expect it.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let restored: libc::sigaction = inherited.file_size.into();
    // SAFETY: a valid action for the call's duration, as it was before this process changed it.
    unsafe { libc::sigaction(libc::SIGXFSZ, &raw const restored, ptr::null_mut()) };
    if inherited.stdout_is_taken {
        // SAFETY: integers by value only; both descriptors are this process's own.
        unsafe { libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) };
    }
    let mut byte = 0_u8;
    loop {
        // SAFETY: one byte into a variable that lives across the call.
        let count = unsafe { libc::read(go_read, (&raw mut byte).cast(), 1) };
        // One byte: released. None: the recorder is gone, which is no reason not to run.
        if count >= 0 || Errno::last() != Errno::EINTR {
            break;
        }
    }
    // SAFETY: `program`, the null-terminated `arguments` and `variables` point into strings that the parent's frame,
    // copied by fork, keeps alive. Returns only on failure.
    unsafe { libc::execvpe(program, arguments.as_ptr(), variables.as_ptr()) };
    let number = Errno::last_raw().to_le_bytes();
    // SAFETY: four bytes of a local array.
    let _reported =
        unsafe { libc::write(failure.as_raw_fd(), number.as_ptr().cast(), number.len()) };
    // SAFETY: ends this process without running destructors that belong to the parent.
    unsafe { libc::_exit(127) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{SaFlags, SigHandler};
    use nix::sys::wait::{WaitStatus, waitpid};

    fn held(words: &[&str]) -> Held {
        let words: Vec<CString> = words.iter().map(|w| CString::new(*w).unwrap()).collect();
        let inherited = Inherited {
            mask: SigSet::empty(),
            file_size: SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty()),
            variables: vec![("DAMON_TEST", "set\nhere".into()), ("HOME", "/".into())],
            stdout_is_taken: false,
        };
        spawn_held(&words, &inherited).unwrap()
    }

    #[test]
    fn variables_are_added_to_the_environment_or_replaced_in_it() {
        let test = "[ \"$DAMON_TEST\" = \"$(printf 'set\\nhere')\" ] && [ \"$HOME\" = / ] && [ -n \"$PATH\" ] \
                    && [ $(env -0 | grep -zc ^HOME=) = 1 ]";
        let child = held(&["sh", "-c", test]);
        let pid = child.pid();
        assert_eq!(child.release().unwrap().executed(), Ok(()));
        assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 0)));
    }

    #[test]
    fn a_held_command_runs_only_after_release() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("ran");
        let child = held(&["touch", mark.to_str().unwrap()]);
        let pid = child.pid();
        assert!(!mark.exists());
        assert_eq!(child.release().unwrap().executed(), Ok(()));
        assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 0)));
        assert!(mark.exists());
    }

    #[test]
    fn a_command_goes_on_when_nobody_is_left_to_release_it() {
        let child = held(&["sh", "-c", "exit 5"]);
        let pid = child.pid();
        drop(child);
        assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 5)));
    }

    #[test]
    fn the_reason_of_a_failed_exec_arrives() {
        for (word, errno) in [("/nonexistent/x", Errno::ENOENT), ("/etc/passwd", Errno::EACCES)] {
            let child = held(&[word]);
            let pid = child.pid();
            assert_eq!(child.release().unwrap().executed(), Err(errno));
            assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 127)));
        }
    }
}
