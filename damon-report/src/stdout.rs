//! Standard output as it was when the program was started.
//!
//! Before `main` Rust's runtime opens `/dev/null` in place of a closed standard output, and its own handle
//! calls a refused write (`EBADF`) a success. Either would lose a result without a word.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs before the runtime does, so it uses nothing but one system call.
#[ctor::ctor(unsafe)]
fn look() {
    let closed = rustix::io::fcntl_getfd(rustix::stdio::stdout()).is_err();
    CLOSED.store(closed, Ordering::Relaxed);
}

/// Standard output; writing fails when it was closed at the start.
#[derive(Debug)]
pub struct Stdout(Option<File>);

impl Stdout {
    /// Opens it. One that is closed may never be written to, so that is no error yet.
    pub fn open() -> Self {
        if CLOSED.load(Ordering::Relaxed) {
            return Self(None);
        }
        Self(io::stdout().as_fd().try_clone_to_owned().ok().map(File::from))
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(file) => file.write(bytes),
            None => Err(io::Error::other("it was closed when the program was started")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
