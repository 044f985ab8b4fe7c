//! What stands around the records: the file's header, and its features.

use super::attr::Attr;
use super::session::Session;
use super::unexpected;
use crate::import::ImportError;
use crate::import::tracepoints::{Bytes, Tracing, big_endian};
use std::io::Read;

/// Bytes of the header of a file.
pub(super) const FILE_HEADER: usize = 104;
/// Bytes of the header of what came through a pipe.
pub(super) const PIPE_HEADER: u64 = 16;
const MAGIC: &[u8; 8] = b"PERFILE2";
const MAGIC_SWAPPED: &[u8; 8] = b"2ELIFREP";

/// Bits of features, which are the types of [`HEADER_FEATURE`](super::session::kinds::HEADER_FEATURE), too.
mod features {
    pub(super) const TRACING_DATA: u64 = 1;
    pub(super) const HOSTNAME: u64 = 3;
    pub(super) const OSRELEASE: u64 = 4;
    pub(super) const ARCH: u64 = 6;
    pub(super) const CMDLINE: u64 = 11;
    pub(super) const CLOCK_DATA: u64 = 29;
    /// One more than the last that a header has room for.
    pub(super) const COUNT: u64 = 256;
}

/// `[offset, offset + size)` of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) offset: u64,
    pub(super) size: u64,
}

impl Section {
    fn read(from: &mut Bytes<impl Read>) -> Result<Self, ImportError> {
        let offset = from.u64("place of a section")?;
        Ok(Self { offset, size: from.u64("size of a section")? })
    }

    /// Refuses a section that is not wholly in a file of so many bytes.
    pub(super) fn within(self, bytes: u64, what: &str) -> Result<Self, ImportError> {
        match self.offset.checked_add(self.size) {
            Some(end) if end <= bytes => Ok(self),
            _ => {
                let found = format!("a file that ends at byte {bytes}");
                Err(unexpected(self.offset, &format!("{} bytes of {what}", self.size), &found))
            }
        }
    }

    pub(super) fn end(self) -> u64 {
        self.offset.saturating_add(self.size)
    }
}

/// The start of a recording.
#[derive(Debug)]
pub(super) enum Header {
    /// A stream of records that explains itself.
    Pipe,
    /// A file.
    File(FileHeader),
}

/// Where everything is in a file.
#[derive(Debug)]
pub(super) struct FileHeader {
    pub(super) attr_size: u64,
    pub(super) attrs: Section,
    pub(super) data: Section,
    features: [u64; 4],
}

impl Header {
    /// Reads the header from the start of a recording.
    pub(super) fn read(input: impl Read) -> Result<Self, ImportError> {
        let mut from = Bytes::new(input, 0, FILE_HEADER as u64);
        let mut magic = [0; 8];
        from.fill(&mut magic, "a recording of perf (PERFILE2)")?;
        if magic == *MAGIC_SWAPPED {
            return Err(big_endian());
        }
        if magic != *MAGIC {
            return Err(unexpected(0, "a recording of perf (PERFILE2)", "something else"));
        }
        let size = from.u64("size of the header")?;
        if size == PIPE_HEADER {
            return Ok(Self::Pipe);
        }
        if size != FILE_HEADER as u64 {
            let found = format!("one of {size}");
            return Err(unexpected(8, "a header of 104 bytes, or of 16 from a pipe", &found));
        }
        let attr_size = from.u64("size of attributes")?;
        let attrs = Section::read(&mut from)?;
        let data = Section::read(&mut from)?;
        let _event_types = Section::read(&mut from)?;
        let mut features = [0; 4];
        for word in &mut features {
            *word = from.u64("features")?;
        }
        Ok(Self::File(FileHeader { attr_size, attrs, data, features }))
    }
}

impl FileHeader {
    /// The features that the file has, in the order of their places.
    pub(super) fn features(&self) -> impl Iterator<Item = u64> {
        let words = self.features;
        (0..features::COUNT).filter(move |bit| {
            let word = usize::try_from(bit / 64).ok().and_then(|index| words.get(index));
            word.is_some_and(|word| word >> (bit % 64) & 1 == 1)
        })
    }
}

/// Places of the features that are read, out of those of all that are there.
pub(super) fn places(
    header: &FileHeader,
    from: &mut Bytes<impl Read>,
) -> Result<Vec<(u64, Section)>, ImportError> {
    let mut places = Vec::new();
    for feature in header.features() {
        let section = Section::read(from)?;
        if matters(feature) {
            places.push((feature, section));
        }
    }
    Ok(places)
}

fn matters(feature: u64) -> bool {
    use features::{ARCH, CLOCK_DATA, CMDLINE, HOSTNAME, OSRELEASE, TRACING_DATA};
    matches!(feature, TRACING_DATA | HOSTNAME | OSRELEASE | ARCH | CMDLINE | CLOCK_DATA)
}

/// Reads a feature.
pub(super) fn feature(
    session: &mut Session<'_>,
    feature: u64,
    from: &mut Bytes<impl Read>,
) -> Result<(), ImportError> {
    match feature {
        features::TRACING_DATA => session.tracing(Tracing::read(from)?),
        features::HOSTNAME => session.source.host = from.text("host name")?,
        features::OSRELEASE => session.source.kernel = from.text("kernel release")?,
        features::ARCH => session.source.arch = from.text("architecture")?,
        features::CMDLINE => {
            let at = from.offset();
            let count = from.u32("command line")?;
            if count > 1 << 12 {
                let found = format!("{count} arguments");
                return Err(unexpected(at, "a command line", &found));
            }
            session.source.command_line.clear();
            for _ in 0..count {
                let argument = from.text("argument of the command line")?;
                session.source.command_line.push(argument);
            }
        }
        features::CLOCK_DATA => {
            let _version = from.u32("clock data")?;
            let _clock = from.u32("clock data")?;
            let wall_ns = from.u64("clock data")?;
            let clock_ns = from.u64("clock data")?;
            session.clock(clock_ns, wall_ns);
        }
        _ => {}
    }
    Ok(())
}

/// Learns of an event: its attributes, of `size` bytes at most, and where its identities are.
pub(super) fn attr(
    session: &mut Session<'_>,
    size: u64,
    from: &mut Bytes<impl Read>,
) -> Result<Section, ImportError> {
    let at = from.offset();
    let bytes = from.vec(size, 1 << 12, "attributes of an event")?;
    session.attr(Attr::parse(&bytes, at)?, at)?;
    Section::read(from)
}
