//! The workload file: areas, then phases with their accesses. The grammar is in
//! `docs/WORKLOADS.md`.

use std::fmt;

use super::number;
use super::pattern::Pattern;

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

/// What is wrong with a workload file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct SpecError {
    /// Counted from 1.
    pub line: usize,
    /// What, and what would be right.
    pub problem: Problem,
}

/// The ways in which a line can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum Problem {
    #[error("the file is longer than 1 MiB, which no workload needs")]
    TooLong,
    #[error("no phase in the file; add a line such as `phase busy 1s`")]
    NoPhase,
    #[error("`{0}` starts no line; a line starts with area, gap, phase, read, write or #")]
    UnknownLine(String),
    #[error("{what} is missing after `{after}`")]
    Missing { what: &'static str, after: String },
    #[error(
        "`{0}` is no name; use 1 to 40 of the letters a-z and A-Z, digits, dash, dot and underscore"
    )]
    BadName(String),
    #[error("`{0}` is no size; write a multiple of 4K with K, M or G, such as 16M")]
    BadSize(String),
    #[error("`{0}` is no alignment; write a power of two of at least 4K, such as 2M")]
    BadAlign(String),
    #[error("`{0}` is no duration; write a number with us, ms, s, min or h, such as 20ms")]
    BadDuration(String),
    #[error("a period of `{0}` cannot be kept; write one from 100us to 1h")]
    BadPeriod(String),
    #[error("`{0}` is no rate; write touches per second, such as 500/s, 250K/s or 1M/s")]
    BadRate(String),
    #[error("`{0}` is no weight; write a whole number from 1 to 1000")]
    BadWeight(String),
    #[error("`{0}` is no stride; write a multiple of 64 bytes, such as 64K or 256B")]
    BadStride(String),
    #[error("`{0}` is no range; write multiples of 4K such as 1M..4M, or 25%..50%")]
    BadRange(String),
    #[error("the range {range} is empty or ends beyond the {size} bytes of area `{area}`")]
    RangeOutside {
        range: String,
        area: String,
        size: u64,
    },
    #[error("a second area called `{0}`; names must differ")]
    DuplicateArea(String),
    #[error("an area after the first phase; move all areas above it")]
    AreaAfterPhase,
    #[error("no area called `{0}` above")]
    UnknownArea(String),
    #[error("an access outside a phase; put a line such as `phase busy 1s` above it")]
    AccessOutsidePhase,
    #[error("`{word}` is not understood here; possible: {possible}")]
    UnknownWord {
        word: String,
        possible: &'static str,
    },
    #[error("`{0}` says again, or otherwise, what was said earlier in this line")]
    Contradiction(String),
    #[error("the areas are larger than 16 TiB together")]
    TooLarge,
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
        let mut spec = Self {
            title: String::new(),
            gap: DEFAULT_GAP,
            areas: Vec::new(),
            phases: Vec::new(),
        };
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
                self.phases.push(PhaseSpec {
                    name,
                    duration_ns,
                    accesses: Vec::new(),
                });
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
        let natural = if size >= HUGE_PAGE || huge {
            HUGE_PAGE
        } else {
            GRANULE
        };
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
            let bytes = u64::try_from(bytes).map_err(|_| bad())?;
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
        Self {
            rest: text.split_whitespace(),
            previous: "",
        }
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.rest.next()?;
        self.previous = word;
        Some(word)
    }

    fn need(&mut self, what: &'static str) -> Result<&'a str, Problem> {
        let after = self.previous;
        self.next().ok_or_else(|| Problem::Missing {
            what,
            after: after.into(),
        })
    }

    fn need_name(&mut self) -> Result<String, Problem> {
        let word = self.need("a name")?;
        let good = word.len() <= MAX_NAME_BYTES
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
        if good {
            Ok(word.into())
        } else {
            Err(Problem::BadName(word.into()))
        }
    }

    fn end(&mut self, possible: &'static str) -> Result<(), Problem> {
        match self.next() {
            None => Ok(()),
            Some(word) => Err(Problem::UnknownWord {
                word: word.into(),
                possible,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_file_with_everything() {
        let spec = Spec::parse(
            "# All at once\n\
             gap 64K\n\
             \n\
             area heap 16M            # anonymous\n\
             area big 4M thp lazy\n\
             area table 1M shared align 1M nothp\n\
             area log 8K file\n\
             phase busy 1.5s\n\
             write heap\n\
             \tread table 25%..50% random every 20ms\n\
             read heap 1M..2M stride 64K rate 10K/s\n\
             write log max weight 3 sequential\n\
             phase idle 20ms\n",
        )
        .unwrap();
        assert_eq!(spec.title, "All at once");
        assert_eq!(spec.gap, 65536);
        let kinds: Vec<_> = spec.areas.iter().map(|a| (a.kind, a.align)).collect();
        assert_eq!(
            kinds,
            [
                (Kind::Anon, 2 * MIB),
                (Kind::Anon, 2 * MIB),
                (Kind::Shared, MIB),
                (Kind::File, 4096)
            ]
        );
        assert!(spec.areas[1].huge && spec.areas[1].lazy && !spec.areas[0].huge);
        assert_eq!(spec.phases[1].accesses, []);
        assert_eq!(spec.phases[1].duration_ns, 20_000_000);
        let [first, second, third, fourth] = spec.phases[0].accesses.as_slice() else {
            panic!("{:?}", spec.phases[0]);
        };
        assert_eq!(
            (first.start, first.end, first.write, first.pace),
            (0, 16 * MIB, true, Pace::Every(DEFAULT_PERIOD_NS))
        );
        assert_eq!(
            (second.area, second.start, second.end, second.pattern),
            (2, MIB / 4, MIB / 2, Pattern::Random)
        );
        assert!(!second.write);
        assert_eq!(third.stride, Some(65536));
        assert_eq!(third.pace, Pace::Rate(10_000));
        assert_eq!(fourth.pace, Pace::Max(3));
    }

    #[test]
    fn open_ranges_and_rounded_per_cents() {
        let spec = Spec::parse(
            "area a 100K\nphase p 1s\nread a ..33%\nread a 33%..\nread a 0..4K\nread a 8K..",
        )
        .unwrap();
        let ranges: Vec<_> = spec.phases[0]
            .accesses
            .iter()
            .map(|access| (access.start, access.end))
            .collect();
        assert_eq!(
            ranges,
            [(0, 32768), (32768, 102_400), (0, 4096), (8192, 102_400)]
        );
    }

    #[test]
    fn every_mistake_is_named_with_its_line() {
        for (text, line, words) in [
            ("", 1, "no phase"),
            ("area a 4K\n# only\n", 2, "no phase"),
            ("phase p 1s\nfoo", 2, "`foo` starts no line"),
            ("area", 1, "a name is missing after `area`"),
            ("area a", 1, "a size is missing after `a`"),
            ("area a/b 4K", 1, "`a/b` is no name"),
            ("area a 5000", 1, "`5000` is no size"),
            ("area a 0K", 1, "`0K` is no size"),
            ("area a 6000K\narea b 5K", 2, "`5K` is no size"),
            ("area a 4K\narea a 4K", 2, "second area called `a`"),
            ("area a 4K anon shared", 1, "`shared` says again"),
            ("area a 4K thp nothp", 1, "`nothp` says again"),
            ("area a 4K huge", 1, "`huge` is not understood"),
            ("area a 4K align 3K", 1, "`3K` is no alignment"),
            ("area a 4K align", 1, "a size is missing after `align`"),
            ("area a 16000G\narea b 1000G", 2, "larger than 16 TiB"),
            ("gap 3K", 1, "`3K` is no size"),
            ("gap 4K 4K", 1, "`4K` is not understood"),
            ("phase p", 1, "a duration is missing"),
            ("phase p 0s", 1, "`0s` is no duration"),
            ("phase p 5", 1, "`5` is no duration"),
            ("phase p 1s\narea a 4K", 2, "move all areas above"),
            ("area a 4K\nread a", 2, "outside a phase"),
            ("phase p 1s\nread b", 2, "no area called `b`"),
            ("area a 4K\nphase p 1s\nread a 4K..8K", 3, "ends beyond the 4096"),
            ("area a 4K\nphase p 1s\nread a 1%..2%", 3, "is empty"),
            ("area a 4K\nphase p 1s\nread a x..y", 3, "`x..y` is no range"),
            ("area a 4K\nphase p 1s\nread a 0..150%", 3, "is no range"),
            ("area a 4K\nphase p 1s\nread a every 1us", 3, "from 100us to 1h"),
            ("area a 4K\nphase p 1s\nread a every fast", 3, "`fast` is no duration"),
            ("area a 4K\nphase p 1s\nread a rate 0", 3, "`0` is no rate"),
            ("area a 4K\nphase p 1s\nread a max rate 5", 3, "`rate` says again"),
            ("area a 4K\nphase p 1s\nread a weight 2", 3, "only together with max"),
            ("area a 4K\nphase p 1s\nread a max weight 0", 3, "`0` is no weight"),
            ("area a 4K\nphase p 1s\nread a stride 100", 3, "`100` is no stride"),
            ("area a 4K\nphase p 1s\nread a backwards", 3, "`backwards` is not"),
        ] {
            let error = Spec::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
            let message = error.to_string();
            assert!(message.contains(words), "{text:?}: {message}");
        }
        let long = "#".repeat(MAX_TEXT_BYTES + 1);
        assert_eq!(Spec::parse(&long).unwrap_err().problem, Problem::TooLong);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(words in proptest::collection::vec(
            proptest::sample::select(vec![
                "area ", "gap ", "phase ", "read ", "write ", "a ", "4K ", "100G ", "1s ", "\n",
                "0.. ", "..4K ", "10%..20% ", "every ", "4ms ", "rate ", "max ", "weight ", "9 ",
                "stride ", "align ", "..", "% ", "é ", "# ", "99999999999G ", "random ",
            ]), 0..60)) {
            let _either = Spec::parse(&words.concat());
        }
    }
}
