//! What SIGUSR1 asks for: the parts there are get second names, which nothing removes.

use super::names::Names;
use crate::session::place::unnamed_file;
use crate::units::show_bytes;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What was kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// Which set it is.
    pub(super) set: u32,
    /// How many files it has.
    pub(super) files: u32,
    /// Their size, bytes.
    pub(super) bytes: u64,
    /// How many had to be copied, where a file cannot have two names.
    pub(super) copied: u32,
    /// How many parts were not there any more.
    pub(super) missing: u32,
}

impl Kept {
    /// What was kept as what, in words.
    pub(super) fn describe(&self, names: &Names) -> String {
        let plural = if self.files == 1 { "" } else { "s" };
        let copied = match self.copied {
            0 => String::new(),
            copied => format!("; {copied} copied, a file cannot have two names there"),
        };
        let (files, bytes) = (self.files, show_bytes(self.bytes));
        format!(
            "kept {files} part{plural} ({bytes}) as {}{copied}",
            names.kept_set(self.set).display()
        )
    }
}

/// Keeps the parts of these numbers as a new set.
///
/// # Errors
/// The file that could not be kept; those before it are.
pub(super) fn keep(names: &Names, numbers: &[u32]) -> Result<Kept, (PathBuf, io::Error)> {
    keep_by(names, numbers, |from, to| fs::hard_link(from, to))
}

fn keep_by(
    names: &Names,
    numbers: &[u32],
    link: impl Fn(&Path, &Path) -> io::Result<()>,
) -> Result<Kept, (PathBuf, io::Error)> {
    let set = names.free_set().map_err(|error| (names.directory().to_path_buf(), error))?;
    let mut kept = Kept { set, ..Kept::default() };
    for &number in numbers {
        let (from, to) = (names.part(number), names.kept(set, number));
        let Ok(metadata) = fs::metadata(&from) else {
            kept.missing += 1;
            continue;
        };
        if link(&from, &to).is_err() {
            // No second names here, or no more of them; if it is anything else, this fails too.
            copy(names, &from, &to).map_err(|error| (to, error))?;
            kept.copied += 1;
        }
        kept.files += 1;
        kept.bytes = kept.bytes.saturating_add(metadata.len());
    }
    Ok(kept)
}

/// The copy is complete when it appears, and replaces nothing.
fn copy(names: &Names, from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let (mut file, temporary) = unnamed_file(names.directory())?;
    io::copy(&mut source, &mut file)?;
    temporary.persist_noclobber(to).map_err(|refused| refused.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn each_call_makes_a_new_set_of_links_or_copies() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::of(&dir.path().join("x.damon"));
        for number in [3, 4, 6] {
            fs::write(names.part(number), format!("part {number}")).unwrap();
        }
        let all = Kept { set: 1, files: 3, bytes: 18, copied: 0, missing: 1 };
        assert_eq!(keep(&names, &[3, 4, 5, 6]).unwrap(), all);
        assert_eq!(
            fs::metadata(names.kept(1, 3)).unwrap().ino(),
            fs::metadata(names.part(3)).unwrap().ino()
        );
        let unable = |_: &Path, _: &Path| Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let copied = keep_by(&names, &[4, 6], unable).unwrap();
        assert_eq!(copied, Kept { set: 2, files: 2, bytes: 12, copied: 2, missing: 0 });
        fs::remove_file(names.part(6)).unwrap();
        for set in [1, 2] {
            assert_eq!(fs::read_to_string(names.kept(set, 6)).unwrap(), "part 6");
        }
        assert_eq!(fs::metadata(names.kept(2, 6)).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2 + 3 + 2);
    }

    #[test]
    fn what_cannot_be_kept_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::of(&dir.path().join("gone/x.damon"));
        assert_eq!(keep(&names, &[1]).unwrap_err().0, dir.path().join("gone"));
    }
}
