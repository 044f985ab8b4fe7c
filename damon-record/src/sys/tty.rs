//! The width of the terminal.
#![expect(unsafe_code, reason = "TIOCGWINSZ has no safe form")]

use nix::libc;
use std::io;
use std::os::fd::AsRawFd as _;

nix::ioctl_read_bad! {
    /// `TIOCGWINSZ` (ioctl_tty(2)).
    window_size, libc::TIOCGWINSZ, libc::winsize
}

/// Columns of the terminal behind standard error, 80 where it does not tell.
pub fn stderr_columns() -> usize {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call writes one winsize into a variable that lives across it.
    let answered = unsafe { window_size(io::stderr().as_raw_fd(), &raw mut size) };
    match (answered, size.ws_col) {
        (Err(_), _) | (Ok(_), 0) => 80,
        (Ok(_), columns) => usize::from(columns),
    }
}
