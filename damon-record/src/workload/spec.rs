//! The workload file: areas, then phases with their accesses. The grammar is in
//! `docs/WORKLOADS.md`.

use std::fmt;

use super::number;
use super::pattern::Pattern;
use super::problem::{Problem, SpecError};

/// Offsets and sizes are multiples of this many bytes, the smallest page of any Linux.
pub const GRANULE: u64 = 4096;
/// A stride is a multiple of this many bytes.
pub const MIN_STRIDE: u64 = 64;
/// Longest accepted file.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// The pace of an access that names none: below the default sampling interval of 5 ms, so that
/// every page of it looks accessed in every sample.
pub const DEFAULT_PERIOD_NS: u64 = 4_000_000;

const MAX_TOTAL_BYTES: u64 = 1 << 44;
const MAX_NAME_BYTES: usize = 40;
const DEFAULT_GAP: u64 = 2 << 20;
const HUGE_PAGE: u64 = 2 << 20;
const PERIODS_NS: std::ops::RangeInclusive<u64> = 100_000..=3_600_000_000_000;
const MAX_PHASE_NS: u64 = 30 * 24 * 3_600_000_000_000;

/// A whole workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The first comment line, or nothing.
    pub title: String,
    /// Bytes of inaccessible address space between areas, at least.
    pub gap: u64,
    /// In the order of their addresses.
    pub areas: Vec<AreaSpec>,
    /// In the order of time; at least one.
    pub phases: Vec<PhaseSpec>,
}

/// A named piece of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AreaSpec {
    /// Unique in the file.
    pub name: String,
    /// Bytes, a positive multiple of [`GRANULE`].
    pub size: u64,
    /// Its address is a multiple of this power of two.
    pub align: u64,
    /// What stands behind it.
    pub kind: Kind,
    /// Whether transparent huge pages are asked for; otherwise they are refused.
    pub huge: bool,
    /// Not populated before the first phase.
    pub lazy: bool,
}

/// What stands behind an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Private anonymous memory.
    Anon,
    /// A shared mapping of a memfd.
    Shared,
    /// A shared mapping of a temporary file.
    File,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anon => "anon",
            Self::Shared => "shared",
            Self::File => "file",
        })
    }
}

/// A stretch of time with unchanging accesses; with none it is idle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseSpec {
    /// For people; need not be unique.
    pub name: String,
    /// Nanoseconds, more than 0.
    pub duration_ns: u64,
    /// All at the same time.
    pub accesses: Vec<AccessSpec>,
}

/// One stream of touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessSpec {
    /// Index into [`Spec::areas`].
    pub area: usize,
    /// First byte in the area, a multiple of [`GRANULE`].
    pub start: u64,
    /// One past the last byte, a multiple of [`GRANULE`] greater than `start`.
    pub end: u64,
    /// Write, otherwise read.
    pub write: bool,
    /// Order of a sweep.
    pub pattern: Pattern,
    /// Bytes from one touched position to the next; `None`: the page size.
    pub stride: Option<u64>,
    /// How fast.
    pub pace: Pace,
}

/// How fast an access goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One sweep in each period of so many nanoseconds.
    Every(u64),
    /// Touches per second, evenly spread.
    Rate(u64),
    /// As fast as it goes, in proportion to the weight among the accesses of this pace.
    Max(u64),
}

impl Spec {
    /// Reads a workload file.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let at = |line, problem| SpecError { line, problem };
        if text.len() > MAX_TEXT_BYTES {
            return Err(at(1, Problem::TooLong));
        }
        let mut spec =
            Self { title: String::new(), gap: DEFAULT_GAP, areas: Vec::new(), phases: Vec::new() };
        let mut last = 1;
        for (index, line) in text.lines().enumerate() {
            last = index + 1;
            let (content, comment) = line.split_once('#').unwrap_or((line, ""));
            if spec.title.is_empty() {
                comment.trim().clone_into(&mut spec.title);
            }
            let mut words = Words::new(content);
            if let Some(first) = words.next() {
                spec.line(first, words).map_err(|p| at(last, p))?;
            }
        }
        if spec.phases.is_empty() {
            return Err(at(last, Problem::NoPhase));
        }
        Ok(spec)
    }

    fn line(&mut self, first: &str, mut words: Words<'_>) -> Result<(), Problem> {
        match first {
            "area" => self.area(words),
            "gap" => {
                let word = words.need("a size")?;
                self.gap = aligned_size(word).ok_or_else(|| Problem::BadSize(word.into()))?;
                words.end("nothing more")
            }
            "phase" => {
                let name = words.need_name()?;
                let word = words.need("a duration")?;
                let duration_ns = number::duration_ns(word)
                    .filter(|ns| (1..=MAX_PHASE_NS).contains(ns))
                    .ok_or_else(|| Problem::BadDuration(word.into()))?;
                self.phases.push(PhaseSpec { name, duration_ns, accesses: Vec::new() });
                words.end("nothing more")
            }
            "read" | "write" => {
                let access = self.access(first == "write", words)?;
                let phase = self.phases.last_mut().ok_or(Problem::AccessOutsidePhase)?;
                phase.accesses.push(access);
                Ok(())
            }
            _ => Err(Problem::UnknownLine(first.into())),
        }
    }

    fn area(&mut self, mut words: Words<'_>) -> Result<(), Problem> {
        if !self.phases.is_empty() {
            return Err(Problem::AreaAfterPhase);
        }
        let name = words.need_name()?;
        if self.areas.iter().any(|area| area.name == name) {
            return Err(Problem::DuplicateArea(name));
        }
        let word = words.need("a size")?;
        let size = aligned_size(word)
            .filter(|&size| size > 0)
            .ok_or_else(|| Problem::BadSize(word.into()))?;
        let (mut kind, mut huge, mut align) = (None, None, None);
        let mut lazy = None;
        while let Some(word) = words.next() {
            match word {
                "anon" => once(&mut kind, Kind::Anon, word)?,
                "shared" => once(&mut kind, Kind::Shared, word)?,
                "file" => once(&mut kind, Kind::File, word)?,
                "thp" => once(&mut huge, true, word)?,
                "nothp" => once(&mut huge, false, word)?,
                "lazy" => once(&mut lazy, (), word)?,
                "align" => {
                    let value = words.need("a size")?;
                    let bytes = number::size(value)
                        .filter(|&size| {
                            size.is_power_of_two() && (GRANULE..=1 << 40).contains(&size)
                        })
                        .ok_or_else(|| Problem::BadAlign(value.into()))?;
                    once(&mut align, bytes, word)?;
                }
                _ => {
                    return Err(Problem::UnknownWord {
                        word: word.into(),
                        possible: "anon, shared, file, thp, nothp, lazy, align SIZE",
                    });
                }
            }
        }
        let huge = huge.unwrap_or(false);
        let natural = if size >= HUGE_PAGE || huge { HUGE_PAGE } else { GRANULE };
        self.areas.push(AreaSpec {
            name,
            size,
            align: align.unwrap_or(natural),
            kind: kind.unwrap_or(Kind::Anon),
            huge,
            lazy: lazy.is_some(),
        });
        let bytes = |area: &AreaSpec| u128::from(area.size) + u128::from(area.align);
        if self.areas.iter().map(bytes).sum::<u128>() > u128::from(MAX_TOTAL_BYTES) {
            return Err(Problem::TooLarge);
        }
        Ok(())
    }

    fn access(&self, write: bool, mut words: Words<'_>) -> Result<AccessSpec, Problem> {
        let name = words.need("an area")?;
        let (area, target) = self
            .areas
            .iter()
            .enumerate()
            .find(|(_, area)| area.name == name)
            .ok_or_else(|| Problem::UnknownArea(name.into()))?;
        let (mut range, mut pattern, mut pace) = (None, None, None);
        let (mut stride, mut weight) = (None, None);
        while let Some(word) = words.next() {
            match word {
                "sequential" => once(&mut pattern, Pattern::Sequential, word)?,
                "random" => once(&mut pattern, Pattern::Random, word)?,
                "stride" => {
                    let value = words.need("a size")?;
                    let bytes = number::size(value)
                        .filter(|&bytes| bytes > 0 && bytes.is_multiple_of(MIN_STRIDE))
                        .ok_or_else(|| Problem::BadStride(value.into()))?;
                    once(&mut stride, bytes, word)?;
                }
                "every" => {
                    let value = words.need("a duration")?;
                    let period = number::duration_ns(value)
                        .ok_or_else(|| Problem::BadDuration(value.into()))?;
                    if !PERIODS_NS.contains(&period) {
                        return Err(Problem::BadPeriod(value.into()));
                    }
                    once(&mut pace, Pace::Every(period), word)?;
                }
                "rate" => {
                    let value = words.need("touches per second")?;
                    let rate = number::rate(value)
                        .filter(|rate| (1..=1_000_000_000).contains(rate))
                        .ok_or_else(|| Problem::BadRate(value.into()))?;
                    once(&mut pace, Pace::Rate(rate), word)?;
                }
                "max" => once(&mut pace, Pace::Max(1), word)?,
                "weight" => {
                    let value = words.need("a number")?;
                    let number = value
                        .parse()
                        .ok()
                        .filter(|weight| (1..=1000).contains(weight))
                        .ok_or_else(|| Problem::BadWeight(value.into()))?;
                    once(&mut weight, number, word)?;
                }
                _ if word.contains("..") => {
                    once(&mut range, parse_range(word, target)?, word)?;
                }
                _ => {
                    return Err(Problem::UnknownWord {
                        word: word.into(),
                        possible: "START..END, sequential, random, stride SIZE, every DURATION, \
                                   rate N/s, max, weight N (after max)",
                    });
                }
            }
        }
        let pace = match (pace.unwrap_or(Pace::Every(DEFAULT_PERIOD_NS)), weight) {
            (Pace::Max(_), Some(weight)) => Pace::Max(weight),
            (_, Some(_)) => {
                return Err(Problem::UnknownWord {
                    word: "weight".into(),
                    possible: "weight only together with max",
                });
            }
            (pace, None) => pace,
        };
        let (start, end) = range.unwrap_or((0, target.size));
        Ok(AccessSpec {
            area,
            start,
            end,
            write,
            pattern: pattern.unwrap_or(Pattern::Sequential),
            stride,
            pace,
        })
    }
}

/// `START..END` in bytes or per cent of the area, either side may be left out; per cent are rounded
/// down to [`GRANULE`], so that ranges that share a per cent figure meet without overlap.
fn parse_range(word: &str, area: &AreaSpec) -> Result<(u64, u64), Problem> {
    let bad = || Problem::BadRange(word.into());
    let bound = |text: &str, default: u64| {
        if text.is_empty() {
            return Ok(default);
        }
        if let Some(ppm) = number::percent_ppm(text) {
            let bytes = u128::from(area.size) * u128::from(ppm) / 1_000_000;
            let bytes = u64::try_from(bytes).unwrap_or(area.size);
            return Ok(bytes / GRANULE * GRANULE);
        }
        match text {
            "0" => Ok(0),
            _ => aligned_size(text).ok_or_else(bad),
        }
    };
    let (from, to) = word.split_once("..").ok_or_else(bad)?;
    let (start, end) = (bound(from, 0)?, bound(to, area.size)?);
    if start >= end || end > area.size {
        return Err(Problem::RangeOutside {
            range: word.into(),
            area: area.name.clone(),
            size: area.size,
        });
    }
    Ok((start, end))
}

fn aligned_size(text: &str) -> Option<u64> {
    number::size(text).filter(|size| size.is_multiple_of(GRANULE) && *size <= MAX_TOTAL_BYTES)
}

fn once<T>(slot: &mut Option<T>, value: T, word: &str) -> Result<(), Problem> {
    if slot.replace(value).is_some() {
        return Err(Problem::Contradiction(word.into()));
    }
    Ok(())
}

struct Words<'a> {
    rest: std::str::SplitWhitespace<'a>,
    previous: &'a str,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.split_whitespace(), previous: "" }
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.rest.next()?;
        self.previous = word;
        Some(word)
    }

    fn need(&mut self, what: &'static str) -> Result<&'a str, Problem> {
        let after = self.previous;
        self.next().ok_or_else(|| Problem::Missing { what, after: after.into() })
    }

    fn need_name(&mut self) -> Result<String, Problem> {
        let word = self.need("a name")?;
        let good = word.len() <= MAX_NAME_BYTES
            && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
        if good { Ok(word.into()) } else { Err(Problem::BadName(word.into())) }
    }

    fn end(&mut self, possible: &'static str) -> Result<(), Problem> {
        match self.next() {
            None => Ok(()),
            Some(word) => Err(Problem::UnknownWord { word: word.into(), possible }),
        }
    }
}

#[cfg(test)]
mod tests;
