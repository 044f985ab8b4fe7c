//! DAMON's trace events, from whatever text or bytes they came in, put together as a recording.

mod assemble;
mod event;
mod guess;
mod tell;
mod telling;

pub use event::{Event, Hits, Kind};
pub use tell::Source;
pub use telling::Telling;
