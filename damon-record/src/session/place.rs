//! Where the recording goes: checked early, created late, complete under its name at any moment.

use super::output::Output;
use super::trace::Names;
use crate::exit::Failure;
use crate::plan::{DEFAULT_OUTPUT, OutputPlan, Rotation};
use crate::sys::stdout;
use nix::unistd::{AccessFlags, access};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// Recordings reveal the layout of address spaces: for their owner only.
const MODE: u32 = 0o600;

/// A place that will do, checked before anything is started; nothing has been created or changed yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    path: Option<PathBuf>,
    existing: Existing,
    parts: Option<PartsPlan>,
}

/// How a recording fills several files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartsPlan {
    pub(super) rotation: Rotation,
    /// Older parts of the same name count as its own.
    pub(super) adopts: bool,
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
    /// Checks `plan`, for a recording that `rotation` lets fill several files; `Failure::Output` tells what to do
    /// instead.
    pub fn check(plan: &OutputPlan, rotation: Option<&Rotation>) -> Result<Self, Failure> {
        let (path, force) = match plan {
            OutputPlan::Stdout => {
                drop(stdout::open().map_err(|error| no_stdout(&error))?);
                if io::stdout().is_terminal() {
                    return Err(Failure::Usage(
                        "a recording is binary and standard output is a terminal: redirect it, or use -o FILE".into(),
                    ));
                }
                return Ok(Self { path: None, existing: Existing::WriteInto, parts: None });
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
                if rotation.is_some() {
                    return Err(Failure::Usage(format!(
                        "{shown} is no file and cannot be rotated: give a file name with -o, or leave out \
                         --rotate-size and --rotate-time"
                    )));
                }
                Existing::WriteInto
            }
            // Parts have names of their own.
            Ok(_) if rotation.is_some() => Existing::No,
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
                access(directory_of(path), AccessFlags::W_OK | AccessFlags::X_OK)
                    .map_err(|errno| cannot_create(path, &errno.into()))?;
            }
            Existing::Replace | Existing::WriteInto => {
                access(path, AccessFlags::W_OK)
                    .map_err(|errno| cannot_create(path, &errno.into()))?;
            }
        }
        let parts = match rotation {
            Some(rotation) => Some(check_parts(path, *rotation, force)?),
            None => None,
        };
        Ok(Self { path: Some(path.to_path_buf()), existing, parts })
    }

    /// For a recording in several files: the name that theirs are made of, and how.
    pub(super) fn parts(&self) -> Option<(&Path, PartsPlan)> {
        self.path.as_deref().zip(self.parts)
    }

    /// Opens it, for nobody but the owner. A file has another name until it is published.
    pub(super) fn open(&self) -> Result<Opened, Failure> {
        let Some(path) = &self.path else {
            let file = stdout::open().map_err(|error| no_stdout(&error))?;
            return Ok(Opened { output: Output::Stdout(file), draft: None });
        };
        match self.existing {
            Existing::WriteInto => self.open_in_place(path),
            Existing::No | Existing::KeepAsOld | Existing::Replace => {
                let draft = Draft::create(path, self.existing);
                match draft {
                    Ok((file, draft)) => Ok(Opened {
                        output: Output::File { file, path: path.clone() },
                        draft: Some(draft),
                    }),
                    // A file that may be written in a directory that may not.
                    Err(_) if self.existing == Existing::Replace => self.open_in_place(path),
                    Err(error) => Err(cannot_create(path, &error)),
                }
            }
        }
    }

    /// Opens the file itself; what it holds is lost.
    fn open_in_place(&self, path: &Path) -> Result<Opened, Failure> {
        let open = || -> io::Result<File> {
            let mut options = OpenOptions::new();
            options.write(true).mode(MODE);
            if self.existing != Existing::WriteInto {
                options.create(true).truncate(true);
            }
            let file = options.open(path)?;
            if self.existing != Existing::WriteInto {
                file.set_permissions(fs::Permissions::from_mode(MODE))?;
            }
            Ok(file)
        };
        let file = open().map_err(|error| cannot_create(path, &error))?;
        Ok(Opened { output: Output::File { file, path: path.to_path_buf() }, draft: None })
    }
}

/// An open [`Place`].
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) output: Output,
    pub(super) draft: Option<Draft>,
}

/// A new file that does not have its name yet. It vanishes when it never gets it.
#[derive(Debug)]
pub(super) struct Draft {
    temporary: TempPath,
    path: PathBuf,
    existing: Existing,
}

impl Draft {
    fn create(path: &Path, existing: Existing) -> io::Result<(File, Self)> {
        // What a symbolic link leads to is replaced, not the link.
        let path = match existing {
            Existing::Replace => fs::canonicalize(path)?,
            _ => path.into(),
        };
        let (file, temporary) = unnamed_file(directory_of(&path))?;
        Ok((file, Self { temporary, path, existing }))
    }

    /// Gives it its name. At any moment there is the older file under that name or the new one.
    pub(super) fn publish(self) -> Result<(), Failure> {
        let path = self.path;
        let published = match self.existing {
            Existing::No => self.temporary.persist_noclobber(&path),
            Existing::KeepAsOld => {
                keep_as_old(&path).map_err(|error| cannot_create(&path, &error))?;
                self.temporary.persist(&path)
            }
            Existing::Replace | Existing::WriteInto => self.temporary.persist(&path),
        };
        published.map_err(|error| cannot_create(&path, &error.error))
    }
}

/// A new file for the owner only, whose name nobody looks for. It vanishes when it gets no other one.
pub(super) fn unnamed_file(directory: &Path) -> io::Result<(File, TempPath)> {
    let file = tempfile::Builder::new()
        .prefix(".recording.")
        .suffix(".new")
        .permissions(fs::Permissions::from_mode(MODE))
        .tempfile_in(directory)?;
    Ok(file.into_parts())
}

/// Older parts of that name are not touched without being asked to.
fn check_parts(path: &Path, rotation: Rotation, force: Option<bool>) -> Result<PartsPlan, Failure> {
    let names = Names::of(path);
    let older = names.parts().map_err(|error| cannot_create(path, &error))?;
    match older.first() {
        Some(oldest) if force == Some(false) => Err(Failure::Output(format!(
            "{} exists: choose another name, or replace the older recording with --force",
            names.part(*oldest).display()
        ))),
        _ => Ok(PartsPlan { rotation, adopts: force == Some(true) }),
    }
}

/// Gives the file `path` the name `path.old` too.
fn keep_as_old(path: &Path) -> io::Result<()> {
    let mut old = path.to_path_buf().into_os_string();
    old.push(".old");
    let second = tempfile::Builder::new()
        .prefix(".recording.")
        .suffix(".old")
        .make_in(directory_of(path), |name| fs::hard_link(path, name));
    match second {
        Ok(second) => Ok(second.into_temp_path().persist(&old)?),
        // A file system without hard links: for a moment there is no file under the name.
        Err(_) => fs::rename(path, &old),
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn no_stdout(error: &io::Error) -> Failure {
    Failure::Output(format!(
        "standard output cannot be written: {error}; redirect it, or use -o FILE"
    ))
}

pub(super) fn cannot_create(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    Failure::Output(match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "no permission to write {shown}: write elsewhere with -o FILE, for example -o /tmp/{DEFAULT_OUTPUT}"
        ),
        // As below /proc.
        io::ErrorKind::NotFound if path.parent().is_some_and(Path::is_dir) => {
            format!(
                "cannot create {shown}: no files can be made there; write elsewhere with -o FILE"
            )
        }
        io::ErrorKind::NotFound => {
            format!("cannot create {shown}: its directory does not exist; create it first")
        }
        _ => format!("cannot create {shown}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn file(path: &Path, force: bool) -> OutputPlan {
        OutputPlan::File { path: path.into(), force }
    }

    fn publish(place: &Place, text: &str) {
        let Opened { mut output, draft } = place.open().unwrap();
        output.write_all(text.as_bytes()).unwrap();
        draft.unwrap().publish().unwrap();
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_older_file_gets_a_second_name_and_a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("x"), dir.path().join("link"));
        std::os::unix::fs::symlink("x", &link).unwrap();
        for text in ["1", "2", "3"] {
            fs::write(&path, text).unwrap();
            let place =
                Place { path: Some(path.clone()), existing: Existing::KeepAsOld, parts: None };
            publish(&place, "new");
            assert_eq!(fs::read_to_string(dir.path().join("x.old")).unwrap(), text);
            assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        }
        publish(&Place::check(&file(&link, true), None).unwrap(), "newer");
        assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(names(dir.path()), ["link", "x", "x.old"]);
    }

    #[test]
    fn a_file_that_appears_meanwhile_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let opened = Place::check(&file(&path, false), None).unwrap().open().unwrap();
        fs::write(&path, "somebody else's").unwrap();
        opened.draft.unwrap().publish().unwrap_err();
        assert_eq!(names(dir.path()), ["x"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
    }

    #[test]
    fn an_existing_file_is_untouched_until_the_new_one_is_published() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, "precious").unwrap();
        let text = Place::check(&file(&path, false), None).unwrap_err().to_string();
        assert!(text.contains("--force"), "{text}");
        let place = Place::check(&file(&path, true), None).unwrap();
        drop(place.open().unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious", "never published");
        assert_eq!(names(dir.path()), ["x"]);
        publish(&place, "new");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(dir.path()), ["x"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn a_new_file_is_for_its_owner_only_and_created_late() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let place = Place::check(&file(&path, false), None).unwrap();
        assert!(!path.exists());
        publish(&place, "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn directories_and_missing_directories_have_their_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let text = |path: &Path| Place::check(&file(path, true), None).unwrap_err().to_string();
        assert!(text(dir.path()).contains("is a directory"));
        assert!(text(&dir.path().join("no/x")).contains("does not exist"));
    }

    #[test]
    fn devices_need_no_force() {
        assert!(Place::check(&file(Path::new("/dev/null"), false), None).is_ok());
    }

    #[test]
    fn older_parts_are_refused_taken_over_or_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.damon");
        let rotation = Rotation { size: Some(1 << 20), ..Rotation::default() };
        let check = |force| Place::check(&file(&path, force), Some(&rotation));
        // Not its parts, and nothing it could overwrite.
        for name in ["x.damon", "x.1.damon", "x.kept-1.000001.damon", "xy.000001.damon"] {
            fs::write(dir.path().join(name), "older").unwrap();
        }
        assert!(!check(false).unwrap().parts().unwrap().1.adopts);
        fs::write(dir.path().join("x.000007.damon"), "older").unwrap();
        let text = check(false).unwrap_err().to_string();
        assert!(text.contains("x.000007.damon exists") && text.contains("--force"), "{text}");
        assert!(check(true).unwrap().parts().unwrap().1.adopts);
        let null = file(Path::new("/dev/null"), true);
        let text = Place::check(&null, Some(&rotation)).unwrap_err().to_string();
        assert!(text.contains("cannot be rotated"), "{text}");
    }
}
