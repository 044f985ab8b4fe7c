//! Advisory locks of whole files (`flock(2)`).
//!
//! Such a lock belongs to the open file, which other processes may share: it is released when the last of
//! them has closed it, by whatever death. `nix` offers it in a form that releases it for all of them at
//! once when one goes.

#![expect(unsafe_code, reason = "flock without an explicit release has no safe wrapper")]

use nix::errno::Errno;
use nix::libc;
use std::fs::File;
use std::os::fd::AsRawFd as _;

fn flock(file: &File, operation: libc::c_int) -> Result<(), Errno> {
    // SAFETY: flock takes two integers and touches no memory of ours; the descriptor is open, because
    // `file` is borrowed.
    let locked = unsafe { libc::flock(file.as_raw_fd(), operation) };
    Errno::result(locked).map(drop)
}

/// Locks `file` for this open file alone; false while another open file holds it.
pub fn try_exclusive(file: &File) -> Result<bool, Errno> {
    match flock(file, libc::LOCK_EX | libc::LOCK_NB) {
        Ok(()) => Ok(true),
        Err(Errno::EWOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Unlocks `file`, for all who share this open file.
pub fn release(file: &File) -> Result<(), Errno> {
    flock(file, libc::LOCK_UN)
}

/// As [`try_exclusive`], waiting for as long as it takes.
pub fn wait(file: &File) -> Result<(), Errno> {
    loop {
        match flock(file, libc::LOCK_EX) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_belongs_to_the_open_file_and_ends_with_its_last_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = File::create(&path).unwrap();
        assert_eq!(try_exclusive(&first), Ok(true));
        assert_eq!(try_exclusive(&first), Ok(true), "again by the same open file");
        let copy = first.try_clone().unwrap();
        let other = File::open(&path).unwrap();
        assert_eq!(try_exclusive(&other), Ok(false));
        drop(first);
        assert_eq!(try_exclusive(&other), Ok(false), "the copy still has it");
        drop(copy);
        assert_eq!(try_exclusive(&other), Ok(true));
        wait(&other).unwrap();
        release(&other).unwrap();
        assert_eq!(
            try_exclusive(&File::open(&path).unwrap()),
            Ok(true),
            "it is open, and not locked"
        );
    }
}
