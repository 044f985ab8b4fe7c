//! Process file descriptors: a name for a process that cannot come to mean another one.

#![expect(unsafe_code, reason = "nix has no pidfd calls")]

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// `PIDFD_THREAD` of `include/uapi/linux/pidfd.h` (6.9): the id names a thread.
const PIDFD_THREAD: libc::c_uint = libc::O_EXCL as libc::c_uint;

fn open_with(id: i32, flags: libc::c_uint) -> Result<OwnedFd, Errno> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, id, flags) };
    owned(fd)
}

fn owned(fd: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = RawFd::try_from(Errno::result(fd)?).map_err(|_too_big| Errno::EBADF)?;
    // SAFETY: the kernel has just created this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens the process `pid` (5.3). `ESRCH`: there is no such process.
pub fn open(pid: i32) -> Result<OwnedFd, Errno> {
    open_with(pid, 0)
}

/// Opens the thread `tid` (6.9). `EINVAL`: an older kernel.
pub fn open_thread(tid: i32) -> Result<OwnedFd, Errno> {
    open_with(tid, PIDFD_THREAD)
}

/// Copies the descriptor number `target_fd` of the process behind `pidfd` (5.6). Needs the right to
/// attach to that process with ptrace.
pub fn get_fd(pidfd: BorrowedFd<'_>, target_fd: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: pidfd_getfd takes three integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), target_fd, 0) };
    owned(fd)
}

/// True once every thread of the process has exited (it may still be a zombie).
pub fn has_exited(pidfd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_living_process_has_not_exited_and_a_zombie_has() {
        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pidfd = open(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(!has_exited(pidfd.as_fd()));
        drop(child.stdin.take());
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::NONE).unwrap();
        assert!(has_exited(pidfd.as_fd()), "cat is a zombie now");
        child.wait().unwrap();
    }

    #[test]
    fn a_pid_that_cannot_exist_is_esrch() {
        assert_eq!(open(i32::MAX).unwrap_err(), Errno::ESRCH);
    }
}
