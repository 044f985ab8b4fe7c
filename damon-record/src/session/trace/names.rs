//! Names of the files of a recording that fills several: `web.damon` becomes `web.000001.damon`,
//! `web.000002.damon` …, and what is kept of them for good `web.kept-1.000001.damon` ….

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Digits of a number at least, so that names sort by number.
const DIGITS: usize = 6;

/// What all names of a recording's files are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::session) struct Names {
    /// As it was given; empty for the current one.
    directory: PathBuf,
    stem: OsString,
    /// With its dot; empty when there is none.
    extension: OsString,
}

impl Names {
    /// The names that are made of `path`.
    pub(in crate::session) fn of(path: &Path) -> Self {
        let mut extension = OsString::new();
        if let Some(given) = path.extension() {
            extension.push(".");
            extension.push(given);
        }
        Self {
            directory: path.parent().unwrap_or(Path::new("")).to_path_buf(),
            stem: path.file_stem().unwrap_or(OsStr::new("recording")).to_os_string(),
            extension,
        }
    }

    /// Where the files are.
    pub(super) fn directory(&self) -> &Path {
        if self.directory.as_os_str().is_empty() { Path::new(".") } else { &self.directory }
    }

    /// The file of this number.
    pub(in crate::session) fn part(&self, number: u32) -> PathBuf {
        self.with(&format!(".{number:0DIGITS$}"))
    }

    /// What the file of this number is kept as, in this set.
    pub(super) fn kept(&self, set: u32, number: u32) -> PathBuf {
        self.with(&format!(".kept-{set}.{number:0DIGITS$}"))
    }

    /// All files of a kept set, as a shell would name them.
    pub(super) fn kept_set(&self, set: u32) -> PathBuf {
        self.with(&format!(".kept-{set}.*"))
    }

    /// Numbers of the files that are there, ascending.
    pub(in crate::session) fn parts(&self) -> io::Result<Vec<u32>> {
        let mut numbers = self.found(|middle| number(middle.strip_prefix('.')?, DIGITS))?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A set of which nothing is there, later than all others.
    pub(super) fn free_set(&self) -> io::Result<u32> {
        let sets = self.found(|middle| {
            let (set, _) = middle.strip_prefix(".kept-")?.split_once('.')?;
            number(set, 1)
        })?;
        Ok(sets.into_iter().max().unwrap_or(0).saturating_add(1))
    }

    /// What `read` makes of the middle of each name in the directory that begins and ends like these.
    fn found(&self, read: impl Fn(&str) -> Option<u32>) -> io::Result<Vec<u32>> {
        let (stem, extension) = (self.stem.as_bytes(), self.extension.as_bytes());
        let mut found = Vec::new();
        for entry in fs::read_dir(self.directory())? {
            let name = entry?.file_name();
            let middle = name.as_bytes().strip_prefix(stem).and_then(|n| n.strip_suffix(extension));
            let middle = middle.and_then(|middle| std::str::from_utf8(middle).ok());
            found.extend(middle.and_then(&read));
        }
        Ok(found)
    }

    fn with(&self, middle: &str) -> PathBuf {
        let mut name = self.stem.clone();
        name.push(middle);
        name.push(&self.extension);
        self.directory.join(name)
    }
}

/// A number as it is written here: at least so many digits, and no zeros before more.
fn number(text: &str, least: usize) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let plain = text.len() == least || !text.starts_with('0');
    if digits && plain && text.len() >= least { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_goes_before_the_extension() {
        for (given, first, later) in [
            ("recording.damon", "recording.000001.damon", "recording.1234567.damon"),
            ("/a/b/web.damon", "/a/b/web.000001.damon", "/a/b/web.1234567.damon"),
            ("web", "web.000001", "web.1234567"),
            ("a.b.c", "a.b.000001.c", "a.b.1234567.c"),
            (".hidden", ".hidden.000001", ".hidden.1234567"),
        ] {
            let names = Names::of(Path::new(given));
            assert_eq!(names.part(1), Path::new(first));
            assert_eq!(names.part(1_234_567), Path::new(later));
        }
        let names = Names::of(Path::new("x/web.damon"));
        assert_eq!(names.kept(2, 3), Path::new("x/web.kept-2.000003.damon"));
        assert_eq!(names.kept_set(2), Path::new("x/web.kept-2.*.damon"));
    }

    #[test]
    fn only_names_of_its_own_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::of(&dir.path().join("web.damon"));
        assert_eq!((names.parts().unwrap(), names.free_set().unwrap()), (vec![], 1));
        for name in [
            "web.damon",
            "web.000012.damon",
            "web.000002.damon",
            "web.1000000.damon",
            "web.01000000.damon",
            "web.00003.damon",
            "web.000004.damon.old",
            "web.+00005.damon",
            "web.99999999999.damon",
            "webber.000006.damon",
            "web.kept-3.000007.damon",
            "web.kept-12.000007.damon",
            "web.kept-x.000007.damon",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(names.parts().unwrap(), [2, 12, 1_000_000]);
        assert_eq!(names.free_set().unwrap(), 13);
    }
}
