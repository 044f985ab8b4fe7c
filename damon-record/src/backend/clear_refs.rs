//! `/proc/PID/clear_refs` (Documentation/filesystems/proc.rst), for the backends that write to it at each look.

use super::WatchError;
use crate::proc::{ProcError, ProcRoot};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};

/// Opens the file of the address space of `pid` for writing; changes nothing yet.
pub(super) fn open(proc: &ProcRoot, pid: u32) -> Result<File, ProcError> {
    let path = proc.of(pid, &format!("{}clear_refs", proc.memory_dir(pid)));
    OpenOptions::new().write(true).open(&path).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => ProcError::Denied { path },
        io::ErrorKind::NotFound if proc.stat(pid).is_err() => ProcError::Gone { pid },
        _ => ProcError::Io { path, source },
    })
}

/// Writes `command`, the number of what is to be cleared, to the open file of `pid`.
pub(super) fn clear(mut file: &File, pid: u32, command: &[u8]) -> Result<(), WatchError> {
    match file.write_all(command) {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Err(WatchError::Gone),
        Err(error) => {
            Err(WatchError::Failed(format!("cannot write /proc/{pid}/clear_refs: {error}")))
        }
    }
}
