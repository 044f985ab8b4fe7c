//! `/proc/pressure/memory` (Documentation/accounting/psi.rst).

use super::{ProcRoot, decimal};

/// Totals since boot, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Some task waited for memory.
    pub some_us: u64,
    /// All tasks waited for memory.
    pub full_us: u64,
}

/// Reads the machine's memory pressure; `None` where the kernel has no PSI or hides it.
pub fn read_pressure(proc: &ProcRoot) -> Option<Pressure> {
    parse(&proc.read_of_machine("pressure/memory")?)
}

fn parse(text: &[u8]) -> Option<Pressure> {
    let total = |prefix: &[u8]| {
        let line = text.split(|b| *b == b'\n').find(|line| line.starts_with(prefix))?;
        let value = line.split(|b| *b == b' ').find_map(|word| word.strip_prefix(b"total="))?;
        decimal(value)
    };
    Some(Pressure { some_us: total(b"some ")?, full_us: total(b"full ").unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_and_absence_is_none() {
        let text = b"some avg10=0.00 avg60=0.12 avg300=0.00 total=123456\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=789\n";
        let expected = Pressure { some_us: 123_456, full_us: 789 };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"some avg10=0.00 total=x\n"), None);
    }
}
