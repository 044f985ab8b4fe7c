//! The width of the terminal.
#![expect(unsafe_code, reason = "TIOCGWINSZ has no safe form")]

use nix::libc;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};

nix::ioctl_read_bad! {
    /// `TIOCGWINSZ` (ioctl_tty(2)).
    window_size, libc::TIOCGWINSZ, libc::winsize
}

/// Columns of the terminal behind standard error, 80 where it does not tell.
pub fn stderr_columns() -> usize {
    columns(io::stderr().as_raw_fd()).unwrap_or(80)
}

/// Columns of the terminal behind standard output; `None` when there is none, or it does not tell.
pub fn stdout_columns() -> Option<usize> {
    columns(io::stdout().as_raw_fd())
}

fn columns(file: RawFd) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call writes one winsize into a variable that lives across it; a descriptor that is no
    // terminal, or none at all, makes it fail.
    unsafe { window_size(file, &raw mut size) }.ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}
