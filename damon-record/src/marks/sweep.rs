//! Directories of FIFOs whose recorder and guard were both killed, as with all of a control group: nobody else removes them.

use crate::sys::file_lock::try_exclusive;
use nix::libc;
use nix::unistd::geteuid;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How the names of the directories begin.
pub(super) const PREFIX: &str = "damon-record-";
/// The FIFO inside.
pub(super) const NAME: &str = "marks";
/// Between making a directory and locking its FIFO a recorder needs milliseconds; whatever is younger is left alone.
const OLD: Duration = Duration::from_secs(3600);

/// Removes what is left in `root`: directories of this user's with nothing or such a FIFO in them, which neither recorder nor
/// guard holds the lock of. What cannot be removed stays.
pub(super) fn sweep(root: &Path, now: SystemTime) {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let named = |name: &[u8]| name.starts_with(PREFIX.as_bytes());
    for entry in entries.filter(|entry| named(entry.file_name().as_encoded_bytes())) {
        let directory = entry.path();
        if is_old(&directory, now).unwrap_or(false) && is_unused(&directory.join(NAME)) {
            let _was_empty = fs::remove_file(directory.join(NAME));
            let _holds_something_else = fs::remove_dir(&directory);
        }
    }
}

/// Whether it is one as we make them, and has been for long.
fn is_old(directory: &Path, now: SystemTime) -> io::Result<bool> {
    let found = fs::symlink_metadata(directory)?;
    let is_ours =
        found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o777 == 0o700;
    Ok(is_ours && now.duration_since(found.modified()?).is_ok_and(|age| age >= OLD))
}

/// Whether it is a FIFO that nobody looks after, or is not there.
fn is_unused(fifo: &Path) -> bool {
    match fs::symlink_metadata(fifo) {
        Err(error) => return error.kind() == io::ErrorKind::NotFound,
        Ok(found) if !found.file_type().is_fifo() => return false,
        Ok(_) => {}
    }
    // Without waiting. Whoever waits for a reader is let go by this; with the recorder dead nobody else would come.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(fifo);
    opened.is_ok_and(|file| try_exclusive(&file) == Ok(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    fn directory(root: &Path, name: &str, mode: u32) -> PathBuf {
        let directory = root.join(name);
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
        directory
    }

    fn fifo(directory: &Path) -> PathBuf {
        let fifo = directory.join(NAME);
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        fifo
    }

    #[test]
    fn only_what_nobody_looks_after_and_nobody_else_made_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let new = |name: &str, mode| directory(root.path(), name, mode);
        let (dead, empty) = (new("damon-record-dead", 0o700), new("damon-record-empty", 0o700));
        fifo(&dead);
        let (alive, wide) = (new("damon-record-alive", 0o700), new("damon-record-wide", 0o755));
        let lock = fs::File::options().read(true).write(true).open(fifo(&alive)).unwrap();
        assert_eq!(try_exclusive(&lock), Ok(true));
        fifo(&wide);
        let (other, full) = (new("other", 0o700), new("damon-record-full", 0o700));
        fifo(&other);
        fs::write(full.join(NAME), "precious").unwrap();
        let link = root.path().join("damon-record-link");
        std::os::unix::fs::symlink(&other, &link).unwrap();

        let later = |seconds| SystemTime::now() + Duration::from_secs(seconds);
        sweep(root.path(), later(60));
        assert!(dead.exists() && empty.exists(), "they may be just beginning");
        sweep(root.path(), later(2 * 3600));
        assert!(!dead.exists() && !empty.exists());
        for kept in [alive.join(NAME), wide.join(NAME), other.join(NAME), full.join(NAME), link] {
            assert!(kept.exists(), "{}", kept.display());
        }
        // Its recorder and guard are gone, too.
        drop(lock);
        sweep(root.path(), later(2 * 3600));
        assert!(!alive.exists());
        sweep(&root.path().join("missing"), later(0));
    }
}
