//! A tracing instance of our own: its buffers, clock and switches are nobody else's.

use crate::damon::collect::CollectError;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

const PREFIX: &str = "damon-record-";
/// More than any text that is read here.
const LONGEST_TEXT: usize = 1 << 14;
/// Instances that one process may have.
const MOST: u32 = 16;

/// Making and removing folders, which in tracefs is making and removing instances.
pub(super) trait Folders: std::fmt::Debug {
    /// Makes it.
    fn make(&self, path: &Path) -> io::Result<()>;
    /// Removes it, with what is in it if that came with it.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The kernel's folders.
#[derive(Debug)]
pub(super) struct Kernel;

impl Folders for Kernel {
    fn make(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }
}

/// An instance, removed when it goes out of scope.
#[derive(Debug)]
pub(super) struct Instance {
    path: PathBuf,
    folders: Box<dyn Folders>,
}

impl Instance {
    /// Makes `instances/damon-record-PID` below the root of tracefs.
    pub(super) fn make(
        tracefs: &Path,
        pid: u32,
        folders: Box<dyn Folders>,
    ) -> Result<Self, CollectError> {
        let mut number = 1;
        loop {
            let name = match number {
                1 => format!("{PREFIX}{pid}"),
                number => format!("{PREFIX}{pid}-{number}"),
            };
            let path = tracefs.join("instances").join(name);
            match folders.make(&path) {
                Ok(()) => return Ok(Self { path, folders }),
                // Ours, or of somebody who had our number before and was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < MOST => {
                    number += 1;
                }
                Err(source) => return Err(CollectError::Instance { path, source }),
            }
        }
    }

    /// Its folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a value to one of its files, which must be there.
    pub(super) fn write(&self, file: &str, value: &str) -> Result<(), CollectError> {
        let path = self.path.join(file);
        let write = || OpenOptions::new().write(true).open(&path)?.write_all(value.as_bytes());
        write().map_err(|source| CollectError::Write {
            path: path.clone(),
            value: value.to_owned(),
            source,
        })
    }

    /// Reads one of its files, at once: of some the kernel shows only the beginning to whom asks for less than all.
    pub(super) fn read(&self, file: &str) -> Result<Vec<u8>, CollectError> {
        let path = self.path.join(file);
        let mut text = vec![0; LONGEST_TEXT];
        let read = File::open(&path).and_then(|mut file| file.read(&mut text));
        text.truncate(read.map_err(|source| CollectError::read(&path, source))?);
        Ok(text)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.folders.remove(&self.path).is_err() {
            // Somebody has files of it open. What costs something can be switched off still.
            let _stays_on = self.write("tracing_on", "0");
            let _stays_on = self.write("events/enable", "0");
            let _stays = self.folders.remove(&self.path);
        }
    }
}

/// Instances of recorders that `alive` does not know any more: left behind by a kill that nothing can catch.
pub(super) fn stale(tracefs: &Path, alive: &dyn Fn(u32) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(tracefs.join("instances")) else {
        return Vec::new();
    };
    let mut stale: Vec<PathBuf> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let rest = name.to_str()?.strip_prefix(PREFIX)?;
            let (pid, number) = rest.split_once('-').unwrap_or((rest, "1"));
            let _ours = number.parse::<u32>().ok()?;
            let pid = pid.parse().ok()?;
            (!alive(pid)).then(|| tracefs.join("instances").join(&name))
        })
        .collect();
    stale.sort_unstable();
    stale
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A folder of a test in the place of tracefs: making an instance makes its files too.
    #[derive(Debug)]
    pub(in super::super) struct Fake {
        /// Files that each new instance has, with what is in them.
        pub(in super::super) files: Vec<(String, Vec<u8>)>,
        /// Whether removing fails, as when somebody has files open.
        pub(in super::super) busy: bool,
    }

    impl Folders for Fake {
        fn make(&self, path: &Path) -> io::Result<()> {
            std::fs::create_dir(path)?;
            for (file, content) in &self.files {
                let file = path.join(file);
                std::fs::create_dir_all(file.parent().unwrap())?;
                std::fs::write(file, content)?;
            }
            Ok(())
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            if self.busy {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            std::fs::remove_dir_all(path)
        }
    }

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("instances")).unwrap();
        root
    }

    fn fake(busy: bool) -> Fake {
        let files = [("tracing_on", "1"), ("events/enable", "1")];
        let files = files.map(|(file, text)| (file.to_owned(), text.as_bytes().to_vec()));
        Fake { files: files.to_vec(), busy }
    }

    #[test]
    fn an_instance_has_a_name_of_its_own_and_goes_away() {
        let root = root();
        let first = Instance::make(root.path(), 42, Box::new(fake(false))).unwrap();
        let second = Instance::make(root.path(), 42, Box::new(fake(false))).unwrap();
        assert_eq!(first.path(), root.path().join("instances/damon-record-42"));
        assert_eq!(second.path(), root.path().join("instances/damon-record-42-2"));
        drop((first, second));
        assert_eq!(std::fs::read_dir(root.path().join("instances")).unwrap().count(), 0);
    }

    #[test]
    fn one_that_cannot_go_is_switched_off() {
        let root = root();
        let instance = Instance::make(root.path(), 42, Box::new(fake(true))).unwrap();
        let path = instance.path().to_owned();
        drop(instance);
        for file in ["tracing_on", "events/enable"] {
            assert_eq!(std::fs::read(path.join(file)).unwrap(), b"0", "{file}");
        }
    }

    #[test]
    fn files_that_are_not_there_are_not_made() {
        let root = root();
        let instance = Instance::make(root.path(), 42, Box::new(fake(false))).unwrap();
        let error = instance.write("trace_clock", "mono").unwrap_err().to_string();
        assert!(error.contains("\"mono\"") && error.contains("trace_clock"), "{error}");
        assert!(!instance.path().join("trace_clock").exists());
    }

    #[test]
    fn what_dead_recorders_left_is_known_by_its_name() {
        let root = root();
        for name in
            ["damon-record-7", "damon-record-7-2", "damon-record-8", "damon-record-x", "other-7"]
        {
            std::fs::create_dir(root.path().join("instances").join(name)).unwrap();
        }
        let stale = stale(root.path(), &|pid| pid == 8);
        let names: Vec<_> = stale.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(names, ["damon-record-7", "damon-record-7-2"]);
    }

    #[test]
    fn without_tracefs_there_is_a_sentence() {
        let root = tempfile::tempdir().unwrap();
        let error = Instance::make(root.path(), 1, Box::new(Kernel)).unwrap_err().to_string();
        assert!(error.contains("instances/damon-record-1"), "{error}");
    }
}
