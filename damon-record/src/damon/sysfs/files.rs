//! Files below a directory, as plain as the kernel sees them.

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use std::fmt::Debug;
use std::fs::File;
use std::io::{Error, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// What a [`Tree`](super::Tree) stands on. Paths are relative and use slashes.
pub trait Files: Debug + Send + Sync {
    /// All of a file.
    fn read(&self, path: &str) -> Result<String, Errno>;

    /// Writes `value` by one system call, without a line end.
    fn write(&self, path: &str, value: &str) -> Result<(), Errno>;

    /// Names of what is in the directory `path`, in any order.
    fn list(&self, path: &str) -> Result<Vec<String>, Errno>;

    /// Whether there is a file or directory of this name.
    fn exists(&self, path: &str) -> bool;

    /// Holds the directory `path`. What is done below it afterwards fails once that very directory was
    /// removed, even if another one of the same name has taken its place.
    fn hold(&self, path: &str) -> Result<Arc<dyn Files>, Errno>;

    /// A number that no other directory of this tree has, or had recently.
    fn identity(&self) -> Result<u64, Errno>;
}

/// Real files below a root: a path, or an open directory.
#[derive(Debug)]
pub(super) struct Below<R>(pub(super) R);

const LOOK: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

/// Where relative paths begin.
trait Root: Debug + Send + Sync {
    fn open(&self, path: &str, flags: OFlag) -> Result<OwnedFd, Errno>;

    /// Its number. Of kernfs: the node's own, never given twice in a row (fs/kernfs/dir.c).
    fn identity(&self) -> Result<u64, Errno>;
}

impl Root for PathBuf {
    fn open(&self, path: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
        openat(AT_FDCWD, &self.join(path), flags | OFlag::O_CLOEXEC, Mode::empty())
    }

    fn identity(&self) -> Result<u64, Errno> {
        Ok(fstat(self.open("", LOOK)?)?.st_ino)
    }
}

impl Root for OwnedFd {
    fn open(&self, path: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
        openat(self, path, flags | OFlag::O_CLOEXEC, Mode::empty())
    }

    fn identity(&self) -> Result<u64, Errno> {
        Ok(fstat(self)?.st_ino)
    }
}

impl<R: Root> Files for Below<R> {
    fn read(&self, path: &str) -> Result<String, Errno> {
        read(self.0.open(path, OFlag::O_RDONLY)?)
    }

    fn write(&self, path: &str, value: &str) -> Result<(), Errno> {
        write(self.0.open(path, WRITE)?, value)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Errno> {
        let path = if path.is_empty() { "." } else { path };
        list(self.0.open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?)
    }

    fn exists(&self, path: &str) -> bool {
        self.0.open(path, LOOK).is_ok()
    }

    fn hold(&self, path: &str) -> Result<Arc<dyn Files>, Errno> {
        Ok(Arc::new(Below(self.0.open(path, LOOK | OFlag::O_DIRECTORY)?)))
    }

    fn identity(&self) -> Result<u64, Errno> {
        self.0.identity()
    }
}

/// As a shell redirects; in sysfs the length of a file means nothing.
const WRITE: OFlag = OFlag::O_WRONLY.union(OFlag::O_TRUNC);

fn read(fd: OwnedFd) -> Result<String, Errno> {
    let mut bytes = Vec::new();
    File::from(fd).read_to_end(&mut bytes).map_err(|error| errno(&error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(fd: OwnedFd, value: &str) -> Result<(), Errno> {
    // One call: each write to a sysfs file is a complete value.
    let written = File::from(fd).write(value.as_bytes()).map_err(|error| errno(&error))?;
    if written == value.len() { Ok(()) } else { Err(Errno::EIO) }
}

fn list(fd: OwnedFd) -> Result<Vec<String>, Errno> {
    let mut dir = Dir::from_fd(fd)?;
    let names = dir.iter().map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.filter(|name| !matches!(name.as_deref(), Ok("." | ".."))).collect()
}

fn errno(error: &Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_held_is_never_mistaken_for_its_successor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("state"), "on\n").unwrap();
        let root = Below(dir.path().to_owned());
        let held = root.hold("0").unwrap();
        assert_eq!(held.read("state").unwrap(), "on\n");
        let identity = held.identity().unwrap();

        fs::rename(&path, dir.path().join("away")).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("state"), "another\n").unwrap();
        held.write("state", "off").unwrap();
        assert_eq!(fs::read_to_string(path.join("state")).unwrap(), "another\n");
        assert_eq!(held.identity().unwrap(), identity);
        assert_ne!(root.hold("0").unwrap().identity().unwrap(), identity);

        fs::remove_dir_all(dir.path().join("away")).unwrap();
        assert_eq!(held.read("state"), Err(Errno::ENOENT));
        assert_eq!(held.write("state", "off"), Err(Errno::ENOENT));
        assert!(!held.exists("state"));
    }

    #[test]
    fn the_systems_answer_arrives() {
        let dir = tempfile::tempdir().unwrap();
        let root = Below(dir.path().to_owned());
        assert_eq!(root.read("no"), Err(Errno::ENOENT));
        assert_eq!(root.write("no", "1"), Err(Errno::ENOENT), "never creates a file");
        fs::write(dir.path().join("file"), "longer\n").unwrap();
        root.write("file", "1").unwrap();
        assert_eq!(root.read("file").unwrap(), "1", "nothing of the old text stays");
        assert_eq!(root.hold("file").unwrap_err(), Errno::ENOTDIR);
        assert_eq!(root.list("file"), Err(Errno::ENOTDIR));
        fs::create_dir(dir.path().join("7")).unwrap();
        let held = root.hold("").unwrap();
        for files in [&root as &dyn Files, held.as_ref()] {
            let mut names = files.list("").unwrap();
            names.sort();
            assert_eq!(names, ["7", "file"]);
        }
    }
}
