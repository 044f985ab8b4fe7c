//! Where the recording goes.

use crate::exit::Failure;
use crate::plan::{DEFAULT_OUTPUT, OutputPlan};
use crate::sys::stdout;
use damon_format::WriteError;
use nix::unistd::{AccessFlags, access};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Recordings reveal the layout of address spaces: for their owner only.
const MODE: u32 = 0o600;

/// A place that will do, checked before anything is started; nothing has been created or changed yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    path: Option<PathBuf>,
    existing: Existing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existing {
    No,
    KeepAsOld,
    Replace,
    /// A pipe or device: nothing in it can be lost.
    WriteInto,
}

impl Place {
    /// Checks `plan`; `Failure::Output` tells what to do instead.
    pub fn check(plan: &OutputPlan) -> Result<Self, Failure> {
        let (path, force) = match plan {
            OutputPlan::Stdout => {
                drop(stdout::open().map_err(|error| no_stdout(&error))?);
                if io::stdout().is_terminal() {
                    return Err(Failure::Usage(
                        "a recording is binary and standard output is a terminal: redirect it, or use -o FILE".into(),
                    ));
                }
                return Ok(Self { path: None, existing: Existing::WriteInto });
            }
            OutputPlan::Default => (Path::new(DEFAULT_OUTPUT), None),
            OutputPlan::File { path, force } => (path.as_path(), Some(*force)),
        };
        let shown = path.display();
        let existing = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Existing::No,
            Err(error) => return Err(cannot_create(path, &error)),
            Ok(found) if found.is_dir() => {
                return Err(Failure::Output(format!(
                    "{shown} is a directory: give a file name, for example -o {}",
                    path.join(DEFAULT_OUTPUT).display()
                )));
            }
            Ok(found) if found.file_type().is_fifo() || found.file_type().is_char_device() => {
                Existing::WriteInto
            }
            Ok(_) => match force {
                None => Existing::KeepAsOld,
                Some(true) => Existing::Replace,
                Some(false) => {
                    return Err(Failure::Output(format!(
                        "{shown} exists: choose another name, or replace it with --force"
                    )));
                }
            },
        };
        match existing {
            Existing::No | Existing::KeepAsOld => {
                let directory = match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent,
                    _ => Path::new("."),
                };
                access(directory, AccessFlags::W_OK | AccessFlags::X_OK)
                    .map_err(|errno| cannot_create(path, &errno.into()))?;
            }
            Existing::Replace | Existing::WriteInto => {
                access(path, AccessFlags::W_OK)
                    .map_err(|errno| cannot_create(path, &errno.into()))?;
            }
        }
        Ok(Self { path: Some(path.to_path_buf()), existing })
    }

    /// Opens it, for nobody but the owner.
    pub fn open(self) -> Result<Output, Failure> {
        let Some(path) = self.path else {
            let file = stdout::open().map_err(|error| no_stdout(&error))?;
            return Ok(Output::Stdout(file));
        };
        let mut options = OpenOptions::new();
        options.write(true).mode(MODE);
        match self.existing {
            Existing::No => {
                options.create_new(true);
            }
            Existing::KeepAsOld => {
                let mut old = path.clone().into_os_string();
                old.push(".old");
                fs::rename(&path, &old).map_err(|error| cannot_create(&path, &error))?;
                options.create_new(true);
            }
            Existing::Replace => {
                options.create(true).truncate(true);
            }
            Existing::WriteInto => {}
        }
        let file = options.open(&path).map_err(|error| cannot_create(&path, &error))?;
        if self.existing == Existing::Replace {
            use std::os::unix::fs::PermissionsExt as _;
            file.set_permissions(fs::Permissions::from_mode(MODE))
                .map_err(|error| cannot_create(&path, &error))?;
        }
        Ok(Output::File { file, path })
    }
}

fn no_stdout(error: &io::Error) -> Failure {
    Failure::Output(format!(
        "standard output cannot be written: {error}; redirect it, or use -o FILE"
    ))
}

fn cannot_create(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    Failure::Output(match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "no permission to write {shown}: write elsewhere with -o FILE, for example -o /tmp/{DEFAULT_OUTPUT}"
        ),
        io::ErrorKind::NotFound => {
            format!("cannot create {shown}: its directory does not exist; create it first")
        }
        _ => format!("cannot create {shown}: {error}"),
    })
}

/// An open place.
#[derive(Debug)]
pub enum Output {
    /// A file.
    File {
        /// Open for writing.
        file: File,
        /// Its name.
        path: PathBuf,
    },
    /// Standard output.
    Stdout(File),
}

impl Output {
    /// How people call it.
    pub fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Stdout(_) => "standard output".into(),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File { file, .. } | Self::Stdout(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File { file, .. } | Self::Stdout(file) => file.flush(),
        }
    }
}

/// What a failed write means; `begun` when the head of the recording was written.
pub(super) fn write_failure(name: &str, begun: bool, error: &WriteError) -> Failure {
    let WriteError::Io(io) = error else {
        return Failure::Output(format!("{name}: {error}"));
    };
    let what = match io.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::QuotaExceeded => "the disk quota is used up".to_owned(),
        io::ErrorKind::FileTooLarge => "the limit for file sizes is reached (ulimit -f)".to_owned(),
        io::ErrorKind::BrokenPipe => "its reader has gone".to_owned(),
        _ => io.to_string(),
    };
    Failure::Output(if begun {
        format!(
            "stopped recording, {name} cannot be written: {what}; what was written before is a valid recording"
        )
    } else {
        format!("{name} cannot be written: {what}; nothing was recorded")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn file(path: &Path, force: bool) -> OutputPlan {
        OutputPlan::File { path: path.into(), force }
    }

    #[test]
    fn an_existing_file_is_refused_and_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, "precious").unwrap();
        let text = Place::check(&file(&path, false)).unwrap_err().to_string();
        assert!(text.contains("--force"), "{text}");
        let place = Place::check(&file(&path, true)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious", "only checked so far");
        drop(place.open().unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn a_new_file_is_for_its_owner_only_and_created_late() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let place = Place::check(&file(&path, false)).unwrap();
        assert!(!path.exists());
        drop(place.open().unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn directories_and_missing_directories_have_their_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let text = |path: &Path| Place::check(&file(path, true)).unwrap_err().to_string();
        assert!(text(dir.path()).contains("is a directory"));
        assert!(text(&dir.path().join("no/x")).contains("does not exist"));
    }

    #[test]
    fn devices_need_no_force() {
        assert!(Place::check(&file(Path::new("/dev/null"), false)).is_ok());
    }
}
