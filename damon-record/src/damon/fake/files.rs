//! Handles on a fake.

use super::kernel::{Kernel, Moment};
use crate::damon::sysfs::{Files, Tree};
use crate::sys::file_lock;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A kernel that is not there.
#[derive(Clone, Debug)]
pub struct Fake {
    store: Store,
}

#[derive(Clone, Debug)]
enum Store {
    Memory(Arc<Mutex<Kernel>>),
    /// A file that is replaced as a whole: whoever is killed has done an operation or has not.
    Dir(PathBuf),
}

impl Fake {
    /// In memory.
    pub fn new(release: (u32, u32)) -> Self {
        Self { store: Store::Memory(Arc::new(Mutex::new(Kernel::new(release)))) }
    }

    /// In the directory `dir`, made anew.
    pub fn create(dir: &Path, release: (u32, u32)) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        File::create(dir.join("lock"))?;
        save(dir, &Kernel::new(release))?;
        Ok(Self::open(dir))
    }

    /// The one that [`create`](Self::create) has made.
    pub fn open(dir: &Path) -> Self {
        Self { store: Store::Dir(dir.to_owned()) }
    }

    /// Its files.
    pub fn tree(&self) -> Tree {
        let root = match &self.store {
            Store::Memory(_) => PathBuf::from("/fake/damon/admin"),
            Store::Dir(dir) => dir.clone(),
        };
        let at = self.with(|kernel| kernel.root_id()).unwrap_or(0);
        let patience = Duration::from_millis(300);
        Tree::over(Arc::new(FakeFiles { fake: self.clone(), at }), root).with_patience(patience)
    }

    /// Looks at it, or changes it as the kernel or somebody else would.
    pub fn with<T>(&self, act: impl FnOnce(&mut Kernel) -> T) -> io::Result<T> {
        match &self.store {
            Store::Memory(kernel) => {
                Ok(act(&mut kernel.lock().unwrap_or_else(PoisonError::into_inner)))
            }
            Store::Dir(dir) => {
                let lock = OpenOptions::new().write(true).open(dir.join("lock"))?;
                file_lock::wait(&lock)?;
                let text = fs::read_to_string(dir.join("kernel.json"))?;
                let mut kernel: Kernel = serde_json::from_str(&text)?;
                let result = act(&mut kernel);
                save(dir, &kernel)?;
                Ok(result)
            }
        }
    }
}

fn save(dir: &Path, kernel: &Kernel) -> io::Result<()> {
    let new = dir.join("kernel.json.new");
    fs::write(&new, serde_json::to_string(kernel)?)?;
    fs::rename(new, dir.join("kernel.json"))
}

/// The directory with the number `at`, as long as it exists.
#[derive(Debug)]
struct FakeFiles {
    fake: Fake,
    at: u64,
}

impl FakeFiles {
    fn act<T>(
        &self,
        path: &str,
        act: impl FnOnce(&mut Kernel, &str) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut dies = false;
        let result = self.fake.with(|kernel| {
            kernel.tick();
            if kernel.kills(Moment::Before) {
                dies = true;
                return Err(Errno::EINTR);
            }
            dies = kernel.kills(Moment::After);
            let path = kernel.resolve(self.at, path)?;
            act(kernel, &path)
        });
        if dies {
            // Blocked by nobody, so nothing behind it is reached.
            let _unreachable = nix::sys::signal::raise(Signal::SIGKILL);
        }
        result.unwrap_or(Err(Errno::EIO))
    }
}

impl Files for FakeFiles {
    fn read(&self, path: &str) -> Result<String, Errno> {
        self.act(path, Kernel::read)
    }

    fn write(&self, path: &str, value: &str) -> Result<(), Errno> {
        self.act(path, |kernel, path| kernel.write(path, value))
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Errno> {
        self.act(path, |kernel, path| kernel.list(path))
    }

    fn exists(&self, path: &str) -> bool {
        self.act(path, |kernel, path| Ok(kernel.exists(path))).unwrap_or(false)
    }

    fn hold(&self, path: &str) -> Result<Arc<dyn Files>, Errno> {
        let at = self.act(path, |kernel, path| kernel.id(path))?;
        Ok(Arc::new(Self { fake: self.fake.clone(), at }))
    }

    fn identity(&self) -> Result<u64, Errno> {
        // As an open directory: it keeps its number when it is removed.
        Ok(self.at)
    }
}
