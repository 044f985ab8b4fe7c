//! Recordings of other tools, read as a stream and told in this project's words.
//!
//! Each format has a reader of its own that hands what it finds to a [`Sink`]; nothing is held that grows with the
//! length of the input. What the source does not say and the reader has to assume is written into the
//! recording as a [note](damon_format::Note), and what the source has lost as [`Lost`](damon_format::Lost).

mod assemble;
mod beside;
#[cfg(test)]
mod collected;
pub mod damo_json;
pub mod damo_record;
mod draft;
mod encode;
mod error;
pub mod events;
mod guess;
mod input;
mod number;
pub mod perf_data;
mod reading;
mod sink;
mod sniff;
pub mod trace_cmd;
pub mod trace_text;
mod tracepoints;

pub use beside::{Beside, SUFFIXES, SideFiles};
pub use encode::{Counts, Encoder};
pub use error::{ImportError, Position};
pub use guess::are_intervals_guessed;
pub use input::Input;
pub use reading::{Counted, Place, Reading};
pub use sink::{ImportOptions, Sink, SourceTarget};
pub use sniff::{Kind, SNIFFED, sniff};

use damon_format::WriterOptions;
use std::io::Write;
use std::path::Path;

/// Reads an input of this kind, from its first byte on.
pub fn read(
    input: Input,
    kind: Kind,
    options: &ImportOptions,
    sink: &mut dyn Sink,
) -> Result<(), ImportError> {
    match kind {
        Kind::DamoJson => damo_json::read(input, false, options, sink),
        Kind::DamoJsonCompressed => damo_json::read(input, true, options, sink),
        Kind::DamoRecord => damo_record::read(input, options, sink),
        Kind::TraceText => trace_text::read(input, options, sink),
        Kind::PerfData => match input {
            Input::File(file) => perf_data::read(&file, options, sink),
            Input::Stream(stream) => perf_data::read_stream(stream, options, sink),
        },
        Kind::TraceCmdData => match input {
            Input::File(file) => trace_cmd::read(&file, options, sink),
            Input::Stream(stream) => trace_cmd::read_stream(stream),
        },
        Kind::Trace => Err(ImportError::Useless("this is a trace already".to_owned())),
        Kind::Unknown => Err(ImportError::Useless(
            "this is neither a trace nor a recording of a known tool".to_owned(),
        )),
    }
}

/// Writes an input as a trace, with what stands in the files that damo writes beside it.
pub fn convert<W: Write>(
    input: Input,
    kind: Kind,
    options: &ImportOptions,
    beside: SideFiles,
    (to, how): (W, WriterOptions),
) -> Result<(W, Counts), ImportError> {
    let mut encoder = Encoder::new(to, how);
    hand_over(input, kind, options, beside, &mut encoder)?;
    encoder.finish()
}

/// Hands an input to a sink, with what stands in the files that damo writes beside it.
pub fn hand_over(
    input: Input,
    kind: Kind,
    options: &ImportOptions,
    beside: SideFiles,
    sink: &mut dyn Sink,
) -> Result<(), ImportError> {
    let mut sink = Beside::new(beside, sink);
    read(input, kind, options, &mut sink)?;
    sink.finish()
}

/// The side files of `path`, where its kind has some.
pub fn side_files(path: &Path, kind: Kind) -> SideFiles {
    match kind {
        Kind::Trace | Kind::Unknown => SideFiles::default(),
        _ if path.as_os_str() == "-" => SideFiles::default(),
        _ => SideFiles::read(path),
    }
}

/// How a trace is written that is read at once and thrown away.
pub fn in_memory() -> WriterOptions {
    let mut options = WriterOptions::default();
    options.level = 1;
    // Nobody looks at it while it grows.
    options.flush_interval_ns = 60_000_000_000;
    options
}
