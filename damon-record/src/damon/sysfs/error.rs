//! Why a file of the tree could not be used.

use nix::errno::Errno;
use std::path::{Path, PathBuf};

/// Why a file of the tree could not be used: each names its path, and the value if there was one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The system does not let us read, or look into a directory.
    #[error("cannot read {}: {}{}", path.display(), errno.desc(), hint(*errno))]
    Read {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
    /// The system does not take the value.
    #[error("cannot write {value} to {}: {}{}", path.display(), errno.desc(), hint(*errno))]
    Write {
        /// Which file.
        path: PathBuf,
        /// What was to be written.
        value: String,
        /// What the system said.
        errno: Errno,
    },
    /// The kernel accepted a value and did nothing.
    #[error(
        "{value} was written to {} and accepted, but it reads {read} now: this kernel does not do what it \
         was asked for; choose another backend (damon-record doctor lists them)",
        path.display()
    )]
    Ignored {
        /// Which file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// What the file says.
        read: String,
    },
    /// The text is not what the kernel's documentation promises.
    #[error("unexpected text in {}: {text:?} is not {expected}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Its text.
        text: String,
        /// What should be there.
        expected: &'static str,
    },
    /// The kernel is too old, or built without it.
    #[error("this kernel has no {what}: {} does not exist ({since})", path.display())]
    Missing {
        /// The file that would be needed.
        path: PathBuf,
        /// What it is for.
        what: String,
        /// The first release that has it.
        since: &'static str,
    },
    /// The file is there, but its newest values are not.
    #[error("this kernel has no {what}: it refuses {value} in {} ({since})", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What was to be written.
        value: String,
        /// What it is for.
        what: String,
        /// The first release that has it.
        since: &'static str,
    },
}

impl TreeError {
    /// What the system said, if it said anything.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Read { errno, .. } | Self::Write { errno, .. } => Some(*errno),
            Self::Unknown { .. } => Some(Errno::EINVAL),
            Self::Missing { .. } => Some(Errno::ENOENT),
            Self::Ignored { .. } | Self::Malformed { .. } => None,
        }
    }

    /// Which file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::Write { path, .. }
            | Self::Ignored { path, .. }
            | Self::Malformed { path, .. }
            | Self::Missing { path, .. }
            | Self::Unknown { path, .. } => path,
        }
    }

    /// True when the file was not there: the directory was removed, or never existed.
    pub fn is_gone(&self) -> bool {
        // ENODEV: removed between opening and reading.
        matches!(self.errno(), Some(Errno::ENOENT | Errno::ENODEV | Errno::ENOTDIR))
    }

    /// True when privileges are missing.
    pub fn is_denied(&self) -> bool {
        matches!(self.errno(), Some(Errno::EACCES | Errno::EPERM | Errno::EROFS))
    }
}

/// The next step, where the system's answer tells it.
fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EACCES => {
            "; only root may use the kernel's DAMON: run as root, for example with sudo"
        }
        Errno::EPERM => {
            "; the kernel forbids it even to root, by lockdown, a security module or a missing CAP_SYS_ADMIN \
             (a container?): choose another backend (damon-record doctor lists them)"
        }
        Errno::EROFS => {
            "; sysfs is mounted read-only here, as in most containers: run outside of it, or remount it \
             (mount -o remount,rw /sys)"
        }
        Errno::EBUSY => "; somebody else uses the kernel's DAMON at this moment: try again",
        _ => "",
    }
}
