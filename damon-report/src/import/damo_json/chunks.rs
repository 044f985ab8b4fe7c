//! The bytes of the input, read and inflated by a thread of their own while the text before them is parsed.

use crate::import::{ImportError, Position};
use flate2::{Decompress, FlushDecompress, Status};
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

/// Room in front of every chunk, for what is left of the one before: so that a piece of text that lies in two
/// chunks can be looked at in one, and nothing else is copied.
pub(super) const HEADROOM: usize = 4096;

/// Chunks that are ready before they are wanted; more would only cost cache.
const AHEAD: usize = 3;

/// Bytes of a compressed file that are read at once.
const INPUT: usize = 1 << 16;

/// A piece of the text: `bytes[HEADROOM..end]`.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) end: usize,
}

/// The receiving end.
#[derive(Debug)]
pub(super) struct Chunks {
    full: Receiver<Result<Chunk, ImportError>>,
    used: Sender<Vec<u8>>,
}

impl Chunks {
    /// Starts to read. Whoever drops the receiving end is not kept waiting for an input that says nothing.
    pub(super) fn start(
        input: impl Read + Send + 'static,
        compressed: bool,
        size: usize,
    ) -> Result<Self, ImportError> {
        let (to, full) = sync_channel(AHEAD);
        let (used, from) = channel();
        let mut desk = Desk { to, from, size: size.max(1), chunk: None };
        let work = move || {
            let result = if compressed { desk.inflate(input) } else { desk.copy(input) };
            if let Err(Stop::Failed(error)) = result.and_then(|()| desk.hand_over()) {
                // The reader may be gone, and then nobody wants to know.
                drop(desk.to.send(Err(error)));
            }
        };
        thread::Builder::new().name("import".to_owned()).spawn(work)?;
        Ok(Self { full, used })
    }

    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Chunk>, ImportError> {
        self.full.recv().ok().transpose()
    }

    /// Gives a buffer back.
    pub(super) fn recycle(&mut self, bytes: Vec<u8>) {
        // At the end of the input nobody wants it.
        drop(self.used.send(bytes));
    }
}

/// Why reading stops early.
enum Stop {
    Failed(ImportError),
    /// The reader has seen enough.
    Unwanted,
}

impl From<ImportError> for Stop {
    fn from(error: ImportError) -> Self {
        Self::Failed(error)
    }
}

/// Where chunks are filled.
struct Desk {
    to: SyncSender<Result<Chunk, ImportError>>,
    from: Receiver<Vec<u8>>,
    size: usize,
    chunk: Option<Chunk>,
}

impl Desk {
    /// The free part of the chunk in work; never empty.
    fn room(&mut self) -> Result<(&mut [u8], &mut usize), Stop> {
        let whole = HEADROOM.saturating_add(self.size);
        if self.chunk.as_ref().is_some_and(|chunk| chunk.end >= whole) {
            self.hand_over()?;
        }
        let chunk = self.chunk.get_or_insert_with(|| {
            let mut bytes = self.from.try_recv().unwrap_or_default();
            bytes.resize(whole, 0);
            Chunk { bytes, end: HEADROOM }
        });
        Ok((chunk.bytes.get_mut(chunk.end..).unwrap_or_default(), &mut chunk.end))
    }

    fn hand_over(&mut self) -> Result<(), Stop> {
        match self.chunk.take() {
            Some(chunk) => self.to.send(Ok(chunk)).map_err(|_gone| Stop::Unwanted),
            None => Ok(()),
        }
    }

    fn copy(&mut self, mut input: impl Read) -> Result<(), Stop> {
        loop {
            let (room, end) = self.room()?;
            match read(&mut input, room)? {
                0 => return Ok(()),
                count => *end = end.saturating_add(count),
            }
        }
    }

    fn inflate(&mut self, mut input: impl Read) -> Result<(), Stop> {
        let mut inflater = Decompress::new(true);
        let mut compressed = vec![0; INPUT];
        let (mut at, mut filled) = (0, 0);
        loop {
            if at >= filled {
                filled = read(&mut input, &mut compressed)?;
                at = 0;
            }
            let (in_before, out_before) = (inflater.total_in(), inflater.total_out());
            let (room, end) = self.room()?;
            let piece = compressed.get(at..filled).unwrap_or_default();
            let at_the_end = piece.is_empty();
            let status = inflater.decompress(piece, room, FlushDecompress::None);
            let place = || Position::Byte(inflater.total_in());
            let status = status.map_err(|error| ImportError::Unexpected {
                position: place(),
                expected: "a zlib stream".to_owned(),
                found: format!("damaged data ({error})"),
            })?;
            let taken = inflater.total_in().saturating_sub(in_before);
            let made = inflater.total_out().saturating_sub(out_before);
            at = at.saturating_add(usize::try_from(taken).unwrap_or(usize::MAX));
            *end = end.saturating_add(usize::try_from(made).unwrap_or(usize::MAX));
            if status == Status::StreamEnd {
                return Ok(());
            }
            if at_the_end && made == 0 {
                return Err(Stop::Failed(ImportError::Unexpected {
                    position: place(),
                    expected: "more of the zlib stream".to_owned(),
                    found: "the end of the input: it is cut off".to_owned(),
                }));
            }
        }
    }
}

fn read(input: &mut impl Read, into: &mut [u8]) -> Result<usize, ImportError> {
    loop {
        match input.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Ok(result?),
        }
    }
}
