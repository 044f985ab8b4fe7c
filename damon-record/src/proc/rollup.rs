//! `/proc/PID/smaps_rollup` (Linux 4.14, `proc_pid_smaps(5)`): sums over all mappings. The kernel visits every page of the
//! process for it, with the lock of its mappings held for reading.

use super::{ProcError, ProcRoot, decimal};

/// What is used of it, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    /// Of each resident page its size over the number of its mappings.
    pub pss: u64,
    /// The same of what is swapped out.
    pub swap_pss: u64,
}

/// Parses the text; `None` where it has no `Pss`.
pub fn parse_rollup(text: &[u8]) -> Option<Rollup> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut value = |key: &[u8]| {
        let rest = lines.find_map(|line| line.strip_prefix(key))?.trim_ascii();
        let number = decimal(rest.strip_suffix(b"kB")?.trim_ascii_end())?;
        Some(number.saturating_mul(1024))
    };
    Some(Rollup { pss: value(b"Pss:")?, swap_pss: value(b"SwapPss:").unwrap_or(0) })
}

impl ProcRoot {
    /// Reads it for `pid`; `None` where the text has no `Pss`. A process that is ending and has no memory any more is
    /// [`ProcError::Gone`], although its `stat` may still say that it runs.
    pub fn rollup(&self, pid: u32) -> Result<Option<Rollup>, ProcError> {
        let name = format!("{}smaps_rollup", self.memory_dir(pid));
        self.read(pid, &name).map(|text| parse_rollup(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_found() {
        let text =
            b"55d0-7fff ---p 00000000 00:00 0    [rollup]\nRss:      900 kB\nPss:      812 kB\n\
            Pss_Anon:      700 kB\nSwap:       8 kB\nSwapPss:       4 kB\nLocked:      0 kB\n";
        assert_eq!(parse_rollup(text), Some(Rollup { pss: 812 << 10, swap_pss: 4 << 10 }));
        assert_eq!(parse_rollup(b"Pss: 3 kB\n"), Some(Rollup { pss: 3 << 10, swap_pss: 0 }));
        for text in [&b""[..], b"Rss: 3 kB\n", b"Pss: x kB\n", b"Pss: 3"] {
            assert_eq!(parse_rollup(text), None);
        }
    }

    #[test]
    fn this_process_has_some() {
        let found = ProcRoot::default().rollup(std::process::id()).unwrap().unwrap();
        assert!(found.pss > 0);
    }
}
