//! The guard process: waits for the recorder's death and restores the tree then.
//!
//! It is this very program started again with one hidden argument, as the injection helper is
//! (`backend::writes`), and for the same reasons. It leaves the recorder's session, process group and
//! terminal, blocks all signals, closes what it inherited, and asks to be spared when memory runs out. All
//! it has is a socket to the recorder, a descriptor of the recorder's process, and the lock file.
//!
//! The recorder is gone when its process has ended, or when its end of the socket is closed: the kernel closes
//! it only after no thread of the recorder can write to the tree any more. What was done, or may have been
//! done, is in the lock file. When the recorder has restored the tree by itself, it says so,
//! and the guard ends without writing.
//!
//! What it cannot survive: `SIGKILL` of its own, as when a whole control group or pid namespace is
//! killed. Then the next recorder restores the tree.

use super::lock::Lock;
use super::restore::{NotRestored, restore};
use crate::damon::sysfs::{Admin, Tree};
use crate::sys::{detached, fdpass};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The hidden first argument that makes the program a guard.
pub const GUARD_ARGUMENT: &str = "--internal-damon-guard";

/// "I am ready", and what comes with the recorder's own descriptor.
pub(super) const READY: u8 = b'R';
/// "The tree is restored."
pub(super) const DONE: u8 = b'D';

/// A path is no longer than this.
const PATH_LEN: usize = 4096;

/// How long it goes on trying while somebody else keeps DAMON busy.
const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// To be called first thing in `main`, before the arguments are parsed and before anything is opened:
/// serves as the guard when the program was started as one, and returns its exit code.
pub fn serve_if_asked(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let asked = arguments.nth(1).as_deref() == Some(OsStr::new(GUARD_ARGUMENT));
    asked.then(|| serve(|root| Tree::at(root)))
}

/// Guards the tree that `open` makes of the root in the lock file.
pub fn serve(open: impl Fn(&str) -> Tree) -> ExitCode {
    match try_serve(open) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_nobody_listens) => ExitCode::FAILURE,
    }
}

fn try_serve(open: impl Fn(&str) -> Tree) -> Result<(), Errno> {
    detached::detach_from_starter()?;
    detached::hurry();
    // Neither keeps it from its duty.
    let _stays = nix::unistd::chdir("/");
    let _as_likely_as_others = std::fs::write("/proc/self/oom_score_adj", "-1000");

    let stdin = std::io::stdin();
    let mut path = vec![0; PATH_LEN];
    let (len, file) = fdpass::receive(stdin.as_fd(), &mut path)?;
    path.truncate(len);
    let file = file.ok_or(Errno::EINVAL)?;
    let lock = Lock::passed(file, PathBuf::from(OsStr::from_bytes(&path)));
    let result = wait(stdin.as_fd());
    if !matches!(result, Ok(End::Done)) {
        undo(&lock, open);
    }
    result.map(drop)
}

/// What the recorder has come to.
enum End {
    /// It has restored the tree.
    Done,
    /// It is gone.
    Gone,
}

fn wait(socket: BorrowedFd<'_>) -> Result<End, Errno> {
    let (_, recorder) = fdpass::receive(socket, &mut [0])?;
    let recorder = recorder.ok_or(Errno::EINVAL)?;
    fdpass::send(socket, &[READY], None)?;
    loop {
        let mut fds = [
            PollFd::new(socket, PollFlags::POLLIN),
            PollFd::new(recorder.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        let [message, _death] = fds.map(|fd| fd.any().unwrap_or(false));
        if !message {
            // Its last word was said before it died, and would be here.
            return Ok(End::Gone);
        }
        let mut word = [0];
        match fdpass::receive(socket, &mut word) {
            Ok((1, _)) if word == [DONE] => return Ok(End::Done),
            Ok((0, _)) | Err(_) => return Ok(End::Gone),
            Ok(_) => {}
        }
    }
}

fn undo(lock: &Lock, open: impl Fn(&str) -> Tree) {
    let deadline = Instant::now() + LIMIT;
    // Read now and not before: it says what was about to be done.
    while let Ok(Some(record)) = lock.read() {
        match restore(&Admin::new(open(&record.root)), &record) {
            Ok(_) | Err(NotRestored::Lost(_)) => {
                let _left_empty = lock.clear();
                return;
            }
            // The lock file stays, and the next recorder tries.
            Err(NotRestored::Tree(_)) if Instant::now() >= deadline => return,
            Err(NotRestored::Tree(_)) => std::thread::sleep(PAUSE),
        }
    }
    if matches!(lock.read(), Ok(None)) {
        // Killed before it could write even that.
        let _left_empty = lock.clear();
    }
}
