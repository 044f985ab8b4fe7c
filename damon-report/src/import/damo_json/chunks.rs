//! The bytes of the input, read and inflated by a thread of their own while the text before them is parsed.

use crate::import::{ImportError, Position};
use flate2::{Decompress, FlushDecompress, Status};
use simd_adler32::adler32;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
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
    /// Checksum of this piece alone, if there was time for it.
    sum: Option<u32>,
    /// With the last piece of a compressed text.
    told: Option<Checksum>,
}

impl Chunk {
    fn text(&self) -> &[u8] {
        self.bytes.get(HEADROOM..self.end).unwrap_or_default()
    }
}

/// Adler-32 of no bytes.
const NOTHING: u32 = 1;

/// Adler-32 (RFC 1950, section 8.2) of a text whose second piece, of so many bytes, has the second one: modulo 65521, its
/// lower half is 1 plus the sum of the bytes, the upper one the sum of the lower ones after each byte.
fn joined(first: u32, second: u32, length: usize) -> u32 {
    const MODULO: u64 = 65_521;
    let halves = |sum: u32| (u64::from(sum & 0xffff), u64::from(sum >> 16));
    let ((low, high), (more_low, more_high)) = (halves(first), halves(second));
    // The second piece's halves count from 1, not from the first one's lower half.
    let begin = (low + MODULO - 1) % MODULO;
    let new_low = (begin + more_low) % MODULO;
    let new_high = (high + more_high + (length as u64 % MODULO) * begin) % MODULO;
    u32::try_from(new_high << 16 | new_low).unwrap_or(0)
}

/// What the input says of the whole text.
#[derive(Clone, Copy, Debug)]
struct Checksum {
    adler32: u32,
    /// Where it says so.
    at: u64,
}

/// The receiving end.
pub(super) struct Chunks {
    full: Receiver<Result<Chunk, ImportError>>,
    used: Sender<Vec<u8>>,
    /// Of what was received, if it was compressed.
    sum: Option<u32>,
}

impl std::fmt::Debug for Chunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunks").finish_non_exhaustive()
    }
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
        let mut desk = Desk { to, from, size: size.max(1), sums: compressed, chunk: None };
        let work = move || {
            let result = if compressed { desk.inflate(input) } else { desk.copy(input) };
            if let Err(Stop::Failed(error)) = result.and_then(|()| desk.hand_over()) {
                // The reader may be gone, and then nobody wants to know.
                drop(desk.to.send(Err(error)));
            }
        };
        thread::Builder::new().name("import".to_owned()).spawn(work)?;
        Ok(Self { full, used, sum: compressed.then_some(NOTHING) })
    }

    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Chunk>, ImportError> {
        let Some(chunk) = self.full.recv().ok().transpose()? else {
            return Ok(None);
        };
        if let Some(sum) = &mut self.sum {
            let piece = chunk.sum.unwrap_or_else(|| adler32(&chunk.text()));
            *sum = joined(*sum, piece, chunk.text().len());
            if let Some(told) = chunk.told.filter(|told| told.adler32 != *sum) {
                return Err(damaged(told.at, "its checksum is wrong"));
            }
        }
        Ok(Some(chunk))
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
    /// Whether there is a checksum.
    sums: bool,
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
            Chunk { bytes, end: HEADROOM, sum: None, told: None }
        });
        Ok((chunk.bytes.get_mut(chunk.end..).unwrap_or_default(), &mut chunk.end))
    }

    fn hand_over(&mut self) -> Result<(), Stop> {
        let Some(chunk) = self.chunk.take() else { return Ok(()) };
        // Whoever has less to do computes the checksum: if the reader is behind, it is this thread, which would have to wait.
        let back = match self.to.try_send(Ok(chunk)) {
            Err(TrySendError::Full(back)) => back,
            result => return result.map_err(|_gone| Stop::Unwanted),
        };
        let summed =
            back.map(|chunk| Chunk { sum: self.sums.then(|| adler32(&chunk.text())), ..chunk });
        self.to.send(summed).map_err(|_gone| Stop::Unwanted)
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

    fn inflate(&mut self, input: impl Read) -> Result<(), Stop> {
        let mut input = Compressed::new(input);
        let [method, flags] = input.take()?;
        // Deflate, in a window as large as there are, without a dictionary (RFC 1950, section 2.2).
        let is_plain = method & 0x0f == 8 && method >> 4 <= 7 && flags & 0x20 == 0;
        if !is_plain || (u32::from(method) * 256 + u32::from(flags)) % 31 != 0 {
            return Err(Stop::Failed(damaged(0, "another header")));
        }
        let mut inflater = Decompress::new(false);
        loop {
            let piece = input.rest()?;
            let at_the_end = piece.is_empty();
            let (in_before, out_before) = (inflater.total_in(), inflater.total_out());
            let (room, end) = self.room()?;
            let status = inflater.decompress(piece, room, FlushDecompress::None);
            let status = status.map_err(|error| {
                damaged(inflater.total_in().saturating_add(2), &error.to_string())
            })?;
            let taken = inflater.total_in().saturating_sub(in_before);
            let made = inflater.total_out().saturating_sub(out_before);
            input.advance(usize::try_from(taken).unwrap_or(usize::MAX));
            *end = end.saturating_add(usize::try_from(made).unwrap_or(usize::MAX));
            if status == Status::StreamEnd {
                let at = input.position();
                let [a, b, c, d] = input.take()?;
                let adler32 = u32::from_le_bytes([d, c, b, a]);
                // There is room for one, so that there is a chunk.
                self.room()?;
                if let Some(chunk) = &mut self.chunk {
                    chunk.told = Some(Checksum { adler32, at });
                }
                return Ok(());
            }
            if at_the_end && made == 0 {
                return Err(Stop::Failed(input.cut_off()));
            }
        }
    }
}

fn damaged(at: u64, why: &str) -> ImportError {
    ImportError::Unexpected {
        position: Position::Byte(at),
        expected: "a zlib stream".to_owned(),
        found: format!("damaged data ({why})"),
    }
}

/// The bytes of a compressed input.
struct Compressed<R> {
    input: R,
    bytes: Vec<u8>,
    at: usize,
    filled: usize,
    /// Bytes before those at hand.
    before: u64,
}

impl<R: Read> Compressed<R> {
    fn new(input: R) -> Self {
        Self { input, bytes: vec![0; INPUT], at: 0, filled: 0, before: 0 }
    }

    /// What is at hand; nothing at the end of the input.
    fn rest(&mut self) -> Result<&[u8], ImportError> {
        if self.at >= self.filled {
            self.before = self.before.saturating_add(self.filled as u64);
            self.filled = read(&mut self.input, &mut self.bytes)?;
            self.at = 0;
        }
        Ok(self.bytes.get(self.at..self.filled).unwrap_or_default())
    }

    fn advance(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
    }

    /// The next bytes of a fixed number.
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        let mut taken = [0; N];
        for byte in &mut taken {
            match self.rest()?.first() {
                Some(next) => *byte = *next,
                None => return Err(self.cut_off()),
            }
            self.advance(1);
        }
        Ok(taken)
    }

    /// Where the next byte stands.
    fn position(&self) -> u64 {
        self.before.saturating_add(self.at as u64)
    }

    fn cut_off(&self) -> ImportError {
        ImportError::Unexpected {
            position: Position::Byte(self.position()),
            expected: "more of the zlib stream".to_owned(),
            found: "the end of the input: it is cut off".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn checksums_of_pieces_make_that_of_the_whole(
            first in prop::collection::vec(any::<u8>(), 0..300),
            second in prop::collection::vec(any::<u8>(), 0..300),
            times in 1_usize..2000,
        ) {
            let second = second.repeat(times);
            let whole = [first.as_slice(), &second].concat();
            let sum = joined(adler32(&first.as_slice()), adler32(&second.as_slice()), second.len());
            prop_assert_eq!(sum, adler32(&whole.as_slice()));
            prop_assert_eq!(joined(NOTHING, sum, whole.len()), sum);
        }
    }
}
