//! What a process does to survive whoever started it.

#![expect(unsafe_code, reason = "close_range and tgkill have no safe wrapper")]

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};

/// Leaves the starter's session, process group and terminal, blocks every signal that can be
/// blocked (`SIGCHLD` with its default action), and closes every inherited descriptor above standard error, so that nobody waits for
/// the end of a pipe because of us.
///
/// Call it before the process has opened anything of its own.
pub fn detach_from_starter() -> Result<(), Errno> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?;
    // A starter may have had it ignored, which would be inherited and keep it from pending.
    // SAFETY: the default action runs no code of ours.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    match nix::unistd::setsid() {
        // EPERM: we lead a process group already, then nobody can kill us through the starter's.
        Ok(_) | Err(Errno::EPERM) => {}
        Err(error) => return Err(error),
    }
    // SAFETY: the caller has opened nothing yet, so no value of this process owns a descriptor above 2.
    let closed = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    match Errno::result(closed) {
        // Before 5.9; nothing that this backend needs works there.
        Ok(_) | Err(Errno::ENOSYS) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Asks to be scheduled before everybody else, because somebody waits for us. Without privileges nothing
/// changes.
pub fn hurry() {
    let who = 0;
    // SAFETY: setpriority takes three integers and touches no memory of ours.
    let _refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, who, -20) };
}

/// Sends a signal to one thread.
pub fn signal_thread(pid: i32, tid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: tgkill takes three integers and touches no memory of ours.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) };
    Errno::result(sent).map(drop)
}
