//! Which physical addresses are memory: `/proc/iomem` (`kernel/resource.c`).

use crate::monitor::AddressRange;
use crate::proc::ProcRoot;
use std::io;
use std::path::PathBuf;

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IomemError {
    /// The kernel hides addresses from processes without `CAP_SYS_ADMIN`.
    #[error(
        "{} shows only zeros: physical addresses are visible to root alone (CAP_SYS_ADMIN); run as root, or \
         give --regions START-END",
        path.display()
    )]
    Hidden {
        /// The file.
        path: PathBuf,
    },
    /// No line of memory in it.
    #[error(
        "{} names no \"System RAM\" of a page or more; give --regions START-END",
        path.display()
    )]
    NoMemory {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {}: {source}; give --regions START-END", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not what the kernel writes.
    #[error("unexpected line in {}: {line:?}; give --regions START-END", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line.
        line: String,
    },
}

/// All memory of the machine: whole pages of `granule` bytes, ascending, adjacent ranges joined. Between
/// them are holes and devices.
pub fn system_ram(proc: &ProcRoot, granule: u64) -> Result<Vec<AddressRange>, IomemError> {
    let path = proc.path().join("iomem");
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text, granule, path),
        Err(source) => Err(IomemError::Io { path, source }),
    }
}

fn parse(text: &str, granule: u64, path: PathBuf) -> Result<Vec<AddressRange>, IomemError> {
    let mut ranges = Vec::new();
    let mut hidden = false;
    // At any depth: memory added later is a child of what it was added by ("System RAM (kmem)").
    for line in text.lines().filter(|line| is_memory(line)) {
        let Some((first, last)) = bounds(line) else {
            return Err(IomemError::Malformed { path, line: line.to_owned() });
        };
        if (first, last) == (0, 0) {
            hidden = true;
            continue;
        }
        // Part of a page is of no use; `last` itself belongs to the range.
        let (start, end) = (first.checked_next_multiple_of(granule), whole_pages(last, granule));
        if let Some(start) = start
            && start < end
        {
            ranges.push(AddressRange { start, end });
        }
    }
    match (ranges.is_empty(), hidden) {
        (false, _) => Ok(joined(ranges)),
        (true, true) => Err(IomemError::Hidden { path }),
        (true, false) => Err(IomemError::NoMemory { path }),
    }
}

fn is_memory(line: &str) -> bool {
    line.split_once(" : ").is_some_and(|(_, name)| {
        name.strip_prefix("System RAM")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("))
    })
}

/// First and last byte.
fn bounds(line: &str) -> Option<(u64, u64)> {
    let (range, _) = line.split_once(" : ")?;
    let (first, last) = range.trim().split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

/// The end of the last whole page up to and including byte `last`.
fn whole_pages(last: u64, granule: u64) -> u64 {
    let end = last.saturating_add(1);
    end - end.checked_rem(granule).unwrap_or(0)
}

fn joined(mut ranges: Vec<AddressRange>) -> Vec<AddressRange> {
    ranges.sort_unstable();
    let mut result: Vec<AddressRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match result.last_mut() {
            Some(previous) if range.start <= previous.end => {
                previous.end = previous.end.max(range.end);
            }
            _ => result.push(range),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::fake;
    use proptest::prelude::*;

    const PAGE: u64 = 4096;

    fn of(text: &str) -> Result<Vec<(u64, u64)>, IomemError> {
        let (dir, proc) = fake::root();
        fake::put(dir.path(), "iomem", text);
        Ok(system_ram(&proc, PAGE)?.into_iter().map(|r| (r.start, r.end)).collect())
    }

    #[test]
    fn memory_is_found_among_everything_else() {
        let text = "\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
0009fc00-000fffff : Reserved
  000f0000-000fffff : System ROM
00100000-bfffffff : System RAM
  01000000-0220bb07 : Kernel code
c0001000-eebfffff : PCI Bus 0000:00
100000000-63fffffff : System RAM
";
        assert_eq!(
            of(text).unwrap(),
            [(0x1000, 0x9f000), (0x10_0000, 0xc000_0000), (0x1_0000_0000, 0x6_4000_0000)]
        );
    }

    #[test]
    fn added_memory_counts_and_neighbours_are_joined() {
        let text = "\
00000000-3fffffff : System RAM
40000000-7fffffff : System RAM (virtio_mem)
100000000-1ffffffff : CXL Window 0
  100000000-13fffffff : dax0.0
    100000000-13fffffff : System RAM (kmem)
200000000-2ffffffff : System RAM of another kind
";
        assert_eq!(of(text).unwrap(), [(0, 0x8000_0000), (0x1_0000_0000, 0x1_4000_0000)]);
    }

    #[test]
    fn zeros_are_no_addresses() {
        let hidden = of("00000000-00000000 : System RAM\n00000000-00000000 : Reserved\n");
        let text = hidden.unwrap_err().to_string();
        assert!(text.contains("CAP_SYS_ADMIN") && text.contains("iomem"), "{text}");
    }

    #[test]
    fn bad_texts_are_refused() {
        assert!(matches!(of(""), Err(IomemError::NoMemory { .. })));
        assert!(matches!(of("00000800-00001000 : System RAM\n"), Err(IomemError::NoMemory { .. })));
        for line in ["x-5 : System RAM", "5 : System RAM", "9-5 : System RAM"] {
            let error = of(&format!("{line}\n")).unwrap_err();
            assert!(error.to_string().contains(line), "{error}");
        }
        let error = system_ram(&ProcRoot::new("/nonexistent"), PAGE).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/iomem"), "{error}");
    }

    #[test]
    fn the_end_of_the_address_space_does_not_overflow() {
        let all = of("0000000000000000-ffffffffffffffff : System RAM\n").unwrap();
        assert_eq!(all, [(0, u64::MAX - u64::MAX % PAGE)]);
        assert!(of("fffffffffffffff1-ffffffffffffffff : System RAM\n").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9a-f: \\-SystemRA()\n]{0,200}") {
            let _any = of(&text);
        }

        #[test]
        fn ranges_ascend_apart_and_lie_inside(lines in prop::collection::vec((0_u64..1 << 20, 0_u64..1 << 18), 1..20)) {
            let text: Vec<String> = lines
                .iter()
                .map(|(first, more)| format!("{first:08x}-{:08x} : System RAM", first + more))
                .collect();
            let Ok(ranges) = of(&text.join("\n")) else { return Ok(()) };
            for pair in ranges.windows(2) {
                prop_assert!(pair[0].1 < pair[1].0);
            }
            for (start, end) in ranges {
                prop_assert!(start < end && start % PAGE == 0 && end % PAGE == 0);
                for page in [start, end - PAGE] {
                    prop_assert!(lines.iter().any(|(first, more)| *first <= page && page + PAGE <= first + more + 1));
                }
            }
        }
    }
}
