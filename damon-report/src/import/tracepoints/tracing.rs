//! The descriptions of tracepoints in trace-cmd's files, whose format perf uses for those in its recordings, too
//! (trace-cmd.dat(5), `tools/perf/util/trace-event-info.c`).

use super::bytes::Bytes;
use super::format::Format;
use super::layout::Layout;
use super::unexpected;
use crate::import::ImportError;
use crate::import::events::Kind;
use std::io::Read;

/// Longest description of an event that is read.
const LONGEST: u64 = 1 << 20;
const MAGIC: &[u8] = b"\x17\x08\x44tracing";

/// What the recording's kernel tells of its events.
#[derive(Debug, Default)]
pub(in crate::import) struct Tracing {
    /// Page size in bytes.
    pub(in crate::import) page_size: u32,
    /// The kernel's text about pages of its ring buffer.
    pub(in crate::import) header_page: Vec<u8>,
    /// DAMON's events.
    pub(in crate::import) layouts: Vec<Layout>,
}

/// What such descriptions begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::import) struct Preamble {
    /// Version of the form, as text.
    pub(in crate::import) version: Vec<u8>,
    /// Page size in bytes.
    pub(in crate::import) page_size: u32,
}

impl Preamble {
    pub(in crate::import) fn read<R: Read>(from: &mut Bytes<R>) -> Result<Self, ImportError> {
        let mut magic = [0; 10];
        let begin = from.offset();
        from.fill(&mut magic, "descriptions of tracepoints")?;
        if magic != MAGIC {
            return Err(unexpected(begin, "descriptions of tracepoints", "something else"));
        }
        let version = from.name("version of the descriptions")?;
        if from.byte("byte order")? != 0 {
            return Err(big_endian());
        }
        let _long_size = from.byte("size of a long")?;
        Ok(Self { version, page_size: from.u32("page size")? })
    }
}

impl Tracing {
    /// All descriptions, as perf and version 6 of trace-cmd write them.
    pub(in crate::import) fn read<R: Read>(from: &mut Bytes<R>) -> Result<Self, ImportError> {
        let page_size = Preamble::read(from)?.page_size;
        let mut found = Self { page_size, ..Self::default() };
        found.pages(from)?;
        found.events(from)?;
        Ok(found)
    }

    /// How pages of the ring buffer and the heads of events in them are laid out.
    pub(in crate::import) fn pages<R: Read>(
        &mut self,
        from: &mut Bytes<R>,
    ) -> Result<(), ImportError> {
        for (name, what) in
            [(&b"header_page"[..], "header_page"), (b"header_event", "header_event")]
        {
            let at = from.offset();
            if from.name(what)? != name {
                return Err(unexpected(at, what, "another name"));
            }
            let length = from.u64(what)?;
            if name == b"header_page" {
                self.header_page = from.vec(length, LONGEST, what)?;
            } else {
                from.skip(length, what)?;
            }
        }
        Ok(())
    }

    /// ftrace's events, which nobody here needs, and then those of all other systems.
    pub(in crate::import) fn events<R: Read>(
        &mut self,
        from: &mut Bytes<R>,
    ) -> Result<(), ImportError> {
        for _ in 0..from.u32("number of ftrace's events")? {
            let length = from.u64("ftrace's event")?;
            from.skip(length, "ftrace's event")?;
        }
        self.systems(from)
    }

    /// The events of all systems but ftrace.
    pub(in crate::import) fn systems<R: Read>(
        &mut self,
        from: &mut Bytes<R>,
    ) -> Result<(), ImportError> {
        for _ in 0..from.u32("number of event systems")? {
            let system = from.name("name of an event system")?;
            for _ in 0..from.u32("number of events")? {
                let length = from.u64("description of an event")?;
                if system == b"damon" {
                    let at = from.offset();
                    let text = from.vec(length, LONGEST, "description of an event")?;
                    self.learn(&text, at)?;
                } else {
                    from.skip(length, "description of an event")?;
                }
            }
        }
        Ok(())
    }

    fn learn(&mut self, text: &[u8], at: u64) -> Result<(), ImportError> {
        let format = Format::parse(text)
            .ok_or_else(|| unexpected(at, "description of an event", "no name or no number"))?;
        let Some(kind) = Kind::named(format.name.as_bytes()) else { return Ok(()) };
        match Layout::new(kind, &format) {
            Some(layout) if self.layouts.len() < Kind::NAMES.len() => self.layouts.push(layout),
            Some(_) => return Err(unexpected(at, "one description of each event", "more")),
            None => {
                let what = format!("the fields of {}", format.name);
                return Err(unexpected(at, &what, "not all of them"));
            }
        }
        Ok(())
    }
}

/// The one kind of machine whose recordings are refused.
pub(in crate::import) fn big_endian() -> ImportError {
    ImportError::Useless(
        "it was recorded on a big-endian machine, which this program does not read; use the text of perf script or trace-cmd report".into(),
    )
}
