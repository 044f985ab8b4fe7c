//! Standard output as it was when the program was started.
//!
//! Before `main` Rust's runtime opens `/dev/null` in place of a closed standard output, and its own handle
//! calls a refused write (`EBADF`) a success. Either would lose a recording without a word.
#![expect(unsafe_code, reason = "fcntl of a descriptor that may be closed")]

use nix::libc;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs before the runtime does.
#[ctor::ctor(unsafe)]
fn look() {
    CLOSED.store(is_closed(), Ordering::Relaxed);
}

fn is_closed() -> bool {
    // SAFETY: asks for the flags of a descriptor number; the kernel says `EBADF` when it is closed.
    unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) == -1 }
}

/// Opens standard output for writing; an error when it was closed at the start.
pub fn open() -> io::Result<File> {
    if CLOSED.load(Ordering::Relaxed) {
        return Err(io::Error::other("it was closed when the program was started"));
    }
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}
