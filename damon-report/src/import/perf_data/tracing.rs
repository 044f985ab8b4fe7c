//! The descriptions of tracepoints that perf puts into its recordings, in the format of trace-cmd's files
//! (`tools/perf/util/trace-event-info.c`, trace-cmd.dat(5)).

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
pub(super) struct Tracing {
    /// Page size in bytes.
    pub(super) page_size: u32,
    /// DAMON's events.
    pub(super) layouts: Vec<Layout>,
}

impl Tracing {
    pub(super) fn read<R: Read>(from: &mut Bytes<R>) -> Result<Self, ImportError> {
        let mut magic = [0; 10];
        let begin = from.offset();
        from.fill(&mut magic, "descriptions of tracepoints")?;
        if magic != MAGIC {
            return Err(unexpected(begin, "descriptions of tracepoints", "something else"));
        }
        let _version = from.name("version of the descriptions")?;
        if from.byte("byte order")? != 0 {
            return Err(big_endian());
        }
        let _long_size = from.byte("size of a long")?;
        let page_size = from.u32("page size")?;
        for (name, what) in
            [(&b"header_page"[..], "header_page"), (b"header_event", "header_event")]
        {
            let at = from.offset();
            if from.name(what)? != name {
                return Err(unexpected(at, what, "another name"));
            }
            let length = from.u64(what)?;
            from.skip(length, what)?;
        }
        for _ in 0..from.u32("number of ftrace's events")? {
            let length = from.u64("ftrace's event")?;
            from.skip(length, "ftrace's event")?;
        }
        let mut found = Self { page_size, layouts: Vec::new() };
        for _ in 0..from.u32("number of event systems")? {
            let system = from.name("name of an event system")?;
            for _ in 0..from.u32("number of events")? {
                let length = from.u64("description of an event")?;
                if system == b"damon" {
                    let at = from.offset();
                    let text = from.vec(length, LONGEST, "description of an event")?;
                    found.learn(&text, at)?;
                } else {
                    from.skip(length, "description of an event")?;
                }
            }
        }
        Ok(found)
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
pub(super) fn big_endian() -> ImportError {
    ImportError::Useless(
        "it was recorded on a big-endian machine, which this program does not read; use the text of perf script".into(),
    )
}
