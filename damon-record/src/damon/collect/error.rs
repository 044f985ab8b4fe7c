//! Why events cannot be had.

use crate::damon::events::CatalogError;
use crate::damon::sysfs::TreeError;
use crate::sys::perf::{OpenError, Step};
use nix::errno::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// Why events cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// tracefs is not there or not for us.
    #[error("{reason}")]
    NoTracefs {
        /// What is, what is needed, and how to get it.
        reason: String,
    },
    /// The kernel has not the events, or hides them.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// No kdamond was named.
    #[error("there is no kdamond to collect from: none was named")]
    NoThreads,
    /// perf refused both ways.
    #[error(
        "perf cannot watch the kdamond's thread {thread} ({of_thread}){}{}",
        of_cpus.map_or(String::new(), |error| format!(" nor all CPUs ({error})")),
        perf_advice(of_cpus.unwrap_or(*of_thread), paranoid.as_deref())
    )]
    Perf {
        /// Which thread was tried.
        thread: i32,
        /// What the kernel said about it.
        of_thread: OpenError,
        /// What it said about watching CPUs, where that was tried.
        of_cpus: Option<OpenError>,
        /// `kernel.perf_event_paranoid`.
        paranoid: Option<String>,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}{}", path.display(), file_advice(source))]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of DAMON's tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file does not take a value.
    #[error("cannot write {value:?} to {}: {source}{}", path.display(), file_advice(source))]
    Write {
        /// Which file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// What the system said.
        source: io::Error,
    },
    /// The private instance cannot be made.
    #[error("cannot make the tracing instance {}: {source}{}", path.display(), file_advice(source))]
    Instance {
        /// Its folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file says something else than the kernel's documentation promises.
    #[error("{} says {found:?}; expected {expected}", path.display())]
    Unexpected {
        /// Which file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// The update of the regions that a scheme was tried on failed.
    #[error("cannot update the regions that the scheme was tried on: {reason}")]
    Update {
        /// What the one who writes the command says.
        reason: String,
    },
    /// The regions are not ascending and disjoint.
    #[error(
        "{}: region {index} begins at {start:#x}, before the end of the region before it; \
         regions of several targets cannot be told apart",
        folder.display()
    )]
    Unsorted {
        /// Folder of the regions.
        folder: PathBuf,
        /// Number of the region.
        index: usize,
        /// Where it begins.
        start: u64,
    },
}

impl CollectError {
    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(super) fn unexpected(path: &Path, found: &[u8], expected: &'static str) -> Self {
        let found = String::from_utf8_lossy(found.get(..60).unwrap_or(found)).into_owned();
        Self::Unexpected { path: path.to_owned(), found, expected }
    }
}

fn file_advice(source: &io::Error) -> &'static str {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM) => "; the kernel is locked down, or root lacks CAP_SYS_ADMIN here",
        Some(Errno::EACCES) => "; run this as root",
        Some(Errno::EBUSY) => "; somebody has files of it open, try again",
        Some(Errno::ENOMEM) => "; the kernel has no memory for the buffers, ask for less",
        _ => "",
    }
}

fn perf_advice(error: OpenError, paranoid: Option<&str>) -> String {
    match (error.step, error.errno) {
        (Step::Map, Errno::EPERM) => {
            "; more than kernel.perf_event_mlock_kb may not be locked, run this as root".to_owned()
        }
        (_, Errno::EACCES | Errno::EPERM) => format!(
            "; kernel.perf_event_paranoid is {}, root or CAP_PERFMON is needed (as root: setcap \
             cap_perfmon+ep on this program), and the kernel must not be locked down",
            paranoid.unwrap_or("unknown")
        ),
        (_, Errno::ESRCH) => "; there is no such thread, the kdamond has ended".to_owned(),
        (_, Errno::EINVAL) => "; the kernel does not know such an event".to_owned(),
        (_, Errno::ENOSYS | Errno::EOPNOTSUPP) => "; this kernel is built without perf".to_owned(),
        (_, Errno::EMFILE) => "; raise the limit of open files (ulimit -n)".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_is_and_what_is_needed() {
        let of_thread = OpenError { step: Step::Open(767), errno: Errno::EACCES };
        let of_cpus = Some(OpenError { step: Step::Open(767), errno: Errno::EPERM });
        let paranoid = Some("2".to_owned());
        let error = CollectError::Perf { thread: 77, of_thread, of_cpus, paranoid }.to_string();
        for part in
            ["thread 77", "EACCES", "nor all CPUs", "perf_event_paranoid is 2", "CAP_PERFMON"]
        {
            assert!(error.contains(part), "{error}");
        }
        let of_thread = OpenError { step: Step::Open(767), errno: Errno::ESRCH };
        let error =
            CollectError::Perf { thread: 77, of_thread, of_cpus: None, paranoid: None }.to_string();
        assert!(error.contains("has ended") && !error.contains("CPUs"), "{error}");
    }
}
