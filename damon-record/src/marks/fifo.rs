//! The recorder's end: a FIFO that is there while somebody may write to it, and is read by one recorder only.

use super::guard::{Guard, discard_for_good};
use super::sweep;
use crate::exit::Failure;
use crate::sys::file_lock::try_exclusive;
use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Whoever may write here can put words into the recording: for the owner only.
const MODE: u32 = 0o600;
/// A FIFO that vanishes while it is opened is tried again so often.
const ATTEMPTS: u32 = 10;
/// One that somebody else has locked is tried again so often, which takes a second: the guard of a recorder that has just
/// ended has it for a moment …
const LOCK_ATTEMPTS: u32 = 50;
/// … after this time.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Where it is, and what is removed in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) path: PathBuf,
    /// We have made it.
    pub(super) made: bool,
    /// We have made its directory, too, for nothing else.
    pub(super) private: bool,
}

/// An open FIFO that marks come through. Dropping it removes what was made.
///
/// It is open for reading and writing: so nobody who opens it for writing waits, and nobody who goes away ends it.
#[derive(Debug)]
pub struct Fifo {
    file: File,
    site: Site,
    guard: Option<Guard>,
    removes: bool,
}

impl Fifo {
    /// The FIFO `path`, made if it is not there.
    pub fn at(path: &Path) -> Result<Self, Failure> {
        let path = std::path::absolute(path).map_err(|error| unusable(path, &error))?;
        let (mut vanished, mut taken) = (0, 0);
        while vanished < ATTEMPTS {
            let made = match mkfifo(&path, Mode::from_bits_truncate(MODE)) {
                Ok(()) => true,
                Err(Errno::EEXIST) => false,
                Err(errno) => return Err(unusable(&path, &errno.into())),
            };
            match open_locked(&path) {
                Ok(Opened::Locked(file)) => {
                    let site = Site { path, made, private: false };
                    return Ok(Self { file, site, guard: None, removes: made });
                }
                Ok(Opened::Vanished) => vanished += 1,
                Ok(Opened::Taken) if taken < LOCK_ATTEMPTS => {
                    taken += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                Ok(Opened::Taken) => {
                    return Err(Failure::CannotObserve(format!(
                        "another recorder reads the marks of {}, or the command of an earlier one has not ended yet: \
                         choose another name for --marks",
                        path.display()
                    )));
                }
                Err(failure) => {
                    if made {
                        remove_unused(&path);
                    }
                    return Err(failure);
                }
            }
        }
        let error = io::Error::other("somebody else removes it again and again");
        Err(unusable(&path, &error))
    }

    /// A new one in a directory of its own, below that for temporary files; those that nobody looks after any more go.
    pub fn private() -> Result<Self, Failure> {
        sweep::sweep(&std::env::temp_dir(), SystemTime::now());
        let directory = tempfile::Builder::new()
            .prefix(sweep::PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|error| unusable(&std::env::temp_dir(), &error))?;
        let mut fifo = Self::at(&directory.path().join(sweep::NAME))?;
        let _removed_with_the_fifo = directory.keep();
        fifo.site.private = true;
        Ok(fifo)
    }

    /// Has a process of its own look after it in case this one is killed; without that it is as good as long as nobody
    /// is.
    #[must_use]
    pub fn guarded(mut self, failed: impl FnOnce(io::Error)) -> Self {
        self.guard = Guard::start(&self.site, &self.file).map_err(failed).ok();
        self
    }

    /// Where it is, absolute.
    pub fn path(&self) -> &Path {
        &self.site.path
    }

    /// The user it belongs to, if that is somebody else: whoever has made one may let anybody write to it.
    pub fn foreign_owner(&self) -> Option<u32> {
        let owner = self.file.metadata().ok()?.uid();
        (owner != geteuid().as_raw()).then_some(owner)
    }

    /// What has been written, without waiting for it.
    pub fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// It has to stay for as long as this process lives, whatever happens to the recorder.
    pub fn serve(&self, process: BorrowedFd<'_>) {
        if let Some(guard) = &self.guard {
            guard.serve(process);
        }
    }

    /// The recording is over. Nobody reads any more; what is written from now on is thrown away, so that
    /// nobody has to wait because the FIFO is full.
    pub fn retire(&self) {
        if self.guard.as_ref().is_some_and(Guard::discard) {
            return;
        }
        // Nobody else does it: as long as we wait for the command, a thread of ours can.
        if let Ok(file) = self.file.try_clone() {
            let discard = std::thread::Builder::new().name("marks".to_owned());
            let _cannot_be_helped = discard.spawn(move || discard_for_good(&file));
        }
    }

    /// We go, and whoever it serves goes on: the guard removes it later.
    pub fn leave(mut self) {
        self.removes &= self.guard.is_none();
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        if self.removes {
            self.site.remove(&self.file);
        }
    }
}

impl Site {
    /// Removes what was made and is still there; `file` is the FIFO.
    pub(super) fn remove(&self, file: &File) {
        if self.made && is_at(&self.path, file) {
            let _somebody_was_faster = fs::remove_file(&self.path);
        }
        if let Some(directory) = self.path.parent().filter(|_| self.private) {
            let _has_something_of_somebody_else = fs::remove_dir(directory);
        }
    }
}

/// Whether this name means this file still.
fn is_at(path: &Path, file: &File) -> bool {
    match (fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => (named.dev(), named.ino()) == (open.dev(), open.ino()),
        _ => false,
    }
}

/// Removes what was made and cannot be opened, unless somebody else uses it already.
fn remove_unused(path: &Path) {
    let is_fifo = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    if is_fifo && !opened.is_ok_and(|file| try_exclusive(&file) == Ok(false)) {
        let _somebody_was_faster = fs::remove_file(path);
    }
}

/// What became of an attempt to have it.
enum Opened {
    /// For this recorder alone.
    Locked(File),
    /// Somebody has removed it meanwhile.
    Vanished,
    /// Somebody else has it. It is closed again: who has it open counts as somebody who may write.
    Taken,
}

/// Opens it for this recorder alone.
fn open_locked(path: &Path) -> Result<Opened, Failure> {
    let shown = path.display();
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match fs::metadata(path) {
        Ok(found) if !found.file_type().is_fifo() => {
            return Err(Failure::Usage(format!(
                "--marks {shown}: there is something else, which is no FIFO, and is left alone: choose another name"
            )));
        }
        Ok(_) => {}
        Err(error) if gone(&error) => return Ok(Opened::Vanished),
        Err(error) => return Err(unusable(path, &error)),
    }
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if gone(&error) => return Ok(Opened::Vanished),
        Err(error) => return Err(unusable(path, &error)),
    };
    if !file.metadata().is_ok_and(|found| found.file_type().is_fifo()) {
        return Ok(Opened::Vanished);
    }
    match try_exclusive(&file) {
        // Whoever removes it has the lock.
        Ok(true) if is_at(path, &file) => Ok(Opened::Locked(file)),
        Ok(true) => Ok(Opened::Vanished),
        Ok(false) => Ok(Opened::Taken),
        Err(errno) => Err(unusable(path, &errno.into())),
    }
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    Failure::CannotObserve(match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("no permission for marks through {shown}: choose another place with --marks")
        }
        io::ErrorKind::NotFound => {
            format!(
                "cannot take marks through {shown}: its directory does not exist; create it first"
            )
        }
        _ => {
            format!("cannot take marks through {shown}: {error}; choose another place with --marks")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    fn writer(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path)
    }

    #[test]
    fn a_private_one_is_for_its_owner_only_and_leaves_nothing() {
        let fifo = Fifo::private().unwrap();
        let path = fifo.path().to_path_buf();
        let directory = path.parent().unwrap().to_path_buf();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&path)), (0o700, 0o600));
        writer(&path).unwrap().write_all(b"one\n").unwrap();
        let mut text = [0; 16];
        let mut reader = fifo.reader().unwrap();
        assert_eq!(reader.read(&mut text).unwrap(), 4);
        let empty = reader.read(&mut text).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock, "never the end, never waiting");
        drop(fifo);
        assert!(!directory.exists());
    }

    #[test]
    fn one_that_was_there_stays_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marks");
        mkfifo(&path, Mode::from_bits_truncate(0o622)).unwrap();
        assert_eq!(Fifo::at(&path).unwrap().foreign_owner(), None);
        if geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(1000), None).unwrap();
            assert_eq!(Fifo::at(&path).unwrap().foreign_owner(), Some(1000));
        }
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        fs::remove_file(&path).unwrap();
        drop(Fifo::at(&path).unwrap());
        assert!(!path.exists(), "this one was made");
    }

    #[test]
    fn one_recorder_reads_and_no_other_file_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marks");
        let first = Fifo::at(&path).unwrap();
        let text = Fifo::at(&path).unwrap_err().to_string();
        assert!(text.contains("another recorder"), "{text}");
        // Somebody has put something else under its name.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        drop(first);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let Err(Failure::Usage(text)) = Fifo::at(&path) else { panic!() };
        assert!(text.contains("no FIFO"), "{text}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let text = Fifo::at(&dir.path().join("no/marks")).unwrap_err().to_string();
        assert!(text.contains("directory does not exist"), "{text}");
    }
}
