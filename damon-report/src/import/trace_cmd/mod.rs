//! `trace.dat`: recordings of `trace-cmd record -e damon`, read without trace-cmd.
//!
//! Versions 6 and 7 are described in trace-cmd.dat.v6(5) and trace-cmd.dat.v7(5). What kinds of events there are, how their
//! bytes are laid out, and the pages of the kernel's ring buffer, is read from the recording itself. Each CPU has a
//! buffer of its own, compressed in chunks or not; they are read side by side and merged by time. Other events in them are
//! passed over.
//!
//! Memory is bounded: 150 MiB while the descriptions are read (a section, what is made of it, and the options that name
//! it), and after that 128 MiB of the buffers of all CPUs together, or 320 MiB where very many CPUs have compressed ones,
//! and one compressed chunk.

mod clock;
mod contents;
mod inflate;
mod merge;
mod options;
mod pages;
mod ring;
mod version6;
mod version7;

use super::events::{Source, Telling};
use super::tracepoints::{Bytes, Preamble, Span};
use super::{ImportError, ImportOptions, Position, Sink};
use contents::Contents;
use damon_format::ReadAt;
use merge::Merge;
use ring::PageLayout;
use std::io::{BufReader, Read};

const LOST: &str =
    "the kernel's ring buffer lost events, because trace-cmd did not read it fast enough";

/// Reads a recording.
///
/// # Errors
/// [`ImportError::Useless`] if no event of DAMON is in it, if its times are not of a clock, or if it was made on a big-endian
/// machine, [`ImportError::Unexpected`] with the byte where it is damaged, [`ImportError::Read`], and whatever the sink
/// returns.
pub fn read(
    input: &(impl ReadAt + ?Sized),
    options: &ImportOptions,
    sink: &mut dyn Sink,
) -> Result<(), ImportError> {
    let size = input.size()?;
    let mut from = Bytes::new(BufReader::new(Span::new(input, 0, size)), 0, size);
    let preamble = Preamble::read(&mut from)?;
    let contents = match preamble.version.as_slice() {
        b"6" => version6::contents(&mut from, input, size, preamble.page_size)?,
        b"7" => version7::contents(&mut from, input, size, preamble.page_size)?,
        other => {
            let version = String::from_utf8_lossy(other).escape_default().to_string();
            return Err(ImportError::Useless(format!(
                "it is a trace.dat of version {version}, and 6 and 7 can be read; use the text of trace-cmd report"
            )));
        }
    };
    tell(input, size, contents, options, sink)
}

/// Refuses what comes through a pipe: the buffers of the CPUs follow one another and have to be read side by side.
///
/// # Errors
/// [`ImportError::Useless`] always.
pub fn read_stream(_input: impl Read) -> Result<(), ImportError> {
    Err(ImportError::Useless(
        "the buffers of the CPUs in a trace.dat have to be read side by side, so it cannot be read from a pipe: name the file".into(),
    ))
}

fn tell(
    input: &(impl ReadAt + ?Sized),
    size: u64,
    contents: Contents,
    options: &ImportOptions,
    sink: &mut dyn Sink,
) -> Result<(), ImportError> {
    let Contents { tracing, options: said, mut names, buffers } = contents;
    if tracing.layouts.is_empty() {
        return Err(ImportError::Useless(
            "it has no events of DAMON; record with trace-cmd record -e damon:damon_aggregated"
                .into(),
        ));
    }
    let layout = PageLayout::parse(&tracing.header_page).ok_or_else(|| {
        ImportError::Useless(
            "how its kernel's ring buffer is laid out is not described in it".into(),
        )
    })?;
    let clock = said.clock()?;
    let mut telling = Telling::new(options, sink);
    *telling.source() = Source {
        host: said.host.clone(),
        kernel: said.kernel.clone(),
        arch: said.arch.clone(),
        page_size: tracing.page_size,
        command_line: Vec::new(),
        clock: clock.anchor(),
        clock_note: clock.note(),
        is_doubtful: false,
        format: "trace-cmd's trace.dat",
    };
    let mut merge = Merge::new(input, size, &buffers, layout, &tracing.layouts, clock)?;
    while let Some(item) = merge.next()? {
        item.tell(&mut telling, &mut names, LOST)?;
    }
    if said.dropped > 0 {
        telling.lost(None, said.dropped, "the kernel had no room for events in its ring buffer")?;
    }
    telling.finish(Position::Byte(size))
}

#[cfg(test)]
mod tests;
