//! Readers of `/proc`. Every reader takes its root, so that tests use a directory of their own.

mod cgroup;
mod children;
mod maps;
mod meminfo;
mod pagemap;
mod pressure;
mod rollup;
mod smaps;
mod stat;

pub use cgroup::{CgroupError, Hierarchy, find as find_cgroup, hierarchies, processes_below};
pub use children::{children_of, descendants_of};
pub use maps::{MapsDelta, MapsFile, delta, parse_maps};
pub use meminfo::{MemInfo, read_meminfo};
pub use pagemap::{Entry, PagemapFile};
pub use pressure::{Pressure, read_pressure};
pub use rollup::{Rollup, parse_rollup};
pub use smaps::{SmapsEntry, SmapsFile};
pub use stat::{Stat, Status, parse_stat, parse_status};

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

/// Why `/proc` did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    /// There is no such process (any more).
    #[error("process {pid} does not exist")]
    Gone {
        /// Which one.
        pid: u32,
    },
    /// The kernel does not let us read this file.
    #[error("no permission to read {}", path.display())]
    Denied {
        /// Which file.
        path: PathBuf,
    },
    /// Any other failure of the system.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not what the kernel's documentation promises.
    #[error("unexpected text in {}: {what}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A process as one life of a pid: pids are reused, the pair is not (within the clock's tick).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Process id in the recorder's pid namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
}

/// Where `/proc` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcRoot {
    root: PathBuf,
}

impl Default for ProcRoot {
    fn default() -> Self {
        Self::new("/proc")
    }
}

impl ProcRoot {
    /// Reads below `root` instead of `/proc`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// True while this very process lives, be it by threads other than its first.
    pub fn is_alive(&self, identity: Identity) -> bool {
        self.stat(identity.pid).is_ok_and(|stat| {
            stat.start_ticks == identity.start_ticks
                && !(stat.is_dead() && self.memory_dir(identity.pid).is_empty())
        })
    }

    /// `PID/name` below the root.
    pub fn of(&self, pid: u32, name: &str) -> PathBuf {
        let mut tail = String::with_capacity(12 + name.len());
        let _infallible = write!(tail, "{pid}/{name}");
        self.root.join(tail)
    }

    /// Opens `PID/name` for reading.
    pub fn open(&self, pid: u32, name: &str) -> Result<File, ProcError> {
        let path = self.of(pid, name);
        File::open(&path).map_err(|source| classify(pid, path, source))
    }

    /// Reads all of `PID/name`.
    pub fn read(&self, pid: u32, name: &str) -> Result<Vec<u8>, ProcError> {
        read_whole(self.open(pid, name)?)
            .map_err(|source| classify(pid, self.of(pid, name), source))
    }

    /// Reads all of `name`, which belongs to no process; `None` where that cannot be.
    fn read_of_machine(&self, name: &str) -> Option<Vec<u8>> {
        read_whole(File::open(self.root.join(name)).ok()?).ok()
    }

    /// `/proc/PID/stat`.
    pub fn stat(&self, pid: u32) -> Result<Stat, ProcError> {
        let text = self.read(pid, "stat")?;
        parse_stat(&text).ok_or_else(|| ProcError::Malformed {
            path: self.of(pid, "stat"),
            what: "fewer than 24 fields, or one that is not a number",
        })
    }

    /// `/proc/PID/status`.
    pub fn status(&self, pid: u32) -> Result<Status, ProcError> {
        Ok(parse_status(&self.read(pid, "status")?))
    }

    /// Path of the executable as the link shows it; empty when it cannot be read.
    pub fn exe(&self, pid: u32) -> String {
        std::fs::read_link(self.of(pid, "exe"))
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// The directory below `PID` whose `maps`, `smaps` and `stat` speak for the address space: empty
    /// for the process itself, `task/TID/` of a living thread when the leader has exited before
    /// the others (the leader's own files are empty then).
    pub fn memory_dir(&self, pid: u32) -> String {
        let leader_alive = self.stat(pid).is_ok_and(|stat| !stat.is_dead());
        if leader_alive {
            return String::new();
        }
        self.threads(pid)
            .into_iter()
            .filter(|tid| *tid != pid)
            .find_map(|tid| {
                let dir = format!("task/{tid}/");
                let text = self.read(pid, &format!("{dir}stat")).ok()?;
                (!parse_stat(&text)?.is_dead()).then_some(dir)
            })
            .unwrap_or_default()
    }

    /// Thread ids of `pid`, ascending; empty when it is gone.
    pub fn threads(&self, pid: u32) -> Vec<u32> {
        numeric_entries(&self.of(pid, "task"))
    }

    /// All process ids, ascending.
    pub fn processes(&self) -> Vec<u32> {
        numeric_entries(&self.root)
    }
}

/// The kernel's page size; 4096 where it cannot be asked.
pub fn page_size() -> u64 {
    crate::sys::own_pages::page_size() as u64
}

fn numeric_entries(directory: &Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut numbers: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// Tells "gone" and "not allowed" from other failures. `ESRCH` is what an open file of `/proc/PID` says
/// once the process is gone.
fn classify(pid: u32, path: PathBuf, source: io::Error) -> ProcError {
    match source.kind() {
        io::ErrorKind::NotFound => ProcError::Gone { pid },
        io::ErrorKind::PermissionDenied => ProcError::Denied { path },
        _ if source.raw_os_error() == Some(nix::libc::ESRCH) => ProcError::Gone { pid },
        _ => ProcError::Io { path, source },
    }
}

/// All of `file`: in two calls for most, which tell no size beforehand that would be worth asking for.
fn read_whole(file: File) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(4096);
    // Taking hides that it is a file, whose size would be asked for.
    file.take(u64::MAX).read_to_end(&mut text)?;
    Ok(text)
}

/// Reads `file` from its beginning into `buffer`, keeping the buffer's memory.
fn reread(file: &mut File, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    file.rewind()?;
    file.read_to_end(buffer)?;
    Ok(())
}

/// Cuts the next space-separated word off `text`.
fn word<'a>(text: &mut &'a [u8]) -> Option<&'a [u8]> {
    let start = text.iter().position(|b| *b != b' ')?;
    let rest = text.get(start..)?;
    let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
    *text = rest.get(end..)?;
    rest.get(..end)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, b| {
        let digit = char::from(*b).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, b| {
        let digit = char::from(*b).to_digit(16)?;
        value.checked_mul(16)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
pub(crate) mod fake {
    use super::ProcRoot;
    use std::path::Path;

    /// Writes `name` (with its directories) below a fake `/proc`.
    pub(crate) fn put(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// One line of `/proc/PID/stat`.
    pub(crate) fn stat_line(pid: u32, comm: &str, state: char, ppid: u32, start: u64) -> String {
        format!(
            "{pid} ({comm}) {state} {ppid} 1 1 0 -1 4194304 10 0 2 0 1 1 0 0 20 0 1 0 {start} 4096 5 \
             18446744073709551615 0 0\n"
        )
    }

    /// An empty fake `/proc`.
    pub(crate) fn root() -> (tempfile::TempDir, ProcRoot) {
        let dir = tempfile::tempdir().unwrap();
        let root = ProcRoot::new(dir.path());
        (dir, root)
    }
}

#[cfg(test)]
mod tests {
    use super::fake::{put, root, stat_line};
    use super::*;

    #[test]
    fn a_missing_process_is_gone_not_an_io_error() {
        let (_dir, proc) = root();
        assert!(matches!(proc.stat(77), Err(ProcError::Gone { pid: 77 })));
    }

    #[test]
    fn malformed_stat_names_the_file() {
        let (dir, proc) = root();
        put(dir.path(), "5/stat", "5 (x) R");
        let text = proc.stat(5).unwrap_err().to_string();
        assert!(text.contains("5/stat"), "{text}");
    }

    #[test]
    fn a_dead_leader_is_represented_by_a_living_thread() {
        let (dir, proc) = root();
        put(dir.path(), "9/stat", &stat_line(9, "x", 'Z', 1, 3));
        put(dir.path(), "9/task/9/stat", &stat_line(9, "x", 'Z', 1, 3));
        put(dir.path(), "9/task/11/stat", &stat_line(11, "x", 'S', 1, 4));
        assert_eq!(proc.memory_dir(9), "task/11/");
        put(dir.path(), "9/stat", &stat_line(9, "x", 'R', 1, 3));
        assert_eq!(proc.memory_dir(9), "");
    }
}
