//! The files of a recording that fills several: which there are, and which go.

use super::names::Names;
use crate::plan::Rotation;
use crate::session::place::unnamed_file;
use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// Tells a file from all others, whatever its name is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

#[derive(Clone, Copy, Debug)]
struct Held {
    number: u32,
    id: FileId,
    bytes: u64,
}

/// A part that does not have its name yet. It vanishes when it never gets it.
#[derive(Debug)]
pub(super) struct NewPart {
    temporary: TempPath,
    id: FileId,
}

/// The files, oldest first, the present part last.
///
/// What it knows is as large as the number of parts that are to be kept; where all are, numbers tell.
#[derive(Debug)]
pub(super) struct Shelf {
    names: Names,
    keep: Option<usize>,
    /// With `keep` all parts, otherwise the present one.
    held: VecDeque<Held>,
    /// Older parts of this name that go as soon as there is a part of this recording.
    condemned: Vec<Held>,
    /// Number of the oldest part.
    first: u32,
    /// The next part gets this number, or the first after it that is free.
    next: u32,
    /// Numbers after `first` that somebody else's files have.
    others: BTreeSet<u32>,
    /// Parts that were begun.
    begun: u32,
    /// Size of all parts but the present one.
    bytes: u64,
}

impl Shelf {
    /// Looks at what is there. New parts get numbers after all of these; with `adopts` the older ones count as this
    /// recording's own, and go when there are too many, or all when all of its own are kept.
    pub(super) fn open(path: &Path, rotation: &Rotation, adopts: bool) -> io::Result<Self> {
        let names = Names::of(path);
        let keep = rotation.keep.map(|keep| usize::try_from(keep).unwrap_or(usize::MAX));
        let numbers = names.parts()?;
        let next = match numbers.last() {
            Some(last) => last.checked_add(1).ok_or_else(no_number)?,
            None => 1,
        };
        let mut shelf = Self {
            names,
            keep,
            held: VecDeque::new(),
            condemned: Vec::new(),
            first: next,
            next,
            others: BTreeSet::new(),
            begun: 0,
            bytes: 0,
        };
        for number in numbers.into_iter().filter(|_| adopts) {
            let metadata = fs::symlink_metadata(shelf.names.part(number))?;
            let old = Held { number, id: FileId::of(&metadata), bytes: metadata.len() };
            if keep.is_some() {
                shelf.held.push_back(old);
                shelf.bytes += old.bytes;
            } else {
                shelf.condemned.push(old);
            }
        }
        Ok(shelf)
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// A file for the next part, and the name it will probably get.
    pub(super) fn create(&self) -> io::Result<(File, NewPart, PathBuf)> {
        let (file, temporary) = unnamed_file(self.names.directory())?;
        let id = FileId::of(&file.metadata()?);
        Ok((file, NewPart { temporary, id }, self.names.part(self.next)))
    }

    /// Gives it its name, which nobody else has: from now on it is the present part.
    pub(super) fn publish(&mut self, part: NewPart) -> io::Result<PathBuf> {
        let NewPart { mut temporary, id } = part;
        loop {
            let number = self.next;
            let path = self.names.part(number);
            let after = number.checked_add(1).ok_or_else(no_number)?;
            match temporary.persist_noclobber(&path) {
                Ok(()) => {
                    self.next = after;
                    if self.keep.is_none() {
                        self.held.clear();
                    }
                    if self.begun == 0 {
                        self.first = number;
                        self.others.clear();
                    }
                    self.begun += 1;
                    self.held.push_back(Held { number, id, bytes: 0 });
                    return Ok(path);
                }
                Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
                    self.others.insert(number);
                    self.next = after;
                    temporary = refused.path;
                }
                Err(refused) => return Err(refused.error),
            }
        }
    }

    /// The part before the present one has this size.
    pub(super) fn closed(&mut self, bytes: u64) {
        self.bytes += bytes;
        if let Some(before) = self.held.iter_mut().rev().nth(1) {
            before.bytes = bytes;
        }
    }

    /// Removes what is too old.
    ///
    /// # Errors
    /// The first file that could not be removed; it is tried again next time.
    pub(super) fn prune(&mut self) -> Result<(), (PathBuf, io::Error)> {
        while let Some(old) = self.condemned.last() {
            self.remove(*old)?;
            self.condemned.pop();
        }
        while self.keep.is_some_and(|keep| self.held.len() > keep) {
            if self.remove_oldest()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Removes the oldest part, unless that is the present one; tells which it was. Without a number of parts to
    /// keep all are.
    pub(super) fn remove_oldest(&mut self) -> Result<Option<PathBuf>, (PathBuf, io::Error)> {
        if self.held.len() < 2 {
            return Ok(None);
        }
        let Some(old) = self.held.front().copied() else {
            return Ok(None);
        };
        self.remove(old)?;
        self.held.pop_front();
        self.bytes = self.bytes.saturating_sub(old.bytes);
        Ok(Some(self.names.part(old.number)))
    }

    /// Removes the file if it is the one that was seen under its name.
    fn remove(&self, old: Held) -> Result<(), (PathBuf, io::Error)> {
        let path = self.names.part(old.number);
        let removed = match fs::symlink_metadata(&path) {
            Ok(metadata) if FileId::of(&metadata) == old.id => fs::remove_file(&path),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err((path, error)),
            _ => Ok(()),
        }
    }

    /// Numbers of the parts, oldest first; the present one is the last.
    pub(super) fn numbers(&self) -> Vec<u32> {
        match (self.keep, self.held.back()) {
            (None, Some(present)) => {
                (self.first..=present.number).filter(|n| !self.others.contains(n)).collect()
            }
            _ => self.held.iter().map(|held| held.number).collect(),
        }
    }

    /// The name of the oldest part.
    pub(super) fn oldest(&self) -> PathBuf {
        let number =
            self.held.front().filter(|_| self.keep.is_some()).map_or(self.first, |h| h.number);
        self.names.part(number)
    }

    /// The number of the present part in its name.
    pub(super) fn present(&self) -> u32 {
        self.held.back().map_or(self.next, |held| held.number)
    }

    /// How many parts there are.
    pub(super) fn len(&self) -> usize {
        if self.keep.is_some() { self.held.len() } else { usize::try_from(self.begun).unwrap_or(0) }
    }

    /// How many parts of this recording were begun.
    pub(super) fn begun(&self) -> u32 {
        self.begun
    }

    /// Size of all parts but the present one.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn no_number() -> io::Error {
    io::Error::other("there is no larger number for a file name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(dir: &Path, keep: Option<u32>, adopts: bool) -> Shelf {
        let rotation = Rotation { size: Some(1), time: None, keep };
        Shelf::open(&dir.join("x.damon"), &rotation, adopts).unwrap()
    }

    fn add(shelf: &mut Shelf) -> PathBuf {
        let (_file, part, _) = shelf.create().unwrap();
        let path = shelf.publish(part).unwrap();
        shelf.closed(10);
        shelf.prune().unwrap();
        path
    }

    fn there(dir: &Path) -> Vec<u32> {
        assert!(
            fs::read_dir(dir)
                .unwrap()
                .all(|e| { !e.unwrap().file_name().to_str().unwrap().starts_with('.') })
        );
        Names::of(&dir.join("x.damon")).parts().unwrap()
    }

    #[test]
    fn the_newest_are_kept_and_older_recordings_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x.000004.damon"), "older").unwrap();
        let mut shelf = shelf(dir.path(), Some(2), false);
        for number in 5..9 {
            assert_eq!(add(&mut shelf), dir.path().join(format!("x.00000{number}.damon")));
            assert!(shelf.len() <= 2);
        }
        assert_eq!(there(dir.path()), [4, 7, 8]);
        assert_eq!((shelf.numbers(), shelf.begun()), (vec![7, 8], 4));
        assert_eq!(shelf.oldest(), dir.path().join("x.000007.damon"));
    }

    #[test]
    fn taken_over_files_go_one_by_one_or_all_at_once() {
        for (keep, left) in
            [(Some(3), vec![vec![8, 9, 10], vec![9, 10, 11]]), (None, vec![vec![10], vec![10, 11]])]
        {
            let dir = tempfile::tempdir().unwrap();
            for number in 7..10 {
                fs::write(dir.path().join(format!("x.{number:06}.damon")), "older").unwrap();
            }
            let mut shelf = shelf(dir.path(), keep, true);
            assert_eq!(there(dir.path()), [7, 8, 9], "until there is a new one");
            for left in left {
                add(&mut shelf);
                assert_eq!(there(dir.path()), left);
                assert_eq!(shelf.numbers(), left);
            }
        }
    }

    #[test]
    fn taken_numbers_are_passed_over_and_their_files_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut shelf = shelf(dir.path(), None, false);
        add(&mut shelf);
        for number in [2, 3] {
            fs::write(dir.path().join(format!("x.{number:06}.damon")), "another's").unwrap();
        }
        assert_eq!(add(&mut shelf), dir.path().join("x.000004.damon"));
        assert_eq!((shelf.numbers(), shelf.len()), (vec![1, 4], 2));
        assert_eq!(fs::read(dir.path().join("x.000002.damon")).unwrap(), b"another's");
    }

    #[test]
    fn a_file_that_somebody_has_put_in_the_place_of_a_part_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut shelf = shelf(dir.path(), Some(2), false);
        let first = add(&mut shelf);
        let second = add(&mut shelf);
        fs::rename(&first, dir.path().join("mine")).unwrap();
        fs::write(&first, "another's").unwrap();
        fs::remove_file(&second).unwrap();
        for _ in 0..3 {
            add(&mut shelf);
        }
        assert_eq!(there(dir.path()), [1, 4, 5]);
        assert_eq!(fs::read(&first).unwrap(), b"another's");
    }

    #[test]
    fn what_gets_no_name_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = shelf(dir.path(), None, false);
        drop(shelf.create().unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
