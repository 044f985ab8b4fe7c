//! One file at a time: patience where the kernel asks for it, values read back, errors with their path.

use super::error::TreeError;
use super::files::{Below, Files};
use nix::errno::Errno;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where the kernel has it.
pub const KERNEL_ROOT: &str = "/sys/kernel/mm/damon/admin";

/// How long one operation is tried again while the kernel says `EBUSY`: one mutex, taken by trying, guards
/// most of DAMON's files, and whoever holds it is usually done within a millisecond
/// (`mm/damon/sysfs.c`).
const PATIENCE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_micros(500);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// No directory of DAMON has more numbered children than this; a bound for loops.
const MOST_CHILDREN: u32 = 1 << 20;

/// DAMON's files below one directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tree {
    files: Arc<dyn Files>,
    root: PathBuf,
    patience: Duration,
}

impl Tree {
    /// The tree of the running kernel.
    pub fn kernel() -> Self {
        Self::at(KERNEL_ROOT)
    }

    /// Real files below `root`, which stands for `/sys/kernel/mm/damon/admin` and need not exist.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self::over(Arc::new(Below(root.clone())), root)
    }

    /// Any files, shown as being below `root`.
    pub fn over(files: Arc<dyn Files>, root: impl Into<PathBuf>) -> Self {
        Self { files, root: root.into(), patience: PATIENCE }
    }

    /// Tries for another time than two seconds while the kernel is busy.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The root, as shown.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `path` below the root, as shown.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The directory `path` as a tree of its own, held: see [`Files::hold`].
    pub fn hold(&self, path: &str) -> Result<Self, TreeError> {
        let files = self.files.hold(path).map_err(|errno| self.unreadable(path, errno))?;
        Ok(Self { files, root: self.path(path), patience: self.patience })
    }

    /// What tells this directory from its successors: see [`Files::identity`].
    pub fn identity(&self) -> Result<u64, TreeError> {
        self.files.identity().map_err(|errno| self.unreadable("", errno))
    }

    /// Whether there is a file or directory of this name.
    pub fn exists(&self, path: &str) -> bool {
        self.files.exists(path)
    }

    /// Numbers that are names in the directory `path`, ascending.
    pub fn numbers(&self, path: &str) -> Result<Vec<u32>, TreeError> {
        let names = self.files.list(path).map_err(|errno| self.unreadable(path, errno))?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// How many of the directories `path/0`, `path/1`, … there are.
    pub fn children(&self, path: &str) -> u32 {
        (0..MOST_CHILDREN)
            .find(|index| !self.exists(&format!("{path}/{index}")))
            .unwrap_or(MOST_CHILDREN)
    }

    /// The text of a file without its line end.
    pub fn read(&self, path: &str) -> Result<String, TreeError> {
        let text = self
            .patiently(|| self.files.read(path))
            .map_err(|errno| self.unreadable(path, errno))?;
        Ok(text.trim().to_owned())
    }

    /// The number in a file.
    pub fn number<T: FromStr>(&self, path: &str) -> Result<T, TreeError> {
        let text = self.read(path)?;
        text.parse().map_err(|_not_a_number| self.malformed(path, text, "a number in range"))
    }

    /// The number in a file that not every kernel has.
    pub fn optional_number<T: FromStr>(&self, path: &str) -> Result<Option<T>, TreeError> {
        if self.exists(path) { self.number(path).map(Some) } else { Ok(None) }
    }

    /// Writes a command: what the file says afterwards is something else.
    pub fn command(&self, path: &str, word: &str) -> Result<(), TreeError> {
        self.patiently(|| self.files.write(path, word)).map_err(|errno| TreeError::Write {
            path: self.path(path),
            value: word.to_owned(),
            errno,
        })
    }

    /// Writes a value, reads it back and compares.
    pub fn set(&self, path: &str, value: &str) -> Result<(), TreeError> {
        self.command(path, value)?;
        let read = self.read(path)?;
        if read == value {
            Ok(())
        } else {
            Err(TreeError::Ignored { path: self.path(path), value: value.to_owned(), read })
        }
    }

    pub(super) fn malformed(&self, path: &str, text: String, expected: &'static str) -> TreeError {
        TreeError::Malformed { path: self.path(path), text, expected }
    }

    fn unreadable(&self, path: &str, errno: Errno) -> TreeError {
        TreeError::Read { path: self.path(path), errno }
    }

    fn patiently<T>(&self, mut act: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match act() {
                Err(Errno::EINTR) => {}
                Err(Errno::EBUSY) if began.elapsed() + pause <= self.patience => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                result => return result,
            }
        }
    }
}
