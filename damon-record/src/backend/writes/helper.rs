//! The process that injects, so that killing the recorder at any moment cannot harm the target.
//!
//! It is this very program started again (`/proc/self/exe`) with one hidden argument, not a bare
//! fork: the recorder may have several threads, and after a fork only async-signal-safe functions
//! would be allowed, which excludes allocating and reading `/proc`. Starting again costs one to two
//! milliseconds, none of them of the target's time. Libraries and tests name the program themselves.
//!
//! Its life: its standard input is one end of a socket pair, its outputs are `/dev/null`. It leaves the
//! recorder's session, process group and terminal, blocks all signals, closes what it inherited, reads
//! one [`Request`], injects, sends one [`Reply`] with the descriptor, ends. If the recorder dies before
//! the request is sent, there is nothing to do; if it dies later, the injection is finished all the
//! same and the descriptor, which nobody receives, vanishes.
//! It lives for eight seconds at most, and waits asleep, unless the kernel does not schedule the thread that
//! it has borrowed (a frozen control group): then it waits for that thread, which would die otherwise.

use super::protocol::{REQUEST_LEN, Reply, Request};
use crate::sys::{detached, fdpass};
use nix::errno::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

/// The hidden first argument that makes the program a helper.
pub const HELPER_ARGUMENT: &str = "--internal-injection-helper";

/// To be called first thing in `main`, before the arguments are parsed and before anything is opened:
/// serves as the helper when the program was started as one, and returns its exit code.
pub fn serve_if_asked(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let asked = arguments.nth(1).as_deref() == Some(OsStr::new(HELPER_ARGUMENT));
    asked.then(|| if serve().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn serve() -> Result<(), Errno> {
    detached::detach_from_starter()?;
    detached::hurry();
    let stdin = std::io::stdin();
    let mut buffer = [0; REQUEST_LEN];
    let (len, process) = fdpass::receive(stdin.as_fd(), &mut buffer)?;
    let request = buffer.get(..len).and_then(Request::decode);
    let (Some(request), Some(process)) = (request, process) else {
        return Err(Errno::EINVAL);
    };
    let (reply, fd) = answer(request, &process);
    fdpass::send(stdin.as_fd(), &reply.encode(), fd.as_ref().map(AsFd::as_fd))
}

#[cfg(target_arch = "x86_64")]
fn answer(request: Request, process: &OwnedFd) -> (Reply, Option<OwnedFd>) {
    match super::inject::userfaultfd_of(request.pid, process.as_fd()) {
        Ok(injected) => {
            let pause_ns = u64::try_from(injected.pause.as_nanos()).unwrap_or(u64::MAX);
            let reply = Reply::Done { tid: injected.tid, pause_ns };
            (reply, Some(injected.fd))
        }
        Err(failure) => (Reply::Failed(failure), None),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn answer(_request: Request, _process: &OwnedFd) -> (Reply, Option<OwnedFd>) {
    (Reply::Failed(super::protocol::Failure::Architecture), None)
}
