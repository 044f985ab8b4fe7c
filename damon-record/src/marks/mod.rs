//! Marks: moments that the user names while something is recorded.
//!
//! They come through a FIFO, line by line, from whoever may write to it: the recorded program, a script around it,
//! a shell. `text` makes any bytes harmless; `fifo` makes, locks and removes the FIFO; `guard` does so when the recorder
//! cannot, so that nobody who sets marks is ever blocked or killed by the recorder's end; `sweep` removes what both of them
//! left when they were killed together; `set` is the other end.

mod fifo;
mod guard;
mod set;
mod sweep;
mod text;

pub use fifo::Fifo;
pub use guard::serve_if_asked;
pub use set::{Unset, set};
pub use text::{Lines, MOST_BYTES, printable};

/// The environment variable that tells a recorded command where to write its marks.
pub const VARIABLE: &str = "DAMON_RECORD_MARKS";
