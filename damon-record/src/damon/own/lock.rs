//! The lock file: one of our recorders at a time, and the record of what it does.
//!
//! The lock belongs to the open file (`flock(2)`), which the recorder shares with its guard: nobody
//! gets it before both have ended. The file itself is removed when the tree is restored.

use super::record::{RECORD_LEN, Record};
use crate::sys::file_lock;
use nix::errno::Errno;
use nix::unistd::geteuid;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Name of the file.
pub(super) const NAME: &str = "damon-record.lock";

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// No directory takes a file.
    #[error(
        "cannot make a lock file, and without one nothing is changed in the kernel's DAMON: {}",
        .tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    NoPlace {
        /// What was tried, and what the system said.
        tried: Vec<Untaken>,
    },
    /// The file belongs to somebody else, or is no plain file.
    #[error("{} is not a plain file of our own: remove it", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be used.
    #[error("cannot use the lock file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A directory that took no lock file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct Untaken {
    path: PathBuf,
    source: io::Error,
}

/// An attempt to get the lock.
#[derive(Debug)]
pub(super) enum Attempt {
    /// It is ours now, with what the file says about who had it last.
    Taken(Lock, Option<Leftover>),
    /// Somebody has it.
    Held(Option<Record>),
}

/// What a recorder has left in the lock file.
#[derive(Debug)]
pub(super) enum Leftover {
    Record(Box<Record>),
    /// Not understood.
    Text(String),
}

/// The lock, as long as the file is open here or in another process.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Tries the directories in order; the first one that takes a file decides.
    pub(super) fn attempt(dirs: &[PathBuf]) -> Result<Attempt, LockError> {
        let mut tried = Vec::new();
        for dir in dirs {
            let path = dir.join(NAME);
            match open(&path) {
                Ok(file) => return Self::attempt_on(file, path),
                Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
                    return Err(LockError::Foreign { path });
                }
                Err(source) => tried.push(Untaken { path, source }),
            }
        }
        Err(LockError::NoPlace { tried })
    }

    /// What the file says, without taking the lock or making a file: for those who only ask. Nothing where it is not
    /// ours to read.
    pub(super) fn peek(dirs: &[PathBuf]) -> Option<Record> {
        let existing = |dir: &PathBuf| {
            OpenOptions::new().read(true).custom_flags(CAREFUL).open(dir.join(NAME)).ok()
        };
        let file = dirs.iter().find_map(existing)?;
        match read(&file).ok().filter(|_| file.metadata().is_ok_and(|meta| is_our_own(&meta)))? {
            Some(Leftover::Record(record)) => Some(*record),
            Some(Leftover::Text(_)) | None => None,
        }
    }

    fn attempt_on(mut file: File, path: PathBuf) -> Result<Attempt, LockError> {
        loop {
            let io = |source| LockError::Io { path: path.clone(), source };
            let meta = file.metadata().map_err(io)?;
            if !is_our_own(&meta) {
                return Err(LockError::Foreign { path });
            }
            if !file_lock::try_exclusive(&file).map_err(|errno| io(errno.into()))? {
                return Ok(Attempt::Held(read(&file).map_err(io)?.and_then(
                    |leftover| match leftover {
                        Leftover::Record(record) => Some(*record),
                        Leftover::Text(_) => None,
                    },
                )));
            }
            // Whoever had it may have removed the file, and another one may be there by now.
            let current = fs::symlink_metadata(&path).ok();
            if current.is_some_and(|now| (now.dev(), now.ino()) == (meta.dev(), meta.ino())) {
                let leftover = read(&file).map_err(io)?;
                return Ok(Attempt::Taken(Self { file, path }, leftover));
            }
            file = open(&path).map_err(io)?;
        }
    }

    /// The lock of which another process has passed us the open file.
    pub(super) fn passed(fd: OwnedFd, path: PathBuf) -> Self {
        Self { file: File::from(fd), path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the record.
    pub(super) fn write(&self, record: &Record) -> Result<(), LockError> {
        let bytes = record.encode().ok_or_else(|| self.io(Errno::ENAMETOOLONG.into()))?;
        self.file.write_all_at(&bytes, 0).map_err(|source| self.io(source))
    }

    /// The record, if there is one.
    pub(super) fn read(&self) -> Result<Option<Record>, LockError> {
        match read(&self.file).map_err(|source| self.io(source))? {
            Some(Leftover::Record(record)) => Ok(Some(*record)),
            Some(Leftover::Text(_)) => Err(self.io(io::ErrorKind::InvalidData.into())),
            None => Ok(None),
        }
    }

    /// Nothing is left to undo: removes the file. The lock itself stays until it is closed.
    pub(super) fn clear(&self) -> Result<(), LockError> {
        self.file.set_len(0).map_err(|source| self.io(source))?;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.io(error)),
            _ => Ok(()),
        }
    }

    fn io(&self, source: io::Error) -> LockError {
        LockError::Io { path: self.path.clone(), source }
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// In `/tmp` anybody may have put a link or a pipe there.
const CAREFUL: i32 = nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC | nix::libc::O_NONBLOCK;

fn is_our_own(meta: &Metadata) -> bool {
    meta.is_file() && meta.uid() == geteuid().as_raw() && meta.mode() & 0o022 == 0
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(CAREFUL)
        .open(path)
}

fn read(file: &File) -> io::Result<Option<Leftover>> {
    let mut bytes = vec![0; RECORD_LEN];
    let mut len = 0;
    while let Some(rest) = bytes.get_mut(len..)
        && !rest.is_empty()
    {
        match file.read_at(rest, u64::try_from(len).unwrap_or(u64::MAX)) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(len);
    if bytes.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) {
        return Ok(None);
    }
    Ok(Some(match Record::decode(&bytes) {
        Some(record) => Leftover::Record(Box::new(record)),
        None => Leftover::Text(String::from_utf8_lossy(&bytes).trim().chars().take(80).collect()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damon::own::record::tests::record;

    fn taken(dir: &Path) -> (Lock, Option<Leftover>) {
        match Lock::attempt(&[dir.to_owned()]).unwrap() {
            Attempt::Taken(lock, leftover) => (lock, leftover),
            Attempt::Held(by) => panic!("held by {by:?}"),
        }
    }

    #[test]
    fn the_second_one_learns_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, leftover) = taken(dir.path());
        assert!(leftover.is_none());
        lock.write(&record()).unwrap();
        let Attempt::Held(Some(by)) = Lock::attempt(&[dir.path().to_owned()]).unwrap() else {
            panic!("taken twice");
        };
        assert_eq!(by, record());
        drop(lock);
        let (_lock, Some(Leftover::Record(left))) = taken(dir.path()) else { panic!("no record") };
        assert_eq!(*left, record());
    }

    #[test]
    fn a_cleared_lock_leaves_no_file_and_does_not_stand_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = taken(dir.path());
        first.write(&record()).unwrap();
        first.clear().unwrap();
        assert!(!dir.path().join(NAME).exists());
        let (second, leftover) = taken(dir.path());
        assert!(leftover.is_none());
        second.write(&record()).unwrap();
        assert_eq!(first.read().unwrap(), None, "another file");
    }

    #[test]
    fn an_unusable_directory_is_passed_over_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let both = [missing.clone(), dir.path().to_owned()];
        let Ok(Attempt::Taken(lock, _)) = Lock::attempt(&both) else { panic!("not taken") };
        assert_eq!(lock.path(), dir.path().join(NAME));
        let text = Lock::attempt(&[missing]).unwrap_err().to_string();
        assert!(text.contains("missing/damon-record.lock"), "{text}");
    }

    #[test]
    fn what_others_have_put_there_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(NAME)).unwrap();
        let error = Lock::attempt(&[dir.path().to_owned()]).unwrap_err();
        assert!(matches!(error, LockError::Foreign { .. }), "{error}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn text_of_somebody_else_is_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        drop(open(&path).unwrap());
        fs::write(&path, "{\"version\": 9}").unwrap();
        let (lock, leftover) = taken(dir.path());
        assert!(matches!(leftover, Some(Leftover::Text(text)) if text.contains('9')));
        assert!(lock.read().is_err());
    }
}
