//! `/proc/PID/maps`: the mappings and what changed between two readings (`proc_pid_maps(5)`).

use super::{ProcError, ProcRoot, classify, decimal, hexadecimal, reread, word};
use damon_format::{Mapping, Permissions};
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Above every user address of the architectures DAMON runs on; `[vsyscall]` lies there and belongs to
/// no address space.
const USER_END: u64 = 1 << 63;

/// Parses one line; `None` when it is not one.
fn parse_line(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let range = word(&mut rest)?;
    let dash = range.iter().position(|b| *b == b'-')?;
    let start = hexadecimal(range.get(..dash)?)?;
    let end = hexadecimal(range.get(dash + 1..)?)?;
    let flags = word(&mut rest)?;
    let offset = hexadecimal(word(&mut rest)?)?;
    let _device = word(&mut rest)?;
    let inode = decimal(word(&mut rest)?)?;
    let bit = |index: usize, letter: u8| flags.get(index) == Some(&letter);
    (start < end).then(|| Mapping {
        start,
        end,
        permissions: Permissions {
            read: bit(0, b'r'),
            write: bit(1, b'w'),
            execute: bit(2, b'x'),
            shared: bit(3, b's'),
        },
        offset,
        inode,
        name: String::from_utf8_lossy(rest.trim_ascii_start()).into_owned(),
    })
}

/// Parses a header line of `maps` or `smaps` down to its range.
pub(super) fn parse_range(line: &[u8]) -> Option<(u64, u64)> {
    let mut rest = line;
    let range = word(&mut rest)?;
    let dash = range.iter().position(|b| *b == b'-')?;
    let start = hexadecimal(range.get(..dash)?)?;
    let end = hexadecimal(range.get(dash + 1..)?)?;
    (start < end && end <= USER_END).then_some((start, end))
}

/// Parses the whole text into `mappings` (emptied before). Lines that are not mappings, mappings of the
/// kernel's half, and anything that would break ascending order (the text is not read in one piece by
/// the kernel) are left out.
pub fn parse_maps(text: &[u8], mappings: &mut Vec<Mapping>) {
    mappings.clear();
    let mut floor = 0;
    for line in text.split(|b| *b == b'\n') {
        if let Some(mapping) = parse_line(line)
            && mapping.start >= floor
            && mapping.end <= USER_END
        {
            floor = mapping.end;
            mappings.push(mapping);
        }
    }
}

/// How one reading differs from another, in the words of [`damon_format::MappingsChanged`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapsDelta {
    /// Starts of mappings that are gone or have changed.
    pub removed: Vec<u64>,
    /// Mappings that are new or have changed, ascending.
    pub added: Vec<Mapping>,
}

impl MapsDelta {
    /// True when nothing changed.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

/// What has to be removed from and added to `old` to get `new`; both ascending.
pub fn delta(old: &[Mapping], new: &[Mapping]) -> MapsDelta {
    let mut changes = MapsDelta::default();
    let (mut olds, mut news) = (old.iter().peekable(), new.iter().peekable());
    loop {
        match (olds.peek(), news.peek()) {
            (Some(a), Some(b)) if a == b => {
                olds.next();
                news.next();
            }
            (Some(a), b) if b.is_none_or(|b| a.start <= b.start) => {
                changes.removed.push(a.start);
                olds.next();
            }
            (_, Some(b)) => {
                changes.added.push((*b).clone());
                news.next();
            }
            (_, None) => break,
        }
    }
    changes
}

/// The open `maps` of one address space. The file stays bound to that address space: after an exec or
/// exit it reads as empty, although a file opened anew does not.
#[derive(Debug)]
pub struct MapsFile {
    pid: u32,
    file: File,
    path: std::path::PathBuf,
    length: usize,
    /// Hash of the text read last; the text itself may have megabytes.
    hash: Option<u64>,
}

impl MapsFile {
    /// Opens the maps of `pid`.
    pub fn open(proc: &ProcRoot, pid: u32) -> Result<Self, ProcError> {
        let name = format!("{}maps", proc.memory_dir(pid));
        Ok(Self {
            pid,
            file: proc.open(pid, &name)?,
            path: proc.of(pid, &name),
            length: 0,
            hash: None,
        })
    }

    /// Reads the mappings as they are now; returns false when the text is the same as at the previous
    /// reading (then `mappings` is untouched).
    pub fn read(&mut self, mappings: &mut Vec<Mapping>) -> Result<bool, ProcError> {
        let mut text = Vec::with_capacity(self.length + 512);
        reread(&mut self.file, &mut text)
            .map_err(|source| classify(self.pid, self.path.clone(), source))?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = Some(hasher.finish());
        if hash == self.hash && !text.is_empty() {
            return Ok(false);
        }
        self.hash = hash;
        self.length = text.len();
        parse_maps(&text, mappings);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &[u8] = b"\
55a0c0000000-55a0c0021000 r-xp 00002000 fe:00 1234                       /usr/bin/my prog (deleted)
55a0c1000000-55a0c1100000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000400000 rw-s 00001000 00:05 99                         /dev/shm/a\\012b
7f0001000000-7f0001001000 ---p 00000000 00:00 0 \n\
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
";

    fn parsed(text: &[u8]) -> Vec<Mapping> {
        let mut mappings = Vec::new();
        parse_maps(text, &mut mappings);
        mappings
    }

    #[test]
    fn every_column_is_read_and_vsyscall_left_out() {
        let maps = parsed(TEXT);
        let names: Vec<&str> = maps.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(
            names,
            ["/usr/bin/my prog (deleted)", "[heap]", "/dev/shm/a\\012b", "", "[stack]"]
        );
        let first = &maps[0];
        assert_eq!(
            (first.start, first.end, first.offset, first.inode),
            (0x55a0_c000_0000, 0x55a0_c002_1000, 0x2000, 1234)
        );
        assert!(first.permissions.execute && !first.permissions.write);
        assert!(maps[2].permissions.shared && !maps[1].permissions.shared);
        assert_eq!(maps[3].permissions, Permissions::default());
    }

    #[test]
    fn rubbish_lines_are_left_out() {
        let text =
            b"zz-10 rw-p 0 0:0 0\n20-10 rw-p 0 0:0 0\n30-40 rw-p 0 0:0 x\n\n50-60 rw-p 0 0:0 0";
        assert_eq!(parsed(text).len(), 1);
    }

    #[test]
    fn overlapping_lines_keep_the_first() {
        let text = b"1000-3000 rw-p 0 0:0 0\n2000-4000 rw-p 0 0:0 0\n4000-5000 rw-p 0 0:0 0\n";
        let starts: Vec<u64> = parsed(text).iter().map(|m| m.start).collect();
        assert_eq!(starts, [0x1000, 0x4000]);
    }

    #[test]
    fn a_grown_heap_is_removed_and_added() {
        let old = parsed(TEXT);
        let mut new = old.clone();
        new[1].end += 0x1000;
        let changes = delta(&old, &new);
        assert_eq!(changes.removed, [old[1].start]);
        assert_eq!(changes.added, [new[1].clone()]);
    }

    #[test]
    fn unchanged_text_is_reported_as_such() {
        let (dir, proc) = crate::proc::fake::root();
        let text = String::from_utf8(TEXT.to_vec()).unwrap();
        crate::proc::fake::put(dir.path(), "3/maps", &text);
        let mut maps = MapsFile::open(&proc, 3).unwrap();
        let mut mappings = Vec::new();
        assert!(maps.read(&mut mappings).unwrap());
        assert_eq!(mappings.len(), 5);
        assert!(!maps.read(&mut mappings).unwrap());
        crate::proc::fake::put(dir.path(), "3/maps", "");
        assert!(maps.read(&mut mappings).unwrap());
        assert!(mappings.is_empty());
    }

    fn mappings() -> impl Strategy<Value = Vec<Mapping>> {
        proptest::collection::btree_map(0_u64..40, (1_u64..4, any::<bool>()), 0..12).prop_map(|m| {
            let mut floor = 0;
            let mut list = Vec::new();
            for (slot, (pages, write)) in m {
                let start = (slot * 0x2000).max(floor);
                floor = start + pages * 0x1000;
                list.push(Mapping {
                    start,
                    end: floor,
                    permissions: Permissions { write, ..Permissions::default() },
                    offset: 0,
                    inode: 0,
                    name: String::new(),
                });
            }
            list
        })
    }

    proptest! {
        #[test]
        fn applying_the_delta_gives_the_new_list(old in mappings(), new in mappings()) {
            let changes = delta(&old, &new);
            let mut applied: Vec<Mapping> = old
                .iter()
                .filter(|m| !changes.removed.contains(&m.start))
                .cloned()
                .collect();
            applied.extend(changes.added.iter().cloned());
            applied.sort_by_key(|m| m.start);
            prop_assert_eq!(&applied, &new);
            prop_assert_eq!(changes.is_empty(), old == new);
        }

        #[test]
        fn any_bytes_parse_to_ascending_mappings(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let maps = parsed(&text);
            prop_assert!(maps.windows(2).all(|w| w[0].end <= w[1].start));
        }
    }
}
