//! What one line tells.

use super::number::{decimal, seconds, whole};
use super::payload::{self, STEM};
use crate::import::events::{Event, Kind};
use memchr::memmem::Finder;
use memchr::{memchr, memmem, memrchr};

/// What `perf script --show-lost-events` writes.
const PERF: &[u8] = b"PERF_RECORD_LOST";

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found<'a> {
    /// An event.
    Event { time_ns: u64, kdamond: &'a [u8], event: Event },
    /// It has the name of one of DAMON's events, but does not read like one.
    Puzzle,
    /// The tracer has lost events.
    Lost { time_ns: Option<u64>, count: u64 },
    /// `# KEY : VALUE` before the events.
    Header { key: &'a [u8], value: &'a [u8] },
    /// Something else.
    Nothing,
}

/// How a text writes the times of its events; all of them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// Seconds with decimals.
    Seconds,
    /// Whole numbers, which are nanoseconds only with some clocks.
    Whole,
}

/// Reads lines; remembers how the last one was laid out.
#[derive(Debug)]
pub(super) struct Parser {
    stem: Finder<'static>,
    /// Where the event's name began.
    column: usize,
    times: Option<Times>,
}

impl Default for Parser {
    fn default() -> Self {
        Self { stem: Finder::new(STEM), column: 0, times: None }
    }
}

impl Parser {
    /// How the first event's time was written, once there was one.
    pub(super) fn times(&self) -> Option<Times> {
        self.times
    }

    #[inline]
    pub(super) fn parse<'a>(&mut self, line: &'a [u8]) -> Found<'a> {
        let Some((column, kind, length)) = self.name(line) else { return other(line) };
        self.column = column;
        let (Some(before), Some(behind)) = (line.get(..column), line.get(column + length..)) else {
            return Found::Nothing;
        };
        let Some((begin, time_ns)) = self.time(before) else { return Found::Puzzle };
        let kdamond = kdamond(before.get(..begin).unwrap_or(&[]));
        match payload::parse(kind, behind) {
            Some(event) => Found::Event { time_ns, kdamond, event },
            None => Found::Puzzle,
        }
    }

    /// The last word that is a time, where it begins, and its number: nanoseconds, or whatever a whole number means.
    #[inline]
    fn time(&mut self, before: &[u8]) -> Option<(usize, u64)> {
        match self.times {
            Some(Times::Seconds) => last(before, fraction),
            Some(Times::Whole) => last(before, whole),
            None => {
                let found = last(before, fraction).map(|found| (found, Times::Seconds));
                let found = found.or_else(|| Some((last(before, whole)?, Times::Whole)));
                self.times = found.map(|(_, times)| times);
                found.map(|(found, _)| found)
            }
        }
    }

    /// Where the name of an event begins, which it is, and its length.
    #[inline]
    fn name(&self, line: &[u8]) -> Option<(usize, Kind, usize)> {
        let named = |at: usize| payload::named(line.get(at..)?);
        // Very often it is where it was.
        if let Some((kind, length)) = named(self.column) {
            return Some((self.column, kind, length));
        }
        let mut from = 0;
        loop {
            let at = from + self.stem.find(line.get(from..)?)?;
            if let Some((kind, length)) = named(at) {
                return Some((at, kind, length));
            }
            from = at + STEM.len();
        }
    }
}

/// Seconds with decimals, which begin where their word does.
#[inline]
fn fraction(word: &[u8]) -> Option<(usize, u64)> {
    seconds(word).map(|time_ns| (0, time_ns))
}

/// The last word that with a colon after it is what `read` takes, where that begins, and its value. `read` tells where in
/// the word it begins.
#[inline]
fn last(mut before: &[u8], read: impl Fn(&[u8]) -> Option<(usize, u64)>) -> Option<(usize, u64)> {
    if let Some(plain) = before.strip_suffix(b"damon:") {
        before = plain;
    }
    loop {
        before = before.trim_ascii_end();
        let begin = memrchr(b' ', before).map_or(0, |space| space + 1);
        let word = before.get(begin..)?;
        if let Some((inside, time)) = word.strip_suffix(b":").and_then(&read) {
            return Some((begin + inside, time));
        }
        before = before.get(..begin)?;
        if before.is_empty() {
            return None;
        }
    }
}

/// Command and thread, as they stand there.
#[inline]
fn kdamond(before: &[u8]) -> &[u8] {
    let mut name = before;
    if let Some(bracket) = memrchr(b'[', before)
        && let Some((_, rest)) = before.get(bracket + 1..).and_then(decimal)
        && rest.starts_with(b"]")
    {
        name = before.get(..bracket).unwrap_or(before);
    }
    name.trim_ascii()
}

/// A line without an event of DAMON.
fn other(line: &[u8]) -> Found<'_> {
    if let Some(comment) = line.strip_prefix(b"#") {
        return comment_line(comment.trim_ascii());
    }
    // ftrace: "CPU:1 [LOST 5 EVENTS]"; trace-cmd: "CPU:1 [5 EVENTS DROPPED]".
    let lost = line.starts_with(b"CPU:")
        && memmem::find(line, b"EVENTS").is_some()
        && [&b"LOST"[..], b"DROPPED"].iter().any(|word| memmem::find(line, word).is_some());
    if lost {
        let behind = memchr(b'[', line).and_then(|at| line.get(at + 1..)).unwrap_or(&[]);
        let behind = behind.strip_prefix(b"LOST ").unwrap_or(behind);
        return Found::Lost { time_ns: None, count: decimal(behind).map_or(0, |(count, _)| count) };
    }
    // "… TIME: PERF_RECORD_LOST lost 5".
    if let Some(at) = memmem::find(line, PERF) {
        let behind = line.get(at..).unwrap_or(&[]);
        let count = memmem::find(behind, b"lost ").and_then(|at| decimal(behind.get(at + 5..)?));
        let time_ns = line.get(..at).and_then(|before| last(before, fraction)?.1.into());
        return Found::Lost { time_ns, count: count.map_or(0, |(count, _)| count) };
    }
    Found::Nothing
}

fn comment_line(comment: &[u8]) -> Found<'_> {
    // ftrace: "entries-in-buffer/entries-written: 3140/4000   #P:2"; the others have been overwritten.
    if let Some(numbers) = comment.strip_prefix(b"entries-in-buffer/entries-written:") {
        let numbers = decimal(numbers.trim_ascii_start()).and_then(|(here, rest)| {
            let (written, _) = decimal(rest.strip_prefix(b"/")?)?;
            Some(written.saturating_sub(here))
        });
        return match numbers {
            Some(count) if count > 0 => Found::Lost { time_ns: None, count },
            _ => Found::Nothing,
        };
    }
    let Some(colon) = memchr(b':', comment) else { return Found::Nothing };
    let (key, value) = comment.split_at(colon);
    let value = value.get(1..).unwrap_or(&[]);
    Found::Header { key: key.trim_ascii(), value: value.trim_ascii() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TELLS: &str = "target_id=0 nr_regions=2 4096-8192: 3 48";

    fn event(head: &str) -> Option<(u64, String)> {
        let line = format!("{head} {TELLS}");
        match Parser::default().parse(line.as_bytes()) {
            Found::Event { time_ns, kdamond, event: Event::Region { region, .. } } => {
                assert_eq!((region.start, region.nr_accesses, region.age), (4096, 3, 48));
                Some((time_ns, String::from_utf8_lossy(kdamond).into_owned()))
            }
            _ => None,
        }
    }

    #[test]
    fn columns_may_be_as_they_like() {
        let us = 12_942_312_252_000;
        for (head, kdamond) in [
            // perf script, with -F and --ns
            (
                "       kdamond.0    77 [000] 12942.312252: damon:damon_aggregated:",
                "kdamond.0    77",
            ),
            (
                "kdamond.0    77/77    [000] 12942.312252: damon:damon_aggregated:",
                "kdamond.0    77/77",
            ),
            ("my comm 5 [001] 12942.312252:          1 damon:damon_aggregated:", "my comm 5"),
            (
                "[x] damon_aggregated 5 [001] 12942.312252: damon:damon_aggregated:",
                "[x] damon_aggregated 5",
            ),
            ("kdamond.0 12942.312252: damon:damon_aggregated:", "kdamond.0"),
            ("12942.312252: damon:damon_aggregated:", ""),
            ("kdamond.0 77 [000] 12942.312252000: damon:damon_aggregated:", "kdamond.0 77"),
            // trace-cmd report, without and with flags
            ("       kdamond.0-77    [000] 12942.312252: damon_aggregated:    ", "kdamond.0-77"),
            ("       kdamond.0-77    [000] d..1. 12942.312252: damon_aggregated:", "kdamond.0-77"),
            // ftrace
            (
                "  kdamond.0-77   (     77) [000] ..... 12942.312252: damon_aggregated:",
                "kdamond.0-77   (     77)",
            ),
            // damo's exporter
            ("kdamond.x xxxx xxxx 12942.312252: damon:damon_aggregated:", "kdamond.x xxxx xxxx"),
        ] {
            assert_eq!(event(head), Some((us, kdamond.to_owned())), "{head}");
        }
        let line = [b"\xff\xfe\xc3 77 [000] 1.5: damon_aggregated: ", TELLS.as_bytes()].concat();
        assert!(matches!(Parser::default().parse(&line), Found::Event { .. }));
    }

    #[test]
    fn what_only_looks_like_an_event_is_a_puzzle_or_nothing() {
        let puzzle = |line: &str| Parser::default().parse(line.as_bytes()) == Found::Puzzle;
        assert!(puzzle(&format!("kdamond.0 77 damon_aggregated: {TELLS}")), "no time");
        let huge = "99999999999999999999";
        assert!(puzzle(&format!("kdamond.0 77 {huge}: damon_aggregated: {TELLS}")), "too large");
        assert!(puzzle("kdamond.0 77 12942.5: damon_aggregated: target_id=0 nr_regions=1"));
        let nothing = |line: &str| Parser::default().parse(line.as_bytes()) == Found::Nothing;
        assert!(nothing(""));
        assert!(nothing("CPU 1 is empty"));
        assert!(nothing("kdamond.0 77 [000] 12942.312252: sched:sched_switch: prev_comm=damo"));
        assert!(nothing("kdamond.0 77 [000] 12942.312252: damon:damon_aggregated"));
    }

    /// As trace-cmd report writes them: the number is 12 characters wide, and has no space before it.
    #[test]
    fn whole_numbers_may_stick_to_what_is_before_them() {
        let ns = 1_123_456_789_012;
        for (head, kdamond) in [
            ("       kdamond.0-77    [000] 1123456789012: damon_aggregated:    ", "kdamond.0-77"),
            ("       kdamond.0-77    [000]1123456789012: damon_aggregated:    ", "kdamond.0-77"),
            ("       kdamond.0-77    [000] .....1123456789012: damon_aggregated:", "kdamond.0-77"),
            ("       kdamond.0-77    [012] d..1.1123456789012: damon_aggregated:", "kdamond.0-77"),
            (
                "  kdamond.0-77 [000] d..1. 1123456789012: (+420)   damon_aggregated:",
                "kdamond.0-77",
            ),
            ("kdamond.-77      0.....1123456789012: damon_aggregated:", "kdamond.-77      0....."),
        ] {
            assert_eq!(event(head), Some((ns, kdamond.to_owned())), "{head}");
        }
        // Where flags end and the number begins is not to be seen.
        for head in ["kdamond.0-77 [000] d..111123456789012:", "kdamond.0-77 [000] x1123:"] {
            assert_eq!(event(&format!("{head} damon_aggregated:")), None, "{head}");
        }
    }

    #[test]
    fn all_times_of_a_text_are_written_alike() {
        let mut parser = Parser::default();
        let mut read = |time: &str| {
            let line = format!("k 1 [000] {time}: damon_aggregated: {TELLS}");
            match parser.parse(line.as_bytes()) {
                Found::Event { time_ns, .. } => Some(time_ns),
                _ => None,
            }
        };
        assert_eq!(
            (read("5.5"), read("6"), read("7.0")),
            (Some(5_500_000_000), None, Some(7_000_000_000))
        );
        assert_eq!(parser.times(), Some(Times::Seconds));
        let mut parser = Parser::default();
        let mut read = |time: &str| {
            let line = format!("k 1 [000] {time}: damon_aggregated: {TELLS}");
            matches!(parser.parse(line.as_bytes()), Found::Event { .. })
        };
        assert!(read("5") && !read("6.0") && read("7"));
        assert_eq!(parser.times(), Some(Times::Whole));
    }

    #[test]
    fn lost_events_are_found_in_all_dialects() {
        let lost = |line: &'static str| Parser::default().parse(line.as_bytes());
        let count = |count| Found::Lost { time_ns: None, count };
        assert_eq!(lost("CPU:1 [LOST 5 EVENTS]"), count(5));
        assert_eq!(lost("CPU:0 [LOST EVENTS]"), count(0));
        assert_eq!(lost("CPU:1 [17 EVENTS DROPPED]"), count(17));
        assert_eq!(lost("CPU:1 [EVENTS DROPPED]"), count(0));
        let perf = lost("kdamond.0 77 [001] 2.5: PERF_RECORD_LOST lost 9");
        assert_eq!(perf, Found::Lost { time_ns: Some(2_500_000_000), count: 9 });
        let overwritten = lost("# entries-in-buffer/entries-written: 3140/4000   #P:2");
        assert_eq!(overwritten, count(860));
        assert_eq!(lost("# entries-in-buffer/entries-written: 4000/4000   #P:2"), Found::Nothing);
        let header = lost("# os release : 6.18.44");
        assert_eq!(header, Found::Header { key: b"os release", value: b"6.18.44" });
    }
}
