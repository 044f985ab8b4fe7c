//! Version 7: sections anywhere in the file, found by options.

use super::contents::{Buffer, Contents};
use super::inflate::Packing;
use super::options::{self, ids};
use crate::import::ImportError;
use crate::import::tracepoints::{Bytes, Span, unexpected};
use damon_format::ReadAt;
use std::cell::Cell;
use std::io::{BufReader, Read};

/// Bytes of a section before its contents.
const HEADER: usize = 16;
const IS_COMPRESSED: u16 = 1;
/// Longest section that is inflated.
const LONGEST: u32 = 64 << 20;
/// Longest list of options that is inflated; it is held while the sections are read that it names.
const LONGEST_OPTIONS: u32 = 16 << 20;
/// What all sections that are opened may take, since options can name one any number of times: see [`File::take`].
const MOST: u64 = 256 << 20;
/// What opening a section takes, however short it is.
const EACH: u64 = 1 << 16;
/// Lists of options, each of which names the next.
const MAX_LISTS: usize = 256;

const OPTIONS: u16 = 0;
const RECORDS: u16 = 3;

struct File<'a, S: ?Sized> {
    input: &'a S,
    size: u64,
    packing: Option<Packing>,
    /// Of [`MOST`].
    left: Cell<u64>,
}

/// A section's header.
struct Section {
    id: u16,
    is_compressed: bool,
    /// Of its contents.
    offset: u64,
    size: u64,
}

/// Reads what stands behind the preamble.
pub(super) fn contents<R: Read, S: ReadAt + ?Sized>(
    from: &mut Bytes<R>,
    input: &S,
    size: u64,
    page_size: u32,
) -> Result<Contents, ImportError> {
    let name = from.name("name of the compression")?;
    let _version = from.name("version of the compression")?;
    let packing = Packing::named(&name);
    if packing.is_none() && name != b"none" {
        let name = String::from_utf8_lossy(&name).escape_default().to_string();
        return Err(ImportError::Useless(format!(
            "it is compressed with \"{name}\", and zstd and zlib can be read; use the text of trace-cmd report"
        )));
    }
    let file = File { input, size, packing, left: Cell::new(MOST) };
    let mut found = Contents::new(page_size);
    let mut at = from.offset();
    let mut next = from.u64("place of the options")?;
    for _ in 0..MAX_LISTS {
        if next == 0 {
            return Ok(found);
        }
        (at, next) = (next, file.options(next, &mut found)?);
    }
    Err(unexpected(at, "at most 256 lists of options", "more"))
}

impl<S: ReadAt + ?Sized> File<'_, S> {
    /// The section at a place.
    fn section(&self, at: u64, wanted: u16, what: &str) -> Result<Section, ImportError> {
        let mut from = Bytes::new(Span::new(self.input, at, self.size), at, HEADER as u64);
        let mut header = [0; HEADER];
        from.fill(&mut header, what)?;
        let [i0, i1, f0, f1, _, _, _, _, size @ ..] = header;
        let section = Section {
            id: u16::from_le_bytes([i0, i1]),
            is_compressed: u16::from_le_bytes([f0, f1]) & IS_COMPRESSED != 0,
            offset: at.saturating_add(HEADER as u64),
            size: u64::from_le_bytes(size),
        };
        if section.id != wanted {
            let expected = format!("{what} (section {wanted})");
            return Err(unexpected(at, &expected, &format!("section {}", section.id)));
        }
        Ok(section)
    }

    /// Makes up for the work on so many bytes of the section at a place.
    fn take(&self, bytes: u64, at: u64) -> Result<(), ImportError> {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.ok_or_else(|| unexpected(at, "at most 256 MiB of sections", "more"))?);
        Ok(())
    }

    /// Hands out the contents of a section, which is not that of the events.
    fn open<T>(
        &self,
        at: u64,
        wanted: u16,
        what: &str,
        read: impl FnOnce(&mut Bytes<Box<dyn Read + '_>>) -> Result<T, ImportError>,
    ) -> Result<T, ImportError> {
        let Section { is_compressed, offset, size, .. } = self.section(at, wanted, what)?;
        let end = offset.saturating_add(size).min(self.size);
        self.take(EACH.saturating_add(end.saturating_sub(offset)), at)?;
        let span = BufReader::new(Span::new(self.input, offset, end));
        if !is_compressed {
            return read(&mut Bytes::new(Box::new(span), offset, size));
        }
        let mut from = Bytes::new(span, offset, size);
        let (packed, inflated) = (from.u32(what)?, from.u32(what)?);
        let longest = if wanted == OPTIONS { LONGEST_OPTIONS } else { LONGEST };
        if inflated > longest {
            let expected = format!("at most {} MiB of {what}", longest >> 20);
            return Err(unexpected(offset, &expected, "more"));
        }
        self.take(inflated.into(), at)?;
        let packing = self.packing.ok_or_else(|| {
            unexpected(at, what, "a compressed section in a recording without compression")
        })?;
        let packed = from.vec(packed.into(), longest.into(), what)?;
        let mut plain = Vec::new();
        let length = usize::try_from(inflated).unwrap_or(usize::MAX);
        packing.inflate(&packed, length, offset, &mut plain)?;
        drop(packed);
        read(&mut Bytes::inflated(Box::new(plain.as_slice()), offset))
    }

    /// Reads a list of options, and what they name. Returns the place of the next list, 0 if there is none.
    fn options(&self, at: u64, found: &mut Contents) -> Result<u64, ImportError> {
        self.open(at, OPTIONS, "options", |from| {
            loop {
                let at = from.offset();
                let id = from.u16("an option")?;
                let length = from.u32("size of an option")?;
                let data = from.vec(length.into(), options::LONGEST, "an option")?;
                if id == ids::BUFFER {
                    self.buffer(&data, at, found)?;
                    continue;
                }
                let place = || {
                    let place = data.first_chunk().map(|place| u64::from_le_bytes(*place));
                    place.ok_or_else(|| unexpected(at, "the place of a section", "the end"))
                };
                match id {
                    ids::DONE => return place(),
                    ids::HEADER_INFO => {
                        let what = "layout of the ring buffer";
                        self.open(place()?, id, what, |from| found.tracing.pages(from))?;
                    }
                    ids::EVENT_FORMATS => {
                        let what = "descriptions of events";
                        self.open(place()?, id, what, |from| found.tracing.systems(from))?;
                    }
                    ids::CMDLINES => {
                        self.open(place()?, id, "names of processes", |from| found.names(from))?;
                    }
                    _ => found.options.learn(id, &data),
                }
            }
        })
    }

    /// Where the events of an instance are: the option's bytes, which stand at `at`.
    fn buffer(&self, data: &[u8], at: u64, found: &mut Contents) -> Result<(), ImportError> {
        let what = "places of events";
        let mut from = Bytes::inflated(data, at);
        let section = self.section(from.u64(what)?, RECORDS, what)?;
        let packing = if section.is_compressed { self.packing } else { None };
        if section.is_compressed && packing.is_none() {
            let found = "compressed events in a recording without compression";
            return Err(unexpected(section.offset, what, found));
        }
        let _instance = from.name(what)?;
        let clock = from.name(what)?;
        found.options.clock_named(&String::from_utf8_lossy(&clock));
        let page_size = from.u32(what)?;
        for _ in 0..from.u32(what)? {
            let _cpu = from.u32(what)?;
            let offset = from.u64(what)?;
            let size = from.u64(what)?;
            found.buffer(Buffer { offset, size, page_size, packing }, at)?;
        }
        Ok(())
    }
}
