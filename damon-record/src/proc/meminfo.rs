//! `/proc/meminfo` (Documentation/filesystems/proc.rst).

use super::{ProcRoot, decimal};

/// Memory of the machine, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemInfo {
    /// Memory that the kernel manages.
    pub total: u64,
    /// Unused.
    pub free: u64,
    /// What programs could get without swapping, as the kernel estimates.
    pub available: u64,
    /// Swap space.
    pub swap_total: u64,
    /// Swap space not in use.
    pub swap_free: u64,
}

/// Reads it; `None` where it is hidden or says nothing of memory.
pub fn read_meminfo(proc: &ProcRoot) -> Option<MemInfo> {
    parse(&proc.read_of_machine("meminfo")?)
}

fn parse(text: &[u8]) -> Option<MemInfo> {
    let bytes = |name: &[u8]| {
        let line = text.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(name))?;
        let number = line.split(|b| *b == b' ').find(|word| !word.is_empty())?;
        decimal(number)?.checked_mul(1024)
    };
    let free = bytes(b"MemFree:")?;
    Some(MemInfo {
        total: bytes(b"MemTotal:")?,
        free,
        available: bytes(b"MemAvailable:").unwrap_or(free),
        swap_total: bytes(b"SwapTotal:").unwrap_or(0),
        swap_free: bytes(b"SwapFree:").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_bytes_and_absence_is_none() {
        let text = b"MemTotal:       24689736 kB\nMemFree:        20000000 kB\nMemAvailable:   21000000 kB\n\
                     SwapCached:            7 kB\nSwapTotal:          2048 kB\nSwapFree:           1024 kB\n";
        let expected = MemInfo {
            total: 24_689_736 << 10,
            free: 20_000_000 << 10,
            available: 21_000_000 << 10,
            swap_total: 2 << 20,
            swap_free: 1 << 20,
        };
        assert_eq!(parse(text), Some(expected));
        let old = parse(b"MemTotal: 8 kB\nMemFree: 4 kB\n").unwrap();
        assert_eq!((old.available, old.swap_total), (4096, 0), "kernels before 3.14, without swap");
        assert_eq!(parse(b"MemTotal: 8 kB\n"), None);
        assert_eq!(parse(b"MemTotal: x kB\nMemFree: 99999999999999999999 kB\n"), None);
    }
}
