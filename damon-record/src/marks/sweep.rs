//! Directories of FIFOs whose recorder and guard were both killed, as with all of a control group: nobody else removes them.

use crate::sys::file_lock::try_exclusive;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How the names of the directories begin. Nobody else calls something like that by chance: `mktemp -d damon-record-XXXXXX` of
/// a script looks like ours in all else, and may be empty for hours.
pub(super) const PREFIX: &str = "damon-record-marks-";
/// The FIFO inside.
pub(super) const NAME: &str = "marks";
/// Between making a directory and locking its FIFO a recorder needs milliseconds; whatever is younger is left alone.
const OLD: Duration = Duration::from_secs(3600);

/// Removes what is left in `root`: directories of this user's with nothing or such a FIFO in them, which neither recorder nor
/// guard holds the lock of. What cannot be removed stays.
///
/// Names are looked up once: who may rename things in `root` cannot have anything removed that is elsewhere.
pub(super) fn sweep(root: &Path, now: SystemTime) {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let named = |name: &[u8]| name.starts_with(PREFIX.as_bytes());
    for entry in entries.filter(|entry| named(entry.file_name().as_encoded_bytes())) {
        let path = entry.path();
        let Some(directory) = open_old(&path, now).unwrap_or(None) else { continue };
        if is_unused(&directory) {
            let _was_empty = unlinkat(&directory, NAME, UnlinkatFlags::NoRemoveDir);
            let _holds_something_else = fs::remove_dir(&path);
        }
    }
}

/// The directory, if it is one as we make them, and has been for long.
fn open_old(path: &Path, now: SystemTime) -> io::Result<Option<File>> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let directory = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = directory.metadata()?;
    let is_ours = found.uid() == geteuid().as_raw() && found.mode() & 0o777 == 0o700;
    let is_old = now.duration_since(found.modified()?).is_ok_and(|age| age >= OLD);
    Ok((is_ours && is_old).then_some(directory))
}

/// Whether it holds a FIFO that nobody looks after, or none.
fn is_unused(directory: &File) -> bool {
    // Without waiting. Whoever waits for a reader is let go by this; with the recorder dead nobody else would come.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(directory, NAME, flags, Mode::empty()).map(OwnedFd::into) {
        Err(errno) => errno == Errno::ENOENT,
        Ok(file) => is_fifo(&file) && try_exclusive(&file) == Ok(true),
    }
}

fn is_fifo(file: &File) -> bool {
    file.metadata().is_ok_and(|found| found.file_type().is_fifo())
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let (dead, empty) =
            (new("damon-record-marks-dead", 0o700), new("damon-record-marks-empty", 0o700));
        fifo(&dead);
        let (alive, wide) =
            (new("damon-record-marks-alive", 0o700), new("damon-record-marks-wide", 0o755));
        let lock = File::options().read(true).write(true).open(fifo(&alive)).unwrap();
        assert_eq!(try_exclusive(&lock), Ok(true));
        fifo(&wide);
        let (other, full) = (new("other", 0o700), new("damon-record-marks-full", 0o700));
        fifo(&other);
        fs::write(full.join(NAME), "precious").unwrap();
        let link = root.path().join("damon-record-marks-link");
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let linked = new("damon-record-marks-linked", 0o700);
        std::os::unix::fs::symlink(other.join(NAME), linked.join(NAME)).unwrap();
        // As a script makes one for its recordings.
        let script = new("damon-record-k3Xz9a", 0o700);

        let later = |seconds| SystemTime::now() + Duration::from_secs(seconds);
        sweep(root.path(), later(60));
        assert!(dead.exists() && empty.exists(), "they may be just beginning");
        sweep(root.path(), later(2 * 3600));
        assert!(!dead.exists() && !empty.exists());
        let kept = [alive, wide, other, full, linked].map(|directory| directory.join(NAME));
        for kept in kept.iter().chain([&link, &script]) {
            assert!(kept.exists(), "{}", kept.display());
        }
        // Its recorder and guard are gone, too.
        drop(lock);
        sweep(root.path(), later(2 * 3600));
        assert!(!kept[0].parent().unwrap().exists());
        sweep(&root.path().join("missing"), later(0));
    }
}
