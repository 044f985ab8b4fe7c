//! What can be wrong with a workload file, said so that it can be put right.

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
    #[error("`{0}` is no duration; write a number with us, ms, s, m or h, such as 20ms")]
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
    RangeOutside { range: String, area: String, size: u64 },
    #[error("a second area called `{0}`; names must differ")]
    DuplicateArea(String),
    #[error("an area after the first phase; move all areas above it")]
    AreaAfterPhase,
    #[error("no area called `{0}` above")]
    UnknownArea(String),
    #[error("an access outside a phase; put a line such as `phase busy 1s` above it")]
    AccessOutsidePhase,
    #[error("`{word}` is not understood here; possible: {possible}")]
    UnknownWord { word: String, possible: &'static str },
    #[error("`{0}` says again, or otherwise, what was said earlier in this line")]
    Contradiction(String),
    #[error("the areas are larger than 16 TiB together")]
    TooLarge,
}
