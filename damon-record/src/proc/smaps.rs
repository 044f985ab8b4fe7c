//! `/proc/PID/smaps`, streamed: the file of a large process has megabytes.

use super::maps::parse_range;
use super::{ProcError, ProcRoot, classify, decimal};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::PathBuf;

/// One mapping; a line that is missing reads as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SmapsEntry {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Resident bytes.
    pub rss: u64,
    /// Bytes of pages marked accessed (`Referenced`): the page table's bit, or the page's own
    /// young or referenced flag (`fs/proc/task_mmu.c`, `smaps_account`).
    pub referenced: u64,
    /// Swapped out bytes.
    pub swap: u64,
}

const CHUNK: usize = 64 * 1024;

/// The open `smaps` of one address space, bound to it like [`MapsFile`](super::MapsFile).
#[derive(Debug)]
pub struct SmapsFile {
    pid: u32,
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
}

impl SmapsFile {
    /// Opens the smaps of `pid`.
    pub fn open(proc: &ProcRoot, pid: u32) -> Result<Self, ProcError> {
        let name = format!("{}smaps", proc.memory_dir(pid));
        Ok(Self {
            pid,
            file: proc.open(pid, &name)?,
            path: proc.of(pid, &name),
            buffer: vec![0; CHUNK],
        })
    }

    /// Hands every mapping to `visit`, ascending; returns how many there were. None at all means that
    /// the address space is gone.
    pub fn read(&mut self, visit: impl FnMut(SmapsEntry)) -> Result<u64, ProcError> {
        self.file
            .rewind()
            .and_then(|()| stream(&mut self.file, &mut self.buffer, visit))
            .map_err(|source| classify(self.pid, self.path.clone(), source))
    }
}

/// Parses `source` through `buffer`; a line longer than the buffer is skipped.
fn stream(
    source: &mut impl Read,
    buffer: &mut [u8],
    mut visit: impl FnMut(SmapsEntry),
) -> io::Result<u64> {
    let mut parser = Parser::default();
    let mut filled = 0;
    let mut skipping = false;
    loop {
        let Some(space) = buffer.get_mut(filled..).filter(|s| !s.is_empty()) else {
            // No line end in a whole buffer: nothing the kernel prints here is that long.
            filled = 0;
            skipping = true;
            continue;
        };
        let count = match source.read(space) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        filled += count;
        let mut begin = 0;
        while let Some(line) = buffer.get(begin..filled) {
            let Some(length) = line.iter().position(|b| *b == b'\n') else {
                break;
            };
            if !std::mem::take(&mut skipping) {
                parser.line(line.get(..length).unwrap_or_default(), &mut visit);
            }
            begin += length + 1;
        }
        buffer.copy_within(begin..filled, 0);
        filled -= begin;
        if count == 0 {
            return Ok(parser.finish(&mut visit));
        }
    }
}

#[derive(Default)]
struct Parser {
    entry: Option<SmapsEntry>,
    floor: u64,
    seen: u64,
}

impl Parser {
    fn line(&mut self, line: &[u8], visit: &mut impl FnMut(SmapsEntry)) {
        // Keys begin with a capital letter, addresses are lower-case hexadecimal.
        if line.first().is_some_and(u8::is_ascii_uppercase) {
            let Some(entry) = &mut self.entry else { return };
            if let Some(rest) = line.strip_prefix(b"Rss:") {
                entry.rss = kib(rest);
            } else if let Some(rest) = line.strip_prefix(b"Referenced:") {
                entry.referenced = kib(rest);
            } else if let Some(rest) = line.strip_prefix(b"Swap:") {
                entry.swap = kib(rest);
            }
            return;
        }
        self.flush(visit);
        if let Some((start, end)) = parse_range(line).filter(|(start, _)| *start >= self.floor) {
            self.floor = end;
            self.entry = Some(SmapsEntry { start, end, ..SmapsEntry::default() });
        }
    }

    fn flush(&mut self, visit: &mut impl FnMut(SmapsEntry)) {
        if let Some(entry) = self.entry.take() {
            self.seen += 1;
            visit(entry);
        }
    }

    fn finish(mut self, visit: &mut impl FnMut(SmapsEntry)) -> u64 {
        self.flush(visit);
        self.seen
    }
}

fn kib(text: &[u8]) -> u64 {
    let digits = text.trim_ascii();
    let digits = digits.strip_suffix(b"kB").unwrap_or(digits).trim_ascii_end();
    decimal(digits).unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
1000-5000 rw-p 00000000 00:00 0                          [heap]
Size:                 16 kB
Rss:                  12 kB
Pss:                  12 kB
Referenced:            8 kB
Swap:                  4 kB
SwapPss:               2 kB
VmFlags: rd wr mr mw me ac sd
9000-a000 r--p 00000000 fe:00 7                          /x Referenced: 9 kB
Rss:                   4 kB
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]
Referenced:            4 kB
";

    fn all(text: &str, chunk: usize) -> (Vec<SmapsEntry>, u64) {
        let mut entries = Vec::new();
        let mut buffer = vec![0; chunk];
        let seen = stream(&mut text.as_bytes(), &mut buffer, |e| entries.push(e)).unwrap();
        (entries, seen)
    }

    #[test]
    fn entries_are_the_same_at_every_buffer_size() {
        let expected = [
            SmapsEntry {
                start: 0x1000,
                end: 0x5000,
                rss: 12 << 10,
                referenced: 8 << 10,
                swap: 4 << 10,
            },
            SmapsEntry { start: 0x9000, end: 0xa000, rss: 4 << 10, ..SmapsEntry::default() },
        ];
        for chunk in 80..400 {
            let (entries, seen) = all(TEXT, chunk);
            assert_eq!(entries, expected, "buffer of {chunk}");
            assert_eq!(seen, 2);
        }
    }

    #[test]
    fn an_endless_line_costs_no_memory_and_no_later_line() {
        let text = format!("{}\n{TEXT}", "x".repeat(5000));
        assert_eq!(all(&text, 128).0.len(), 2);
    }

    #[test]
    fn an_empty_file_has_no_entry() {
        assert_eq!(all("", 64), (Vec::new(), 0));
    }

    #[test]
    fn the_recorders_own_smaps_parse() {
        let mut file = SmapsFile::open(&ProcRoot::default(), std::process::id()).unwrap();
        let (mut rss, mut stack) = (0, false);
        let marker = 0_u8;
        let address = std::ptr::from_ref(&marker).addr() as u64;
        file.read(|e| {
            rss += e.rss;
            stack |= (e.start..e.end).contains(&address) && e.rss > 0;
        })
        .unwrap();
        assert!(rss > 0 && stack);
    }
}
