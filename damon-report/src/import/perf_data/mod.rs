//! `perf.data`: recordings of `perf record -e damon:damon_aggregated`, read without perf.
//!
//! The format is described in the kernel's `tools/perf/Documentation/perf.data-file-format.txt`. Files are read, and what
//! came through a pipe (`perf record -o -`), compressed ones too (`-z`). How DAMON's events are laid out is read from the
//! recording itself. Other events in it are passed over.
//!
//! Memory is bounded: a buffer, the events that wait for their turn (40 MiB), and the window of the compression.

mod attr;
mod header;
mod inflate;
mod order;
mod records;
mod session;

use super::tracepoints::{Bytes, Span, Tracing, unexpected};
use super::{ImportError, ImportOptions, Sink};
use attr::Attr;
use damon_format::ReadAt;
use header::{FILE_HEADER, FileHeader, Header, PIPE_HEADER, Section};
use records::Records;
use session::{Session, kinds};
use std::io::{BufReader, Read};

/// Reads a recording that can be read at any place.
///
/// # Errors
/// [`ImportError::Useless`] if no event of DAMON is in it or if it was made on a big-endian machine,
/// [`ImportError::Unexpected`] with the byte where it is damaged, [`ImportError::Read`], and whatever the sink returns.
pub fn read(
    input: &(impl ReadAt + ?Sized),
    options: &ImportOptions,
    sink: &mut dyn Sink,
) -> Result<(), ImportError> {
    let size = input.size()?;
    match Header::read(Span::new(input, 0, FILE_HEADER as u64))? {
        Header::Pipe => piped(Span::new(input, PIPE_HEADER, size), options, sink),
        Header::File(header) => file(input, size, &header, options, sink),
    }
}

/// Reads what came through a pipe, front to back.
///
/// # Errors
/// As [`read`]; [`ImportError::Useless`] for a file, because what explains its events stands at its end.
pub fn read_stream(
    mut input: impl Read,
    options: &ImportOptions,
    sink: &mut dyn Sink,
) -> Result<(), ImportError> {
    match Header::read(input.by_ref())? {
        Header::Pipe => piped(input, options, sink),
        Header::File(_) => Err(ImportError::Useless(
            "what explains the events of a perf.data file stands at its end, so it cannot be read from a pipe: name the \
             file, or record with perf record -o -"
                .into(),
        )),
    }
}

fn file(
    input: &(impl ReadAt + ?Sized),
    size: u64,
    header: &FileHeader,
    options: &ImportOptions,
    sink: &mut dyn Sink,
) -> Result<(), ImportError> {
    let mut session = Session::new(options, sink);
    let part = |section: Section| {
        let span = Span::new(input, section.offset, section.end());
        Bytes::new(BufReader::new(span), section.offset, section.size)
    };
    let attr_size = header.attr_size.saturating_sub(16);
    if !(64..=4096).contains(&attr_size) {
        let found = format!("{} bytes", header.attr_size);
        return Err(unexpected(16, "80 to 4112 bytes for an event's attributes", &found));
    }
    if header.data.size == 0 {
        return Err(ImportError::Useless(
            "perf did not finish it (it was killed, or is still recording), so what explains its events is not there".into(),
        ));
    }
    let data = header.data.within(size, "records")?;
    let attrs = header.attrs.within(size, "attributes of events")?;
    let mut from = part(attrs);
    for _ in 0..attrs.size / header.attr_size {
        let ids = header::attr(&mut session, attr_size, &mut from)?;
        let ids = ids.within(size, "identities of events")?;
        let mut from = part(ids);
        for _ in 0..ids.size / 8 {
            let at = from.offset();
            session.id(from.u64("identity of an event")?, at)?;
        }
    }
    // The places of the features stand after the records.
    let places = Section { offset: data.end(), size: 16 * header.features().count() as u64 };
    let places = header::places(header, &mut part(places.within(size, "places of features")?))?;
    for (feature, section) in places {
        header::feature(&mut session, feature, &mut part(section.within(size, "a feature")?))?;
    }
    records(session, Span::new(input, data.offset, data.end()), data.offset)
}

fn piped(
    input: impl Read,
    options: &ImportOptions,
    sink: &mut dyn Sink,
) -> Result<(), ImportError> {
    records(Session::new(options, sink), input, PIPE_HEADER)
}

fn records(mut session: Session<'_>, input: impl Read, offset: u64) -> Result<(), ImportError> {
    let mut records = Records::new(input, offset);
    while let Some(record) = records.next()? {
        let (kind, at, body) = (record.kind, record.at, record.body);
        let begin = at.saturating_add(8);
        let mut from = Bytes::new(body, begin, body.len() as u64);
        match kind {
            kinds::HEADER_ATTR => {
                let size = body.get(4..).and_then(|rest| rest.first_chunk());
                let size = size.map_or(0, |size| u32::from_le_bytes(*size)).max(64);
                let bytes = from.vec(size.into(), 1 << 12, "attributes of an event")?;
                session.attr(Attr::parse(&bytes, begin)?, at)?;
                for _ in 0..(body.len() as u64).saturating_sub(size.into()) / 8 {
                    session.id(from.u64("identity of an event")?, at)?;
                }
            }
            kinds::HEADER_FEATURE => {
                let feature = from.u64("number of a feature")?;
                header::feature(&mut session, feature, &mut from)?;
            }
            kinds::TRACING_DATA => {
                let size = from.u32("size of the descriptions of tracepoints")?;
                let begin = records.position();
                let mut from = Bytes::new(records.raw(), begin, size.into());
                session.tracing(Tracing::read(&mut from)?);
                from.finish("the rest of the descriptions of tracepoints")?;
            }
            kinds::AUXTRACE => {
                let size = from.u64("size of a hardware trace")?;
                let begin = records.position();
                Bytes::new(records.raw(), begin, size).finish("a hardware trace")?;
            }
            _ => session.record(&record)?,
        }
    }
    session.finish(records.position())
}

#[cfg(test)]
mod tests;
