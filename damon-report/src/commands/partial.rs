//! Files that appear under their name when they are complete, so that a full disk neither leaves half of
//! one nor costs the one before it.

use crate::exit::Failure;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file that is being written beside the place where it will be; removed unless it is kept.
#[derive(Debug)]
pub(super) struct Partial {
    written: Option<PathBuf>,
    place: PathBuf,
}

impl Partial {
    /// Begins a file with these permissions, less the umask. A place that is no regular file, such as a device, a
    /// pipe or a link to something else, is written to directly: nothing may take its place.
    pub(super) fn create(place: &Path, mode: u32) -> io::Result<(File, Self)> {
        let direct = place.symlink_metadata().is_ok_and(|there| !there.is_file());
        let mut written = OsString::from(place);
        written.push(format!(".partial-{}", std::process::id()));
        let written = (!direct).then(|| PathBuf::from(written));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(written.as_deref().unwrap_or(place))?;
        Ok((file, Self { written, place: place.to_owned() }))
    }

    /// The file is complete.
    pub(super) fn keep(mut self) -> io::Result<()> {
        if let Some(written) = &self.written {
            fs::rename(written, &self.place)?;
        }
        self.written = None;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(written) = &self.written {
            drop(fs::remove_file(written));
        }
    }
}

/// Writes a whole file, with these permissions less the umask.
pub(super) fn save(place: &Path, mode: u32, bytes: &[u8]) -> Result<(), Failure> {
    let written = Partial::create(place, mode).and_then(|(mut file, partial)| {
        file.write_all(bytes)?;
        partial.keep()
    });
    written.map_err(|error| Failure::Output(format!("{}: cannot write: {error}", place.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn only_what_is_kept_appears_and_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("x");
        fs::write(&place, "old").unwrap();
        let (mut file, partial) = Partial::create(&place, 0o600).unwrap();
        file.write_all(b"new").unwrap();
        drop(partial);
        assert_eq!(
            (names(dir.path()), fs::read(&place).unwrap()),
            (vec!["x".into()], b"old".into())
        );
        let (mut file, partial) = Partial::create(&place, 0o600).unwrap();
        file.write_all(b"new").unwrap();
        partial.keep().unwrap();
        assert_eq!(
            (names(dir.path()), fs::read(&place).unwrap()),
            (vec!["x".into()], b"new".into())
        );
    }

    #[test]
    fn what_is_no_file_is_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let (mut file, partial) = Partial::create(&link, 0o600).unwrap();
        file.write_all(b"new").unwrap();
        partial.keep().unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
    }
}
