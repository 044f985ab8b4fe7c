//! Recordings of other tools, read as a stream and told in this project's words.
//!
//! Each format has a reader of its own that hands what it finds to a [`Sink`]; nothing is held that grows with the
//! length of the input. What the source does not say and the reader has to assume is written into the
//! recording as a [note](damon_format::Note), and what the source has lost as [`Lost`](damon_format::Lost).

#[cfg(test)]
mod collected;
mod error;
pub mod events;
pub mod perf_data;
mod sink;
pub mod trace_text;

pub use error::{ImportError, Position};
pub use sink::{ImportOptions, Sink};
