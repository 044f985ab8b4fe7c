//! What trace-cmd notes beside the events: clocks, the machine, what was lost (trace-cmd.dat.v7(5), "OPTIONS SECTION").

use super::clock::Clock;
use crate::import::ImportError;

/// Numbers of options, the same in both versions.
pub(super) mod ids {
    pub(in super::super) const DONE: u16 = 0;
    pub(in super::super) const DATE: u16 = 1;
    pub(in super::super) const CPUSTAT: u16 = 2;
    pub(in super::super) const BUFFER: u16 = 3;
    pub(in super::super) const TRACECLOCK: u16 = 4;
    pub(in super::super) const UNAME: u16 = 5;
    pub(in super::super) const OFFSET: u16 = 7;
    pub(in super::super) const CPUCOUNT: u16 = 8;
    pub(in super::super) const TSC2NSEC: u16 = 14;
    pub(in super::super) const HEADER_INFO: u16 = 16;
    pub(in super::super) const EVENT_FORMATS: u16 = 18;
    pub(in super::super) const CMDLINES: u16 = 21;
}

/// Longest option that is read.
pub(super) const LONGEST: u64 = 1 << 22;

/// What the options tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) host: String,
    pub(super) kernel: String,
    pub(super) arch: String,
    /// Events that the kernel had no room for.
    pub(super) dropped: u64,
    /// Name of the tracer's clock; empty if not told.
    pub(super) clock_name: String,
    /// Wall-clock time at the clock's zero, nanoseconds.
    date_ns: Option<i64>,
    offset_ns: i64,
    /// Multiplier and shift that make nanoseconds of the processor's time stamp counter.
    scale: Option<(u32, u32)>,
}

impl Options {
    /// Takes over an option; those that say nothing about events are passed over.
    pub(super) fn learn(&mut self, id: u16, data: &[u8]) {
        let text = String::from_utf8_lossy(data.split(|byte| *byte == 0).next().unwrap_or(&[]));
        match id {
            // Microseconds.
            ids::DATE => self.date_ns = number(&text).map(|us| us.saturating_mul(1_000)),
            ids::OFFSET => self.offset_ns = number(&text).unwrap_or(0),
            ids::CPUSTAT => {
                let dropped = text.lines().filter_map(|line| line.strip_prefix("dropped events:"));
                let sum = dropped.filter_map(|count| count.trim().parse::<u64>().ok());
                self.dropped = sum.fold(self.dropped, u64::saturating_add);
            }
            ids::TRACECLOCK => self.clock_named(&text),
            // System, host, release, machine.
            ids::UNAME => {
                let words: Vec<&str> = text.split_whitespace().collect();
                let word = |index: usize| words.get(index).copied().unwrap_or("").to_owned();
                (self.host, self.kernel, self.arch) = (word(1), word(2), word(3));
            }
            ids::TSC2NSEC => {
                let word = |at: usize| {
                    let chunk = data.get(at..).and_then(|rest| rest.first_chunk());
                    chunk.map(|chunk| u32::from_le_bytes(*chunk))
                };
                self.scale = word(0).zip(word(4)).filter(|(multiplier, _)| *multiplier > 0);
            }
            _ => {}
        }
    }

    /// The clock by name, or the list that `trace_clock` has, whose chosen one is in brackets.
    pub(super) fn clock_named(&mut self, text: &str) {
        let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let name = chosen.map_or(text.trim(), |(name, _)| name);
        if !name.is_empty() && self.clock_name.is_empty() {
            self.clock_name = name.chars().filter(|c| !c.is_control()).take(64).collect();
        }
    }

    /// The clock of all times.
    pub(super) fn clock(&self) -> Result<Clock, ImportError> {
        Clock::new(&self.clock_name, self.scale, self.offset_ns, self.date_ns)
    }
}

/// A number as `strtoll` reads it: decimal, hexadecimal with 0x, with or without a sign.
fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative { value.saturating_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_understood() {
        let mut found = Options::default();
        found.learn(ids::UNAME, b"Linux machine 6.12.1 x86_64\0");
        found.learn(ids::TRACECLOCK, b"local global counter [mono] boot\n\0");
        found.learn(ids::CPUSTAT, b"CPU: 0\nentries: 9\ndropped events: 3\n\0");
        found.learn(ids::CPUSTAT, b"CPU: 1\ndropped events: 4\n\0");
        assert_eq!((found.host.as_str(), found.kernel.as_str()), ("machine", "6.12.1"));
        assert_eq!((found.arch.as_str(), found.clock_name.as_str()), ("x86_64", "mono"));
        assert_eq!(found.dropped, 7);
        assert_eq!(
            ["12", "-12", "0x1f", "+3", "", "x", "99999999999999999999"].map(number),
            [Some(12), Some(-12), Some(31), Some(3), None, None, None]
        );
    }
}
